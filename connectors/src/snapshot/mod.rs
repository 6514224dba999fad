//! Snapshots: everything that the adapter has told the dataflow, in immutable files of an object store, and
//! manifests that name them. A start begins at the newest one that is whole, so that its time depends on
//! what is held and not on how long it took to come together.
//!
//! * [`facts`]: what is held, and `settle`: what of it still matters.
//! * [`published`]: what was published last.
//! * `pack`, `row`, `texts`, `file`, `codec`: rows as the bytes of a file; `content`: what all kinds of them
//!   have in common.
//! * [`store`]: where files are. [`manifest`]: which of them make a state, as of which binding.
//! * [`keeper`]: hands over to the thread that writes both, `desk`; `compaction` merges files in between.
//! * [`reading`]: a state from its files.
//!
//! A file that is torn, damaged or of another version is never repaired: the manifest before is taken, and
//! at last the log.

mod codec;
mod compaction;
mod content;
mod desk;
mod document;
pub mod facts;
mod file;
pub mod keeper;
mod keys;
pub mod manifest;
mod pack;
pub mod published;
pub mod reading;
mod row;
mod settle;
pub mod store;
#[cfg(test)]
mod tests;
mod texts;

pub use compaction::Sizes;
pub use facts::Facts;
pub use file::{Damage, FACTS_VERSION};
pub use keeper::{Keeper, KeptTick, Origin, SealedAt};
pub use manifest::{KindBytes, Manifest, Manifests, PublishedAt};
pub use published::{Published, PublishedOne};
pub use reading::{ReadError, Snapshot};
pub use store::{Store, StoreError};
