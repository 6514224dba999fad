//! The whole dataflow once more, by brute force: every answer from all facts, at every time at which
//! one could change, and changes as differences between neighbouring answers. It shares no code with
//! what it checks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cebe_schemas::change::{Cause, Change, Moment, TickOutput};
use cebe_schemas::definition::Definitions;
use cebe_schemas::fact::{EventFact, TickInput};
use cebe_schemas::id::Group;
use cebe_schemas::time::Millis;

use crate::view::rate::oracle::count;
use answer::{Key, Row, Rows, answers, boundaries, next_wakeup};
use erasure::{anonymous, forgettings};
use history::History;
use person::Text;

pub use erasure::surviving;
pub use person::persons;

mod answer;
mod erasure;
mod history;
mod person;

/// Answers ticks as [`Dataflow`](crate::Dataflow) should, from the whole history each time.
#[derive(Default)]
pub struct Oracle {
    ticks: Vec<TickInput>,
    definitions: Arc<Definitions>,
    /// By account, segment and canonical id: the version by which it entered.
    entered_by: BTreeMap<(Text, Text, Text), u32>,
}

impl Oracle {
    /// What has changed since the last tick. Times must grow.
    pub fn tick(&mut self, input: TickInput) -> TickOutput {
        let t_ms = input.t_ms;
        let last_ms = self.ticks.last().map_or(t_ms - 1, |tick| tick.t_ms);
        let before = persons(&surviving(&self.ticks));
        if self.ticks.is_empty() {
            self.definitions = input.definitions.clone().unwrap_or_default();
        }
        let old = self.definitions.clone();
        let mut rows = answers(&before, &old, last_ms);
        let mut moments = Vec::new();
        for now in boundaries(&before, &old).range(last_ms + 1..t_ms) {
            let new = answers(&before, &old, *now);
            let none = BTreeSet::new();
            let history = History {
                before: &before,
                after: &before,
                backfilled: none.clone(),
                late: none.clone(),
                spoken_of: none,
                relinked: false,
                erased: BTreeSet::new(),
                gone_along: BTreeSet::new(),
            };
            moments.push(self.moment(*now, &history, [&rows, &new, &new, &new]));
            rows = new;
        }
        let is_late = |event: &EventFact| t_ms - event.occurred_at_ms > 3_600_000;
        let late = input.events.iter().filter(|(_, event)| is_late(event));
        let late = late.map(|(subject, _)| *subject).collect();
        let backfilled = input.backfilled.iter().copied().collect();
        let events = input.events.iter().map(|(subject, _)| *subject);
        let spoken_of = input.known.iter().map(|known| known.subject).chain(events).collect();
        let relinked = input.linking.is_some();
        let erased = input.erasures.iter().map(|(subject, _)| *subject).collect();
        self.definitions = input.definitions.clone().unwrap_or(old.clone());
        let held = anonymous(&surviving(&self.ticks));
        self.ticks.push(input);
        let survivors = surviving(&self.ticks);
        let kept = anonymous(&survivors[..survivors.len() - 1]);
        let gone_along =
            held.into_iter().filter(|(alias, n)| kept.get(alias).is_none_or(|kept| kept < n));
        let gone_along = gone_along.map(|(alias, _)| alias).collect();
        let after = persons(&survivors);
        let (before, after) = (&before, &after);
        let history =
            History { before, after, backfilled, late, spoken_of, relinked, erased, gone_along };
        let time_came = answers(before, &old, t_ms);
        let facts_came = answers(after, &old, t_ms);
        let current = answers(after, &self.definitions, t_ms);
        let mut moment = self.moment(t_ms, &history, [&rows, &time_came, &facts_came, &current]);
        let ticks = &self.ticks;
        moment.changes.extend(forgettings(&ticks[..ticks.len() - 1], ticks));
        moment.changes.sort();
        moments.push(moment);
        moments.retain(|moment| !moment.changes.is_empty());
        let next_wakeup_ms = next_wakeup(after, &self.definitions, t_ms);
        TickOutput { t_ms, moments, next_wakeup_ms }
    }

    /// `rows`: before; when the time has come; with the new facts; with the new definitions.
    fn moment(&mut self, t_ms: Millis, history: &History, rows: [&Rows; 4]) -> Moment {
        let [before, .., after] = rows;
        let mut moved: BTreeMap<Key, Vec<&Row>> = BTreeMap::new();
        for row in before.symmetric_difference(after) {
            moved.entry(row.key()).or_default().push(row);
        }
        let mut changes: Vec<_> = moved
            .into_values()
            .filter_map(|moved| self.change(t_ms, &moved, history, rows))
            .collect();
        changes.sort();
        Moment { t_ms, changes }
    }

    /// The change of one key, of which `moved` came and went.
    fn change(
        &mut self,
        t_ms: Millis,
        moved: &[&Row],
        history: &History,
        rows: [&Rows; 4],
    ) -> Option<Change> {
        let [before, .., after] = rows;
        let old = moved.iter().copied().find(|row| before.contains(row));
        let new = moved.iter().copied().find(|row| after.contains(row));
        let (account_id, canonical) = moved[0].person();
        let cause = first_cause(moved.iter().copied(), history, rows);
        Some(match moved[0] {
            Row::Identity { member, .. } => Change::Identity {
                qontak_customer_id: member.clone(),
                old: old.map(|row| row.person().1),
                new: new.map(|row| row.person().1),
                cause: if old.is_some() { cause } else { history.first_seen(&account_id, member) },
                account_id,
            },
            Row::Customer { .. } => {
                let profile = |row: &Row| match row {
                    Row::Customer { profile, .. } => Some(profile.clone()),
                    _ => None,
                };
                let (old, new) = (old.and_then(profile), new.and_then(profile));
                Change::Customer { account_id, customer_id: canonical, old, new, cause }
            }
            Row::Seen { .. } => {
                let seen = |row: &Row| match row {
                    Row::Seen { seen, .. } => Some(*seen),
                    _ => None,
                };
                let (old, new) = (old.and_then(seen), new.and_then(seen));
                Change::Seen { account_id, customer_id: canonical, old, new, cause }
            }
            Row::Segment { segment, .. } => {
                let key = (account_id.clone(), segment.clone(), canonical.clone());
                let definition_version = match (old, new) {
                    (None, Some(Row::Segment { defined, .. })) => {
                        let version =
                            if *defined { self.version(t_ms, &account_id, segment) } else { 0 };
                        self.entered_by.insert(key, version);
                        version
                    }
                    (Some(_), None) => self.entered_by[&key],
                    _ => return None,
                };
                Change::Segment {
                    account_id,
                    segment_id: segment.clone(),
                    customer_id: canonical,
                    entered: new.is_some(),
                    definition_version,
                    cause,
                }
            }
            Row::Rate { metric, group, .. } => {
                let hits = |rows: &Rows| {
                    let same = rows.iter().filter(|row| row.key() == moved[0].key());
                    count(same.filter_map(|row| match row {
                        Row::Rate { hit, .. } => Some(*hit),
                        _ => None,
                    }))
                };
                let (old, new) = (hits(before), hits(after));
                let group_key = self.group_key(*group);
                let metric = metric.clone();
                return (old != new).then_some(Change::Metric {
                    account_id,
                    metric,
                    group_key,
                    old,
                    new,
                    cause,
                });
            }
            Row::Kept { member, kept: (_, reason, token, cluster), .. } => {
                if old.is_some() && new.is_some() {
                    return None;
                }
                Change::Quarantine {
                    account_id,
                    reason: *reason,
                    token: *token,
                    cluster: *cluster,
                    qontak_customer_id: member.clone(),
                    entered: new.is_some(),
                    cause,
                }
            }
        })
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
        let said = [
            definition.then_some(Cause::Definition),
            time.then_some(Cause::Time),
            event.then(|| history.event(row)),
        ];
        history.family(row).or(said.into_iter().flatten().min())
    };
    moved.into_iter().filter_map(cause).min().unwrap_or(Cause::Event)
}
