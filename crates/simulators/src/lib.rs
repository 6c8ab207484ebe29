//! Servers that speak the real protocols to demos, tests and strangers.

pub mod command;
pub mod exchange;
pub mod generate;
pub mod load;
