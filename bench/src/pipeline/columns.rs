//! The numbers of a configuration, and what each of them means.

use serde_json::Value;

use crate::report::ms;

/// One number of a row.
pub struct Column {
    pub name: &'static str,
    pub meaning: &'static str,
    pub cell: fn(&Value) -> String,
}

const fn column(name: &'static str, meaning: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { name, meaning, cell }
}

/// All of them, in order.
pub const COLUMNS: [Column; 22] = [
    column("events", "events in the load, duplicates included", |row| whole(&row["events"])),
    column("batch", "events in a tick of the load", |row| whole(&row["batch"])),
    column("workers", "threads of the dataflow", |row| whole(&row["workers"])),
    column(
        "pending",
        "further customers, each with one event in a window that does not end here",
        |row| whole(&row["pending"]),
    ),
    column(
        "clock",
        "moving: single events come a second apart, when the 30-day windows of the middle of the load \
         end",
        |row| if row["clock"] == true { "moving".into() } else { "still".into() },
    ),
    column(
        "events/s",
        "events a second of time on the wall, from envelope bytes to output bytes, while loading; \
         the making of the envelopes and the hash of the answers are not in it",
        |row| rate(&row["wall_s"]),
    ),
    column(
        "to diffs",
        "events a CPU second from envelope bytes to consolidated differences: adapter and dataflow, \
         all threads",
        |row| rate(&row["to_differences_cpu_s"]),
    ),
    column(
        "to records",
        "the same with the differences and the accepted events numbered and written as JSON: all \
         between Kafka and Kafka",
        |row| rate(&row["to_records_cpu_s"]),
    ),
    column("dataflow", "events a CPU second, facts to differences", |row| {
        rate(&row["dataflow_cpu_s"])
    }),
    column(
        "adapter",
        "events a CPU second, envelope bytes to facts and rows, keys in memory; the envelopes have \
         not been read since they were written",
        |row| rate(&row["adapter_cpu_s"]),
    ),
    column(
        "parse",
        "floor of the adapter: JSON is parsed, nothing else; of at most 1,000,000 events, in a pass of \
         its own",
        |row| rate(&row["parse_cpu_s"]),
    ),
    column("verdict", "floor of the adapter: parsed, validated, masked; as parse", |row| {
        rate(&row["verdict_cpu_s"])
    }),
    column(
        "dedup",
        "floor of the adapter: as many keys claimed in an empty key index in memory, 1 % of them \
         used up",
        |row| rate(&row["dedup_cpu_s"]),
    ),
    column(
        "one p50",
        "ms on the wall from the envelope of one event to the output of all views, after the load",
        |row| millis(&row["one_p50_ms"]),
    ),
    column("p99", "the same, 99th percentile", |row| millis(&row["one_p99_ms"])),
    column(
        "by time",
        "changes of segments and rates that the passing of time caused during the single events",
        |row| whole(&row["one_by_time"]),
    ),
    column("longest", "ms of the longest tick while loading", |row| millis(&row["tick_max_ms"])),
    column(
        "peak MiB",
        "most memory resident up to the end of the load, one batch of envelopes included",
        |row| format!("{:.0}", row["peak_bytes"].as_f64().unwrap_or_default() / 1048576.0),
    ),
    column(
        "B/event",
        "growth of the resident memory by the load, for each of its events; not with pending ones",
        |row| bytes(&row["bytes_per_event"]),
    ),
    column("B/customer", "the same growth, for each of its customers", |row| {
        bytes(&row["bytes_per_customer"])
    }),
    column("load", "load average of the machine over the minute before the row", |row| {
        row["load_average"].as_str().unwrap_or_default().to_owned()
    }),
    column(
        "answer",
        "hash of all answers after the load: equal whatever the batches and workers",
        |row| row["answer"].as_str().unwrap_or_default().chars().take(8).collect(),
    ),
];

/// One line for each column.
pub fn meanings() -> String {
    let line = |column: &Column| format!("  {:<11}{}\n", column.name, column.meaning);
    COLUMNS.iter().map(line).collect()
}

fn whole(value: &Value) -> String {
    value.as_u64().unwrap_or_default().to_string()
}

/// Of seconds an event, events a second.
fn rate(seconds: &Value) -> String {
    format!("{:.0}", 1.0 / seconds.as_f64().unwrap_or(f64::INFINITY))
}

fn millis(value: &Value) -> String {
    ms(value.as_f64().unwrap_or_default())
}

fn bytes(value: &Value) -> String {
    value.as_f64().map_or("-".to_owned(), |bytes| format!("{bytes:.0}"))
}
