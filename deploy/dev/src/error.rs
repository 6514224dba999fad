//! What can go wrong with the development services.

use std::{io, path::PathBuf};

/// What went wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServicesError {
    /// Programs are absent or too old.
    #[error("missing {}: install with `{install}`", missing.join(", "))]
    Prerequisites {
        /// What lacks, in words.
        missing: Vec<String>,
        /// One line that installs it all.
        install: String,
    },
    /// A file or directory could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A state file does not parse.
    #[error("cannot parse {}: {source}; stop that server by hand and delete the file", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// The parser's answer.
        source: serde_json::Error,
    },
    /// A program did not start.
    #[error("cannot run `{program}`: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A program failed.
    #[error("`{command}` failed ({status}):\n{output}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// The end of what it wrote.
        output: String,
    },
    /// A downloaded file is not the one that is expected.
    #[error(
        "{file}: checksum {actual}, expected {expected}: run again; if it stays, the registry serves another file"
    )]
    Checksum {
        /// The file.
        file: String,
        /// Its checksum.
        actual: String,
        /// What is pinned.
        expected: String,
    },
    /// The set of downloaded jars is not the one that is expected.
    #[error("kafka: unexpected jars {}; bring kafka/jars.sha256 up to date with the pom", jars.join(", "))]
    UnexpectedJars {
        /// Their names.
        jars: Vec<String>,
    },
    /// There is no ClickHouse build for this machine.
    #[error(
        "clickhouse: no build for {platform}; set CEBE_DEV_CLICKHOUSE_INTEGRITY to what `npm view {package} dist.integrity` prints, if you trust it"
    )]
    NoPin {
        /// Operating system and processor.
        platform: String,
        /// The package that would hold it.
        package: String,
    },
    /// No cache directory can be told.
    #[error("no cache directory: set XDG_CACHE_HOME or HOME")]
    NoCache,
    /// No default directory can be told.
    #[error("no checkout of cebe here or above: change into one, or pass --dir DIR")]
    NoCheckout,
    /// No free ports were found.
    #[error("{service}: no free ports in {from}–{to} on 127.0.0.1")]
    Ports {
        /// The server.
        service: &'static str,
        /// The first that was considered.
        from: u16,
        /// The last that was considered.
        to: u16,
    },
    /// A server ended while it started.
    #[error("{service} ended during its start; {} ends with:\n{tail}", log.display())]
    Ended {
        /// The server.
        service: &'static str,
        /// Its log.
        log: PathBuf,
        /// The last lines.
        tail: String,
    },
    /// A server started, but does not answer.
    #[error("{service} does not answer after {seconds} s: see {}", log.display())]
    NotReady {
        /// The server.
        service: &'static str,
        /// How long it was waited for.
        seconds: u64,
        /// Its log.
        log: PathBuf,
    },
    /// A process could not be stopped.
    #[error("{service}: cannot stop process {pid}: stop it by hand")]
    NotStopped {
        /// The server.
        service: &'static str,
        /// The process.
        pid: u32,
    },
    /// Kafka refused or did not answer.
    #[error("kafka at {bootstrap}: cannot {action}: {source}")]
    Kafka {
        /// The broker.
        bootstrap: String,
        /// What was tried.
        action: String,
        /// The client's answer.
        source: Box<rdkafka::error::KafkaError>,
    },
    /// A topic is not as it should be.
    #[error(
        "topic {topic} has {actual} partitions, not {expected}: `cebe-dev down --purge`, then `up`"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// How many it has.
        actual: usize,
        /// How many it should have.
        expected: usize,
    },
    /// ClickHouse refused a statement or did not answer.
    #[error("clickhouse at {address}: {message}")]
    ClickHouse {
        /// The server.
        address: String,
        /// Its answer.
        message: String,
    },
    /// A thread that started a server panicked.
    #[error("the start of {0} was interrupted")]
    Interrupted(&'static str),
}

/// The result of everything here.
pub type Result<T> = std::result::Result<T, ServicesError>;

/// Names the file and the deed in an I/O error.
pub(crate) trait AtPath<T> {
    /// Turns the error into [`ServicesError::File`].
    fn at(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|source| ServicesError::File { action, path: path.into(), source })
    }
}
