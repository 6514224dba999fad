//! What replaces events that are erased (product §9.2).

/// Events of erased customers, and those without a customer id that name an erased identifier. Each
/// takes the logical times `from` and `through` of the erasures.
pub(crate) const STATEMENTS: [&str; 2] = [OF_CUSTOMERS, OF_IDENTIFIERS];

/// `landing_events` keeps the latest version of a row. An emptied one is a millisecond later than the
/// first: it stays, also when a loader that was frozen inserts that one again. Only columns that say
/// what an event is, where it stands, and what is left of it (`lasting_facts`), are kept.
macro_rules! emptied {
    ($from:literal) => {
        concat!(
            "INSERT INTO landing_events (account_id, team_id, source_module, event_name, \
             schema_version, idempotency_key, qontak_customer_id, occurred_at, received_at, \
             published_at, ingested_at, properties, payload, identifier_tokens, facts, \
             lasting_facts, backfill_job, topic, partition, offset, logical_time, ordinal, seq) \
             SELECT account_id, team_id, source_module, event_name, schema_version, \
             idempotency_key, qontak_customer_id, occurred_at, received_at, published_at, \
             ingested_at, '{}', '', [], '', lasting_facts, backfill_job, topic, partition, offset, \
             logical_time + toIntervalMillisecond(1), ordinal, seq ",
            $from
        )
    };
}

const OF_CUSTOMERS: &str = emptied!(
    "FROM landing_events AS event FINAL \
     INNER JOIN (SELECT account_id, qontak_customer_id, max(erased_until) AS until \
         FROM landing_erasures WHERE qontak_customer_id != '' \
         AND logical_time BETWEEN parseDateTime64BestEffort({from:String}, 3, 'UTC') \
         AND parseDateTime64BestEffort({through:String}, 3, 'UTC') \
         GROUP BY account_id, qontak_customer_id) AS erased \
     USING (account_id, qontak_customer_id) \
     WHERE payload != '' AND occurred_at <= until \
     AND (account_id, qontak_customer_id) IN (SELECT account_id, qontak_customer_id \
         FROM landing_erasures \
         WHERE logical_time BETWEEN parseDateTime64BestEffort({from:String}, 3, 'UTC') \
         AND parseDateTime64BestEffort({through:String}, 3, 'UTC'))"
);

const OF_IDENTIFIERS: &str = emptied!(
    "FROM (SELECT *, arrayJoin(identifier_tokens) AS identifier_token \
         FROM landing_events FINAL WHERE qontak_customer_id = '' AND payload != '' \
         AND account_id IN (SELECT account_id FROM landing_erasures WHERE identifier_token != '' \
             AND logical_time BETWEEN parseDateTime64BestEffort({from:String}, 3, 'UTC') \
             AND parseDateTime64BestEffort({through:String}, 3, 'UTC'))) AS event \
     INNER JOIN (SELECT account_id, identifier_token, max(erased_until) AS until \
         FROM landing_erasures WHERE identifier_token != '' AND deleted = 0 \
         AND logical_time BETWEEN parseDateTime64BestEffort({from:String}, 3, 'UTC') \
         AND parseDateTime64BestEffort({through:String}, 3, 'UTC') \
         GROUP BY account_id, identifier_token) AS erased \
     USING (account_id, identifier_token) \
     WHERE occurred_at <= until"
);
