//! Where a subscriber is, as the id of an event: `T` behind a whole tick, `T.view.partition.seq` in one.

use std::fmt;
use std::str::FromStr;

use cebe_schemas::time::Millis;
use cebe_schemas::view::View;

/// Behind a tick, or behind one of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) t_ms: Millis,
    /// The last row of that tick that was sent; none: all were.
    pub(crate) row: Option<Row>,
}

/// A row's place in its tick: view, partition, number.
pub(crate) type Row = (View, u32, u32);

impl Place {
    pub(crate) fn behind(t_ms: Millis) -> Place {
        Place { t_ms, row: None }
    }

    /// The tick behind which reading goes on.
    pub(crate) fn after_ms(self) -> Millis {
        match self.row {
            Some(_) => self.t_ms - 1,
            None => self.t_ms,
        }
    }

    /// Whether a row was sent already.
    pub(crate) fn is_behind(self, t_ms: Millis, row: Row) -> bool {
        t_ms < self.t_ms || t_ms == self.t_ms && self.row.is_none_or(|last| row <= last)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row {
            None => write!(f, "{}", self.t_ms),
            Some((view, partition, seq)) => {
                write!(f, "{}.{}.{partition}.{seq}", self.t_ms, view.name())
            }
        }
    }
}

/// It is no id of an event.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no id of an event: give the last one that came, or none to begin with a snapshot")]
pub(crate) struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Place, NoPlace> {
        let mut parts = text.trim().split('.');
        let number =
            |part: Option<&str>| part.and_then(|part| part.parse::<u32>().ok()).ok_or(NoPlace);
        let t_ms = parts.next().and_then(|part| part.parse().ok()).filter(|t_ms| *t_ms >= 0);
        let t_ms = t_ms.ok_or(NoPlace)?;
        let Some(name) = parts.next() else { return Ok(Place::behind(t_ms)) };
        let view = View::ALL.into_iter().find(|view| view.name() == name).ok_or(NoPlace)?;
        let row = (view, number(parts.next())?, number(parts.next())?);
        parts.next().map_or(Ok(Place { t_ms, row: Some(row) }), |_| Err(NoPlace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        for place in [Place::behind(7), Place { t_ms: 7, row: Some((View::Segments, 3, 12)) }] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for wrong in ["", "x", "-1", "7.", "7.nothing.1.2", "7.segments.1", "7.segments.1.2.3"] {
            assert_eq!(wrong.parse::<Place>(), Err(NoPlace), "{wrong}");
        }
    }

    #[test]
    fn a_tick_that_was_cut_goes_on_behind_its_last_row() {
        let place = Place { t_ms: 7, row: Some((View::Segments, 3, 12)) };
        assert_eq!((place.after_ms(), Place::behind(7).after_ms()), (6, 7));
        assert!(
            place.is_behind(7, (View::Segments, 3, 12))
                && place.is_behind(7, (View::Segments, 2, 99))
        );
        assert!(
            !place.is_behind(7, (View::Segments, 3, 13))
                && !place.is_behind(7, (View::Metrics, 0, 0))
        );
        assert!(
            place.is_behind(6, (View::Metrics, 0, 0)) && !place.is_behind(8, (View::Events, 0, 0))
        );
        assert!(Place::behind(7).is_behind(7, (View::Metrics, 7, 9)));
    }
}
