//! What a row says of a customer, a person or a rate: rows of the feeds, and of the tables that are filled from them.

use std::borrow::Cow;

use cebe_schemas::time::{Millis, rfc3339, rfc3339_option};
use cebe_schemas::view::View;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::held::Profile;
use super::rates::Counted;

/// The views that are held.
pub(super) const VIEWS: [View; 5] =
    [View::Identities, View::Customers, View::Seen, View::Segments, View::Metrics];

/// What is said of one customer, person or metric.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    pub(super) account_id: Box<str>,
    /// The customer of [`Said::Person`], the metric of [`Said::Rate`]; of the others, the canonical id of the person.
    pub(super) id: Box<str>,
    /// Its logical time.
    pub(super) at_ms: Millis,
    pub(super) said: Said,
}

/// What is said; none: it is so no more.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    Person(Option<Box<str>>),
    Profile(Option<Profile>),
    Seen(Option<Millis>, Option<Millis>),
    /// By which version it was entered.
    Membership {
        segment_id: Box<str>,
        version: Option<u32>,
    },
    Rate {
        group_key: Box<str>,
        counted: Option<Counted>,
    },
}

/// The columns that matter, of any of the views.
#[derive(Deserialize)]
struct Columns<'a> {
    #[serde(borrow)]
    account_id: Cow<'a, str>,
    #[serde(borrow, default)]
    customer_id: Cow<'a, str>,
    #[serde(borrow)]
    qontak_customer_id: Option<Cow<'a, str>>,
    #[serde(default)]
    member_ids: Box<[Box<str>]>,
    #[serde(borrow)]
    attributes: Option<&'a RawValue>,
    #[serde(default)]
    team_ids: Box<[Box<str>]>,
    #[serde(default, with = "rfc3339_option")]
    first_seen: Option<Millis>,
    #[serde(default, with = "rfc3339_option")]
    last_seen: Option<Millis>,
    #[serde(borrow)]
    segment_id: Option<Cow<'a, str>>,
    #[serde(default)]
    definition_version: u32,
    #[serde(borrow)]
    metric: Option<Cow<'a, str>>,
    #[serde(borrow)]
    group_key: Option<Cow<'a, str>>,
    #[serde(default)]
    new_numerator: u64,
    #[serde(default)]
    new_denominator: u64,
    new_rate: Option<f64>,
    #[serde(with = "rfc3339")]
    logical_time: Millis,
    deleted: u8,
}

/// Reads a row; none: it is of another view.
pub(super) fn read(view: View, json: &[u8]) -> Result<Option<Row>, serde_json::Error> {
    let columns: Columns<'_> = serde_json::from_slice(json)?;
    let is_left = columns.deleted == 0;
    let account_id = columns.account_id.into();
    let person: Box<str> = columns.customer_id.into();
    let (id, said) = match view {
        View::Identities => {
            let id = columns.qontak_customer_id.unwrap_or_default().into();
            (id, Said::Person(is_left.then_some(person)))
        }
        View::Customers => {
            let profile = Profile {
                member_ids: columns.member_ids,
                attributes: attributes(columns.attributes)?,
                team_ids: columns.team_ids,
            };
            (person, Said::Profile(is_left.then_some(profile)))
        }
        View::Seen => (person, Said::Seen(columns.first_seen, columns.last_seen)),
        View::Segments => {
            let segment_id = columns.segment_id.unwrap_or_default().into();
            let version = is_left.then_some(columns.definition_version);
            (person, Said::Membership { segment_id, version })
        }
        View::Metrics => {
            let counted = Counted {
                numerator: columns.new_numerator,
                denominator: columns.new_denominator,
                rate: columns.new_rate,
                changed_ms: columns.logical_time,
            };
            let group_key = columns.group_key.unwrap_or_default().into();
            let said = Said::Rate { group_key, counted: is_left.then_some(counted) };
            (columns.metric.unwrap_or_default().into(), said)
        }
        _ => return Ok(None),
    };
    Ok(Some(Row { account_id, id, at_ms: columns.logical_time, said }))
}

/// An object; in a table, as text.
fn attributes(column: Option<&RawValue>) -> Result<Box<str>, serde_json::Error> {
    let json = column.map_or("{}", RawValue::get);
    if json.starts_with('"') { serde_json::from_str(json) } else { Ok(json.into()) }
}
