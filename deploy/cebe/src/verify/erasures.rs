//! Events whose rows lost their content after they were published.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use cebe_schemas::row::ErasureRow;
use cebe_schemas::time::{Millis, parse_rfc3339};
use serde_json::{Value, json};

/// (account, customer or token).
type Who = (String, String);
/// Until when, and the logical time of the erasure.
type Erased = (Millis, Millis);

/// All erasures.
#[derive(Default)]
pub struct Erasures {
    customers: HashMap<Who, Vec<Erased>>,
    identifiers: HashMap<Who, Vec<Erased>>,
}

impl Erasures {
    /// Takes one in. What is lost is lost, also if it is erased no longer.
    pub fn take_in(&mut self, row: &ErasureRow) {
        let (of, who) = match row.qontak_customer_id.is_empty() {
            true => (&mut self.identifiers, &*row.identifier_token),
            false => (&mut self.customers, &*row.qontak_customer_id),
        };
        if row.deleted == 0 {
            let who = (row.account_id.to_string(), who.to_owned());
            of.entry(who).or_default().push((row.erased_until, row.logical_time));
        }
    }

    /// Empties the rows of a file that an erasure reached after they arrived.
    pub fn empty(&self, folder: &Path, file: &str) -> anyhow::Result<()> {
        if self.customers.is_empty() {
            return Ok(());
        }
        let (from, to) = (folder.join(file), folder.join(format!("{file}.emptied")));
        let mut out = BufWriter::new(File::create(&to)?);
        for line in BufReader::new(File::open(&from)?).lines() {
            let mut row: Value = serde_json::from_str(&line?)?;
            if self.reach(&row) {
                row["payload"] = json!("");
                row["identifier_tokens"] = json!([]);
            }
            serde_json::to_writer(&mut out, &row)?;
            out.write_all(b"\n")?;
        }
        out.flush()?;
        Ok(std::fs::rename(to, from)?)
    }

    fn reach(&self, row: &Value) -> bool {
        let text = |column: &str| row[column].as_str().unwrap_or_default().to_owned();
        let time = |column: &str| parse_rfc3339(&text(column)).unwrap_or(Millis::MAX);
        let (occurred_at, arrival) = (time("occurred_at"), time("logical_time"));
        let any = |of: &HashMap<Who, Vec<Erased>>, who: String| {
            let erased = of.get(&(text("account_id"), who)).map_or(&[][..], Vec::as_slice);
            erased.iter().any(|(until, at)| occurred_at <= *until && arrival <= *at)
        };
        match text("qontak_customer_id") {
            customer if !customer.is_empty() => any(&self.customers, customer),
            _ => {
                let mut tokens = row["identifier_tokens"].as_array().into_iter().flatten();
                tokens.any(|token| any(&self.identifiers, token.as_str().unwrap_or("").to_owned()))
            }
        }
    }
}
