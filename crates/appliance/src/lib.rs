//! The appliance: the face of the product that it replaces, and what operators ask of it.
//!
//! Flags, environment and configuration in, [`run::run`] wires source, engine and sink.

pub mod config;
pub mod configuration;
pub mod destination;
pub mod doctor;
pub mod environment;
pub mod exchange;
pub mod exit;
pub mod flags;
pub mod http;
pub mod logging;
pub mod migrate;
pub mod monitor;
pub mod online;
pub mod plan;
pub mod progress;
pub mod redirection;
pub mod replay;
pub mod run;
pub mod shard;
pub mod status;
pub mod status_file;
mod status_url;
mod terms;
pub mod verify;
