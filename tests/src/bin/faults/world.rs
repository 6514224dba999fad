//! Everything that runs: Kafka, ClickHouse, a proxy before each, and the engine behind the proxies.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use cebe_dev::proxy::{Mode, Proxy};
use cebe_dev::{Detour, Guard, Options, Progress};
use cebe_tests::system::{Engine, binary, command, free_port};

use crate::interrupt;
use crate::schedule::Server;

/// How long anything may take that should take seconds; an engine may have to replay everything.
pub const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(50);

/// What ends a fault that goes on by itself.
#[derive(Clone, Copy, Debug)]
pub enum Relief {
    Start(Server),
    Pass(Server),
    TakeRows,
}

pub struct World {
    pub services: Guard,
    pub folder: PathBuf,
    /// Engines that ended although nobody killed them, and their last words.
    pub gave_up: Vec<String>,
    binary: PathBuf,
    kafka: Proxy,
    clickhouse: Proxy,
    engine: Option<Engine>,
    /// So many engines were started.
    started: u32,
    /// So many folders have been an engine's data directory.
    folders: u32,
    reliefs: Vec<(Instant, Relief)>,
}

impl World {
    /// Starts servers and proxies, with everything in `folder`.
    pub fn start(folder: &Path) -> anyhow::Result<World> {
        let binary = binary()?;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let listens = steady_port()?;
        let kafka = Proxy::start(([127, 0, 0, 1], listens).into())?;
        let detour = Detour { listens, advertised: kafka.address().port() };
        let services = Guard::up(Options {
            kafka_detour: Some(detour),
            progress: Progress::stderr(),
            ..Options::new(folder.join("services"))
        })?;
        let upstream = services.clickhouse_url.trim_start_matches("http://").parse();
        let clickhouse = Proxy::start(upstream.context("clickhouse has no address")?)?;
        Ok(World {
            services,
            folder: folder.to_owned(),
            gave_up: Vec::new(),
            binary,
            kafka,
            clickhouse,
            engine: None,
            started: 0,
            folders: 1,
            reliefs: Vec::new(),
        })
    }

    /// The directory that the engine in charge keeps its files in.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join(format!("data-{}", self.folders))
    }

    /// Where every engine keeps its snapshots.
    pub fn snapshot_dir(&self) -> PathBuf {
        self.folder.join("snapshots")
    }

    /// `cebe` with settings that lead directly to the servers.
    pub fn cebe(&self) -> Command {
        command(&self.binary, &self.services)
    }

    /// Starts an engine behind the proxies; with `fault`, one that dies at a point.
    pub fn start_engine(&mut self, fault: Option<&str>) -> anyhow::Result<()> {
        self.started += 1;
        let log = self.folder.join(format!("engine-{:03}.log", self.started));
        let mut command = self.cebe();
        command
            .arg("run")
            .env("CEBE_KAFKA_BROKERS", self.kafka.address().to_string())
            .env("CEBE_CLICKHOUSE_URL", format!("http://{}", self.clickhouse.address()))
            .env("CEBE_ENGINE_DATA_DIR", self.data_dir())
            .env("CEBE_ENGINE_SNAPSHOT_DIR", self.snapshot_dir())
            // So often that files are merged within a minute.
            .env("CEBE_ENGINE_SNAPSHOT_EVERY_MS", "500");
        if let Some(fault) = fault {
            command.env("CEBE_FAULT", fault);
        }
        self.engine = Some(Engine::spawn(command, free_port()?, log)?);
        Ok(())
    }

    /// Starts an engine on other files, as another machine would. The former one is handed out.
    pub fn replace_engine(&mut self) -> anyhow::Result<Option<Engine>> {
        let former = self.engine.take();
        self.folders += 1;
        self.start_engine(None)?;
        Ok(former)
    }

    /// Has `kill -9` for the engine, if there is one.
    pub fn kill_engine(&mut self) -> anyhow::Result<()> {
        self.look()?;
        self.engine.take().map_or(Ok(()), Engine::kill)
    }

    /// The engine is known to be dead.
    pub fn bury_engine(&mut self) {
        self.engine = None;
    }

    /// SIGTERM; it has to end in peace.
    pub fn stop_engine(&mut self) -> anyhow::Result<()> {
        self.engine.take().map_or(Ok(()), Engine::stop)
    }

    pub fn engine(&mut self) -> anyhow::Result<&mut Engine> {
        self.engine.as_mut().context("no engine runs")
    }

    pub fn proxy(&self, server: Server) -> &Proxy {
        match server {
            Server::Kafka => &self.kafka,
            Server::ClickHouse => &self.clickhouse,
        }
    }

    /// Does what ends a fault once `after` is over.
    pub fn relieve_after(&mut self, after: Duration, relief: Relief) {
        self.reliefs.push((Instant::now() + after, relief));
    }

    /// Ends every fault that still goes on.
    pub fn relieve_all(&mut self) -> anyhow::Result<()> {
        let all = std::mem::take(&mut self.reliefs);
        all.into_iter().try_for_each(|(_, relief)| self.relieve(relief))
    }

    /// Waits a moment, ends what is due to end, and starts an engine again that has ended.
    pub fn pause(&mut self) -> anyhow::Result<()> {
        self.pause_beside_engine()?;
        self.look()
    }

    /// As [`World::pause`], for those who look after the engine themselves.
    pub fn pause_beside_engine(&mut self) -> anyhow::Result<()> {
        interrupt::check()?;
        std::thread::sleep(LOOK);
        let (due, later) = self.reliefs.drain(..).partition(|(at, _)| *at <= Instant::now());
        self.reliefs = later;
        let due: Vec<(Instant, Relief)> = due;
        due.into_iter().try_for_each(|(_, relief)| self.relieve(relief))
    }

    /// Waits until the engine is ready; one that gives up is started again.
    pub fn await_ready(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        while !self.is_ready() {
            if begin.elapsed() > PATIENCE {
                let tail = self.engine()?.log_tail();
                bail!("the engine is not ready after {PATIENCE:?}: {tail}");
            }
            self.pause()?;
        }
        Ok(())
    }

    /// Waits until a view has so many rows.
    pub fn await_rows(&mut self, count: u64, view: &str) -> anyhow::Result<()> {
        let (begin, sql) = (Instant::now(), format!("SELECT count() FROM {view}"));
        while self.number(&sql)? < count {
            ensure!(begin.elapsed() < PATIENCE, "{view} has not got {count} rows: {sql}");
            self.pause()?;
        }
        Ok(())
    }

    /// Whether `/readyz` says 200.
    pub fn is_ready(&self) -> bool {
        let answer = self.engine.as_ref().map(|engine| engine.get("/readyz"));
        answer.is_some_and(|answer| answer.is_ok_and(|(status, _)| status == 200))
    }

    /// The one number of a query.
    pub fn number(&self, sql: &str) -> anyhow::Result<u64> {
        let text = self.services.query(sql)?;
        text.trim().parse().with_context(|| format!("{sql}: {text:?} is not one number"))
    }

    fn relieve(&mut self, relief: Relief) -> anyhow::Result<()> {
        match relief {
            Relief::Start(server) => self.start_server(server),
            Relief::Pass(server) => {
                self.proxy(server).set(Mode::Pass);
                Ok(())
            }
            Relief::TakeRows => {
                if self.take_rows().is_err() {
                    // ClickHouse is away as well.
                    self.relieve_after(Duration::from_secs(1), relief);
                }
                Ok(())
            }
        }
    }

    pub fn start_server(&self, server: Server) -> anyhow::Result<()> {
        let options = self.services.options();
        let (address, former) = match server {
            Server::Kafka => (cebe_dev::kafka::start(options)?, &self.services.kafka_bootstrap),
            Server::ClickHouse => {
                (cebe_dev::clickhouse::start(options)?, &self.services.clickhouse_url)
            }
        };
        ensure!(address == *former, "{server} was at {former} and has come back at {address}");
        Ok(())
    }

    pub fn kill_server(&self, server: Server) -> anyhow::Result<()> {
        let options = self.services.options();
        match server {
            Server::Kafka => cebe_dev::kafka::kill(options)?,
            Server::ClickHouse => cebe_dev::clickhouse::kill(options)?,
        }
        Ok(())
    }

    /// Lets ClickHouse refuse rows of `table`.
    pub fn refuse_rows(&self, table: &str) -> anyhow::Result<()> {
        let sql = format!("ALTER TABLE cebe.{table} MODIFY SETTING {READ_ONLY} = 1");
        self.services.query(&sql)?;
        Ok(())
    }

    fn take_rows(&self) -> anyhow::Result<()> {
        let refused = format!("create_table_query LIKE '%{READ_ONLY}%'");
        self.tables(&refused)?.iter().try_for_each(|table| {
            let sql = format!("ALTER TABLE cebe.{table} RESET SETTING {READ_ONLY}");
            self.services.query(&sql)?;
            Ok(())
        })
    }

    /// Tables of CEBE by a condition on `system.tables`, in order.
    pub fn tables(&self, which: &str) -> anyhow::Result<Vec<String>> {
        let sql = "SELECT name FROM system.tables WHERE database = 'cebe'";
        let text = self.services.query(&format!("{sql} AND {which} ORDER BY name"))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Notes an engine that has ended by itself, and starts another one.
    fn look(&mut self) -> anyhow::Result<()> {
        let Some(engine) = &mut self.engine else { return Ok(()) };
        let Some(status) = engine.exit_status()? else { return Ok(()) };
        let log = self.folder.join(format!("engine-{:03}.log", self.started));
        let said = engine.log_tail();
        self.gave_up.push(format!("{status}, see {}: {said}", log.display()));
        ensure!(self.gave_up.len() < 20, "the engine keeps ending by itself: {said}");
        self.start_engine(None)
    }
}

/// A free port that the system gives to no client: one that retries against a stopped Kafka could be
/// given the very port that it connects to, and hold it.
fn steady_port() -> anyhow::Result<u16> {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let first = 30_000 + fastrand::u16(..2_000);
    (first..32_700).find(is_free).context("no free port below 32700")
}

/// A table that may hold no part more than this refuses rows, and is read as before.
const READ_ONLY: &str = "parts_to_throw_insert";
