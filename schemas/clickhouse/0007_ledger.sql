CREATE TABLE IF NOT EXISTS landing_ledger
(
    topic LowCardinality(String) COMMENT 'The topic read',
    partition Int32 COMMENT 'The partition read',
    records_read UInt64 COMMENT 'Records that the bindings counted, before any verdict',
    accepted UInt64 COMMENT 'Taken in',
    duplicate UInt64 COMMENT 'Had been taken in before',
    rejected UInt64 COMMENT 'Not taken in',
    skipped UInt64 COMMENT 'Excluded by the flag of the source',
    logical_time DateTime64(3, 'UTC') COMMENT 'As of',
    seq UInt32 COMMENT 'Number within (feed partition, logical time)'
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, partition, logical_time)
TTL toDateTime(logical_time) + INTERVAL 30 DAY
COMMENT 'The ledger of each partition after each tick that read from it, for 30 days. Read the view ingest_ledger.';

CREATE TABLE IF NOT EXISTS state_ledger
(
    topic LowCardinality(String) COMMENT 'The topic read',
    partition Int32 COMMENT 'The partition read',
    records_read UInt64 COMMENT 'Records that the bindings counted, before any verdict',
    accepted UInt64 COMMENT 'Taken in',
    duplicate UInt64 COMMENT 'Had been taken in before',
    rejected UInt64 COMMENT 'Not taken in',
    skipped UInt64 COMMENT 'Excluded by the flag of the source',
    version DateTime64(3, 'UTC') COMMENT 'As of'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (topic, partition)
COMMENT 'The ledger of each partition, newest version. Read the view ingest_ledger.';

CREATE MATERIALIZED VIEW IF NOT EXISTS landing_ledger_to_state TO state_ledger
AS SELECT
    topic, partition, records_read, accepted, duplicate, rejected, skipped, logical_time AS version
FROM landing_ledger
COMMENT 'Feeds state_ledger.';

-- Rows of events are counted as of the ledger's time, since newer ones may have been loaded
-- already, and by the day of their expiry, since a TTL deletes when it gets round to it.
CREATE VIEW IF NOT EXISTS ingest_ledger
(
    topic LowCardinality(String) COMMENT 'The topic read',
    partition Int32 COMMENT 'The partition read',
    records_read UInt64 COMMENT 'Records read, counted before any verdict',
    accepted UInt64 COMMENT 'Taken in',
    duplicate UInt64 COMMENT 'Had been taken in before',
    rejected UInt64 COMMENT 'Not taken in: see rejected_events',
    skipped UInt64 COMMENT 'Excluded by the flag of the source',
    difference Int64 COMMENT 'Records that are unaccounted for: |records_read - (accepted + duplicate + rejected + skipped)| + |accepted - distinct rows in events, with those expired|. Anything but 0 is a loss or a doubling.'
)
AS WITH stored AS
(
    SELECT event.topic AS topic, event.partition AS partition, groupBitmap(toUInt64(event.offset)) AS events
    FROM landing_events AS event
    INNER JOIN (SELECT topic, partition, version FROM state_ledger FINAL) AS ledger
        ON event.topic = ledger.topic AND event.partition = ledger.partition
    WHERE event.received_at <= ledger.version
        AND (startsWith(event.event_name, 'customer.') OR startsWith(event.event_name, 'segment.')
            OR toDate(event.occurred_at) + INTERVAL 24 MONTH + INTERVAL 1 DAY > today())
    GROUP BY topic, partition
),
expired AS
(
    SELECT topic, partition, groupBitmapMerge(offsets) AS events
    FROM state_event_expiry
    WHERE expires_on <= today()
    GROUP BY topic, partition
)
SELECT
    ledger.topic AS topic, ledger.partition AS partition,
    ledger.records_read AS records_read, ledger.accepted AS accepted,
    ledger.duplicate AS duplicate, ledger.rejected AS rejected, ledger.skipped AS skipped,
    toInt64(abs(toInt64(ledger.records_read)
            - toInt64(ledger.accepted + ledger.duplicate + ledger.rejected + ledger.skipped))
        + abs(toInt64(ledger.accepted) - toInt64(stored.events + expired.events))) AS difference
FROM (SELECT * FROM state_ledger FINAL) AS ledger
LEFT JOIN stored ON stored.topic = ledger.topic AND stored.partition = ledger.partition
LEFT JOIN expired ON expired.topic = ledger.topic AND expired.partition = ledger.partition
COMMENT 'All records ever read from each partition, by what became of them. Reads all of events: for operators, not for dashboards that refresh each second.';
