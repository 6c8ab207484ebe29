//! How many requests may be made: for an app registration, and for a mailbox.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// Parts into which a span is divided to count. The more, the closer a steady rate comes to what
/// is allowed: with twenty, to 95 %.
const PARTS: u64 = 20;
/// A span of the full length can touch one part more.
const KEPT: usize = PARTS as usize + 1;

/// At most `requests` in any span of `per`. A batch counts each of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub requests: u32,
    pub per: Duration,
}

impl Allowance {
    /// What Graph allows one app registration, for all mailboxes together.
    ///
    /// Spec: "Microsoft Graph service-specific throttling limits", global limits.
    pub const APPLICATION: Self = Self { requests: 130_000, per: Duration::from_secs(10) };
    /// What Graph allows one app registration in one mailbox.
    ///
    /// Spec: the same page, Outlook service limits.
    pub const MAILBOX: Self = Self { requests: 10_000, per: Duration::from_secs(600) };

    /// Nothing could ever be asked with less than one.
    fn most(self) -> u32 {
        self.requests.max(1)
    }

    /// Largest number of requests that can be made at once.
    pub(super) fn at_once(self) -> usize {
        usize::try_from(self.most()).unwrap_or(usize::MAX)
    }
}

/// Counts the requests of the latest span.
///
/// Time is cut into parts, and all parts that a span can touch together are kept within the
/// allowance, so that no span holds more, wherever it begins.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    /// Requests in each part; part `n` has its place at `n % KEPT`.
    counts: [u32; KEPT],
    /// Number of the latest part that was counted.
    latest: u64,
}

impl Window {
    /// Counts `requests` made `now`, a time since some fixed moment.
    ///
    /// # Errors
    ///
    /// They are too many now and were not counted; how long it takes until they may be made.
    pub(super) fn take(
        &mut self,
        allowance: Allowance,
        now: Duration,
        requests: u32,
    ) -> Result<(), Duration> {
        let part = allowance.per.as_nanos() / u128::from(PARTS);
        if part == 0 {
            return Ok(());
        }
        let current = u64::try_from(now.as_nanos() / part).unwrap_or(u64::MAX);
        self.forget_before(current);
        let most = allowance.most();
        let wanted = requests.min(most);
        let spent: u32 = self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count));
        if spent.saturating_add(wanted) <= most {
            if let Some(count) = self.counts.get_mut(place(self.latest)) {
                *count += wanted;
            }
            return Ok(());
        }
        // The oldest parts go first, one with the end of each part.
        let mut left = spent;
        let mut parts = 0;
        while left.saturating_add(wanted) > most && parts < KEPT as u64 {
            parts += 1;
            let oldest = self.counts.get(place(self.latest + parts)).copied();
            left = left.saturating_sub(oldest.unwrap_or(0));
        }
        let free_at = part * (u128::from(self.latest) + u128::from(parts));
        let wait = free_at.saturating_sub(now.as_nanos());
        Err(Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)).max(MIN_WAIT))
    }

    fn forget_before(&mut self, current: u64) {
        // A clock that stands still or goes back is no reason to forget.
        let passed = current.saturating_sub(self.latest);
        for step in 1..=passed.min(KEPT as u64) {
            if let Some(count) = self.counts.get_mut(place(self.latest + step)) {
                *count = 0;
            }
        }
        self.latest = self.latest.max(current);
    }
}

/// Timers have this resolution.
const MIN_WAIT: Duration = Duration::from_millis(1);

fn place(part: u64) -> usize {
    (part % KEPT as u64) as usize
}

/// The requests of one app registration.
#[derive(Debug)]
pub(super) struct Budget {
    allowance: Allowance,
    /// Moment from which time is counted.
    since: Instant,
    window: Mutex<Window>,
    /// Who waits for many requests is not overtaken by those who want few.
    queue: tokio::sync::Mutex<()>,
}

impl Budget {
    pub(super) fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            since: Instant::now(),
            window: Mutex::default(),
            queue: tokio::sync::Mutex::new(()),
        }
    }

    pub(super) fn allowance(&self) -> Allowance {
        self.allowance
    }

    /// Waits until `requests` may be made, and counts them.
    pub(super) async fn spend(&self, requests: u32) {
        let _turn = self.queue.lock().await;
        loop {
            let now = self.since.elapsed();
            let taken = {
                let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
                window.take(self.allowance, now, requests)
            };
            match taken {
                Ok(()) => return,
                Err(wait) => sleep(wait).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    /// The most requests in any span of `per`, ends included on the left.
    fn most_in_a_span(log: &[(Duration, u32)], per: Duration) -> u32 {
        let from = |start: &(Duration, u32)| {
            let inside = log.iter().filter(|(at, _)| (start.0..start.0 + per).contains(at));
            inside.map(|(_, requests)| requests).sum()
        };
        log.iter().map(from).max().unwrap_or(0)
    }

    #[tokio::test(start_paused = true)]
    async fn an_application_never_makes_more_requests_than_it_may() {
        let allowance = Allowance { requests: 50, per: Duration::from_secs(1) };
        let budget = Arc::new(Budget::new(allowance));
        let began = Instant::now();
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut mailboxes = tokio::task::JoinSet::new();
        // Several mailboxes at once: some ask one by one, some in batches.
        for mailbox in 0..8_u32 {
            let (budget, log) = (Arc::clone(&budget), Arc::clone(&log));
            mailboxes.spawn(async move {
                for round in 0..40 {
                    let requests = if mailbox % 2 == 0 { 1 } else { 1 + (round + mailbox) % 20 };
                    budget.spend(requests).await;
                    log.lock().unwrap().push((began.elapsed(), requests));
                }
            });
        }
        mailboxes.join_all().await;
        let log = log.lock().unwrap();
        let total: u32 = log.iter().map(|(_, requests)| requests).sum();
        assert!(most_in_a_span(&log, allowance.per) <= allowance.requests);
        // Nor does it stand idle: 20 parts of 21 are used.
        let least = Duration::from_secs_f64(f64::from(total) / 50.0);
        assert!(began.elapsed() < least.mul_f64(1.3), "{total} took {:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_not_overtaken_for_ever() {
        let allowance = Allowance { requests: 20, per: Duration::from_secs(1) };
        let budget = Arc::new(Budget::new(allowance));
        let began = Instant::now();
        let mut others = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let budget = Arc::clone(&budget);
            others.spawn(async move {
                for _ in 0..100 {
                    budget.spend(1).await;
                    // A request takes its time.
                    sleep(Duration::from_millis(70)).await;
                }
            });
        }
        sleep(Duration::from_millis(500)).await;
        budget.spend(20).await;
        assert!(began.elapsed() <= Duration::from_secs(3), "{:?}", began.elapsed());
        others.join_all().await;
        assert!(began.elapsed() > Duration::from_secs(14), "{:?}", began.elapsed());
    }

    #[test]
    fn the_pause_told_is_long_enough_and_no_longer() {
        let allowance = Allowance { requests: 10, per: Duration::from_secs(20) };
        let mut window = Window::default();
        window.take(allowance, Duration::from_millis(500), 6).unwrap();
        window.take(allowance, Duration::from_millis(4500), 4).unwrap();
        let now = Duration::from_secs(10);
        let wait = window.take(allowance, now, 1).unwrap_err();
        assert_eq!(now + wait, Duration::from_secs(21));
        assert!(window.take(allowance, now + wait - Duration::from_millis(1), 1).is_err());
        window.take(allowance, now + wait, 6).unwrap();
        let wait = window.take(allowance, now + wait, 1).unwrap_err();
        assert_eq!(wait, Duration::from_secs(4));
    }

    proptest! {
        #[test]
        fn no_span_holds_more_than_is_allowed(
            steps in prop::collection::vec((0_u64..400, 1_u32..25), 1..120),
            most in 1_u32..60,
        ) {
            let allowance = Allowance { requests: most, per: Duration::from_millis(1000) };
            let mut window = Window::default();
            let mut now = Duration::ZERO;
            let mut log = Vec::new();
            for (pause, requests) in steps {
                now += Duration::from_millis(pause);
                match window.take(allowance, now, requests) {
                    Ok(()) => log.push((now, requests.min(most))),
                    Err(wait) => {
                        now += wait;
                        prop_assert!(window.take(allowance, now, requests).is_ok());
                        log.push((now, requests.min(most)));
                    }
                }
            }
            prop_assert!(most_in_a_span(&log, allowance.per) <= most);
        }
    }
}
