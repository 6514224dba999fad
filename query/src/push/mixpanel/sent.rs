//! What was sent, and what of it goes where in the envelope.

use cebe_schemas::catalogue::Catalogue;
use cebe_schemas::time::Millis;
use serde_json::{Map, Value};

use super::ATTRIBUTES;
use super::field::{identify, key, occurred_at};
use crate::principal::Principal;

/// The properties of an event that are about the envelope.
const ABOUT: [&str; 9] = [
    "source_module",
    "schema_version",
    "time",
    "$insert_id",
    "token",
    "account_id",
    "team_id",
    "distinct_id",
    "$user_id",
];

/// The event that says what is known of a customer.
const UPDATED: &str = "customer.updated";
/// Operations on a profile that depend on what it was before, or delete it.
const OTHERS: [&str; 6] = ["$set_once", "$add", "$append", "$union", "$remove", "$delete"];

/// What was sent: what it says of the envelope, and the properties of the event.
pub(super) struct Sent {
    name: Value,
    about: Map<String, Value>,
    properties: Map<String, Value>,
}

impl Sent {
    /// An event has both in its properties.
    pub(super) fn event(mut outer: Map<String, Value>) -> Sent {
        let mut properties = match outer.remove("properties") {
            Some(Value::Object(properties)) => properties,
            _ => Map::new(),
        };
        let mut about = Map::new();
        for name in ABOUT {
            about.extend(properties.remove(name).map(|value| (name.to_owned(), value)));
        }
        about.extend(properties.get("$device_id").map(|id| ("$device_id".to_owned(), id.clone())));
        Sent { name: outer.remove("event").unwrap_or_default(), about, properties }
    }

    /// `$set` and `$unset` of a profile are attributes of a customer. With any other operation it is an event that is not
    /// known.
    pub(super) fn profile(mut outer: Map<String, Value>) -> Sent {
        let mut properties = Map::new();
        if let Some(Value::Object(set)) = outer.remove("$set") {
            properties.extend(set.into_iter().map(|(name, value)| (attribute(name), value)));
        }
        if let Some(Value::Array(unset)) = outer.remove("$unset") {
            let names = unset.iter().filter_map(Value::as_str);
            properties.extend(names.map(|name| (attribute(name.to_owned()), Value::Null)));
        }
        let mut about = Map::new();
        for (of_profile, name) in [
            ("$token", "token"),
            ("$distinct_id", "distinct_id"),
            ("$time", "time"),
            ("$insert_id", "$insert_id"),
            ("$user_id", "$user_id"),
            ("$device_id", "$device_id"),
        ] {
            about.extend(outer.remove(of_profile).map(|value| (name.to_owned(), value)));
        }
        let is_kept = !properties.is_empty() && !outer.keys().any(|name| OTHERS.contains(&&**name));
        let name = if is_kept { UPDATED } else { "$engage" };
        Sent { name: name.into(), about, properties }
    }

    pub(super) fn envelope(
        self,
        event: &[u8],
        who: &Principal,
        catalogue: &Catalogue,
        now_ms: Millis,
    ) -> Value {
        let Sent { name, mut about, properties } = self;
        let mut envelope = Map::new();
        let own = about.remove("source_module");
        let source = own.or_else(|| source_of(name.as_str()?, who, catalogue).map(Value::from));
        let source = source.unwrap_or_default();
        let version = about.remove("schema_version").or_else(|| {
            let newest = catalogue.versions(source.as_str()?, name.as_str()?)?.keys().next_back();
            newest.map(|version| Value::from(*version))
        });
        let time = about.remove("time");
        envelope.insert("idempotency_key".into(), key(&mut about, event, time.is_some()));
        envelope.insert("occurred_at".into(), time.map_or(Value::from(now_ms), occurred_at));
        envelope.insert("event_name".into(), name);
        envelope.insert("source_module".into(), source);
        envelope.insert("schema_version".into(), version.unwrap_or(Value::from(1)));
        let token = about.remove("token");
        let account = about.remove("account_id");
        let account = account.or_else(|| who.account_id.as_deref().map(Value::from));
        // Where there are keys, a token is a secret, and stays here.
        let account = account.or(token.filter(|_| who.is_anybody()));
        envelope.insert("account_id".into(), account.unwrap_or_default());
        let team = about.remove("team_id");
        let team = team.or_else(|| who.team_id.as_deref().map(Value::from));
        envelope.insert("team_id".into(), team.unwrap_or_default());
        identify(&mut about, &mut envelope);
        envelope.insert("properties".into(), Value::Object(properties));
        Value::Object(envelope)
    }
}

/// The name of an attribute.
fn attribute(name: String) -> String {
    let known = ATTRIBUTES.iter().find(|(theirs, _)| *theirs == name);
    known.map_or(name, |(_, ours)| (*ours).to_owned())
}

/// The source that has an event of this name; where several have, one that the key publishes for.
fn source_of<'c>(name: &str, who: &Principal, catalogue: &'c Catalogue) -> Option<&'c str> {
    let having = |known: &&(&str, &str, u32)| known.1 == name && who.speaks_for(known.0);
    let all: Vec<_> = catalogue.list().collect();
    let found = all.iter().find(having);
    // So that an unknown name is what is found wrong, and not its source.
    let any = || all.iter().find(|known| who.speaks_for(known.0));
    found.or_else(any).map(|(source, ..)| *source)
}
