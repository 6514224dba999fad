//! The event types, compiled from their schema files: one file `<source>/<event>/<version>.json`
//! for each, JSON Schema 2020-12 of the event's `properties`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jsonschema::paths::Location;
use jsonschema::{Draft, Keyword, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

use crate::id::EventType;
use crate::json::Member;
use crate::shape::{self, Compiled, MAX_BYTES, PII, Shape};

/// The schema files that this build was shipped with.
static SHIPPED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// The folder of the envelope's own schema, which is for readers and tools.
const ENVELOPE: &str = "envelope";

/// Every event type and version.
#[derive(Debug, Default)]
pub struct Catalogue {
    sources: BTreeMap<String, BTreeMap<String, Versions>>,
    /// Every property that some event type marks as personal.
    pii_names: BTreeSet<String>,
}

/// The versions of one event type.
type Versions = BTreeMap<u32, EventSchema>;

/// One version of one event type.
#[derive(Debug)]
pub struct EventSchema {
    /// The publisher.
    pub source_module: Arc<str>,
    /// The event's name.
    pub event_name: Arc<str>,
    /// The version.
    pub version: u32,
    /// The type as the dataflow knows it.
    pub event: EventType,
    /// The schema file.
    pub text: String,
    pub(crate) shape: Shape,
    /// Whether `shape` is all that the schema demands.
    complete: bool,
    validator: Validator,
}

/// A schema file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// It is not where an event type has its file.
    #[error(
        "{path}: a schema file is <source>/<event>/<version>.json, its version from 1: move it"
    )]
    Path {
        /// The file.
        path: String,
    },
    /// It is not JSON.
    #[error("{path}: not JSON: {error}")]
    Json {
        /// The file.
        path: String,
        /// Where, and why.
        error: serde_json::Error,
    },
    /// It is not a JSON Schema 2020-12.
    #[error("{path}: not a JSON Schema: {message}")]
    Schema {
        /// The file.
        path: String,
        /// Where, and why.
        message: String,
    },
    /// A mark would not be seen.
    #[error("{path}: {PII} is read only below `properties` and `items`: move the mark there")]
    HiddenMark {
        /// The file.
        path: String,
    },
}

impl Catalogue {
    /// Compiles schema files: (path that ends in `<source>/<event>/<version>.json`, text). Of two
    /// files for one version the later wins, so files of a directory can follow
    /// [`Catalogue::shipped_files`].
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn compile(
        files: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
    ) -> Result<Catalogue, CatalogueError> {
        let mut catalogue = Catalogue::default();
        for (path, text) in files {
            let path = path.as_ref();
            let (source, event, version) =
                parts(path).ok_or_else(|| CatalogueError::Path { path: path.to_owned() })?;
            if event == ENVELOPE {
                continue;
            }
            let schema = EventSchema::compile(path, (source, event, version), text.as_ref())?;
            catalogue.pii_names.extend(schema.shape.pii_names().map(str::to_owned));
            let events = catalogue.sources.entry(source.to_owned()).or_default();
            events.entry(event.to_owned()).or_default().insert(version, schema);
        }
        Ok(catalogue)
    }

    /// The event types that this build was shipped with.
    ///
    /// # Errors
    /// As [`Catalogue::compile`]; a test rules it out for the files in the tree.
    pub fn shipped() -> Result<Catalogue, CatalogueError> {
        Catalogue::compile(Catalogue::shipped_files())
    }

    /// The files that this build was shipped with, the envelope's included: (path, text).
    pub fn shipped_files() -> impl Iterator<Item = (&'static str, &'static str)> {
        SHIPPED.iter().copied()
    }

    /// Every event type and version, sorted: (source, event, version).
    pub fn list(&self) -> impl Iterator<Item = (&str, &str, u32)> {
        let versions = self.sources.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values);
        versions.map(|s| (&*s.source_module, &*s.event_name, s.version))
    }

    /// The schema file of an event type; without a version, of its newest.
    pub fn text(&self, source: &str, event_name: &str, version: Option<u32>) -> Option<&str> {
        let versions = self.versions(source, event_name)?;
        let schema = match version {
            Some(version) => versions.get(&version),
            None => versions.values().next_back(),
        };
        schema.map(|schema| schema.text.as_str())
    }

    /// Every version of one event type; none if there is no such type.
    pub fn versions(&self, source: &str, event_name: &str) -> Option<&BTreeMap<u32, EventSchema>> {
        self.sources.get(source)?.get(event_name)
    }

    /// The property that is the group of events called `event_name`, if it has any.
    pub fn group_property(&self, event_name: &str) -> Option<&str> {
        let types = self.sources.values().filter_map(|events| events.get(event_name));
        types.flat_map(BTreeMap::values).find_map(|schema| schema.shape.group_property())
    }

    /// Whether some event type marks the property `name` as personal.
    pub(crate) fn is_pii_name(&self, name: &str) -> bool {
        self.pii_names.contains(name)
    }
}

/// Source, event and version of a path.
fn parts(path: &str) -> Option<(&str, &str, u32)> {
    let mut parts = path.rsplit(['/', '\\']);
    let version = parts.next()?.strip_suffix(".json")?;
    let (event, source) = (parts.next()?, parts.next().unwrap_or_default());
    let version = version.parse().ok().filter(|v: &u32| *v > 0 && v.to_string() == version)?;
    let complete = event == ENVELOPE || !(source.is_empty() || event.is_empty());
    complete.then_some((source, event, version))
}

impl EventSchema {
    fn compile(
        path: &str,
        (source, event, version): (&str, &str, u32),
        text: &str,
    ) -> Result<EventSchema, CatalogueError> {
        let document: Value = serde_json::from_str(text)
            .map_err(|error| CatalogueError::Json { path: path.to_owned(), error })?;
        let validator = validator(&document)
            .map_err(|message| CatalogueError::Schema { path: path.to_owned(), message })?;
        let Compiled { shape, complete, pii_marks } = shape::compile(&document);
        if pii_marks != marks(&document) {
            return Err(CatalogueError::HiddenMark { path: path.to_owned() });
        }
        Ok(EventSchema {
            source_module: source.into(),
            event_name: event.into(),
            version,
            event: EventType::named(event),
            text: text.to_owned(),
            shape,
            complete,
            validator,
        })
    }

    /// What is wrong with an event's properties: the JSON pointer within them, and the words.
    pub(crate) fn violation(&self, members: &[Member]) -> Option<(String, String)> {
        if self.complete {
            let pointer = self.shape.violation(members)?;
            let message = self
                .errors(members)
                .into_iter()
                .find_map(|(at, message)| (at == pointer).then_some(message))
                .unwrap_or_else(|| "does not match the schema".to_owned());
            return Some((pointer, message));
        }
        self.errors(members).into_iter().next()
    }

    /// Every violation that the full validator sees: (pointer, message without any value).
    fn errors(&self, members: &[Member]) -> Vec<(String, String)> {
        let present = members.iter().filter(|(_, value)| !value.is_absent());
        let object: Map<String, Value> =
            present.map(|(key, value)| (key.as_ref().to_owned(), value.to_value())).collect();
        let value = Value::Object(object);
        self.validator.iter_errors(&value).map(|error| describe(&error)).collect()
    }
}

fn describe(error: &ValidationError) -> (String, String) {
    let mut pointer = error.instance_path().as_str().to_owned();
    if let jsonschema::error::ValidationErrorKind::Required { property } = error.kind() {
        // A missing field is named itself, not the object that lacks it.
        pointer.push('/');
        pointer.push_str(&shape::escape(property.as_str().unwrap_or_default()));
        return (pointer, "is required".to_owned());
    }
    (pointer, error.masked().to_string())
}

/// A full validator; patterns run in time linear in the value.
fn validator(document: &Value) -> Result<Validator, String> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex())
        .with_keyword(MAX_BYTES, |_, value, _: Location| {
            let most = value
                .as_u64()
                .ok_or_else(|| ValidationError::custom("must be a count of bytes"))?;
            Ok(Box::new(MaxBytes(most)))
        })
        .build(document)
        .map_err(|error| format!("{}: {error}", error.instance_path()))
}

/// The keyword [`MAX_BYTES`] for the full validator.
struct MaxBytes(u64);

impl<'i> Keyword<'i> for MaxBytes {
    fn validate(&self, value: &'i Value) -> Result<(), ValidationError<'i>> {
        match self.is_valid(value) {
            true => Ok(()),
            false => Err(ValidationError::custom(format!("value has more than {} bytes", self.0))),
        }
    }

    fn is_valid(&self, value: &'i Value) -> bool {
        value.as_str().is_none_or(|text| text.len() as u64 <= self.0)
    }
}

/// How often a schema says that something is personal, wherever it does.
fn marks(schema: &Value) -> usize {
    match schema {
        Value::Object(keywords) => keywords
            .iter()
            .map(|(keyword, value)| match keyword.as_str() {
                PII => usize::from(*value == Value::Bool(true)),
                "examples" | "default" | "enum" | "const" => 0,
                _ => marks(value),
            })
            .sum(),
        Value::Array(schemas) => schemas.iter().map(marks).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
