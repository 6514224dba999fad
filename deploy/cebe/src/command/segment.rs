//! `cebe segment`: definitions of segments.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};

use super::publish_control;
use crate::config::Config;

#[derive(Subcommand)]
pub enum Segment {
    /// Put a segment, new or edited, in force from the next tick on, over all history held.
    Put {
        /// The definition as JSON, such as {"segment_id": "repliers", "account_id": "acc-17",
        /// "when": {"did": "broadcast.replied", "at_least": 2, "within": "30d"}}.
        file: PathBuf,
    },
    /// Say who would enter and leave, and which rates would move, were definitions put in force.
    Preview(super::preview::Args),
    /// Remove a segment: its members exit.
    Remove {
        /// The tenant.
        #[arg(long)]
        account: String,
        /// Its id.
        segment: String,
    },
}

pub fn run(config: Config, segment: Segment) -> anyhow::Result<ExitCode> {
    let record = match segment {
        Segment::Put { file } => {
            let shown = file.display();
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("{shown}: cannot be read"))?;
            let definition: Value =
                serde_json::from_str(&text).with_context(|| format!("{shown}: not JSON"))?;
            json!({ "segments": [definition] })
        }
        Segment::Preview(args) => return super::preview::run(&config, &args),
        Segment::Remove { account, segment } => {
            json!({ "remove_segments": [{ "account_id": account, "segment_id": segment }] })
        }
    };
    publish_control(&config, record)?;
    Ok(ExitCode::SUCCESS)
}
