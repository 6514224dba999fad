//! Times: epoch milliseconds inside, RFC 3339 UTC with milliseconds at the edges.

/// A logical time T, or any other instant, in milliseconds since the epoch.
pub type Millis = i64;

const MINUTE_MS: Millis = 60_000;
const DAY_MS: Millis = 86_400_000;
/// `0000-01-01T00:00:00.000Z`, the earliest that RFC 3339 can write.
const MIN_MS: Millis = -62_167_219_200_000;
/// `9999-12-31T23:59:59.999Z`, the latest that RFC 3339 can write.
const MAX_MS: Millis = 253_402_300_799_999;
/// The longest duration of a definition or a setting, 100 years: sums with times cannot overflow.
const MAX_DURATION_MS: Millis = 36_500 * DAY_MS;

/// `ms` as RFC 3339 UTC with three digits, such as `2026-11-23T04:31:00.123Z`.
///
/// Instants that RFC 3339 cannot write (years outside 0 to 9999) are clamped to its ends.
pub fn format_rfc3339(ms: Millis) -> String {
    with_rfc3339(ms, str::to_owned)
}

/// What [`format_rfc3339`] returns, without an allocation.
fn with_rfc3339<R>(ms: Millis, with: impl FnOnce(&str) -> R) -> R {
    // ASCII throughout.
    with(std::str::from_utf8(&rfc3339_bytes(ms)).unwrap_or_default())
}

/// The bytes of [`format_rfc3339`].
pub(crate) fn rfc3339_bytes(ms: Millis) -> [u8; 24] {
    let ms = ms.clamp(MIN_MS, MAX_MS);
    let (year, month, day) = civil_from_days(ms.div_euclid(DAY_MS));
    let of_day = ms.rem_euclid(DAY_MS);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut put = |range: std::ops::Range<usize>, mut number: i64| {
        for digit in text[range].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    put(0..4, year);
    put(5..7, month);
    put(8..10, day);
    put(11..13, of_day / 3_600_000);
    put(14..16, of_day / MINUTE_MS % 60);
    put(17..19, of_day / 1000 % 60);
    put(20..23, of_day % 1000);
    text
}

/// An RFC 3339 date-time as epoch milliseconds (product §9.1): `T` or `t`; `Z`, `z` or an offset;
/// digits beyond milliseconds are cut. The leap second `:60` reads as `:59`.
pub fn parse_rfc3339(text: &str) -> Option<Millis> {
    let text = text.as_bytes();
    let (head, tail) = text.split_at_checked(19)?;
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if separators.iter().any(|(at, byte)| head[*at] != *byte) || !matches!(head[10], b'T' | b't') {
        return None;
    }
    let (year, month, day) = (digits(&head[..4])?, digits(&head[5..7])?, digits(&head[8..10])?);
    let (hour, minute, second) =
        (digits(&head[11..13])?, digits(&head[14..16])?, digits(&head[17..])?);
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction_ms, zone) = fraction(tail)?;
    let local_ms = days_from_civil(year, month, day) * DAY_MS
        + hour * 3_600_000
        + minute * MINUTE_MS
        + second.min(59) * 1000
        + fraction_ms;
    Some(local_ms - offset_ms(zone)?)
}

/// `.digits` as milliseconds, and what follows it.
fn fraction(text: &[u8]) -> Option<(Millis, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else { return Some((0, text)) };
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, zone) = text.split_at(len);
    let scales = [100, 10, 1];
    let ms = digits.iter().zip(scales).map(|(digit, scale)| Millis::from(digit - b'0') * scale);
    (len > 0).then(|| (ms.sum(), zone))
}

/// `Z` or `±HH:MM`.
fn offset_ms(zone: &[u8]) -> Option<Millis> {
    match zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            let ms = (hours * 60 + minutes) * MINUTE_MS;
            (hours < 24 && minutes < 60).then_some(if *sign == b'-' { -ms } else { ms })
        }
        _ => None,
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
    })
}

/// `ms` less `months` calendar months in UTC, the time of day kept; the day is the last of its
/// month where that month is shorter.
pub fn minus_months(ms: Millis, months: u32) -> Millis {
    add_months(ms, -i64::from(months))
}

fn add_months(ms: Millis, months: i64) -> Millis {
    let ms = ms.clamp(MIN_MS, MAX_MS);
    let (year, month, day) = civil_from_days(ms.div_euclid(DAY_MS));
    let month_count = year * 12 + (month - 1) + months;
    let (year, month) = (month_count.div_euclid(12), month_count.rem_euclid(12) + 1);
    let day = day.min(days_in_month(year, month));
    days_from_civil(year, month, day) * DAY_MS + ms.rem_euclid(DAY_MS)
}

/// For how long events count in segments and rates (product §9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Calendar months, in UTC.
    pub months: u32,
}

impl Default for Retention {
    /// 24 months.
    fn default() -> Retention {
        Retention { months: 24 }
    }
}

impl Retention {
    /// When an event that happened at `occurred_at_ms` counts no more.
    pub fn end(self, occurred_at_ms: Millis) -> Millis {
        add_months(occurred_at_ms, self.months.into())
    }

    /// No event that happened at `occurred_at_ms` has left by then: a bound that needs no calendar.
    pub fn surely_until(self, occurred_at_ms: Millis) -> Millis {
        occurred_at_ms.saturating_add(Millis::from(self.months) * SHORTEST_MONTH_MS)
    }

    /// Whether no event leaves before this long is over.
    pub fn outlasts(self, width_ms: Millis) -> bool {
        width_ms <= Millis::from(self.months) * SHORTEST_MONTH_MS
    }

    /// The least [end](Retention::end) of events at these times.
    pub fn first_end(self, occurred_at_ms: impl Iterator<Item = Millis> + Clone) -> Option<Millis> {
        let least_ms = occurred_at_ms.clone().min()?;
        // Within a day the earlier time has the earlier end.
        let mut first_of_day = [None; DAYS_DIFFER];
        for at in occurred_at_ms {
            let day = at.div_euclid(DAY_MS).saturating_sub(least_ms.div_euclid(DAY_MS));
            if let Some(first) = usize::try_from(day).ok().and_then(|day| first_of_day.get_mut(day))
            {
                *first = first.map_or(Some(at), |first: Millis| Some(first.min(at)));
            }
        }
        first_of_day.into_iter().flatten().map(|at| self.end(at)).min()
    }
}

const SHORTEST_MONTH_MS: Millis = 28 * DAY_MS;
/// A later day has an earlier end only if it is cut to a shorter month: the 29th to 31st of January, a
/// month later, are all the 28th of February.
const DAYS_DIFFER: usize = 4;

/// A duration such as `30d`: a positive integer with `ms`, `s`, `m`, `h` or `d`, up to 100 years.
pub fn parse_duration(text: &str) -> Option<Millis> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let unit_ms: Millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => MINUTE_MS,
        "h" => 3_600_000,
        "d" => DAY_MS,
        _ => return None,
    };
    let ms = number.parse::<Millis>().ok()?.checked_mul(unit_ms)?;
    (1..=MAX_DURATION_MS).contains(&ms).then_some(ms)
}

/// `ms` in the greatest unit that it is a multiple of: the inverse of [`parse_duration`].
pub fn format_duration(ms: Millis) -> String {
    let units = [(DAY_MS, "d"), (3_600_000, "h"), (MINUTE_MS, "m"), (1000, "s")];
    match units.into_iter().find(|(unit_ms, _)| ms % unit_ms == 0) {
        Some((unit_ms, unit)) => format!("{}{unit}", ms / unit_ms),
        None => format!("{ms}ms"),
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since the epoch of a date (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`], from the same source.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// Serde for a [`Millis`] field that is RFC 3339 in JSON: `#[serde(with = "rfc3339")]`.
pub mod rfc3339 {
    use super::{Millis, parse_rfc3339, with_rfc3339};
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes `ms` as RFC 3339.
    pub fn serialize<S: Serializer>(ms: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
        with_rfc3339(*ms, |text| serializer.serialize_str(text))
    }

    /// Reads RFC 3339.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Millis, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_rfc3339(&text).ok_or_else(|| de::Error::custom("not an RFC 3339 date-time"))
    }
}

/// Serde for an `Option<Millis>` field that is RFC 3339 or null in JSON.
pub mod rfc3339_option {
    use super::{Millis, parse_rfc3339, with_rfc3339};
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes `ms` as RFC 3339, or null.
    pub fn serialize<S: Serializer>(ms: &Option<Millis>, serializer: S) -> Result<S::Ok, S::Error> {
        match ms {
            Some(ms) => with_rfc3339(*ms, |text| serializer.serialize_str(text)),
            None => serializer.serialize_none(),
        }
    }

    /// Reads RFC 3339, or null.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Millis>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let read = |text: String| {
            parse_rfc3339(&text).ok_or_else(|| de::Error::custom("not an RFC 3339 date-time"))
        };
        text.map(read).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::{Timestamp, ToSpan, tz::TimeZone};
    use proptest::prelude::*;

    fn check(text: &str, expect: Option<Millis>) {
        assert_eq!(parse_rfc3339(text), expect, "{text}");
    }

    #[test]
    fn reads_rfc3339() {
        let at = Some(1_795_408_260_123);
        check("2026-11-23T04:31:00.123Z", at);
        check("2026-11-23t04:31:00.123z", at);
        check("2026-11-23T11:31:00.123+07:00", at);
        check("2026-11-23T00:01:00.1239999999999999-04:30", at);
        check("1969-12-31T23:59:59.9999Z", Some(-1));
        check("2026-11-23T04:31:00.1Z", at.map(|ms| ms - 23));
        check("2026-11-23T04:31:00-00:00", at.map(|ms| ms - 123));
        check("2016-12-31T23:59:60Z", Some(1_483_228_799_000));
        check("2028-02-29T00:00:00Z", Some(1_835_395_200_000));
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T04:31:00",
            "2026-11-23 04:31:00Z",
            "2026-11-23T04:31Z",
            "2026-11-23T04:31:00.Z",
            "2026-11-23T04:31:00,1Z",
            "2026-11-23T04:31:00+0700",
            "2026-11-23T04:31:00+07",
            "2026-11-23T04:31:00+24:00",
            "2026-11-23T04:31:00+07:60",
            "2026-11-23T04:31:00Z ",
            " 2026-11-23T04:31:00Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "+002026-01-01T00:00:00Z",
            "20é6-01-01T00:00:00Z",
            "1795408260123",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn reads_durations() {
        for (text, expect) in [
            ("30d", Some(30 * DAY_MS)),
            ("72h", Some(72 * 3_600_000)),
            ("5m", Some(300_000)),
            ("9s", Some(9000)),
            ("1ms", Some(1)),
            ("36500d", Some(MAX_DURATION_MS)),
            ("36501d", None),
            ("99999999999999999999d", None),
            ("0d", None),
            ("-1d", None),
            ("1.5d", None),
            ("1 d", None),
            ("1D", None),
            ("1", None),
            ("d", None),
            ("", None),
        ] {
            assert_eq!(parse_duration(text), expect, "{text}");
        }
    }

    fn naive_minus_months(ms: Millis, months: u32) -> Millis {
        let time = Timestamp::from_millisecond(ms).unwrap().to_zoned(TimeZone::UTC);
        (&time - i64::from(months).months()).timestamp().as_millisecond()
    }

    proptest! {
        #[test]
        fn writes_what_jiff_writes(ms in MIN_MS..=MAX_MS) {
            let timestamp = Timestamp::from_millisecond(ms.min(253_402_207_200_999)).unwrap();
            let text = format_rfc3339(timestamp.as_millisecond());
            prop_assert_eq!(&text, &format!("{timestamp:.3}"));
            prop_assert_eq!(parse_rfc3339(&text), Some(timestamp.as_millisecond()));
        }

        #[test]
        fn reads_what_jiff_reads(
            ms in -50_000_000_000_000i64..200_000_000_000_000,
            minutes in -1439i32..=1439,
            digits in proptest::option::of("[0-9]{1,9}"),
        ) {
            let (sign, offset) = (if minutes < 0 { '-' } else { '+' }, minutes.abs());
            let date = &format_rfc3339(ms)[..19];
            let fraction = digits.map_or(String::new(), |digits| format!(".{digits}"));
            let text = format!("{date}{fraction}{sign}{:02}:{:02}", offset / 60, offset % 60);
            let expect = text.parse::<Timestamp>().unwrap().as_nanosecond().div_euclid(1_000_000);
            prop_assert_eq!(parse_rfc3339(&text).map(i128::from), Some(expect), "{}", text);
        }

        #[test]
        fn accepts_no_more_than_jiff(text in "[0-9]{4}-[0-3][0-9]-[0-3][0-9][Tt][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,3})?(Z|z|[+-][0-2][0-9]:[0-6][0-9])") {
            if let Some(ms) = parse_rfc3339(&text) {
                if let Ok(timestamp) = text.parse::<Timestamp>() {
                    prop_assert_eq!(timestamp.as_millisecond(), ms, "{}", text);
                } else {
                    // Beyond jiff's calendar, which ends a day before the year 10000.
                    prop_assert!(!(MIN_MS..253_402_207_200_000).contains(&ms), "{}", text);
                }
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            parse_rfc3339(&text);
            parse_duration(&text);
        }

        #[test]
        fn months_are_calendar_months(ms in 0i64..4_000_000_000_000, months in 0u32..600) {
            prop_assert_eq!(minus_months(ms, months), naive_minus_months(ms, months));
        }

        #[test]
        fn the_first_to_leave_is_found(
            days in proptest::collection::vec(0i64..70, 0..8),
            begin_ms in 0i64..100_000_000_000,
            months in 1u32..30,
        ) {
            let retention = Retention { months };
            let times = days.iter().map(|day| begin_ms + day * DAY_MS / 2);
            let end = |ms| {
                let time = Timestamp::from_millisecond(ms).unwrap().to_zoned(TimeZone::UTC);
                (&time + i64::from(months).months()).timestamp().as_millisecond()
            };
            prop_assert_eq!(retention.first_end(times.clone()), times.clone().map(end).min());
            for at in times {
                prop_assert_eq!(retention.end(at), end(at));
            }
        }
    }
}
