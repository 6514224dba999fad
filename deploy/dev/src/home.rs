//! The directory of one server: its configuration, data, logs, and what is remembered of it.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{AtPath, Result, ServicesError},
    ports::Ports,
    process::{Process, last_lines},
};

/// What is remembered of a server between two commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) ports: Option<Ports>,
    pub(crate) process: Option<Process>,
}

/// A server's directory. The server runs in it, so that its configuration needs no absolute path.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    dir: PathBuf,
}

impl Home {
    /// The directory of the server `name` under `root`, which need not exist yet.
    pub(crate) fn new(root: &Path, name: &str) -> Result<Self> {
        let dir = root.join(name);
        // A process tells its directory with every symbolic link resolved.
        let dir = match dir.canonicalize() {
            Ok(dir) => dir,
            Err(_) => std::path::absolute(&dir).at("resolve", &dir)?,
        };
        Ok(Self { dir })
    }

    /// Makes it, and waits until no other command works on it.
    pub(crate) fn lock(&mut self) -> Result<File> {
        fs::create_dir_all(&self.dir).at("create", &self.dir)?;
        self.dir = self.dir.canonicalize().at("resolve", &self.dir)?;
        lock(&self.dir.join("lock"))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// What the server logs.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// What the server prints, which matters when it cannot log yet.
    pub(crate) fn output(&self) -> PathBuf {
        self.dir.join("output.log")
    }

    /// The end of what it printed and logged.
    pub(crate) fn tail(&self) -> String {
        let end = |path| {
            let text = fs::read(path).unwrap_or_default();
            last_lines(&String::from_utf8_lossy(&text), 10)
        };
        [end(self.log()), end(self.output())].join("\n").trim().to_owned()
    }

    /// Writes a configuration file.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, text).at("write", path)
    }

    pub(crate) fn state(&self) -> Result<State> {
        let path = self.state_path();
        match fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json)
                .map_err(|source| ServicesError::State { path, source }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(error).at("read", path),
        }
    }

    /// Replaces the state as a whole, whenever this is interrupted.
    pub(crate) fn remember(&self, state: State) -> Result<()> {
        let path = self.state_path();
        let json = serde_json::to_vec(&state)
            .map_err(|source| ServicesError::State { path: path.clone(), source })?;
        let partial = self.dir.join("state.json.partial");
        fs::write(&partial, json).at("write", &partial)?;
        fs::rename(&partial, &path).at("replace", path)
    }

    /// The server that runs in it.
    pub(crate) fn running(&self) -> Result<Option<Process>> {
        Ok(self.state()?.process.filter(|process| process.runs_in(&self.dir)))
    }

    /// Deletes it with everything in it.
    pub(crate) fn delete(&self) -> Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).at("delete", &self.dir),
            _ => Ok(()),
        }
    }

    fn state_path(&self) -> PathBuf {
        self.dir.join("state.json")
    }
}

/// Waits for a lock file; it is released when the file is dropped.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let file = File::options().create(true).append(true).open(path).at("open", path)?;
    file.lock().at("lock", path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_remembered() {
        let root = tempfile::tempdir().unwrap();
        let mut home = Home::new(root.path(), "kafka").unwrap();
        assert_eq!(home.state().unwrap(), State::default());
        let _lock = home.lock().unwrap();
        let state = State { ports: Some([1, 2]), process: None };
        home.remember(state).unwrap();
        assert_eq!(home.state().unwrap(), state);
        assert_eq!(home.running().unwrap(), None);
    }

    #[test]
    fn broken_state_names_the_file() {
        let root = tempfile::tempdir().unwrap();
        let mut home = Home::new(root.path(), "kafka").unwrap();
        let _lock = home.lock().unwrap();
        home.write("state.json", "{").unwrap();
        assert!(home.state().unwrap_err().to_string().contains("kafka/state.json"));
    }

    #[test]
    fn absent_directory_is_deleted_already() {
        let root = tempfile::tempdir().unwrap();
        Home::new(root.path(), "kafka").unwrap().delete().unwrap();
    }
}
