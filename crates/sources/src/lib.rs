//! Where emails come from: one folder for each kind of source, and what they share.

mod answer;
pub mod body;
pub mod ews;
pub mod graph;
mod run;
mod tree;
