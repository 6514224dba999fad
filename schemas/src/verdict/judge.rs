//! The rules of product §9.1, in the order in which they apply.

use std::sync::Arc;

use super::{Attribute, Reason, Rejection, ValidEvent, Verdict};
use crate::catalogue::{Catalogue, EventSchema};
use crate::control::{ControlState, Ingestion, Settings};
use crate::envelope::{Body, Envelope, Fault, MAX_EVENT_BYTES};
use crate::fact::{AttributeValue, Identifier};
use crate::identifier::{self, EMAIL, PHONE};
use crate::json::write::into_text;
use crate::json::{self, Malformed, Member, Node, find};
use crate::mask::Masker;
use crate::sanitise;
use crate::time::{Millis, minus_months};
use crate::token::Keys;

/// How far an event may be ahead of its arrival: clocks differ.
const MAX_AHEAD_MS: Millis = 5 * 60_000;
/// No month is shorter, so an event younger than this for each month needs no calendar.
const SHORTEST_MONTH_MS: Millis = 28 * 86_400_000;
/// What is kept of an event's name that no catalogue knows.
const MAX_NAME_CHARS: usize = 128;

/// Decides what becomes of records. A pure function of record, control state and arrival.
#[derive(Clone)]
pub struct Judge {
    /// The event types.
    pub catalogue: Arc<Catalogue>,
    /// What tokens are made with.
    pub keys: Arc<Keys>,
}

impl Judge {
    /// The verdict on `payload`, read from the topic of `source` and bound at `arrival_ms`.
    pub fn judge(
        &self,
        source: &str,
        payload: &[u8],
        control: &ControlState,
        arrival_ms: Millis,
    ) -> Verdict {
        if payload.len() > MAX_EVENT_BYTES {
            let message = format!("more than {MAX_EVENT_BYTES} bytes: split the event");
            return self.unread(payload, Reason::Oversized, message);
        }
        let mut members = match json::parse(payload) {
            Ok(Node::Object(members)) => members,
            Ok(_) => {
                return self.unread(payload, Reason::MalformedJson, "not a JSON object".to_owned());
            }
            Err(Malformed { line, column }) => {
                let message = format!("not JSON (line {line}, column {column})");
                return self.unread(payload, Reason::MalformedJson, message);
            }
        };
        let envelope = Envelope::of(&members);
        match control.ingestion(source) {
            Ingestion::Off => return Verdict::Skipped,
            Ingestion::Accounts(accounts)
                if envelope.readable_account().is_some_and(|id| !accounts.contains(id)) =>
            {
                return Verdict::Skipped;
            }
            Ingestion::On | Ingestion::Accounts(_) => {}
        }
        let settings = control.settings();
        let examined = self.examine(source, &envelope, settings, arrival_ms);
        let account_id: Arc<str> = match &examined {
            Ok((event, _)) => event.account_id.clone(),
            Err(_) => envelope.valid_account().unwrap_or_default().into(),
        };
        let masker = Masker {
            keys: &self.keys,
            account_id: &account_id,
            strict: settings.strict_sources.contains(source),
            hash_keys: settings.hashed_key_sources.contains(source),
        };
        match examined {
            Ok((event, schema)) => {
                Verdict::Valid(Box::new(finish(event, schema, members, &masker, payload.len())))
            }
            Err(fault) => {
                let event_name = envelope.readable_event_name().unwrap_or_default();
                let event_name = shortened(&masker.text(event_name));
                masker.rejected(&mut members, &self.catalogue);
                Verdict::Rejected(Box::new(Rejection {
                    reason: fault.reason,
                    pointer: masker.text(&fault.pointer).into_owned(),
                    message: masker.text(&fault.message).into_owned(),
                    payload: written(members, payload.len()),
                    event_name,
                    account_id: account_id.to_string(),
                }))
            }
        }
    }
    /// The stored form of a text that a definition compares an attribute or property with.
    pub fn stored_text(&self, account_id: &str, name: &str, text: &str) -> String {
        let masker = Masker { keys: &self.keys, account_id, strict: false, hash_keys: false };
        match self.catalogue.is_pii_name(name) {
            _ if text.is_empty() => String::new(),
            true => masker.token(text),
            false => masker.text(text).into_owned(),
        }
    }

    /// Every rule from `event_name` on. What depends on masking is filled in later.
    fn examine(
        &self,
        source: &str,
        envelope: &Envelope,
        settings: &Settings,
        arrival_ms: Millis,
    ) -> Result<(ValidEvent, &EventSchema), Fault> {
        let head = envelope.head(source)?;
        let versions = self.catalogue.versions(source, head.event_name).ok_or_else(|| {
            let message = format!("is no event type of {source}: see the catalogue");
            Fault::new(Reason::UnknownEvent, "/event_name", message)
        })?;
        let schema = head.schema_version.and_then(|v| versions.get(&v)).ok_or_else(|| {
            let known: Vec<String> = versions.keys().map(u32::to_string).collect();
            let message = format!("is no version of this event: use {}", known.join(", "));
            Fault::new(Reason::UnsupportedVersion, "/schema_version", message)
        })?;
        let body = envelope.body()?;
        if let Some((pointer, message)) = schema.violation(body.properties) {
            let pointer = format!("/properties{pointer}");
            return Err(Fault::new(Reason::SchemaViolation, &pointer, message));
        }
        identity_named(head.event_name, &body)?;
        in_time(body.occurred_at_ms, arrival_ms, settings.retention_months)?;
        Ok((self.event(schema, &body), schema))
    }

    fn event(&self, schema: &EventSchema, body: &Body) -> ValidEvent {
        let identify = |kind: &str, value: &str| {
            identifier::identify(&self.keys, body.account_id, kind, value)
        };
        let mut identifiers: Vec<Identifier> =
            body.identifiers.iter().filter_map(|(kind, value)| identify(kind, value)).collect();
        identifiers.sort_unstable();
        identifiers.dedup();
        let property = |name: &str| find(body.properties, name).and_then(Node::as_text);
        let text = |name: &str| property(name).map(Arc::from);
        let identifying = |kind: &str| {
            let identifier = property(kind).and_then(|value| identify(kind, value))?;
            Some(Attribute { name: kind.into(), value: None, identifier: Some(identifier) })
        };
        let attributes = match sets_attributes(&schema.event_name) {
            true => [PHONE, EMAIL].into_iter().filter_map(identifying).collect(),
            false => Vec::new(),
        };
        let (mut other_customer, mut segment_id) = (None, None);
        match &*schema.event_name {
            "customer.merged" => other_customer = text("into"),
            "customer.unmerged" => other_customer = text("from"),
            "segment.entered" | "segment.exited" => segment_id = text("segment_id"),
            _ => {}
        }
        let id_key = self.keys.id_key();
        ValidEvent {
            account_id: body.account_id.into(),
            team_id: body.team_id.map(Arc::from),
            source_module: schema.source_module.clone(),
            event_name: schema.event_name.clone(),
            schema_version: schema.version,
            idempotency_key: body.idempotency_key.into(),
            event_key: id_key.event_key(
                body.account_id,
                &schema.source_module,
                body.idempotency_key,
            ),
            qontak_customer_id: body.qontak_customer_id.map(Arc::from),
            occurred_at_ms: body.occurred_at_ms,
            event: schema.event,
            group: schema.shape.group_property().and_then(text),
            identifiers,
            attributes,
            segment_id,
            other_customer,
            payload: String::new(),
            properties: String::new(),
        }
    }

    /// The rejection of a record of which nothing can be stored.
    fn unread(&self, payload: &[u8], reason: Reason, message: String) -> Verdict {
        let hash = self.keys.record_hash(payload);
        Verdict::Rejected(Box::new(Rejection {
            reason,
            pointer: String::new(),
            message,
            account_id: String::new(),
            event_name: String::new(),
            payload: format!(r#"{{"bytes":{},"keyed_hash":"{hash}"}}"#, payload.len()),
        }))
    }
}

fn identity_named(event_name: &str, body: &Body) -> Result<(), Fault> {
    let message = match (body.qontak_customer_id, event_name.starts_with("customer.")) {
        (Some(_), _) => return Ok(()),
        (None, true) => "customer.* events need qontak_customer_id",
        (None, false) if body.identifiers.is_empty() => "needs qontak_customer_id or identifiers",
        (None, false) => return Ok(()),
    };
    Err(Fault::new(Reason::MissingIdentity, "", message))
}

fn in_time(occurred_at_ms: Millis, arrival_ms: Millis, months: u32) -> Result<(), Fault> {
    if occurred_at_ms > arrival_ms.saturating_add(MAX_AHEAD_MS) {
        let message = "is more than 5 minutes ahead of the event's arrival: check the clock";
        return Err(Fault::new(Reason::FutureEvent, "/occurred_at", message));
    }
    let surely_kept_ms = arrival_ms.saturating_sub(SHORTEST_MONTH_MS.saturating_mul(months.into()));
    if occurred_at_ms < surely_kept_ms && occurred_at_ms < minus_months(arrival_ms, months) {
        let message = format!("is older than the retention of {months} months");
        return Err(Fault::new(Reason::TooOld, "/occurred_at", message));
    }
    Ok(())
}

/// Masks the record, and fills in what is stored of it.
fn finish(
    mut event: ValidEvent,
    schema: &EventSchema,
    mut members: Vec<Member>,
    masker: &Masker,
    len_hint: usize,
) -> ValidEvent {
    masker.event(&mut members, &schema.shape);
    if masker.hash_keys {
        event.idempotency_key = masker.hashed_key(&event.idempotency_key).into();
    }
    let properties: &[Member] = match find(&members, "properties") {
        Some(Node::Object(properties)) => properties,
        _ => &[],
    };
    event.properties = sanitise::properties(properties);
    if sets_attributes(&event.event_name) {
        let identifying = std::mem::take(&mut event.attributes);
        event.attributes = attributes(properties, &identifying);
    }
    event.payload = written(members, len_hint + 64);
    event
}

pub(super) fn sets_attributes(event_name: &str) -> bool {
    matches!(event_name, "customer.created" | "customer.updated")
}

/// Every masked property as an attribute, with what it identified before it was masked.
pub(super) fn attributes(properties: &[Member], identifying: &[Attribute]) -> Vec<Attribute> {
    let attribute = |(name, value): &Member| Attribute {
        name: name.as_ref().into(),
        value: match value {
            Node::Null => None,
            value => Some(Arc::new(AttributeValue::new(value.to_value()))),
        },
        identifier: identifying.iter().find(|a| *a.name == **name).and_then(|a| a.identifier),
    };
    properties.iter().map(attribute).collect()
}

fn written(members: Vec<Member>, len_hint: usize) -> String {
    let mut text = Vec::with_capacity(len_hint);
    Node::Object(members).write(&mut text);
    into_text(text)
}

fn shortened(name: &str) -> String {
    name.chars().take(MAX_NAME_CHARS).collect()
}
