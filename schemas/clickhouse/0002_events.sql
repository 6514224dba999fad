-- Partitioned by month of arrival, not of occurrence: what is inserted together arrived together,
-- so that an insert touches one partition (two at a month's turn) and is one part, also while a
-- backfill brings in twelve months at once; and a repeated row falls into the partition of its
-- first copy, outside of which ReplacingMergeTree would not find it.
--
-- A row is told by its ordinal. Of rows with the same ordinal the one with the greatest
-- logical_time stays.
CREATE TABLE IF NOT EXISTS landing_events
(
    account_id String COMMENT 'The tenant',
    team_id LowCardinality(String) COMMENT 'The team that published it; empty if none',
    source_module LowCardinality(String) COMMENT 'The publisher',
    event_name LowCardinality(String) COMMENT 'The event type',
    schema_version UInt32 COMMENT 'The version of its schema',
    idempotency_key String COMMENT 'The key that makes it count once',
    qontak_customer_id String COMMENT 'The customer as named; empty if the event names none',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When it happened, by its publisher' CODEC(DoubleDelta, ZSTD),
    received_at DateTime64(3, 'UTC') COMMENT 'Its arrival: the logical time that took it in' CODEC(DoubleDelta, ZSTD),
    published_at DateTime64(3, 'UTC') COMMENT 'The create time of its Kafka record: where propagation is measured from' CODEC(DoubleDelta, ZSTD),
    ingested_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When it was loaded' CODEC(DoubleDelta, ZSTD),
    properties JSON(max_dynamic_paths = 256) COMMENT 'The properties; sanitised for this column type, payload is the truth',
    payload String COMMENT 'The whole envelope as JSON, personal data masked' CODEC(ZSTD(3)),
    identifier_tokens Array(String) COMMENT 'Tokens of all its valid identifiers',
    topic LowCardinality(String) COMMENT 'Where it was read',
    partition Int32 COMMENT 'Where it was read',
    offset Int64 COMMENT 'Where it was read' CODEC(Delta, ZSTD),
    logical_time DateTime64(3, 'UTC') COMMENT 'The logical time of this version of the row' CODEC(DoubleDelta, ZSTD),
    ordinal UInt64 COMMENT 'Its place in the order of arrival; unique' CODEC(Delta, ZSTD),
    seq UInt32 COMMENT 'Number within (feed partition, logical time)',
    INDEX by_occurrence occurred_at TYPE minmax GRANULARITY 1,
    INDEX by_customer qontak_customer_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(logical_time)
PARTITION BY toYYYYMM(received_at)
ORDER BY (account_id, event_name, occurred_at, ordinal)
TTL toDateTime(toDate(occurred_at) + INTERVAL 24 MONTH + INTERVAL 1 DAY)
    DELETE WHERE NOT startsWith(event_name, 'customer.') AND NOT startsWith(event_name, 'segment.')
SETTINGS min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Accepted events as they landed: a repeated one stands here more than once until parts merge. Read the view events.';

CREATE VIEW IF NOT EXISTS events
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
    ordinal UInt64 COMMENT 'Its place in the order of arrival; unique'
)
AS SELECT
    account_id, team_id, source_module, event_name, schema_version, idempotency_key,
    qontak_customer_id, occurred_at, received_at, ingested_at, properties, payload,
    identifier_tokens, topic, partition, offset, logical_time, ordinal
FROM landing_events FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Accepted events, each once. Kept for 24 months after occurred_at (to the end of that day); customer.* and segment.* for good. Name the account_id, and the event_name if there is one: rows are sorted by both.';

-- What has left landing_events, or will, by its TTL: bitmaps of offsets, in which a repeated row
-- counts once. The ledger adds those that are due.
CREATE TABLE IF NOT EXISTS state_event_expiry
(
    topic LowCardinality(String) COMMENT 'Where the events were read',
    partition Int32 COMMENT 'Where the events were read',
    expires_on Date COMMENT 'The first day on which they are no longer kept',
    offsets AggregateFunction(groupBitmap, UInt64) COMMENT 'Their offsets'
)
ENGINE = AggregatingMergeTree
ORDER BY (topic, partition, expires_on)
COMMENT 'Which accepted events the retention removes, and when.';

CREATE MATERIALIZED VIEW IF NOT EXISTS landing_events_to_expiry TO state_event_expiry
AS SELECT
    topic, partition,
    toDate(occurred_at) + INTERVAL 24 MONTH + INTERVAL 1 DAY AS expires_on,
    groupBitmapState(toUInt64(offset)) AS offsets
FROM landing_events
WHERE NOT startsWith(event_name, 'customer.') AND NOT startsWith(event_name, 'segment.')
GROUP BY topic, partition, expires_on
COMMENT 'Feeds state_event_expiry.';
