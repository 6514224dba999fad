//! What can be wrong with a mapping file.

/// A mapping that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// Not TOML, or not these keys.
    #[error("mapping: line {line}: {message}")]
    Toml {
        /// From 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A field without a source, or with two.
    #[error("mapping: {field}: give either `const` or `column`")]
    Source {
        /// Its key.
        field: String,
    },
    /// A key that changes columns, beside a constant or a kind that it does not go with.
    #[error("mapping: {field}: `{key}` does not go with {beside}: leave one out")]
    Beside {
        /// The field's key.
        field: String,
        /// What has no meaning.
        key: &'static str,
        /// Beside what.
        beside: &'static str,
    },
    /// A constant that JSON cannot hold.
    #[error("mapping: {field}: `const` holds a number that JSON does not have: write it as text")]
    Const {
        /// The field's key.
        field: String,
    },
    /// A time that is none.
    #[error(
        "mapping: occurred_at: `{text}` is no RFC 3339 date-time, such as 2026-01-31T08:00:00Z"
    )]
    Time {
        /// As given.
        text: String,
    },
    /// A format that no time can be read with.
    #[error(
        "mapping: occurred_at: format `{format}` cannot be read: {message}; \
         known are rfc3339, epoch_s, epoch_ms and strptime formats such as %Y-%m-%d %H:%M:%S"
    )]
    Format {
        /// As given.
        format: String,
        /// What is wrong with it.
        message: String,
    },
    /// A zone that is none.
    #[error("mapping: occurred_at: no time zone `{zone}`: give an IANA name, such as Asia/Jakarta")]
    Zone {
        /// As given.
        zone: String,
    },
}
