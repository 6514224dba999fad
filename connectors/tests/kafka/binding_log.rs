use std::thread;
use std::time::{Duration, Instant};

use cebe_connectors::binding::claim::ClaimError;
use cebe_connectors::binding::{Binding, Range};
use cebe_connectors::kafka::KafkaOptions;
use cebe_connectors::kafka::binding_log::{BindingLog, BindingLogError};
use cebe_connectors::kafka::log_place::LogPlace;

use crate::support::{Squad, fresh, holder, open_log};

fn range(from: i64, to: i64) -> Vec<Range> {
    let records = (to - from) as u64;
    vec![Range { topic: "cebe.events.cdp".into(), partition: 0, from, to, records }]
}

fn replayed(log: &BindingLog) -> Vec<Binding> {
    let mut replay = log.replay(LogPlace::default()).unwrap();
    std::iter::from_fn(|| replay.next(log).unwrap()).collect()
}

#[test]
fn bindings_survive_and_are_replayed_in_order() {
    let options = fresh();
    let mut log = holder(&options, "a");
    let first = log.bind(range(0, 3)).unwrap();
    let second = log.bind(range(3, 5)).unwrap();
    assert_eq!((first.number, first.first_ordinal), (2, 0), "1 is the takeover");
    assert_eq!((second.number, second.first_ordinal), (3, 3));
    assert!(first.t_ms < second.t_ms);
    drop(log);

    let log = holder(&options, "b");
    let all = replayed(&log);
    assert_eq!(all[1..3], [first, second]);
    assert_eq!(all.len(), 4, "and b's takeover");
    assert_eq!(all[3].generation, 2);
    assert_eq!(log.chain().head().next_ordinal, 5);
}

#[test]
fn an_engine_may_not_bind_before_it_has_taken_over() {
    let options = fresh();
    let mut log = open_log(&options, "a").unwrap();
    assert!(matches!(log.bind(range(0, 1)), Err(BindingLogError::NotHolding)));
}

/// Binds nothing of its own accord, only answers, until told to stop.
fn running(
    options: &KafkaOptions,
) -> (thread::JoinHandle<BindingLog>, std::sync::mpsc::Sender<()>) {
    let mut log = holder(options, "running");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let engine = thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_millis(10))
            == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            log.poll().unwrap();
            if log.answer_due() {
                log.bind(vec![]).unwrap();
            }
        }
        log
    });
    (engine, stop)
}

#[test]
fn a_second_engine_learns_that_another_is_running() {
    let options = fresh();
    let (engine, stop) = running(&options);
    let begun = Instant::now();
    let mut second = open_log(&options, "second").unwrap();
    let error = second.take_over().unwrap_err();
    assert!(
        matches!(&error, BindingLogError::Claim(ClaimError::Running { generation: 1, engine })
        if engine.starts_with("running-")),
        "{error}"
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop(stop);
    engine.join().unwrap().bind(range(0, 1)).unwrap();
}

#[test]
fn a_frozen_engine_is_fenced_when_it_wakes() {
    let options = fresh();
    let mut frozen = holder(&options, "frozen");
    frozen.bind(range(0, 2)).unwrap();
    let mut next = holder(&options, "next");
    next.bind(range(2, 4)).unwrap();
    let head = next.chain().head().clone();

    let error = frozen.bind(range(2, 3)).unwrap_err();
    assert!(matches!(error, BindingLogError::Claim(ClaimError::Fenced { generation: 2, .. })));
    next.poll().unwrap();
    assert_eq!(*next.chain().head(), head, "what it had appended is ignored");
    next.bind(range(4, 5)).unwrap();
    assert_eq!(replayed(&next).len(), 5);
}

#[test]
fn a_record_that_no_engine_wrote_stops_the_engine() {
    let options = fresh();
    let mut log = holder(&options, "a");
    Squad::new(&options).send(&options.topics.bindings, 0, &[r#"{"kind":"binding"}"#]);
    let error = log.bind(range(0, 1)).unwrap_err().to_string();
    assert!(error.contains("cannot read the record after binding"), "{error}");
    assert!(open_log(&options, "b").is_err());
}

#[test]
fn binding_is_fast() {
    let options = fresh();
    let mut log = holder(&options, "a");
    let mut times: Vec<Duration> = (0..200)
        .map(|n| {
            let begun = Instant::now();
            log.bind(range(n, n + 1)).unwrap();
            begun.elapsed()
        })
        .collect();
    times.sort();
    println!("bind: p50 {:?}, p99 {:?}", times[100], times[197]);
    assert!(times[100] < Duration::from_millis(100));
}
