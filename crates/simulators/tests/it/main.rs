//! Tests of the simulated servers from outside.

mod client;
mod faults;
mod requests;
mod schema;
mod sign_in;
