//! Masks everything personal in a parsed record, before anything of it is stored (product §2).
//!
//! A masked text is `~<key id>:<32 hex digits>`, its token: equal texts of one account stay equal,
//! and nothing of the text is left. Phone numbers and emails take the token that they have as
//! identifiers, whatever their spelling.
//!
//! * Fields that the schema marks: every string and number in them.
//! * Fields that the schema knows: untouched.
//! * Fields that no schema knows, keys included: what reads as a phone number or an email; of a
//!   strict source, every string.
//! * Rejected records: no field is trusted, and whatever any schema marks is masked by its name.

use std::borrow::Cow;

use crate::catalogue::Catalogue;
use crate::identifier::{self, EMAIL, PHONE};
use crate::json::{Member, Node, normalise_members};
use crate::shape::Shape;
use crate::token::Keys;

mod scan;

/// Masks on behalf of one account.
pub(crate) struct Masker<'k> {
    pub(crate) keys: &'k Keys,
    pub(crate) account_id: &'k str,
    /// Unknown strings are stored as tokens, whole.
    pub(crate) strict: bool,
    /// Idempotency keys are stored as tokens.
    pub(crate) hash_keys: bool,
}

/// The keys that the contract gives meaning to; any other is the publisher's own text.
fn is_envelope_key(key: &str) -> bool {
    matches!(
        key,
        "event_name"
            | "schema_version"
            | "source_module"
            | "idempotency_key"
            | "account_id"
            | "team_id"
            | "qontak_customer_id"
            | "identifiers"
            | "occurred_at"
            | "properties"
    )
}

const IDENTIFIER_KEYS: [&str; 2] = ["type", "value"];

impl Masker<'_> {
    /// Masks a valid event in place.
    pub(crate) fn event(&self, envelope: &mut Vec<Member>, shape: &Shape) {
        self.each(envelope, is_envelope_key, |key, value| match key {
            "idempotency_key" => self.idempotency_key(value),
            "identifiers" => self.identifiers(value),
            "properties" => self.described(value, shape),
            _ if is_envelope_key(key) => {}
            _ => self.unknown(value),
        });
    }

    /// Masks a rejected record in place.
    pub(crate) fn rejected(&self, envelope: &mut Vec<Member>, catalogue: &Catalogue) {
        let plain_id = |value: &Node| value.as_text().is_some_and(|text| text.len() <= 128);
        self.each(envelope, is_envelope_key, |key, value| match key {
            "idempotency_key" if plain_id(value) => self.idempotency_key(value),
            "account_id" | "team_id" | "qontak_customer_id" if plain_id(value) => {}
            "event_name" | "source_module" | "occurred_at" if value.as_text().is_some() => {
                self.scanned(value);
            }
            "identifiers" => self.identifiers(value),
            _ => self.untrusted(key, value, catalogue),
        });
    }

    /// `text` with every phone number and email in it masked.
    pub(crate) fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if scan::is_harmless(text) {
            return Cow::Borrowed(text);
        }
        let mut masked = String::new();
        let mut from = 0;
        while let Some((range, kind)) = scan::next(text, from) {
            masked.push_str(&text[from..range.start]);
            self.piece(&text[range.clone()], kind, &mut masked);
            from = range.end;
        }
        if from == 0 {
            return Cow::Borrowed(text);
        }
        masked.push_str(&text[from..]);
        Cow::Owned(masked)
    }

    fn piece(&self, piece: &str, kind: scan::Kind, masked: &mut String) {
        let spelled = match kind {
            scan::Kind::Email => piece.replace("%40", "@").replace('＠', "@"),
            scan::Kind::Phone => piece
                .chars()
                .filter_map(|c| {
                    scan::digit(c)
                        .and_then(|d| char::from_digit(d, 10))
                        .or((c == '+').then_some('+'))
                })
                .collect(),
        };
        self.token_into(&spelled, masked);
    }

    /// The masked form of a whole text.
    pub(crate) fn token(&self, text: &str) -> String {
        let mut masked = String::with_capacity(40);
        self.token_into(text, &mut masked);
        masked
    }

    fn token_into(&self, text: &str, masked: &mut String) {
        let token = if let Some(email) = identifier::email(text) {
            self.keys.token(self.account_id, EMAIL, &email)
        } else if let Some(phone) = identifier::phone(text) {
            self.keys.token(self.account_id, PHONE, &phone)
        } else {
            self.keys.text_token(self.account_id, text)
        };
        masked.push('~');
        self.keys.render_into(token, masked);
    }

    /// Applies `rule` to every member, and masks the keys that are not known.
    fn each(
        &self,
        members: &mut Vec<Member>,
        known: impl Fn(&str) -> bool,
        mut rule: impl FnMut(&str, &mut Node),
    ) {
        let mut renamed = false;
        for (key, value) in members.iter_mut() {
            rule(key, value);
            if !known(key)
                && let Cow::Owned(masked) = self.text(key)
            {
                *key = Cow::Owned(masked);
                renamed = true;
            }
        }
        if renamed {
            normalise_members(members);
        }
    }

    fn idempotency_key(&self, value: &mut Node) {
        if let (true, Node::Text(text)) = (self.hash_keys, &*value) {
            *value = Node::Text(Cow::Owned(self.hashed_key(text)));
        }
    }

    /// The form in which keys are stored that carry personal data.
    pub(crate) fn hashed_key(&self, key: &str) -> String {
        format!("~{}", self.keys.render(self.keys.text_token(self.account_id, key)))
    }

    fn identifiers(&self, value: &mut Node) {
        let Node::Array(entries) = value else { return self.personal(value) };
        for entry in entries {
            let Node::Object(members) = entry else {
                self.personal(entry);
                continue;
            };
            let kind =
                crate::json::find(members, "type").and_then(Node::as_text).map(str::to_owned);
            self.each(
                members,
                |key| IDENTIFIER_KEYS.contains(&key),
                |key, value| match (key, &mut *value) {
                    ("type", Node::Text(_)) => self.scanned(value),
                    ("value", Node::Text(text)) => {
                        let kind = kind.as_deref().unwrap_or_default();
                        *value = Node::Text(Cow::Owned(self.identifier(kind, text)));
                    }
                    ("value", _) => self.personal(value),
                    _ => self.unknown(value),
                },
            );
        }
    }

    fn identifier(&self, kind: &str, text: &str) -> String {
        let token = identifier::identify(self.keys, self.account_id, kind, text)
            .map_or_else(|| self.keys.text_token(self.account_id, text), |found| found.token);
        format!("~{}", self.keys.render(token))
    }

    /// A value that the schema describes.
    fn described(&self, value: &mut Node, shape: &Shape) {
        if shape.pii {
            return self.personal(value);
        }
        match value {
            Node::Object(members) => {
                let known = |key: &str| shape.property(key).is_some();
                self.each(members, known, |key, value| match shape.property(key) {
                    Some(shape) => self.described(value, shape),
                    None => self.unknown(value),
                });
            }
            Node::Array(items) => items.iter_mut().for_each(|item| match shape.items() {
                Some(shape) => self.described(item, shape),
                None => self.unknown(item),
            }),
            Node::Deep(_) => self.unknown(value),
            Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) => {}
        }
    }

    /// A value that no schema knows.
    fn unknown(&self, value: &mut Node) {
        match value {
            Node::Text(text) if self.strict && !text.is_empty() => {
                *value = Node::Text(Cow::Owned(self.token(text)));
            }
            Node::Text(_) => self.scanned(value),
            Node::Array(items) => items.iter_mut().for_each(|item| self.unknown(item)),
            Node::Object(members) => self.each(members, |_| false, |_, value| self.unknown(value)),
            Node::Deep(raw) => *value = Node::Text(Cow::Owned(self.token(raw))),
            Node::Null | Node::Bool(_) | Node::Number(_) => {}
        }
    }

    /// A value of a rejected record.
    fn untrusted(&self, key: &str, value: &mut Node, catalogue: &Catalogue) {
        match value {
            _ if catalogue.is_pii_name(key) => self.personal(value),
            Node::Array(items) => {
                items.iter_mut().for_each(|item| self.untrusted(key, item, catalogue));
            }
            Node::Object(members) => {
                self.each(members, |_| false, |key, value| self.untrusted(key, value, catalogue));
            }
            _ => self.unknown(value),
        }
    }

    fn scanned(&self, value: &mut Node) {
        if let Node::Text(text) = value
            && let Cow::Owned(masked) = self.text(text)
        {
            *text = Cow::Owned(masked);
        }
    }

    /// A value marked as personal: whatever it is, only its token stays.
    fn personal(&self, value: &mut Node) {
        match value {
            Node::Text(text) if text.is_empty() => {}
            Node::Text(text) => *value = Node::Text(Cow::Owned(self.token(text))),
            Node::Number(number) => {
                *value = Node::Text(Cow::Owned(self.token(&number.to_string())));
            }
            Node::Deep(raw) => *value = Node::Text(Cow::Owned(self.token(raw))),
            Node::Array(items) => items.iter_mut().for_each(|item| self.personal(item)),
            Node::Object(members) => self.each(members, |_| false, |_, value| self.personal(value)),
            Node::Null | Node::Bool(_) => {}
        }
    }
}
