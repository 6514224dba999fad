//! Definitions in terms of what is stored: masked texts, and the groups that facts have anyway.

use std::convert::Infallible;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{About, Clause, Definitions, Did, Filter, Metric, Segment, Selector, Test, Then};

/// What is stored, for one account.
struct Stored<'f, G, M> {
    group_of: &'f G,
    mask: &'f M,
    account_id: &'f str,
}

impl Definitions {
    /// The definitions in terms of what is stored.
    ///
    /// `group_of` tells which property of an event, by its name, is the group of its fact: a
    /// selector that only groups by it needs no fact of its own. `mask` gives the stored form of a
    /// text: account, attribute or property, text. What readers are told is masked as well.
    pub fn resolved(
        &self,
        group_of: impl Fn(&str) -> Option<String>,
        mask: impl Fn(&str, &str, &str) -> String,
    ) -> Definitions {
        let (group_of, mask) = (&group_of, &mask);
        let segment = |segment: &Arc<Segment>| {
            let of = Stored { group_of, mask, account_id: &segment.account_id };
            let (when, about) = (of.clause(&segment.when), of.about(&segment.about));
            Arc::new(Segment { when, about, ..(**segment).clone() })
        };
        let metric = |metric: &Arc<Metric>| {
            let Some(account_id) = &metric.account_id else { return metric.clone() };
            let of = Stored { group_of, mask, account_id };
            Arc::new(Metric {
                denominator: of.selector(&metric.denominator),
                numerator: of.selector(&metric.numerator),
                about: of.about(&metric.about),
                ..(**metric).clone()
            })
        };
        Definitions {
            segments: self.segments.iter().map(segment).collect(),
            metrics: self.metrics.iter().map(metric).collect(),
            zones: self.zones.clone(),
            retention: self.retention,
        }
    }
}

impl<G, M> Stored<'_, G, M>
where
    G: Fn(&str) -> Option<String>,
    M: Fn(&str, &str, &str) -> String,
{
    fn clause(&self, clause: &Clause) -> Clause {
        let Ok(clause) = clause.map_leaves(&mut |leaf| Ok::<_, Infallible>(self.leaf(leaf)));
        clause
    }

    fn leaf(&self, leaf: &Clause) -> Clause {
        match leaf {
            Clause::Attribute { name, test } => {
                Clause::Attribute { name: name.clone(), test: self.test(name, test) }
            }
            Clause::Did(did) => Clause::Did(Did {
                event: self.selector(&did.event),
                then: did.then.as_ref().map(|then| self.then(then)),
                ..did.clone()
            }),
            Clause::InSegment { segment_id, defined } => Clause::InSegment {
                segment_id: segment_id.clone(),
                defined: defined.as_ref().map(|defined| Arc::new(self.clause(defined))),
            },
            other => other.clone(),
        }
    }

    fn then(&self, then: &Then) -> Then {
        Then { event: self.selector(&then.event), ..then.clone() }
    }

    fn selector(&self, selector: &Selector) -> Selector {
        let filter = |filter: &Filter| Filter {
            property: filter.property.clone(),
            test: self.test(&filter.property, &filter.test),
        };
        let filters: Vec<_> = selector.filters().iter().map(filter).collect();
        let base = || (self.group_of)(selector.name());
        let grouping = selector.grouping().filter(|grouping| {
            !filters.is_empty() || base().as_deref() != Some(grouping.property())
        });
        selector.with(filters, grouping.cloned())
    }

    fn test(&self, name: &str, test: &Test) -> Test {
        let mut masked = |text: &str| (self.mask)(self.account_id, name, text);
        Test { checks: test.checks.iter().map(|check| check.with_texts(&mut masked)).collect() }
    }

    fn about(&self, about: &About) -> About {
        let Ok(mut definition) = serde_json::from_str(&about.definition) else {
            return about.clone();
        };
        self.told(&mut definition);
        About { definition: definition.to_string().into(), ..about.clone() }
    }

    /// Masks the operands beside each `attribute` and `property`.
    fn told(&self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.told(item)),
            Value::Object(fields) => {
                if let Some(name) = tested(fields) {
                    let operands =
                        fields.iter_mut().filter(|(key, _)| !NAMES.contains(&key.as_str()));
                    operands.for_each(|(_, operand)| self.operand(&name, operand));
                } else {
                    fields.values_mut().for_each(|field| self.told(field));
                }
            }
            _ => {}
        }
    }

    fn operand(&self, name: &str, operand: &mut Value) {
        match operand {
            Value::String(text) => *text = (self.mask)(self.account_id, name, text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.operand(name, item)),
            _ => {}
        }
    }
}

const NAMES: [&str; 2] = ["attribute", "property"];

fn tested(fields: &Map<String, Value>) -> Option<String> {
    NAMES.iter().find_map(|name| fields.get(*name)?.as_str().map(str::to_owned))
}
