//! Accepted events as they are kept, and back: what a row has beside its other columns, so that the same
//! can be told of the event once its record is gone.
//!
//! Two texts of compact JSON, tokens and hashes in them and nothing personal. One is emptied with the
//! payload when the event is erased. The other stays, and says no more than what an erasure leaves: the key,
//! the names that a customer had, an explicit link, and, of an event without a customer id, whatever may
//! count again (product §9.2: unless a remaining customer had named it).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ValidEvent;
use super::judge::{attributes, sets_attributes};
use crate::fact::{Identifier, IdentifierValue};
use crate::id::{EventKey, EventType, Token};
use crate::json::{self, Node};
use crate::time::Millis;
use crate::token::Keys;
use crate::verdict::Attribute;

/// What a definition has found in an event: the type of the fact, and its group.
pub type Derived = (EventType, Option<Arc<str>>);

/// What is kept of an event beside the columns of its row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Emptied with the payload.
    pub facts: String,
    /// Stays; never empty.
    pub lasting_facts: String,
}

/// The text that is emptied. Identifiers are numbers of lasting tokens, with their values.
#[derive(Default, Serialize, Deserialize)]
struct Facts {
    /// Those of `identifiers`, in their order; of an event without a customer id they last.
    #[serde(rename = "i", default, skip_serializing_if = "Vec::is_empty")]
    identifiers: Vec<(usize, u64)>,
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<(Arc<str>, usize, u64)>,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    segment_id: Option<Arc<str>>,
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    group: Option<Arc<str>>,
}

/// The text that stays.
#[derive(Default, Serialize, Deserialize)]
struct Lasting {
    /// The dedup key, where it is not that of the key in the row.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    event_key: Option<String>,
    #[serde(rename = "t", default, skip_serializing_if = "Vec::is_empty")]
    tokens: Vec<String>,
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    other_customer: Option<Arc<str>>,
    /// Of an event without a customer id, that of each token.
    #[serde(rename = "v", default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<u64>,
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    group: Option<Arc<str>>,
    #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
    derived: Vec<Derived>,
}

impl Kept {
    /// What to keep of `event`. Of one without a customer id, that is also what definitions have `derived`
    /// from it: its properties may be gone when it counts again.
    pub fn of(event: &ValidEvent, derived: Vec<Derived>, keys: &Keys) -> Kept {
        let is_anonymous = event.qontak_customer_id.is_none();
        let mut tokens: Vec<Token> = event.identifiers.iter().map(|found| found.token).collect();
        let mut number = |found: &Identifier| match tokens.iter().position(|t| *t == found.token) {
            Some(at) => (at, found.value.0),
            None => {
                tokens.push(found.token);
                (tokens.len() - 1, found.value.0)
            }
        };
        let mut facts = Facts { segment_id: event.segment_id.clone(), ..Facts::default() };
        let mut lasting = Lasting::default();
        let identifiers: Vec<_> = event.identifiers.iter().map(&mut number).collect();
        facts.attributes = event
            .attributes
            .iter()
            .filter_map(|one| Some((one.name.clone(), number(one.identifier.as_ref()?))))
            .map(|(name, (at, value))| (name, at, value))
            .collect();
        match is_anonymous {
            true => {
                lasting.values = identifiers.into_iter().map(|(_, value)| value).collect();
                lasting.group = event.group.clone();
                lasting.derived = derived;
            }
            false => {
                facts.identifiers = identifiers;
                facts.group = event.group.clone();
            }
        }
        lasting.tokens = tokens.into_iter().map(|token| keys.render(token)).collect();
        lasting.other_customer = event.other_customer.clone();
        let plain =
            event_key(&event.account_id, &event.source_module, &event.idempotency_key, keys);
        lasting.event_key =
            (event.event_key != plain).then(|| format!("{:032x}", event.event_key.0));
        Kept { facts: written(&facts), lasting_facts: written(&lasting) }
    }
}

fn event_key(account_id: &str, source_module: &str, key: &str, keys: &Keys) -> EventKey {
    keys.id_key().event_key(account_id, source_module, key)
}

/// Nothing in it can fail to be JSON; if it did, reading would say that it is missing.
fn written(texts: &impl Serialize) -> String {
    serde_json::to_string(texts).unwrap_or_default()
}

/// A row of an accepted event, as far as anything is told of it.
#[derive(Clone, Copy, Debug)]
pub struct StoredEvent<'r> {
    /// The tenant.
    pub account_id: &'r str,
    /// "" if none.
    pub team_id: &'r str,
    /// The publisher.
    pub source_module: &'r str,
    /// The event type.
    pub event_name: &'r str,
    /// The version of its schema.
    pub schema_version: u32,
    /// As stored: hashed, maybe.
    pub idempotency_key: &'r str,
    /// "" if none.
    pub qontak_customer_id: &'r str,
    /// When it happened.
    pub occurred_at_ms: Millis,
    /// The masked envelope; "" if it is erased.
    pub payload: &'r str,
    /// See [`Kept`].
    pub facts: &'r str,
    /// See [`Kept`].
    pub lasting_facts: &'r str,
}

/// An accepted event, read from its row.
#[derive(Clone, Debug, PartialEq)]
pub struct Retold {
    /// The event; `properties` is left empty. Of an erased one, what an erasure leaves.
    pub event: ValidEvent,
    /// It was emptied.
    pub is_erased: bool,
    /// What definitions had found in it when it came, if it is erased and names no customer.
    pub derived: Vec<Derived>,
}

/// A row does not say what is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// It is older than these columns.
    #[error("it was written by a version of cebe that did not keep what a rebuild needs")]
    NotKept,
    /// Made with another secret.
    #[error("its tokens were made with another key than tokens.key_id")]
    OtherKeys,
    /// Not what was written.
    #[error("its column {0} is not what cebe wrote")]
    Unreadable(&'static str),
}

impl StoredEvent<'_> {
    /// The event as it was accepted.
    ///
    /// # Errors
    /// [`StoredError`].
    pub fn read(&self, keys: &Keys) -> Result<Retold, StoredError> {
        if self.lasting_facts.is_empty() {
            return Err(StoredError::NotKept);
        }
        let unreadable = |column| move |_| StoredError::Unreadable(column);
        let lasting: Lasting =
            serde_json::from_str(self.lasting_facts).map_err(unreadable("lasting_facts"))?;
        let is_erased = self.payload.is_empty();
        let facts: Facts = match is_erased {
            true => Facts::default(),
            false => serde_json::from_str(self.facts).map_err(unreadable("facts"))?,
        };
        let tokens: Option<Vec<Token>> = lasting.tokens.iter().map(|t| keys.parse(t)).collect();
        let tokens = tokens.ok_or(StoredError::OtherKeys)?;
        let text = |text: &str| (!text.is_empty()).then(|| Arc::from(text));
        let customer = text(self.qontak_customer_id);
        let identifiers = match &customer {
            None => identifiers(&tokens, lasting.values.into_iter().enumerate()),
            // Names are all that is left, and no name needs a value.
            Some(_) if is_erased => identifiers(&tokens, (0..tokens.len()).map(|at| (at, 0))),
            Some(_) => identifiers(&tokens, facts.identifiers.into_iter()),
        };
        let event_key = match &lasting.event_key {
            None => event_key(self.account_id, self.source_module, self.idempotency_key, keys),
            Some(hex) => EventKey(
                u128::from_str_radix(hex, 16)
                    .map_err(|_| StoredError::Unreadable("lasting_facts"))?,
            ),
        };
        let event = ValidEvent {
            account_id: self.account_id.into(),
            team_id: text(self.team_id),
            source_module: self.source_module.into(),
            event_name: self.event_name.into(),
            schema_version: self.schema_version,
            idempotency_key: self.idempotency_key.into(),
            event_key,
            qontak_customer_id: customer,
            occurred_at_ms: self.occurred_at_ms,
            event: EventType::named(self.event_name),
            group: facts.group.or(lasting.group),
            identifiers: identifiers.ok_or(StoredError::Unreadable("facts"))?,
            attributes: self.attributes(&tokens, &facts.attributes)?,
            segment_id: facts.segment_id,
            other_customer: lasting.other_customer,
            payload: self.payload.to_owned(),
            properties: String::new(),
        };
        let derived = if is_erased { lasting.derived } else { Vec::new() };
        Ok(Retold { event, is_erased, derived })
    }

    /// Every property of the payload, if the event sets attributes, with what it identified.
    fn attributes(
        &self,
        tokens: &[Token],
        identifying: &[(Arc<str>, usize, u64)],
    ) -> Result<Vec<Attribute>, StoredError> {
        if self.payload.is_empty() || !sets_attributes(self.event_name) {
            return Ok(Vec::new());
        }
        let identifying = identifying.iter().map(|(name, at, value)| {
            let token = *tokens.get(*at).ok_or(StoredError::Unreadable("facts"))?;
            let identifier = Some(Identifier { token, value: IdentifierValue(*value) });
            Ok(Attribute { name: name.clone(), value: None, identifier })
        });
        let identifying: Vec<Attribute> = identifying.collect::<Result<_, _>>()?;
        let Ok(Node::Object(envelope)) = json::parse(self.payload.as_bytes()) else {
            return Err(StoredError::Unreadable("payload"));
        };
        Ok(match json::find(&envelope, "properties") {
            Some(Node::Object(properties)) => attributes(properties, &identifying),
            _ => Vec::new(),
        })
    }
}

fn identifiers(
    tokens: &[Token],
    numbered: impl Iterator<Item = (usize, u64)>,
) -> Option<Vec<Identifier>> {
    let identifier = |(at, value): (usize, u64)| {
        Some(Identifier { token: *tokens.get(at)?, value: IdentifierValue(value) })
    };
    numbered.map(identifier).collect()
}

#[cfg(test)]
mod tests;
