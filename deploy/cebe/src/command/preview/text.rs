//! A preview for people.

use std::sync::Arc;

use cebe_schemas::preview::{Preview, PreviewedRate};
use cebe_schemas::time::format_rfc3339;

/// The whole answer.
pub fn render(preview: &Preview) -> String {
    let mut text = format!("as of {}\n", format_rfc3339(preview.logical_time));
    let mut line = |content: String| text.extend([&*content, "\n"]);
    for segment in &preview.segments {
        line(format!(
            "segment {} of {} ({}): {} would enter, {} would leave",
            segment.segment_id,
            segment.account_id,
            segment.edit.as_str(),
            segment.entering,
            segment.leaving
        ));
        names('+', &segment.enter, segment.entering).into_iter().for_each(&mut line);
        names('-', &segment.leave, segment.leaving).into_iter().for_each(&mut line);
    }
    for metric in &preview.metrics {
        line(format!(
            "metric {} of {} ({}): {} rates would move",
            metric.metric,
            metric.account_id,
            metric.edit.as_str(),
            metric.moving
        ));
        metric.rates.iter().map(rate).for_each(&mut line);
        rest(metric.moving, metric.rates.len()).into_iter().for_each(&mut line);
    }
    if preview.segments.is_empty() && preview.metrics.is_empty() {
        line("nothing differs from what is in force".to_owned());
    }
    text
}

fn names(sign: char, ids: &[Arc<str>], all: u64) -> Vec<String> {
    let names = ids.iter().map(|id| format!("  {sign} {id}"));
    names.chain(rest(all, ids.len())).collect()
}

fn rest(all: u64, shown: usize) -> Option<String> {
    let more = all.saturating_sub(shown as u64);
    (more > 0).then(|| format!("    and {more} more"))
}

fn rate(rate: &PreviewedRate) -> String {
    let value = |numerator, denominator, rate: Option<f64>| match rate {
        Some(rate) => format!("{numerator}/{denominator} ({:.1} %)", rate * 100.0),
        None => "none".to_owned(),
    };
    let group = if rate.group_key.is_empty() { "whole account" } else { &rate.group_key };
    let old = value(rate.old_numerator, rate.old_denominator, rate.old_rate);
    let new = value(rate.new_numerator, rate.new_denominator, rate.new_rate);
    format!("    {group}: {old} → {new}")
}
