//! Settings: defaults, then a TOML file, then the environment.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cebe_connectors::kafka::KafkaOptions;
use cebe_query::principal::KeyRing;
use cebe_schemas::catalogue::Catalogue;
use cebe_schemas::token::Keys;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// Everything that can be set. Each `[section] key` is also `CEBE_SECTION_KEY`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub kafka: Kafka,
    pub clickhouse: ClickHouse,
    pub http: Http,
    pub engine: Engine,
    pub tokens: Tokens,
    pub schemas: Schemas,
    pub log: Log,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// Bootstrap servers, `host:port,host:port`.
    pub brokers: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClickHouse {
    /// HTTP address.
    pub url: String,
    pub user: String,
    pub password: String,
    pub database: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Where the API listens.
    pub listen: String,
    /// What commands that ask an engine show it, KEY.SECRET; "" where there is no key file.
    pub key: String,
    /// The key file (TOML, from `cebe key new`); "" for none: then everybody who can connect may do everything.
    pub keys_file: String,
    /// Web pages of which origins may call the API from a browser, `https://app.example.com,…`; "*" for every
    /// one, "" for none.
    pub origins: String,
    /// How many events a second a tenant may push.
    pub push_events_per_second: i64,
    /// How many at once, after a pause.
    pub push_events_burst: i64,
    /// About how much memory the copy of all customers may take, from which they are answered; 0 for none: then
    /// ClickHouse is asked.
    pub replica_bytes_max: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// Dataflow workers; no more than there are cores.
    pub workers: i64,
    /// Where the key index lives.
    pub data_dir: String,
    /// Where the snapshots live, "snapshots" in `data_dir` by default. A directory that other machines see too
    /// lets an engine start there.
    pub snapshot_dir: String,
    /// The least time between two ticks under load.
    pub tick_min_ms: i64,
    /// The most records in one tick.
    pub tick_records_max: i64,
    /// The most records of backfills in one tick; live events decide how many fewer it is.
    pub tick_backfill_records_max: i64,
    /// The longest time between two snapshots while events come in.
    pub snapshot_every_ms: i64,
    /// How long a starting engine listens for a running one.
    pub claim_wait_ms: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// Name of the key, part of each token.
    pub key_id: String,
    /// The secret, at least 32 characters. Tokens made with another one never match.
    pub secret: String,
    /// Use a well-known secret instead: for development only.
    pub development: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schemas {
    /// A directory of further `<source>/<event>/<version>.json` files; "" for none.
    pub directory: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `text` or `json`.
    pub format: String,
    /// In the syntax of `RUST_LOG`.
    pub filter: String,
}

impl Default for Kafka {
    fn default() -> Self {
        Kafka { brokers: "127.0.0.1:9092".into() }
    }
}

impl Default for ClickHouse {
    fn default() -> Self {
        ClickHouse {
            url: "http://127.0.0.1:8123".into(),
            user: "cebe".into(),
            password: String::new(),
            database: "cebe".into(),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Http {
            listen: "127.0.0.1:8080".into(),
            key: String::new(),
            keys_file: String::new(),
            origins: String::new(),
            push_events_per_second: 10_000,
            push_events_burst: 50_000,
            replica_bytes_max: 4 << 30,
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Engine {
            workers: 1,
            data_dir: "cebe-data".into(),
            snapshot_dir: String::new(),
            tick_min_ms: 20,
            tick_records_max: 20_000,
            tick_backfill_records_max: 5_000,
            snapshot_every_ms: 10_000,
            claim_wait_ms: 2_000,
        }
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Tokens { key_id: "k1".into(), secret: String::new(), development: false }
    }
}

impl Default for Log {
    fn default() -> Self {
        Log { format: "text".into(), filter: "info".into() }
    }
}

impl Config {
    /// Reads `file` if given, then the environment.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Config> {
        Self::merge(file, |name| std::env::var(name).ok())
    }

    fn merge(
        file: Option<&Path>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Config> {
        let mut table = match file {
            Some(path) => std::fs::read_to_string(path)
                .with_context(|| format!("settings file {}: cannot be read", path.display()))?
                .parse::<Table>()
                .with_context(|| format!("settings file {}: not TOML", path.display()))?,
            None => Table::new(),
        };
        let known = Table::try_from(Config::default())?;
        for (section, keys) in known.iter().filter_map(|(s, k)| Some((s, k.as_table()?))) {
            for (key, default) in keys {
                let name = format!("CEBE_{section}_{key}").to_uppercase();
                let Some(text) = environment(&name) else { continue };
                let value = like(default, &text)
                    .with_context(|| format!("environment variable {name}: {text:?}"))?;
                let section = table.entry(section.clone()).or_insert(Value::Table(Table::new()));
                if let Some(section) = section.as_table_mut() {
                    section.insert(key.clone(), value);
                }
            }
        }
        let config: Config = table.try_into().context("settings")?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        if !(1..=64).contains(&self.engine.workers) {
            bail!("engine.workers is {}: give 1 to 64", self.engine.workers);
        }
        for (name, value) in [
            ("push_events_per_second", self.http.push_events_per_second),
            ("push_events_burst", self.http.push_events_burst),
        ] {
            if !(1..=i64::from(u32::MAX)).contains(&value) {
                bail!("http.{name} is {value}: give 1 to {}", u32::MAX);
            }
        }
        if self.http.replica_bytes_max < 0 {
            bail!("http.replica_bytes_max is negative: give 0 for no copy");
        }
        if self.engine.tick_records_max < 1 {
            bail!("engine.tick_records_max is {}: give at least 1", self.engine.tick_records_max);
        }
        if self.engine.tick_backfill_records_max < 1 {
            bail!(
                "engine.tick_backfill_records_max is {}: give at least 1",
                self.engine.tick_backfill_records_max
            );
        }
        let Engine { tick_min_ms, snapshot_every_ms, claim_wait_ms, .. } = self.engine;
        if tick_min_ms < 0 || snapshot_every_ms < 0 || claim_wait_ms < 0 {
            bail!("engine: tick_min_ms, snapshot_every_ms and claim_wait_ms cannot be negative");
        }
        if !matches!(self.log.format.as_str(), "text" | "json") {
            bail!("log.format is {:?}: give text or json", self.log.format);
        }
        Ok(())
    }

    /// How to reach Kafka.
    pub fn kafka_options(&self) -> KafkaOptions {
        KafkaOptions::new(&self.kafka.brokers)
    }

    /// A client of ClickHouse.
    pub fn clickhouse_client(&self) -> clickhouse::Client {
        clickhouse::Client::default()
            .with_url(&self.clickhouse.url)
            .with_user(&self.clickhouse.user)
            .with_password(&self.clickhouse.password)
    }

    /// The event types that are shipped, and those of `schemas.directory`.
    pub fn catalogue(&self) -> anyhow::Result<Catalogue> {
        if self.schemas.directory.is_empty() {
            return Ok(Catalogue::shipped()?);
        }
        let mut further = Vec::new();
        let root = Path::new(&self.schemas.directory);
        json_files(root, root, &mut further)
            .with_context(|| format!("schemas.directory {}", root.display()))?;
        let shipped = Catalogue::shipped_files().map(|(path, text)| (path.into(), text.into()));
        Ok(Catalogue::compile(shipped.chain(further))?)
    }

    /// The secrets that ids and tokens are made with.
    pub fn keys(&self) -> anyhow::Result<Keys> {
        if self.tokens.development {
            return Ok(Keys::development());
        }
        if self.tokens.secret.is_empty() {
            bail!(
                "tokens.secret is not set: give CEBE_TOKENS_SECRET 32 random characters or more, \
                 or CEBE_TOKENS_DEVELOPMENT=true on a machine without personal data"
            );
        }
        Ok(Keys::new(&self.tokens.key_id, self.tokens.secret.as_bytes())?)
    }

    /// Who may use the HTTP API.
    pub fn http_keys(&self) -> anyhow::Result<KeyRing> {
        let path = &self.http.keys_file;
        if path.is_empty() {
            return Ok(KeyRing::default());
        }
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("http.keys_file {path}: cannot be read"))?;
        KeyRing::parse(&text).with_context(|| format!("http.keys_file {path}"))
    }

    /// Where the key index lives.
    pub fn key_index_dir(&self) -> PathBuf {
        Path::new(&self.engine.data_dir).join("keys")
    }

    /// Where the snapshots live.
    pub fn snapshot_dir(&self) -> PathBuf {
        match &*self.engine.snapshot_dir {
            "" => Path::new(&self.engine.data_dir).join("snapshots"),
            other => other.into(),
        }
    }

    /// Where jobs of backfills keep what they have asked for.
    pub fn backfill_dir(&self) -> PathBuf {
        Path::new(&self.engine.data_dir).join("backfill")
    }

    /// As TOML, for people to read.
    pub fn without_secrets(&self) -> anyhow::Result<String> {
        let mut shown = self.clone();
        let Config { clickhouse, http, tokens, .. } = &mut shown;
        for secret in [&mut clickhouse.password, &mut http.key, &mut tokens.secret] {
            if !secret.is_empty() {
                *secret = "(set)".into();
            }
        }
        Ok(toml::to_string(&shown)?)
    }
}

/// Path below `root` and text of every `.json` file in `folder`.
fn json_files(root: &Path, folder: &Path, found: &mut Vec<(String, String)>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            json_files(root, &path, found)?;
        } else if path.extension().is_some_and(|e| e == "json") {
            let text = std::fs::read_to_string(&path)?;
            let below = path.strip_prefix(root)?.to_string_lossy().into_owned();
            found.push((below, text));
        }
    }
    Ok(())
}

/// `text` as a value of the type of `default`.
fn like(default: &Value, text: &str) -> anyhow::Result<Value> {
    Ok(match default {
        Value::Boolean(_) => Value::Boolean(text.parse().context("give true or false")?),
        Value::Integer(_) => Value::Integer(text.parse().context("give a whole number")?),
        _ => Value::String(text.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> anyhow::Result<Config> {
        Config::merge(None, |name| {
            pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string())
        })
    }

    #[test]
    fn environment_wins_over_defaults() {
        let config = with(&[("CEBE_KAFKA_BROKERS", "k:1"), ("CEBE_ENGINE_WORKERS", "2")]).unwrap();
        assert_eq!((config.kafka.brokers.as_str(), config.engine.workers), ("k:1", 2));
        assert_eq!(config.clickhouse.database, "cebe");
    }

    #[test]
    fn environment_wins_over_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[engine]\nworkers = 3\ntick_min_ms = 5\n").unwrap();
        let config = Config::merge(Some(file.path()), |name| {
            (name == "CEBE_ENGINE_WORKERS").then(|| "2".into())
        })
        .unwrap();
        assert_eq!((config.engine.workers, config.engine.tick_min_ms), (2, 5));
    }

    #[test]
    fn errors_name_the_setting() {
        let error = |pairs| format!("{:#}", with(pairs).unwrap_err());
        assert!(error(&[("CEBE_ENGINE_WORKERS", "two")]).contains("CEBE_ENGINE_WORKERS"));
        assert!(error(&[("CEBE_ENGINE_WORKERS", "0")]).contains("engine.workers is 0"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[engine]\nworker = 3\n").unwrap();
        let error = format!("{:#}", Config::load(Some(file.path())).unwrap_err());
        assert!(error.contains("worker"), "{error}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = with(&[("CEBE_TOKENS_SECRET", "hush")]).unwrap().without_secrets().unwrap();
        assert!(!shown.contains("hush") && shown.contains("(set)"));
    }
}
