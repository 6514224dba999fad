-- A batch is told by its first tick. If a batch is repeated after a restart, perhaps cut otherwise,
-- its first tick is the first after the frontier again, and what was acknowledged last stays.
CREATE TABLE IF NOT EXISTS landing_propagation
(
    minute DateTime('UTC') COMMENT 'Minute of publication',
    source_module LowCardinality(String) COMMENT 'The publisher',
    batch DateTime64(3, 'UTC') COMMENT 'The logical time of the first tick in the batch',
    latency_ms Array(UInt32) COMMENT 'Latencies from publication until the event could be selected: upper ends of histogram buckets, within 3 %',
    events Array(UInt64) COMMENT 'Events in each of these buckets',
    max_ms UInt32 COMMENT 'The greatest latency, exact',
    acknowledged_at DateTime64(3, 'UTC') COMMENT 'When the rows of the batch could be selected'
)
ENGINE = ReplacingMergeTree(acknowledged_at)
ORDER BY (minute, source_module, batch)
TTL minute + INTERVAL 90 DAY
COMMENT 'Latency histograms as they landed, one a batch, source and minute. Read the view propagation.';

CREATE VIEW IF NOT EXISTS propagation
(
    source_module LowCardinality(String) COMMENT 'The publisher',
    minute DateTime('UTC') COMMENT 'Minute of publication',
    events UInt64 COMMENT 'Accepted live events published in that minute',
    p50_ms UInt32 COMMENT 'Half of them could be selected here within this time of their publication',
    p99_ms UInt32 COMMENT '99 in 100 of them could be selected here within this time of their publication',
    max_ms UInt32 COMMENT 'All of them could be selected here within this time of their publication'
)
AS SELECT
    source_module, minute,
    sum(bucket_events) AS events,
    least(quantileExactWeighted(0.5)(bucket_ms, bucket_events), max_ms) AS p50_ms,
    least(quantileExactWeighted(0.99)(bucket_ms, bucket_events), max_ms) AS p99_ms,
    max(batch.max_ms) AS max_ms
FROM landing_propagation AS batch FINAL
ARRAY JOIN batch.latency_ms AS bucket_ms, batch.events AS bucket_events
GROUP BY source_module, minute
COMMENT 'How long live events take from their publication to the moment they can be selected in events, by publisher and minute of publication. Kept for 90 days.';
