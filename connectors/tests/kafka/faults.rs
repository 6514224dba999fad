//! A broker of this test's own, killed and started again under a working engine.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use cebe_connectors::kafka::{control, topics};
use cebe_schemas::view::View;

use crate::engine::{
    Dies, Engine, event, expected_accepted, one_progress_for_each_binding, values,
};
use crate::support::{Squad, TIMEOUT, fresh_on};

/// Kills the broker when it is dropped.
struct Broker {
    options: cebe_dev::Options,
    address: String,
    _dir: tempfile::TempDir,
}

impl Broker {
    fn start() -> Broker {
        let dir = tempfile::tempdir().unwrap();
        let options = cebe_dev::Options::new(dir.path());
        let address = cebe_dev::kafka::start(&options).unwrap();
        Broker { options, address, _dir: dir }
    }

    /// Away for `pause`, without warning. Clients find it only where it was.
    fn crash(&self, pause: Duration) {
        cebe_dev::kafka::kill(&self.options).unwrap();
        thread::sleep(pause);
        if cebe_dev::kafka::start(&self.options).unwrap() != self.address {
            // The engine would wait for ever, as it should.
            let _ = cebe_dev::kafka::kill(&self.options);
            eprintln!("the broker could not come back at {}", self.address);
            std::process::exit(101);
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = cebe_dev::kafka::kill(&self.options);
    }
}

#[test]
fn a_broker_that_dies_costs_time_and_nothing_else() {
    const RECORDS: usize = 900;
    let _ = tracing_subscriber::fmt().with_test_writer().try_init();
    let broker = Broker::start();
    let options = fresh_on(&broker.address);
    topics::create_source(&options, "cdp", 3, TIMEOUT).unwrap();
    control::publish(&options, br#"{"sources": {"cdp": "on"}}"#, TIMEOUT).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut engine = Engine::start(&options, dir.path());
    while engine.turn(Dies::Never) == 0 {}

    let done = thread::scope(|scope| {
        // Short and longer than a transaction may take: aborted and unanswered commits.
        scope.spawn(|| {
            for pause_ms in [200, 6_000] {
                thread::sleep(Duration::from_secs(1));
                broker.crash(Duration::from_millis(pause_ms));
            }
        });
        scope.spawn(|| {
            let squad = Squad::patient(&options);
            for n in 0..RECORDS {
                squad.send(&options.topics.events("cdp"), (n % 3) as i32, &[&event(n)]);
                thread::sleep(Duration::from_millis(5));
            }
        });
        let begun = Instant::now();
        let mut bound = 0;
        while bound < RECORDS as u64 && begun.elapsed() < 4 * TIMEOUT {
            bound += engine.turn(Dies::Never);
        }
        bound
    });
    assert_eq!(done, RECORDS as u64);
    let rows = values(&options, View::Events);
    let mut there = BTreeMap::new();
    for row in &rows {
        let place = row["ordinal"].as_u64().unwrap();
        let first = there.insert(place, row);
        assert!(first.is_none(), "published twice: {first:?} and {row}");
    }
    assert_eq!(rows.len(), expected_accepted(RECORDS));
    one_progress_for_each_binding(&options, &engine);
}
