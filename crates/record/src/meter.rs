//! What the two ends of the way tell about their requests, for the metrics.

use std::time::Duration;

/// The end of the way that a request went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    Source,
    Sink,
}

/// Is told of each request that has ended. Must not block.
pub trait Meter: Send + Sync + std::fmt::Debug {
    /// `operation` is one of a few names, such as `GetItem`; `code` the HTTP status, or a word
    /// for what kept it from coming.
    fn request(&self, peer: Peer, operation: &'static str, code: &str, took: Duration);
}

/// Measures nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unmetered;

impl Meter for Unmetered {
    fn request(&self, _: Peer, _: &'static str, _: &str, _: Duration) {}
}
