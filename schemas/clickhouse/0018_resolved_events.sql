-- Only customers that are not their own person are joined: a small table beside that of all customers, and
-- probing it takes a fraction of the time. So a customer whom identities does not have stands for itself.
-- No dictionary: it would lag behind a merge. An event without a customer id stays without one: which
-- person its identifiers find is known to the engine, and no feed says it.
CREATE VIEW IF NOT EXISTS resolved_events
(
    account_id String COMMENT 'The tenant',
    customer_id String COMMENT 'The person that the customer belongs to now, as in identities. The customer itself where identities does not have it: it was erased, or the event is newer than what is loaded of identities. Empty if the event names no customer, even if its identifiers lead to one',
    qontak_customer_id String COMMENT 'The customer as named; empty if the event names none',
    event_name LowCardinality(String) COMMENT 'The event type',
    source_module LowCardinality(String) COMMENT 'The publisher',
    team_id LowCardinality(String) COMMENT 'The team that published it; empty if none',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When it happened, by its publisher',
    received_at DateTime64(3, 'UTC') COMMENT 'Its arrival: the logical time that took it in',
    properties JSON(max_dynamic_paths = 256) COMMENT 'The properties, as properties.name; sanitised for this column type, payload is the truth',
    payload String COMMENT 'The whole envelope as JSON, personal data masked; empty if erased',
    schema_version UInt32 COMMENT 'The version of its schema',
    idempotency_key String COMMENT 'The key that makes it count once',
    identifier_tokens Array(String) COMMENT 'Tokens of all its valid identifiers: equal ones are the same phone, email or other identifier of one account',
    backfill_job LowCardinality(String) COMMENT 'The backfill that it came with; empty if it came live',
    ordinal UInt64 COMMENT 'Its place in the order of arrival; unique',
    is_erased Bool COMMENT 'Whether an erasure has emptied it: it counts in no segment and no rate'
)
AS SELECT
    event.account_id AS account_id,
    if(moved.customer_id != '', moved.customer_id, event.qontak_customer_id) AS customer_id,
    event.qontak_customer_id AS qontak_customer_id, event.event_name AS event_name,
    event.source_module AS source_module, event.team_id AS team_id, event.occurred_at AS occurred_at,
    event.received_at AS received_at, event.properties AS properties, event.payload AS payload,
    event.schema_version AS schema_version, event.idempotency_key AS idempotency_key,
    event.identifier_tokens AS identifier_tokens, event.backfill_job AS backfill_job,
    event.ordinal AS ordinal, event.is_erased AS is_erased
FROM
(
    SELECT *, (logical_time > received_at)::Bool AS is_erased
    FROM landing_events FINAL
    WHERE backfill_job NOT IN (SELECT job FROM state_backfills FINAL WHERE undone_at IS NOT NULL)
        OR (source_module = 'cdp' AND event_name = 'customer.erased')
) AS event
LEFT JOIN
(
    SELECT account_id, qontak_customer_id, customer_id
    FROM state_identities FINAL
    WHERE customer_id != qontak_customer_id
) AS moved
ON event.account_id = moved.account_id AND event.qontak_customer_id = moved.qontak_customer_id
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'The view events, each with its person: as of the newest that is loaded. Name the account_id, and the event_name if there is one. To count by person or segment, count by qontak_customer_id first and join then: docs/guides/sql.md.';

CREATE VIEW IF NOT EXISTS resolved_events_as_of
AS SELECT
    event.account_id AS account_id,
    if(moved.customer_id != '', moved.customer_id, event.qontak_customer_id) AS customer_id,
    event.qontak_customer_id AS qontak_customer_id, event.event_name AS event_name,
    event.source_module AS source_module, event.team_id AS team_id, event.occurred_at AS occurred_at,
    event.received_at AS received_at, event.properties AS properties, event.payload AS payload,
    event.schema_version AS schema_version, event.idempotency_key AS idempotency_key,
    event.identifier_tokens AS identifier_tokens, event.backfill_job AS backfill_job,
    event.ordinal AS ordinal, event.is_erased AS is_erased
FROM
(
    SELECT *, (logical_time > received_at)::Bool AS is_erased
    FROM landing_events FINAL
    WHERE received_at <= parseDateTime64BestEffort({t:String}, 3, 'UTC')
        AND (backfill_job NOT IN (SELECT job FROM state_backfills FINAL
                WHERE undone_at <= parseDateTime64BestEffort({t:String}, 3, 'UTC'))
            OR (source_module = 'cdp' AND event_name = 'customer.erased'))
) AS event
LEFT JOIN
(
    SELECT account_id, qontak_customer_id, customer_id
    FROM identities_as_of(t = {t:String})
    WHERE customer_id != qontak_customer_id
) AS moved
ON event.account_id = moved.account_id AND event.qontak_customer_id = moved.qontak_customer_id
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'resolved_events_as_of(t = \'2026-11-23T04:31:00.123Z\'): the view resolved_events (account_id, customer_id, qontak_customer_id, event_name, source_module, team_id, occurred_at, received_at, properties, payload, schema_version, idempotency_key, identifier_tokens, backfill_job, ordinal, is_erased): events that had arrived by logical time t, with their persons at t, those of a backfill that was undone since included. What an erasure has emptied since is empty here too (is_erased), and what has left by its age does not come back. For a consistent cut, t is at most the least complete_through in frontier.';
