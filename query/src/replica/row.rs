//! What a row says of a customer or a person: rows of the feeds, and of the tables that are filled from them.

use std::borrow::Cow;

use cebe_schemas::time::{Millis, rfc3339, rfc3339_option};
use cebe_schemas::view::View;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::held::Profile;

/// The views that customers are told by.
pub(super) const VIEWS: [View; 4] = [View::Identities, View::Customers, View::Seen, View::Segments];

/// What is said of one customer or person.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) account_id: Box<str>,
    /// The customer of [`Said::Person`]; of the others, the canonical id of the person.
    pub(super) id: Box<str>,
    pub(super) said: Said,
}

/// What is said; none: it is so no more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Person(Option<Box<str>>),
    Profile(Option<Profile>),
    Seen(Option<Millis>, Option<Millis>),
    /// When it was entered, and by which version.
    Membership {
        segment_id: Box<str>,
        entered: Option<(Millis, u32)>,
    },
}

/// The columns that matter, of any of the views.
#[derive(Deserialize)]
struct Columns<'a> {
    #[serde(borrow)]
    account_id: Cow<'a, str>,
    #[serde(borrow)]
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
            let entered = is_left.then_some((columns.logical_time, columns.definition_version));
            (person, Said::Membership { segment_id, entered })
        }
        _ => return Ok(None),
    };
    Ok(Some(Row { account_id, id, said }))
}

/// An object; in a table, as text.
fn attributes(column: Option<&RawValue>) -> Result<Box<str>, serde_json::Error> {
    let json = column.map_or("{}", RawValue::get);
    if json.starts_with('"') { serde_json::from_str(json) } else { Ok(json.into()) }
}
