//! The rates as they were published last.

use std::collections::HashMap;

use cebe_schemas::change::Rate;

use crate::row::RateKey;

/// The value of each rate with anybody in it.
#[derive(Debug, Default)]
pub struct Values(HashMap<RateKey, Rate>);

impl Values {
    /// It is this from now on.
    pub fn set(&mut self, key: RateKey, value: Rate) {
        match value == Rate::default() {
            true => drop(self.0.remove(&key)),
            false => drop(self.0.insert(key, value)),
        }
    }

    /// What it is; 0/0 with nobody in it.
    pub fn get(&self, key: &RateKey) -> Rate {
        self.0.get(key).copied().unwrap_or_default()
    }
}
