//! Days, as an account counts them.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

use crate::time::Millis;

/// Where accounts are that do not say otherwise.
const DEFAULT: &str = "Asia/Jakarta";
const DEFAULT_OFFSET_HOURS: i8 = 7;

/// A time zone, of the database that is compiled in: no file is read, so that every machine counts
/// the same days.
#[derive(Clone, Debug)]
pub struct Zone {
    zone: TimeZone,
    /// From when on which offset from UTC, in milliseconds, from 1970 to [`TABLE_END_MS`]: to look it
    /// up costs a tenth of asking the time zone.
    offsets: Arc<[(Millis, Millis)]>,
}

impl PartialEq for Zone {
    fn eq(&self, other: &Zone) -> bool {
        self.zone == other.zone
    }
}

impl Eq for Zone {}

const DAY_MS: Millis = 86_400_000;
/// `2100-01-01T00:00:00Z`.
const TABLE_END_MS: Millis = 47_482 * DAY_MS;

impl Default for Zone {
    /// Asia/Jakarta.
    fn default() -> Zone {
        let fixed = || Zone::new(jiff::tz::offset(DEFAULT_OFFSET_HOURS).to_time_zone());
        Zone::named(DEFAULT).unwrap_or_else(fixed)
    }
}

impl Zone {
    /// The zone of an IANA name, such as `Asia/Makassar`.
    pub fn named(name: &str) -> Option<Zone> {
        TimeZoneDatabase::bundled().get(name).ok().map(Zone::new)
    }

    fn new(zone: TimeZone) -> Zone {
        let ms = |offset: Offset| Millis::from(offset.seconds()) * 1000;
        let begin = Timestamp::UNIX_EPOCH;
        let changes = zone.following(begin);
        let changes =
            changes.map(|change| (change.timestamp().as_millisecond(), ms(change.offset())));
        let changes = changes.take_while(|(from, _)| *from < TABLE_END_MS);
        let offsets = std::iter::once((0, ms(zone.to_offset(begin)))).chain(changes).collect();
        Zone { zone, offsets }
    }

    /// The day of `t`, counted from 1970-01-01. Times beyond the calendar are of its first or last
    /// day.
    pub fn day(&self, t: Millis) -> i32 {
        if !(0..TABLE_END_MS).contains(&t) {
            return self.day_by_calendar(t);
        }
        let next = self.offsets.partition_point(|(from, _)| *from <= t);
        let offset_ms = self.offsets[next.saturating_sub(1)].1;
        (t + offset_ms).div_euclid(DAY_MS) as i32
    }

    fn day_by_calendar(&self, t: Millis) -> i32 {
        let limit = if t < 0 { Timestamp::MIN } else { Timestamp::MAX };
        let instant = Timestamp::from_millisecond(t).unwrap_or(limit);
        let date = self.zone.to_datetime(instant).date();
        date.since(Date::constant(1970, 1, 1)).map_or(0, |span| span.get_days())
    }
}

/// A day as `YYYY-MM-DD`.
pub fn day_text(day: i32) -> String {
    let epoch = Date::constant(1970, 1, 1);
    let date = jiff::Span::new().try_days(day).and_then(|span| epoch.checked_add(span));
    date.unwrap_or(epoch).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_zone() {
        let last_ms = 17 * 3_600_000 - 1;
        let (jakarta, utc) = (Zone::default(), Zone::named("UTC").unwrap());
        assert_eq!(Zone::named("Asia/Jakarta"), Some(jakarta.clone()));
        assert_eq!([jakarta.day(last_ms), jakarta.day(last_ms + 1)], [0, 1]);
        assert_eq!([utc.day(-1), utc.day(0), utc.day(last_ms + 1)], [-1, 0, 0]);
        assert_eq!([day_text(0), day_text(-1)], ["1970-01-01", "1969-12-31"]);
        assert_eq!(day_text(20_000), "2024-10-04");
        assert_eq!(Zone::named("Asia/Atlantis"), None);
        // A day of 23 hours.
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let (day_ms, hour_ms) = (86_400_000, 3_600_000);
        let begin_ms = 20_177 * day_ms - hour_ms;
        let end_ms = begin_ms + 23 * hour_ms;
        let times = [begin_ms - 1, begin_ms, end_ms - 1, end_ms];
        assert_eq!(times.map(|t| berlin.day(t)), [20_176, 20_177, 20_177, 20_178]);
        // Every day of a century, at its ends and in its middle.
        for zone in [jakarta, berlin, Zone::named("America/St_Johns").unwrap()] {
            for t in (0..TABLE_END_MS / hour_ms).map(|n| n * hour_ms + 59_999 * n % hour_ms) {
                assert_eq!(zone.day(t), zone.day_by_calendar(t), "{t}");
            }
        }
        let _ = [Millis::MIN, Millis::MAX].map(|t| (utc.day(t), day_text(utc.day(t))));
    }
}
