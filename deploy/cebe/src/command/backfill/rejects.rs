//! The rejected events of a job, as ClickHouse has them.

use std::fs::File;
use std::io::{BufWriter, Write, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::config::Config;

const REJECTS: &str = "SELECT reason, pointer, message, payload, received_at, topic, partition, offset \
     FROM rejected_events WHERE backfill_job = ? ORDER BY topic, partition, offset";

const LOADED: &str = "SELECT sum(rejected) FROM backfills WHERE job = ?";
/// What the engine has just rejected is on its way to ClickHouse for as long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes them to `file`, or to standard output. The engine has rejected `rejected` so far.
pub(super) fn write(
    config: &Config,
    job: &str,
    rejected: u64,
    file: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = config.clickhouse_client().with_database(&config.clickhouse.database);
    let begin = Instant::now();
    loop {
        let loaded: u64 = runtime.block_on(client.query(LOADED).bind(job).fetch_one())?;
        if loaded >= rejected {
            break;
        }
        if begin.elapsed() > PATIENCE {
            eprintln!("warning: {rejected} are rejected, and clickhouse has {loaded} so far");
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut out: Box<dyn Write> = match file {
        Some(path) => {
            let file = File::create(path).with_context(|| path.display().to_string())?;
            Box::new(BufWriter::new(file))
        }
        None => Box::new(stdout().lock()),
    };
    let query = client.query(REJECTS).bind(job).with_setting("date_time_output_format", "iso");
    let mut rows = query.fetch_bytes("JSONEachRow")?;
    while let Some(bytes) = runtime.block_on(rows.next())? {
        out.write_all(&bytes)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
