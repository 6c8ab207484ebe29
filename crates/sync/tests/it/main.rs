//! The engine against simulated sources, sinks and crashes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a panic here is a failed test"
)]
#![allow(unreachable_pub, reason = "a test binary has nothing to export")]

mod chaos;
mod engine;
mod idle;
mod moving;
mod owners;
mod simulation;
mod trouble;
mod world;
