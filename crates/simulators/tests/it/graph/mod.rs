//! The Graph face from outside.

mod batch;
mod client;
mod delta;
mod faults;
mod limits;
mod resources;
mod rights;
