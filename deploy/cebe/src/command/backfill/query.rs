//! The answer to a query as a file, so that a job can go on where it was whatever becomes of the tables.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::value::RawValue;

use super::artefacts;
use crate::config::Config;

const PROPERTY: &str = "properties.";

/// Whether this is a query, and no file.
pub(super) fn is_query(from: &str) -> bool {
    let word = from.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    matches!(&*word, "select" | "with") && from.split_whitespace().nth(1).is_some()
}

/// Writes the rows of `sql` as JSON lines, compressed, into the folder of `job`. Unless they are `mapped`, they
/// are events, and the column `properties.x` is the property `x`.
pub(super) fn spool(
    config: &Config,
    url: Option<&str>,
    job: &str,
    sql: &str,
    mapped: bool,
) -> anyhow::Result<PathBuf> {
    let folder = artefacts::folder(config, job);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let path = folder.join("query.jsonl.zst");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut client = config.clickhouse_client();
    if let Some(url) = url {
        client = client.with_url(url);
    }
    runtime.block_on(write(client, sql, mapped, &path)).with_context(|| {
        format!("the answer to the query cannot be written to {}", path.display())
    })?;
    Ok(path)
}

async fn write(
    client: clickhouse::Client,
    sql: &str,
    mapped: bool,
    path: &Path,
) -> anyhow::Result<()> {
    // It holds personal data as the tables do: for nobody else to read.
    let file: File =
        OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    let mut out = zstd::Encoder::new(BufWriter::new(file), 3)?;
    let query = client
        .query(&sql.replace('?', "??"))
        .with_setting("output_format_json_quote_64bit_integers", "0")
        .with_setting("date_time_output_format", "iso");
    let mut rows = query.fetch_bytes("JSONEachRow")?;
    let mut rest = Vec::new();
    while let Some(bytes) = rows.next().await? {
        if mapped {
            out.write_all(&bytes)?;
            continue;
        }
        rest.extend_from_slice(&bytes);
        let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else { continue };
        let after = rest.split_off(end + 1);
        for line in rest[..end].split(|byte| *byte == b'\n') {
            out.write_all(&nested(line)?)?;
            out.write_all(b"\n")?;
        }
        rest = after;
    }
    let mut file = out.finish()?;
    file.flush()?;
    Ok(file.into_inner().map_err(|error| error.into_error())?.sync_all()?)
}

/// The event that a row tells.
fn nested(line: &[u8]) -> serde_json::Result<Vec<u8>> {
    type Object = BTreeMap<String, Box<RawValue>>;
    let mut fields: Object = serde_json::from_slice(line)?;
    let flat: Vec<String> =
        fields.keys().filter(|name| name.starts_with(PROPERTY)).cloned().collect();
    if flat.is_empty() {
        return Ok(line.to_vec());
    }
    let whole = fields.get("properties").map(|raw| serde_json::from_str::<Object>(raw.get()));
    let mut properties = whole.transpose()?.unwrap_or_default();
    for name in flat {
        if let Some((name, value)) = fields.remove_entry(&name) {
            properties.insert(name[PROPERTY.len()..].to_owned(), value);
        }
    }
    fields.insert("properties".into(), serde_json::value::to_raw_value(&properties)?);
    serde_json::to_vec(&fields)
}

#[cfg(test)]
mod tests {
    use super::{is_query, nested};

    #[test]
    fn columns_of_properties_are_properties() {
        for (row, event) in [
            (r#"{"b": 1.50, "properties": {"x": 2}}"#, r#"{"b": 1.50, "properties": {"x": 2}}"#),
            (
                r#"{"b":18446744073709551615,"properties.x":[1],"properties":{"y":null},"a":2.50}"#,
                r#"{"a":2.50,"b":18446744073709551615,"properties":{"x":[1],"y":null}}"#,
            ),
        ] {
            assert_eq!(String::from_utf8(nested(row.as_bytes()).unwrap()).unwrap(), event);
        }
        assert!(nested(b"[]").is_err());
    }

    #[test]
    fn a_query_is_told_from_a_file() {
        assert!(is_query("SELECT 1") && is_query(" with x as (select 1) select * from x"));
        assert!(!is_query("select.jsonl") && !is_query("select") && !is_query("a/*.csv"));
    }
}
