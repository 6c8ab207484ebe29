//! What tests share: in-memory sources and sinks, clocks, and the contracts that every source
//! and every sink must pass.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic here is a failed test"
)]

pub mod azurite;
pub mod fleet;
pub mod memory_sink;
pub mod memory_source;
pub mod official_client;
pub mod oidc_provider;
mod peers;
pub mod platform_contract;
pub mod postgres;
pub mod proxy;
pub mod seaweedfs;
pub mod sink_contract;
pub mod source_contract;
