//! The whole dataflow once more, by brute force: every answer from all facts, at every time at which
//! one could change, and changes as differences between neighbouring answers. It shares no code with
//! what it checks.

use std::sync::Arc;

use cebe_schemas::change::{Cause, Change, Moment, TickOutput};
use cebe_schemas::definition::Definitions;
use cebe_schemas::fact::{EventFact, TickInput};
use cebe_schemas::id::Group;
use cebe_schemas::time::Millis;

use crate::view::rate::oracle::count;
use answer::{Person, Row, Rows, Text, answers, boundaries, persons};
use history::History;

mod answer;
mod history;

/// Answers ticks as [`Dataflow`](crate::Dataflow) should, from the whole history each time.
pub struct Oracle {
    holders_max: usize,
    ticks: Vec<TickInput>,
    definitions: Arc<Definitions>,
}

impl Oracle {
    /// With no history. `holders_max` as in [`DataflowConfig`](crate::DataflowConfig).
    pub fn new(holders_max: usize) -> Oracle {
        Oracle { holders_max, ticks: Vec::new(), definitions: Arc::default() }
    }

    /// What has changed since the last tick. Times must grow.
    pub fn tick(&mut self, input: TickInput) -> TickOutput {
        let t_ms = input.t_ms;
        let last_ms = self.ticks.last().map_or(t_ms - 1, |tick| tick.t_ms);
        let before = persons(&self.ticks, self.holders_max);
        let old = self.definitions.clone();
        let mut rows = answers(&before, &old, last_ms);
        let mut moments = Vec::new();
        for now in boundaries(&before, &old).range(last_ms + 1..t_ms) {
            let new = answers(&before, &old, *now);
            let history = History { before: &before, after: &before, late: Default::default() };
            moments.push(self.moment(*now, &history, [&rows, &new, &new, &new]));
            rows = new;
        }
        let is_late = |event: &EventFact| t_ms - event.occurred_at_ms > 3_600_000;
        let late = input.events.iter().filter(|(_, event)| is_late(event));
        let late = late.map(|(subject, _)| *subject).collect();
        self.definitions = input.definitions.clone().unwrap_or(old.clone());
        self.ticks.push(input);
        let after = persons(&self.ticks, self.holders_max);
        let history = History { before: &before, after: &after, late };
        let time_came = answers(&before, &old, t_ms);
        let facts_came = answers(&after, &old, t_ms);
        let current = answers(&after, &self.definitions, t_ms);
        moments.push(self.moment(t_ms, &history, [&rows, &time_came, &facts_came, &current]));
        moments.retain(|moment| !moment.changes.is_empty());
        TickOutput { t_ms, moments, next_wakeup_ms: self.next_wakeup(t_ms, &after, &current) }
    }

    fn next_wakeup(&self, t_ms: Millis, persons: &[Person], current: &Rows) -> Option<Millis> {
        let boundaries = boundaries(persons, &self.definitions);
        let differs = |now: &&Millis| answers(persons, &self.definitions, **now) != *current;
        boundaries.range(t_ms + 1..).find(differs).copied()
    }

    /// `rows`: before; when the time has come; with the new facts; with the new definitions.
    fn moment(&self, t_ms: Millis, history: &History, rows: [&Rows; 4]) -> Moment {
        let [before, .., after] = rows;
        let change = |row: &Row| match row {
            Row::Identity { account, member, .. } => {
                let is_member = |row: &&Row| row.is_member(account, member);
                let old = before.iter().find(is_member);
                let new = after.iter().find(is_member);
                let canonical = |row: &Row| row.person().1;
                Some(Change::Identity {
                    account_id: account.clone(),
                    qontak_customer_id: member.clone(),
                    old: old.map(canonical),
                    new: new.map(canonical),
                    cause: match old {
                        Some(_) => first_cause(old.into_iter().chain(new), history, rows),
                        None => history.first_seen(account, member),
                    },
                })
            }
            Row::Segment { account, segment, canonical } => Some(Change::Segment {
                account_id: account.clone(),
                segment_id: segment.clone(),
                customer_id: canonical.clone(),
                entered: after.contains(row),
                definition_version: self.version(t_ms, account, segment),
                cause: first_cause([row], history, rows),
            }),
            Row::Rate { account, metric, group, .. } => {
                let hit = |row: &Row| row.hit(account, metric, *group);
                let old = count(before.iter().filter_map(hit));
                let new = count(after.iter().filter_map(hit));
                let moved = before.symmetric_difference(after).filter(|row| hit(row).is_some());
                (old != new).then(|| Change::Metric {
                    account_id: account.clone(),
                    metric: metric.clone(),
                    group_key: self.group_key(*group),
                    old,
                    new,
                    cause: first_cause(moved, history, rows),
                })
            }
        };
        let mut changes: Vec<_> = before.symmetric_difference(after).filter_map(change).collect();
        changes.sort();
        changes.dedup();
        Moment { t_ms, changes }
    }

    /// In force at `t_ms`, or else last.
    fn version(&self, t_ms: Millis, account: &Text, segment: &Text) -> u32 {
        let so_far = self.ticks.iter().filter(|tick| tick.t_ms <= t_ms);
        let all = so_far.filter_map(|tick| tick.definitions.as_ref()).flat_map(|d| &d.segments);
        let mut ours = all.filter(|s| (&s.account_id, &s.segment_id) == (account, segment));
        ours.next_back().map(|s| s.version).unwrap_or_default()
    }

    fn group_key(&self, group: Group) -> Text {
        let mut names = self.ticks.iter().flat_map(|tick| &tick.groups);
        names.find(|name| name.group == group).map(|n| n.group_key.clone()).unwrap_or_default()
    }
}

/// The first cause of all that moved these rows.
fn first_cause<'a>(
    moved: impl IntoIterator<Item = &'a Row>,
    history: &History,
    rows: [&Rows; 4],
) -> Cause {
    let cause = |row: &Row| {
        let [time, event, definition] =
            [0, 1, 2].map(|step| rows[step].contains(row) != rows[step + 1].contains(row));
        let causes = [
            history.family(row),
            definition.then_some(Cause::Definition),
            time.then_some(Cause::Time),
            event.then(|| history.event(row)),
        ];
        causes.into_iter().flatten().min()
    };
    moved.into_iter().filter_map(cause).min().unwrap_or(Cause::Event)
}
