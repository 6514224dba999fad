//! `cebe.out.*` against what is expected: byte for byte, in order.

use std::fs::File;
use std::io::{BufRead, BufReader};

use anyhow::Context;
use cebe_connectors::kafka::KafkaOptions;
use cebe_connectors::kafka::feed::Feed;
use cebe_schemas::time::{Millis, rfc3339};
use cebe_schemas::view::{OUT_PARTITIONS, View};
use serde::Deserialize;

use super::Comparison;
use super::expect::Expected;

/// Compares one feed through `at_ms`, after `since_ms`.
///
/// # Errors
/// Kafka refuses.
pub fn compare(
    kafka: &KafkaOptions,
    expected: &Expected,
    view: View,
    at_ms: Millis,
    since_ms: Option<Millis>,
) -> anyhow::Result<Comparison> {
    let mut comparison = Comparison::of(format!("feed {}", view.name()));
    for partition in 0..OUT_PARTITIONS {
        let mut feed = Feed::open(kafka, view, partition)?;
        let mut lines: Box<dyn Iterator<Item = std::io::Result<String>>> =
            match expected.feed_file(view, partition) {
                Some(file) => Box::new(BufReader::new(File::open(file)?).lines()),
                None => Box::new(std::iter::empty()),
            };
        let mut next = next_through(&mut feed, at_ms)?;
        if let Some(since_ms) = since_ms {
            let is_before = move |line: &str| place(line).is_ok_and(|(t_ms, _)| t_ms <= since_ms);
            let note = "what another logic has published is not compared";
            comparison.note = Some(note.into());
            while next.as_deref().is_some_and(&is_before) {
                next = next_through(&mut feed, at_ms)?;
            }
            lines = Box::new(lines.skip_while(move |line| line.as_deref().is_ok_and(&is_before)));
        }
        if Feed::first_offset(kafka, view, partition)? > 0 {
            comparison.note = Some("its oldest records are past the topic's retention".into());
            let Some(first) = next.as_deref().map(place).transpose()? else { continue };
            let mut held = lines.skip_while(move |line| {
                line.as_deref().is_ok_and(|line| place(line).is_ok_and(|place| place < first))
            });
            lines = Box::new(std::iter::from_fn(move || held.next()));
        }
        loop {
            let line = lines.next().transpose()?;
            match (&line, &next) {
                (None, None) => break,
                (Some(line), Some(value)) if line == value => {}
                _ => comparison.differs(line.clone(), next.clone()),
            }
            comparison.rows += 1;
            if next.is_some() {
                next = next_through(&mut feed, at_ms)?;
            }
        }
    }
    Ok(comparison)
}

/// The next record of a logical time that is compared.
fn next_through(feed: &mut Feed, at_ms: Millis) -> anyhow::Result<Option<String>> {
    let Some(value) = feed.next_value()? else { return Ok(None) };
    let text = String::from_utf8(value).context("a record of a feed is not text")?;
    // What is not a row at all is to be found as a difference.
    Ok(Some(text).filter(|text| place(text).map_or(true, |(t_ms, _)| t_ms <= at_ms)))
}

/// (logical time, number) of a row.
fn place(row: &str) -> anyhow::Result<(Millis, u32)> {
    #[derive(Deserialize)]
    struct Place {
        #[serde(with = "rfc3339")]
        logical_time: Millis,
        seq: u32,
    }
    let Place { logical_time, seq } = serde_json::from_str(row)?;
    Ok((logical_time, seq))
}
