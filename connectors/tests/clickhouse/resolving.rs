//! The views that give each event its person.

use crate::services::{Place, Services};

const SECOND: &str = "toDateTime64('2026-11-20 00:00:00.000', 3, 'UTC') + toIntervalSecond";
const SELECT: &str = "SELECT ordinal, customer_id, is_erased";

/// Customer 2 joins 1 at second 3, the backfill j is undone and 3 is erased at 4; 9 is not loaded yet.
pub async fn events_have_their_person(services: &Services) -> anyhow::Result<()> {
    let place = Place::without_topics(services, "resolving");
    place.migrate().await?;
    for (customer, old, new, at) in [
        ("1", "", "1", 1),
        ("2", "", "2", 1),
        ("3", "", "3", 1),
        ("2", "2", "1", 3),
        ("3", "3", "", 4),
    ] {
        let row = format!(
            "'a', '{customer}', '{old}', '{new}', 'event', {SECOND}({at}), 0, '{new}' = ''"
        );
        place.execute(&format!("INSERT INTO landing_identities SELECT {row}")).await?;
    }
    let events = [
        (1, "1", 1, "", "broadcast.sent", 0),
        (2, "2", 1, "", "broadcast.sent", 0),
        (3, "3", 1, "", "broadcast.sent", 0),
        (3, "3", 1, "", "broadcast.sent", 1),
        (4, "", 1, "", "broadcast.sent", 0),
        (5, "2", 2, "j", "broadcast.sent", 0),
        (5, "2", 2, "j", "broadcast.sent", 0),
        (6, "9", 5, "", "broadcast.sent", 0),
        (7, "1", 2, "j", "customer.erased", 0),
    ];
    for (ordinal, customer, at, job, name, later_ms) in events {
        let source = if name.starts_with("customer.") { "cdp" } else { "broadcast" };
        let columns = "account_id, source_module, event_name, qontak_customer_id, occurred_at, \
             received_at, logical_time, ordinal, backfill_job, properties";
        let row = format!(
            "'a', '{source}', '{name}', '{customer}', {SECOND}({at}), {SECOND}({at}), \
             {SECOND}({at}) + toIntervalMillisecond({later_ms}), {ordinal}, '{job}', '{{}}'"
        );
        place.execute(&format!("INSERT INTO landing_events ({columns}) SELECT {row}")).await?;
    }
    let undone = format!("'broadcast', 'j', {SECOND}(4), {SECOND}(4)");
    let columns = "source_module, job, undone_at, logical_time";
    place.execute(&format!("INSERT INTO landing_backfills ({columns}) SELECT {undone}")).await?;

    let row = |ordinal: u8, person: &str| format!("[{ordinal},\"{person}\",{}]", ordinal == 3);
    let rows = |people: &[(u8, &str)]| people.iter().map(|(n, person)| row(*n, person)).collect();
    let now = [(1, "1"), (2, "1"), (3, "3"), (4, ""), (6, "9"), (7, "1")];
    place.expect(&format!("{SELECT} FROM resolved_events"), rows(&now)).await?;
    let past = [
        (2, &[(1, "1"), (2, "2"), (3, "3"), (4, ""), (5, "2"), (7, "1")]),
        (3, &[(1, "1"), (2, "1"), (3, "3"), (4, ""), (5, "1"), (7, "1")]),
    ];
    for (at, people) in past {
        let of = format!("resolved_events_as_of(t = '2026-11-20T00:00:0{at}Z')");
        place.expect(&format!("{SELECT} FROM {of}"), rows(people)).await?;
    }
    place.drop_database().await
}
