//! Segments and metrics, as given.

use std::sync::Arc;

use super::ControlError;
use super::clause::{clause, filters};
use super::field::{Field, Object};
use crate::definition::{About, GroupBy, Grouping, Metric, Segment, Selector};

const METRIC: [&str; 10] = [
    "metric",
    "account_id",
    "version",
    "title",
    "denominator",
    "numerator",
    "group_by",
    "within",
    "where",
    "numerator_where",
];

pub(super) fn segment(field: &Field, changed_by: &Arc<str>) -> Result<Segment, ControlError> {
    let object = field.object(&["segment_id", "account_id", "version", "title", "when"])?;
    Ok(Segment {
        account_id: object.required("account_id")?.id()?.into(),
        segment_id: object.required("segment_id")?.id()?.into(),
        version: object.optional("version").map_or(Ok(1), |version| version.count())?,
        when: clause(&object.required("when")?)?,
        about: about(field, &object, changed_by)?,
    })
}

pub(super) fn segment_key<'v>(field: &Field<'v>) -> Result<(&'v str, &'v str), ControlError> {
    let object = field.object(&["account_id", "segment_id"])?;
    Ok((object.required("account_id")?.id()?, object.required("segment_id")?.id()?))
}

pub(super) fn metric_key<'v>(field: &Field<'v>) -> Result<(&'v str, &'v str), ControlError> {
    let object = field.object(&["account_id", "metric"])?;
    Ok((object.required("account_id")?.id()?, object.required("metric")?.id()?))
}

pub(super) fn metric(field: &Field, changed_by: &Arc<str>) -> Result<Metric, ControlError> {
    let object = field.object(&METRIC)?;
    let group_by = object.optional("group_by").map(|by| by.property()).transpose()?;
    let selector = |event: &str, filter: &str| -> Result<Selector, ControlError> {
        let grouping = group_by.clone().map(Grouping::Key);
        Ok(Selector::new(object.required(event)?.id()?.into(), filters(&object, filter)?, grouping))
    };
    Ok(Metric {
        account_id: Some(object.required("account_id")?.id()?.into()),
        metric: object.required("metric")?.id()?.into(),
        version: object.optional("version").map_or(Ok(1), |version| version.count())?,
        denominator: selector("denominator", "where")?,
        numerator: selector("numerator", "numerator_where")?,
        within_ms: object.required("within")?.duration()?,
        by: group_by.map_or(GroupBy::Account, GroupBy::Property),
        about: about(field, &object, changed_by)?,
    })
}

fn about(field: &Field, object: &Object, changed_by: &Arc<str>) -> Result<About, ControlError> {
    Ok(About {
        title: object.optional("title").map(|title| title.text(256)).transpose()?.map(Arc::from),
        definition: field.value.to_string().into(),
        changed_by: changed_by.clone(),
    })
}
