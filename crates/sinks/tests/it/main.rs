//! The sinks as their neighbors see them, and what they hold after every kind of failure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a panic here is a failed test"
)]

mod admin;
mod azurite;
mod azurite_contract;
mod careless_store;
mod container_contract;
mod contract;
mod crash;
mod disk;
mod large_emails;
mod machine;
mod mail;
mod object_store;
mod object_store_credentials;
mod outside;
mod platform;
mod power;
mod process;
mod quarantine;
mod sharing;
mod wire;
mod writer;
