//! Once backfills are undone, everything that is published adds up to what it would be had nobody read them.
//! The oracle is an engine that is given a log in which their records are not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cebe_connectors::out::numbered::OutRecord;
use cebe_connectors::snapshot::{Origin, Published, PublishedAt};
use cebe_schemas::change::Cause;
use cebe_schemas::row::Row;
use cebe_schemas::view::View;

use super::rebuilt::{Tables, rebuild};
use super::*;
use crate::succession::tests::Reader;

/// Who publishes an event: live, or a job; "" is a lane without one.
const LANES: [Option<&str>; 6] = [None, None, None, Some(""), Some("j1"), Some("j2")];
const UNDOING: [Undoing; 4] = [("j1", "undo"), ("j2", "undo"), ("j1", "undone"), ("j2", "undone")];
const TOPICS: [&str; 8] = [
    "cebe.backfill.ads",
    "cebe.backfill.broadcast",
    "cebe.backfill.cdp",
    "cebe.control",
    "cebe.counts",
    "cebe.events.ads",
    "cebe.events.broadcast",
    "cebe.events.cdp",
];

/// A job, and what a control record says of it.
type Undoing = (&'static str, &'static str);
type Jobs = BTreeSet<Arc<str>>;

/// How much time has passed, what is to be undone, and everything else with its lane.
#[derive(Clone, Debug)]
struct Turn {
    passed: Millis,
    undoing: Option<Undoing>,
    said: Vec<(Said, Option<&'static str>)>,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let lanes = prop::collection::vec(prop::sample::select(&LANES[..]), 7 * 14);
    let undoing = prop::option::weighted(0.3, prop::sample::select(&UNDOING[..]));
    let undoing = prop::collection::vec(undoing, 14);
    (ticks(), lanes, undoing).prop_map(|(ticks, lanes, undoing)| {
        let mut lanes = lanes.into_iter();
        let said = ticks
            .into_iter()
            .map(|(passed, said)| (passed, said.into_iter().zip(lanes.by_ref().take(7)).collect()));
        let turn = |((passed, said), undoing)| Turn { passed, undoing, said };
        let mut turns: Vec<Turn> = said.zip(undoing).map(turn).collect();
        // At last everything is undone that can be, and live events go on.
        let more: Vec<_> = turns.iter().flat_map(|turn| &turn.said).take(5).cloned().collect();
        for undoing in [UNDOING[0], UNDOING[2], UNDOING[1], UNDOING[3]] {
            let said = more.iter().map(|(said, _)| (said.clone(), None)).collect();
            turns.push(Turn { passed: 7, undoing: Some(undoing), said });
        }
        turns
    })
}

/// A record, and what tells whether it is there where some jobs never were.
#[derive(Clone)]
struct Recorded {
    record: Record,
    undoing: Option<Undoing>,
    /// Erased before its job had ended: that stays.
    erases: bool,
}

impl Recorded {
    fn is_there_without(&self, jobs: &Jobs) -> bool {
        match self.undoing {
            Some((job, word)) => word == "undo" && !jobs.contains(job),
            None => self.erases || !jobs.contains(&self.record.job),
        }
    }
}

fn topic(said: &Said, lane: Option<&str>) -> usize {
    let name = match said {
        Said::Control(_) => "cebe.control".to_owned(),
        Said::Count(_) => "cebe.counts".to_owned(),
        Said::Event(event) => {
            let lane = if lane.is_some() { "backfill" } else { "events" };
            format!("cebe.{lane}.{}", event["source_module"].as_str().unwrap())
        }
    };
    TOPICS.iter().position(|topic| *topic == name).unwrap()
}

/// The records of a tick in order. `ended`: jobs of which nothing more is taken in.
fn recorded(turn: &Turn, offsets: &mut [i64; 8], ended: &mut BTreeSet<&str>) -> Vec<Recorded> {
    let word = |(job, word): Undoing| Said::Control(json!({"backfills": {job: word}}));
    ended.extend(turn.undoing.filter(|(_, word)| *word == "undo").map(|(job, _)| job));
    let undoing = turn.undoing.map(|undoing| (word(undoing), None, Some(undoing)));
    let said = turn.said.iter().map(|(said, lane)| (said.clone(), *lane, None));
    let mut said: Vec<_> = undoing.into_iter().chain(said).collect();
    said.sort_by_key(|(said, lane, _)| topic(said, *lane));
    let recorded = |(said, lane, undoing): (Said, Option<&'static str>, Option<Undoing>)| {
        let topic = topic(&said, lane);
        let job = lane.filter(|_| matches!(said, Said::Event(_))).unwrap_or_default();
        let (Said::Control(json) | Said::Count(json) | Said::Event(json)) = said;
        offsets[topic] += 1;
        let record = Record {
            topic: TOPICS[topic].into(),
            offset: offsets[topic] - 1,
            created_ms: T,
            payload: json.to_string().into_bytes(),
            job: job.into(),
            ..Record::default()
        };
        let erases = json["event_name"] == "customer.erased" && !ended.contains(job);
        Recorded { record, undoing, erases }
    };
    said.into_iter().map(recorded).collect()
}

/// Events that are there, and the newest ledger of each live partition.
#[derive(Clone, Debug, Default, PartialEq)]
struct Told {
    /// (topic, offset) → (job, erases).
    events: BTreeMap<(String, i64), (String, bool)>,
    ledger: BTreeMap<String, [u64; 4]>,
}

impl Told {
    fn take_in(&mut self, records: &[OutRecord]) {
        for record in records {
            let row: Value = serde_json::from_slice(&record.value).unwrap();
            let topic = row["topic"].as_str().unwrap_or_default().to_owned();
            match record.view {
                View::Events => {
                    let place = (topic, row["offset"].as_i64().unwrap());
                    let job = row["backfill_job"].as_str().unwrap_or_default().to_owned();
                    let erases = row["event_name"] == "customer.erased";
                    assert_eq!(self.events.insert(place, (job, erases)), None, "{row}");
                }
                View::Ledger if topic.contains("events") => {
                    let columns = ["accepted", "duplicate", "rejected", "skipped"];
                    self.ledger.insert(topic, columns.map(|name| row[name].as_u64().unwrap()));
                }
                _ => {}
            }
        }
    }

    /// The same, but for the events of `jobs`.
    fn without(mut self, jobs: &Jobs) -> Told {
        self.events.retain(|_, (job, erases)| *erases || !jobs.contains(&**job));
        self
    }
}

/// Everything of a log so far, read by an engine that is given no record of `jobs`.
fn never(log: &[(Millis, Vec<Recorded>)], jobs: &Jobs) -> Result<(Reader, Told), TestCaseError> {
    let adapter = before_all(MemoryKeyIndex::default());
    let mut run = Run { adapter, dataflow: Dataflow::start(1).unwrap() };
    let (mut reader, mut told, mut bindings) = (Reader::default(), Told::default(), Log::new());
    let mut first_ordinal = 0;
    for (t_ms, recorded) in log {
        let there = recorded.iter().filter(|recorded| recorded.is_there_without(jobs));
        let records: Vec<Record> = there.map(|recorded| recorded.record.clone()).collect();
        // The log has no record of this, and the engine does not miss any.
        let binding = Binding { first_ordinal, ..bindings.bind(*t_ms, &[]) };
        first_ordinal += records.len() as u64;
        let (numbered, _) = run.tick(&binding, &records);
        reader.read(&numbered.records)?;
        told.take_in(&numbered.records);
    }
    Ok((reader, told))
}

/// An engine without Kafka, which undoes as one does.
struct Undoer {
    store: Store,
    keeper: Option<Keeper>,
    run: Run<MemoryKeyIndex>,
    past: Vec<(Binding, Vec<Record>)>,
    published: Vec<OutRecord>,
    workers: usize,
    /// The state is made beside, and compared with what this snapshot tells, counted from the newest.
    beside: Option<usize>,
}

impl Undoer {
    fn tick(&mut self, binding: &Binding, records: &[Record], place: &LogPlace) -> Numbered {
        let undoes = self.run.adapter.undoes(records);
        let (numbered, mut kept) = match undoes.is_empty() {
            true => self.run.tick(binding, records),
            false => self.undo(binding, records, &undoes),
        };
        kept.publish(binding, numbered.records.clone());
        let keeper = self.keeper.as_ref().unwrap();
        keeper.keep(kept);
        let (place, adapter) = (place.clone(), self.run.adapter.save());
        keeper.seal(SealedAt { place, adapter, logic_version: LOGIC_VERSION });
        newest(&self.store, binding.number);
        self.past.push((binding.clone(), records.to_vec()));
        self.published.extend(numbered.records.clone());
        numbered
    }

    fn undo(&mut self, binding: &Binding, records: &[Record], jobs: &Jobs) -> (Numbered, KeptTick) {
        drop(self.keeper.take());
        let jobs = self.run.adapter.control().undoing().undone() | jobs;
        let manifests = Manifest::list(&self.store, "test").unwrap().states;
        let outputs = manifests.first();
        let begin = manifests.iter().position(|manifest| manifest.is_without(&jobs));
        let states = begin.map_or(&[][..], |at| &manifests[at..]);
        let (topics, judge) = (Topics::default(), judge());
        let known = (self.workers, &topics, &judge);
        let mut said = Succession::after(LOGIC_VERSION, 0);
        let (adapter, dataflow) = match states.first() {
            Some(manifest) => {
                let told = Some(&mut said);
                let restored = restore_facts(&self.store, manifest, known, told, || Ok(()));
                let (adapter, dataflow, _) = restored.unwrap();
                (adapter, dataflow)
            }
            None => (before_all(()), Dataflow::start(self.workers).unwrap()),
        };
        let origin = Origin { states, outputs, is_first: outputs.is_none() };
        let keeper = Keeper::start(self.store.clone(), "test".into(), origin, TINY).unwrap();
        self.run.adapter.go_on_as(adapter);
        self.run.adapter.leave_out(jobs.iter().cloned());
        self.run.dataflow = dataflow;
        let from = states.first().map_or(0, |manifest| manifest.binding as usize);
        let told_ms =
            |by: Option<&Manifest>| by.and_then(Manifest::published).map_or(0, |at| at.t_ms);
        // Made beside, it is compared on the way, with what an older snapshot tells.
        let told_by = self.beside.map_or(outputs, |older| manifests.get(older));
        let (mut past, mut compared_ms) = (KeptTick::default(), None);
        for (n, (binding, records)) in self.past.clone().iter().enumerate().skip(from) {
            past.append(self.again(binding, records, &mut said).1);
            if self.beside.is_some() && n % 2 == 0 && binding.t_ms >= told_ms(told_by) {
                let after_ms = compared_ms.unwrap_or(told_ms(told_by));
                self.compare(&mut said, told_by, (after_ms, binding.t_ms));
                compared_ms = Some(binding.t_ms);
            }
        }
        keeper.keep(past);
        let (mut rows, mut kept) = self.again(binding, records, &mut said);
        let through_ms = self.past.last().map_or(0, |(binding, _)| binding.t_ms);
        self.compare(&mut said, told_by, (compared_ms.unwrap_or(told_ms(told_by)), through_ms));
        let mut differences = said.differences(binding.t_ms, Cause::Backfill);
        differences.published.forget_through(told_ms(outputs));
        self.run.dataflow.recall_members(&differences.memberships);
        kept.facts.memberships = differences.memberships;
        let published_at = PublishedAt::new(binding.number, binding.t_ms);
        kept.published = Some((published_at, differences.published));
        rows.extend(differences.rows);
        self.run.adapter.commit().unwrap();
        self.keeper = Some(keeper);
        let numbered = number(binding, rows, Vec::new(), self.run.adapter.token_keys()).unwrap();
        (numbered, kept)
    }

    fn compare(
        &self,
        said: &mut Succession,
        told_by: Option<&Manifest>,
        (after_ms, through_ms): (Millis, Millis),
    ) {
        let published = self.published.iter();
        let later = published.filter(|one| after_ms < one.t_ms && one.t_ms <= through_ms);
        let later = Published::of(later.cloned().collect());
        match said.has_compared() {
            false => said.compare_all(&self.store, told_by, later, through_ms).unwrap(),
            true => said.compare_later(later, through_ms).unwrap(),
        }
    }

    fn again(
        &mut self,
        binding: &Binding,
        records: &[Record],
        said: &mut Succession,
    ) -> (Vec<Row>, KeptTick) {
        let Run { adapter, dataflow } = &mut self.run;
        let adapted = adapter.adapt(binding.t_ms, binding.first_ordinal, records).unwrap();
        let kept = KeptTick::new(&adapted, binding.t_ms);
        let output = dataflow.tick(adapted.input).unwrap();
        adapter.learn(&output.moments);
        said.note(&output.moments, &judge().keys);
        (adapted.rows, kept)
    }
}

fn check(turns: &[Turn], workers: usize, beside: Option<usize>) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::directory(&dir.path().join("snapshots")).unwrap();
    let origin = Origin { is_first: true, ..Origin::default() };
    let keeper = Keeper::start(store.clone(), "test".into(), origin, TINY).unwrap();
    let adapter = before_all(MemoryKeyIndex::default());
    let run = Run { adapter, dataflow: Dataflow::start(1).unwrap() };
    let (past, published) = (Vec::new(), Vec::new());
    let mut undoer = Undoer { store, keeper: Some(keeper), run, past, published, workers, beside };
    let (mut bindings, mut t_ms, mut offsets) = (Log::new(), T, [0; 8]);
    let (mut reader, mut told, mut log, mut ended) =
        (Reader::default(), Told::default(), Vec::new(), BTreeSet::new());
    let (mut others, mut tables) = (Vec::<Run<DiskKeyIndex>>::new(), Tables::default());
    for (n, turn) in turns.iter().enumerate() {
        t_ms += turn.passed;
        let recorded = recorded(turn, &mut offsets, &mut ended);
        let records: Vec<Record> = recorded.iter().map(|each| each.record.clone()).collect();
        log.push((t_ms, recorded));
        let binding = bindings.bind(t_ms, &records);
        let before = undoer.run.adapter.control().undoing().undone().clone();
        let numbered = undoer.tick(&binding, &records, &bindings.0);
        reader.read(&numbered.records)?;
        told.take_in(&numbered.records);
        let jobs = undoer.run.adapter.control().undoing().undone().clone();
        // A definition may wait for the history of a type that only the job had brought.
        let nothing_waits = undoer.run.adapter.may_undo();
        if jobs != before || n + 1 == turns.len() && nothing_waits {
            let (alone, told_alone) = never(&log, &jobs)?;
            prop_assert_eq!(reader.said(), alone.said(), "without {:?} after tick {}", jobs, n);
            prop_assert_eq!(told.clone().without(&jobs), told_alone, "after tick {}", n);
        }
        tables.load(&numbered);
        for second in others.iter_mut().filter(|_| jobs == before) {
            prop_assert_eq!(&second.tick(&binding, &records).0, &numbered, "tick {}", n);
        }
        // Starts go on alike: from a snapshot, and from the tables, with a key index that was lost.
        if jobs != before {
            let folder = dir.path().join(n.to_string());
            let store = Store::directory(&folder.join("rebuilt")).unwrap();
            let rebuilt = rebuild(&undoer.past, &tables, &store, &bindings.0);
            let written = newest(&undoer.store, binding.number);
            others = vec![
                begin(&undoer.store, &written, &folder.join("keys"), workers),
                begin(&store, &rebuilt, &folder.join("keys rebuilt"), workers),
            ];
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_is_undone_never_was(
        turns in turns(),
        workers in 1usize..4,
        beside in proptest::option::weighted(0.7, 0usize..4),
    ) {
        check(&turns, workers, beside)?;
    }
}
