//! The simulated platform: what it takes, what it refuses, and what it gives back.

mod client;
mod emails;
mod faults;
mod large;
mod official_client;
mod states;
mod strictness;
