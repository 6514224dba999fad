//! Days, as an account counts them.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::time::Millis;

/// Where accounts are that do not say otherwise.
const DEFAULT: &str = "Asia/Jakarta";
const DEFAULT_OFFSET_HOURS: i8 = 7;

/// A time zone, of the database that is compiled in: no file is read, so that every machine counts
/// the same days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Default for Zone {
    /// Asia/Jakarta.
    fn default() -> Zone {
        let fixed = || Zone(jiff::tz::offset(DEFAULT_OFFSET_HOURS).to_time_zone());
        Zone::named(DEFAULT).unwrap_or_else(fixed)
    }
}

impl Zone {
    /// The zone of an IANA name, such as `Asia/Makassar`.
    pub fn named(name: &str) -> Option<Zone> {
        TimeZoneDatabase::bundled().get(name).ok().map(Zone)
    }

    /// The day of `t`, counted from 1970-01-01. Times beyond the calendar are of its first or last
    /// day.
    pub fn day(&self, t: Millis) -> i32 {
        let limit = if t < 0 { Timestamp::MIN } else { Timestamp::MAX };
        let instant = Timestamp::from_millisecond(t).unwrap_or(limit);
        let date = self.0.to_datetime(instant).date();
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
        let _ = [Millis::MIN, Millis::MAX].map(|t| (utc.day(t), day_text(utc.day(t))));
    }
}
