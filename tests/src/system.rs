//! Services and engine as processes that a test can stop, kill and start again.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use cebe_dev::demo::Message;
use cebe_dev::{Guard, Options};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

/// How long anything may take that should take a second.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The folder of the usual engine.
const ENGINE: &str = "engine";

/// A pair of services in a directory of their own, and the engine's binary.
pub struct System {
    /// The services, for the tests that stop one of them.
    pub services: Guard,
    folder: tempfile::TempDir,
    binary: PathBuf,
    producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext>,
}

impl System {
    /// Builds the binary if need be and starts the services.
    pub fn start() -> anyhow::Result<System> {
        System::with(false)
    }

    /// As [`System::start`], with services that are measured.
    pub fn measured() -> anyhow::Result<System> {
        System::with(true)
    }

    fn with(is_long_lived: bool) -> anyhow::Result<System> {
        let binary = binary()?;
        let folder = tempfile::tempdir()?;
        let options = Options::new(folder.path().join("services"));
        let services = Guard::up(Options { is_long_lived, ..options })?;
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &services.kafka_bootstrap)
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .create()?;
        Ok(System { services, folder, binary, producer })
    }

    /// Runs `cebe` with `arguments` to its end.
    pub fn cebe(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        self.command().args(arguments).output().context("cebe does not start")
    }

    /// As [`System::cebe`], for commands that ask `engine`.
    pub fn ask(&self, engine: &Engine, arguments: &[&str]) -> anyhow::Result<Output> {
        let listen = format!("127.0.0.1:{}", engine.port);
        let mut command = self.command();
        command.env("CEBE_HTTP_LISTEN", listen).args(arguments);
        command.output().context("cebe does not start")
    }

    /// Starts `cebe` with `arguments`, and does not wait.
    pub fn spawn(&self, arguments: &[&str]) -> anyhow::Result<Child> {
        let mut command = self.command();
        let quiet = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        quiet.spawn().context("cebe does not start")
    }

    /// As [`System::cebe`]; anything but success is an error.
    pub fn cebe_ok(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.cebe(arguments)?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cebe {arguments:?}: {stderr}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Every table and every feed, compared with what the bound input gives.
    pub fn verify(&self) -> anyhow::Result<()> {
        let output = self.cebe(&["verify"])?;
        let (report, error) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "cebe verify: {error}{report}");
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = command(&self.binary, &self.services);
        // What jobs keep has no place in the sources.
        command.env("CEBE_ENGINE_DATA_DIR", self.data_dir(ENGINE));
        command
    }

    /// Starts an engine and waits until it is ready.
    pub fn engine(&self) -> anyhow::Result<Engine> {
        self.engine_in(ENGINE, &[])
    }

    /// As [`System::engine`], with its files in a folder called `name` and further arguments.
    pub fn engine_in(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Engine> {
        let mut engine = self.spawn_engine_in(name, arguments)?;
        engine.wait_ready()?;
        Ok(engine)
    }

    /// Starts an engine and does not wait.
    pub fn spawn_engine(&self) -> anyhow::Result<Engine> {
        self.spawn_engine_in(ENGINE, &[])
    }

    /// As [`System::engine_in`], and does not wait.
    pub fn spawn_engine_in(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Engine> {
        self.spawn_engine_as(name, arguments, &[])
    }

    /// As [`System::spawn_engine_in`], with further variables in its environment.
    pub fn spawn_engine_as(
        &self,
        name: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Engine> {
        let port = free_port()?;
        let log = self.folder.path().join(format!("engine-{port}.log"));
        let mut command = self.command();
        command.env("CEBE_ENGINE_DATA_DIR", self.data_dir(name)).arg("run").args(arguments);
        command.envs(variables.iter().copied());
        Engine::spawn(command, port, log)
    }

    /// The folder called `name` in which an engine keeps its files.
    pub fn data_dir(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Deletes every record that a topic holds, as retention does.
    pub fn delete_records(&self, topic: &str) -> anyhow::Result<()> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.services.kafka_bootstrap);
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let metadata = self.producer.client().fetch_metadata(Some(topic), PATIENCE)?;
        let mut offsets = TopicPartitionList::new();
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            offsets.add_partition_offset(topic, partition.id(), Offset::End)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(admin.delete_records(&offsets, &AdminOptions::new()))?;
        Ok(())
    }

    /// Publishes `messages`; returns when Kafka has acknowledged all of them.
    pub fn publish(&self, messages: &[Message]) -> anyhow::Result<()> {
        for message in messages {
            let topic = format!("cebe.events.{}", message.source);
            self.send(BaseRecord::to(&topic).key(&*message.key).payload(&*message.payload))?;
        }
        Ok(self.producer.flush(PATIENCE)?)
    }

    /// Publishes one record as it is.
    pub fn publish_record(&self, record: BaseRecord<'_, str, str>) -> anyhow::Result<()> {
        self.send(record)?;
        Ok(self.producer.flush(PATIENCE)?)
    }

    /// Publishes a control record: what no command of `cebe` changes.
    pub fn control(&self, record: &Value) -> anyhow::Result<()> {
        self.publish_record(BaseRecord::to("cebe.control").key("").payload(&record.to_string()))
    }

    fn send(&self, mut record: BaseRecord<'_, str, str>) -> anyhow::Result<()> {
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, same)) if error.to_string().contains("QueueFull") => {
                    std::thread::sleep(Duration::from_millis(5));
                    record = same;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    /// The rows of a query, each an array of its columns.
    pub fn rows(&self, sql: &str) -> anyhow::Result<Vec<Value>> {
        let text = self.services.query(&format!(
            "{sql} SETTINGS output_format_json_quote_64bit_integers=0 FORMAT JSONCompactEachRow"
        ))?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// The one number of a query.
    pub fn number(&self, sql: &str) -> anyhow::Result<u64> {
        let text = self.services.query(sql)?;
        text.trim().parse().with_context(|| format!("{sql}: {text:?} is not one number"))
    }
}

/// `binary`, which is `cebe`, with settings that lead to `services`.
pub fn command(binary: &Path, services: &Guard) -> Command {
    let mut command = Command::new(binary);
    for line in services.env().lines() {
        if let Some((name, value)) = line.split_once('=') {
            command.env(name, value);
        }
    }
    command.env("CEBE_TOKENS_DEVELOPMENT", "true");
    command
}

/// What a server answers.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

/// A running `cebe run`; killed when dropped.
pub struct Engine {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Engine {
    /// Starts `command`, which is `cebe run` with its settings, as an engine with its API at `port`.
    pub fn spawn(mut command: Command, port: u16, log: PathBuf) -> anyhow::Result<Engine> {
        let child = command
            .env("CEBE_HTTP_LISTEN", format!("127.0.0.1:{port}"))
            .stderr(Stdio::from(File::create(&log)?))
            .spawn()
            .context("cebe run does not start")?;
        Ok(Engine { child, port, log })
    }

    /// `kill -9`.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// `kill -9`, and another one in its place.
    pub fn restart(
        &mut self,
        start: impl FnOnce() -> anyhow::Result<Engine>,
    ) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        *self = start()?;
        Ok(())
    }

    /// Where its API is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sends a signal, such as `STOP`.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &pid]).status()?;
        ensure!(status.success(), "kill -{name} {pid} failed");
        Ok(())
    }

    /// SIGTERM; the engine has to end by itself, successfully.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.signal("TERM")?;
        let status = self.wait_exit()?;
        ensure!(status, "engine did not end successfully: {}", self.log_tail());
        Ok(())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the process ended, if it did.
    pub fn exit_status(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until the process ends; whether it ended successfully.
    pub fn wait_exit(&mut self) -> anyhow::Result<bool> {
        let status = eventually("the engine ends", || Ok(self.child.try_wait()?))?;
        Ok(status.success())
    }

    /// Waits for `/readyz`.
    pub fn wait_ready(&mut self) -> anyhow::Result<()> {
        eventually("the engine is ready", || {
            if let Some(status) = self.child.try_wait()? {
                bail!("engine ended with {status}: {}", self.log_tail());
            }
            Ok(self.get("/readyz").ok().filter(|(status, _)| *status == 200))
        })
        .with_context(|| self.log_tail())?;
        Ok(())
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Status and body of a GET.
    pub fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let Answer { status, body, .. } = self.request("GET", path, &[], b"")?;
        Ok((status, body))
    }

    /// The answer to a request of HTTP 1.0, so that it ends with the connection.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let headers: String = headers.collect();
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.0\r\n{headers}content-length: {length}\r\n\r\n")?;
        stream.write_all(body)?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        let (head, body) = response.split_once("\r\n\r\n").context("no HTTP answer")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok(Answer { status, head: head.to_lowercase(), body: body.into() })
    }

    /// The whole log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of the log.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port on loopback that is free now.
///
/// # Errors
/// There is none.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Calls `attempt` until it gives something.
pub fn eventually<T>(
    what: &str,
    mut attempt: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(value) = attempt()? {
            return Ok(value);
        }
        if begin.elapsed() > PATIENCE {
            bail!("waited {PATIENCE:?} in vain until {what}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The binary `cebe`, built if need be, beside the test's own.
///
/// # Errors
/// It does not build.
pub fn binary() -> anyhow::Result<PathBuf> {
    // No package is selected, so the dependencies are those that the tests were built with.
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--bin", "cebe"])
        .args((!cfg!(debug_assertions)).then_some("--release"))
        .current_dir(root)
        .status()?;
    ensure!(status.success(), "cargo build --bin cebe failed");
    // A test is in a folder more than a program.
    let own = std::env::current_exe()?;
    let mut places = own.ancestors().skip(1).take(2).map(|folder| folder.join("cebe"));
    places.find(|path| path.is_file()).context("cebe is not built beside this program")
}
