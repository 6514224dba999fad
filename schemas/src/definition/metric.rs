//! Rates as data.

use std::sync::Arc;

use super::About;
use super::selector::Selector;
use crate::time::Millis;

/// A rate: of the customers with a denominator event, a touch, those with a numerator event credited
/// to it in `touch ≤ numerator ≤ touch + within_ms`, both ends in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The tenant; none: every account.
    pub account_id: Option<Arc<str>>,
    /// Unique within the account.
    pub metric: Arc<str>,
    /// Given by the author, 1 if absent.
    pub version: u32,
    /// Opens a window.
    pub denominator: Selector,
    /// Is credited to a window: to one of the group that it names, or else to the last touch.
    pub numerator: Selector,
    /// Width of the window.
    pub within_ms: Millis,
    /// What the rate is by.
    pub by: GroupBy,
    /// What readers of the definition are told.
    pub about: About,
}

/// What a rate is by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// The whole account: one rate.
    Account,
    /// A property of both events.
    Property(Arc<str>),
    /// The day of the touch, in the time zone of the account; credit is given as by the property.
    Day(Arc<str>),
}

impl Metric {
    /// The metrics that hold for every account, sorted by name. Their events carry the group in
    /// every fact.
    pub fn shipped() -> Vec<Arc<Metric>> {
        let replies = |id, title, denominator| {
            shipped(id, title, [denominator, "broadcast.replied"], "broadcast_id", 72)
        };
        let (ads, sent) = (["ad.clicked", "ad.converted"], ["broadcast.sent", "broadcast.replied"]);
        vec![
            shipped(
                "ads_conversion",
                "Customers who converted within 7 days of a click, of those who clicked",
                ads,
                "campaign_id",
                7 * 24,
            ),
            daily(
                "ads_conversion_daily",
                "Customers who converted within 7 days of a click, of those who clicked on the day",
                ads,
                "campaign_id",
                7 * 24,
            ),
            replies(
                "reply_rate",
                "Customers who replied within 72 hours, of those who were sent the broadcast",
                "broadcast.sent",
            ),
            daily(
                "reply_rate_daily",
                "Customers who replied within 72 hours, of those who were sent a broadcast on the day",
                sent,
                "broadcast_id",
                72,
            ),
            replies(
                "reply_rate_delivered",
                "Customers who replied within 72 hours of delivery, of those it was delivered to",
                "broadcast.delivered",
            ),
            replies(
                "reply_rate_read",
                "Customers who replied within 72 hours of reading, of those who read the broadcast",
                "broadcast.read",
            ),
        ]
    }
}

fn shipped(
    id: &str,
    title: &str,
    [denominator, numerator]: [&str; 2],
    group_by: &str,
    within_hours: Millis,
) -> Arc<Metric> {
    Arc::new(metric(id, title, [denominator, numerator], group_by, within_hours))
}

fn daily(
    id: &str,
    title: &str,
    events: [&str; 2],
    group_by: &str,
    within_hours: Millis,
) -> Arc<Metric> {
    let by = GroupBy::Day(group_by.into());
    Arc::new(Metric { by, ..metric(id, title, events, group_by, within_hours) })
}

fn metric(
    id: &str,
    title: &str,
    [denominator, numerator]: [&str; 2],
    group_by: &str,
    within_hours: Millis,
) -> Metric {
    let definition = serde_json::json!({
        "metric": id, "title": title, "denominator": denominator, "numerator": numerator,
        "group_by": group_by, "within": format!("{within_hours}h"),
    });
    Metric {
        account_id: None,
        metric: id.into(),
        version: 1,
        denominator: Selector::named(denominator),
        numerator: Selector::named(numerator),
        within_ms: within_hours * 3_600_000,
        by: GroupBy::Property(group_by.into()),
        about: About {
            title: Some(title.into()),
            definition: definition.to_string().into(),
            changed_by: "cebe".into(),
        },
    }
}
