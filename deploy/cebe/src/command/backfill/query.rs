//! The answer to a query as a file, so that a job can go on where it was whatever becomes of the tables.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::artefacts;
use crate::config::Config;

/// Whether this is a query, and no file.
pub(super) fn is_query(from: &str) -> bool {
    let word = from.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    matches!(&*word, "select" | "with") && from.split_whitespace().nth(1).is_some()
}

/// Writes the rows of `sql` as JSON lines, compressed, into the folder of `job`.
pub(super) fn spool(
    config: &Config,
    url: Option<&str>,
    job: &str,
    sql: &str,
) -> anyhow::Result<PathBuf> {
    let folder = artefacts::folder(config, job);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let path = folder.join("query.jsonl.zst");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut client = config.clickhouse_client();
    if let Some(url) = url {
        client = client.with_url(url);
    }
    runtime.block_on(write(client, sql, &path)).with_context(|| {
        format!("the answer to the query cannot be written to {}", path.display())
    })?;
    Ok(path)
}

async fn write(client: clickhouse::Client, sql: &str, path: &Path) -> anyhow::Result<()> {
    // It holds personal data as the tables do: for nobody else to read.
    let file: File =
        OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    let mut out = zstd::Encoder::new(BufWriter::new(file), 3)?;
    let query = client
        .query(&sql.replace('?', "??"))
        .with_setting("output_format_json_quote_64bit_integers", "0")
        .with_setting("date_time_output_format", "iso");
    let mut rows = query.fetch_bytes("JSONEachRow")?;
    while let Some(bytes) = rows.next().await? {
        out.write_all(&bytes)?;
    }
    let mut file = out.finish()?;
    file.flush()?;
    Ok(file.into_inner().map_err(|error| error.into_error())?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::is_query;

    #[test]
    fn a_query_is_told_from_a_file() {
        assert!(is_query("SELECT 1") && is_query(" with x as (select 1) select * from x"));
        assert!(!is_query("select.jsonl") && !is_query("select") && !is_query("a/*.csv"));
    }
}
