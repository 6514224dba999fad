-- What a person is and when it was seen come on two feeds: every event moves last_seen, and few
-- change the rest. One key changes at most once at one logical time.
CREATE TABLE IF NOT EXISTS landing_customers
(
    account_id String COMMENT 'The tenant',
    customer_id String COMMENT 'Canonical id of the person',
    member_ids Array(String) COMMENT 'All customer ids of the person, shorter first',
    attributes String COMMENT 'Attributes as a JSON object, to the letter as it came on the feed' CODEC(ZSTD(3)),
    team_ids Array(String) COMMENT 'The teams of its accepted events, sorted',
    old_member_ids Array(String) COMMENT 'Members before; empty if there was no such person',
    old_attributes String COMMENT 'Attributes before, as a JSON object' CODEC(ZSTD(3)),
    old_team_ids Array(String) COMMENT 'Teams before',
    cause LowCardinality(String) COMMENT 'Why',
    logical_time DateTime64(3, 'UTC') COMMENT 'When',
    seq UInt32 COMMENT 'Number within (feed partition, logical time)',
    deleted UInt8 COMMENT '1 if there is no such person any more'
)
ENGINE = ReplacingMergeTree
ORDER BY (account_id, customer_id, logical_time)
COMMENT 'Changes of profiles as they landed. Read the views customers and customers_as_of.';

CREATE TABLE IF NOT EXISTS state_customers
(
    account_id String COMMENT 'The tenant',
    customer_id String COMMENT 'Canonical id of the person',
    member_ids Array(String) COMMENT 'All customer ids of the person, shorter first',
    attributes String COMMENT 'Attributes as a JSON object' CODEC(ZSTD(3)),
    team_ids Array(String) COMMENT 'The teams of its accepted events, sorted',
    version DateTime64(3, 'UTC') COMMENT 'The logical time of the change that made it so',
    deleted UInt8 COMMENT '1 if there is no such person any more'
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY (account_id, customer_id)
SETTINGS index_granularity = 512
COMMENT 'Profiles, newest version. Read the view customers.';

CREATE MATERIALIZED VIEW IF NOT EXISTS landing_customers_to_state TO state_customers
AS SELECT account_id, customer_id, member_ids, attributes, team_ids, logical_time AS version, deleted
FROM landing_customers
COMMENT 'Feeds state_customers.';

CREATE TABLE IF NOT EXISTS landing_seen
(
    account_id String COMMENT 'The tenant',
    customer_id String COMMENT 'Canonical id of the person',
    first_seen Nullable(DateTime64(3, 'UTC')) COMMENT 'When the earliest of its events happened; null if it has none any more',
    last_seen Nullable(DateTime64(3, 'UTC')) COMMENT 'When the latest of its events happened; null if it has none any more',
    old_first_seen Nullable(DateTime64(3, 'UTC')) COMMENT 'The earliest before; null if it had none',
    old_last_seen Nullable(DateTime64(3, 'UTC')) COMMENT 'The latest before; null if it had none',
    cause LowCardinality(String) COMMENT 'Why',
    logical_time DateTime64(3, 'UTC') COMMENT 'When',
    seq UInt32 COMMENT 'Number within (feed partition, logical time)',
    deleted UInt8 COMMENT '1 if it has no event any more'
)
ENGINE = ReplacingMergeTree
ORDER BY (account_id, customer_id, logical_time)
COMMENT 'Changes of the first and last event of each person as they landed. Read the views customers and customers_as_of.';

CREATE TABLE IF NOT EXISTS state_seen
(
    account_id String COMMENT 'The tenant',
    customer_id String COMMENT 'Canonical id of the person',
    first_seen Nullable(DateTime64(3, 'UTC')) COMMENT 'When the earliest of its events happened',
    last_seen Nullable(DateTime64(3, 'UTC')) COMMENT 'When the latest of its events happened',
    version DateTime64(3, 'UTC') COMMENT 'The logical time of the change that made it so',
    deleted UInt8 COMMENT '1 if it has no event any more'
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY (account_id, customer_id)
SETTINGS index_granularity = 512
COMMENT 'First and last event of each person, newest version. Read the view customers.';

CREATE MATERIALIZED VIEW IF NOT EXISTS landing_seen_to_state TO state_seen
AS SELECT account_id, customer_id, first_seen, last_seen, logical_time AS version, deleted
FROM landing_seen
COMMENT 'Feeds state_seen.';

CREATE VIEW IF NOT EXISTS customers
(
    account_id String COMMENT 'The tenant',
    customer_id String COMMENT 'Canonical id of the person: the smallest of its member_ids, shorter first',
    member_ids Array(String) COMMENT 'All customer ids that are this person, shorter first',
    attributes String COMMENT 'Attributes as a JSON object: JSONExtractString(attributes, \'city\'). Personal values are masked',
    team_ids Array(String) COMMENT 'The teams of its accepted events, sorted',
    first_seen Nullable(DateTime64(3, 'UTC')) COMMENT 'When the earliest of its events happened; null if it has none',
    last_seen Nullable(DateTime64(3, 'UTC')) COMMENT 'When the latest of its events happened; null if it has none',
    complete_through DateTime64(3, 'UTC') COMMENT 'The logical time that this is true for',
    is_stale Bool COMMENT 'Whether complete_through is more than 60 seconds ago'
)
AS SELECT
    person.account_id AS account_id, person.customer_id AS customer_id,
    person.member_ids AS member_ids, person.attributes AS attributes, person.team_ids AS team_ids,
    seen.first_seen AS first_seen, seen.last_seen AS last_seen,
    ifNull(least(
        (SELECT max(state_frontier.complete_through) FROM state_frontier WHERE view = 'customers'),
        (SELECT max(state_frontier.complete_through) FROM state_frontier WHERE view = 'seen')
    ), toDateTime64(0, 3, 'UTC')) AS complete_through,
    (complete_through < now64(3, 'UTC') - INTERVAL 60 SECOND)::Bool AS is_stale
FROM (SELECT * FROM state_customers FINAL) AS person
LEFT JOIN (SELECT * FROM state_seen FINAL) AS seen
    ON person.account_id = seen.account_id AND person.customer_id = seen.customer_id
COMMENT 'Every person: its members, attributes and teams, and its first and last event, as of the newest that is loaded.';

CREATE VIEW IF NOT EXISTS customers_as_of
AS SELECT
    person.account_id AS account_id, person.customer_id AS customer_id,
    person.profile.1 AS member_ids, person.profile.2 AS attributes, person.profile.3 AS team_ids,
    seen.times.1 AS first_seen, seen.times.2 AS last_seen
FROM
(
    SELECT
        account_id, customer_id,
        argMax(tuple(change.member_ids, change.attributes, change.team_ids), change.logical_time) AS profile
    FROM landing_customers AS change
    WHERE change.logical_time <= parseDateTime64BestEffort({t:String}, 3, 'UTC')
    GROUP BY account_id, customer_id
    HAVING argMax(change.deleted, change.logical_time) = 0
) AS person
LEFT JOIN
(
    SELECT
        account_id, customer_id,
        argMax(tuple(change.first_seen, change.last_seen), change.logical_time) AS times
    FROM landing_seen AS change
    WHERE change.logical_time <= parseDateTime64BestEffort({t:String}, 3, 'UTC')
    GROUP BY account_id, customer_id
    HAVING argMax(change.deleted, change.logical_time) = 0
) AS seen
ON person.account_id = seen.account_id AND person.customer_id = seen.customer_id
COMMENT 'customers_as_of(t = \'2026-11-23T04:31:00.123Z\'): the view customers (account_id, customer_id, member_ids, attributes, team_ids, first_seen, last_seen) as it was at logical time t. For a consistent cut, t is at most the least complete_through in frontier.';
