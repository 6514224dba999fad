//! The acceptance criteria, shown on the real Kafka, the real ClickHouse and the real binary.
//!
//! One pair of services serves all cases, one after the other; each has accounts of its own, and
//! the ledger has to add up over all of them. Takes the arguments of any Rust test.

mod ask;
mod backfill;
mod cases;
mod define;
mod desk;
mod erase;
mod push;
mod rebuild;
mod reconcile;
mod recovery;
mod replay;
mod subscribe;
mod survive;
mod undo;
mod ways;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cebe_tests::system::System;
use libtest_mimic::{Arguments, Failed, Trial};

type Case = fn(&System) -> anyhow::Result<()>;

const CASES: [(&str, Case); 32] = [
    ("ac1_live_update", cases::ac1_live_update),
    ("ac2_same_key_once", cases::ac2_same_key_once),
    ("ac3_backfill_beside_live", backfill::ac3_backfill_beside_live),
    ("a_backfill_survives", survive::a_backfill_survives),
    ("history_comes_in_other_ways", ways::history_comes_in_other_ways),
    ("err1_clickhouse_down_buffers", cases::err1_clickhouse_down_buffers),
    ("err2_flag_off", cases::err2_flag_off),
    ("skipped_events_are_replayed", replay::skipped_events_are_replayed),
    ("rejected_events_are_replayed", replay::rejected_events_are_replayed),
    ("erased_events_lose_their_content", erase::erased_events_lose_their_content),
    ("events_come_in_over_http", push::events_come_in_over_http),
    ("keys_say_who_pushes", push::keys_say_who_pushes),
    ("definitions_come_in_over_http", ask::definitions_come_in_over_http),
    ("customers_are_found_by_what_they_hold", ask::customers_are_found_by_what_they_hold),
    ("a_subscriber_keeps_an_exact_copy", subscribe::a_subscriber_keeps_an_exact_copy),
    ("the_engine_is_asked_under_load", desk::the_engine_is_asked_under_load),
    ("definitions_change_while_events_flow", define::definitions_change_while_events_flow),
    ("kill_9_under_load", cases::kill_9_under_load),
    ("counts_are_reconciled", reconcile::counts_are_reconciled),
    ("second_engine_is_refused", cases::second_engine_is_refused),
    ("frozen_engine_is_fenced", cases::frozen_engine_is_fenced),
    ("verify_finds_a_tampered_row", cases::verify_finds_a_tampered_row),
    ("reconcile_names_what_was_tampered_with", reconcile::reconcile_names_what_was_tampered_with),
    ("a_start_begins_at_the_newest_snapshot", recovery::a_start_begins_at_the_newest_snapshot),
    ("damaged_files_are_made_anew", recovery::damaged_files_are_made_anew),
    ("another_logic_follows", recovery::another_logic_follows),
    ("a_backfill_is_undone", undo::a_backfill_is_undone),
    (
        "what_was_not_loaded_is_waited_for_or_missed",
        rebuild::what_was_not_loaded_is_waited_for_or_missed,
    ),
    // The last: nobody can verify what is gone.
    ("an_engine_is_rebuilt_from_clickhouse", rebuild::an_engine_is_rebuilt_from_clickhouse),
    ("what_is_gone_is_not_counted_as_equal", reconcile::what_is_gone_is_not_counted_as_equal),
    (
        "what_is_cut_under_a_stopped_engine_is_missed",
        recovery::what_is_cut_under_a_stopped_engine_is_missed,
    ),
    ("who_comes_back_too_late_begins_anew", subscribe::who_comes_back_too_late_begins_anew),
];

/// How many of the slowest cases are named at the end.
const SAID: usize = 12;

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    if arguments.list {
        libtest_mimic::run(&arguments, trials(|| unreachable!("listing runs nothing"))).exit();
    }
    let system = match System::start() {
        Ok(system) => Arc::new(system),
        Err(error) => {
            eprintln!("the services do not start: {error:#}");
            std::process::exit(101);
        }
    };
    let conclusion = libtest_mimic::run(&arguments, trials(move || system.clone()));
    // By now the last case has dropped its share of the system, which stopped the services.
    say_slowest();
    conclusion.exit()
}

fn trials(system: impl Fn() -> Arc<System> + Clone + Send + 'static) -> Vec<Trial> {
    let trial = |(name, case): (&'static str, Case)| {
        let system = system.clone();
        Trial::test(name, move || {
            let begin = Instant::now();
            let result = case(&system()).map_err(|e| Failed::from(format!("{e:#}")));
            took().push((begin.elapsed(), name));
            result
        })
    };
    CASES.into_iter().map(trial).collect()
}

/// How long each case took.
fn took() -> MutexGuard<'static, Vec<(Duration, &'static str)>> {
    static TOOK: Mutex<Vec<(Duration, &str)>> = Mutex::new(Vec::new());
    TOOK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn say_slowest() {
    let mut took = std::mem::take(&mut *took());
    took.sort_unstable();
    for (time, name) in took.iter().rev().take(SAID) {
        eprintln!("{:>4} s  {name}", time.as_secs());
    }
}
