//! The fields of a record, and what each must be (product §2, §9.1).

use crate::json::{Member, Node};
use crate::time::{Millis, parse_rfc3339};
use crate::verdict::Reason;

/// A record with more bytes is oversized.
pub(crate) const MAX_EVENT_BYTES: usize = 65_536;
const MAX_ID_BYTES: usize = 64;
const MAX_KEY_BYTES: usize = 128;
const MAX_PROPERTIES: usize = 255;
/// `properties` itself is level 1.
const MAX_PROPERTIES_DEPTH: usize = 5;

/// What makes a record be rejected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) pointer: String,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(reason: Reason, pointer: &str, message: impl Into<String>) -> Fault {
        Fault { reason, pointer: pointer.to_owned(), message: message.into() }
    }

    fn violation(pointer: &str, message: impl Into<String>) -> Fault {
        Fault::new(Reason::SchemaViolation, pointer, message)
    }
}

/// The fields that the contract names, unchecked; `null` and `[]` are absent.
#[derive(Default)]
pub(crate) struct Envelope<'n, 'a> {
    event_name: Option<&'n Node<'a>>,
    schema_version: Option<&'n Node<'a>>,
    source_module: Option<&'n Node<'a>>,
    idempotency_key: Option<&'n Node<'a>>,
    account_id: Option<&'n Node<'a>>,
    team_id: Option<&'n Node<'a>>,
    qontak_customer_id: Option<&'n Node<'a>>,
    identifiers: Option<&'n Node<'a>>,
    occurred_at: Option<&'n Node<'a>>,
    properties: Option<&'n Node<'a>>,
}

/// The fields that say what kind of event it is.
pub(crate) struct Head<'n> {
    pub(crate) event_name: &'n str,
    /// None: an integer that is no version of anything.
    pub(crate) schema_version: Option<u32>,
}

/// All other fields.
pub(crate) struct Body<'n, 'a> {
    pub(crate) idempotency_key: &'n str,
    pub(crate) account_id: &'n str,
    pub(crate) team_id: Option<&'n str>,
    pub(crate) qontak_customer_id: Option<&'n str>,
    /// (type, value).
    pub(crate) identifiers: Vec<(&'n str, &'n str)>,
    pub(crate) occurred_at_ms: Millis,
    pub(crate) properties: &'n [Member<'a>],
}

impl<'n, 'a> Envelope<'n, 'a> {
    pub(crate) fn of(members: &'n [Member<'a>]) -> Envelope<'n, 'a> {
        let mut envelope = Envelope::default();
        for (key, value) in members.iter().filter(|(_, value)| !value.is_absent()) {
            let field = match key.as_ref() {
                "event_name" => &mut envelope.event_name,
                "schema_version" => &mut envelope.schema_version,
                "source_module" => &mut envelope.source_module,
                "idempotency_key" => &mut envelope.idempotency_key,
                "account_id" => &mut envelope.account_id,
                "team_id" => &mut envelope.team_id,
                "qontak_customer_id" => &mut envelope.qontak_customer_id,
                "identifiers" => &mut envelope.identifiers,
                "occurred_at" => &mut envelope.occurred_at,
                "properties" => &mut envelope.properties,
                _ => continue,
            };
            *field = Some(value);
        }
        envelope
    }

    /// The account where it can be read at all.
    pub(crate) fn readable_account(&self) -> Option<&'n str> {
        self.account_id.and_then(Node::as_text).filter(|text| !text.is_empty())
    }

    /// The event's name where it can be read at all.
    pub(crate) fn readable_event_name(&self) -> Option<&'n str> {
        self.event_name.and_then(Node::as_text)
    }

    /// The account if it is one, for tokens and for who may see the rejection.
    pub(crate) fn valid_account(&self) -> Option<&'n str> {
        self.readable_account().filter(|text| text.len() <= MAX_ID_BYTES)
    }

    /// The fields that are judged first, in this order.
    pub(crate) fn head(&self, source: &str) -> Result<Head<'n>, Fault> {
        let event_name = required(self.event_name, "/event_name", usize::MAX)?;
        let source_module = required(self.source_module, "/source_module", usize::MAX)?;
        if source_module != source {
            return Err(Fault::violation(
                "/source_module",
                format!(
                    "is not {source}, the source of the topic: publish to the topic of the source"
                ),
            ));
        }
        let schema_version = match self.schema_version {
            Some(Node::Number(number)) if !number.is_f64() => {
                number.as_u64().and_then(|version| u32::try_from(version).ok())
            }
            found => return Err(wrong(found, "/schema_version", "must be an integer")),
        };
        Ok(Head { event_name, schema_version })
    }

    /// The other fields, in the order in which product §9.1 judges them.
    pub(crate) fn body(&self) -> Result<Body<'n, 'a>, Fault> {
        Ok(Body {
            idempotency_key: required(self.idempotency_key, "/idempotency_key", MAX_KEY_BYTES)?,
            account_id: required(self.account_id, "/account_id", MAX_ID_BYTES)?,
            team_id: optional(self.team_id, "/team_id")?,
            qontak_customer_id: optional(self.qontak_customer_id, "/qontak_customer_id")?,
            identifiers: identifiers(self.identifiers)?,
            occurred_at_ms: occurred_at(self.occurred_at)?,
            properties: properties(self.properties)?,
        })
    }
}

fn wrong(found: Option<&Node>, pointer: &str, rule: &str) -> Fault {
    match found {
        None => Fault::violation(pointer, format!("is required: {rule}")),
        Some(_) => Fault::violation(pointer, rule),
    }
}

fn required<'n>(
    field: Option<&'n Node>,
    pointer: &str,
    max_bytes: usize,
) -> Result<&'n str, Fault> {
    match field.and_then(Node::as_text) {
        Some(text) if !text.is_empty() && text.len() <= max_bytes => Ok(text),
        _ if max_bytes == usize::MAX => Err(wrong(field, pointer, "must be a non-empty string")),
        _ => Err(wrong(field, pointer, &format!("must be a string of 1 to {max_bytes} bytes"))),
    }
}

fn optional<'n>(field: Option<&'n Node>, pointer: &str) -> Result<Option<&'n str>, Fault> {
    field.map(|_| required(field, pointer, MAX_ID_BYTES)).transpose()
}

fn identifiers<'n>(field: Option<&'n Node>) -> Result<Vec<(&'n str, &'n str)>, Fault> {
    let entries = match field {
        None => return Ok(Vec::new()),
        Some(Node::Array(entries)) => entries,
        Some(_) => {
            return Err(Fault::violation("/identifiers", "must be an array of {type, value}"));
        }
    };
    entries.iter().enumerate().map(|(at, entry)| identifier(at, entry)).collect()
}

fn identifier<'n>(at: usize, entry: &'n Node) -> Result<(&'n str, &'n str), Fault> {
    let Node::Object(members) = entry else {
        return Err(Fault::violation(
            &format!("/identifiers/{at}"),
            "must be an object {type, value}",
        ));
    };
    let field = |name: &str| {
        let value = crate::json::find(members, name).filter(|value| !value.is_absent());
        let pointer = || format!("/identifiers/{at}/{name}");
        value.and_then(Node::as_text).ok_or_else(|| wrong(value, &pointer(), "must be a string"))
    };
    let (kind, value) = (field("type")?, field("value")?);
    if kind.is_empty() {
        return Err(Fault::violation(
            &format!("/identifiers/{at}/type"),
            "must be a non-empty string, such as phone or email",
        ));
    }
    Ok((kind, value))
}

fn occurred_at(field: Option<&Node>) -> Result<Millis, Fault> {
    let read = match field {
        Some(Node::Text(text)) => parse_rfc3339(text),
        // An unsigned integer beyond the signed ones is a time, and far ahead.
        Some(Node::Number(number)) if number.is_u64() => {
            number.as_u64().map(|ms| Millis::try_from(ms).unwrap_or(Millis::MAX))
        }
        Some(Node::Number(number)) => number.as_i64(),
        _ => None,
    };
    let rule = "must be an RFC 3339 date-time with offset, or integer epoch milliseconds";
    read.ok_or_else(|| wrong(field, "/occurred_at", rule))
}

fn properties<'n, 'a>(field: Option<&'n Node<'a>>) -> Result<&'n [Member<'a>], Fault> {
    let Some(value) = field else { return Ok(&[]) };
    let Node::Object(members) = value else {
        return Err(Fault::violation("/properties", "must be an object"));
    };
    if members.len() > MAX_PROPERTIES {
        let message = format!("must have at most {MAX_PROPERTIES} properties");
        return Err(Fault::violation("/properties", message));
    }
    if value.depth() > MAX_PROPERTIES_DEPTH {
        let message =
            format!("must be nested at most {MAX_PROPERTIES_DEPTH} deep, itself included");
        return Err(Fault::violation("/properties", message));
    }
    Ok(members)
}
