//! Mixpanel's event as an envelope. The mapping is in docs/guides/push-http.md; what it cannot map stays as it is,
//! so that the verdict names it.

mod field;
mod sent;
#[cfg(test)]
mod tests;
mod told;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::GeneralPurposeConfig;
use cebe_schemas::catalogue::Catalogue;
use cebe_schemas::time::Millis;
use serde_json::Value;

use super::examine::Failure;
use crate::principal::Principal;

use sent::Sent;
use told::{translated, translated_of_profile};

/// Some clients leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The text of a `data` parameter: JSON, or JSON in base64.
pub(crate) fn data(text: &str) -> Vec<u8> {
    if text.trim_start().starts_with(['[', '{']) {
        return text.as_bytes().to_vec();
    }
    // Clients that do not encode `+` for a form had spaces made of it.
    let packed = text.trim().replace(' ', "+");
    BASE64.decode(packed).unwrap_or_else(|_| text.as_bytes().to_vec())
}

/// What a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something that happened: `/track`, `/import`.
    Event,
    /// What is known of somebody: `/engage`.
    Profile,
}

/// What Mixpanel calls some attributes, which are personal here.
const ATTRIBUTES: [(&str, &str); 3] = [("$name", "name"), ("$email", "email"), ("$phone", "phone")];

impl Kind {
    /// Where the token stands by which an event says whose it is.
    pub(crate) fn token(self, event: &[u8]) -> Option<String> {
        let event: Value = serde_json::from_slice(event).ok()?;
        let token = match self {
            Kind::Event => &event["properties"]["token"],
            Kind::Profile => &event["$token"],
        };
        token.as_str().map(str::to_owned)
    }

    /// What was sent as an envelope of `who`. Whatever is none of its kind stays as it is.
    pub(crate) fn envelope(
        self,
        event: Vec<u8>,
        who: &Principal,
        catalogue: &Catalogue,
        now_ms: Millis,
    ) -> Vec<u8> {
        let Ok(Value::Object(outer)) = serde_json::from_slice(&event) else { return event };
        let sent = match self {
            Kind::Event => Sent::event(outer),
            Kind::Profile => Sent::profile(outer),
        };
        sent.envelope(&event, who, catalogue, now_ms).to_string().into_bytes()
    }

    /// What is wrong, in the words of what was sent.
    pub(crate) fn translated(self, failure: Failure) -> Failure {
        match self {
            Kind::Event => translated(failure),
            Kind::Profile => translated_of_profile(failure),
        }
    }
}
