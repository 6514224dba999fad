//! `cebe metric`: rates.

use std::process::ExitCode;

use cebe_schemas::control::DefinitionKind;
use clap::Subcommand;
use serde_json::json;

use super::control;
use super::definition::{self, List, Put};
use crate::config::Config;

const EXAMPLE: &str = r#"Example:
  cat > read_rate.json <<'END'
  {"metric": "read_rate", "account_id": "acc-17", "denominator": "broadcast.delivered",
   "numerator": "broadcast.read", "group_by": "broadcast_id", "within": "24h"}
  END
  cebe metric put read_rate.json --wait
  cebe metric list --account acc-17

A definition that looks at properties (where, numerator_where, group_by) which no definition of the
account has looked at so far waits until those events have been read again, and is then in force over
all history at once. docs/guides/define.md has the rest."#;

#[derive(Subcommand)]
pub enum Metric {
    /// Put a metric of one account, new or edited, in force over all history.
    ///
    /// One with the name of a shipped metric takes its place for this account.
    #[command(after_long_help = EXAMPLE)]
    Put(Put),
    /// Remove a metric of one account, also one that waits.
    ///
    /// A shipped metric of that name is in force again. The shipped ones themselves stay.
    Remove {
        /// The tenant.
        #[arg(long)]
        account: String,
        /// Its name.
        metric: String,
    },
    /// List the metrics in force, the shipped ones included, and those that wait for history.
    List(List),
}

pub fn run(config: &Config, metric: Metric) -> anyhow::Result<ExitCode> {
    match metric {
        Metric::Put(args) => definition::put(config, "metrics", &args),
        Metric::Remove { account, metric } => {
            let place = json!({ "account_id": account, "metric": metric });
            control::put(config, json!({ "remove_metrics": [place] }), false)
        }
        Metric::List(args) => definition::list(config, DefinitionKind::Metric, &args),
    }
}
