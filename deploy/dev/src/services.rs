//! Kafka and ClickHouse as a pair.

use std::{fs, io::ErrorKind, ops::Deref, path::PathBuf, thread};

use serde::Serialize;

use crate::{
    clickhouse::{self, ClickHouse},
    error::{AtPath, Result, ServicesError},
    kafka::{self, Kafka},
    options::Options,
    server::{self, ServerStatus},
    topics::create_topics,
};

/// A running pair, and how to reach it.
#[derive(Clone, Debug, Serialize)]
pub struct Services {
    /// Kafka's bootstrap list.
    pub kafka_bootstrap: String,
    /// ClickHouse over HTTP.
    pub clickhouse_url: String,
    /// The user that may do everything.
    pub clickhouse_user: String,
    /// Its password.
    pub clickhouse_password: String,
    /// The user that may only read.
    pub clickhouse_reader: String,
    /// Its password.
    pub clickhouse_reader_password: String,
    /// The database, which the migration makes.
    pub clickhouse_database: String,
    /// Everything of this pair.
    pub data_dir: PathBuf,
}

impl Services {
    /// How the programs of CEBE are told of this pair: lines of `NAME=value`.
    pub fn env(&self) -> String {
        format!(
            "CEBE_KAFKA_BROKERS={}\nCEBE_CLICKHOUSE_URL={}\nCEBE_CLICKHOUSE_USER={}\n\
             CEBE_CLICKHOUSE_PASSWORD={}\nCEBE_CLICKHOUSE_DATABASE={}\n",
            self.kafka_bootstrap,
            self.clickhouse_url,
            self.clickhouse_user,
            self.clickhouse_password,
            self.clickhouse_database,
        )
    }

    /// Runs a statement as the user that may do everything, and gives the answer as text.
    pub fn query(&self, statement: &str) -> Result<String> {
        clickhouse::query(
            &self.clickhouse_url,
            &self.clickhouse_user,
            &self.clickhouse_password,
            statement,
        )
    }
}

/// The pair as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Everything of this pair.
    pub dir: PathBuf,
    /// Kafka.
    pub kafka: ServerStatus,
    /// ClickHouse.
    pub clickhouse: ServerStatus,
}

impl Status {
    /// Whether both servers run and answer.
    pub fn is_healthy(&self) -> bool {
        self.kafka.healthy && self.clickhouse.healthy
    }
}

/// Starts what does not run yet and creates the topics that are not there yet.
pub fn up(options: &Options) -> Result<Services> {
    let (kafka, clickhouse) = both(
        || {
            let bootstrap = kafka::start(options)?;
            create_topics(&bootstrap, None)?;
            Ok(bootstrap)
        },
        || clickhouse::start(options),
    );
    let services = Services {
        kafka_bootstrap: kafka?,
        clickhouse_url: clickhouse?,
        clickhouse_user: clickhouse::USER.to_owned(),
        clickhouse_password: clickhouse::PASSWORD.to_owned(),
        clickhouse_reader: clickhouse::READER.to_owned(),
        clickhouse_reader_password: clickhouse::READER_PASSWORD.to_owned(),
        clickhouse_database: clickhouse::DATABASE.to_owned(),
        data_dir: options.dir.canonicalize().at("resolve", &options.dir)?,
    };
    let env = options.dir.join("env");
    fs::write(&env, services.env()).at("write", env)?;
    Ok(services)
}

/// Stops both; their data stay.
pub fn down(options: &Options) -> Result<()> {
    let (kafka, clickhouse) = both(|| kafka::stop(options), || clickhouse::stop(options));
    kafka.and(clickhouse)
}

/// Stops both and deletes their data, configuration and logs.
pub fn purge(options: &Options) -> Result<()> {
    let (kafka, clickhouse) =
        both(|| server::purge::<Kafka>(options), || server::purge::<ClickHouse>(options));
    kafka.and(clickhouse)?;
    let env = options.dir.join("env");
    match fs::remove_file(&env) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).at("delete", env),
        _ => {}
    }
    // Somebody may keep other things there.
    let _ = fs::remove_dir(&options.dir);
    Ok(())
}

/// How both are.
pub fn status(options: &Options) -> Result<Status> {
    let dir = std::path::absolute(&options.dir).at("resolve", &options.dir)?;
    Ok(Status { dir, kafka: kafka::status(options)?, clickhouse: clickhouse::status(options)? })
}

/// A pair that ends with this value: for tests.
#[derive(Debug)]
pub struct Guard {
    options: Options,
    services: Services,
}

impl Guard {
    /// Starts a pair; if that fails, no server stays behind.
    pub fn up(options: Options) -> Result<Self> {
        let services = up(&options).inspect_err(|_| kill_both(&options))?;
        Ok(Self { options, services })
    }

    /// What the pair was started with, to stop and start its servers one by one.
    pub fn options(&self) -> &Options {
        &self.options
    }
}

impl Deref for Guard {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.services
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        kill_both(&self.options);
    }
}

/// Nobody waits for the last word of a server whose data are thrown away.
fn kill_both(options: &Options) {
    let (kafka, clickhouse) = both(|| kafka::kill(options), || clickhouse::kill(options));
    for error in [kafka.err(), clickhouse.err()].into_iter().flatten() {
        eprintln!("{error}");
    }
}

/// Does both at once.
fn both<A: Send, B: Send>(
    kafka: impl FnOnce() -> Result<A> + Send,
    clickhouse: impl FnOnce() -> Result<B>,
) -> (Result<A>, Result<B>) {
    thread::scope(|scope| {
        let kafka = scope.spawn(kafka);
        let clickhouse = clickhouse();
        (kafka.join().unwrap_or(Err(ServicesError::Interrupted("kafka"))), clickhouse)
    })
}
