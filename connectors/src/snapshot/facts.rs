//! Everything that is held of accepted events.

use cebe_schemas::change::Membership;
use cebe_schemas::fact::TickInput;
use cebe_schemas::id::{Group, IdKey};

/// Facts, and who belongs to which segment by which version: what cannot be computed from them.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What events told the dataflow; no definitions and no settings.
    pub told: TickInput,
    /// What was published of entries and exits.
    pub memberships: Vec<Membership>,
}

impl Facts {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        let TickInput { known, events, past, anonymous, attributes, identifiers, namings, .. } =
            &self.told;
        let TickInput { merges, assertions, teams, erasures, groups, .. } = &self.told;
        let common = [known.len(), events.len(), past.len(), anonymous.len(), attributes.len()];
        let seldom =
            [identifiers.len(), namings.len(), merges.len(), assertions.len(), teams.len()];
        let others = [erasures.len(), groups.len(), self.memberships.len()];
        common.iter().chain(&seldom).chain(&others).sum()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes in all of `other`.
    pub fn append(&mut self, mut other: Facts) {
        let (told, more) = (&mut self.told, &mut other.told);
        told.known.append(&mut more.known);
        told.events.append(&mut more.events);
        told.events.append(&mut more.past);
        told.anonymous.append(&mut more.anonymous);
        told.attributes.append(&mut more.attributes);
        told.identifiers.append(&mut more.identifiers);
        told.namings.append(&mut more.namings);
        told.merges.append(&mut more.merges);
        told.assertions.append(&mut more.assertions);
        told.teams.append(&mut more.teams);
        told.erasures.append(&mut more.erasures);
        told.groups.append(&mut more.groups);
        self.memberships.append(&mut other.memberships);
    }

    /// No facts, with room for most that one of so many parts holds.
    fn room_for_one_of(&self, parts: usize) -> Facts {
        let one = |rows: usize| rows / parts + rows / parts / 8;
        let mut room = Facts::default();
        room.told.known.reserve(one(self.told.known.len()));
        room.told.events.reserve(one(self.told.events.len() + self.told.past.len()));
        room.told.attributes.reserve(one(self.told.attributes.len()));
        room.told.identifiers.reserve(one(self.told.identifiers.len()));
        room.told.namings.reserve(one(self.told.namings.len()));
        room
    }

    /// Splits off those of each part of `parts`, a power of two. What is about one customer is in one
    /// part: ids are hashes, so parts are of one size.
    pub fn split(self, parts: usize) -> Vec<Facts> {
        let mut split: Vec<Facts> = (0..parts).map(|_| self.room_for_one_of(parts)).collect();
        let bits = parts.trailing_zeros();
        // Of a shift by all bits nothing is left.
        let part = |id: u128| id.checked_shr(128 - bits).unwrap_or(0) as usize;
        let TickInput { known, events, past, anonymous, attributes, identifiers, .. } = self.told;
        known.into_iter().for_each(|row| split[part(row.subject.0)].told.known.push(row));
        for row in events.into_iter().chain(past) {
            split[part(row.0.0)].told.events.push(row);
        }
        anonymous.into_iter().for_each(|row| split[part(row.0.0)].told.anonymous.push(row));
        attributes.into_iter().for_each(|row| split[part(row.subject.0)].told.attributes.push(row));
        identifiers.into_iter().for_each(|row| split[part(row.0.0)].told.identifiers.push(row));
        let TickInput { namings, merges, assertions, teams, erasures, groups, .. } = self.told;
        namings.into_iter().for_each(|row| split[part(row.subject.0)].told.namings.push(row));
        merges.into_iter().for_each(|row| split[part(row.pair.0.0)].told.merges.push(row));
        assertions.into_iter().for_each(|row| split[part(row.subject.0)].told.assertions.push(row));
        teams.into_iter().for_each(|row| split[part(row.0.0)].told.teams.push(row));
        erasures.into_iter().for_each(|row| split[part(row.0.0)].told.erasures.push(row));
        let of_group = |group: Group| part(u128::from(group.0) << 64);
        groups.into_iter().for_each(|row| split[of_group(row.group)].told.groups.push(row));
        let ids = IdKey::new([0; 16]);
        for row in self.memberships {
            let parts = [row.account_id.as_bytes(), row.customer_id.as_bytes()];
            split[part(ids.hash(b'm', &parts))].memberships.push(row);
        }
        split
    }
}
