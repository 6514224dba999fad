//! How much of backfills a tick may take in: as much as live events do not notice.
//!
//! A live event waits for the tick that is under way, for its own, and for the loader. So two things are
//! watched: how long a tick takes that has records of backfills in it, and the age of the oldest tick that
//! cannot be read in ClickHouse yet. The share grows while both are small and shrinks as soon as one is not:
//! additive-increase, multiplicative-decrease, as congestion control does it (Chiu and Jain, 1989).
//!
//! Most of what a tick takes it takes whatever is in it. Where that is long, fewer records make no tick
//! shorter: the share does not shrink below what costs little beside it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use cebe_schemas::time::Millis;

/// A tick with records of backfills in it should take no longer, or no longer than half as much again as ticks
/// take without, most of which is Kafka's.
const TICK: Duration = Duration::from_millis(60);
/// So long is never good.
const TICK_MOST: Duration = Duration::from_millis(500);
/// What is published should be readable within this time, or within half as much again as it takes without
/// backfills, if that is longer; the loader alone waits for 250 ms.
const LAG_MS: Millis = 500;
/// So long is never good.
const LAG_MOST_MS: Millis = 1_500;
/// At so many times that, backfills wait.
const WAIT_AT: Millis = 3;
/// How long is watched before the share grows.
const WATCH: Duration = Duration::from_millis(300);
/// The share at first, and the least.
const BEGIN: f64 = 200.0;
const LEAST: f64 = 20.0;
/// Records that lengthen a tick by no more than this part cost little.
const CHEAP: f64 = 0.12;
/// A record is taken to lengthen a tick by no more seconds than this; the engine's part of it is 10 to 20 µs
/// (docs/figures.md).
const RECORD_MOST: f64 = 100e-6;
/// What is left of a usual time after each tick.
const FADES: f64 = 0.98;
/// Ticks that are remembered until they are loaded.
const TICKS_MAX: usize = 10_000;

/// The share of backfills.
#[derive(Debug)]
pub struct Budget {
    /// Records a tick.
    share: f64,
    most: f64,
    /// The logical times that are published and not loaded, and whether there are backfills in them.
    unloaded: VecDeque<(Millis, bool)>,
    last_ms: Millis,
    complete_ms: Option<Millis>,
    /// How long ticks without backfills took to be loaded: about the most, of late.
    usual_ms: f64,
    /// The same, from binding to commit.
    usual_tick: Duration,
    watched: Watched,
}

/// What has been seen since `since`.
#[derive(Debug)]
struct Watched {
    since: Instant,
    lag_ms: Millis,
    /// Backfills had more to offer than the share.
    is_used_up: bool,
}

/// A tick that was published.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    /// Its logical time.
    pub t_ms: Millis,
    /// Records of backfills in it.
    pub backfilled: u64,
    /// From its binding to its commit.
    pub took: Duration,
}

impl Budget {
    /// At most `most` records a tick.
    pub fn new(most: usize, now: Instant) -> Budget {
        let most = (most as f64).max(LEAST);
        Budget {
            share: BEGIN.min(most),
            most,
            unloaded: VecDeque::new(),
            last_ms: Millis::MIN,
            complete_ms: None,
            usual_ms: 0.0,
            usual_tick: Duration::ZERO,
            watched: Watched { since: now, lag_ms: 0, is_used_up: false },
        }
    }

    /// Everything through this time can be read in ClickHouse.
    pub fn loaded(&mut self, complete_ms: Option<Millis>, now_ms: Millis) {
        self.complete_ms = complete_ms;
        while let Some(&(t_ms, is_backfill)) = self.unloaded.front()
            && Some(t_ms) <= complete_ms
        {
            self.unloaded.pop_front();
            if !is_backfill {
                let took_ms = now_ms.saturating_sub(t_ms) as f64;
                self.usual_ms = took_ms.max(self.usual_ms * FADES);
            }
        }
    }

    /// The lag that is aimed at.
    fn aim_ms(&self) -> Millis {
        ((self.usual_ms * 1.5) as Millis).clamp(LAG_MS, LAG_MOST_MS)
    }

    /// The time that a tick may take.
    fn tick(&self) -> Duration {
        self.usual_tick.mul_f64(1.5).clamp(TICK, TICK_MOST)
    }

    /// The records that the next tick may take in.
    pub fn records(&self, now_ms: Millis) -> usize {
        if self.lag_ms(now_ms) > WAIT_AT * self.aim_ms() { 0 } else { self.share as usize }
    }

    /// Takes note of a tick.
    pub fn published(&mut self, tick: Published, now: Instant, now_ms: Millis) {
        if self.unloaded.len() < TICKS_MAX {
            self.unloaded.push_back((tick.t_ms, tick.backfilled > 0));
        }
        self.last_ms = tick.t_ms;
        if tick.backfilled == 0 {
            self.usual_tick = tick.took.max(self.usual_tick.mul_f64(FADES));
            return;
        }
        self.watched.lag_ms = self.watched.lag_ms.max(self.lag_ms(now_ms));
        self.watched.is_used_up |= tick.backfilled as f64 + 1.0 >= self.share;
        let cheap = (CHEAP * tick.took.as_secs_f64() / RECORD_MOST).min(self.most);
        let is_slow = tick.took > self.tick();
        if is_slow && self.share > cheap {
            let factor = self.tick().as_secs_f64() / tick.took.as_secs_f64();
            self.shrink(factor, cheap);
            self.watch(now);
        } else if now.duration_since(self.watched.since) > WATCH {
            if self.watched.lag_ms > self.aim_ms() {
                self.shrink(0.7, LEAST);
            } else if self.watched.is_used_up {
                let most = if is_slow { cheap } else { self.most };
                self.share = (self.share * 1.1 + 20.0).min(most);
            }
            self.watch(now);
        }
    }

    fn watch(&mut self, now: Instant) {
        self.watched = Watched { since: now, lag_ms: 0, is_used_up: false };
    }

    /// By a factor, but not below `least`.
    fn shrink(&mut self, factor: f64, least: f64) {
        let share = (self.share * factor.max(0.5)).max(LEAST).max(least);
        self.share = share.min(self.share);
    }

    /// The age of the oldest tick that is published and cannot be read.
    fn lag_ms(&self, now_ms: Millis) -> Millis {
        if Some(self.last_ms) <= self.complete_ms || self.last_ms == Millis::MIN {
            return 0;
        }
        // Of more ticks than are remembered, the oldest is not known.
        let oldest_ms = self.unloaded.front().map(|(t_ms, _)| *t_ms).or(self.complete_ms);
        oldest_ms.map_or(0, |oldest_ms| now_ms.saturating_sub(oldest_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A world in which a tick takes `us` a record, and what it publishes is loaded `lag_ms` later.
    struct World {
        budget: Budget,
        begin: Instant,
        now_ms: Millis,
        us: f64,
        /// Besides.
        commit: Duration,
        lag_ms: Millis,
    }

    impl World {
        fn new(us: f64, lag_ms: Millis) -> World {
            let begin = Instant::now();
            let budget = Budget::new(5_000, begin);
            World { budget, begin, now_ms: 0, us, commit: Duration::from_millis(1), lag_ms }
        }

        /// The records of each tick, and how long it took, for `seconds`.
        fn run(&mut self, seconds: Millis, offered: usize) -> Vec<(usize, Duration)> {
            let mut ticks = Vec::new();
            let end_ms = self.now_ms + seconds * 1_000;
            while self.now_ms < end_ms {
                self.budget.loaded(Some(self.now_ms - self.lag_ms), self.now_ms);
                let records = self.budget.records(self.now_ms).min(offered);
                let took = Duration::from_secs_f64(records as f64 * self.us / 1e6) + self.commit;
                let t_ms = self.now_ms;
                self.now_ms += (took.as_millis() as Millis).max(20);
                let now = self.begin + Duration::from_millis(self.now_ms as u64);
                let tick = Published { t_ms, backfilled: records as u64, took };
                self.budget.published(tick, now, self.now_ms);
                ticks.push((records, took));
            }
            ticks
        }
    }

    #[test]
    fn the_share_grows_until_a_tick_takes_its_time() {
        let mut world = World::new(20.0, 300);
        world.run(20, usize::MAX);
        let ticks = world.run(20, usize::MAX);
        assert!(ticks.iter().all(|(records, _)| *records > 1_000), "{ticks:?}");
        assert!(ticks.iter().all(|(_, took)| *took < 2 * TICK), "{ticks:?}");
    }

    #[test]
    fn a_loader_that_falls_behind_makes_it_shrink_and_one_that_stops_makes_it_wait() {
        let mut world = World::new(20.0, 300);
        let before = world.run(20, usize::MAX).last().unwrap().0;
        world.lag_ms = 700;
        let slow = world.run(5, usize::MAX).last().unwrap().0;
        assert!(slow < before / 10, "{before} {slow}");
        world.lag_ms = 5_000;
        assert_eq!(world.run(3, usize::MAX).last().unwrap().0, 0);
        world.lag_ms = 100;
        assert!(world.run(30, usize::MAX).last().unwrap().0 > before / 2, "it recovers");
    }

    #[test]
    fn where_loading_is_slow_without_backfills_more_is_allowed() {
        let mut world = World::new(20.0, 700);
        world.run(10, 0);
        let before = world.run(20, usize::MAX).last().unwrap().0;
        assert!(before > 1_000, "{before}");
        world.lag_ms = 1_200;
        assert!(world.run(10, usize::MAX).last().unwrap().0 < before / 10);
    }

    #[test]
    fn where_a_tick_is_slow_without_backfills_more_is_allowed() {
        let mut world = World::new(20.0, 300);
        world.commit = Duration::from_millis(150);
        world.run(10, 0);
        let ticks = world.run(40, usize::MAX);
        assert!(ticks.last().unwrap().0 > 1_000, "{ticks:?}");
        assert!(ticks.iter().all(|(_, took)| *took < 2 * world.commit), "{ticks:?}");
    }

    #[test]
    fn where_ticks_are_slow_whatever_is_in_them_the_share_does_not_vanish() {
        let mut world = World::new(50.0, 900);
        world.commit = Duration::from_millis(300);
        world.run(10, 0);
        let mut records = Vec::new();
        for at in 0..200 {
            // Other processes take the machine most of the time.
            world.commit = Duration::from_millis(if at % 3 == 0 { 350 } else { 600 });
            records.extend(world.run(1, usize::MAX).into_iter().map(|(records, _)| records));
        }
        let settled = &records[records.len() / 2..];
        assert!(settled.iter().all(|records| *records > 400), "{settled:?}");
        assert!(settled.iter().all(|records| *records < 2_500), "{settled:?}");
    }

    #[test]
    fn what_is_not_used_does_not_grow() {
        let mut world = World::new(20.0, 300);
        world.run(60, 10);
        assert_eq!(world.budget.records(world.now_ms), BEGIN as usize);
    }

    #[test]
    fn nothing_published_is_no_lag_and_nothing_loaded_is_one() {
        let now = Instant::now();
        let mut budget = Budget::new(5_000, now);
        budget.loaded(None, 0);
        assert_eq!(budget.records(1_000_000), 200);
        budget.published(Published { t_ms: 5, backfilled: 0, took: TICK }, now, 6);
        assert_eq!(budget.records(100), 200);
        assert_eq!(budget.records(5_000), 0);
        budget.loaded(Some(5), 5);
        assert_eq!(budget.records(5_000), 200);
    }
}
