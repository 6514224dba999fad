//! The views as files of JSON lines.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::views::Views;

/// Writes one file a view into `folder`, which is made if need be. Returns name and rows of each.
pub fn write(views: &Views, folder: &Path) -> anyhow::Result<Vec<(&'static str, u64)>> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{}: cannot be made", folder.display()))?;
    let view = |name, count: anyhow::Result<u64>| Ok::<_, anyhow::Error>((name, count?));
    Ok(vec![
        view("identities", file(folder, "identities", views.identities()))?,
        view("customers", file(folder, "customers", views.customers()))?,
        view("segment_members", file(folder, "segment_members", views.segment_members()))?,
        view("segment_changes", file(folder, "segment_changes", views.segment_changes()))?,
        view("metric_values", file(folder, "metric_values", views.metric_values()))?,
        view("metric_changes", file(folder, "metric_changes", views.metric_changes()))?,
        view(
            "identity_quarantine",
            file(folder, "identity_quarantine", views.identity_quarantine()),
        )?,
        view("rejected_events", file(folder, "rejected_events", views.rejected_events()))?,
        view("ingest_ledger", file(folder, "ingest_ledger", views.ingest_ledger()))?,
    ])
}

/// Writes one file; returns how many rows.
pub fn file<T: Serialize>(
    folder: &Path,
    view: &str,
    rows: impl Iterator<Item = T>,
) -> anyhow::Result<u64> {
    let path = folder.join(format!("{view}.jsonl"));
    let shown = || format!("{}: cannot be written", path.display());
    let mut out = BufWriter::new(File::create(&path).with_context(shown)?);
    let mut count = 0;
    for row in rows {
        serde_json::to_writer(&mut out, &row).with_context(shown)?;
        out.write_all(b"\n").with_context(shown)?;
        count += 1;
    }
    out.flush().with_context(shown)?;
    Ok(count)
}
