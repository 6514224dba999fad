//! `cebe migrate`: the ClickHouse database, brought to the version of this binary.

use std::process::ExitCode;

use cebe_connectors::migrate;

use crate::config::Config;

pub fn run(config: Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = config.clickhouse_client();
    let report = runtime.block_on(migrate::migrate(&client, &config.clickhouse.database))?;
    for name in &report.applied {
        println!("applied {name}");
    }
    println!("{} of {} migrations were there", report.unchanged, migrate::MIGRATIONS.len());
    Ok(ExitCode::SUCCESS)
}
