//! Whether the parts of the process can do their work.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// A shared list of parts, each well or with a reason why not.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<RwLock<BTreeMap<&'static str, Result<(), String>>>>);

impl Health {
    /// All `parts`, none of them ready yet.
    pub fn starting(parts: &[&'static str]) -> Health {
        let starting = |part: &&'static str| (*part, Err("starting".to_owned()));
        Health(Arc::new(RwLock::new(parts.iter().map(starting).collect())))
    }

    /// Says how `part` is.
    pub fn set(&self, part: &'static str, state: Result<(), String>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(part, state);
    }

    /// Whether every part is well.
    pub fn is_ready(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().all(Result::is_ok)
    }

    /// A line a part: `[+]engine ok` or `[-]engine replaying`.
    pub fn report(&self) -> String {
        let parts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let line = |(part, state): (&&str, &Result<(), String>)| match state {
            Ok(()) => format!("[+]{part} ok\n"),
            Err(reason) => format!("[-]{part} {reason}\n"),
        };
        parts.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Health;

    #[test]
    fn ready_when_every_part_is() {
        let health = Health::starting(&["engine", "kafka"]);
        assert!(!health.is_ready());
        health.set("engine", Ok(()));
        assert!(!health.is_ready());
        health.set("kafka", Ok(()));
        assert!(health.is_ready());
        health.set("kafka", Err("no broker answers".into()));
        assert_eq!(health.report(), "[+]engine ok\n[-]kafka no broker answers\n");
    }
}
