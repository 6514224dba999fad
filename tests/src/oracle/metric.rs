//! Rates (product §6, §9.3): which groups a person is in the denominator and the numerator of.

use std::collections::BTreeMap;

use serde_json::Value;

use super::clause::{filtered, is_kept};
use super::control::{Control, text};
use super::judge::Event;
use super::people::Person;
use super::value::{self, shortlex};

/// Group key → whether the person is in the numerator as well.
pub fn groups(
    metric: &Value,
    person: &Person,
    control: &Control,
    now: i64,
) -> BTreeMap<String, bool> {
    let within = value::duration(&metric["within"]).expect("a duration");
    let events = |name: &str, filter: &str| -> Vec<&Event> {
        let name = text(&metric[name]);
        let all = person.events.iter().filter(|e| {
            e.name == name
                && is_kept(e, control, now)
                && filtered(&e.properties, metric.get(filter))
        });
        all.copied().collect()
    };
    let (touches, answers) =
        (events("denominator", "where"), events("numerator", "numerator_where"));
    let in_time = |touch: &Event, answer: &Event| {
        let at = answer.occurred_at;
        touch.occurred_at <= at && at <= touch.occurred_at + within
    };
    let Some(property) = metric["group_by"].as_str() else {
        let any = touches.iter().any(|touch| answers.iter().any(|answer| in_time(touch, answer)));
        return touches.first().map(|_| (String::new(), any)).into_iter().collect();
    };
    let grouped: Vec<(String, &Event)> =
        touches.into_iter().filter_map(|touch| Some((group(touch, property)?, touch))).collect();
    // An answer that names no group has that of the last touch before it.
    let credited = |answer: &Event| {
        group(answer, property).or_else(|| {
            let before = grouped.iter().filter(|(_, t)| t.occurred_at <= answer.occurred_at);
            let last = before.max_by_key(|(group, touch)| (touch.occurred_at, shortlex(group)))?;
            in_time(last.1, answer).then(|| last.0.clone())
        })
    };
    let mut groups = BTreeMap::new();
    for (group, touch) in &grouped {
        let hit = answers
            .iter()
            .any(|answer| in_time(touch, answer) && credited(answer).as_ref() == Some(group));
        let key = match metric["daily"].as_bool() {
            Some(true) => value::day(touch.occurred_at, &control.zone(person.account)),
            _ => group.clone(),
        };
        *groups.entry(key).or_default() |= hit;
    }
    groups
}

/// The text of the property that groups, if the event has it.
fn group(event: &Event, property: &str) -> Option<String> {
    match event.properties.get(property)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => match number.as_f64() {
            Some(double) if double.fract() == 0.0 => Some(format!("{}", double as i64)),
            _ => Some(number.to_string()),
        },
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}
