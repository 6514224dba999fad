//! What is too old to be taken in.

use cebe_schemas::time::{Millis, minus_months, parse_duration, parse_rfc3339};

/// The longest that one can look back, 100 years.
const MONTHS_MAX: u32 = 1200;

/// Not a time to begin at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "since `{text}` is no time: give 12mo, a duration such as 90d, \
     2026-01-31, or an RFC 3339 date-time"
)]
pub struct SinceError {
    /// As given.
    pub text: String,
}

/// The time that `text` means at `now_ms`: so many calendar months ago (`12mo`), so long ago
/// (`90d`), the begin of a day in UTC (`2026-01-31`), or an RFC 3339 date-time.
pub fn since(text: &str, now_ms: Millis) -> Result<Millis, SinceError> {
    let months = || {
        let months = text.strip_suffix("mo")?;
        let is_number = months.bytes().all(|byte| byte.is_ascii_digit());
        let months = months.parse().ok().filter(|_| is_number)?;
        (1..=MONTHS_MAX).contains(&months).then(|| minus_months(now_ms, months))
    };
    let duration = || parse_duration(text).map(|ms| now_ms.saturating_sub(ms));
    let date = || parse_rfc3339(&format!("{text}T00:00:00Z"));
    let found = months().or_else(duration).or_else(date).or_else(|| parse_rfc3339(text));
    found.ok_or_else(|| SinceError { text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_say_since_when() {
        let at = |text| parse_rfc3339(text).unwrap();
        let now_ms = at("2026-03-31T08:00:00.5Z");
        for (text, expect) in [
            ("12mo", Some("2025-03-31T08:00:00.5Z")),
            ("1mo", Some("2026-02-28T08:00:00.5Z")),
            ("90d", Some("2025-12-31T08:00:00.5Z")),
            ("2026-01-01", Some("2026-01-01T00:00:00Z")),
            ("2026-01-01T07:00:00+07:00", Some("2026-01-01T00:00:00Z")),
            ("0mo", None),
            ("1201mo", None),
            ("+1mo", None),
            ("mo", None),
            ("12", None),
            ("2026-02-30", None),
            ("2026-01-01T00:00:00", None),
            ("yesterday", None),
        ] {
            let found = since(text, now_ms);
            assert_eq!(found.clone().ok(), expect.map(at), "{text}");
            assert!(found.map_or_else(|e| e.to_string().contains(text), |_| true));
        }
    }
}
