//! The wall clock as a value that is passed in. Waiting is tokio's business, which tests pause.

use chrono::{DateTime, Utc};

/// Tells the time of day. Production has [`SystemClock`], tests and simulations their own.
pub trait Clock: Send + Sync {
    fn now(&self) -> DateTime<Utc>;
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
