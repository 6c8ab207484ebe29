//! The sources against the simulated Exchange.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a panic here is a failed test, and tests read their own environment"
)]

mod access;
mod both_ways;
mod canned;
mod contract;
mod faults;
mod folders;
mod graph_canned;
mod graph_contract;
mod graph_faults;
mod graph_server;
mod graph_service;
mod items;
mod meter;
mod server;
