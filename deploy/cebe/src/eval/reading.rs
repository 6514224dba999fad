//! A file of events, evaluated as far as it had arrived at some time.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, bail};
use cebe_connectors::adapter::Past;
use cebe_connectors::kafka::Topics;
use cebe_schemas::control::{ControlError, ControlState, Ingestion};
use cebe_schemas::row::Row;
use cebe_schemas::time::Millis;
use cebe_schemas::token::Keys;
use cebe_schemas::verdict::Judge;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};

use super::bound::{self, BoundLines};
use super::line;
use super::lines::{Ended, Lines};
use super::{Evaluation, Tick};
use crate::config::Config;
use crate::desk::preview;

/// What is to be evaluated.
pub struct EventFile<'a> {
    /// The events; `-` is standard input.
    pub events: &'a Path,
    /// What is in force from the beginning.
    pub definitions: Option<&'a Path>,
    /// The time of the answers.
    pub at_ms: Millis,
    /// Dataflow workers.
    pub workers: usize,
    /// Definitions that are going to be previewed, so that all history is there for them.
    pub previewed: Option<&'a [u8]>,
}

impl EventFile<'_> {
    /// Works through the file and hands each row to `take`. Returns the state at the end, and how many
    /// records were read.
    ///
    /// # Errors
    /// Names the file or the line that cannot be read.
    pub fn evaluate(
        &self,
        config: &Config,
        take: &mut dyn FnMut(Row),
    ) -> anyhow::Result<(Evaluation, usize)> {
        let source = Source::open(self.events)?;
        let name = &source.name;
        let mut input = Input::new(source.reader()?, name, self.at_ms)?;
        let control = match (self.definitions, &input) {
            (Some(_), Input::Bound(_)) => {
                bail!("{name}: has its own control records: leave --definitions out")
            }
            (None, Input::Bound(_)) => ControlState::new(),
            (Some(file), _) => definitions(file)?,
            (None, _) => ControlState::with_unlisted(Ingestion::On),
        };
        let judge =
            Judge { catalogue: config.catalogue()?.into(), keys: Keys::development().into() };
        let past = match input {
            Input::Lines(_) => Past::Foreseen,
            Input::Bound(_) => Past::Checked,
        };
        let mut evaluation = Evaluation::start(judge, control.clone(), self.workers, past)?;
        match input {
            Input::Lines(_) => {
                foresee(&mut evaluation, control, source.reader()?, self.previewed)?;
            }
            Input::Bound(_) => {
                bound::foresee(&mut evaluation, || source.reader(), name, self.at_ms)?;
            }
        }
        let bar = progress_bar(source.bytes());
        let (mut last, mut read) = (None, 0);
        let is_bound = matches!(input, Input::Bound(_));
        let mut tick = |evaluation: &mut Evaluation, tick: &Tick| -> anyhow::Result<()> {
            if !is_bound {
                warn_of_wrong_control(evaluation, tick, name);
            }
            evaluation.tick(tick)?.into_iter().for_each(&mut *take);
            Ok(())
        };
        while let Some(next) = input.next_tick()? {
            tick(&mut evaluation, &next)?;
            read += next.records.len();
            last = Some((next.number, next.t_ms, next.first_ordinal + next.records.len() as u64));
            bar.set_position(input.bytes());
        }
        let (number, t_ms, first_ordinal) = last.unwrap_or((0, -1, 0));
        if t_ms < self.at_ms {
            let (number, t_ms) = (number + 1, self.at_ms);
            tick(&mut evaluation, &Tick { number, t_ms, first_ordinal, records: Vec::new() })?;
        }
        bar.finish_and_clear();
        if let Some(line) = input.ended_before() {
            eprintln!("{name}: not read from line {line} on, which arrived after --at");
        }
        Ok((evaluation, read))
    }
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
    previewed: Option<&[u8]>,
) -> anyhow::Result<()> {
    let mut foresee = |control: &ControlState| {
        evaluation.foresee(&control.definitions());
        // What is wrong with it is said when it is previewed.
        let with = previewed.and_then(|document| preview::with(control, document).ok());
        with.iter().for_each(|with| evaluation.foresee(&with.definitions()));
    };
    foresee(&control);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        // What is wrong with a line is said when its time comes.
        if line::control(&line).is_some_and(|record| control.apply(record).is_ok()) {
            foresee(&control);
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
