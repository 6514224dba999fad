//! Times: epoch milliseconds inside, RFC 3339 UTC with milliseconds at the edges.

/// A logical time T, or any other instant, in milliseconds since the epoch.
pub type Millis = i64;

/// `ms` as RFC 3339 UTC with three digits, such as `2026-11-23T04:31:00.123Z`.
///
/// Instants beyond the calendar (years −9999 to 9999) are clamped to its ends.
pub fn format_rfc3339(ms: Millis) -> String {
    let timestamp = jiff::Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    });
    format!("{timestamp:.3}")
}

/// Serde for a [`Millis`] field that is RFC 3339 in JSON: `#[serde(with = "rfc3339")]`.
pub mod rfc3339 {
    use super::{Millis, format_rfc3339};
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes `ms` as RFC 3339.
    pub fn serialize<S: Serializer>(ms: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_rfc3339(*ms))
    }

    /// Reads RFC 3339.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Millis, D::Error> {
        let text = String::deserialize(deserializer)?;
        let timestamp: jiff::Timestamp = text.parse().map_err(de::Error::custom)?;
        Ok(timestamp.as_millisecond())
    }
}
