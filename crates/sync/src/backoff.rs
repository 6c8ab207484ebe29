//! Growing pauses between attempts.

use std::time::Duration;

use rand::{Rng, RngExt};

/// Doubles the pause after each failure, from `first` to `most`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// In milliseconds, like `most`: each idle mailbox has several of these.
    first: u32,
    most: u32,
    failures: u32,
}

impl Backoff {
    pub fn new(first: Duration, most: Duration) -> Self {
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        Self { first: millis(first), most: millis(most), failures: 0 }
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The pause after one more failure: between three quarters and all of the doubled pause, so
    /// that mailboxes which failed together do not come back together.
    pub fn failed(&mut self, rng: &mut dyn Rng) -> Duration {
        let doubled = self.first.saturating_mul(1_u32 << self.failures.min(20));
        self.failures = self.failures.saturating_add(1);
        Duration::from_millis(doubled.min(self.most).into()).mul_f64(rng.random_range(0.75..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn grows_to_its_limit_and_starts_again_after_a_success() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let mut backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(3600));
        let mut last = Duration::ZERO;
        for _ in 0..8 {
            let pause = backoff.failed(&mut rng);
            assert!(pause > last, "{pause:?} after {last:?}");
            last = pause;
        }
        for _ in 0..100 {
            assert!(backoff.failed(&mut rng) <= Duration::from_secs(3600));
        }
        assert!(backoff.failed(&mut rng) >= Duration::from_secs(2700));
        backoff.succeeded();
        assert!(backoff.failed(&mut rng) <= Duration::from_secs(10));
    }
}
