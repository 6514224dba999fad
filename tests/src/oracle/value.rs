//! Times, durations and identifiers, as product §9.1 and §9.2 say.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::Value;

/// RFC 3339 or integer epoch milliseconds.
pub fn time(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => Some(text.parse::<Timestamp>().ok()?.as_millisecond()),
        other => other.as_i64(),
    }
}

/// RFC 3339 in UTC with milliseconds.
pub fn text_of_time(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms).expect("a time");
    format!("{:.3}", time)
}

/// So many calendar months later, in UTC; the last day of the month where there is no such day.
pub fn months_after(ms: i64, months: i64) -> i64 {
    let time = Timestamp::from_millisecond(ms).expect("a time").to_zoned(TimeZone::UTC);
    let moved = time.checked_add(Span::new().months(months)).expect("a time");
    moved.timestamp().as_millisecond()
}

/// `YYYY-MM-DD` in a time zone.
pub fn day(ms: i64, zone: &str) -> String {
    let zone = TimeZone::get(zone).expect("a time zone");
    Timestamp::from_millisecond(ms).expect("a time").to_zoned(zone).date().to_string()
}

/// `30d`, `72h`, `5m`, `10s`, `1ms`.
pub fn duration(value: &Value) -> Option<i64> {
    let text = value.as_str()?;
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let unit = match unit {
        "d" => 24 * 3_600_000,
        "h" => 3_600_000,
        "m" => 60_000,
        "s" => 1000,
        "ms" => 1,
        _ => return None,
    };
    Some(number.parse::<i64>().ok()? * unit)
}

/// The normal form of an identifier, if it is one.
pub fn identifier(kind: &str, raw: &str) -> Option<String> {
    let trimmed = raw.trim();
    let plain = trimmed.to_lowercase();
    let nobody = ["", "-", "null", "none", "undefined", "n/a", "test@test.com", "test@example.com"];
    if nobody.contains(&plain.as_str()) || plain.chars().all(|c| c == '0') {
        return None;
    }
    match kind {
        "phone" => phone(raw),
        "email" => plain.contains('@').then_some(plain),
        _ => Some(trimmed.to_owned()),
    }
}

fn phone(raw: &str) -> Option<String> {
    let bare: String = raw.chars().filter(|c| !c.is_whitespace() && !"-().".contains(*c)).collect();
    let is_digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let mut number = if let Some(rest) = bare.strip_prefix('+') {
        format!("+{rest}")
    } else if let Some(rest) = bare.strip_prefix("00") {
        format!("+{rest}")
    } else if let Some(rest) = bare.strip_prefix('0') {
        format!("+62{rest}")
    } else if bare.starts_with("62") && bare.len() >= 10 {
        format!("+{bare}")
    } else {
        format!("+62{bare}")
    };
    if let Some(rest) = number.strip_prefix("+620") {
        number = format!("+62{rest}");
    }
    let digits = &number[1..];
    (is_digits(digits) && (8..=15).contains(&digits.len())).then_some(number)
}

/// What a personal text is matched by: equal texts, and spellings of one phone or email.
pub fn personal(raw: &str) -> String {
    if raw.contains('@') {
        return raw.trim().to_lowercase();
    }
    phone(raw).unwrap_or_else(|| raw.to_owned())
}

/// Shortlex: shorter first, then bytewise.
pub fn shortlex(id: &str) -> (usize, &str) {
    (id.len(), id)
}
