//! Processes that outlive the one that started them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::error::{AtPath, Result, ServicesError};

const POLL: Duration = Duration::from_millis(20);

/// A process. Its start tells it apart from a later one that was given the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Clock ticks from the boot of the machine.
    started: u64,
}

impl Process {
    /// The process of that number, unless it is gone or only waits to be reaped.
    fn find(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Self { pid, started: start_of_living(&stat)? })
    }

    pub(crate) fn is_alive(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    /// Whether it is alive and runs in `dir`, which a copied state file cannot pretend.
    pub(crate) fn runs_in(self, dir: &Path) -> bool {
        self.is_alive()
            && fs::read_link(format!("/proc/{}/cwd", self.pid)).is_ok_and(|cwd| cwd == dir)
    }

    /// Asks it to end, waits, then kills it. Says whether it is gone.
    pub(crate) fn stop(self, patience: Duration) -> bool {
        self.signal(Signal::TERM);
        self.wait(patience) || self.kill()
    }

    /// Kills it. Says whether it is gone.
    pub(crate) fn kill(self) -> bool {
        self.signal(Signal::KILL);
        self.wait(Duration::from_secs(10))
    }

    fn signal(self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| self.is_alive()) {
            // It may end by itself in between; whether it is gone is what is looked at afterwards.
            let _ = kill_process(pid, signal);
        }
    }

    fn wait(self, patience: Duration) -> bool {
        let start = Instant::now();
        while self.is_alive() {
            if start.elapsed() > patience {
                return false;
            }
            thread::sleep(POLL);
        }
        true
    }
}

/// The start time in a line of `/proc/PID/stat`; none for a zombie.
fn start_of_living(stat: &str) -> Option<u64> {
    // The name, in parentheses, may hold spaces and parentheses itself.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    let state = fields.next()?;
    // `starttime` is field 22 of the line, and `state` field 3.
    let started = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(started)
}

/// Starts a command in a process group of its own, so that Ctrl-C does not reach it.
pub(crate) fn spawn_detached(mut command: Command, output: &Path) -> Result<Process> {
    use std::os::unix::process::CommandExt;

    let file = File::create(output).at("create", output)?;
    let copy = file.try_clone().at("open", output)?;
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(file).stderr(copy).process_group(0);
    let mut child = command.spawn().map_err(|source| ServicesError::Spawn { program, source })?;
    let pid = child.id();
    let process = Process::find(pid);
    // Reaps it, for as long as this process lives; afterwards init does.
    thread::spawn(move || child.wait());
    // A process that is already gone is found dead by whoever looks.
    Ok(process.unwrap_or(Process { pid, started: 0 }))
}

/// Runs a command to its end and gives what it wrote to stdout; its output explains a failure.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ServicesError::Spawn { program, source })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let arguments = command.get_args().map(|a| a.to_string_lossy().into_owned());
    let program = command.get_program().to_string_lossy().into_owned();
    Err(ServicesError::Command {
        command: std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" "),
        status: output.status.to_string(),
        output: last_lines(&(text(&output.stdout) + &text(&output.stderr)), 20),
    })
}

/// Where on the `PATH` a program is.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

/// The last lines of a text.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(name: &str, state: char) -> String {
        format!("7 ({name}) {state} 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 9876 1000 10")
    }

    #[test]
    fn start_time_is_read_past_any_name() {
        assert_eq!(start_of_living(&stat("java", 'S')), Some(9876));
        assert_eq!(start_of_living(&stat("a) b (c", 'R')), Some(9876));
        assert_eq!(start_of_living(""), None);
    }

    #[test]
    fn zombie_is_dead() {
        assert_eq!(start_of_living(&stat("java", 'Z')), None);
    }

    #[test]
    fn reused_pid_is_another_process() {
        let me = Process::find(std::process::id()).unwrap();
        assert!(me.is_alive());
        assert!(!Process { started: me.started + 1, ..me }.is_alive());
    }

    #[test]
    fn detached_process_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let mut sleep = Command::new("sleep");
        sleep.arg("60").current_dir(dir.path());
        let process = spawn_detached(sleep, &dir.path().join("output")).unwrap();
        assert!(process.runs_in(&dir.path().canonicalize().unwrap()));
        assert!(!process.runs_in(Path::new("/")));
        assert!(process.stop(Duration::from_secs(5)));
        assert!(!process.is_alive());
    }

    #[test]
    fn last_lines_of_a_short_text_are_all() {
        assert_eq!(last_lines("a\nb\nc", 2), "b\nc");
        assert_eq!(last_lines("a", 2), "a");
    }
}
