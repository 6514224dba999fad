-- A row that an erasure emptied is a later version of it, so that it stays also when a loader that was
-- frozen inserts the first one once more. Analysts see the logical time of the event all the same.
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
    ordinal UInt64 COMMENT 'Its place in the order of arrival; unique'
)
AS SELECT
    account_id, team_id, source_module, event_name, schema_version, idempotency_key,
    qontak_customer_id, occurred_at, received_at, ingested_at, properties, payload,
    identifier_tokens, topic, partition, offset, received_at AS logical_time, ordinal
FROM landing_events FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Accepted events, each once. Kept for 24 months after occurred_at (to the end of that day); customer.* and segment.* for good. Name the account_id, and the event_name if there is one: rows are sorted by both.';
