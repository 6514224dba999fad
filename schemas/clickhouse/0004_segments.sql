CREATE TABLE IF NOT EXISTS landing_segments
(
    account_id String COMMENT 'The tenant',
    segment_id String COMMENT 'Which segment',
    customer_id String COMMENT 'Canonical id of the person',
    change LowCardinality(String) COMMENT 'entered or exited',
    cause LowCardinality(String) COMMENT 'Why',
    definition_version UInt32 COMMENT 'Version of the definition in force',
    logical_time DateTime64(3, 'UTC') COMMENT 'When',
    seq UInt32 COMMENT 'Number within (feed partition, logical time)',
    deleted UInt8 COMMENT '1 on an exit'
)
ENGINE = ReplacingMergeTree
ORDER BY (account_id, segment_id, customer_id, logical_time)
COMMENT 'Entries and exits as they landed. Read the views segment_changes, segment_members and segment_members_as_of.';

CREATE TABLE IF NOT EXISTS state_segment_members
(
    account_id String COMMENT 'The tenant',
    segment_id String COMMENT 'Which segment',
    customer_id String COMMENT 'Canonical id of the person',
    definition_version UInt32 COMMENT 'Version of the definition at entry; 0 if only asserted',
    version DateTime64(3, 'UTC') COMMENT 'The logical time of the entry or exit',
    deleted UInt8 COMMENT '1 after an exit'
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY (account_id, segment_id, customer_id)
COMMENT 'Membership, newest version. Read the view segment_members.';

CREATE MATERIALIZED VIEW IF NOT EXISTS landing_segments_to_state TO state_segment_members
AS SELECT account_id, segment_id, customer_id, definition_version, logical_time AS version, deleted
FROM landing_segments
COMMENT 'Feeds state_segment_members.';

CREATE TABLE IF NOT EXISTS state_customer_segments
(
    account_id String COMMENT 'The tenant',
    customer_id String COMMENT 'Canonical id of the person',
    segment_id String COMMENT 'Which segment',
    definition_version UInt32 COMMENT 'Version of the definition at entry; 0 if only asserted',
    version DateTime64(3, 'UTC') COMMENT 'The logical time of the entry or exit',
    deleted UInt8 COMMENT '1 after an exit'
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY (account_id, customer_id, segment_id)
SETTINGS index_granularity = 512
COMMENT 'The segments of each person, newest version: segment_members in the order that a lookup by person needs.';

CREATE MATERIALIZED VIEW IF NOT EXISTS landing_segments_to_customers TO state_customer_segments
AS SELECT account_id, customer_id, segment_id, definition_version, logical_time AS version, deleted
FROM landing_segments
COMMENT 'Feeds state_customer_segments.';

CREATE VIEW IF NOT EXISTS segment_members
(
    account_id String COMMENT 'The tenant',
    segment_id String COMMENT 'Which segment',
    customer_id String COMMENT 'Canonical id of the person',
    entered_at DateTime64(3, 'UTC') COMMENT 'The logical time of the last entry',
    definition_version UInt32 COMMENT 'Version of the definition at entry; 0 if only asserted',
    complete_through DateTime64(3, 'UTC') COMMENT 'The logical time that this is true for',
    is_stale Bool COMMENT 'Whether complete_through is more than 60 seconds ago'
)
AS SELECT
    account_id, segment_id, customer_id, version AS entered_at, definition_version,
    (SELECT max(state_frontier.complete_through) FROM state_frontier WHERE view = 'segments') AS complete_through,
    complete_through < now64(3, 'UTC') - INTERVAL 60 SECOND AS is_stale
FROM state_segment_members FINAL
COMMENT 'Who is in which segment, as of the newest that is loaded.';

CREATE VIEW IF NOT EXISTS segment_changes
(
    account_id String COMMENT 'The tenant',
    segment_id String COMMENT 'Which segment',
    customer_id String COMMENT 'Canonical id of the person',
    change LowCardinality(String) COMMENT 'entered or exited',
    cause LowCardinality(String) COMMENT 'Why: erase, unmerge, merge, definition, time, backfill, late_event or event; the first of these that applies',
    logical_time DateTime64(3, 'UTC') COMMENT 'When',
    definition_version UInt32 COMMENT 'Version of the definition in force'
)
AS SELECT account_id, segment_id, customer_id, change, cause, logical_time, definition_version
FROM landing_segments FINAL
COMMENT 'Every entry and exit, each once.';

CREATE VIEW IF NOT EXISTS segment_members_as_of
AS SELECT
    account_id, segment_id, customer_id,
    max(change.logical_time) AS entered_at,
    argMax(change.definition_version, change.logical_time) AS definition_version
FROM landing_segments AS change
WHERE change.logical_time <= parseDateTime64BestEffort({t:String}, 3, 'UTC')
GROUP BY account_id, segment_id, customer_id
HAVING argMax(change.deleted, change.logical_time) = 0
COMMENT 'segment_members_as_of(t = \'2026-11-23T04:31:00.123Z\'): the view segment_members (account_id, segment_id, customer_id, entered_at, definition_version) as it was at logical time t. For a consistent cut, t is at most the least complete_through in frontier.';
