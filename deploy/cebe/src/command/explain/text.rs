//! An explanation for people: a tree, one line a clause, its witnesses below it.

use std::fmt::Write;

use cebe_schemas::explanation::{
    Assertion, Counted, Counting, Explanation, FoundEvent, Judged, Link, NextChange, Witness,
};
use cebe_schemas::time::format_rfc3339;

/// The whole answer; `asked` is the customer id that was asked for.
pub fn render(explanation: &Explanation, asked: &str) -> String {
    let Explanation { account_id, segment_id, person, .. } = explanation;
    let mut text = String::new();
    let mut line = |content: String| text.extend([&*content, "\n"]);
    let is = if explanation.is_member { "is" } else { "is not" };
    line(format!("customer {asked} of {account_id} {is} in segment {segment_id}"));
    line(format!("as of {}", format_rfc3339(explanation.logical_time)));
    if let Some(version) = explanation.entered_by_version {
        line(match version {
            0 => "entered because CDP said so".to_owned(),
            version => format!("entered by version {version} of the definition"),
        });
    }
    line(match explanation.definition_version {
        Some(version) => format!("version {version} of the definition is in force"),
        None => "no definition is in force: CDP alone says who belongs".to_owned(),
    });
    explanation.asserted.iter().for_each(|asserted| line(said(asserted)));
    line(match explanation.next_change {
        NextChange::Never => "stays so until something happens".to_owned(),
        change => format!("changes by itself {}", when(change)),
    });
    line(String::new());
    line(format!("person {}: {}", person.customer_id, person.member_ids.join(", ")));
    for link in &person.links {
        line(match link {
            Link::Identifier { token, customer_ids } => {
                format!("  {} hold the same identifier, {token}", customer_ids.join(", "))
            }
            Link::Merged { customer_ids, occurred_at } => {
                format!(
                    "  {} were merged at {}",
                    customer_ids.join(", "),
                    format_rfc3339(*occurred_at)
                )
            }
        });
    }
    if let Some(clause) = &explanation.clause {
        text.push('\n');
        judged(clause, 0, &mut text);
    }
    if let Some(note) = &explanation.events_note {
        let _ = writeln!(text, "\nnote: {note}");
    }
    text
}

fn judged(clause: &Judged, depth: usize, text: &mut String) {
    let mark = if clause.holds { '✓' } else { '✗' };
    let content = match clause.clause.as_str() {
        Some(name) => name.to_owned(),
        None => clause.clause.to_string(),
    };
    let change = match clause.next_change {
        NextChange::Never => String::new(),
        change => format!("   changes {}", when(change)),
    };
    let indent = "  ".repeat(depth);
    let _ = writeln!(text, "{indent}{mark} {content}{change}");
    let mut below = |content: String| text.extend([&*indent, "    ", &content, "\n"]);
    if clause.clause.get("attribute").is_some() {
        below(match &clause.attribute {
            None => "never said".to_owned(),
            Some(last) => {
                let (by, at) = (of(last.customer_id.as_deref()), format_rfc3339(last.occurred_at));
                format!("{}, said {by} at {at}", last.value)
            }
        });
    }
    clause.asserted.iter().for_each(|asserted| below(said(asserted)));
    if let Some(counted) = &clause.counted {
        lines(counted).into_iter().for_each(below);
    }
    clause.clauses.iter().for_each(|inner| judged(inner, depth + 1, text));
}

fn said(asserted: &Assertion) -> String {
    let verb = if asserted.entered { "entered" } else { "exited" };
    let of = of(asserted.customer_id.as_deref());
    format!("CDP said {verb} {of} at {}", format_rfc3339(asserted.occurred_at))
}

fn of(customer: Option<&str>) -> String {
    customer.map_or("by an event without a customer id".to_owned(), |id| format!("of {id}"))
}

fn when(change: NextChange) -> String {
    match change {
        NextChange::Never => "never".to_owned(),
        NextChange::At(at) => format!("at {}", format_rfc3339(at)),
        NextChange::NotBefore(at) => format!("not before {}", format_rfc3339(at)),
    }
}

fn lines(counted: &Counted) -> Vec<String> {
    let Counted { count, at_least, at_most, events_held, .. } = counted;
    let needed = match (at_least, at_most) {
        (least, None) => format!("at least {least}"),
        (least, Some(most)) if least == most => format!("exactly {least}"),
        (0, Some(most)) => format!("at most {most}"),
        (least, Some(most)) => format!("{least} to {most}"),
    };
    let mut lines = vec![format!("{count} count, {needed} needed")];
    for witness in &counted.events {
        lines.push(event(witness));
        let found = witness.found.iter().map(|event| format!("      {}", stored(event)));
        lines.extend(found);
        for follower in &witness.followed_by {
            lines.push(format!("      followed at {}", format_rfc3339(follower.occurred_at)));
            lines.extend(follower.found.iter().map(|event| format!("        {}", stored(event))));
        }
    }
    let more = events_held - counted.events.len() as u64;
    lines.extend((more > 0).then(|| format!("and {more} more")));
    lines
}

fn event(witness: &Witness) -> String {
    let time = |at: Option<_>| at.map(format_rfc3339).unwrap_or_default();
    let counts = match (witness.counts, witness.counts_until) {
        (Counting::Now, None) => "counts".to_owned(),
        (Counting::Now, until) => format!("counts until {}", time(until)),
        (Counting::Later, _) => format!("will count from {}", time(witness.counts_from)),
        (Counting::NoMore, until) => format!("counted until {}", time(until)),
        (Counting::Not, _) if witness.followed_by.is_empty() => "not followed".to_owned(),
        (Counting::Not, _) => "does not count".to_owned(),
    };
    let group = if witness.group_key.is_empty() { "" } else { " " };
    let Witness { event_name, group_key, .. } = witness;
    format!("- {event_name}{group}{group_key} at {}: {counts}", format_rfc3339(witness.occurred_at))
}

fn stored(event: &FoundEvent) -> String {
    let customer = if event.customer_id.is_empty() { "no customer id" } else { &event.customer_id };
    let properties = serde_json::to_string(&event.properties).unwrap_or_default();
    format!("{} of {}, {customer}: {properties}", event.idempotency_key, event.source_module)
}
