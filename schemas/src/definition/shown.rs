//! Clauses as authors write them.

use serde_json::{Map, Value, json};

use super::{Clause, Did, Filter, Grouping, Test};
use crate::time::format_duration;

impl Clause {
    /// A leaf as authors write it; `all`, `any` and `not` by their names, without what is in them.
    /// Durations are in the greatest unit that they are a multiple of.
    pub fn shown(&self) -> Value {
        match self {
            Clause::All(_) => json!("all"),
            Clause::Any(_) => json!("any"),
            Clause::Not(_) => json!("not"),
            Clause::Attribute { name, test } => tested("attribute", name, test),
            Clause::InSegment { segment_id, .. } => json!({ "in_segment": **segment_id }),
            Clause::Did(did) => did.shown(),
        }
    }
}

impl Did {
    fn shown(&self) -> Value {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
        put("did", json!(self.event.name()));
        if !self.event.filters().is_empty() {
            put("where", filters(self.event.filters()));
        }
        match (self.at_least, self.at_most) {
            (1, u32::MAX) => {}
            (least, u32::MAX) => put("at_least", json!(least)),
            (least, most) if least == most => put("exactly", json!(least)),
            (0, most) => put("at_most", json!(most)),
            (least, most) => {
                put("at_least", json!(least));
                put("at_most", json!(most));
            }
        }
        let Some(then) = &self.then else {
            self.within_ms.iter().for_each(|width| put("within", json!(format_duration(*width))));
            return Value::Object(fields);
        };
        put(if then.is_missing { "then_not" } else { "then" }, json!(then.event.name()));
        if !then.event.filters().is_empty() {
            put("then_where", filters(then.event.filters()));
        }
        if then.same_group {
            let property = self.event.grouping().map_or("", Grouping::property);
            put("same", json!(property));
        }
        then.within_ms.iter().for_each(|width| put("within", json!(format_duration(*width))));
        self.within_ms.iter().for_each(|width| put("recent", json!(format_duration(*width))));
        Value::Object(fields)
    }
}

fn filters(filters: &[Filter]) -> Value {
    let all = filters.iter().map(|filter| tested("property", &filter.property, &filter.test));
    Value::Array(all.collect())
}

fn tested(what: &str, name: &str, test: &Test) -> Value {
    let mut fields = Map::new();
    fields.insert(what.to_owned(), json!(name));
    for check in &test.checks {
        let (operator, operand) = check.parts();
        fields.insert(operator.to_owned(), operand);
    }
    Value::Object(fields)
}
