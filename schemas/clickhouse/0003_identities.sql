-- One key changes at most once at one logical time, so that (key, logical_time) tells a change:
-- a batch that is loaded again replaces itself, for ever.
CREATE TABLE IF NOT EXISTS landing_identities
(
    account_id String COMMENT 'The tenant',
    qontak_customer_id String COMMENT 'The member',
    old_customer_id String COMMENT 'Canonical id before; empty if the customer was not known',
    customer_id String COMMENT 'Canonical id now; empty if the customer is not known any more',
    cause LowCardinality(String) COMMENT 'Why',
    logical_time DateTime64(3, 'UTC') COMMENT 'When',
    seq UInt32 COMMENT 'Number within (feed partition, logical time)',
    deleted UInt8 COMMENT '1 if the customer is not known any more'
)
ENGINE = ReplacingMergeTree
ORDER BY (account_id, qontak_customer_id, logical_time)
COMMENT 'Changes of identity as they landed. Read the views identities and identities_as_of.';

-- Small granules where one customer is looked up: with six unmerged parts 7 ms instead of 14 ms.
CREATE TABLE IF NOT EXISTS state_identities
(
    account_id String COMMENT 'The tenant',
    qontak_customer_id String COMMENT 'The member',
    customer_id String COMMENT 'Canonical id',
    version DateTime64(3, 'UTC') COMMENT 'The logical time of the change that made it so',
    deleted UInt8 COMMENT '1 if the customer is not known any more'
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY (account_id, qontak_customer_id)
SETTINGS index_granularity = 512
COMMENT 'The person of each customer, newest version. Read the view identities.';

CREATE MATERIALIZED VIEW IF NOT EXISTS landing_identities_to_state TO state_identities
AS SELECT account_id, qontak_customer_id, customer_id, logical_time AS version, deleted
FROM landing_identities
COMMENT 'Feeds state_identities.';

-- The same by person. A customer that moves leaves the old person and joins the new one at one
-- logical time, so that each (person, member) has versions of its own.
CREATE TABLE IF NOT EXISTS state_members
(
    account_id String COMMENT 'The tenant',
    customer_id String COMMENT 'Canonical id',
    qontak_customer_id String COMMENT 'The member',
    version DateTime64(3, 'UTC') COMMENT 'The logical time of the change that made it so',
    deleted UInt8 COMMENT '1 if the member has left'
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY (account_id, customer_id, qontak_customer_id)
SETTINGS index_granularity = 512
COMMENT 'The members of each person, newest version: identities in the order that a lookup by person needs.';

CREATE MATERIALIZED VIEW IF NOT EXISTS landing_identities_to_members TO state_members
AS SELECT account_id, side.1 AS customer_id, qontak_customer_id, logical_time AS version, side.2 AS deleted
FROM landing_identities AS change
ARRAY JOIN [(change.old_customer_id, 1), (change.customer_id, 0)] AS side
WHERE side.1 != ''
COMMENT 'Feeds state_members.';

CREATE VIEW IF NOT EXISTS identities
(
    account_id String COMMENT 'The tenant',
    qontak_customer_id String COMMENT 'A known customer',
    customer_id String COMMENT 'The person that it belongs to: the smallest qontak_customer_id of all members, shorter first'
)
AS SELECT account_id, qontak_customer_id, customer_id FROM state_identities FINAL
COMMENT 'Which person each known customer belongs to, as of the newest that is loaded.';

CREATE VIEW IF NOT EXISTS identities_as_of
AS SELECT account_id, qontak_customer_id, argMax(change.customer_id, change.logical_time) AS customer_id
FROM landing_identities AS change
WHERE change.logical_time <= parseDateTime64BestEffort({t:String}, 3, 'UTC')
GROUP BY account_id, qontak_customer_id
HAVING argMax(change.deleted, change.logical_time) = 0
COMMENT 'identities_as_of(t = \'2026-11-23T04:31:00.123Z\'): the view identities (account_id, qontak_customer_id, customer_id) as it was at logical time t. For a consistent cut, t is at most the least complete_through in frontier.';
