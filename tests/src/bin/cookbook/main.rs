//! `cargo cookbook`: what the queries of the guide to SQL cost on a large account.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use cebe_dev::Options;
use cebe_dev::clickhouse::{self as server, DATABASE};
use clap::Parser;

use serde_json::{Value, json};

/// Measures each query of docs/guides/sql.md in a ClickHouse of its own, filled with one account.
///
/// 5 % of the customers are merged into others; 20 segments have 1.6 members for each customer; a year of
/// events, of which months before this one are merged, as they are a day after a month has ended.
#[derive(Parser)]
#[command(name = "cookbook", max_term_width = 100)]
struct Arguments {
    /// Events of the account.
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Its customers.
    #[arg(long, default_value_t = 1_000_000)]
    customers: u64,
    /// How often each query runs; the first time is not counted.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Print one JSON object for each query.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let guide = std::fs::read_to_string(root.join("docs/guides/sql.md"))?;
    let folder = tempfile::tempdir()?;
    let running = Server(Options::new(folder.path().join("services")));
    let client = clickhouse::Client::default()
        .with_url(server::start(&running.0)?)
        .with_user(server::USER)
        .with_password(server::PASSWORD);
    client.query_raw(&format!("CREATE DATABASE {DATABASE}")).execute().await?;
    let client = client.with_database(DATABASE);
    migrate(&client, &root.join("schemas/clickhouse")).await?;
    fill(&client, &arguments).await?;
    let queries = queries(&guide)?;
    let week_ago = "SELECT toString(now('UTC') - INTERVAL 7 DAY)";
    let week_ago: String = client.query_raw(week_ago).fetch_one().await?;
    let client = client.with_setting("param_t", week_ago);
    if !arguments.json {
        println!("| query | rows read | p50, ms | max, ms |\n|---|---|---|---|");
    }
    for (title, sql) in queries {
        measure(&client, &arguments, title, sql).await?;
    }
    Ok(())
}

/// ClickHouse, stopped when it is dropped.
struct Server(Options);

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = server::stop(&self.0) {
            eprintln!("clickhouse was not stopped: {error}");
        }
    }
}

/// Title and text of each query: what stands between `<<'SQL'` and `SQL` under a heading.
fn queries(guide: &str) -> anyhow::Result<Vec<(&str, &str)>> {
    let mut queries = Vec::new();
    for section in guide.split("\n## ").skip(1) {
        let title = section.lines().next().unwrap_or_default();
        if !title.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        let (_, rest) =
            section.split_once("<<'SQL'").with_context(|| format!("{title}: no SQL"))?;
        let (_, rest) = rest.split_once('\n').context("a line follows")?;
        let (sql, _) = rest.split_once("\nSQL").with_context(|| format!("{title}: no end"))?;
        queries.push((title, sql));
    }
    ensure!(!queries.is_empty(), "the guide has no queries");
    Ok(queries)
}

/// As `cebe migrate`, which would have to be built with all that it computes.
async fn migrate(client: &clickhouse::Client, folder: &Path) -> anyhow::Result<()> {
    let mut files: Vec<_> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
        for statement in lines.join("\n").split_inclusive(";\n") {
            let statement = statement.trim().trim_end_matches(';');
            client
                .query_raw(statement)
                .execute()
                .await
                .with_context(|| file.display().to_string())?;
        }
    }
    Ok(())
}

async fn fill(client: &clickhouse::Client, arguments: &Arguments) -> anyhow::Result<()> {
    let (events, customers) = (arguments.events, arguments.customers);
    eprintln!("filling {customers} customers and {events} events");
    let run = async |statement: &str, from: u64, count: u64| {
        let statement = statement
            .replace("{customers}", &customers.to_string())
            .replace("{events}", &events.to_string())
            .replace("{from}", &from.to_string())
            .replace("{count}", &count.to_string());
        client.query_raw(&statement).execute().await.context(statement)
    };
    for statement in include_str!("fill.sql").split(";\n").filter(|s| !s.trim().is_empty()) {
        run(statement, 0, customers).await?;
    }
    let slice = events.div_ceil(30).max(1);
    for from in (0..events).step_by(usize::try_from(slice)?) {
        run(include_str!("events.sql"), from, slice.min(events - from)).await?;
    }
    let ended =
        "SELECT DISTINCT partition FROM system.parts WHERE active AND database = currentDatabase()
        AND table = 'landing_events' AND partition != toString(toYYYYMM(now()))";
    for partition in client.query_raw(ended).fetch_all::<String>().await? {
        let merge = format!("OPTIMIZE TABLE landing_events PARTITION ID '{partition}' FINAL");
        run(&merge, 0, 0).await?;
    }
    Ok(())
}

async fn measure(
    client: &clickhouse::Client,
    arguments: &Arguments,
    title: &str,
    sql: &str,
) -> anyhow::Result<()> {
    let mut times = Vec::new();
    let mut answer = Value::Null;
    for _ in 0..=arguments.runs {
        let begin = Instant::now();
        let mut answered = client.query_raw(sql).fetch_bytes("JSON")?;
        let bytes = answered.collect().await.context(title.to_owned())?;
        times.push(begin.elapsed().as_millis());
        answer = serde_json::from_slice(&bytes)?;
    }
    times.remove(0);
    times.sort_unstable();
    let (p50, max) = (times.get(times.len() / 2).copied(), times.last().copied());
    let (p50, max) = (p50.unwrap_or_default(), max.unwrap_or_default());
    let read = &answer["statistics"]["rows_read"];
    if arguments.json {
        println!("{}", json!({"query": title, "rows_read": read, "p50_ms": p50, "max_ms": max}));
    } else {
        println!("| {title} | {read} | {p50} | {max} |");
    }
    Ok(())
}
