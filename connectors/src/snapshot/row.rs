//! The fixed-size rows of fact segments. Ids are two halves of 64 bits, since an integer of 128 bits
//! would bring padding; texts are numbers of a table that is part of the file ([`super::texts`]).

use abomonation::Abomonation;

use super::codec::Plain;

/// A row that is its own bytes: integers only, no padding.
pub(super) trait FixedRow: Plain + 'static {
    /// Tells its section from others.
    const TAG: u32;
    /// Name, and names and types of the fields: another layout is another text.
    const LAYOUT: &'static str;
}

/// An id of 128 bits, lower half first.
pub(super) type Wide = [u64; 2];

pub(super) fn wide(id: u128) -> Wide {
    [id as u64, (id >> 64) as u64]
}

pub(super) fn whole(id: Wide) -> u128 {
    u128::from(id[0]) | u128::from(id[1]) << 64
}

macro_rules! fixed_rows {
    ($($tag:literal $name:ident { $($field:ident: $type:ty),* })*) => {
        $(
            #[repr(C)]
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub(super) struct $name { $(pub(super) $field: $type),* }

            impl Abomonation for $name {}
            impl Plain for $name {}
            impl FixedRow for $name {
                const TAG: u32 = $tag;
                const LAYOUT: &'static str =
                    concat!(stringify!($name), $(" ", stringify!($field), ":", stringify!($type)),*);
            }
            // No padding: the fields fill the row.
            const _: () = assert!(size_of::<$name>() == 0 $(+ size_of::<$type>())*);
        )*
        /// The layouts of all rows.
        pub(super) const LAYOUTS: &[&str] = &[$($name::LAYOUT),*];
    };
}

fixed_rows! {
    1 TextRow { bytes: u32 }
    2 KnownRow { subject: Wide, by: Wide, occurred_at_ms: i64, account: u32, customer: u32, team: u32,
        is_mention: u32 }
    3 EventRow { subject: Wide, event: u64, group: u64, occurred_at_ms: i64 }
    4 AnonymousRow { subject: Wide, token: Wide, value: u64 }
    5 AttributeRow { subject: Wide, token: Wide, identifier: u64, occurred_at_ms: i64, ordinal: u64,
        name: u32, key: u32, value: u32, identifies: u32 }
    6 IdentifierRow { subject: Wide, token: Wide, value: u64, occurred_at_ms: i64 }
    7 NamingRow { subject: Wide, token: Wide, occurred_at_ms: i64, account: u32, zero: u32 }
    8 MergeRow { first: Wide, second: Wide, occurred_at_ms: i64, ordinal: u64, key: u32, linked: u32 }
    9 AssertionRow { subject: Wide, occurred_at_ms: i64, ordinal: u64, account: u32, segment: u32,
        key: u32, entered: u32 }
    10 TeamRow { subject: Wide, occurred_at_ms: i64, team: u32, zero: u32 }
    11 ErasureRow { subject: Wide, until_ms: i64 }
    12 GroupRow { group: u64, text: u32, zero: u32 }
    13 MembershipRow { t_ms: i64, account: u32, segment: u32, customer: u32, version: u32, entered: u32,
        zero: u32 }
    14 KeyRow { key: Wide, ordinal: u64, arrival_ms: i64 }
    15 PublishedRow { t_ms: i64, view: u32, key_bytes: u32, value_bytes: u32, deleted: u32 }
}
