//! What one token or session gets of the server, so that the others get theirs.
//!
//! Two limits: requests a second, with a reserve for bursts, and requests at the same time. Both
//! are far above what an appliance or a browser does.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use crate::refusal::Refusal;

/// Most callers that are remembered; those who did nothing for a while go first.
const CAPACITY: usize = 10_000;

/// Limits of one token or session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests a second in the long run; 0 for no limit.
    pub per_second: u32,
    /// Requests that may come at once after a while without any.
    pub burst: u32,
    /// Requests that are answered at the same time.
    pub at_once: u32,
}

impl Default for RateLimit {
    fn default() -> Self {
        // An appliance has 8 connections, a browser 6; a server that is told to can do more than
        // 1,000 small requests a second.
        Self { per_second: 1000, burst: 4000, at_once: 48 }
    }
}

#[derive(Clone, Copy)]
struct Share {
    left: f64,
    last: Instant,
    running: u32,
}

pub(crate) struct Rates {
    limit: RateLimit,
    shares: Mutex<HashMap<String, Share>>,
}

/// A request of somebody, as long as it lasts.
pub(crate) struct Place {
    rates: Arc<Rates>,
    caller: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(share) = self.rates.shares().get_mut(&self.caller) {
            share.running = share.running.saturating_sub(1);
        }
    }
}

impl Rates {
    pub(crate) fn new(limit: RateLimit) -> Arc<Self> {
        Arc::new(Self { limit, shares: Mutex::default() })
    }

    fn shares(&self) -> MutexGuard<'_, HashMap<String, Share>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets one more request of that caller in.
    pub(crate) fn enter(self: &Arc<Self>, caller: &str) -> Result<Place, Refusal> {
        self.enter_at(caller, Instant::now())
    }

    fn enter_at(self: &Arc<Self>, caller: &str, now: Instant) -> Result<Place, Refusal> {
        let limit = self.limit;
        let burst = f64::from(limit.burst.max(1));
        let per_second = f64::from(limit.per_second);
        let refill = |share: &Share| {
            let passed = now.saturating_duration_since(share.last).as_secs_f64();
            (share.left + passed * per_second).min(burst)
        };
        let mut shares = self.shares();
        if shares.len() >= CAPACITY && !shares.contains_key(caller) {
            shares.retain(|_, share| share.running > 0 || refill(share) < burst);
        }
        let fresh = Share { left: burst, last: now, running: 0 };
        let share = shares.entry(caller.to_owned()).or_insert(fresh);
        if share.running >= limit.at_once {
            return Err(Refusal::busy("too many requests of this token at the same time", 1));
        }
        if limit.per_second > 0 {
            share.left = refill(share);
            share.last = now;
            if share.left < 1.0 {
                let seconds = ((1.0 - share.left) / per_second).ceil().clamp(1.0, 60.0);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "from 1 to 60"
                )]
                let seconds = seconds as u32;
                return Err(Refusal::busy("too many requests of this token", seconds));
            }
            share.left -= 1.0;
        }
        share.running += 1;
        Ok(Place { rates: Arc::clone(self), caller: caller.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_asks_too_much_waits_and_nobody_else_does() {
        let rates = Rates::new(RateLimit { per_second: 2, burst: 3, at_once: 10 });
        let mut now = Instant::now();
        for _ in 0..3 {
            rates.enter_at("a", now).map(drop).unwrap();
        }
        let refused = rates.enter_at("a", now).err().unwrap();
        assert_eq!((refused.status.as_u16(), refused.retry_after), (429, Some(1)));
        rates.enter_at("b", now).map(drop).unwrap();
        now += Duration::from_millis(500);
        rates.enter_at("a", now).map(drop).unwrap();
        assert!(rates.enter_at("a", now).is_err());
        now += Duration::from_secs(3600);
        for _ in 0..3 {
            rates.enter_at("a", now).map(drop).unwrap();
        }
        assert!(rates.enter_at("a", now).is_err());
    }

    #[test]
    fn a_place_is_free_again_when_its_request_has_ended() {
        let rates = Rates::new(RateLimit { per_second: 0, burst: 0, at_once: 2 });
        let places = [rates.enter("a").unwrap(), rates.enter("a").unwrap()];
        assert_eq!(rates.enter("a").err().unwrap().retry_after, Some(1));
        drop(places);
        rates.enter("a").map(drop).unwrap();
    }

    #[test]
    fn memory_is_bounded() {
        let rates = Rates::new(RateLimit { per_second: 10, burst: 10, at_once: 1 });
        let mut now = Instant::now();
        let held = rates.enter_at("held", now).unwrap();
        for number in 0..3 * CAPACITY {
            rates.enter_at(&number.to_string(), now).map(drop).unwrap();
            now += Duration::from_millis(200);
        }
        assert!(rates.shares().len() <= CAPACITY + 1);
        assert!(rates.enter_at("held", now).is_err());
        drop(held);
    }
}
