//! The rows of every output, as they stand on `cebe.out.*` and in the landing tables.
//!
//! A row is one JSON object (`JSONEachRow`), so that the loader only pumps bytes. The key of a
//! landing table is the view's key with `logical_time` and `seq`.

mod backfill;
mod customer;
mod definition;
mod erasure;
mod event;
mod identity;
mod ledger;
mod metric;
mod object;
mod progress;
mod quarantine;
mod read;
mod reconciliation;
mod rejected;
mod seen;
mod segment;
#[cfg(test)]
mod tests;
mod turn;

pub use backfill::BackfillRow;
pub use customer::CustomerRow;
pub use definition::DefinitionRow;
pub use erasure::ErasureRow;
pub use event::EventRow;
pub use identity::IdentityRow;
pub use ledger::LedgerRow;
pub use metric::MetricRow;
pub use progress::{Progress, ProgressEntry};
pub use quarantine::QuarantineRow;
pub use read::RowError;
pub use reconciliation::ReconciliationRow;
pub use rejected::RejectedRow;
pub use seen::SeenRow;
pub use segment::SegmentRow;

use crate::json::write::write_texts;
use crate::time::Millis;
use crate::view::View;
use object::Object;

/// A row on its way out: where it goes and what it says, before it is numbered.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// An accepted event.
    Event(EventRow),
    /// A customer belongs to another person.
    Identity(IdentityRow),
    /// A person has another profile.
    Customer(CustomerRow),
    /// A person was seen earlier or later.
    Seen(SeenRow),
    /// An entry or an exit.
    Segment(SegmentRow),
    /// A rate moved.
    Metric(MetricRow),
    /// A customer is kept from being linked.
    Quarantine(QuarantineRow),
    /// Something was erased.
    Erasure(ErasureRow),
    /// A definition came into force.
    Definition(DefinitionRow),
    /// A rejected record.
    Rejected(RejectedRow),
    /// A partition's ledger.
    Ledger(LedgerRow),
    /// An hour of a source.
    Reconciliation(ReconciliationRow),
    /// A backfill.
    Backfill(BackfillRow),
}

impl Row {
    /// The view that it belongs to.
    pub fn view(&self) -> View {
        match self {
            Row::Event(_) => View::Events,
            Row::Identity(_) => View::Identities,
            Row::Customer(_) => View::Customers,
            Row::Seen(_) => View::Seen,
            Row::Segment(_) => View::Segments,
            Row::Metric(_) => View::Metrics,
            Row::Quarantine(_) => View::Quarantine,
            Row::Erasure(_) => View::Erasures,
            Row::Definition(_) => View::Definitions,
            Row::Rejected(_) => View::Rejected,
            Row::Ledger(_) => View::Ledger,
            Row::Reconciliation(_) => View::Reconciliation,
            Row::Backfill(_) => View::Backfills,
        }
    }

    /// The logical time that it belongs to.
    pub fn logical_time(&self) -> Millis {
        match self {
            Row::Event(row) => row.logical_time,
            Row::Identity(row) => row.logical_time,
            Row::Customer(row) => row.logical_time,
            Row::Seen(row) => row.logical_time,
            Row::Segment(row) => row.logical_time,
            Row::Metric(row) => row.logical_time,
            Row::Quarantine(row) => row.logical_time,
            Row::Erasure(row) => row.logical_time,
            Row::Definition(row) => row.logical_time,
            Row::Rejected(row) => row.logical_time,
            Row::Ledger(row) => row.logical_time,
            Row::Reconciliation(row) => row.logical_time,
            Row::Backfill(row) => row.logical_time,
        }
    }

    /// Appends the row as one JSON object. `seq`: its number within (view, partition, logical time).
    pub fn write(&self, seq: u32, out: &mut Vec<u8>) {
        let mut object = Object::begin(out);
        match self {
            Row::Event(row) => row.write(seq, &mut object),
            Row::Identity(row) => row.write(seq, &mut object),
            Row::Customer(row) => row.write(seq, &mut object),
            Row::Seen(row) => row.write(seq, &mut object),
            Row::Segment(row) => row.write(seq, &mut object),
            Row::Metric(row) => row.write(seq, &mut object),
            Row::Quarantine(row) => row.write(seq, &mut object),
            Row::Erasure(row) => row.write(seq, &mut object),
            Row::Definition(row) => row.write(seq, &mut object),
            Row::Rejected(row) => row.write(seq, &mut object),
            Row::Ledger(row) => row.write(seq, &mut object),
            Row::Reconciliation(row) => row.write(seq, &mut object),
            Row::Backfill(row) => row.write(seq, &mut object),
        }
        object.end();
    }
}

/// Appends the key of a row, as records carry it: a JSON array of strings.
pub fn write_key(parts: &[&str], out: &mut Vec<u8>) {
    write_texts(parts.iter().copied(), out);
}
