//! Tests of the simulated servers from outside.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what stands in a test's way fails it"
)]

mod client;
mod faults;
mod graph;
mod peers;
mod platform;
mod requests;
mod schema;
mod sign_in;
