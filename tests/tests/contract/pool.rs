//! The few names, values and definitions that everything is made of.

use serde_json::{Value, json};

pub const ACCOUNTS: [&str; 2] = ["acc-1", "acc-2"];
pub const CUSTOMERS: [&str; 8] = ["9", "10", "07", "100", "8", "b", "é", "12345678901234567890123"];
/// The first three are one number, and so are the next two.
pub const PHONES: [&str; 8] = [
    "0812-3456-7890",
    "+62 812 3456 7890",
    "6281234567890",
    "0813 1111 2222",
    "+62(0)81311112222",
    "+1 415 555 2671",
    "-",
    "12345",
];
pub const EMAILS: [&str; 5] = ["a@x.id", " A@X.id ", "b@x.id", "test@test.com", "nobody"];
pub const CARDS: [&str; 4] = ["77", " 77 ", "78", "000"];
pub const BROADCASTS: [&str; 3] = ["b-1", "b-2", "b-10"];
pub const CAMPAIGNS: [&str; 3] = ["c-1", "c-2", "c-10"];
pub const SEGMENTS: [&str; 3] = ["vip", "s-0", "s-1"];
pub const TEAMS: [&str; 2] = ["team-1", "team-2"];
pub const EVENTS: [(&str, &str); 7] = [
    ("broadcast", "broadcast.sent"),
    ("broadcast", "broadcast.replied"),
    ("broadcast", "broadcast.delivered"),
    ("broadcast", "broadcast.read"),
    ("ads", "ad.clicked"),
    ("ads", "ad.converted"),
    ("ads", "ad.lead"),
];

pub fn fill(
    event: &mut Value,
    name: &str,
    group: usize,
    more: (usize, usize),
    team: Option<usize>,
) {
    let needs_group = !["broadcast.replied", "ad.converted"].contains(&name);
    let (field, groups) = match name.starts_with("ad.") {
        true => ("campaign_id", CAMPAIGNS),
        false => ("broadcast_id", BROADCASTS),
    };
    let group = if needs_group { Some(group % 3) } else { (group > 0).then(|| (group - 1) % 3) };
    if let Some(group) = group {
        event["properties"][field] = json!(groups[group]);
    }
    let channels = [Value::Null, json!("wa"), json!("sms"), json!(3), json!(3.0), json!(true)];
    event["properties"]["channel"] = channels[more.0 % channels.len()].clone();
    let values = [json!(50), json!(100), json!(100.0), json!(99.5), json!(250)];
    if more.1 > 0 {
        event["properties"]["value"] = values[more.1 % values.len()].clone();
    }
    if let Some(team) = team {
        event["team_id"] = json!(TEAMS[team]);
    }
}

pub fn attribute(field: usize, value: usize) -> (&'static str, Value) {
    let of = |values: &[Value]| values[value % values.len()].clone();
    match field % 8 {
        0 | 1 => (
            "phone",
            match value % 9 {
                8 => Value::Null,
                at => json!(PHONES[at]),
            },
        ),
        2 => (
            "email",
            match value % 6 {
                5 => Value::Null,
                at => json!(EMAILS[at]),
            },
        ),
        3 => ("name", of(&[json!("Budi"), json!("budi"), Value::Null])),
        4 => (
            "city",
            of(&[
                json!("Jakarta"),
                json!("Depok"),
                json!("Bogor"),
                json!(""),
                Value::Null,
                json!(7),
            ]),
        ),
        5 => ("age", of(&[json!(17), json!(18), json!(30), json!(30.0), json!("30"), json!(30.5)])),
        6 => ("tier", of(&[json!("gold"), json!("silver"), Value::Null])),
        _ => ("vip", of(&[json!(true), json!(false), json!("true"), Value::Null])),
    }
}

pub fn identifiers(bits: u8) -> Value {
    let all = [
        ("phone", PHONES[0]),
        ("phone", PHONES[3]),
        ("email", EMAILS[1]),
        ("card", CARDS[1]),
        ("phone", PHONES[5]),
        ("card", CARDS[2]),
        ("email", EMAILS[3]),
        ("phone", PHONES[6]),
    ];
    let named = all.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
    let named: Vec<_> =
        named.map(|(_, (kind, value))| json!({"type": kind, "value": value})).collect();
    json!(named)
}

/// The definitions of segments, each by account.
fn when(which: usize) -> Value {
    let all = [
        json!({"did": "broadcast.replied", "at_least": 2, "within": "1d"}),
        json!({"not": {"did": "broadcast.sent", "within": "2h"}}),
        json!({"did": "broadcast.sent", "exactly": 0, "within": "3d"}),
        json!({"did": "broadcast.sent", "at_most": 1}),
        json!({"did": "broadcast.sent", "at_least": 1, "at_most": 2, "within": "30m"}),
        json!({"all": [{"attribute": "city", "in": ["Jakarta", "Depok"]},
            {"not": {"did": "ad.converted", "where": [{"property": "value", "gte": 100}]}}]}),
        json!({"any": [{"in_segment": "vip"}, {"attribute": "tier", "eq": "gold"}]}),
        json!({"did": "broadcast.sent", "then": "broadcast.replied", "within": "2h"}),
        json!({"did": "broadcast.sent", "then": "broadcast.replied", "within": "1d", "same": "broadcast_id",
            "recent": "3d", "then_where": [{"property": "channel", "ne": "sms"}]}),
        json!({"did": "broadcast.sent", "then_not": "broadcast.replied", "within": "2h"}),
        json!({"did": "broadcast.read", "then_not": "broadcast.replied", "within": "30m", "same": "broadcast_id",
            "recent": "1d", "at_least": 2}),
        json!({"did": "broadcast.sent", "then_not": "ad.clicked", "within": "1d", "at_most": 1, "recent": "7d"}),
        json!({"attribute": "phone", "eq": "+62 812-3456-7890"}),
        json!({"attribute": "email", "in": ["A@x.id", "c@x.id"]}),
        json!({"attribute": "name", "exists": false}),
        json!({"attribute": "age", "gt": 17, "lte": 30}),
        json!({"attribute": "age", "ne": 30}),
        json!({"attribute": "tags", "contains": "a"}),
        json!({"attribute": "city", "prefix": "Ja", "contains": "kar"}),
        json!({"in_segment": "s-0"}),
        json!({"all": [{"not": {"in_segment": "s-1"}}, {"in_segment": "unknown"}]}),
        json!({"all": []}),
        json!({"did": "ad.converted", "where": [{"property": "value", "exists": true, "lt": 100},
            {"property": "channel", "in": ["wa", "sms"]}], "at_least": 1, "within": "7d"}),
        json!({"did": "customer.updated", "at_least": 2}),
        json!({"did": "ad.clicked", "then": "ad.converted", "same": "channel", "at_least": 2}),
        json!({"did": "ad.clicked", "then": "ad.clicked", "within": "5ms"}),
        json!({"not": {"any": [{"did": "broadcast.sent", "within": "5ms"}, {"attribute": "vip", "eq": true}]}}),
        json!({"did": "segment.entered", "where": [{"property": "segment_id", "eq": "vip"}], "within": "1d"}),
        json!({"did": "broadcast.replied", "exactly": 2}),
        json!({"attribute": "vip", "gte": false}),
    ];
    all[which % all.len()].clone()
}

pub fn segment(slot: usize, which: usize, version: Option<usize>) -> Value {
    let account = ACCOUNTS[usize::from(slot >= 4)];
    let mut when = when(which);
    // A segment may refer to lesser slots only, or there would be cycles.
    if slot.is_multiple_of(4) && when.to_string().contains("in_segment") {
        when = json!({"attribute": "city", "exists": true});
    }
    if slot % 4 == 1 && when.to_string().contains("s-1") {
        when = json!({"in_segment": "s-0"});
    }
    let mut definition =
        json!({"segment_id": format!("s-{}", slot % 4), "account_id": account, "when": when});
    if let Some(version) = version {
        definition["version"] = json!(version);
    }
    definition
}

pub fn metric(which: usize) -> Value {
    let all = [
        json!({"metric": "read_rate", "account_id": "acc-1", "denominator": "broadcast.delivered",
            "numerator": "broadcast.read", "group_by": "broadcast_id", "within": "1d"}),
        json!({"metric": "clicks", "account_id": "acc-1", "denominator": "ad.clicked", "numerator": "ad.lead",
            "within": "2h", "where": [{"property": "channel", "eq": "wa"}]}),
        json!({"metric": "by_channel", "account_id": "acc-1", "denominator": "broadcast.sent",
            "numerator": "broadcast.replied", "group_by": "channel", "within": "2h"}),
        json!({"metric": "reply_rate", "account_id": "acc-2", "denominator": "broadcast.sent",
            "numerator": "broadcast.replied", "group_by": "broadcast_id", "within": "30m", "version": 2}),
        json!({"metric": "by_value", "account_id": "acc-1", "denominator": "ad.converted",
            "numerator": "ad.converted", "group_by": "value", "within": "1d",
            "numerator_where": [{"property": "value", "gt": 50}]}),
        json!({"metric": "again", "account_id": "acc-1", "denominator": "broadcast.replied",
            "numerator": "broadcast.sent", "group_by": "broadcast_id", "within": "7d"}),
    ];
    all[which % all.len()].clone()
}

pub fn settings(which: usize) -> Value {
    match which % 8 {
        1 => json!({"max_customers_per_identifier": 2}),
        2 => json!({"max_customers_per_person": 2}),
        3 => json!({"block_list": ["+62 812 3456 7890", "77"]}),
        4 => {
            json!({"max_customers_per_identifier": 3, "max_customers_per_person": 3, "dedup_horizon": "1d"})
        }
        5 => json!({"time_zones": {"acc-1": "Asia/Jayapura", "acc-2": "America/New_York"}}),
        6 => json!({"retention_months": 1, "dedup_horizon": "2h"}),
        7 => {
            json!({"max_customers_per_identifier": 100, "max_customers_per_person": 100, "block_list": []})
        }
        _ => json!({}),
    }
}

pub fn sources(which: usize) -> Option<Value> {
    match which % 8 {
        1 => Some(json!({"cdp": "on", "broadcast": "on", "ads": {"accounts": ["acc-1"]}})),
        2 => Some(json!({"cdp": "on", "broadcast": "off", "ads": "on"})),
        3 => Some(json!({"broadcast": "on", "cdp": "on"})),
        _ => None,
    }
}

pub fn control(which: usize, what: usize) -> Value {
    match which % 6 {
        0 | 1 => json!({"segments": [segment(what % 8, what / 8, Some(2 + what % 3))]}),
        2 => {
            let account = ACCOUNTS[what % 2];
            json!({"remove_segments": [{"segment_id": format!("s-{}", 2 + what % 2), "account_id": account}]})
        }
        3 if what % 4 == 3 => {
            let given = metric(what / 4);
            let place = json!({"account_id": given["account_id"], "metric": given["metric"]});
            json!({ "remove_metrics": [place] })
        }
        3 => json!({"metrics": [metric(what)]}),
        4 => json!({"settings": settings(what)}),
        _ => {
            json!({"sources": sources(what % 4).unwrap_or_else(|| json!({"ads": "on", "broadcast": "on"}))})
        }
    }
}
