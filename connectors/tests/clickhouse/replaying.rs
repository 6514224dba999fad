//! Which records a replay selects.

use std::time::SystemTime;

use anyhow::ensure;
use cebe_connectors::kafka::Topics;
use cebe_connectors::replay::{Offsets, Period, Rejected, Selection, rejected, skipped};

use crate::services::{Place, Services};

/// An hour ago: older rows would fall under a TTL.
fn base_ms() -> i64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    now.as_millis() as i64 - 3_600_000
}

/// The period of interest.
fn period(base_ms: i64) -> Period {
    Period { from_ms: base_ms + 10, to_ms: base_ms + 20 }
}

fn offsets(ranges: &[(&str, i32, std::ops::Range<i64>)]) -> Offsets {
    let mut offsets = Offsets::default();
    for (topic, partition, range) in ranges {
        offsets.push(topic, *partition, range.clone());
    }
    offsets
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub async fn rejected_records_are_selected(services: &Services) -> anyhow::Result<()> {
    let place = Place::without_topics(services, "rejected");
    place.migrate().await?;
    let base_ms = base_ms();
    let rows = [
        ("cebe.events.cdp", 0, 4, "a", "cdp", "too_old", 9),
        ("cebe.events.cdp", 0, 5, "a", "cdp", "too_old", 10),
        ("cebe.events.cdp", 0, 6, "a", "cdp", "unknown_event", 19),
        ("cebe.events.cdp", 1, 0, "b", "cdp", "too_old", 15),
        ("cebe.events.ads", 0, 0, "", "ads", "malformed_json", 15),
        ("cebe.events.ads", 0, 1, "", "ads", "malformed_json", 20),
        ("cebe.control", 0, 3, "", "", "malformed_json", 12),
    ];
    for (topic, partition, offset, account, source, reason, t_ms) in rows {
        // Loaded twice, as after a crash.
        for _ in 0..2 {
            let time = format!("fromUnixTimestamp64Milli({}, 'UTC')", base_ms + t_ms);
            let columns = "topic, partition, offset, account_id, source_module, reason, \
                           received_at, logical_time";
            place
                .execute(&format!(
                    "INSERT INTO landing_rejected ({columns}) SELECT '{topic}', {partition}, \
                     {offset}, '{account}', '{source}', '{reason}', {time}, {time}"
                ))
                .await?;
        }
    }
    let (client, topics) = (place.client(), Topics::default());
    let cdp = ("cebe.events.cdp", 0, 5..7);
    let found = rejected(&client, &topics, period(base_ms), &Rejected::default()).await?;
    let all = offsets(&[("cebe.events.ads", 0, 0..1), cdp.clone(), ("cebe.events.cdp", 1, 0..1)]);
    let all = Selection { offsets: all, control_records: 1, complete_through_ms: None };
    ensure!(found == all, "{found:?}");
    place
        .execute(
            "INSERT INTO state_frontier SELECT 'rejected', fromUnixTimestamp64Milli(17, 'UTC'), now64(3)",
        )
        .await?;
    for (which, expected) in [
        (Rejected { account: some("a"), ..Rejected::default() }, vec![cdp.clone()]),
        (
            Rejected { source: some("cdp"), reason: some("too_old"), ..Rejected::default() },
            vec![("cebe.events.cdp", 0, 5..6), ("cebe.events.cdp", 1, 0..1)],
        ),
        (Rejected { reason: some("' OR 1 = 1 --"), ..Rejected::default() }, vec![]),
    ] {
        let found = rejected(&client, &topics, period(base_ms), &which).await?;
        ensure!(found.offsets == offsets(&expected), "{which:?}: {found:?}");
        ensure!((found.control_records, found.complete_through_ms) == (0, Some(17)), "{found:?}");
    }
    place.drop_database().await
}

pub async fn skipped_records_are_selected(services: &Services) -> anyhow::Result<()> {
    let place = Place::without_topics(services, "skipped");
    place.migrate().await?;
    let base_ms = base_ms();
    for (topic, partition, ranges, t_ms) in [
        ("cebe.events.ads", 0, "[(0, 2)]", 9),
        ("cebe.events.ads", 0, "[(2, 5), (6, 8)]", 10),
        ("cebe.events.ads", 0, "[(8, 9)]", 19),
        ("cebe.events.ads", 0, "[(9, 12)]", 20),
        ("cebe.events.ads", 1, "[]", 15),
        ("cebe.backfill.ads", 0, "[(7, 8)]", 15),
        ("cebe.events.bads", 0, "[(1, 2)]", 15),
    ] {
        let time = format!("fromUnixTimestamp64Milli({}, 'UTC')", base_ms + t_ms);
        let insert = format!(
            "INSERT INTO landing_ledger (topic, partition, skipped_ranges, logical_time) \
             SELECT '{topic}', {partition}, {ranges}, {time}"
        );
        place.execute(&insert).await?;
        place.execute(&insert).await?;
    }
    let found = skipped(&place.client(), &Topics::default(), period(base_ms), "ads").await?;
    let expected = offsets(&[
        ("cebe.backfill.ads", 0, 7..8),
        ("cebe.events.ads", 0, 2..5),
        ("cebe.events.ads", 0, 6..9),
    ]);
    ensure!(found.offsets == expected, "{found:?}");
    place.drop_database().await
}
