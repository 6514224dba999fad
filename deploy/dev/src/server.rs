//! The life of a server, whichever it is.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    error::{Result, ServicesError},
    home::{Home, State},
    options::Options,
    ports::{self, Ports},
    process::{Process, spawn_detached},
    progress::Step,
};

const START: Duration = Duration::from_secs(90);
const STOP: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
const PROBE: Duration = Duration::from_secs(2);
const PORT_ATTEMPTS: u32 = 3;

/// A server that this crate can run.
pub(crate) trait Server {
    /// Its name, and that of its directory.
    const NAME: &'static str;
    /// Its release.
    const VERSION: &'static str;
    /// What its two ports are for.
    const PORT_NAMES: [&'static str; 2];
    /// Where its ports are looked for; another server's range is another one.
    const PORT_RANGE: RangeInclusive<u16>;

    /// Fetches what it needs, unless the cache has it.
    fn install(cache: &Path, step: &Step) -> Result<Self>
    where
        Self: Sized;

    /// Writes its configuration and gives the command that runs it.
    fn prepare(&self, options: &Options, home: &Home, ports: Ports) -> Result<Command>;

    /// Whether it answers its clients.
    fn answers(ports: Ports, patience: Duration) -> bool;

    /// Where its clients find it.
    fn address(ports: Ports) -> String;
}

/// A server as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct ServerStatus {
    /// Whether it runs and answers.
    pub healthy: bool,
    /// Its release.
    pub version: &'static str,
    /// Its process, if it runs.
    pub pid: Option<u32>,
    /// Where its clients find it: a bootstrap list, or a URL. Absent before its first start.
    pub address: Option<String>,
    /// Its ports by what they are for.
    pub ports: BTreeMap<&'static str, u16>,
    /// Its data.
    pub data: PathBuf,
    /// What it logs.
    pub log: PathBuf,
    /// What it prints, which matters when it does not start.
    pub output: PathBuf,
}

/// Starts a server unless it runs, and waits until it answers.
pub(crate) fn start<S: Server>(options: &Options) -> Result<Ports> {
    let step = options.progress.about(S::NAME);
    let mut home = Home::new(&options.dir, S::NAME)?;
    let _lock = home.lock()?;
    if let Some(ports) = adopt::<S>(&home, &step)? {
        step.done(&format!("runs already at {}", S::address(ports)));
        return Ok(ports);
    }
    let server = S::install(&options.cache()?, &step)?;
    step.say("starting");
    let begun = Instant::now();
    let ports = launch_on_free_ports(&server, options, &home)?;
    let seconds = begun.elapsed().as_secs_f32();
    step.done(&format!("answers at {} after {seconds:.1} s", S::address(ports)));
    Ok(ports)
}

/// Asks a server to end; kills it if it does not.
pub(crate) fn stop<S: Server>(options: &Options) -> Result<()> {
    end::<S>(options, |process| process.stop(STOP)).map(drop)
}

/// Kills a server, as a crash would.
pub(crate) fn kill<S: Server>(options: &Options) -> Result<()> {
    end::<S>(options, Process::kill).map(drop)
}

/// Stops a server, if it runs, and deletes its directory.
pub(crate) fn purge<S: Server>(options: &Options) -> Result<()> {
    let home = Home::new(&options.dir, S::NAME)?;
    if home.dir().exists() {
        let _lock = end::<S>(options, |process| process.stop(STOP))?;
        home.delete()?;
    }
    Ok(())
}

/// A server as it is now.
pub(crate) fn status<S: Server>(options: &Options) -> Result<ServerStatus> {
    let home = Home::new(&options.dir, S::NAME)?;
    let process = home.running()?;
    let ports = home.state()?.ports;
    Ok(ServerStatus {
        healthy: process.is_some() && ports.is_some_and(|ports| S::answers(ports, PROBE)),
        version: S::VERSION,
        pid: process.map(|process| process.pid),
        address: ports.map(S::address),
        ports: ports
            .map(|ports| S::PORT_NAMES.into_iter().zip(ports))
            .into_iter()
            .flatten()
            .collect(),
        data: home.data(),
        log: home.log(),
        output: home.output(),
    })
}

/// The server that runs already, once it answers. One that never does is stopped.
fn adopt<S: Server>(home: &Home, step: &Step) -> Result<Option<Ports>> {
    let (Some(process), Some(ports)) = (home.running()?, home.state()?.ports) else {
        return Ok(None);
    };
    step.say("runs already; waiting for its answer");
    match await_answer::<S>(home, process, ports) {
        Ok(()) => Ok(Some(ports)),
        Err(_) if process.stop(STOP) => Ok(None),
        Err(_) => Err(ServicesError::NotStopped { service: S::NAME, pid: process.pid }),
    }
}

fn launch_on_free_ports<S: Server>(server: &S, options: &Options, home: &Home) -> Result<Ports> {
    let range = S::PORT_RANGE;
    let (from, to) = (*range.start(), *range.end());
    let mut attempt = 1;
    loop {
        let ports = ports::choose(home.state()?.ports, &range);
        let ports = ports.ok_or(ServicesError::Ports { service: S::NAME, from, to })?;
        match launch(server, options, home, ports) {
            // Somebody took a port between the look and the start.
            Err(ServicesError::Ended { .. })
                if attempt < PORT_ATTEMPTS && !ports::are_free(&ports) =>
            {
                attempt += 1;
            }
            result => return result.map(|()| ports),
        }
    }
}

fn launch<S: Server>(server: &S, options: &Options, home: &Home, ports: Ports) -> Result<()> {
    let mut command = server.prepare(options, home, ports)?;
    command.current_dir(home.dir());
    let process = spawn_detached(command, &home.output())?;
    home.remember(State { ports: Some(ports), process: Some(process) })?;
    let answer = await_answer::<S>(home, process, ports);
    if answer.is_err() {
        process.kill();
    }
    answer
}

fn await_answer<S: Server>(home: &Home, process: Process, ports: Ports) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < START {
        if !process.is_alive() {
            return Err(ServicesError::Ended {
                service: S::NAME,
                log: home.log(),
                tail: home.tail(),
            });
        }
        if S::answers(ports, PROBE) {
            return Ok(());
        }
        thread::sleep(POLL);
    }
    Err(ServicesError::NotReady { service: S::NAME, seconds: START.as_secs(), log: home.log() })
}

/// Ends a server if it runs, and gives the lock on its directory.
fn end<S: Server>(options: &Options, how: impl FnOnce(Process) -> bool) -> Result<std::fs::File> {
    let step = options.progress.about(S::NAME);
    let mut home = Home::new(&options.dir, S::NAME)?;
    let lock = home.lock()?;
    let Some(process) = home.running()? else {
        step.done("does not run");
        return Ok(lock);
    };
    step.say("stopping");
    if !how(process) {
        return Err(ServicesError::NotStopped { service: S::NAME, pid: process.pid });
    }
    home.remember(State { process: None, ..home.state()? })?;
    step.done("stopped");
    Ok(lock)
}
