//! `cebe eval`: what the engine would make of a file of events.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use cebe_connectors::adapter::Past;
use cebe_connectors::kafka::Topics;
use cebe_schemas::control::{ControlError, ControlState, Ingestion};
use cebe_schemas::time::{Millis, parse_rfc3339};
use cebe_schemas::token::Keys;
use cebe_schemas::verdict::Judge;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::eval::bound::{self, BoundLines};
use crate::eval::lines::{Ended, Lines};
use crate::eval::views::Views;
use crate::eval::{Evaluation, Tick, files, line};

const EXAMPLE: &str = r#"Example:
  cat > events.jsonl <<'END'
  {"received_at": "2026-11-23T04:31:00Z", "event_name": "broadcast.sent", "schema_version": 1, "source_module": "broadcast", "idempotency_key": "s-1", "account_id": "acc-17", "qontak_customer_id": "7", "occurred_at": "2026-11-23T04:31:00Z", "properties": {"broadcast_id": "b-204"}}
  {"received_at": "2026-11-23T04:45:00Z", "event_name": "broadcast.replied", "schema_version": 1, "source_module": "broadcast", "idempotency_key": "r-1", "account_id": "acc-17", "qontak_customer_id": "7", "occurred_at": "2026-11-23T04:44:00Z", "properties": {}}
  END
  cebe eval --events events.jsonl --at 2026-11-23T05:00:00Z --out answers
  cat answers/metric_values.jsonl

docs/guides/eval.md has the rest."#;

#[derive(clap::Args)]
#[command(after_long_help = EXAMPLE)]
pub struct Args {
    /// Events in order of arrival, one envelope a line; `-` is standard input.
    ///
    /// `received_at` on a line is its arrival (on all lines or on none; none: all arrive at --at).
    /// A line {"control": {...}} changes a definition, a flag or a setting at that time. A file
    /// that `cebe verify --keep` has written is recognised by its first line.
    #[arg(long, value_name = "FILE|-")]
    events: PathBuf,
    /// What is in force from the beginning: {"segments": [...], "metrics": [...], "settings":
    /// {...}, "sources": {"cdp": "on"}}.
    ///
    /// Without `sources` every source is on; with it, those that it does not list are off.
    #[arg(long, value_name = "FILE")]
    definitions: Option<PathBuf>,
    /// The time of the answers: RFC 3339 or epoch milliseconds. Lines that arrive later are not
    /// read. Without it: now.
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Millis>,
    /// Dataflow workers. The answers are the same for any number.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = workers)]
    workers: usize,
    /// The folder for the answers, one file a view; files of those names are overwritten.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print the summary as one JSON object.
    #[arg(long)]
    json: bool,
}

fn time(text: &str) -> Result<Millis, String> {
    let ms = parse_rfc3339(text).or_else(|| text.parse().ok()).filter(|ms| *ms >= 0);
    ms.ok_or_else(|| {
        "give an RFC 3339 date-time with offset, such as 2026-11-23T04:31:00Z, or epoch \
         milliseconds"
            .into()
    })
}

fn workers(text: &str) -> Result<usize, String> {
    let max = cebe_dataflow::WORKERS_MAX;
    let count = text.parse().ok().filter(|count| (1..=max).contains(count));
    count.ok_or_else(|| format!("give 1 to {max}; more than there are cores is slower"))
}

pub fn run(config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let begin = Instant::now();
    let at_ms = args.at.unwrap_or_else(super::now_ms);
    let source = Source::open(&args.events)?;
    let name = &source.name;
    let mut input = Input::new(source.reader()?, name, at_ms)?;
    let control = match (&args.definitions, &input) {
        (Some(_), Input::Bound(_)) => {
            bail!("{name}: has its own control records: leave --definitions out")
        }
        (None, Input::Bound(_)) => ControlState::new(),
        (Some(file), _) => definitions(file)?,
        (None, _) => ControlState::with_unlisted(Ingestion::On),
    };
    let judge = Judge { catalogue: config.catalogue()?.into(), keys: Keys::development().into() };
    let past = match input {
        Input::Lines(_) => Past::Foreseen,
        Input::Bound(_) => Past::Checked,
    };
    let mut evaluation = Evaluation::start(judge, control.clone(), args.workers, past)?;
    match input {
        Input::Lines(_) => foresee(&mut evaluation, control, source.reader()?)?,
        Input::Bound(_) => bound::foresee(&mut evaluation, source.reader()?, name, at_ms)?,
    }
    let bar = progress_bar(source.bytes());
    let mut views = Views::default();
    let (mut last, mut read) = (None, 0);
    let is_bound = matches!(input, Input::Bound(_));
    let mut take = |tick: &Tick| -> anyhow::Result<()> {
        if !is_bound {
            warn_of_wrong_control(&evaluation, tick, name);
        }
        for row in evaluation.tick(tick)? {
            views.fold(row);
        }
        Ok(())
    };
    while let Some(tick) = input.next_tick()? {
        take(&tick)?;
        read += tick.records.len();
        last = Some((tick.number, tick.t_ms, tick.first_ordinal + tick.records.len() as u64));
        bar.set_position(input.bytes());
    }
    let (number, t_ms, first_ordinal) = last.unwrap_or((0, -1, 0));
    if t_ms < at_ms {
        take(&Tick { number: number + 1, t_ms: at_ms, first_ordinal, records: Vec::new() })?;
    }
    bar.finish_and_clear();
    if let Some(line) = input.ended_before() {
        eprintln!("{name}: not read from line {line} on, which arrived after --at");
    }
    let written = files::write(&views, &args.out)?;
    let summary = Summary {
        records: read,
        verdicts: verdicts(&views),
        files: written,
        seconds: begin.elapsed().as_secs_f64(),
    };
    if args.json {
        summary.print_json()
    } else {
        summary.print()
    }
    Ok(ExitCode::SUCCESS)
}

/// A file of events, or one of what an engine has bound.
enum Input<'s> {
    Lines(Box<Lines<Box<dyn BufRead + 's>>>),
    Bound(BoundLines<Box<dyn BufRead + 's>>),
}

impl<'s> Input<'s> {
    fn new(mut reader: Box<dyn BufRead + 's>, name: &str, at_ms: Millis) -> anyhow::Result<Self> {
        let begin = reader.fill_buf().with_context(|| format!("{name}: cannot be read"))?;
        Ok(match begin.starts_with(bound::MAGIC) {
            true => Input::Bound(BoundLines::new(reader, name, at_ms)),
            false => Input::Lines(Box::new(Lines::new(reader, name, at_ms))),
        })
    }

    fn next_tick(&mut self) -> anyhow::Result<Option<Tick>> {
        match self {
            Input::Lines(lines) => lines.next_tick(),
            Input::Bound(lines) => lines.next_tick(),
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Input::Lines(lines) => lines.bytes(),
            Input::Bound(lines) => lines.bytes(),
        }
    }

    /// The line that arrived after `--at`.
    fn ended_before(&self) -> Option<u64> {
        match self {
            Input::Lines(lines) => match lines.ended() {
                Some(Ended::Before(line)) => Some(line),
                _ => None,
            },
            Input::Bound(_) => None,
        }
    }
}

/// Where the events are; it can be read more than once.
struct Source {
    name: String,
    /// Standard input, whole.
    held: Option<Vec<u8>>,
}

impl Source {
    fn open(path: &Path) -> anyhow::Result<Source> {
        if path != Path::new("-") {
            return Ok(Source { name: path.display().to_string(), held: None });
        }
        let mut held = Vec::new();
        std::io::stdin().read_to_end(&mut held).context("standard input: cannot be read")?;
        Ok(Source { name: "standard input".into(), held: Some(held) })
    }

    fn reader(&self) -> anyhow::Result<Box<dyn BufRead + '_>> {
        if let Some(held) = &self.held {
            return Ok(Box::new(held.as_slice()));
        }
        let file = File::open(&self.name);
        let file = file.with_context(|| format!("{}: cannot be read", self.name))?;
        Ok(Box::new(BufReader::with_capacity(1 << 20, file)))
    }

    fn bytes(&self) -> Option<u64> {
        match &self.held {
            Some(held) => Some(held.len() as u64),
            None => std::fs::metadata(&self.name).ok().map(|metadata| metadata.len()),
        }
    }
}

/// Tells the evaluation what the control lines will define, so that a definition over properties of
/// events finds all history.
fn foresee(
    evaluation: &mut Evaluation,
    mut control: ControlState,
    mut reader: impl BufRead,
) -> anyhow::Result<()> {
    evaluation.foresee(&control.definitions());
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        // What is wrong with a line is said when its time comes.
        if line::control(&line).is_some_and(|record| control.apply(record).is_ok()) {
            evaluation.foresee(&control.definitions());
        }
        line.clear();
    }
    Ok(())
}

/// The state that `file` describes.
fn definitions(file: &Path) -> anyhow::Result<ControlState> {
    let shown = file.display();
    let bytes = std::fs::read(file).with_context(|| format!("{shown}: cannot be read"))?;
    let lists_sources = serde_json::from_slice::<Map<String, Value>>(&bytes)
        .is_ok_and(|document| document.contains_key("sources"));
    let unlisted = if lists_sources { Ingestion::Off } else { Ingestion::On };
    let mut control = ControlState::with_unlisted(unlisted);
    match control.apply(&bytes) {
        Ok(_) => Ok(control),
        Err(error) => bail!("{shown}: {}", without_subject(&error)),
    }
}

/// As in an engine, a wrong control record is rejected and the rest goes on; here, its line is named.
fn warn_of_wrong_control(evaluation: &Evaluation, tick: &Tick, name: &str) {
    let topics = Topics::default();
    let mut records = tick.records.iter().filter(|r| *r.topic == topics.control).peekable();
    if records.peek().is_none() {
        return;
    }
    let mut control = evaluation.control().clone();
    for record in records {
        if let Err(error) = control.apply(&record.payload) {
            let line = record.offset + 1;
            eprintln!("{name}:{line}: without effect: /control{}", without_subject(&error));
        }
    }
}

fn without_subject(error: &ControlError) -> String {
    match error {
        ControlError::Invalid { pointer, message } => format!("{pointer}: {message}"),
        ControlError::NotJson { line, column } => {
            format!(": not JSON (line {line}, column {column})")
        }
    }
}

/// Only on a terminal.
fn progress_bar(bytes: Option<u64>) -> ProgressBar {
    let bar = bytes.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let template = match bytes {
        Some(_) => "{wide_bar} {bytes} of {total_bytes}, {eta} left",
        None => "{spinner} {bytes}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// accepted, duplicate, skipped, and each reason of rejection.
fn verdicts(views: &Views) -> BTreeMap<String, u64> {
    let mut verdicts = BTreeMap::new();
    for row in views.ingest_ledger() {
        for (name, count) in
            [("accepted", row.accepted), ("duplicate", row.duplicate), ("skipped", row.skipped)]
        {
            *verdicts.entry(name.to_owned()).or_default() += count;
        }
    }
    for row in views.rejected_events() {
        *verdicts.entry(row.reason.to_owned()).or_default() += 1;
    }
    verdicts.retain(|_, count| *count > 0);
    verdicts
}

struct Summary {
    records: usize,
    verdicts: BTreeMap<String, u64>,
    files: Vec<(&'static str, u64)>,
    seconds: f64,
}

impl Summary {
    fn print(&self) {
        println!("{} records in {:.1} s", self.records, self.seconds);
        for (verdict, count) in &self.verdicts {
            println!("{count:>12} {verdict}");
        }
        println!("rows");
        for (view, count) in &self.files {
            println!("{count:>12} {view}.jsonl");
        }
    }

    fn print_json(&self) {
        let files: BTreeMap<_, _> = self.files.iter().copied().collect();
        let (records, verdicts, seconds) = (self.records, &self.verdicts, self.seconds);
        let summary =
            json!({"records": records, "verdicts": verdicts, "rows": files, "seconds": seconds});
        println!("{summary}");
    }
}
