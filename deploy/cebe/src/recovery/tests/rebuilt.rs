//! An engine that begins at a snapshot made from the tables publishes the same bytes as one that never
//! stopped. The tables are modelled: the last version of each row, as published, and erased events emptied.

use std::collections::BTreeMap;

use cebe_connectors::adapter::Counted;
use cebe_connectors::rebuild::RebuildError;
use cebe_connectors::rebuild::telling::{LandedEvent, Telling};
use cebe_schemas::row::{BackfillRow, LedgerRow, ReconciliationRow};
use cebe_schemas::time::parse_rfc3339;
use cebe_schemas::view::View;

use super::*;

/// What ClickHouse holds of what was published.
#[derive(Clone, Default)]
pub(super) struct Tables {
    events: BTreeMap<u64, LandedEvent>,
    /// `identifier_tokens` of these.
    tokens: BTreeMap<u64, Vec<String>>,
    ledger: BTreeMap<(String, i64), Value>,
    backfills: BTreeMap<[String; 2], Value>,
    hours: BTreeMap<(String, String), Value>,
    members: BTreeMap<[String; 3], Value>,
}

fn text(row: &Value, column: &str) -> String {
    row[column].as_str().unwrap().to_owned()
}

fn time(row: &Value, column: &str) -> Millis {
    parse_rfc3339(row[column].as_str().unwrap()).unwrap()
}

fn number_of(row: &Value, column: &str) -> u64 {
    row[column].as_u64().unwrap()
}

fn landed(row: &Value) -> LandedEvent {
    LandedEvent {
        ordinal: number_of(row, "ordinal"),
        received_at_ms: time(row, "received_at"),
        topic: text(row, "topic"),
        partition: row["partition"].as_i64().unwrap() as i32,
        offset: row["offset"].as_i64().unwrap(),
        account_id: text(row, "account_id"),
        team_id: text(row, "team_id"),
        source_module: text(row, "source_module"),
        event_name: text(row, "event_name"),
        schema_version: number_of(row, "schema_version") as u32,
        idempotency_key: text(row, "idempotency_key"),
        qontak_customer_id: text(row, "qontak_customer_id"),
        occurred_at_ms: time(row, "occurred_at"),
        payload: text(row, "payload"),
        facts: text(row, "facts"),
        lasting_facts: text(row, "lasting_facts"),
        backfill_job: row["backfill_job"].as_str().unwrap_or_default().to_owned(),
    }
}

impl Tables {
    /// As the loader does: rows first, then what erasures empty.
    pub fn load(&mut self, tick: &Numbered) {
        let mut erasures = Vec::new();
        for record in &tick.records {
            let row: Value = serde_json::from_slice(&record.value).unwrap();
            match record.view {
                View::Events => {
                    let tokens = serde_json::from_value(row["identifier_tokens"].clone());
                    self.tokens.insert(number_of(&row, "ordinal"), tokens.unwrap());
                    self.events.insert(number_of(&row, "ordinal"), landed(&row));
                }
                View::Ledger => {
                    let place = (text(&row, "topic"), row["partition"].as_i64().unwrap());
                    self.ledger.insert(place, row);
                }
                View::Backfills => {
                    self.backfills.insert(["source_module", "job"].map(|of| text(&row, of)), row);
                }
                View::Reconciliation => {
                    self.hours.insert((text(&row, "source_module"), text(&row, "hour")), row);
                }
                View::Segments => {
                    let key = ["account_id", "segment_id", "customer_id"];
                    self.members.insert(key.map(|column| text(&row, column)), row);
                }
                View::Erasures => erasures.push(row),
                _ => {}
            }
        }
        for erasure in erasures {
            self.empty(&erasure);
        }
    }

    fn empty(&mut self, erasure: &Value) {
        let (customer, token) =
            (text(erasure, "qontak_customer_id"), text(erasure, "identifier_token"));
        let until = time(erasure, "erased_until");
        for (ordinal, event) in &mut self.events {
            let tokens = self.tokens.get_mut(ordinal).unwrap();
            let is_reached = match customer.is_empty() {
                true => {
                    let is_named = event.qontak_customer_id.is_empty() && tokens.contains(&token);
                    is_named && erasure["deleted"] == 0
                }
                false => event.qontak_customer_id == customer,
            };
            if is_reached && event.occurred_at_ms <= until {
                event.payload.clear();
                event.facts.clear();
                tokens.clear();
            }
        }
    }

    fn counted(&self) -> Counted {
        let ledger = self.ledger.values().map(|row| LedgerRow {
            topic: text(row, "topic").into(),
            partition: 0,
            records_read: number_of(row, "records_read"),
            accepted: number_of(row, "accepted"),
            duplicate: number_of(row, "duplicate"),
            rejected: number_of(row, "rejected"),
            skipped: number_of(row, "skipped"),
            skipped_ranges: Vec::new(),
            logical_time: time(row, "logical_time"),
        });
        let hours = self.hours.values().map(|row| ReconciliationRow {
            source_module: text(row, "source_module").into(),
            hour: time(row, "hour"),
            emitted: row["emitted"].as_u64(),
            read: number_of(row, "read"),
            logical_time: time(row, "logical_time"),
        });
        let backfills = self.backfills.values().map(|row| BackfillRow {
            source_module: text(row, "source_module").into(),
            job: text(row, "job").into(),
            records_read: number_of(row, "records_read"),
            accepted: number_of(row, "accepted"),
            duplicate: number_of(row, "duplicate"),
            rejected: number_of(row, "rejected"),
            skipped: number_of(row, "skipped"),
            rejected_by_reason: serde_json::from_value::<BTreeMap<String, u64>>(
                row["rejected_by_reason"].clone(),
            )
            .unwrap()
            .into_iter()
            .collect(),
            undone_at: row["undone_at"].as_str().and_then(parse_rfc3339),
            logical_time: time(row, "logical_time"),
        });
        Counted {
            ledger: ledger.collect(),
            backfills: backfills.collect(),
            hours: hours.collect(),
            ..Counted::default()
        }
    }

    fn members(&self) -> Vec<Membership> {
        let members = self.members.values().filter(|row| row["deleted"] == 0);
        let member = |row: &Value| Membership {
            account_id: text(row, "account_id").into(),
            segment_id: text(row, "segment_id").into(),
            customer_id: text(row, "customer_id").into(),
            t_ms: time(row, "logical_time"),
            entered: true,
            definition_version: number_of(row, "definition_version") as u32,
        };
        members.map(member).collect()
    }
}

/// A binding and all its records.
type Bound = (Binding, Vec<Record>);

/// What is told to `keep` of `bound`, and the adapter as of the last.
fn tell(
    bound: &[Bound],
    tables: &Tables,
    mut keep: impl FnMut(KeptTick),
) -> Result<cebe_connectors::adapter::SavedAdapter, RebuildError> {
    let topics = Topics::default();
    let counted = tables.counted();
    let mut telling = Telling::new(before_all(()), Keys::development().into(), &counted);
    for (binding, records) in bound {
        let kept = Telling::kept(&topics, &binding.ranges);
        let is_kept = |record: &&Record| kept.iter().any(|range| range.topic == record.topic);
        let kept = records.iter().filter(is_kept).cloned().collect();
        let ordinals = binding.first_ordinal..binding.first_ordinal + binding.records();
        let rows: Vec<LandedEvent> =
            tables.events.range(ordinals).map(|(_, event)| event.clone()).collect();
        keep(telling.tell(&topics, binding, kept, &rows)?);
    }
    let (last, adapter) = telling.finish(&counted, tables.members())?;
    keep(last);
    Ok(adapter)
}

pub(super) fn rebuild(
    bound: &[Bound],
    tables: &Tables,
    store: &Store,
    place: &LogPlace,
) -> Manifest {
    let keeper = Keeper::start(store.clone(), "test".into(), Origin::default(), TINY).unwrap();
    let adapter = tell(bound, tables, |tick| keeper.keep(tick)).unwrap();
    keeper.seal(SealedAt { place: place.clone(), adapter, logic_version: LOGIC_VERSION });
    newest(store, place.chain.head().number)
}

/// What was published.
fn check(ticks: &[Tick], at: usize, workers: usize) -> Result<Vec<Numbered>, TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::directory(&dir.path().join("snapshots")).unwrap();
    let adapter = before_all(MemoryKeyIndex::default());
    let mut first = Run { adapter, dataflow: Dataflow::start(1).unwrap() };
    let mut second: Option<Run<DiskKeyIndex>> = None;
    let (mut log, mut t_ms, mut offsets) = (Log::new(), T, [0; 5]);
    let (mut tables, mut bound, mut all) = (Tables::default(), Vec::new(), Vec::new());
    for (number, (passed, said)) in ticks.iter().enumerate() {
        t_ms += passed;
        let records = records(said, &mut offsets);
        let binding = log.bind(t_ms, &records);
        let (published, _) = first.tick(&binding, &records);
        all.push(published.clone());
        if let Some(second) = &mut second {
            let (again, _) = second.tick(&binding, &records);
            prop_assert_eq!(&again, &published);
            continue;
        }
        tables.load(&published);
        bound.push((binding, records));
        if number == at {
            let manifest = rebuild(&bound, &tables, &store, &log.0);
            second = Some(begin(&store, &manifest, &dir.path().join("keys"), workers));
        }
    }
    Ok(all)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_start_from_the_tables_goes_on_as_if_nothing_had_happened(
        (ticks, at) in ticks().prop_flat_map(|ticks| {
            let last = ticks.len();
            (Just(ticks), 0..last)
        }),
        workers in 1usize..4,
    ) {
        check(&ticks, at, workers)?;
    }
}

/// An event without a customer id is erased along with the customer that had named its identifier, is told
/// again from an emptied row, and then counts again, since another customer had named it too by then.
#[test]
fn what_was_erased_along_counts_again() {
    let event = |source: &str, name: &str, key: &str, ago: i64, further: Value| {
        let mut event = json!({"event_name": name, "schema_version": 1, "source_module": source,
            "account_id": "a", "idempotency_key": key, "occurred_at": T - ago * HOUR_MS});
        event.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        Said::Event(event)
    };
    let named = |customer: &str, key: &str, ago: i64| {
        let further =
            json!({"qontak_customer_id": customer, "properties": {"phone": "08123456789"}});
        event("cdp", "customer.updated", key, ago, further)
    };
    let clicked = json!({"identifiers": [{"type": "phone", "value": "08123456789"}],
        "properties": {"campaign_id": "c", "size": 2}});
    let ticks = [
        (1, vec![named("1", "k1", 50), event("ads", "ad.clicked", "k2", 40, clicked)]),
        (1, vec![event("cdp", "customer.erased", "k3", 30, json!({"qontak_customer_id": "1"}))]),
        (1, vec![named("2", "k4", 60)]),
    ];
    let published = check(&ticks, 1, 2).unwrap();
    let last = published.last().unwrap();
    let of = |view| last.records.iter().filter(|record| record.view == view).count();
    assert_eq!((of(View::Segments), of(View::Metrics) > 0), (1, true));
}

/// Two events, the second of them of another binding.
fn two() -> (Vec<Bound>, Tables) {
    let event = |key: &str| {
        Said::Event(json!({
            "event_name": "ad.clicked", "schema_version": 1, "source_module": "ads", "account_id": "a",
            "idempotency_key": key, "occurred_at": T, "qontak_customer_id": "1",
            "properties": {"campaign_id": "c"},
        }))
    };
    let adapter = before_all(MemoryKeyIndex::default());
    let mut run = Run { adapter, dataflow: Dataflow::start(1).unwrap() };
    let (mut log, mut offsets) = (Log::new(), [0; 5]);
    let (mut tables, mut bound) = (Tables::default(), Vec::new());
    for key in ["k1", "k2"] {
        let records = records(&[event(key)], &mut offsets);
        let binding = log.bind(T + offsets[2], &records);
        tables.load(&run.tick(&binding, &records).0);
        bound.push((binding, records));
    }
    (bound, tables)
}

#[test]
fn rows_that_are_missing_or_others_than_were_bound_are_an_error() {
    let (bound, whole) = two();
    let error = |change: &dyn Fn(&mut Tables)| {
        let mut tables = whole.clone();
        change(&mut tables);
        tell(&bound, &tables, |_| ()).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(error(&|_| ()), Ok(()));
    let says = |change: &dyn Fn(&mut Tables), words: &str| {
        let error = error(change).unwrap_err();
        assert!(error.contains(words), "{error}");
    };
    let event = |tables: &mut Tables, change: &dyn Fn(&mut LandedEvent)| {
        tables.events.values_mut().for_each(change);
    };
    says(&|tables| drop(tables.events.pop_last()), "1 events are stored and the ledger says 2");
    says(&|tables| tables.ledger.clear(), "2 records were bound and the ledger says 0");
    says(&|tables| event(tables, &|row| row.received_at_ms += 1), "not how binding 1 has it");
    says(&|tables| event(tables, &|row| row.offset += 5), "offset 5");
    says(&|tables| event(tables, &|row| row.topic = "cebe.events.cdp".into()), "ordinal 0");
    says(&|tables| event(tables, &|row| row.lasting_facts.clear()), "did not keep");
    says(&|tables| event(tables, &|row| row.facts.clear()), "column facts");
}
