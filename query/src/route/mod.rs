//! One file a resource.

pub(crate) mod customer;
pub(crate) mod operation;
