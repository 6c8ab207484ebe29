//! Where emails come from: one folder for each kind of source.

pub mod ews;
