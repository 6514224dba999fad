CREATE TABLE IF NOT EXISTS landing_quarantine
(
    account_id String COMMENT 'The tenant',
    reason LowCardinality(String) COMMENT 'holders or members',
    identifier_token String COMMENT 'The identifier that too many hold; empty for a person of too many members',
    cluster String COMMENT 'Tells persons of too many members from each other; empty for an identifier',
    qontak_customer_id String COMMENT 'One holder, or one member',
    cause LowCardinality(String) COMMENT 'Why',
    logical_time DateTime64(3, 'UTC') COMMENT 'When',
    seq UInt32 COMMENT 'Number within (feed partition, logical time)',
    deleted UInt8 COMMENT '1 when that ended'
)
ENGINE = ReplacingMergeTree
ORDER BY (account_id, reason, identifier_token, cluster, qontak_customer_id, logical_time)
COMMENT 'Changes of the quarantine as they landed, one row a holder or member. Read the views identity_quarantine and identity_quarantine_as_of.';

CREATE TABLE IF NOT EXISTS state_quarantine
(
    account_id String COMMENT 'The tenant',
    reason LowCardinality(String) COMMENT 'holders or members',
    identifier_token String COMMENT 'The identifier that too many hold; empty for a person of too many members',
    cluster String COMMENT 'Tells persons of too many members from each other; empty for an identifier',
    qontak_customer_id String COMMENT 'One holder, or one member',
    version DateTime64(3, 'UTC') COMMENT 'The logical time of the change that made it so',
    deleted UInt8 COMMENT '1 when that ended'
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY (account_id, reason, identifier_token, cluster, qontak_customer_id)
COMMENT 'Who is kept from being linked, newest version. Read the view identity_quarantine.';

CREATE MATERIALIZED VIEW IF NOT EXISTS landing_quarantine_to_state TO state_quarantine
AS SELECT
    account_id, reason, identifier_token, cluster, qontak_customer_id, logical_time AS version, deleted
FROM landing_quarantine
COMMENT 'Feeds state_quarantine.';

CREATE VIEW IF NOT EXISTS identity_quarantine
(
    account_id String COMMENT 'The tenant',
    reason LowCardinality(String) COMMENT 'holders: more customers hold the identifier than max_customers_per_identifier, and it links nobody. members: the person would have more members than max_customers_per_person, and only explicit merges hold it together',
    identifier_token String COMMENT 'Token of the identifier, as in identifier_tokens of events; empty for members',
    customer_ids Array(String) COMMENT 'All holders or members, shorter first'
)
AS SELECT
    account_id, reason, identifier_token,
    arraySort(id -> (length(id), id), groupArray(qontak_customer_id)) AS customer_ids
FROM state_quarantine FINAL
GROUP BY account_id, reason, identifier_token, cluster
COMMENT 'Identifiers and persons that the protection against false merges keeps from linking, as of the newest that is loaded.';

CREATE VIEW IF NOT EXISTS identity_quarantine_as_of
AS SELECT
    account_id, reason, identifier_token,
    arraySort(id -> (length(id), id), groupArray(qontak_customer_id)) AS customer_ids
FROM
(
    SELECT account_id, reason, identifier_token, cluster, qontak_customer_id
    FROM landing_quarantine AS change
    WHERE change.logical_time <= parseDateTime64BestEffort({t:String}, 3, 'UTC')
    GROUP BY account_id, reason, identifier_token, cluster, qontak_customer_id
    HAVING argMax(change.deleted, change.logical_time) = 0
)
GROUP BY account_id, reason, identifier_token, cluster
COMMENT 'identity_quarantine_as_of(t = \'2026-11-23T04:31:00.123Z\'): the view identity_quarantine (account_id, reason, identifier_token, customer_ids) as it was at logical time t. For a consistent cut, t is at most the least complete_through in frontier.';

CREATE VIEW IF NOT EXISTS quarantine_as_of
AS SELECT account_id, reason, identifier_token, customer_ids
FROM identity_quarantine_as_of(t = {t:String})
COMMENT 'quarantine_as_of(t = \'2026-11-23T04:31:00.123Z\'): another name of identity_quarantine_as_of (account_id, reason, identifier_token, customer_ids).';
