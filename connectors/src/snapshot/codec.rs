//! Rows as the bytes that they are in memory, by way of abomonation. The one module of the project
//! that may say `unsafe` ([ADR 0008](../../../docs/adr/0008-abomonation.md)).
//!
//! What makes it sound: a [`FixedRow`] consists of integers without padding, so each of its bytes is
//! initialised when it is written, and any bytes are a valid row when they are read; it holds no pointer,
//! so abomonation follows none; and reading checks the alignment. That the bytes are *right* is checked
//! before, by a checksum and a hash of the layout ([`super::file`]).
#![allow(unsafe_code)]

use abomonation::Abomonation;

use super::row::FixedRow;

/// Marks a row type; only [`super::row`] implements it, for types that it has checked.
pub(super) trait Plain: Abomonation + Copy {}

/// Appends `rows`.
pub(super) fn write<R: FixedRow>(rows: &[R], out: &mut Vec<u8>) {
    out.reserve(size_of_val(rows));
    for row in rows {
        // SAFETY: a plain row has no padding and owns nothing. Writing to a vector cannot fail.
        let _ = unsafe { abomonation::encode(row, out) };
    }
}

/// All rows in `bytes`; none unless these are aligned and hold whole rows.
pub(super) fn read<R: FixedRow>(mut bytes: &mut [u8]) -> Option<Vec<R>> {
    if bytes.as_ptr().align_offset(align_of::<R>()) != 0
        || !bytes.len().is_multiple_of(size_of::<R>())
    {
        return None;
    }
    let mut rows = Vec::with_capacity(bytes.len() / size_of::<R>());
    // SAFETY: aligned, since each row's size is a multiple of its alignment; any bytes are a valid row;
    // and there is no pointer that decoding could follow.
    while let Some((row, rest)) = unsafe { abomonation::decode::<R>(bytes) } {
        rows.push(*row);
        bytes = rest;
    }
    Some(rows)
}
