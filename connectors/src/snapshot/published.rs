//! What was published last of each key of a computed view: from it, and from nothing else, can be told what
//! another logic has to publish so that every reader is right again.

use cebe_schemas::id::IdKey;
use cebe_schemas::time::Millis;
use cebe_schemas::view::View;

use super::content::Content;
use super::file::{self, Damage, FileReader, FileWriter};
use super::row::PublishedRow;
use crate::out::numbered::OutRecord;

/// The section of keys and values.
const BYTES: u32 = 0;

/// Rows of computed views, later ones of a key after earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published(Vec<PublishedOne>);

/// A row as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedOne {
    /// One of [`View::COMPUTED`].
    pub view: View,
    /// The logical time.
    pub t_ms: Millis,
    /// The key of the view.
    pub key: Vec<u8>,
    /// The row as JSON.
    pub value: Vec<u8>,
    /// The key has no value from then on.
    pub deleted: bool,
}

impl Published {
    /// What there is to keep of the records of a tick.
    pub fn of(records: Vec<OutRecord>) -> Published {
        let records = records.into_iter().filter(|record| View::COMPUTED.contains(&record.view));
        let one = |record: OutRecord| {
            let OutRecord { view, t_ms, key, value, deleted, .. } = record;
            PublishedOne { view, t_ms, key, value, deleted }
        };
        Published(records.map(one).collect())
    }

    /// Adds a row.
    pub fn push(&mut self, one: PublishedOne) {
        self.0.push(one);
    }

    /// Takes in rows that are later.
    pub fn append(&mut self, other: Published) {
        Content::append(self, other);
    }

    /// Drops the rows through `t_ms`.
    pub fn forget_through(&mut self, t_ms: Millis) {
        self.0.retain(|one| one.t_ms > t_ms);
    }

    /// All rows.
    pub fn rows(&self) -> &[PublishedOne] {
        &self.0
    }
}

impl Content for Published {
    const KIND: &'static str = "published";

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn append(&mut self, mut other: Published) {
        self.0.append(&mut other.0);
    }

    fn split(self, parts: usize) -> Vec<Published> {
        let mut split: Vec<Published> = (0..parts).map(|_| Published::default()).collect();
        let (bits, hash) = (parts.trailing_zeros(), IdKey::new([0; 16]));
        for one in self.0 {
            let part = hash.hash(b'r', &[&one.key]).checked_shr(128 - bits).unwrap_or(0);
            split[part as usize].0.push(one);
        }
        split
    }

    fn settle(&mut self, is_all: bool) {
        let key = |one: &PublishedOne| (one.view, one.t_ms);
        self.0.sort_by(|a, b| a.key.cmp(&b.key).then_with(|| key(a).cmp(&key(b))));
        self.0.dedup_by(|later, kept| {
            let repeats = later.view == kept.view && later.key == kept.key;
            if repeats {
                std::mem::swap(later, kept);
            }
            repeats
        });
        self.0.retain(|one| !(one.deleted && is_all));
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let row = |one: &PublishedOne| {
            bytes.extend_from_slice(&one.key);
            bytes.extend_from_slice(&one.value);
            PublishedRow {
                t_ms: one.t_ms,
                view: View::ALL.iter().position(|view| *view == one.view).unwrap_or(0) as u32,
                key_bytes: one.key.len() as u32,
                value_bytes: one.value.len() as u32,
                deleted: one.deleted.into(),
            }
        };
        let rows: Vec<PublishedRow> = self.0.iter().map(row).collect();
        let mut out = FileWriter::new(&file::PUBLISHED);
        out.rows(&rows);
        out.bytes(BYTES, &lz4_flex::compress_prepend_size(&bytes));
        out.finish()
    }

    fn from_bytes(bytes: Vec<u8>) -> Result<Published, Damage> {
        let mut file = FileReader::new(bytes, &file::PUBLISHED)?;
        let rows: Vec<PublishedRow> = file.rows()?;
        let bytes = lz4_flex::decompress_size_prepended(file.bytes(BYTES)?);
        let bytes = bytes.map_err(|_| Damage::Content)?;
        let mut rest = &bytes[..];
        let mut take = |bytes: u32| {
            let (taken, after) = rest.split_at_checked(bytes as usize).ok_or(Damage::Content)?;
            rest = after;
            Ok(taken.to_vec())
        };
        let one = |row: PublishedRow| {
            Ok(PublishedOne {
                view: *View::ALL.get(row.view as usize).ok_or(Damage::Content)?,
                t_ms: row.t_ms,
                key: take(row.key_bytes)?,
                value: take(row.value_bytes)?,
                deleted: row.deleted != 0,
            })
        };
        Ok(Published(rows.into_iter().map(one).collect::<Result<_, _>>()?))
    }
}
