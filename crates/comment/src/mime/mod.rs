//! The structure of a message (RFC 2045 to 2047, 2231, 5322): headers, parts, their decoding.

pub(crate) mod date;
mod field;
mod file;
pub(crate) mod parameters;
pub(crate) mod smime;
pub(crate) mod transfer;
pub(crate) mod walk;
pub(crate) mod words;

pub(crate) use field::{Fields, end_of_fields};
pub use file::File;
pub(crate) use file::{Location, measure, unwrap};
