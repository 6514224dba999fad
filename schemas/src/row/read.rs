//! Published rows of state, read again: what they say now, not what was before.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    CustomerRow, ErasureRow, IdentityRow, MetricRow, QuarantineRow, Row, SeenRow, SegmentRow,
};
use crate::change::Profile;
use crate::fact::AttributeValue;
use crate::time::{Millis, parse_rfc3339};
use crate::view::View;

/// A row that this version cannot read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RowError {
    /// It is no JSON object.
    #[error("a row of {} is no json object", view.name())]
    NoObject {
        /// Its view.
        view: View,
    },
    /// A column is not what it has to be.
    #[error("a row of {} has no usable {column}", view.name())]
    Column {
        /// Its view.
        view: View,
        /// The column.
        column: &'static str,
    },
    /// The view holds no state, or none that the dataflow computes.
    #[error("the view {} is no state that is computed", view.name())]
    NoState {
        /// The view.
        view: View,
    },
}

impl Row {
    /// Reads what [`write`](Row::write) has written of a row of `view`, one of [`View::COMPUTED`].
    ///
    /// # Errors
    /// [`RowError`].
    pub fn read(view: View, json: &[u8]) -> Result<Row, RowError> {
        let columns = serde_json::from_slice(json).map_err(|_| RowError::NoObject { view })?;
        let row = Columns { view, columns };
        match view {
            View::Identities => row.identity().map(Row::Identity),
            View::Customers => row.customer().map(Row::Customer),
            View::Seen => row.seen().map(Row::Seen),
            View::Segments => row.segment().map(Row::Segment),
            View::Metrics => row.metric().map(Row::Metric),
            View::Quarantine => row.quarantine().map(Row::Quarantine),
            View::Erasures => row.erasure().map(Row::Erasure),
            View::Events
            | View::Definitions
            | View::Rejected
            | View::Ledger
            | View::Reconciliation
            | View::Backfills => Err(RowError::NoState { view }),
        }
    }
}

/// (name, value), sorted by name.
type Attributes = Vec<(Arc<str>, Arc<AttributeValue>)>;

struct Columns {
    view: View,
    columns: Map<String, Value>,
}

impl Columns {
    fn get<T>(
        &self,
        column: &'static str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, RowError> {
        let value = self.columns.get(column).and_then(read);
        value.ok_or(RowError::Column { view: self.view, column })
    }

    fn of<'c, T: Deserialize<'c>>(&'c self, column: &'static str) -> Result<T, RowError> {
        let value = self.columns.get(column).and_then(|value| T::deserialize(value).ok());
        value.ok_or(RowError::Column { view: self.view, column })
    }

    fn text(&self, column: &'static str) -> Result<Arc<str>, RowError> {
        self.get(column, |value| value.as_str().map(Arc::from))
    }

    fn texts(&self, column: &'static str) -> Result<Vec<Arc<str>>, RowError> {
        let text = |value: &Value| value.as_str().map(Arc::from);
        self.get(column, |value| value.as_array()?.iter().map(text).collect())
    }

    fn time(&self, column: &'static str) -> Result<Millis, RowError> {
        self.get(column, |value| parse_rfc3339(value.as_str()?))
    }

    fn time_option(&self, column: &'static str) -> Result<Option<Millis>, RowError> {
        match self.columns.get(column) {
            Some(Value::Null) => Ok(None),
            _ => self.time(column).map(Some),
        }
    }

    fn attributes(&self, column: &'static str) -> Result<Attributes, RowError> {
        let mut attributes: Attributes = self.get(column, |value| {
            let members = value.as_object()?.iter();
            let attribute = |(name, value): (&String, &Value)| {
                (name.as_str().into(), Arc::new(AttributeValue::new(value.clone())))
            };
            Some(members.map(attribute).collect())
        })?;
        attributes.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(attributes)
    }

    fn identity(&self) -> Result<IdentityRow, RowError> {
        Ok(IdentityRow {
            account_id: self.text("account_id")?,
            qontak_customer_id: self.text("qontak_customer_id")?,
            old_customer_id: Arc::default(),
            customer_id: self.text("customer_id")?,
            cause: self.of("cause")?,
            logical_time: self.time("logical_time")?,
            deleted: self.of("deleted")?,
        })
    }

    fn customer(&self) -> Result<CustomerRow, RowError> {
        let profile = Profile {
            member_ids: self.texts("member_ids")?,
            attributes: self.attributes("attributes")?,
            team_ids: self.texts("team_ids")?,
        };
        Ok(CustomerRow {
            account_id: self.text("account_id")?,
            customer_id: self.text("customer_id")?,
            old: None,
            new: (self.of::<u8>("deleted")? == 0).then(|| Arc::new(profile)),
            cause: self.of("cause")?,
            logical_time: self.time("logical_time")?,
        })
    }

    fn seen(&self) -> Result<SeenRow, RowError> {
        Ok(SeenRow {
            account_id: self.text("account_id")?,
            customer_id: self.text("customer_id")?,
            first_seen: self.time_option("first_seen")?,
            last_seen: self.time_option("last_seen")?,
            old_first_seen: None,
            old_last_seen: None,
            cause: self.of("cause")?,
            logical_time: self.time("logical_time")?,
            deleted: self.of("deleted")?,
        })
    }

    fn segment(&self) -> Result<SegmentRow, RowError> {
        let deleted = self.of("deleted")?;
        Ok(SegmentRow {
            account_id: self.text("account_id")?,
            segment_id: self.text("segment_id")?,
            customer_id: self.text("customer_id")?,
            change: if deleted == 0 { "entered" } else { "exited" },
            cause: self.of("cause")?,
            definition_version: self.of("definition_version")?,
            logical_time: self.time("logical_time")?,
            deleted,
        })
    }

    fn metric(&self) -> Result<MetricRow, RowError> {
        Ok(MetricRow {
            account_id: self.text("account_id")?,
            metric: self.text("metric")?,
            group_key: self.text("group_key")?,
            old_numerator: 0,
            old_denominator: 0,
            old_rate: None,
            new_numerator: self.of("new_numerator")?,
            new_denominator: self.of("new_denominator")?,
            new_rate: self.of("new_rate")?,
            cause: self.of("cause")?,
            logical_time: self.time("logical_time")?,
            deleted: self.of("deleted")?,
        })
    }

    fn quarantine(&self) -> Result<QuarantineRow, RowError> {
        Ok(QuarantineRow {
            account_id: self.text("account_id")?,
            reason: self.of("reason")?,
            identifier_token: self.of("identifier_token")?,
            cluster: self.of("cluster")?,
            qontak_customer_id: self.text("qontak_customer_id")?,
            cause: self.of("cause")?,
            logical_time: self.time("logical_time")?,
            deleted: self.of("deleted")?,
        })
    }

    fn erasure(&self) -> Result<ErasureRow, RowError> {
        Ok(ErasureRow {
            account_id: self.text("account_id")?,
            qontak_customer_id: self.text("qontak_customer_id")?,
            identifier_token: self.of("identifier_token")?,
            erased_until: self.time("erased_until")?,
            logical_time: self.time("logical_time")?,
            deleted: self.of("deleted")?,
        })
    }
}
