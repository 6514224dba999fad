//! One Kafka broker that is its own controller.

use std::{
    fs,
    net::{Ipv4Addr, TcpStream},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
    metadata::Metadata,
};

use crate::{
    cache,
    error::{AtPath, Result, ServicesError},
    home::Home,
    options::{Detour, Options},
    ports::Ports,
    prerequisites,
    process::run,
    progress::Step,
    server::{self, Server, ServerStatus},
};

const POM: &str = include_str!("../kafka/pom.xml");
/// What `sha256sum` prints of the jars that the pom brings.
const JARS: &str = include_str!("../kafka/jars.sha256");
const PROPERTIES: &str = include_str!("../kafka/server.properties");
const LOGGING: &str = include_str!("../kafka/log4j2.properties");

/// Starts Kafka unless it runs, waits until it answers, and gives its bootstrap address.
///
/// It keeps its data and, while they are free, its ports.
pub fn start(options: &Options) -> Result<String> {
    server::start::<Kafka>(options).map(Kafka::address)
}

/// Asks Kafka to end; kills it if it does not.
pub fn stop(options: &Options) -> Result<()> {
    server::stop::<Kafka>(options)
}

/// Kills Kafka, as a crash would.
pub fn kill(options: &Options) -> Result<()> {
    server::kill::<Kafka>(options)
}

/// Kafka as it is now.
pub fn status(options: &Options) -> Result<ServerStatus> {
    server::status::<Kafka>(options)
}

/// The configuration of a client that does not dawdle when the broker comes back.
pub(crate) fn client_config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "200");
    config
}

/// The broker with every topic, if it answers in time.
pub(crate) fn metadata(
    bootstrap: &str,
    patience: Duration,
) -> rdkafka::error::KafkaResult<Metadata> {
    let client: BaseConsumer = client_config(bootstrap).create()?;
    client.fetch_metadata(None, patience)
}

/// Kafka's jars.
pub(crate) struct Kafka {
    jars: PathBuf,
}

impl Server for Kafka {
    const NAME: &'static str = "kafka";
    const VERSION: &'static str = "4.3.1";
    const PORT_NAMES: [&'static str; 2] = ["broker", "controller"];
    const PORT_RANGE: RangeInclusive<u16> = 10_000..=19_999;

    fn install(cache: &Path, step: &Step) -> Result<Self> {
        let name = format!("kafka-{}-{}", Self::VERSION, cache::short_hash(JARS));
        let jars = cache::entry(cache, &name, |dir| {
            prerequisites::check()?;
            step.say("fetching from the Maven repository (about 60 MB, once)");
            fetch(dir)
        })?;
        Ok(Self { jars })
    }

    fn prepare(
        &self,
        options: &Options,
        home: &Home,
        [broker, controller]: Ports,
    ) -> Result<Command> {
        let (listener, advertised) = options.kafka_detour.map_or_else(Default::default, detour);
        let properties = PROPERTIES
            .replace("{{broker_port}}", &broker.to_string())
            .replace("{{controller_port}}", &controller.to_string())
            .replace("{{detour_listener}}", &listener)
            .replace("{{detour_advertised}}", &advertised);
        home.write("server.properties", &properties)?;
        home.write("log4j2.properties", LOGGING)?;
        if !home.data().join("meta.properties").exists() {
            run(self.format().current_dir(home.dir()))?;
        }
        let mut command = self.java(options.is_long_lived);
        command.args(["-Xms128m", "-Xmx512m", "-XX:+ExitOnOutOfMemoryError"]);
        command.args(["-Dlog4j2.configurationFile=log4j2.properties"]);
        command.args(["kafka.Kafka", "server.properties"]);
        Ok(command)
    }

    fn answers(ports: Ports, patience: Duration) -> bool {
        let listens = TcpStream::connect((Ipv4Addr::LOCALHOST, ports[0])).is_ok();
        // A broker that its controller has not admitted yet names no broker.
        listens && metadata(&Self::address(ports), patience).is_ok_and(|m| !m.brokers().is_empty())
    }

    fn address(ports: Ports) -> String {
        format!("127.0.0.1:{}", ports[0])
    }
}

/// What a detour adds to the listeners, and to those that are advertised.
fn detour(Detour { listens, advertised }: Detour) -> (String, String) {
    let listener = |port: u16| format!(",DETOUR://127.0.0.1:{port}");
    (listener(listens), listener(advertised))
}

impl Kafka {
    fn java(&self, is_thorough: bool) -> Command {
        let mut command = prerequisites::java();
        if !is_thorough {
            command.arg("-XX:TieredStopAtLevel=1");
        }
        command.arg("-cp").arg(self.jars.join("*"));
        command
    }

    /// Prepares the data directory, once in its life.
    fn format(&self) -> Command {
        let mut command = self.java(false);
        command.args(["-Xmx128m", "kafka.tools.StorageTool", "format"]);
        command.args(["--config", "server.properties", "--ignore-formatted"]);
        command.args(["--cluster-id", &cluster_id()]);
        command
    }
}

/// A random UUID as Kafka writes it.
fn cluster_id() -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use std::hash::{BuildHasher, RandomState};

    let half = || RandomState::new().hash_one(0).to_be_bytes();
    let id = URL_SAFE_NO_PAD.encode([half(), half()].concat());
    // A leading dash would be taken for an option.
    if id.starts_with('-') { id.replacen('-', "A", 1) } else { id }
}

/// Brings the jars and compares each with its pinned checksum.
fn fetch(dir: &Path) -> Result<()> {
    let pom = dir.join("pom.xml");
    fs::write(&pom, POM).at("write", &pom)?;
    let mut maven = Command::new("mvn");
    maven.args(["-B", "-q", "-f"]).arg(&pom);
    maven.arg("dependency:copy-dependencies").arg(format!("-DoutputDirectory={}", dir.display()));
    run(&mut maven)?;
    verify(dir, JARS)
}

/// Whether exactly the jars of the list are there.
fn verify(dir: &Path, list: &str) -> Result<()> {
    let mut unexpected = jars_in(dir)?;
    for line in list.lines() {
        let (expected, jar) = line.split_once("  ").unwrap_or((line, ""));
        let actual = cache::sha256(&dir.join(jar))?;
        if actual != expected {
            return Err(ServicesError::Checksum {
                file: jar.to_owned(),
                actual,
                expected: expected.to_owned(),
            });
        }
        unexpected.retain(|name| name != jar);
    }
    if unexpected.is_empty() {
        return Ok(());
    }
    Err(ServicesError::UnexpectedJars { jars: unexpected })
}

fn jars_in(dir: &Path) -> Result<Vec<String>> {
    let mut jars = Vec::new();
    for entry in fs::read_dir(dir).at("list", dir)? {
        let name = entry.at("list", dir)?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".jar") {
            jars.push(name);
        }
    }
    Ok(jars)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn exactly_the_listed_jars_are_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let list = format!("{EMPTY}  a.jar\n");
        assert!(verify(dir.path(), &list).unwrap_err().to_string().contains("a.jar"));
        fs::write(dir.path().join("a.jar"), "").unwrap();
        verify(dir.path(), &list).unwrap();
        fs::write(dir.path().join("b.jar"), "").unwrap();
        assert!(verify(dir.path(), &list).unwrap_err().to_string().contains("b.jar"));
        fs::write(dir.path().join("a.jar"), "x").unwrap();
        assert!(verify(dir.path(), &list).unwrap_err().to_string().contains("checksum"));
    }

    #[test]
    fn release_is_the_same_everywhere() {
        assert!(POM.contains(&format!("<version>{}</version>", Kafka::VERSION)));
        assert!(JARS.contains(&format!("  kafka_2.13-{}.jar\n", Kafka::VERSION)));
    }

    #[test]
    fn cluster_ids_are_uuids_and_differ() {
        let id = cluster_id();
        assert_eq!(id.len(), 22);
        assert!(!id.starts_with('-'));
        assert_ne!(id, cluster_id());
    }
}
