//! The clocks as a value that is passed in. Waiting is tokio's business, which tests pause.

use std::time::Instant;

use chrono::{DateTime, Utc};

/// Tells the time. Production has [`SystemClock`], tests and simulations their own.
pub trait Clock: Send + Sync {
    /// The time of day, which may be set.
    fn now(&self) -> DateTime<Utc>;

    /// A time that only goes forward, for pauses that nobody shortens by setting the clock.
    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
        Utc::now()
    }
}
