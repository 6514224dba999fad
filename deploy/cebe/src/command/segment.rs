//! `cebe segment`: who belongs to what.

use std::process::ExitCode;

use cebe_schemas::control::DefinitionKind;
use clap::Subcommand;
use serde_json::json;

use super::control;
use super::definition::{self, List, Put};
use crate::config::Config;

const EXAMPLE: &str = r#"Example:
  cat > repliers.json <<'END'
  {"segment_id": "repliers", "account_id": "acc-17", "version": 1, "title": "Replied lately",
   "when": {"did": "broadcast.replied", "at_least": 2, "within": "30d"}}
  END
  cebe segment put repliers.json --wait
  cebe segment list --account acc-17

A definition that looks at properties (where, then_where, same) which no definition of the account has
looked at so far waits until those events have been read again, and is then in force over all history
at once. docs/guides/define.md has the rest."#;

#[derive(Subcommand)]
pub enum Segment {
    /// Put a segment, new or edited, in force over all history.
    #[command(after_long_help = EXAMPLE)]
    Put(Put),
    /// Say who would enter and leave, and which rates would move, were definitions put in force.
    Preview(super::preview::Args),
    /// Remove a segment, also one that waits: its members exit.
    Remove {
        /// The tenant.
        #[arg(long)]
        account: String,
        /// Its id.
        segment: String,
    },
    /// List the segments in force, and those that wait for history.
    List(List),
}

pub fn run(config: &Config, segment: Segment) -> anyhow::Result<ExitCode> {
    match segment {
        Segment::Put(args) => definition::put(config, "segments", &args),
        Segment::Preview(args) => super::preview::run(config, &args),
        Segment::Remove { account, segment } => {
            let place = json!({ "account_id": account, "segment_id": segment });
            control::put(config, json!({ "remove_segments": [place] }), false)
        }
        Segment::List(args) => definition::list(config, DefinitionKind::Segment, &args),
    }
}
