//! The fields of a control record, each with its JSON pointer.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::ControlError;
use crate::time::{Millis, parse_duration};

/// Names and ids in definitions, as in events.
const MAX_ID_BYTES: usize = 64;

/// A value and where it stands.
pub(super) struct Field<'v> {
    pub(super) pointer: String,
    pub(super) value: &'v Value,
}

/// An object all of whose fields are known.
pub(super) struct Object<'v> {
    pub(super) pointer: String,
    pub(super) fields: &'v Map<String, Value>,
}

impl<'v> Object<'v> {
    pub(super) fn optional(&self, name: &str) -> Option<Field<'v>> {
        let value = self.fields.get(name).filter(|value| !value.is_null())?;
        Some(Field { pointer: child(&self.pointer, name), value })
    }

    pub(super) fn required(&self, name: &str) -> Result<Field<'v>, ControlError> {
        self.optional(name).ok_or_else(|| self.missing(name))
    }

    pub(super) fn missing(&self, name: &str) -> ControlError {
        let pointer = child(&self.pointer, name);
        ControlError::Invalid { pointer, message: "is required".to_owned() }
    }

    pub(super) fn wrong(&self, name: &str, message: impl Into<String>) -> ControlError {
        ControlError::Invalid { pointer: child(&self.pointer, name), message: message.into() }
    }

    /// The first of these fields that is there.
    pub(super) fn first(&self, names: &[&str]) -> Option<Field<'v>> {
        names.iter().find_map(|name| self.optional(name))
    }
}

impl<'v> Field<'v> {
    pub(super) fn wrong(&self, message: impl Into<String>) -> ControlError {
        ControlError::Invalid { pointer: self.pointer.clone(), message: message.into() }
    }

    pub(super) fn unknown(&self) -> ControlError {
        self.wrong("is not a field here: check its spelling")
    }

    pub(super) fn fields(
        &self,
    ) -> Result<impl Iterator<Item = (&'v str, Field<'v>)> + use<'v>, ControlError> {
        let Value::Object(fields) = self.value else {
            return Err(self.wrong("must be an object"));
        };
        let pointer = self.pointer.clone();
        Ok(fields.iter().map(move |(name, value)| {
            (name.as_str(), Field { pointer: child(&pointer, name), value })
        }))
    }

    pub(super) fn object(&self, known: &[&str]) -> Result<Object<'v>, ControlError> {
        for (name, field) in self.fields()? {
            if !known.contains(&name) {
                return Err(field.unknown());
            }
        }
        match self.value {
            Value::Object(fields) => Ok(Object { pointer: self.pointer.clone(), fields }),
            _ => Err(self.wrong("must be an object")),
        }
    }

    pub(super) fn items(&self) -> Result<impl Iterator<Item = Field<'v>> + use<'v>, ControlError> {
        let Value::Array(items) = self.value else {
            return Err(self.wrong("must be an array"));
        };
        let pointer = self.pointer.clone();
        Ok(items
            .iter()
            .enumerate()
            .map(move |(at, value)| Field { pointer: format!("{pointer}/{at}"), value }))
    }

    pub(super) fn text(&self, max_bytes: usize) -> Result<&'v str, ControlError> {
        match self.value {
            Value::String(text) if !text.is_empty() && text.len() <= max_bytes => Ok(text),
            _ => Err(self.wrong(format!("must be a string of 1 to {max_bytes} bytes"))),
        }
    }

    pub(super) fn id(&self) -> Result<&'v str, ControlError> {
        self.text(MAX_ID_BYTES)
    }

    /// The name of an attribute or of a property.
    pub(super) fn property(&self) -> Result<Arc<str>, ControlError> {
        self.text(256).map(Arc::from)
    }

    pub(super) fn ids(&self) -> Result<BTreeSet<String>, ControlError> {
        self.items()?.map(|item| item.id().map(str::to_owned)).collect()
    }

    pub(super) fn count(&self) -> Result<u32, ControlError> {
        self.count_from(1)
    }

    pub(super) fn count_from(&self, least: u32) -> Result<u32, ControlError> {
        let count = self.value.as_u64().and_then(|count| u32::try_from(count).ok());
        count
            .filter(|count| (least..=1_000_000_000).contains(count))
            .ok_or_else(|| self.wrong(format!("must be an integer from {least} to 1000000000")))
    }

    pub(super) fn duration(&self) -> Result<Millis, ControlError> {
        self.value.as_str().and_then(parse_duration).ok_or_else(|| {
            self.wrong(r#"must be a duration of 1ms to 36500d, such as "72h" (ms, s, m, h, d)"#)
        })
    }
}

/// RFC 6901.
pub(super) fn child(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}
