//! What the development services are told.

use std::path::{Path, PathBuf};

use crate::{
    cache,
    error::{AtPath, Result, ServicesError},
    progress::Progress,
};

/// Where one pair of servers lives, and who is told about its progress.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything of this pair: configuration, data, logs. Two directories are two pairs.
    pub dir: PathBuf,
    /// The downloads, which pairs share; `$XDG_CACHE_HOME/cebe` unless told.
    pub cache: Option<PathBuf>,
    /// Where to say what is going on.
    pub progress: Progress,
    /// A further way into Kafka, which leads through a proxy.
    pub kafka_detour: Option<Detour>,
    /// Whether they live for long and are measured: Kafka compiles itself thoroughly, which costs a small machine
    /// more at the start than it gives back in a test.
    pub is_long_lived: bool,
}

/// A Kafka client goes where the broker tells it to, so that a proxy before the bootstrap address
/// alone is soon bypassed. Here the broker listens on a port more and tells those who come in by it
/// to come back by another one: the proxy's.
#[derive(Clone, Copy, Debug)]
pub struct Detour {
    /// The broker's port on loopback, which only the proxy connects to.
    pub listens: u16,
    /// The proxy's port on loopback.
    pub advertised: u16,
}

impl Options {
    /// A pair in a directory of its own, silent.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            cache: None,
            progress: Progress::silent(),
            kafka_detour: None,
            is_long_lived: false,
        }
    }

    /// The pair of this checkout: in `.dev` at the root of the workspace, found from the current
    /// directory upwards.
    pub fn of_checkout() -> Result<Self> {
        let here = std::env::current_dir().at("find", ".")?;
        let root = here.ancestors().find(|dir| is_checkout(dir));
        Ok(Self::new(root.ok_or(ServicesError::NoCheckout)?.join(".dev")))
    }

    pub(crate) fn cache(&self) -> Result<PathBuf> {
        self.cache.clone().map_or_else(cache::default_dir, Ok)
    }
}

fn is_checkout(dir: &Path) -> bool {
    dir.join("deploy/dev/Cargo.toml").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkout_is_found_from_within() {
        // Tests run in the directory of their package.
        let options = Options::of_checkout().unwrap();
        assert!(options.dir.ends_with(".dev"));
        assert!(is_checkout(options.dir.parent().unwrap()));
    }
}
