//! Which rows a subscriber wants.

use std::borrow::Cow;
use std::collections::BTreeSet;

use cebe_schemas::view::View;
use serde::Deserialize;

/// The views that can be followed, each with a snapshot.
pub(crate) const VIEWS: [View; 4] =
    [View::Segments, View::Metrics, View::Identities, View::Customers];

/// Of one account, and of what it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) account_id: String,
    pub(crate) views: Vec<View>,
    pub(crate) segment_id: Option<String>,
    pub(crate) metric: Option<String>,
    /// Empty: all.
    pub(crate) causes: BTreeSet<String>,
}

/// What decides whether a row is wanted, and its number.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    account_id: Cow<'a, str>,
    #[serde(borrow, default)]
    segment_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    metric: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    cause: Option<Cow<'a, str>>,
    seq: u32,
}

impl Filter {
    /// The number of a row in its tick, if it is wanted.
    pub(crate) fn wanted(&self, view: View, json: &[u8]) -> Option<u32> {
        let head: Head = serde_json::from_slice(json).ok()?;
        let is = |wanted: &Option<String>, found: &Option<Cow<str>>| {
            wanted.as_deref().is_none_or(|wanted| found.as_deref() == Some(wanted))
        };
        let names = match view {
            View::Segments => is(&self.segment_id, &head.segment_id),
            View::Metrics => is(&self.metric, &head.metric),
            _ => true,
        };
        let causes = self.causes.is_empty()
            || head.cause.as_deref().is_some_and(|cause| self.causes.contains(cause));
        (head.account_id == self.account_id && names && causes).then_some(head.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_wanted_by_account_name_and_cause() {
        let row = |account: &str, segment: &str, cause: &str| {
            format!(
                r#"{{"account_id":"{account}","segment_id":"{segment}","cause":"{cause}","seq":7}}"#
            )
        };
        let filter = |segment: Option<&str>, causes: &[&str]| Filter {
            account_id: "a".into(),
            segment_id: segment.map(str::to_owned),
            causes: causes.iter().map(|cause| (*cause).to_owned()).collect(),
            ..Filter::default()
        };
        let wanted = |filter: Filter, row: String| filter.wanted(View::Segments, row.as_bytes());
        assert_eq!(wanted(filter(None, &[]), row("a", "s", "event")), Some(7));
        assert_eq!(wanted(filter(None, &[]), row("b", "s", "event")), None);
        assert_eq!(wanted(filter(Some("s"), &[]), row("a", "s", "event")), Some(7));
        assert_eq!(wanted(filter(Some("t"), &[]), row("a", "s", "event")), None);
        assert_eq!(wanted(filter(None, &["event", "time"]), row("a", "s", "merge")), None);
        let metric = br#"{"account_id":"a","metric":"reply_rate","cause":"event","seq":1}"#;
        assert_eq!(
            filter(Some("s"), &[]).wanted(View::Metrics, metric),
            Some(1),
            "of another view"
        );
    }
}
