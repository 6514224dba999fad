//! `cebe snapshots`: what a start could begin with.

use std::process::ExitCode;

use cebe_connectors::snapshot::{KindBytes, Manifest, Published, Snapshot, Store, reading};
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
    let manifests = Manifest::list(&store, &rests_on(config)?)?.states;
    for manifest in &manifests {
        let fault = check(&store, manifest).err().map(|error| format!("{error:#}"));
        let KindBytes { facts, keys, published } = manifest.sizes();
        let through = format_rfc3339(manifest.t_ms);
        if args.json {
            let line = json!({
                "binding": manifest.binding, "through": through, "facts_bytes": facts,
                "keys_bytes": keys, "published_bytes": published, "usable": fault.is_none(), "fault": fault,
            });
            println!("{line}");
        } else {
            let state = fault.as_deref().unwrap_or("whole");
            println!(
                "through {through}, binding {}: {} KiB of facts, {} KiB of keys, {} KiB of what was \
                 published: {state}",
                manifest.binding,
                facts >> 10,
                keys >> 10,
                published >> 10
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
    reading::published(store, Some(manifest), Published::default(), |_| anyhow::Ok(()))
}
