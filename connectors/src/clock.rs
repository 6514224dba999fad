//! The logical clock: T = max(previous + 1, now), guarded against a wall clock that jumps.
//!
//! An expiry cannot be undone: if the wall clock leapt forward, windows and dedup horizons would
//! close for good. The monotonic clock tells a leap from the passing of time.

use cebe_schemas::time::Millis;

/// How far the wall clock may run ahead of the monotonic clock, in milliseconds.
pub const TOLERANCE_MS: i64 = 60_000;

/// The wall clock cannot be trusted.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ClockError {
    /// It went ahead of the monotonic clock.
    #[error(
        "the wall clock jumped forward by {by_ms} ms: nothing is bound, because an expiry cannot \
         be undone; set the clock right, or restart if it is right now"
    )]
    JumpedForward {
        /// How far.
        by_ms: i64,
    },
}

/// The two clocks of the machine, read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// Milliseconds since the epoch.
    pub wall_ms: Millis,
    /// Milliseconds since any fixed moment, never set.
    pub monotonic_ms: i64,
}

/// Gives each binding its T.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// The greatest accepted `wall − monotonic`: a clock that was set back may return.
    offset_ms: Option<i64>,
}

impl Clock {
    /// The T of the binding that follows one of `previous_ms`.
    ///
    /// # Errors
    /// [`ClockError::JumpedForward`]; asking again after the clock was set right goes on.
    pub fn next(
        &mut self,
        reading: ClockReading,
        previous_ms: Millis,
    ) -> Result<Millis, ClockError> {
        let offset_ms = reading.wall_ms.saturating_sub(reading.monotonic_ms);
        let trusted_ms = *self.offset_ms.get_or_insert(offset_ms);
        let by_ms = offset_ms.saturating_sub(trusted_ms);
        if by_ms > TOLERANCE_MS {
            return Err(ClockError::JumpedForward { by_ms });
        }
        self.offset_ms = Some(trusted_ms.max(offset_ms));
        Ok(reading.wall_ms.max(previous_ms.saturating_add(1)))
    }
}

/// Reads the clocks of the machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock { start: std::time::Instant::now() }
    }
}

impl SystemClock {
    /// Both clocks, now.
    pub fn read(&self) -> ClockReading {
        ClockReading { wall_ms: now_ms(), monotonic_ms: self.start.elapsed().as_millis() as i64 }
    }
}

/// Milliseconds since the epoch, by the wall clock.
pub fn now_ms() -> Millis {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Millis::try_from(since_epoch.unwrap_or_default().as_millis()).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wall_ms: i64, monotonic_ms: i64) -> ClockReading {
        ClockReading { wall_ms, monotonic_ms }
    }

    #[test]
    fn follows_the_wall_clock_and_never_stands() {
        let mut clock = Clock::default();
        assert_eq!(clock.next(read(1_000, 0), 0), Ok(1_000));
        assert_eq!(clock.next(read(1_000, 0), 1_000), Ok(1_001));
        assert_eq!(clock.next(read(1_500, 500), 1_001), Ok(1_500));
        assert_eq!(clock.next(read(900, 600), 1_500), Ok(1_501), "set back: T goes on");
    }

    #[test]
    fn a_leap_forward_stops_binding_until_it_is_undone() {
        let mut clock = Clock::default();
        clock.next(read(1_000_000, 0), 0).unwrap();
        assert!(clock.next(read(1_060_000, 0), 1).is_ok(), "a minute is tolerated");
        let leap = clock.next(read(1_120_001, 0), 1);
        assert_eq!(leap, Err(ClockError::JumpedForward { by_ms: 60_001 }));
        assert_eq!(clock.next(read(1_000_500, 500), 1), Ok(1_000_500));
    }

    #[test]
    fn a_long_pause_of_both_clocks_is_no_leap() {
        let mut clock = Clock::default();
        clock.next(read(0, 0), 0).unwrap();
        assert_eq!(clock.next(read(86_400_000, 86_400_000), 1), Ok(86_400_000));
    }

    #[test]
    fn a_clock_set_back_may_return() {
        let mut clock = Clock::default();
        clock.next(read(7_200_000, 0), 0).unwrap();
        clock.next(read(0, 1), 7_200_000).unwrap();
        assert_eq!(clock.next(read(7_200_002, 2), 7_200_001), Ok(7_200_002));
    }
}
