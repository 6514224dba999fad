//! Facts as rows of a file, and back.

use std::collections::HashMap;
use std::sync::Arc;

use cebe_schemas::change::Membership;
use cebe_schemas::fact::{
    AssertionFact, AttributeFact, AttributeValue, EventFact, GroupName, Identifier,
    IdentifierValue, Known, MergeFact, Naming, Stamp, TickInput,
};
use cebe_schemas::id::{EventType, Group, Subject, Token};
use cebe_schemas::time::Millis;

use super::content::Content;
use super::facts::Facts;
use super::file::{self, Damage, FileReader, FileWriter};
use super::row::{
    AnonymousRow, AssertionRow, AttributeRow, ErasureRow, EventRow, FixedRow, GroupRow,
    IdentifierRow, KnownRow, MembershipRow, MergeRow, NamingRow, TeamRow, whole, wide,
};
use super::texts::{Numbering, Texts};

/// Of something that is held, the row, and back.
trait Packed: Sized {
    type Row: FixedRow;
    fn pack(&self, texts: &mut Numbering) -> Self::Row;
    fn unpack(row: &Self::Row, from: &mut Source) -> Result<Self, Damage>;
}

/// Writes packed rows: after the texts, which are known only once all rows are packed.
type Section = Box<dyn FnOnce(&mut FileWriter)>;

/// What rows refer to.
struct Source {
    texts: Texts,
    /// Equal values are parsed and held once.
    values: HashMap<u32, Arc<AttributeValue>>,
}

impl Source {
    fn value(&mut self, number: u32) -> Result<Option<Arc<AttributeValue>>, Damage> {
        let Some(json) = self.texts.optional(number)? else { return Ok(None) };
        if let Some(value) = self.values.get(&number) {
            return Ok(Some(value.clone()));
        }
        let value = AttributeValue::from_json(&json).map_err(|_| Damage::Content)?;
        let value = Arc::new(value);
        self.values.insert(number, value.clone());
        Ok(Some(value))
    }
}

impl Facts {
    fn pack(&self, texts: &mut Numbering) -> Vec<Section> {
        let told = &self.told;
        let mut events: Vec<EventRow> = Vec::with_capacity(told.events.len() + told.past.len());
        events.extend(told.events.iter().chain(&told.past).map(|event| event.pack(texts)));
        vec![
            section(&told.known, texts),
            Box::new(move |file| file.rows(&events)),
            section(&told.anonymous, texts),
            section(&told.attributes, texts),
            section(&told.identifiers, texts),
            section(&told.namings, texts),
            section(&told.merges, texts),
            section(&told.assertions, texts),
            section(&told.teams, texts),
            section(&told.erasures, texts),
            section(&told.groups, texts),
            section(&self.memberships, texts),
        ]
    }

    fn unpack(mut file: FileReader) -> Result<Facts, Damage> {
        let texts = Texts::read(&mut file)?;
        let mut from = Source { texts, values: HashMap::new() };
        let told = TickInput {
            known: read(&mut file, &mut from)?,
            events: read(&mut file, &mut from)?,
            anonymous: read(&mut file, &mut from)?,
            attributes: read(&mut file, &mut from)?,
            identifiers: read(&mut file, &mut from)?,
            namings: read(&mut file, &mut from)?,
            merges: read(&mut file, &mut from)?,
            assertions: read(&mut file, &mut from)?,
            teams: read(&mut file, &mut from)?,
            erasures: read(&mut file, &mut from)?,
            groups: read(&mut file, &mut from)?,
            ..TickInput::default()
        };
        Ok(Facts { told, memberships: read(&mut file, &mut from)? })
    }
}

impl Content for Facts {
    const KIND: &'static str = "facts";

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn append(&mut self, other: Facts) {
        Facts::append(self, other);
    }

    fn split(self, parts: usize) -> Vec<Facts> {
        Facts::split(self, parts)
    }

    fn settle(&mut self, is_all: bool) {
        Facts::settle(self, is_all);
    }

    fn to_bytes(&self) -> Vec<u8> {
        let (mut file, mut texts) = (FileWriter::new(&file::FACTS), Numbering::default());
        let sections = self.pack(&mut texts);
        texts.finish(&mut file);
        sections.into_iter().for_each(|write| write(&mut file));
        file.finish()
    }

    fn from_bytes(bytes: Vec<u8>) -> Result<Facts, Damage> {
        Facts::unpack(FileReader::new(bytes, &file::FACTS)?)
    }
}

fn section<P: Packed>(of: &[P], texts: &mut Numbering) -> Section {
    let rows: Vec<P::Row> = of.iter().map(|one| one.pack(texts)).collect();
    Box::new(move |file| file.rows(&rows))
}

fn read<P: Packed>(file: &mut FileReader, from: &mut Source) -> Result<Vec<P>, Damage> {
    let rows = file.rows::<P::Row>()?;
    // Collected as a result, it would grow by doubling.
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        all.push(P::unpack(row, from)?);
    }
    Ok(all)
}

fn identifier(token: [u64; 2], value: u64) -> Identifier {
    Identifier { token: Token(whole(token)), value: IdentifierValue(value) }
}

impl Packed for Known {
    type Row = KnownRow;

    fn pack(&self, texts: &mut Numbering) -> KnownRow {
        KnownRow {
            subject: wide(self.subject.0),
            by: wide(self.by.map_or(0, |by| by.0)),
            occurred_at_ms: self.occurred_at_ms,
            account: texts.of(&self.account_id),
            customer: texts.of(&self.customer_id),
            team: texts.optional(self.team.as_ref()),
            is_mention: self.by.is_some().into(),
        }
    }

    fn unpack(row: &KnownRow, from: &mut Source) -> Result<Known, Damage> {
        Ok(Known {
            subject: Subject(whole(row.subject)),
            account_id: from.texts.get(row.account)?,
            customer_id: from.texts.get(row.customer)?,
            occurred_at_ms: row.occurred_at_ms,
            by: (row.is_mention != 0).then(|| Subject(whole(row.by))),
            team: from.texts.optional(row.team)?,
        })
    }
}

impl Packed for (Subject, EventFact) {
    type Row = EventRow;

    fn pack(&self, _: &mut Numbering) -> EventRow {
        let (subject, EventFact { event, group, occurred_at_ms }) = self;
        EventRow {
            subject: wide(subject.0),
            event: event.0,
            group: group.0,
            occurred_at_ms: *occurred_at_ms,
        }
    }

    fn unpack(row: &EventRow, _: &mut Source) -> Result<(Subject, EventFact), Damage> {
        let (event, group) = (EventType(row.event), Group(row.group));
        let fact = EventFact { event, group, occurred_at_ms: row.occurred_at_ms };
        Ok((Subject(whole(row.subject)), fact))
    }
}

impl Packed for (Subject, Identifier) {
    type Row = AnonymousRow;

    fn pack(&self, _: &mut Numbering) -> AnonymousRow {
        let (subject, Identifier { token, value }) = self;
        AnonymousRow { subject: wide(subject.0), token: wide(token.0), value: value.0 }
    }

    fn unpack(row: &AnonymousRow, _: &mut Source) -> Result<(Subject, Identifier), Damage> {
        Ok((Subject(whole(row.subject)), identifier(row.token, row.value)))
    }
}

impl Packed for AttributeFact {
    type Row = AttributeRow;

    fn pack(&self, texts: &mut Numbering) -> AttributeRow {
        let json = self.value.as_ref().map(|value| Arc::from(value.json()));
        AttributeRow {
            subject: wide(self.subject.0),
            token: wide(self.identifier.map_or(0, |found| found.token.0)),
            identifier: self.identifier.map_or(0, |found| found.value.0),
            occurred_at_ms: self.stamp.occurred_at_ms,
            ordinal: self.stamp.ordinal,
            name: texts.of(&self.name),
            key: texts.of(&self.stamp.key),
            value: texts.optional(json.as_ref()),
            identifies: self.identifier.is_some().into(),
        }
    }

    fn unpack(row: &AttributeRow, from: &mut Source) -> Result<AttributeFact, Damage> {
        Ok(AttributeFact {
            name: from.texts.get(row.name)?,
            stamp: stamp(row.occurred_at_ms, row.key, row.ordinal, from)?,
            subject: Subject(whole(row.subject)),
            value: from.value(row.value)?,
            identifier: (row.identifies != 0).then(|| identifier(row.token, row.identifier)),
        })
    }
}

fn stamp(occurred_at_ms: Millis, key: u32, ordinal: u64, from: &Source) -> Result<Stamp, Damage> {
    Ok(Stamp { occurred_at_ms, key: from.texts.get(key)?, ordinal })
}

impl Packed for (Subject, Identifier, Millis) {
    type Row = IdentifierRow;

    fn pack(&self, _: &mut Numbering) -> IdentifierRow {
        let (subject, Identifier { token, value }, occurred_at_ms) = self;
        IdentifierRow {
            subject: wide(subject.0),
            token: wide(token.0),
            value: value.0,
            occurred_at_ms: *occurred_at_ms,
        }
    }

    fn unpack(row: &IdentifierRow, _: &mut Source) -> Result<Self, Damage> {
        Ok((Subject(whole(row.subject)), identifier(row.token, row.value), row.occurred_at_ms))
    }
}

impl Packed for Naming {
    type Row = NamingRow;

    fn pack(&self, texts: &mut Numbering) -> NamingRow {
        NamingRow {
            subject: wide(self.subject.0),
            token: wide(self.token.0),
            occurred_at_ms: self.occurred_at_ms,
            account: texts.of(&self.account_id),
            zero: 0,
        }
    }

    fn unpack(row: &NamingRow, from: &mut Source) -> Result<Naming, Damage> {
        Ok(Naming {
            account_id: from.texts.get(row.account)?,
            subject: Subject(whole(row.subject)),
            token: Token(whole(row.token)),
            occurred_at_ms: row.occurred_at_ms,
        })
    }
}

impl Packed for MergeFact {
    type Row = MergeRow;

    fn pack(&self, texts: &mut Numbering) -> MergeRow {
        MergeRow {
            first: wide(self.pair.0.0),
            second: wide(self.pair.1.0),
            occurred_at_ms: self.stamp.occurred_at_ms,
            ordinal: self.stamp.ordinal,
            key: texts.of(&self.stamp.key),
            linked: self.linked.into(),
        }
    }

    fn unpack(row: &MergeRow, from: &mut Source) -> Result<MergeFact, Damage> {
        Ok(MergeFact {
            pair: (Subject(whole(row.first)), Subject(whole(row.second))),
            linked: row.linked != 0,
            stamp: stamp(row.occurred_at_ms, row.key, row.ordinal, from)?,
        })
    }
}

impl Packed for AssertionFact {
    type Row = AssertionRow;

    fn pack(&self, texts: &mut Numbering) -> AssertionRow {
        AssertionRow {
            subject: wide(self.subject.0),
            occurred_at_ms: self.stamp.occurred_at_ms,
            ordinal: self.stamp.ordinal,
            account: texts.of(&self.account_id),
            segment: texts.of(&self.segment_id),
            key: texts.of(&self.stamp.key),
            entered: self.entered.into(),
        }
    }

    fn unpack(row: &AssertionRow, from: &mut Source) -> Result<AssertionFact, Damage> {
        Ok(AssertionFact {
            account_id: from.texts.get(row.account)?,
            segment_id: from.texts.get(row.segment)?,
            stamp: stamp(row.occurred_at_ms, row.key, row.ordinal, from)?,
            subject: Subject(whole(row.subject)),
            entered: row.entered != 0,
        })
    }
}

impl Packed for (Subject, Arc<str>, Millis) {
    type Row = TeamRow;

    fn pack(&self, texts: &mut Numbering) -> TeamRow {
        let (subject, team, occurred_at_ms) = self;
        let (subject, team) = (wide(subject.0), texts.of(team));
        TeamRow { subject, occurred_at_ms: *occurred_at_ms, team, zero: 0 }
    }

    fn unpack(row: &TeamRow, from: &mut Source) -> Result<Self, Damage> {
        Ok((Subject(whole(row.subject)), from.texts.get(row.team)?, row.occurred_at_ms))
    }
}

impl Packed for (Subject, Millis) {
    type Row = ErasureRow;

    fn pack(&self, _: &mut Numbering) -> ErasureRow {
        ErasureRow { subject: wide(self.0.0), until_ms: self.1 }
    }

    fn unpack(row: &ErasureRow, _: &mut Source) -> Result<Self, Damage> {
        Ok((Subject(whole(row.subject)), row.until_ms))
    }
}

impl Packed for GroupName {
    type Row = GroupRow;

    fn pack(&self, texts: &mut Numbering) -> GroupRow {
        GroupRow { group: self.group.0, text: texts.of(&self.group_key), zero: 0 }
    }

    fn unpack(row: &GroupRow, from: &mut Source) -> Result<GroupName, Damage> {
        Ok(GroupName { group: Group(row.group), group_key: from.texts.get(row.text)? })
    }
}

impl Packed for Membership {
    type Row = MembershipRow;

    fn pack(&self, texts: &mut Numbering) -> MembershipRow {
        MembershipRow {
            t_ms: self.t_ms,
            account: texts.of(&self.account_id),
            segment: texts.of(&self.segment_id),
            customer: texts.of(&self.customer_id),
            version: self.definition_version,
            entered: self.entered.into(),
            zero: 0,
        }
    }

    fn unpack(row: &MembershipRow, from: &mut Source) -> Result<Membership, Damage> {
        Ok(Membership {
            account_id: from.texts.get(row.account)?,
            segment_id: from.texts.get(row.segment)?,
            customer_id: from.texts.get(row.customer)?,
            definition_version: row.version,
            entered: row.entered != 0,
            t_ms: row.t_ms,
        })
    }
}
