//! The program as its users run it: a process, a folder, a simulated Exchange.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a panic here is a failed test, and a test may look at the environment"
)]

mod crashes;
mod harness;
mod memory;
mod operators;
mod real_mail;
mod shards;
mod state;
mod trouble;
mod whole_way;
