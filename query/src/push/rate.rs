//! How many events a tenant may push: a bucket of tokens each.

use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::problem::Problem;

/// Buckets that are full are forgotten once there are so many.
const BUCKETS_MAX: usize = 10_000;

/// What a tenant may push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Events a second, for as long as it likes.
    pub per_second: NonZeroU32,
    /// The most at once, after a pause.
    pub burst: NonZeroU32,
}

pub(super) struct Limiter {
    buckets: DefaultKeyedRateLimiter<String>,
    rate: Rate,
    clock: DefaultClock,
}

impl Limiter {
    pub(super) fn new(rate: Rate) -> Limiter {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Limiter { buckets: RateLimiter::keyed(quota), rate, clock: DefaultClock::default() }
    }

    /// Takes `events` tokens of the tenant's.
    ///
    /// # Errors
    /// 429: there are not so many; and how long it takes until there are.
    pub(super) fn admit(&self, account_id: &str, events: u32) -> Result<(), Problem> {
        if self.buckets.len() > BUCKETS_MAX {
            self.buckets.retain_recent();
        }
        let Some(events) = NonZeroU32::new(events) else { return Ok(()) };
        let wait = match self.buckets.check_key_n(&account_id.to_owned(), events) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(until)) => until.wait_time_from(self.clock.now()).as_secs() + 1,
            Err(_) => {
                let detail = format!(
                    "{events} events of account {account_id} are more than it may push at once: send at most {}",
                    self.rate.burst
                );
                return Err(Problem::too_many(detail, 1));
            }
        };
        let detail = format!(
            "account {account_id} pushes more than {} events a second: send these again in {wait} s",
            self.rate.per_second
        );
        Err(Problem::too_many(detail, wait))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::response::IntoResponse;

    use super::*;

    #[test]
    fn tenants_have_buckets_of_their_own() {
        let some = |n| NonZeroU32::new(n).unwrap();
        let limiter = Limiter::new(Rate { per_second: some(1), burst: some(10) });
        assert!(limiter.admit("a", 10).is_ok());
        let refused = limiter.admit("a", 5).unwrap_err().into_response();
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((4..=6).contains(&wait), "{wait} s");
        assert!(limiter.admit("b", 10).is_ok());
        assert!(limiter.admit("c", 11).is_err(), "never so many at once");
        assert!(limiter.admit("a", 0).is_ok());
    }
}
