CREATE TABLE IF NOT EXISTS landing_reconciliation
(
    source_module LowCardinality(String) COMMENT 'The publisher',
    hour DateTime64(3, 'UTC') COMMENT 'The beginning of the hour' CODEC(DoubleDelta, ZSTD),
    emitted Nullable(UInt64) COMMENT 'Records that the source says it sent in that hour; NULL: it has not said',
    read UInt64 COMMENT 'Records read whose create time lies in that hour',
    logical_time DateTime64(3, 'UTC') COMMENT 'As of' CODEC(DoubleDelta, ZSTD),
    seq UInt32 COMMENT 'Number within (feed partition, logical time)'
)
ENGINE = ReplacingMergeTree
ORDER BY (source_module, hour, logical_time)
TTL toDateTime(logical_time) + INTERVAL 30 DAY
COMMENT 'Each hour of a source after each tick that counted in it, for 30 days. Read the view reconciliation.';

CREATE TABLE IF NOT EXISTS state_reconciliation
(
    source_module LowCardinality(String) COMMENT 'The publisher',
    hour DateTime64(3, 'UTC') COMMENT 'The beginning of the hour' CODEC(DoubleDelta, ZSTD),
    emitted Nullable(UInt64) COMMENT 'Records that the source says it sent in that hour; NULL: it has not said',
    read UInt64 COMMENT 'Records read whose create time lies in that hour',
    version DateTime64(3, 'UTC') COMMENT 'As of' CODEC(DoubleDelta, ZSTD)
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (source_module, hour)
COMMENT 'Each hour of a source, newest version. Kept for good. Read the view reconciliation.';

CREATE MATERIALIZED VIEW IF NOT EXISTS landing_reconciliation_to_state TO state_reconciliation
AS SELECT source_module, hour, emitted, read, logical_time AS version
FROM landing_reconciliation
COMMENT 'Feeds state_reconciliation.';

CREATE VIEW IF NOT EXISTS reconciliation
(
    source_module LowCardinality(String) COMMENT 'The publisher: the suffix of its topic',
    hour DateTime64(3, 'UTC') COMMENT 'The beginning of the hour. A record belongs to the hour of its Kafka create time',
    emitted Nullable(UInt64) COMMENT 'Records that the source says it sent in that hour, from cebe.counts; NULL: it has not said',
    read UInt64 COMMENT 'Records read of its topic that belong to that hour, whatever became of them: see ingest_ledger',
    difference Nullable(Int64) COMMENT 'emitted - read: more than 0 was lost before Kafka, or is on its way; less than 0 was sent and not counted, or published again by cebe replay; NULL: unknown',
    status LowCardinality(String) COMMENT 'equal, different, or unknown: the source has not said what it sent'
)
AS SELECT
    source_module, hour, emitted, read,
    toInt64(emitted) - toInt64(read) AS difference,
    multiIf(isNull(emitted), 'unknown', emitted = read, 'equal', 'different') AS status
FROM state_reconciliation FINAL
COMMENT 'What sources say that they sent in each hour, beside what was read of it: what was lost before Kafka shows. Hours in which nothing came of a source that was heard in the 31 days before are there too. Hours are counted for 31 days and kept for good.';
