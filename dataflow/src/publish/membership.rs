//! Who belongs to which segment since when it was published, by which version of its definition.

use std::collections::HashMap;
use std::sync::Arc;

use crate::row::SegmentId;

/// The version at entry of each (segment, canonical id) that belongs.
#[derive(Debug, Default)]
pub struct Memberships(HashMap<(SegmentId, Arc<str>), u32>);

impl Memberships {
    /// The person enters by `version`, which is returned.
    pub fn enter(&mut self, segment: SegmentId, customer: &Arc<str>, version: u32) -> u32 {
        self.0.insert((segment, customer.clone()), version);
        version
    }

    /// The version by which the person entered; none: it does not belong.
    pub fn version(&self, segment: SegmentId, customer: &Arc<str>) -> Option<u32> {
        self.0.get(&(segment, customer.clone())).copied()
    }

    /// The person exits; the version by which it had entered.
    pub fn exit(&mut self, segment: SegmentId, customer: &Arc<str>) -> u32 {
        self.0.remove(&(segment, customer.clone())).unwrap_or_default()
    }
}
