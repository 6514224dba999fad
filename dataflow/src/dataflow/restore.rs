//! A state that is given again: all facts that an earlier run holds at some logical time, in parts, and
//! none of what was published of them.

use cebe_schemas::change::{Membership, TickOutput};
use cebe_schemas::fact::TickInput;
use cebe_schemas::time::Millis;

use super::Dataflow;
use crate::error::DataflowError;
use crate::publish::Memberships;

/// The parts are taken in at logical times of their own, the first of them this long before.
const PARTS_MAX: Millis = 100_000;

/// Takes in a state in parts.
pub struct Restore<'d> {
    dataflow: &'d mut Dataflow,
    t_ms: Millis,
    next_ms: Millis,
}

impl Dataflow {
    /// Begins to take in what a run held after its tick at `t_ms`. Only before the first tick.
    pub fn restore(&mut self, t_ms: Millis) -> Restore<'_> {
        self.is_restoring = true;
        self.tell_again(t_ms)
    }

    /// The same, but everything that follows from the facts is told: for whoever does not know what was
    /// published of them.
    pub fn tell_again(&mut self, t_ms: Millis) -> Restore<'_> {
        Restore { next_ms: t_ms.saturating_sub(PARTS_MAX).max(0), t_ms, dataflow: self }
    }
}

impl Restore<'_> {
    /// Takes in a part of the facts, in any order; the first brings definitions and settings too. Unless all
    /// is [told again](Dataflow::tell_again), the output tells nothing but which identifiers are erased along
    /// with customers.
    ///
    /// # Errors
    /// As [`Dataflow::tick`]; [`DataflowError::TimeNotLater`] after 100,000 parts.
    pub fn take_in(&mut self, part: TickInput) -> Result<TickOutput, DataflowError> {
        if self.next_ms >= self.t_ms {
            return Err(DataflowError::TimeNotLater { t_ms: self.t_ms, last_ms: self.next_ms });
        }
        let output = self.dataflow.tick(TickInput { t_ms: self.next_ms, ..part })?;
        self.next_ms += 1;
        Ok(output)
    }

    /// Ends the state, to which these entries and exits belong: the next tick follows as it would have.
    ///
    /// # Errors
    /// As [`Dataflow::tick`].
    pub fn finish(self, memberships: &[Membership]) -> Result<TickOutput, DataflowError> {
        let Restore { dataflow, t_ms, .. } = self;
        let output = dataflow.tick(TickInput { t_ms, ..TickInput::default() })?;
        dataflow.recall_members(memberships);
        dataflow.is_restoring = false;
        Ok(output)
    }
}

impl Dataflow {
    /// These entries are what was published, whoever belongs: by which version a person entered is told when
    /// it leaves.
    pub fn recall_members(&mut self, memberships: &[Membership]) {
        self.members = Memberships::default();
        for membership in memberships.iter().filter(|membership| membership.entered) {
            let Membership { account_id, segment_id, customer_id, .. } = membership;
            let segment = self.names.segment_id(account_id, segment_id);
            self.members.enter(segment, customer_id, membership.definition_version);
        }
    }
}
