use proptest::prelude::*;

use super::super::{Binding, LogRecord};
use super::*;

/// An engine beside a shared log: what `kafka::BindingLog` does, without Kafka.
struct Engine {
    claim: Claim,
    chain: Chain,
    read_to: usize,
    /// Appended when it wakes, not yet on the log: a frozen engine's unsent batch.
    unsent: Option<Vec<u8>>,
    acted_on: Vec<Binding>,
    stopped: Option<ClaimError>,
}

impl Engine {
    fn new(name: &str) -> Engine {
        Engine {
            claim: Claim::new(name.to_owned(), 100),
            chain: Chain::default(),
            read_to: 0,
            unsent: None,
            acted_on: Vec::new(),
            stopped: None,
        }
    }

    fn read(&mut self, log: &[Vec<u8>], now_ms: u64) {
        while self.stopped.is_none() && self.read_to < log.len() {
            let reading = self.chain.read(&log[self.read_to]).expect("engines never damage a log");
            self.read_to += 1;
            if let Err(error) = self.claim.read(&reading, &self.chain, now_ms) {
                self.stopped = Some(error);
            } else if let Reading::Binding(binding) = reading
                && Some(binding.generation) == self.claim.holding()
            {
                self.acted_on.push(binding);
            }
        }
    }

    /// Reads to the end, then decides what to append: also a binding of its own accord if `bind`.
    fn prepare(&mut self, log: &[Vec<u8>], now_ms: u64, bind: bool) {
        self.read(log, now_ms);
        if self.stopped.is_some() || self.unsent.is_some() {
            return;
        }
        let record = match self.claim.next(&self.chain, now_ms) {
            Action::Claim(claim) => Some(LogRecord::Claim(claim)),
            Action::TakeOver(generation) | Action::Answer(generation) => {
                Some(self.bind(generation))
            }
            Action::Nothing if bind => self.claim.holding().map(|generation| self.bind(generation)),
            Action::Nothing | Action::Wait(_) => None,
        };
        self.unsent = record.map(|record| record.to_bytes().unwrap());
    }

    fn bind(&self, generation: u64) -> LogRecord {
        LogRecord::Binding(self.chain.next(self.chain.head().t_ms + 1, generation, vec![]))
    }

    fn send(&mut self, log: &mut Vec<Vec<u8>>) {
        log.extend(self.unsent.take());
    }

    fn run(&mut self, log: &mut Vec<Vec<u8>>, now_ms: u64) {
        self.prepare(log, now_ms, false);
        self.send(log);
        self.read(log, now_ms);
    }
}

#[test]
fn the_first_engine_takes_over_after_silence() {
    let (mut log, mut a) = (Vec::new(), Engine::new("a"));
    a.run(&mut log, 0);
    assert_eq!(a.claim.next(&a.chain, 60), Action::Wait(40));
    a.run(&mut log, 99);
    assert_eq!(a.claim.holding(), None);
    a.run(&mut log, 100);
    assert_eq!(a.claim.holding(), Some(1));
    assert_eq!(a.chain.head().number, 1);
}

#[test]
fn a_running_engine_answers_and_the_starter_stops() {
    let (mut log, mut a, mut b) = (Vec::new(), Engine::new("a"), Engine::new("b"));
    a.run(&mut log, 0);
    a.run(&mut log, 100);
    b.run(&mut log, 200);
    a.run(&mut log, 250);
    b.run(&mut log, 299);
    let running = ClaimError::Running { generation: 1, engine: "a".to_owned() };
    assert_eq!(b.stopped, Some(running.clone()));
    assert_eq!(
        running.to_string(),
        "another engine (generation 1, id a) is running: stop it first"
    );
    assert_eq!(a.claim.next(&a.chain, 300), Action::Nothing, "one answer is enough");
}

#[test]
fn a_frozen_engine_that_wakes_is_fenced_and_does_no_harm() {
    let (mut log, mut a, mut b) = (Vec::new(), Engine::new("a"), Engine::new("b"));
    a.run(&mut log, 0);
    a.run(&mut log, 100);
    a.prepare(&log, 150, true);
    b.run(&mut log, 200);
    b.run(&mut log, 300);
    let head = b.chain.head().clone();
    a.send(&mut log);
    a.read(&log, 900);
    assert_eq!(a.stopped, Some(ClaimError::Fenced { generation: 2, engine: "b".to_owned() }));
    b.read(&log, 900);
    assert_eq!((b.stopped.as_ref(), b.chain.head()), (None, &head));
}

#[test]
fn a_binding_from_before_the_claim_is_no_answer() {
    let (mut log, mut a, mut b) = (Vec::new(), Engine::new("a"), Engine::new("b"));
    a.run(&mut log, 0);
    a.run(&mut log, 100);
    b.prepare(&log, 200, false);
    a.prepare(&log, 201, true);
    a.send(&mut log);
    b.send(&mut log);
    b.run(&mut log, 202);
    b.run(&mut log, 302);
    assert_eq!((b.stopped.as_ref(), b.claim.holding()), (None, Some(2)));
}

#[test]
fn of_two_starters_the_first_takes_over() {
    let (mut log, mut a, mut b) = (Vec::new(), Engine::new("a"), Engine::new("b"));
    a.prepare(&log, 0, false);
    b.prepare(&log, 0, false);
    a.send(&mut log);
    b.send(&mut log);
    a.run(&mut log, 1);
    b.run(&mut log, 2);
    b.run(&mut log, 3);
    assert_eq!(b.chain.claimed(), 2, "b lost generation 1 and claims the next");
    a.run(&mut log, 101);
    b.run(&mut log, 102);
    assert_eq!(a.claim.holding(), Some(1));
    assert!(matches!(b.stopped, Some(ClaimError::Running { generation: 1, .. })));
}

/// What happens to one of several engines at one step of a random schedule.
#[derive(Clone, Copy, Debug)]
enum Step {
    Read,
    Prepare { bind: bool },
    Send,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Read),
        4 => any::<bool>().prop_map(|bind| Step::Prepare { bind }),
        4 => Just(Step::Send),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever the interleaving of starts, freezes, wakes and deaths: the log stays whole, no two
    /// engines act on the same binding, and the last one standing can always go on.
    #[test]
    fn no_schedule_lets_two_engines_act(
        schedule in prop::collection::vec((0usize..3, step(), 0u64..60), 1..200),
    ) {
        let mut log = Vec::new();
        let mut engines: Vec<Engine> = (0..3).map(|i| Engine::new(&format!("e{i}"))).collect();
        let mut acted_on: Vec<Binding> = Vec::new();
        let (mut now_ms, mut starts) = (0, 0);
        for (who, step, passed_ms) in schedule {
            now_ms += passed_ms;
            let engine = &mut engines[who];
            match step {
                Step::Read => engine.read(&log, now_ms),
                Step::Prepare { bind } => engine.prepare(&log, now_ms, bind),
                Step::Send => engine.send(&mut log),
                Step::Restart => {
                    starts += 1;
                    acted_on.append(&mut engine.acted_on);
                    *engine = Engine::new(&format!("e{who}-{starts}"));
                }
            }
        }
        acted_on.extend(engines.iter().flat_map(|engine| engine.acted_on.clone()));
        let mut numbers: Vec<u64> = acted_on.iter().map(|binding| binding.number).collect();
        numbers.sort_unstable();
        prop_assert!(numbers.is_sorted_by(|a, b| a < b), "acted on twice: {numbers:?}");

        let mut last = Engine::new("last");
        last.run(&mut log, now_ms);
        last.run(&mut log, now_ms + 1);
        last.run(&mut log, now_ms + 200);
        prop_assert_eq!(last.stopped, None);
        prop_assert!(last.claim.holding().is_some());
    }

    /// An engine that answers in time is never driven out, however many others start.
    #[test]
    fn who_answers_in_time_stays(starts in prop::collection::vec((1u64..300, 0u64..99), 1..20)) {
        let mut log = Vec::new();
        let mut a = Engine::new("a");
        a.run(&mut log, 0);
        a.run(&mut log, 100);
        let mut now_ms = 100;
        for (i, (pause_ms, delay_ms)) in starts.into_iter().enumerate() {
            now_ms += pause_ms;
            let mut b = Engine::new(&format!("b{i}"));
            b.run(&mut log, now_ms);
            a.run(&mut log, now_ms + delay_ms);
            b.run(&mut log, now_ms + 100);
            let running = matches!(b.stopped, Some(ClaimError::Running { generation: 1, .. }));
            prop_assert!(running);
            now_ms += 100;
        }
        prop_assert_eq!(a.stopped, None);
    }
}
