//! `cebe reconcile`: every record counted again.

use std::process::ExitCode;

use anyhow::bail;

use crate::config::Config;
use crate::reconcile::compare::{Check, Sides};
use crate::reconcile::cut::Cut;
use crate::reconcile::records::Records;
use crate::reconcile::report;
use crate::reconcile::tables::Stored;
use crate::verify::views::Tables;

/// The exit status when nothing can be said.
pub const CANNOT_CHECK: u8 = 2;

const AFTER_HELP: &str = "\
Exit status: 0 all that can be checked is equal, 1 there is a difference, 2 it cannot be checked.
docs/guides/reconcile.md says what each number means, and what to do on a difference.";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Only this topic, such as `cebe.events.ads`; may be given more than once.
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<String>,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let kafka = config.kafka_options();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = config.clickhouse_client();
    let tables =
        Tables { runtime: &runtime, client: &client, database: &config.clickhouse.database };
    let cut = Cut::read(&kafka, tables.complete_through()?)?;
    if let Some(topic) = args.topic.iter().find(|topic| !is_bound(&cut, topic)) {
        bail!("nothing was ever read of a topic {topic}: see cebe source list");
    }
    let wanted = |topic: &str| args.topic.is_empty() || args.topic.iter().any(|one| one == topic);
    let now_ms = super::now_ms();
    let stored = Stored::read(&tables, &cut)?;
    let records = Records::read(&kafka, &cut, wanted)?;
    let topics = &kafka.topics;
    let sides = Sides { topics, cut: &cut, records: &records, stored: &stored, now_ms };
    let checks = sides.checks(&wanted);
    match args.json {
        true => println!("{}", report::json(&cut, &checks)),
        false => print!("{}", report::text(&cut, &checks)),
    }
    Ok(if checks.iter().any(Check::differs) {
        ExitCode::FAILURE
    } else if !checks.is_empty() && !checks.iter().any(Check::is_checked) {
        ExitCode::from(CANNOT_CHECK)
    } else {
        ExitCode::SUCCESS
    })
}

fn is_bound(cut: &Cut, topic: &str) -> bool {
    cut.partitions.keys().any(|(name, _)| **name == *topic)
}
