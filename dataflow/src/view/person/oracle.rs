//! What is true of a person, by brute force over its events in any order.

use cebe_schemas::definition::{Clause, Definitions, Metric};
use cebe_schemas::fact::EventFact;
use cebe_schemas::id::Group;
use cebe_schemas::time::Millis;

/// Whether a segment's clause is true (product §5).
pub fn belongs(when: &Clause, events: &[EventFact], now_ms: Millis) -> bool {
    match when {
        Clause::Did { event, at_least, within_ms } => {
            let counts = |e: &&EventFact| {
                let begun = e.occurred_at_ms <= now_ms;
                let over = within_ms.is_some_and(|w| e.occurred_at_ms <= now_ms - w);
                e.event == *event && begun && !over
            };
            events.iter().filter(counts).count() >= *at_least as usize
        }
    }
}

/// Whether a person is in the denominator of `group`, and if so whether in the numerator as well
/// (product §6).
pub fn credit(metric: &Metric, group: Group, events: &[EventFact]) -> Option<bool> {
    let named = || events.iter().filter(|e| e.group == group && group != Group::NONE);
    let touches: Vec<_> = named().filter(|e| e.event == metric.denominator).collect();
    let answered = |touch: &EventFact| {
        let window = touch.occurred_at_ms..=touch.occurred_at_ms + metric.within_ms;
        named().any(|e| e.event == metric.numerator && window.contains(&e.occurred_at_ms))
    };
    (!touches.is_empty()).then(|| touches.into_iter().any(answered))
}

/// The metrics of an account: its own, and those for all under names that it does not use.
pub fn metrics_of<'a>(definitions: &'a Definitions, account: &str) -> Vec<&'a Metric> {
    let is_own = |m: &Metric| m.account_id.as_deref() == Some(account);
    let own = |name: &str| definitions.metrics.iter().any(|m| is_own(m) && &*m.metric == name);
    let holds =
        |m: &&std::sync::Arc<Metric>| is_own(m) || (m.account_id.is_none() && !own(&m.metric));
    definitions.metrics.iter().filter(holds).map(|m| &**m).collect()
}
