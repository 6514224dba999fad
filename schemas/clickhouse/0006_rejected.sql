CREATE TABLE IF NOT EXISTS landing_rejected
(
    topic LowCardinality(String) COMMENT 'Where it was read',
    partition Int32 COMMENT 'Where it was read',
    offset Int64 COMMENT 'Where it was read',
    account_id String COMMENT 'The tenant, where it could be read, else empty',
    source_module LowCardinality(String) COMMENT 'The publisher: the suffix of the topic',
    event_name String COMMENT 'The event type, where it could be read, else empty',
    reason LowCardinality(String) COMMENT 'The stable reason code',
    pointer String COMMENT 'JSON pointer of the field; empty for the whole record',
    message String COMMENT 'What is wrong, in words',
    payload String COMMENT 'The record, masked; for malformed_json and oversized its size and keyed hash' CODEC(ZSTD(3)),
    received_at DateTime64(3, 'UTC') COMMENT 'Its arrival',
    logical_time DateTime64(3, 'UTC') COMMENT 'The logical time that took it in',
    ordinal UInt64 COMMENT 'Its place in the order of arrival; unique',
    seq UInt32 COMMENT 'Number within (feed partition, logical time)'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (account_id, topic, partition, offset, logical_time)
TTL toDateTime(received_at) + INTERVAL 24 MONTH
COMMENT 'Rejected records as they landed. Read the view rejected_events.';

CREATE VIEW IF NOT EXISTS rejected_events
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
    received_at DateTime64(3, 'UTC') COMMENT 'Its arrival: the logical time that took it in'
)
AS SELECT
    topic, partition, offset, account_id, source_module, event_name, reason, pointer, message,
    payload, received_at
FROM landing_rejected FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Records that were not taken in, each once, and why. Kept for 24 months.';
