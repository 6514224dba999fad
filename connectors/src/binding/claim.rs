//! How one engine comes to append bindings, without a lock and without an election.
//!
//! 1. A starting engine appends a *claim* for the next generation and reads it back. If another
//!    engine's claim for that generation came first, it claims the one after.
//! 2. It then waits. An engine that appends bindings answers a foreign claim at once by appending
//!    one more, an empty one if there is nothing to bind. If the starter reads a binding of another
//!    generation after its claim, another engine is running: it stops ([`ClaimError::Running`]).
//! 3. After silence it takes over: it appends an empty binding of its own generation. Read back,
//!    it is the holder; if another binding was first, that engine is running, as in 2.
//! 4. A holder that reads a binding of another generation is fenced ([`ClaimError::Fenced`]) and
//!    must stop. One that was frozen reads this when it wakes; what it appends before that has a
//!    number that is taken and is ignored by everybody.
//!
//! An earlier claimant needs no rule of its own: its takeover is the answer to later ones.
//! Waiting too short costs a takeover that was not needed, never a wrong result: what counts is
//! decided by the order of the log alone ([`super::chain`]).

use super::ClaimRecord;
use super::chain::{Chain, Reading};

/// Why this engine may not append.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ClaimError {
    /// It is starting, and another one appends.
    #[error("another engine (generation {generation}, id {engine}) is running: stop it first")]
    Running {
        /// The generation of the other.
        generation: u64,
        /// The id of the other.
        engine: String,
    },
    /// It was the one that appends; now another one is.
    #[error(
        "fenced: an engine of generation {generation} (id {engine}) has taken over; \
         this one must stop"
    )]
    Fenced {
        /// The generation of the other.
        generation: u64,
        /// The id of the other.
        engine: String,
    },
}

/// What the engine has to append now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Nothing,
    /// Nothing until this many milliseconds have passed, unless something is read before.
    Wait(u64),
    /// This claim.
    Claim(ClaimRecord),
    /// An empty binding of this generation: the takeover.
    TakeOver(u64),
    /// Any binding of this generation: the answer to a foreign claim.
    Answer(u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Claiming { generation: u64 },
    Waiting { generation: u64, since_ms: u64 },
    TakingOver { generation: u64 },
    Holding { generation: u64, answer_due: bool },
}

/// One engine's standing. `now_ms` is any monotonic clock.
#[derive(Clone, Debug)]
pub struct Claim {
    engine: String,
    wait_ms: u64,
    state: State,
}

impl Claim {
    /// The standing of a process that just started: `engine` must be unique to it.
    pub fn new(engine: String, wait_ms: u64) -> Claim {
        Claim { engine, wait_ms, state: State::Starting }
    }

    /// The generation that it may append bindings with; none before it has taken over.
    pub fn holding(&self) -> Option<u64> {
        match self.state {
            State::Holding { generation, .. } => Some(generation),
            _ => None,
        }
    }

    /// Whether its claim stands and the answer, if there is one, is still to come.
    pub fn waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    /// Whether a starting engine waits to hear from this one.
    pub fn answer_due(&self) -> bool {
        matches!(self.state, State::Holding { answer_due: true, .. })
    }

    /// The id of this engine.
    pub fn engine(&self) -> &str {
        &self.engine
    }

    /// What to append now; asked again only after something was read or time has passed.
    pub fn next(&mut self, chain: &Chain, now_ms: u64) -> Action {
        match self.state {
            State::Starting => {
                let generation = chain.claimed() + 1;
                self.state = State::Claiming { generation };
                Action::Claim(ClaimRecord { generation, engine: self.engine.clone() })
            }
            State::Waiting { generation, since_ms } => {
                let left_ms = (since_ms + self.wait_ms).saturating_sub(now_ms);
                if left_ms > 0 {
                    return Action::Wait(left_ms);
                }
                self.state = State::TakingOver { generation };
                Action::TakeOver(generation)
            }
            State::TakingOver { generation } => Action::TakeOver(generation),
            State::Holding { generation, answer_due: true } => Action::Answer(generation),
            State::Claiming { .. } | State::Holding { .. } => Action::Nothing,
        }
    }

    /// Takes in what `chain` just made of a record.
    ///
    /// # Errors
    /// [`ClaimError`]: this engine must stop.
    pub fn read(
        &mut self,
        reading: &Reading,
        chain: &Chain,
        now_ms: u64,
    ) -> Result<(), ClaimError> {
        match reading {
            Reading::Late => Ok(()),
            Reading::Claim(claim) => {
                self.read_claim(claim, now_ms);
                Ok(())
            }
            Reading::Binding(binding) => self.read_binding(binding.generation, chain),
        }
    }

    fn read_claim(&mut self, claim: &ClaimRecord, now_ms: u64) {
        let own = claim.engine == self.engine;
        match &mut self.state {
            State::Claiming { generation } if *generation == claim.generation => {
                self.state = if own {
                    State::Waiting { generation: claim.generation, since_ms: now_ms }
                } else {
                    State::Starting
                };
            }
            State::Holding { answer_due, .. } if !own => *answer_due = true,
            _ => {}
        }
    }

    fn read_binding(&mut self, by: u64, chain: &Chain) -> Result<(), ClaimError> {
        let engine = || chain.engine(by).unwrap_or("unknown").to_owned();
        match self.state {
            State::TakingOver { generation } | State::Holding { generation, .. }
                if generation == by =>
            {
                self.state = State::Holding { generation, answer_due: false };
                Ok(())
            }
            State::Holding { .. } => Err(ClaimError::Fenced { generation: by, engine: engine() }),
            State::Waiting { .. } | State::TakingOver { .. } => {
                Err(ClaimError::Running { generation: by, engine: engine() })
            }
            State::Starting | State::Claiming { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
