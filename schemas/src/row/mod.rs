//! The rows of every output, as they stand on `cebe.out.*` and in the landing tables.
//!
//! A row is one JSON object (`JSONEachRow`), so that the loader only pumps bytes. The key of a
//! landing table is the view's key with `logical_time` and `seq`.

mod event;
mod identity;
mod ledger;
mod metric;
mod progress;
mod rejected;
mod segment;

pub use event::EventRow;
pub use identity::IdentityRow;
pub use ledger::LedgerRow;
pub use metric::MetricRow;
pub use progress::{Progress, ProgressEntry};
pub use rejected::RejectedRow;
pub use segment::SegmentRow;

use crate::view::View;

/// A row on its way out: where it goes and what it says, before it is numbered.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// An accepted event.
    Event(EventRow),
    /// A customer belongs to another person.
    Identity(IdentityRow),
    /// An entry or an exit.
    Segment(SegmentRow),
    /// A rate moved.
    Metric(MetricRow),
    /// A rejected record.
    Rejected(RejectedRow),
    /// A partition's ledger.
    Ledger(LedgerRow),
}

impl Row {
    /// The view that it belongs to.
    pub fn view(&self) -> View {
        match self {
            Row::Event(_) => View::Events,
            Row::Identity(_) => View::Identities,
            Row::Segment(_) => View::Segments,
            Row::Metric(_) => View::Metrics,
            Row::Rejected(_) => View::Rejected,
            Row::Ledger(_) => View::Ledger,
        }
    }
}
