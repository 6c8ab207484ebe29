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

mod admin_remote;
mod containers;
mod crashes;
mod doctor;
mod doctor_graph;
mod doctor_sign_in;
mod doctor_tls;
mod durable;
mod graph;
mod graph_move;
mod harness;
mod health;
mod limits;
mod machine;
mod memory;
mod network;
mod operators;
mod platform_container;
mod power;
mod prometheus;
mod real_mail;
mod remote_config;
mod replay;
mod shards;
mod startup;
mod state;
mod to_container;
mod to_platform;
mod to_serve;
mod trouble;
mod upgrade;
mod whole_way;
