//! `cebe snapshots`: what a start could begin with.

use std::process::ExitCode;

use cebe_connectors::snapshot::{Manifest, Snapshot, Store};
use cebe_schemas::time::format_rfc3339;
use serde_json::json;

use crate::config::Config;
use crate::recovery::rests_on;

#[derive(clap::Args)]
pub struct Args {
    /// One JSON object for each snapshot.
    #[arg(long)]
    json: bool,
}

/// Newest first, every file read.
pub fn run(config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let store = Store::directory(&config.snapshot_dir())?;
    let manifests = Manifest::list(&store, &rests_on(config)?)?;
    for manifest in &manifests {
        let fault = check(&store, manifest).err().map(|error| format!("{error:#}"));
        let (facts_bytes, keys_bytes) = manifest.sizes_bytes();
        let through = format_rfc3339(manifest.t_ms);
        if args.json {
            let line = json!({
                "binding": manifest.binding, "through": through, "facts_bytes": facts_bytes,
                "keys_bytes": keys_bytes, "usable": fault.is_none(), "fault": fault,
            });
            println!("{line}");
        } else {
            let state = fault.as_deref().unwrap_or("whole");
            let (facts, keys) = (facts_bytes >> 10, keys_bytes >> 10);
            println!(
                "through {through}, binding {}: {facts} KiB of facts, {keys} KiB of keys: {state}",
                manifest.binding
            );
        }
    }
    if manifests.is_empty() && !args.json {
        println!("none at {}: a start begins at the first binding", store.location());
    }
    Ok(ExitCode::SUCCESS)
}

fn check(store: &Store, manifest: &Manifest) -> anyhow::Result<()> {
    let snapshot = Snapshot::open(store, manifest)?;
    snapshot.adapter()?;
    for keys in snapshot.keys_from(0) {
        keys?;
    }
    snapshot.facts(|_| anyhow::Ok(()))?;
    Ok(())
}
