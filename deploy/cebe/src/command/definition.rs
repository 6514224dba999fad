//! What `cebe segment` and `cebe metric` have in common: definitions put, removed and listed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use cebe_schemas::control::DefinitionKind;
use cebe_schemas::time::{Millis, format_rfc3339};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::pending::{Pending, waiting};
use super::{control, now_ms};
use crate::config::Config;

/// What waits for longer is not listed.
const WAITING_MS: Millis = 7 * 86_400_000;
/// How long ClickHouse may take for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub struct Put {
    /// The definition as JSON; `-` is standard input.
    file: PathBuf,
    /// Return only once it is in force over all history; exit with 1 if it is refused.
    #[arg(long)]
    wait: bool,
}

#[derive(clap::Args)]
pub struct List {
    /// Only those of this tenant.
    #[arg(long)]
    account: Option<String>,
    /// As JSON: {"in_force": [...], "waiting": [...]}.
    #[arg(long)]
    json: bool,
}

/// A definition in force, a row of `segment_definitions` or `metric_definitions`.
#[derive(Deserialize, Serialize, clickhouse::Row)]
struct InForce {
    account_id: String,
    id: String,
    version: u32,
    title: String,
    definition: String,
    valid_from_ms: Millis,
    changed_by: String,
}

/// Puts the definition in a file; `list` is the field of control records that takes it.
pub fn put(config: &Config, list: &str, args: &Put) -> anyhow::Result<ExitCode> {
    let definition = read_json(&args.file)?;
    control::put(config, json!({ list: [definition] }), args.wait)
}

/// The JSON value in a file, or of standard input.
pub fn read_json(file: &Path) -> anyhow::Result<Value> {
    let (shown, text) = match file == Path::new("-") {
        true => ("standard input".to_owned(), std::io::read_to_string(std::io::stdin())),
        false => (file.display().to_string(), std::fs::read_to_string(file)),
    };
    let text = text.with_context(|| format!("{shown}: cannot be read"))?;
    serde_json::from_str(&text).with_context(|| format!("{shown}: not JSON"))
}

/// Prints what is in force, from ClickHouse, and what waits, from Kafka.
pub fn list(config: &Config, kind: DefinitionKind, args: &List) -> anyhow::Result<ExitCode> {
    let wanted = |account: &str| args.account.as_deref().is_none_or(|only| only == account);
    let mut waiting = waiting(&config.kafka_options(), now_ms() - WAITING_MS)?;
    waiting.retain(|pending| {
        let mut names = pending.definitions().iter();
        names.any(|name| name.kind == kind && wanted(&name.account_id))
    });
    let in_force = in_force(config, kind);
    let in_force = in_force.map(|rows| {
        rows.into_iter().filter(|row| row.account_id.is_empty() || wanted(&row.account_id))
    });
    if args.json {
        let rows: Vec<Value> = in_force?.map(|row| shown(&row)).collect();
        let waiting: Vec<Value> = waiting.iter().flat_map(|one| shown_waiting(one, kind)).collect();
        println!("{}", json!({ "in_force": rows, "waiting": waiting }));
        return Ok(ExitCode::SUCCESS);
    }
    for pending in &waiting {
        for name in pending.definitions().iter().filter(|name| name.kind == kind) {
            let (account, id, percent) = (&name.account_id, &name.id, pending.percent());
            println!("{account:16} {id:24} waits for history, {percent} % read");
        }
    }
    let rows = match in_force {
        Ok(rows) => rows,
        Err(error) => bail!("what is in force is in clickhouse, which does not answer: {error:#}"),
    };
    for InForce { account_id, id, version, title, valid_from_ms, changed_by, .. } in rows {
        let account = if account_id.is_empty() { "(every account)" } else { &account_id };
        let since = control::since(valid_from_ms);
        println!("{account:16} {id:24} version {version}, {since}, by {changed_by}   {title}");
    }
    Ok(ExitCode::SUCCESS)
}

fn in_force(config: &Config, kind: DefinitionKind) -> anyhow::Result<Vec<InForce>> {
    let sql = format!(
        "SELECT account_id, id, version, title, definition, \
         toUnixTimestamp64Milli(valid_from) AS valid_from_ms, changed_by \
         FROM {}_definitions WHERE valid_to IS NULL ORDER BY account_id, id",
        kind.as_str()
    );
    let client = config.clickhouse_client().with_database(&config.clickhouse.database);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rows = client.query(&sql).fetch_all();
    Ok(runtime.block_on(async { tokio::time::timeout(PATIENCE, rows).await })??)
}

fn shown(row: &InForce) -> Value {
    let definition: Value = serde_json::from_str(&row.definition).unwrap_or_default();
    json!({
        "account_id": row.account_id, "id": row.id, "version": row.version, "title": row.title,
        "in_force_since": format_rfc3339(row.valid_from_ms), "changed_by": row.changed_by,
        "definition": definition,
    })
}

fn shown_waiting(pending: &Pending, kind: DefinitionKind) -> Vec<Value> {
    let names = pending.definitions().iter().filter(|name| name.kind == kind);
    let shown = |name: &cebe_schemas::control::DefinitionName| {
        json!({
            "account_id": name.account_id, "id": name.id, "percent": pending.percent(),
            "control_offset": pending.waits.offset,
        })
    };
    names.map(shown).collect()
}
