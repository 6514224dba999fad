//! Times as other systems write them.

use cebe_schemas::time::Millis;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::super::cell::Cell;
use super::super::json;
use super::MappingError;

/// How times of a column are written.
#[derive(Clone, Debug)]
pub(super) struct TimeFormat {
    written: Written,
    /// Where times of day without an offset are; none: where the engine says that they lack it.
    zone: Option<TimeZone>,
}

#[derive(Clone, Debug)]
enum Written {
    /// As envelopes have it: RFC 3339 or epoch milliseconds.
    Envelope,
    EpochSeconds,
    EpochMillis,
    Format(String),
}

impl TimeFormat {
    /// As envelopes have it.
    pub(super) fn envelope() -> TimeFormat {
        TimeFormat { written: Written::Envelope, zone: None }
    }

    /// `format` and `zone` of a mapping.
    pub(super) fn new(
        format: Option<&str>,
        zone: Option<&str>,
    ) -> Result<TimeFormat, MappingError> {
        let written = match format {
            None | Some("rfc3339") => Written::Envelope,
            Some("epoch_s") => Written::EpochSeconds,
            Some("epoch_ms") => Written::EpochMillis,
            Some(format) => Written::Format(checked(format)?),
        };
        let counts = matches!(written, Written::EpochSeconds | Written::EpochMillis);
        if counts && zone.is_some() {
            let field = "occurred_at".to_owned();
            return Err(MappingError::Beside { field, key: "zone", beside: "an epoch format" });
        }
        let zone = zone.map(|name| {
            let zone = TimeZoneDatabase::bundled().get(name);
            zone.map_err(|_| MappingError::Zone { zone: name.to_owned() })
        });
        Ok(TimeFormat { written, zone: zone.transpose()? })
    }

    /// Appends the time of a cell as RFC 3339; what cannot be read stays what it is.
    pub(super) fn write(&self, cell: &Cell, out: &mut Vec<u8>) {
        if let Some(ms) = self.millis(cell) {
            return json::time(out, ms);
        }
        let text = cell.text();
        match (&self.written, text) {
            (Written::Envelope, text) => match text.and_then(|text| text.trim().parse().ok()) {
                Some::<Millis>(ms) => out.extend_from_slice(ms.to_string().as_bytes()),
                None => cell.write(out),
            },
            // As text: a number would be taken for epoch milliseconds.
            (_, Some(text)) => json::string(out, &text),
            (_, None) => cell.write(out),
        }
    }

    /// None: it is to be written as it is.
    fn millis(&self, cell: &Cell) -> Option<Millis> {
        match (cell, &self.written) {
            (Cell::Time(ms), _) => Some(*ms),
            (Cell::Local(ms), _) => self.local_ms(*ms),
            (_, Written::Envelope) => {
                let zone = self.zone.as_ref()?;
                instant(zone, without_offset(cell.text()?.trim())?)
            }
            (_, Written::EpochSeconds) => decimal_ms(cell.text()?.trim(), 1000),
            (_, Written::EpochMillis) => decimal_ms(cell.text()?.trim(), 1),
            (_, Written::Format(format)) => self.parse(format, cell.text()?.trim()).ok(),
        }
    }

    fn parse(&self, format: &str, text: &str) -> Result<Millis, jiff::Error> {
        let time = BrokenDownTime::parse(format, text)?;
        if time.offset().is_some() || time.timestamp().is_some() {
            return Ok(floor_ms(time.to_timestamp()?));
        }
        let utc = TimeZone::UTC;
        let zone = self.zone.as_ref().unwrap_or(&utc);
        Ok(floor_ms(zone.to_timestamp(time.to_datetime()?)?))
    }

    fn local_ms(&self, ms: Millis) -> Option<Millis> {
        let Some(zone) = &self.zone else { return Some(ms) };
        let local = Timestamp::from_millisecond(ms).ok()?;
        instant(zone, TimeZone::UTC.to_datetime(local))
    }
}

fn instant(zone: &TimeZone, local: DateTime) -> Option<Millis> {
    zone.to_timestamp(local).ok().map(floor_ms)
}

/// Digits beyond milliseconds are cut, as `parse_rfc3339` does.
fn floor_ms(time: Timestamp) -> Millis {
    let ms = time.as_nanosecond().div_euclid(1_000_000);
    Millis::try_from(ms).unwrap_or_else(|_| time.as_millisecond())
}

/// A date and time of day, if no offset is written behind it.
fn without_offset(text: &str) -> Option<DateTime> {
    text.parse().ok().filter(|_| text.parse::<Timestamp>().is_err())
}

/// A decimal number of units of `unit_ms`; digits beyond milliseconds are cut.
fn decimal_ms(text: &str, unit_ms: Millis) -> Option<Millis> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole_ms = whole.parse::<Millis>().ok()?.checked_mul(unit_ms)?;
    let thousandths = format!("{fraction:0<3.3}");
    let fraction_ms = thousandths.parse::<Millis>().ok()? * unit_ms / 1000;
    let fraction_ms = if whole.starts_with('-') { -fraction_ms } else { fraction_ms };
    whole_ms.checked_add(fraction_ms)
}

/// A format by which a time can be written and read again.
fn checked(format: &str) -> Result<String, MappingError> {
    let fault = |error: jiff::Error| MappingError::Format {
        format: format.to_owned(),
        message: error.to_string(),
    };
    let sample = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    let text = BrokenDownTime::from(&sample).to_string(format).map_err(fault)?;
    TimeFormat::envelope().parse(format, &text).map_err(fault)?;
    Ok(format.to_owned())
}
