//! Servers that speak the real protocols to demos, tests and strangers.

pub mod command;
pub mod exchange;
pub mod generate;
mod listener;
pub mod load;
pub mod platform;
mod tls;
