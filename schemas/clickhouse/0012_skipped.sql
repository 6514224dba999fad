ALTER TABLE landing_ledger ADD COLUMN IF NOT EXISTS
    skipped_ranges Array(Tuple(Int64, Int64))
    COMMENT 'Offsets [from, to) of the records skipped at this logical time; each offset in them is a record';

-- Kept for good: what to replay once a source is on again, however late.
CREATE TABLE IF NOT EXISTS state_skipped_ranges
(
    topic LowCardinality(String) COMMENT 'The topic read',
    partition Int32 COMMENT 'The partition read',
    from_offset Int64 COMMENT 'The first record skipped' CODEC(Delta, ZSTD),
    to_offset Int64 COMMENT 'The offset after the last record skipped' CODEC(Delta, ZSTD),
    logical_time DateTime64(3, 'UTC') COMMENT 'When' CODEC(DoubleDelta, ZSTD)
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, partition, logical_time, from_offset, to_offset)
COMMENT 'Offsets of skipped records as they landed. Read the view skipped_ranges.';

CREATE MATERIALIZED VIEW IF NOT EXISTS landing_ledger_to_skipped_ranges TO state_skipped_ranges
AS SELECT topic, partition, skipped.1 AS from_offset, skipped.2 AS to_offset, logical_time
FROM landing_ledger
ARRAY JOIN skipped_ranges AS skipped
COMMENT 'Feeds state_skipped_ranges.';

CREATE VIEW IF NOT EXISTS skipped_ranges
(
    topic LowCardinality(String) COMMENT 'The Kafka topic read',
    partition Int32 COMMENT 'The Kafka partition read',
    from_offset Int64 COMMENT 'The offset of the first record skipped',
    to_offset Int64 COMMENT 'The offset after the last record skipped: to_offset - from_offset records',
    logical_time DateTime64(3, 'UTC') COMMENT 'The logical time at which they were skipped'
)
AS SELECT topic, partition, from_offset, to_offset, logical_time
FROM state_skipped_ranges FINAL
COMMENT 'Which records the flag of their source excluded, and when. Kept for good; cebe replay --skipped takes them in.';
