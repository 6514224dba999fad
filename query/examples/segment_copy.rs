//! Keeps an exact copy of a segment, through restarts of itself and of the server, and proves it.
//!
//! ```sh
//! cargo run -p cebe-query --example segment_copy -- http://127.0.0.1:8080 acc-17 warm-jakarta copy.json
//! ```
//! The state is one file, written as a whole at each `progress`: the members, and the id of that event. Whatever
//! kills this process, it goes on from there. The running hash is the XOR of a hash of each member, so that an
//! entry and an exit are each one operation; in ClickHouse it is
//! `groupBitXor(reinterpretAsUInt64(substring(SHA256(customer_id), 1, 8)))` over `segment_members_as_of`.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::{env, fs, thread, time::Duration};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

#[derive(Default, Serialize, Deserialize)]
struct Copy {
    /// Of the last event that is in here; empty before the first snapshot is.
    last_event_id: String,
    members: BTreeSet<String>,
    hash: u64,
}

impl Copy {
    fn enter(&mut self, customer: &str) {
        if self.members.insert(customer.to_owned()) {
            self.hash ^= hash(customer);
        }
    }

    fn exit(&mut self, customer: &str) {
        if self.members.remove(customer) {
            self.hash ^= hash(customer);
        }
    }
}

fn hash(customer: &str) -> u64 {
    let digest = Sha256::digest(customer.as_bytes());
    u64::from_le_bytes(std::array::from_fn(|at| digest[at]))
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [server, account, segment, file] = &arguments[..] else {
        bail!("give SERVER ACCOUNT SEGMENT FILE");
    };
    loop {
        if let Err(error) = follow(server, account, segment, file) {
            eprintln!("{error:#}; again in a second");
        }
        thread::sleep(Duration::from_secs(1));
    }
}

/// Until the connection ends.
fn follow(server: &str, account: &str, segment: &str, file: &str) -> anyhow::Result<()> {
    let mut copy: Copy = match fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).context("the state file")?,
        Err(_) => Copy::default(),
    };
    let url = format!("{server}/v1/changes");
    let request = ureq::get(&url)
        .query("account_id", account)
        .query("segment_id", segment)
        .query("view", "segments")
        .header("last-event-id", &copy.last_event_id);
    let body = request.call().context("cannot subscribe")?.into_body().into_reader();
    let (mut event, mut id, mut data) = (String::new(), None, String::new());
    for line in BufReader::new(body).lines() {
        let line = line?;
        if let Some((field, value)) = line.split_once(':') {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => event = value.to_owned(),
                "id" => id = Some(value.to_owned()),
                "data" => data.push_str(value),
                _ => {}
            }
            continue;
        }
        if event == "gap" {
            fs::remove_file(file)?;
            bail!("the changes are there no more: beginning anew");
        }
        take(&mut copy, &event, &data)?;
        if event == "progress" || event == "snapshot-end" {
            copy.last_event_id = id.take().unwrap_or_default();
            save(&copy, file)?;
            println!("{data} members {} hash {:016x}", copy.members.len(), copy.hash);
        }
        (event, data) = (String::new(), String::new());
    }
    Ok(())
}

fn take(copy: &mut Copy, event: &str, data: &str) -> anyhow::Result<()> {
    if event != "snapshot" && event != "change" {
        return Ok(());
    }
    let row: Value = serde_json::from_str(data)?;
    let customer = row["customer_id"].as_str().context("a row without customer_id")?;
    match row["change"].as_str() {
        Some("exited") => copy.exit(customer),
        _ => copy.enter(customer),
    }
    Ok(())
}

/// Either the old file is there or the new one.
fn save(copy: &Copy, file: &str) -> anyhow::Result<()> {
    let new = format!("{file}.new");
    fs::write(&new, serde_json::to_vec(copy)?)?;
    Ok(fs::rename(new, file)?)
}
