-- History that is brought in beside live events: which rows came with it, and what became of each job.
ALTER TABLE landing_events ADD COLUMN IF NOT EXISTS
    backfill_job LowCardinality(String)
    COMMENT 'The backfill that it came with; empty if it came live'
    AFTER lasting_facts;

ALTER TABLE landing_rejected ADD COLUMN IF NOT EXISTS
    backfill_job LowCardinality(String)
    COMMENT 'The backfill that it came with; empty if it came live'
    AFTER payload;

CREATE TABLE IF NOT EXISTS landing_backfills
(
    source_module LowCardinality(String) COMMENT 'The publisher',
    job String COMMENT 'The job; empty for what others have published to the lane',
    records_read UInt64 COMMENT 'Records that the bindings counted, before any verdict',
    accepted UInt64 COMMENT 'Taken in',
    duplicate UInt64 COMMENT 'Had been taken in before',
    rejected UInt64 COMMENT 'Not taken in',
    skipped UInt64 COMMENT 'Excluded by the flag of the source',
    rejected_by_reason Map(LowCardinality(String), UInt64) COMMENT 'Those rejected, by reason',
    undone_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was undone; NULL: what was taken in counts',
    logical_time DateTime64(3, 'UTC') COMMENT 'As of',
    seq UInt32 COMMENT 'Number within (feed partition, logical time)'
)
ENGINE = ReplacingMergeTree
ORDER BY (source_module, job, logical_time)
TTL toDateTime(logical_time) + INTERVAL 30 DAY
COMMENT 'What was read of each backfill after each tick that read of it, for 30 days. Read the view backfills.';

CREATE TABLE IF NOT EXISTS state_backfills
(
    source_module LowCardinality(String) COMMENT 'The publisher',
    job String COMMENT 'The job; empty for what others have published to the lane',
    records_read UInt64 COMMENT 'Records that the bindings counted, before any verdict',
    accepted UInt64 COMMENT 'Taken in',
    duplicate UInt64 COMMENT 'Had been taken in before',
    rejected UInt64 COMMENT 'Not taken in',
    skipped UInt64 COMMENT 'Excluded by the flag of the source',
    rejected_by_reason Map(LowCardinality(String), UInt64) COMMENT 'Those rejected, by reason',
    undone_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was undone; NULL: what was taken in counts',
    version DateTime64(3, 'UTC') COMMENT 'As of'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (source_module, job)
COMMENT 'What was read of each backfill, newest version. Read the view backfills.';

CREATE MATERIALIZED VIEW IF NOT EXISTS landing_backfills_to_state TO state_backfills
AS SELECT
    source_module, job, records_read, accepted, duplicate, rejected, skipped, rejected_by_reason,
    undone_at, logical_time AS version
FROM landing_backfills
COMMENT 'Feeds state_backfills.';

CREATE VIEW IF NOT EXISTS backfills
(
    source_module LowCardinality(String) COMMENT 'The publisher',
    job String COMMENT 'The job; empty for what others have published to the lane',
    records_read UInt64 COMMENT 'Records read, counted before any verdict',
    accepted UInt64 COMMENT 'Taken in',
    duplicate UInt64 COMMENT 'Had been taken in before, live or by another backfill',
    rejected UInt64 COMMENT 'Not taken in: see rejected_events with this backfill_job',
    skipped UInt64 COMMENT 'Excluded by the flag of the source',
    rejected_by_reason Map(LowCardinality(String), UInt64) COMMENT 'Those rejected, by reason',
    undone_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was undone; NULL: what was taken in counts',
    last_read_at DateTime64(3, 'UTC') COMMENT 'The logical time that took in the last of its records so far, or undid it'
)
AS SELECT
    source_module, job, records_read, accepted, duplicate, rejected, skipped, rejected_by_reason,
    undone_at, version AS last_read_at
FROM state_backfills FINAL
COMMENT 'What became of the records of each backfill. How far a job has read its input, says cebe backfill status.';

CREATE OR REPLACE VIEW events
(
    account_id String COMMENT 'The tenant',
    team_id LowCardinality(String) COMMENT 'The team that published it; empty if none',
    source_module LowCardinality(String) COMMENT 'The publisher',
    event_name LowCardinality(String) COMMENT 'The event type',
    schema_version UInt32 COMMENT 'The version of its schema',
    idempotency_key String COMMENT 'The key that makes it count once',
    qontak_customer_id String COMMENT 'The customer as named; empty if the event names none',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When it happened, by its publisher',
    received_at DateTime64(3, 'UTC') COMMENT 'Its arrival: the logical time that took it in',
    ingested_at DateTime64(3, 'UTC') COMMENT 'When it was loaded into this table',
    properties JSON(max_dynamic_paths = 256) COMMENT 'The properties, as properties.name; sanitised for this column type, payload is the truth',
    payload String COMMENT 'The whole envelope as JSON, personal data masked',
    identifier_tokens Array(String) COMMENT 'Tokens of all its valid identifiers: equal ones are the same phone, email or other identifier of one account',
    topic LowCardinality(String) COMMENT 'The Kafka topic that it was read from',
    partition Int32 COMMENT 'The Kafka partition that it was read from',
    offset Int64 COMMENT 'The Kafka offset that it was read from',
    logical_time DateTime64(3, 'UTC') COMMENT 'The logical time of this row',
    ordinal UInt64 COMMENT 'Its place in the order of arrival; unique',
    backfill_job LowCardinality(String) COMMENT 'The backfill that it came with; empty if it came live'
)
AS SELECT
    account_id, team_id, source_module, event_name, schema_version, idempotency_key,
    qontak_customer_id, occurred_at, received_at, ingested_at, properties, payload,
    identifier_tokens, topic, partition, offset, received_at AS logical_time, ordinal, backfill_job
FROM landing_events FINAL
WHERE backfill_job NOT IN (SELECT job FROM state_backfills FINAL WHERE undone_at IS NOT NULL)
    OR (source_module = 'cdp' AND event_name = 'customer.erased')
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Accepted events, each once. Kept for 24 months after occurred_at (to the end of that day); customer.* and segment.* for good. What came with a backfill that was undone is in undone_events, but for erasures. Name the account_id, and the event_name if there is one: rows are sorted by both.';

CREATE OR REPLACE VIEW rejected_events
(
    topic LowCardinality(String) COMMENT 'The Kafka topic that it was read from',
    partition Int32 COMMENT 'The Kafka partition that it was read from',
    offset Int64 COMMENT 'The Kafka offset that it was read from',
    account_id String COMMENT 'The tenant, where it could be read, else empty: such rows are for operators only',
    source_module LowCardinality(String) COMMENT 'The publisher: the suffix of the topic',
    event_name String COMMENT 'The event type, where it could be read, else empty',
    reason LowCardinality(String) COMMENT 'The stable reason code: oversized, malformed_json, schema_violation, unknown_event, unsupported_version, missing_identity, future_event or too_old',
    pointer String COMMENT 'JSON pointer of the field, also of a missing one; empty for the whole record',
    message String COMMENT 'What is wrong, in words, without any value of the record',
    payload String COMMENT 'The record, personal data masked; for malformed_json and oversized its size and keyed hash',
    received_at DateTime64(3, 'UTC') COMMENT 'Its arrival: the logical time that took it in',
    backfill_job LowCardinality(String) COMMENT 'The backfill that it came with; empty if it came live'
)
AS SELECT
    topic, partition, offset, account_id, source_module, event_name, reason, pointer, message,
    payload, received_at, backfill_job
FROM landing_rejected FINAL
WHERE backfill_job NOT IN (SELECT job FROM state_backfills FINAL WHERE undone_at IS NOT NULL)
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Records that were not taken in, each once, and why; none of a backfill that was undone. Kept for 24 months.';

CREATE VIEW IF NOT EXISTS undone_events
(
    account_id String COMMENT 'The tenant',
    source_module LowCardinality(String) COMMENT 'The publisher',
    event_name LowCardinality(String) COMMENT 'The event type',
    idempotency_key String COMMENT 'The key that made it count once; it is free again',
    qontak_customer_id String COMMENT 'The customer as named; empty if the event names none',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When it happened, by its publisher',
    received_at DateTime64(3, 'UTC') COMMENT 'Its arrival: the logical time that took it in',
    payload String COMMENT 'The whole envelope as JSON, personal data masked',
    backfill_job LowCardinality(String) COMMENT 'The backfill that it came with',
    undone_at DateTime64(3, 'UTC') COMMENT 'When that was undone',
    ordinal UInt64 COMMENT 'Its place in the order of arrival; unique'
)
AS SELECT
    account_id, source_module, event_name, idempotency_key, qontak_customer_id, occurred_at,
    received_at, payload, backfill_job, assumeNotNull(backfill.undone_at) AS undone_at, ordinal
FROM landing_events AS event FINAL
INNER JOIN
(
    SELECT job, max(undone_at) AS undone_at
    FROM state_backfills FINAL
    GROUP BY job
    HAVING undone_at IS NOT NULL
) AS backfill ON event.backfill_job = backfill.job
WHERE NOT (source_module = 'cdp' AND event_name = 'customer.erased')
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Events that came with a backfill that was undone: they count no more, and are in no other view. Kept as long as others.';
