//! Logs: lower-case fragments with structured fields, on standard error.

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::Log;

/// Installs the subscriber of the process.
pub fn init(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter)
        .with_context(|| format!("log.filter {:?}: not in the syntax of RUST_LOG", log.filter))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if log.format == "json" {
        builder.json().init()
    } else {
        builder.with_ansi(false).init()
    }
    Ok(())
}
