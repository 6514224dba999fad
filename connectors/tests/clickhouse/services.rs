//! A real Kafka and a real ClickHouse, shared by all cases, each with names of its own.

use std::env;

use anyhow::{Context, ensure};
use cebe_connectors::loader::LoaderConfig;
use cebe_connectors::migrate::migrate;
use clickhouse::Client;

/// Where the servers are.
pub struct Services {
    pub kafka: String,
    pub url: String,
    user: String,
    password: String,
    /// Stops them at the end, unless they were there before.
    _guard: Option<(cebe_dev::Guard, tempfile::TempDir)>,
}

impl Services {
    /// Those that the environment names, or a pair of its own.
    pub fn start() -> anyhow::Result<Self> {
        if let (Ok(kafka), Ok(url)) =
            (env::var("CEBE_KAFKA_BROKERS"), env::var("CEBE_CLICKHOUSE_URL"))
        {
            let or_empty = |name| env::var(name).unwrap_or_default();
            let (user, password) =
                (or_empty("CEBE_CLICKHOUSE_USER"), or_empty("CEBE_CLICKHOUSE_PASSWORD"));
            return Ok(Services { kafka, url, user, password, _guard: None });
        }
        let folder = tempfile::tempdir()?;
        let guard = cebe_dev::Guard::up(cebe_dev::Options::new(folder.path().join("services")))?;
        Ok(Services {
            kafka: guard.kafka_bootstrap.clone(),
            url: guard.clickhouse_url.clone(),
            user: guard.clickhouse_user.clone(),
            password: guard.clickhouse_password.clone(),
            _guard: Some((guard, folder)),
        })
    }

    /// A client of the server at `url`, which may be a proxy.
    pub fn client(&self, url: &str) -> Client {
        let client = Client::default().with_url(url);
        if self.user.is_empty() {
            client
        } else {
            client.with_user(&self.user).with_password(&self.password)
        }
    }
}

/// A database and topics of one case; the database is dropped at the end.
pub struct Place<'a> {
    pub services: &'a Services,
    pub database: String,
    pub prefix: String,
}

impl<'a> Place<'a> {
    /// An empty database, and topics.
    pub fn new(services: &'a Services, name: &str) -> anyhow::Result<Self> {
        let place = Place::without_topics(services, name);
        cebe_dev::create_topics(&services.kafka, Some(&place.prefix))?;
        Ok(place)
    }

    pub fn without_topics(services: &'a Services, name: &str) -> Self {
        let unique = format!("{name}_{}_{}", std::process::id(), fastrand::u32(..));
        Place { services, database: format!("test_{unique}"), prefix: format!("{unique}.") }
    }

    pub fn client(&self) -> Client {
        self.services.client(&self.services.url).with_database(&self.database)
    }

    pub async fn migrate(&self) -> anyhow::Result<()> {
        migrate(&self.services.client(&self.services.url), &self.database).await?;
        Ok(())
    }

    /// The usual loader, to the ClickHouse at `url`.
    pub fn loader(&self, url: &str) -> LoaderConfig {
        LoaderConfig {
            topic_prefix: self.prefix.clone(),
            group_id: format!("{}loader", self.prefix),
            ..LoaderConfig::new(&self.services.kafka, self.services.client(url), &self.database)
        }
    }

    pub async fn execute(&self, sql: &str) -> anyhow::Result<()> {
        self.client().query_raw(sql).execute().await.with_context(|| sql.to_owned())
    }

    /// The rows of a query, each as a JSON array, sorted.
    pub async fn rows(&self, sql: &str) -> anyhow::Result<Vec<String>> {
        let client = self
            .client()
            .with_setting("output_format_json_quote_64bit_integers", "0")
            .with_setting("date_time_output_format", "iso");
        let mut bytes = client.query_raw(sql).fetch_bytes("JSONCompactEachRow")?;
        let text = bytes.collect().await.with_context(|| sql.to_owned())?;
        let compact = |line| Ok(serde_json::from_str::<serde_json::Value>(line)?.to_string());
        let lines = std::str::from_utf8(&text)?.lines();
        let mut rows = lines.map(compact).collect::<anyhow::Result<Vec<String>>>()?;
        rows.sort_unstable();
        Ok(rows)
    }

    /// Fails unless the query gives exactly these rows.
    pub async fn expect(&self, sql: &str, mut expected: Vec<String>) -> anyhow::Result<()> {
        expected.sort_unstable();
        let found = self.rows(sql).await?;
        let missing = expected.iter().find(|row| found.binary_search(row).is_err());
        let surplus = found.iter().find(|row| expected.binary_search(row).is_err());
        ensure!(
            found == expected,
            "{sql}: {} rows, expected {}; missing {missing:?}, surplus {surplus:?}",
            found.len(),
            expected.len(),
        );
        Ok(())
    }

    pub async fn drop_database(&self) -> anyhow::Result<()> {
        let client = self.services.client(&self.services.url);
        let sql = format!("DROP DATABASE IF EXISTS {}", self.database);
        Ok(client.query_raw(&sql).execute().await?)
    }
}
