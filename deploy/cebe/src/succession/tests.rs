//! After a change of logic, readers of the changes hold what those of the new logic alone would hold.

use std::collections::BTreeMap;

use cebe_connectors::binding::{Binding, LOGIC_VERSION};
use cebe_connectors::kafka::Topics;
use cebe_connectors::kafka::source::Record;
use cebe_connectors::key_index::disk::DiskKeyIndex;
use cebe_connectors::key_index::memory::MemoryKeyIndex;
use cebe_connectors::out::numbered::{OutRecord, number};
use cebe_connectors::snapshot::{Keeper, KeptTick, Origin, SealedAt};
use cebe_dataflow::Dataflow;
use cebe_schemas::fact::TickInput;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::recovery::restore;
use crate::recovery::tests::{Log, Run, T, TINY, Tick, before_all, judge, newest, records, ticks};

/// The logic before: it does not look at some customers' events and attributes, and knows no phones.
fn overlook(input: &mut TickInput) {
    input.events.retain(|(subject, _)| subject.0 % 3 != 0);
    input.attributes.retain(|fact| fact.subject.0 % 5 != 0);
    input.namings.retain(|naming| naming.subject.0 % 2 != 0);
    input.identifiers.clear();
}

/// What a reader holds: by view and key, the row.
#[derive(Default)]
pub(crate) struct Reader(BTreeMap<(View, Vec<u8>), Value>);

impl Reader {
    /// Takes in the changes of a tick, which have to follow from what is held.
    pub fn read(&mut self, records: &[OutRecord]) -> Result<(), TestCaseError> {
        for record in records.iter().filter(|record| View::COMPUTED.contains(&record.view)) {
            let row: Value = serde_json::from_slice(&record.value).unwrap();
            let place = (record.view, record.key.clone());
            self.check(self.0.get(&place), &row, record.view)?;
            match row["deleted"] == 1 {
                true => drop(self.0.remove(&place)),
                false => drop(self.0.insert(place, row)),
            }
        }
        Ok(())
    }

    fn check(&self, held: Option<&Value>, row: &Value, view: View) -> Result<(), TestCaseError> {
        let column = |name: &str| held.map(|held| held[name].clone());
        let before: &[(&str, &str)] = match view {
            View::Identities => &[("old_customer_id", "customer_id")],
            View::Customers => &[
                ("old_member_ids", "member_ids"),
                ("old_attributes", "attributes"),
                ("old_team_ids", "team_ids"),
            ],
            View::Seen => &[("old_first_seen", "first_seen"), ("old_last_seen", "last_seen")],
            View::Metrics => &[
                ("old_numerator", "new_numerator"),
                ("old_denominator", "new_denominator"),
                ("old_rate", "new_rate"),
            ],
            _ => &[],
        };
        for (old, new) in before {
            let held = column(new);
            let is_right = match &held {
                Some(held) => row[old] == *held,
                None => ["null", "\"\"", "0", "[]", "{}"].contains(&&*row[old].to_string()),
            };
            prop_assert!(is_right, "{view:?}: {row} follows {held:?}");
        }
        if view == View::Segments {
            prop_assert_ne!(held.is_some(), row["deleted"] == 0, "{} follows {:?}", row, held);
            if let Some(held) = held {
                prop_assert_eq!(&row["definition_version"], &held["definition_version"]);
            }
        }
        Ok(())
    }

    /// What is held, but for when and why it came to be.
    pub fn said(&self) -> BTreeMap<(View, Vec<u8>), Value> {
        let when = ["logical_time", "seq", "cause", "definition_version"];
        let said = |row: &Value| -> Value {
            let columns = row.as_object().unwrap().iter();
            let columns = columns
                .filter(|(name, _)| !name.starts_with("old_") && !when.contains(&name.as_str()));
            columns.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        self.0.iter().map(|(place, row)| (place.clone(), said(row))).collect()
    }
}

/// A tick of the logic before.
fn tick_before<K: cebe_connectors::key_index::KeyIndex>(
    run: &mut Run<K>,
    binding: &Binding,
    records: &[Record],
) -> (Vec<OutRecord>, KeptTick) {
    let mut adapted = run.adapter.adapt(binding.t_ms, binding.first_ordinal, records).unwrap();
    let mut kept = KeptTick::new(&adapted, binding.t_ms);
    overlook(&mut adapted.input);
    let output = run.dataflow.tick(adapted.input).unwrap();
    run.adapter.commit().unwrap();
    kept.facts.memberships = Membership::of(&output.moments);
    let keys = run.adapter.token_keys();
    let numbered = number(binding, adapted.rows, output.moments, keys).unwrap();
    kept.publish(binding, numbered.records.clone());
    (numbered.records, kept)
}

/// The logic after, begun at a snapshot of the one before.
struct Successor {
    run: Run<DiskKeyIndex>,
    succession: Option<Succession>,
    outputs: Manifest,
    /// By the logic before, since the first snapshot that was begun at.
    published: Published,
}

impl Successor {
    fn begin(
        store: &Store,
        manifest: Manifest,
        keys: &std::path::Path,
        workers: usize,
    ) -> Successor {
        let mut keys = DiskKeyIndex::open(keys, "x", 0).unwrap();
        let mut succession = Succession::after(manifest.logic_version, manifest.t_ms);
        let (topics, judge) = (Topics::default(), judge());
        let known = (workers, &topics, &judge);
        let told = Some(&mut succession);
        let (adapter, dataflow, _) =
            restore(store, &manifest, known, &mut keys, told, || Ok(())).unwrap();
        Successor {
            run: Run { adapter: adapter.with_keys(keys), dataflow },
            succession: Some(succession),
            outputs: manifest,
            published: Published::default(),
        }
    }

    /// A tick that the logic before has published.
    fn note(&mut self, binding: &Binding, records: &[Record]) -> KeptTick {
        let Run { adapter, dataflow } = &mut self.run;
        let adapted = adapter.adapt(binding.t_ms, binding.first_ordinal, records).unwrap();
        let kept = KeptTick::new(&adapted, binding.t_ms);
        let output = dataflow.tick(adapted.input).unwrap();
        adapter.learn(&output.moments);
        adapter.commit().unwrap();
        let succession = self.succession.as_mut().unwrap();
        succession.note(&output.moments, &judge().keys);
        kept
    }

    /// The first tick of its own.
    fn succeed(&mut self, store: &Store, binding: &Binding, records: &[Record]) -> Vec<OutRecord> {
        let Run { adapter, dataflow } = &mut self.run;
        let mut adapted = adapter.adapt(binding.t_ms, binding.first_ordinal, records).unwrap();
        let output = dataflow.tick(adapted.input).unwrap();
        adapter.learn(&output.moments);
        adapter.commit().unwrap();
        let mut succession = self.succession.take().unwrap();
        succession.note(&output.moments, &judge().keys);
        let after_ms = self.outputs.published().unwrap().t_ms;
        let mut published = Published::default();
        for one in self.published.rows().iter().filter(|one| one.t_ms > after_ms) {
            published.push(one.clone());
        }
        succession.compare_all(store, Some(&self.outputs), published, binding.t_ms).unwrap();
        let differences = succession.differences(binding.t_ms, Cause::Definition);
        dataflow.recall_members(&differences.memberships);
        adapted.rows.extend(differences.rows);
        number(binding, adapted.rows, Vec::new(), adapter.token_keys()).unwrap().records
    }
}

/// `at`: the tick of the snapshot; `from`: the first of the new logic; `again`: it begins a second time
/// right before.
fn check(
    ticks: &[Tick],
    at: usize,
    from: usize,
    again: bool,
    workers: usize,
) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::directory(&dir.path().join("snapshots")).unwrap();
    let origin = Origin { is_first: true, ..Origin::default() };
    let mut keeper = Keeper::start(store.clone(), "test".into(), origin, TINY).unwrap();
    let begun = || Run {
        adapter: before_all(MemoryKeyIndex::default()),
        dataflow: Dataflow::start(1).unwrap(),
    };
    let (mut before, mut alone, mut successor) = (begun(), begun(), None::<Successor>);
    let (mut reader, mut reader_of_alone) = (Reader::default(), Reader::default());
    let (mut log, mut t_ms, mut offsets) = (Log::new(), T, [0; 5]);
    for (n, (passed, said)) in ticks.iter().enumerate() {
        t_ms += passed;
        let records = records(said, &mut offsets);
        let binding = log.bind(t_ms, &records);
        let (expected, _) = alone.tick(&binding, &records);
        reader_of_alone.read(&expected.records)?;
        if n >= from {
            let successor = successor.as_mut().unwrap();
            let out = match n == from {
                true => successor.succeed(&store, &binding, &records),
                false => successor.run.tick(&binding, &records).0.records,
            };
            reader.read(&out)?;
            prop_assert_eq!(reader.said(), reader_of_alone.said(), "after tick {}", n);
            continue;
        }
        let (out, kept) = tick_before(&mut before, &binding, &records);
        reader.read(&out)?;
        let seal = |keeper: &Keeper, adapter, logic_version| {
            keeper.seal(SealedAt { place: log.0.clone(), adapter, logic_version });
            newest(&store, binding.number)
        };
        if let Some(begun) = &mut successor {
            let kept = begun.note(&binding, &records);
            begun.published.append(Published::of(out));
            keeper.keep(kept);
            if again && n + 1 == from {
                let manifest = seal(&keeper, begun.run.adapter.save(), LOGIC_VERSION - 1);
                let published = std::mem::take(&mut begun.published);
                let keys = dir.path().join("keys again");
                let mut second = Successor::begin(&store, manifest, &keys, workers);
                second.published = published;
                successor = Some(second);
            }
        } else {
            keeper.keep(kept);
            let manifest = seal(&keeper, before.adapter.save(), LOGIC_VERSION - 1);
            if n == at {
                drop(keeper);
                let states = std::slice::from_ref(&manifest);
                let origin = Origin { states, ..Origin::default() };
                keeper = Keeper::start(store.clone(), "test".into(), origin, TINY).unwrap();
                let keys = dir.path().join("keys");
                successor = Some(Successor::begin(&store, manifest, &keys, workers));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_new_logic_publishes_what_differs_and_nothing_else(
        (ticks, at, from) in ticks().prop_flat_map(|ticks| {
            let last = ticks.len();
            (Just(ticks), 0..last - 1).prop_flat_map(move |(ticks, at)| {
                (Just(ticks), Just(at), at + 1..last)
            })
        }),
        again in any::<bool>(),
        workers in 1usize..4,
    ) {
        check(&ticks, at, from, again, workers)?;
    }
}
