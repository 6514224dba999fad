//! The `cebe` binary as a child process.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, bail, ensure};
use serde_json::json;

use crate::Services;

const START_PATIENCE: Duration = Duration::from_secs(120);

/// A running engine; killed when dropped.
pub struct Engine {
    child: Mutex<Child>,
    binary: PathBuf,
    services: Services,
    dir: PathBuf,
    log: PathBuf,
}

impl Engine {
    /// Builds the binary beside this one, starts it and waits until it is ready.
    pub fn start(services: &Services, dir: &Path) -> anyhow::Result<Engine> {
        let binary = build()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = dir.join("engine.log");
        let child = command(&binary, services, dir)
            .env("CEBE_HTTP_LISTEN", format!("127.0.0.1:{port}"))
            .arg("run")
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("{} does not start", binary.display()))?;
        let engine = Engine {
            child: Mutex::new(child),
            binary,
            services: services.clone(),
            dir: dir.into(),
            log,
        };
        engine.wait_ready(([127, 0, 0, 1], port).into())?;
        Ok(engine)
    }

    fn wait_ready(&self, address: SocketAddr) -> anyhow::Result<()> {
        let begin = Instant::now();
        while !is_ready(address) {
            self.check()?;
            ensure!(
                begin.elapsed() < START_PATIENCE,
                "engine is not ready after {START_PATIENCE:?}: see {}",
                self.log.display()
            );
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// An error if the engine has ended.
    pub fn check(&self) -> anyhow::Result<()> {
        if let Ok(mut child) = self.child.lock()
            && let Some(status) = child.try_wait()?
        {
            bail!("engine ended with {status}: see {}", self.log.display());
        }
        Ok(())
    }

    /// Turns `cdp` and `broadcast` on, and `ads` for two accounts only: a canary.
    pub fn turn_on_sources(&self, canary: &str, other: &str) -> anyhow::Result<()> {
        self.cebe(&["source", "on", "cdp"])?;
        self.cebe(&["source", "on", "broadcast"])?;
        self.cebe(&["source", "on", "ads", "--accounts", &format!("{canary},{other}")])
    }

    /// Defines who replied within the last ten seconds, who lives where and buys how, and who read a
    /// broadcast and did not answer it for a while.
    pub fn put_segments(&self, account: &str) -> anyhow::Result<()> {
        let definitions = [
            ("just-replied", json!({"did": "broadcast.replied", "within": "10s"})),
            (
                "gold-jakarta",
                json!({"all": [
                    {"attribute": "tier", "eq": "gold"},
                    {"attribute": "city", "in": ["Jakarta", "Depok"]},
                    {"not": {"in_segment": "just-replied"}},
                ]}),
            ),
            (
                "read-unanswered",
                json!({"did": "broadcast.read", "then_not": "broadcast.replied", "within": "15s",
                    "same": "broadcast_id", "recent": "1m"}),
            ),
        ];
        for (segment_id, when) in definitions {
            let file = self.dir.join("segment.json");
            let segment = json!({"segment_id": segment_id, "account_id": account, "when": when});
            std::fs::write(&file, segment.to_string())?;
            self.cebe(&["segment", "put", &file.to_string_lossy()])?;
        }
        Ok(())
    }

    fn cebe(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let output = command(&self.binary, &self.services, &self.dir).args(arguments).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cebe {}: {stderr}", arguments.join(" "));
        Ok(())
    }

    /// Asks the engine to end and waits for it.
    pub fn stop(self) -> anyhow::Result<()> {
        let Ok(mut child) = self.child.lock() else { bail!("engine: lost track of it") };
        let asked = Command::new("kill").arg(child.id().to_string()).status()?;
        ensure!(asked.success(), "engine cannot be asked to end");
        let status = child.wait()?;
        ensure!(status.success(), "engine ended with {status}: see {}", self.log.display());
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Ok(mut child) = self.child.lock() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn command(binary: &Path, services: &Services, dir: &Path) -> Command {
    let mut command = Command::new(binary);
    command.envs(services.env().lines().filter_map(|line| line.split_once('=')));
    command.env("CEBE_TOKENS_DEVELOPMENT", "true").env("CEBE_ENGINE_DATA_DIR", dir.join("engine"));
    command
}

fn is_ready(address: SocketAddr) -> bool {
    use std::io::{Read, Write};
    let answer = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    answer().is_ok_and(|a| a.split(' ').nth(1) == Some("200"))
}

/// Builds `cebe` with the profile of this program, so that their dependencies are shared.
fn build() -> anyhow::Result<PathBuf> {
    let own = env::current_exe()?;
    let folder = own.parent().context("this program is in no folder")?;
    let mut build = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    // By name of the binary, as the alias for the demo does: the same features, built once.
    build.args(["build", "--bin", "cebe"]);
    build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    // Where cargo is not there, the binary may be.
    if let Ok(status) = build.status() {
        ensure!(status.success(), "cargo build --bin cebe failed");
    }
    let binary = folder.join("cebe");
    ensure!(binary.is_file(), "{}: not built: cargo build --bin cebe", binary.display());
    Ok(binary)
}
