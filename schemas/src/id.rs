//! Ids as the dataflow computes with them: keyed hashes of fixed size.
//!
//! Keyed, so that nobody who chooses ids can choose collisions, and 128 bits wide wherever two
//! things with one hash would be silently one thing.

use serde::{Deserialize, Serialize};
use siphasher::sip128::SipHasher24;

/// A customer id of one account: keyed hash of (`account_id`, `qontak_customer_id`). Or what stands
/// for the identifiers of an event without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject(pub u128);

/// An identifier of one account: keyed hash of (`account_id`, type, normalised value).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token(pub u128);

/// A broadcast or a campaign of one account: keyed hash of (`account_id`, group id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Group(pub u64);

impl Group {
    /// The group of an event that names none.
    pub const NONE: Group = Group(0);
}

/// An event type by its name, such as `broadcast.replied`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventType(pub u64);

impl EventType {
    /// The type called `name`. Unkeyed: names come from the catalogue, not from publishers.
    pub fn named(name: &str) -> EventType {
        EventType(IdKey::new([0; 16]).hash(b'e', &[name.as_bytes()]) as u64)
    }
}

/// The dedup key of an event: keyed hash of (`account_id`, `source_module`, `idempotency_key`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey(pub u128);

impl EventKey {
    /// What stands for the same key once whoever used it up is undone.
    pub fn next(self) -> EventKey {
        EventKey(IdKey::new([0; 16]).hash(b'n', &[&self.0.to_le_bytes()]))
    }
}

/// The secret that all hashed ids of one installation are made with.
#[derive(Clone)]
pub struct IdKey([u8; 16]);

impl IdKey {
    /// A key from 16 secret bytes.
    pub fn new(secret: [u8; 16]) -> IdKey {
        IdKey(secret)
    }

    /// The customer `customer_id` of `account_id`.
    pub fn subject(&self, account_id: &str, customer_id: &str) -> Subject {
        Subject(self.hash(b's', &[account_id.as_bytes(), customer_id.as_bytes()]))
    }

    /// What stands for the customer of events that name only these identifiers, sorted.
    pub fn anonymous(&self, identifiers: impl IntoIterator<Item = Token>) -> Subject {
        let tokens: Vec<[u8; 16]> =
            identifiers.into_iter().map(|token| token.0.to_le_bytes()).collect();
        let parts: Vec<&[u8]> = tokens.iter().map(<[u8; 16]>::as_slice).collect();
        Subject(self.hash(b'a', &parts))
    }

    /// The group (broadcast, campaign) `group_id` of `account_id`; never [`Group::NONE`].
    pub fn group(&self, account_id: &str, group_id: &str) -> Group {
        Group((self.hash(b'g', &[account_id.as_bytes(), group_id.as_bytes()]) as u64).max(1))
    }

    /// The dedup key of an event.
    pub fn event_key(&self, account_id: &str, source: &str, idempotency_key: &str) -> EventKey {
        let parts = [account_id.as_bytes(), source.as_bytes(), idempotency_key.as_bytes()];
        EventKey(self.hash(b'k', &parts))
    }

    /// SipHash-2-4-128 (Aumasson, Bernstein) of a domain byte and length-prefixed parts.
    pub fn hash(&self, domain: u8, parts: &[&[u8]]) -> u128 {
        // In one piece where it fits: for short inputs the buffering of a hasher costs more than the hash.
        let len = 1 + parts.iter().map(|part| 4 + part.len()).sum::<usize>();
        let (mut few, mut many) = ([0; 128], Vec::new());
        let input = match few.get_mut(..len) {
            Some(few) => few,
            None => {
                many.resize(len, 0);
                &mut many[..]
            }
        };
        input[0] = domain;
        let mut rest = &mut input[1..];
        for part in parts {
            let (length, after) = rest.split_at_mut(4);
            length.copy_from_slice(&(part.len() as u32).to_le_bytes());
            let (text, after) = after.split_at_mut(part.len());
            text.copy_from_slice(part);
            rest = after;
        }
        SipHasher24::new_with_key(&self.0).hash(input).as_u128()
    }
}
