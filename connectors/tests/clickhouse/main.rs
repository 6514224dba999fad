//! Migrations and loader against a real ClickHouse and a real Kafka.
//!
//! Uses the servers that `CEBE_CLICKHOUSE_URL` and `CEBE_KAFKA_BROKERS` name, else starts a pair.

mod engine;
mod fuzz;
mod loading;
mod migrating;
mod people;
mod replaying;
mod resolving;
mod services;

use std::future::Future;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use services::Services;

/// A case on a runtime of its own.
macro_rules! trials {
    ($services:ident: $($module:ident::$case:ident),* $(,)?) => {
        vec![$({
            let services = $services.clone();
            Trial::test(concat!(stringify!($module), "::", stringify!($case)), move || {
                run($module::$case(&services))
            })
        }),*]
    };
}

fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::from_args();
    let services = Arc::new(Services::start()?);
    let trials = trials![services:
        migrating::is_idempotent,
        migrating::many_at_once_agree,
        migrating::changed_migration_is_refused,
        migrating::everything_is_commented,
        loading::views_equal_the_truth,
        loading::past_is_one_consistent_cut,
        loading::lost_rows_show_in_the_ledger,
        loading::repeated_batches_change_nothing,
        loading::torn_transactions_are_mended,
        loading::server_that_misbehaves_loses_nothing,
        loading::refused_properties_do_not_stop_the_rest,
        loading::attributes_are_kept_to_the_letter,
        loading::full_queues_do_not_deadlock,
        loading::quiet_tick_is_readable_at_once,
        loading::backlog_is_loaded_fast,
        loading::emptied_database_is_filled_again,
        resolving::events_have_their_person,
        replaying::rejected_records_are_selected,
        replaying::skipped_records_are_selected,
        fuzz::no_accepted_event_fails_its_insert,
    ];
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(services);
    conclusion.exit()
}

fn run(case: impl Future<Output = anyhow::Result<()>>) -> Result<(), Failed> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(case).map_err(|error| format!("{error:#}").into())
}
