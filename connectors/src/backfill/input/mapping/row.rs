//! A record, cut into what a mapping asks for.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::cell::Cell;
use super::{Mapping, Use};

/// The values of one record.
pub(in super::super) struct Row<'r> {
    slots: Vec<Option<Cell<'r>>>,
    /// Columns that nothing names, where they are properties.
    pub(super) others: Vec<(Cow<'r, str>, Cell<'r>)>,
}

impl<'r> Row<'r> {
    /// Nothing yet.
    pub(in super::super) fn new(mapping: &Mapping) -> Row<'r> {
        Row { slots: vec![None; mapping.columns.len()], others: Vec::new() }
    }

    /// Adds what a column holds.
    pub(in super::super) fn put(
        &mut self,
        usage: Use,
        column: impl Into<Cow<'r, str>>,
        cell: Option<Cell<'r>>,
    ) {
        match (usage, cell) {
            (Use::Slot(slot), cell) => {
                if let Some(at) = self.slots.get_mut(slot) {
                    *at = cell;
                }
            }
            (Use::Property, Some(cell)) => self.others.push((column.into(), cell)),
            (Use::Property, None) | (Use::Nothing, _) => {}
        }
    }

    pub(super) fn cell(&self, slot: usize) -> Option<&Cell<'r>> {
        self.slots.get(slot)?.as_ref()
    }
}

/// A JSON object as a row; none: it is no object.
pub(in super::super) fn json_row<'r>(line: &'r [u8], mapping: &Mapping) -> Option<Row<'r>> {
    let members: Members = serde_json::from_slice(line).ok()?;
    let mut row = Row::new(mapping);
    for (key, value) in members.0 {
        row.put(mapping.usage(&key), key, cell(value));
    }
    Some(row)
}

fn cell(value: &RawValue) -> Option<Cell<'_>> {
    let json = value.get();
    match json.as_bytes().first() {
        Some(b'n') => None,
        // What Rust cannot hold, such as half of a surrogate pair, is for the engine to judge.
        Some(b'"') => Some(
            serde_json::from_str::<Text>(json)
                .map_or(Cell::Json(Cow::Borrowed(json)), |text| Cell::Text(text.0)),
        ),
        _ => Some(Cell::Json(Cow::Borrowed(json))),
    }
}

/// The members of an object, in order, unread.
struct Members<'r>(Vec<(Cow<'r, str>, &'r RawValue)>);

/// Borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'r>(#[serde(borrow)] Cow<'r, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'de>, D::Error> {
        deserializer.deserialize_map(Collect)
    }
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((key, value)) = map.next_entry::<Text, &RawValue>()? {
            members.push((key.0, value));
        }
        Ok(Members(members))
    }
}
