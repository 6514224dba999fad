//! Cases of loading.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use cebe_connectors::loader::{self, Loader, LoaderConfig};
use cebe_dev::proxy::{Mode, Proxy};
use cebe_schemas::time::{Millis, format_rfc3339};
use cebe_schemas::view::View;
use serde_json::json;
use tokio::sync::watch;

use crate::engine::{Engine, Publisher, Tick, Truth};
use crate::services::{Place, Services};

const PATIENCE: Duration = Duration::from_secs(60);

/// A loader that is stopped when dropped.
pub struct Running {
    loader: Option<Loader>,
    shutdown: watch::Sender<bool>,
}

impl Running {
    pub fn start(config: LoaderConfig) -> anyhow::Result<Self> {
        let (shutdown, stop) = watch::channel(false);
        Ok(Running { loader: Some(loader::run(config, stop)?), shutdown })
    }

    pub async fn until(&mut self, t_ms: Millis) -> anyhow::Result<()> {
        let mut status = self.loader.as_ref().context("stopped")?.status();
        let reached = status.wait_for(|status| status.complete_through_ms >= Some(t_ms));
        let reached = tokio::time::timeout(PATIENCE, reached).await.map(|reached| reached.is_ok());
        match reached {
            Ok(true) => Ok(()),
            Ok(false) => bail!("{:?}", self.loader.take().map(Loader::join)),
            Err(_) => bail!("not loaded in time: {:?}", *status.borrow()),
        }
    }

    /// Stops without waiting for what is under way.
    fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.send_replace(true);
        Ok(self.loader.take().context("stopped")?.join()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.send_replace(true);
    }
}

/// Every view says what it should, while parts are not merged.
async fn check(place: &Place<'_>, truth: &Truth, through_ms: Millis) -> anyhow::Result<()> {
    place
        .expect(
            "SELECT account_id, ordinal, properties.amount::UInt32 FROM events",
            truth.events.clone(),
        )
        .await?;
    check_state(place, truth, "").await?;
    place
        .expect(
            "SELECT account_id, segment_id, customer_id, change, cause, logical_time, \
             definition_version FROM segment_changes",
            truth.segment_changes.clone(),
        )
        .await?;
    place
        .expect(
            "SELECT account_id, group_key, old_numerator, old_denominator, new_numerator, \
             new_denominator, cause, logical_time FROM metric_changes",
            truth.metric_changes.clone(),
        )
        .await?;
    place
        .expect(
            "SELECT topic, partition, offset, reason FROM rejected_events",
            truth.rejected.clone(),
        )
        .await?;
    let ledger = truth.ledger.iter().map(|((topic, partition), [read, a, d, r, s])| {
        json!([topic, partition, read, a, d, r, s, 0]).to_string()
    });
    place.expect("SELECT * FROM ingest_ledger", ledger.collect()).await?;
    let skipped = truth.skipped.iter().map(|((topic, partition, offset), at)| {
        json!([topic, partition, offset, offset + 1, format_rfc3339(*at)]).to_string()
    });
    place.expect("SELECT * FROM skipped_ranges", skipped.collect()).await?;
    let hours = truth.hours.iter().map(|((source, hour), (emitted, read))| {
        let difference = emitted.map(|emitted| emitted as i64 - *read as i64);
        let status = match difference {
            None => "unknown",
            Some(0) => "equal",
            Some(_) => "different",
        };
        json!([source, format_rfc3339(*hour), emitted, read, difference, status]).to_string()
    });
    place.expect("SELECT * FROM reconciliation", hours.collect()).await?;
    for kind in ["segment", "metric"] {
        let sql =
            format!("SELECT account_id, id, version, valid_from, valid_to FROM {kind}_definitions");
        place.expect(&sql, truth.people.definitions(kind)).await?;
    }
    let through = format_rfc3339(through_ms);
    let frontier = View::ALL.iter().map(|view| json!([view.name(), through]).to_string());
    place.expect("SELECT view, complete_through FROM frontier", frontier.collect()).await?;
    for view in ["segment_members", "customers"] {
        let sql = format!("SELECT DISTINCT complete_through, is_stale FROM {view}");
        place.expect(&sql, vec![json!([through, true]).to_string()]).await?;
    }
    Ok(())
}

/// The views of state; `suffix` is `_as_of(…)` or nothing.
async fn check_state(place: &Place<'_>, truth: &Truth, suffix: &str) -> anyhow::Result<()> {
    let identities = truth.identities.iter().map(|((a, m), c)| json!([a, m, c]).to_string());
    let columns = "account_id, qontak_customer_id, customer_id";
    place
        .expect(&format!("SELECT {columns} FROM identities{suffix}"), identities.clone().collect())
        .await?;
    if suffix.is_empty() {
        let sql = format!("SELECT {columns} FROM state_members FINAL");
        place.expect(&sql, identities.collect()).await?;
    }
    let columns = "account_id, segment_id, customer_id, entered_at, definition_version";
    let members = truth.members.iter().map(|((a, s, c), (entered, version))| {
        json!([a, s, c, format_rfc3339(*entered), version]).to_string()
    });
    place
        .expect(
            &format!("SELECT {columns} FROM segment_members{suffix}"),
            members.clone().collect(),
        )
        .await?;
    if suffix.is_empty() {
        let columns = columns.replace("entered_at", "version");
        let sql = format!("SELECT {columns} FROM state_customer_segments FINAL");
        place.expect(&sql, members.collect()).await?;
    }
    let columns =
        "account_id, customer_id, member_ids, attributes, team_ids, first_seen, last_seen";
    let sql = format!("SELECT {columns} FROM customers{suffix}");
    place.expect(&sql, truth.people.customers()).await?;
    let mut quarantines = vec!["identity_quarantine"];
    if !suffix.is_empty() {
        quarantines.push("quarantine");
    }
    for view in quarantines {
        let sql = format!(
            "SELECT account_id, reason, identifier_token, customer_ids FROM {view}{suffix}"
        );
        place.expect(&sql, truth.people.quarantine()).await?;
    }
    let metrics = truth.metrics.iter().map(|((a, g), (n, d))| json!([a, g, n, d]).to_string());
    let columns = "account_id, group_key, numerator, denominator";
    let sql = format!(
        "SELECT {columns} FROM metric_values{suffix} WHERE abs(rate - numerator / denominator) < 1e-9"
    );
    place.expect(&sql, metrics.collect()).await
}

fn publish(
    publisher: &Publisher,
    engine: &mut Engine,
    ticks: usize,
    events: usize,
) -> anyhow::Result<()> {
    for _ in 0..ticks {
        publisher.publish(&engine.tick(events))?;
    }
    Ok(())
}

pub async fn views_equal_the_truth(services: &Services) -> anyhow::Result<()> {
    let place = Place::new(services, "views")?;
    let (mut engine, publisher) = (Engine::new(1), Publisher::new(&services.kafka, &place.prefix)?);
    let mut running = Running::start(place.loader(&services.url))?;
    for _ in 0..5 {
        publish(&publisher, &mut engine, 10, 40)?;
        running.until(engine.t_ms).await?;
        check(&place, &engine.truth, engine.t_ms).await?;
    }
    place.drop_database().await
}

pub async fn past_is_one_consistent_cut(services: &Services) -> anyhow::Result<()> {
    let place = Place::new(services, "past")?;
    let (mut engine, publisher) = (Engine::new(2), Publisher::new(&services.kafka, &place.prefix)?);
    let mut running = Running::start(place.loader(&services.url))?;
    let mut past = Vec::new();
    for _ in 0..12 {
        publish(&publisher, &mut engine, 3, 30)?;
        past.push((engine.t_ms, engine.truth.clone()));
    }
    running.until(engine.t_ms).await?;
    for (t_ms, truth) in past {
        check_state(&place, &truth, &format!("_as_of(t = '{}')", format_rfc3339(t_ms))).await?;
    }
    place.drop_database().await
}

pub async fn lost_rows_show_in_the_ledger(services: &Services) -> anyhow::Result<()> {
    let place = Place::new(services, "ledger")?;
    let (mut engine, publisher) = (Engine::new(3), Publisher::new(&services.kafka, &place.prefix)?);
    let mut running = Running::start(place.loader(&services.url))?;
    publish(&publisher, &mut engine, 5, 100)?;
    running.until(engine.t_ms).await?;
    let differences = "SELECT sum(difference) FROM ingest_ledger";
    place.expect(differences, vec!["[0]".into()]).await?;
    place.execute("DELETE FROM landing_events WHERE ordinal % 10 = 0").await?;
    let lost = engine.truth.events.iter().filter(|row| {
        let row: (String, u64, u32) = serde_json::from_str(row).unwrap();
        row.1.is_multiple_of(10)
    });
    place.expect(differences, vec![format!("[{}]", lost.count())]).await?;
    place.drop_database().await
}

pub async fn repeated_batches_change_nothing(services: &Services) -> anyhow::Result<()> {
    let place = Place::new(services, "repeated")?;
    let (mut engine, publisher) = (Engine::new(4), Publisher::new(&services.kafka, &place.prefix)?);
    publish(&publisher, &mut engine, 30, 30)?;
    place.migrate().await?;
    for view in View::ALL {
        place.execute(&format!("SYSTEM STOP MERGES {}", view.landing_table())).await?;
    }
    for round in 0..4 {
        // A crash before the frontier was written: everything is loaded again, in batches cut otherwise.
        let config =
            LoaderConfig { batch_rows_max: 100 + 400 * round, ..place.loader(&services.url) };
        let mut running = Running::start(config)?;
        running.until(engine.t_ms).await?;
        running.stop()?;
        check(&place, &engine.truth, engine.t_ms).await?;
        let copies = "SELECT count() >= ".to_owned()
            + &format!(
                "{} FROM landing_segments",
                engine.truth.segment_changes.len() * (round + 1)
            );
        place.expect(&copies, vec!["[1]".into()]).await?;
        if round < 3 {
            place.execute("TRUNCATE TABLE state_frontier").await?;
        }
    }
    place.drop_database().await
}

pub async fn torn_transactions_are_mended(services: &Services) -> anyhow::Result<()> {
    let place = Place::new(services, "torn")?;
    let (mut engine, publisher) = (Engine::new(5), Publisher::new(&services.kafka, &place.prefix)?);
    let mut running = Running::start(place.loader(&services.url))?;
    for round in 0..12 {
        let tick = engine.tick(20);
        match round % 4 {
            // Some of the rows only, then all of it.
            0 => publisher.transaction(|| publisher.rows(&part(&tick, |index| index % 3 == 1)))?,
            1 => publisher.transaction(|| publisher.rows(&part(&tick, |index| index % 2 == 0)))?,
            // All of it twice.
            2 => publisher.publish(&tick)?,
            _ => {}
        }
        publisher.publish(&tick)?;
        if round % 5 == 4 {
            running.until(engine.t_ms).await?;
        }
    }
    running.until(engine.t_ms).await?;
    check(&place, &engine.truth, engine.t_ms).await?;
    place.drop_database().await
}

fn part(tick: &Tick, keep: impl Fn(usize) -> bool) -> Tick {
    let mut part = tick.clone();
    for rows in part.rows.values_mut() {
        let kept = rows.iter().enumerate().filter(|(index, _)| keep(*index));
        *rows = kept.map(|(_, row)| row.clone()).collect();
    }
    part
}

pub async fn server_that_misbehaves_loses_nothing(services: &Services) -> anyhow::Result<()> {
    let place = Place::new(services, "faults")?;
    let (mut engine, publisher) = (Engine::new(6), Publisher::new(&services.kafka, &place.prefix)?);
    let proxy = Proxy::start(services.url.trim_start_matches("http://").parse()?)?;
    proxy.set(Mode::Refuse);
    let config = LoaderConfig {
        insert_interval: Duration::from_millis(20),
        insert_timeout: Duration::from_secs(2),
        ..place.loader(&format!("http://{}", proxy.address()))
    };
    let mut running = Running::start(config)?;
    let faults = [Mode::Refuse, Mode::LoseAnswers, Mode::CutRequests, Mode::CutAnswers, Mode::Slow];
    for fault in faults.into_iter().cycle().take(15) {
        proxy.set(fault);
        let before = proxy.harmed();
        publish(&publisher, &mut engine, 3, 30)?;
        let start = Instant::now();
        while proxy.harmed() == before {
            ensure!(start.elapsed() < PATIENCE, "{fault:?} harmed nobody");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        proxy.set(Mode::Pass);
        if fault == Mode::LoseAnswers {
            running.until(engine.t_ms).await?;
            check(&place, &engine.truth, engine.t_ms).await?;
        }
    }
    running.until(engine.t_ms).await?;
    check(&place, &engine.truth, engine.t_ms).await?;
    ensure!(proxy.harmed() >= 15);
    place.drop_database().await
}

pub async fn refused_properties_do_not_stop_the_rest(services: &Services) -> anyhow::Result<()> {
    let place = Place::new(services, "refused")?;
    let (mut engine, publisher) = (Engine::new(7), Publisher::new(&services.kafka, &place.prefix)?);
    let mut tick = engine.tick(0);
    for _ in 0..3 {
        tick = engine.tick(200);
    }
    let (lane, rows) = tick.rows.iter_mut().next().context("no rows")?;
    ensure!(lane.0 == View::Events && rows.len() > 10);
    let entry = tick.progress.entries.iter_mut().find(|e| (e.view, e.partition) == *lane);
    let mut stripped = Vec::new();
    for row in rows.iter_mut().step_by(7) {
        // More than 64 bits: the JSON type of ClickHouse does not take it.
        let start = row.find("\"amount\":").context("amount")?;
        row.insert_str(start + "\"amount\":".len(), "1234567890123456789012345");
        let value: serde_json::Value = serde_json::from_str(row)?;
        stripped.push(json!([value["ordinal"]]).to_string());
    }
    // Rows of earlier ticks were not published: this tick is all there is.
    entry.context("entry")?.hash = blake3::hash(rows.concat().as_bytes()).to_hex()[..32].to_owned();
    publisher.publish(&tick)?;
    let mut running = Running::start(place.loader(&services.url))?;
    running.until(engine.t_ms).await?;
    place.expect("SELECT ordinal FROM events WHERE properties.amount IS NULL", stripped).await?;
    let all: usize = tick
        .rows
        .iter()
        .filter(|((view, _), _)| *view == View::Events)
        .map(|(_, rows)| rows.len())
        .sum();
    place
        .expect(
            "SELECT count(), countIf(payload LIKE '%amount%') FROM events",
            vec![format!("[{all},{all}]")],
        )
        .await?;
    place.drop_database().await
}

/// A column of text takes the object as it stands on the feed, also what no JSON column takes.
pub async fn attributes_are_kept_to_the_letter(services: &Services) -> anyhow::Result<()> {
    let place = Place::new(services, "letter")?;
    let (mut engine, publisher) =
        (Engine::new(13), Publisher::new(&services.kafka, &place.prefix)?);
    let mut running = Running::start(place.loader(&services.url))?;
    for attributes in [
        "{}",
        r#"{"n":123456789012345678901234567890,"f":1e999,"z":-0.0}"#,
        r#"{"a":{"b":[1,{"c":null}]},"a.b":"x","2026-01-01T00:00:00Z":true}"#,
        r#"{"é":"日本 \u00e9 \" \\ \ud83d\ude00"}"#,
    ] {
        let mut tick = engine.tick_of_person();
        tick.edit(View::Customers, |row| {
            row.replacen("\"attributes\":{}", &format!("\"attributes\":{attributes}"), 1)
        });
        publisher.publish(&tick)?;
        running.until(engine.t_ms).await?;
        let sql = "SELECT attributes, first_seen FROM customers";
        place.expect(sql, vec![json!([attributes, null]).to_string()]).await?;
    }
    place.drop_database().await
}

/// Queues of partitions are full while others are read.
pub async fn full_queues_do_not_deadlock(services: &Services) -> anyhow::Result<()> {
    let place = Place::new(services, "buffers")?;
    let (mut engine, publisher) = (Engine::new(8), Publisher::new(&services.kafka, &place.prefix)?);
    publish(&publisher, &mut engine, 50, 80)?;
    let small = [("queued.max.messages.kbytes", "1"), ("fetch.message.max.bytes", "5000")];
    let config = LoaderConfig {
        kafka_settings: small.map(|(name, value)| (name.into(), value.into())).to_vec(),
        batch_rows_max: 500,
        insert_interval: Duration::from_millis(1),
        ..place.loader(&services.url)
    };
    let mut running = Running::start(config)?;
    running.until(engine.t_ms).await?;
    check(&place, &engine.truth, engine.t_ms).await?;
    place.drop_database().await
}

pub async fn quiet_tick_is_readable_at_once(services: &Services) -> anyhow::Result<()> {
    let place = Place::new(services, "quiet")?;
    let (mut engine, publisher) = (Engine::new(9), Publisher::new(&services.kafka, &place.prefix)?);
    publish(&publisher, &mut engine, 1, 10)?;
    let mut running = Running::start(place.loader(&services.url))?;
    running.until(engine.t_ms).await?;
    let mut latencies_ms = Vec::new();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let started = Instant::now();
        let published_ms =
            (std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?).as_millis();
        publisher.publish(&engine.live(published_ms as Millis))?;
        let committed = started.elapsed();
        running.until(engine.t_ms).await?;
        latencies_ms.push((started.elapsed() - committed).as_millis());
    }
    latencies_ms.sort_unstable();
    println!(
        "quiet tick: commit to frontier p50 {} ms, max {} ms",
        latencies_ms[10], latencies_ms[19]
    );
    let count = "SELECT sum(events) FROM propagation WHERE minute > now() - INTERVAL 10 MINUTE";
    place.expect(count, vec!["[20]".into()]).await?;
    for row in place.rows("SELECT source_module, events, p50_ms, p99_ms, max_ms FROM propagation WHERE minute > now() - INTERVAL 10 MINUTE").await? {
        println!("propagation {row}");
    }
    if latencies_ms[10] > 1_000 {
        bail!("half of the ticks took more than {} ms", latencies_ms[10]);
    }
    place.drop_database().await
}

pub async fn emptied_database_is_filled_again(services: &Services) -> anyhow::Result<()> {
    let place = Place::new(services, "emptied")?;
    let (mut engine, publisher) =
        (Engine::new(10), Publisher::new(&services.kafka, &place.prefix)?);
    publish(&publisher, &mut engine, 10, 20)?;
    for _ in 0..2 {
        let mut running = Running::start(place.loader(&services.url))?;
        running.until(engine.t_ms).await?;
        running.stop()?;
        // On from where it was.
        publish(&publisher, &mut engine, 10, 20)?;
        let mut running = Running::start(place.loader(&services.url))?;
        running.until(engine.t_ms).await?;
        check(&place, &engine.truth, engine.t_ms).await?;
        running.stop()?;
        place.drop_database().await?;
    }
    Ok(())
}

/// What waited while ClickHouse was away is loaded in large batches.
pub async fn backlog_is_loaded_fast(services: &Services) -> anyhow::Result<()> {
    let place = Place::new(services, "backlog")?;
    let (mut engine, publisher) =
        (Engine::new(12), Publisher::new(&services.kafka, &place.prefix)?);
    publish(&publisher, &mut engine, 40, 2_500)?;
    place.migrate().await?;
    let mut running = Running::start(place.loader(&services.url))?;
    let started = Instant::now();
    running.until(engine.t_ms).await?;
    let seconds = started.elapsed().as_secs_f64();
    let truth = &engine.truth;
    let rows = truth.events.len() + truth.segment_changes.len() + truth.metric_changes.len();
    println!("backlog: {rows} rows in {seconds:.2} s, {:.0} a second", rows as f64 / seconds);
    check(&place, truth, engine.t_ms).await?;
    place.drop_database().await
}
