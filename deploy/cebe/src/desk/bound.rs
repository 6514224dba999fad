//! Which logical time took a record in.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cebe_connectors::binding::{Binding, Range};
use cebe_query::desk::When;
use cebe_schemas::time::Millis;

/// So many bindings are remembered: twenty minutes under load. Of an older record it is only known that it
/// was bound.
const BINDINGS_MAX: usize = 1 << 16;

type Place = (Arc<str>, i32);

/// The last bindings, and what was bound before them.
#[derive(Debug, Default)]
pub(super) struct Bound {
    /// The offset after the last record of each partition that was bound before `recent`.
    before: BTreeMap<Place, i64>,
    /// T, and the offset after the last record of each partition that it took in.
    recent: VecDeque<(Millis, Vec<(Place, i64)>)>,
    /// The T before `recent`.
    before_ms: Millis,
}

impl Bound {
    /// Begins behind a binding.
    pub(super) fn begin(&mut self, t_ms: Millis, positions: &BTreeMap<Place, i64>) {
        *self = Bound { before: positions.clone(), recent: VecDeque::new(), before_ms: t_ms };
    }

    pub(super) fn push(&mut self, binding: &Binding) {
        let to = |range: &Range| ((range.topic.clone(), range.partition), range.to);
        self.recent.push_back((binding.t_ms, binding.ranges.iter().map(to).collect()));
        if self.recent.len() > BINDINGS_MAX
            && let Some((t_ms, ends)) = self.recent.pop_front()
        {
            self.before.extend(ends);
            self.before_ms = t_ms;
        }
    }

    pub(super) fn find(&self, topic: &str, partition: i32, offset: i64) -> When {
        let place = (Arc::from(topic), partition);
        if self.before.get(&place).is_some_and(|end| *end > offset) {
            return When::By(self.before_ms);
        }
        let mut when = When::Never;
        // From the newest: who asks has just pushed.
        for (t_ms, ends) in self.recent.iter().rev() {
            match ends.iter().find(|(at, _)| *at == place) {
                Some((_, end)) if *end > offset => when = When::At(*t_ms),
                Some(_) => break,
                None => {}
            }
        }
        when
    }
}

#[cfg(test)]
mod tests {
    use cebe_connectors::binding::Digest;

    use super::*;

    fn binding(t_ms: Millis, from: i64, to: i64) -> Binding {
        let range =
            Range { topic: "a".into(), partition: 1, from, to, records: (to - from) as u64 };
        Binding {
            number: t_ms as u64,
            t_ms,
            generation: 1,
            logic_version: 1,
            previous: Digest::NONE,
            first_ordinal: 0,
            ranges: vec![range],
        }
    }

    #[test]
    fn a_record_is_bound_by_the_first_that_reaches_beyond_it() {
        let mut bound = Bound::default();
        bound.begin(10, &BTreeMap::from([(("a".into(), 1), 5)]));
        bound.push(&binding(11, 5, 7));
        bound.push(&binding(12, 7, 9));
        assert_eq!(bound.find("a", 1, 4), When::By(10));
        assert_eq!(bound.find("a", 1, 5), When::At(11));
        assert_eq!(bound.find("a", 1, 7), When::At(12));
        assert_eq!(bound.find("a", 1, 9), When::Never);
        assert_eq!(bound.find("a", 2, 0), When::Never);
        assert_eq!(bound.find("b", 1, 0), When::Never);
    }

    #[test]
    fn what_is_forgotten_is_known_to_be_bound() {
        let mut bound = Bound::default();
        for t_ms in 0..=BINDINGS_MAX as Millis {
            bound.push(&binding(t_ms, t_ms, t_ms + 1));
        }
        assert_eq!(bound.find("a", 1, 0), When::By(0));
        assert_eq!(bound.find("a", 1, 1), When::At(1));
    }
}
