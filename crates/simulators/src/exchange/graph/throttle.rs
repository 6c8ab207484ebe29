//! The limits of the service for each app and mailbox, and who came near them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::GraphOptions;

/// Parts of a period in which requests are counted.
const SLICES: u64 = 60;

/// What one app did to one mailbox. Requests in batches count one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphUsage {
    /// Client id of the app.
    pub app: String,
    pub mailbox: String,
    pub requests: u64,
    /// Requests that were refused because of a limit.
    pub throttled: u64,
    /// Most requests that the app wanted to have running at once, those that were refused
    /// included.
    pub most_concurrent: usize,
    /// Most requests in one period, without those that were refused.
    pub most_in_period: u64,
}

/// What one app did to all mailboxes. Requests in batches count one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphAppUsage {
    /// Client id of the app.
    pub app: String,
    pub requests: u64,
    /// Requests that were refused because of a limit of the app as a whole.
    pub throttled: u64,
    /// Most requests in one period, without those that were refused.
    pub most_in_period: u64,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    MailboxConcurrency,
    MailboxRequests,
    AppRequests,
}

/// The limits, and the state of everybody who is subject to them.
pub(crate) struct Throttle {
    options: GraphOptions,
    since: Instant,
    /// Guards the counters.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By app and mailbox.
    mailboxes: HashMap<(String, String), Counter>,
    apps: HashMap<String, Counter>,
}

#[derive(Default)]
struct Counter {
    requests: u64,
    throttled: u64,
    running: usize,
    most_running: usize,
    /// Requests in the slices of the last period, by the number of the slice.
    slices: VecDeque<(u64, u32)>,
    recent: u64,
    most_recent: u64,
}

impl Counter {
    /// Forgets what is older than a period, and says how many requests are left.
    fn recent(&mut self, slice: u64) -> u64 {
        while let Some((_, count)) = self.slices.pop_front_if(|(own, _)| *own + SLICES <= slice) {
            self.recent -= u64::from(count);
        }
        self.recent
    }

    fn count(&mut self, slice: u64) {
        match self.slices.back_mut() {
            Some((own, count)) if *own == slice => *count += 1,
            _ => self.slices.push_back((slice, 1)),
        }
        self.recent += 1;
        self.most_recent = self.most_recent.max(self.recent);
    }
}

/// A request that is running; it ends when this is dropped.
pub(crate) struct Slot {
    throttle: Arc<Throttle>,
    key: (String, String),
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(counter) = self.throttle.lock().mailboxes.get_mut(&self.key) {
            counter.running -= 1;
        }
    }
}

impl Throttle {
    pub(crate) fn new(options: &GraphOptions) -> Self {
        Self { options: options.clone(), since: Instant::now(), state: Mutex::default() }
    }

    /// Lets a request of `app` to `mailbox` in, or says which limit is reached.
    pub(crate) fn enter(self: &Arc<Self>, app: &str, mailbox: &str) -> Result<Slot, Exceeded> {
        let options = &self.options;
        let (mailbox_slice, app_slice) =
            (self.slice(options.mailbox_period), self.slice(options.app_period));
        let mut state = self.lock();
        let State { mailboxes, apps } = &mut *state;
        let key = (app.to_owned(), mailbox.to_owned());
        let own = mailboxes.entry(key.clone()).or_default();
        let whole = apps.entry(app.to_owned()).or_default();
        own.requests += 1;
        whole.requests += 1;
        own.most_running = own.most_running.max(own.running + 1);
        if whole.recent(app_slice) >= u64::from(options.app_requests) {
            own.throttled += 1;
            whole.throttled += 1;
            return Err(Exceeded::AppRequests);
        }
        if own.recent(mailbox_slice) >= u64::from(options.mailbox_requests) {
            own.throttled += 1;
            return Err(Exceeded::MailboxRequests);
        }
        if own.running >= options.concurrent {
            own.throttled += 1;
            return Err(Exceeded::MailboxConcurrency);
        }
        own.running += 1;
        own.count(mailbox_slice);
        whole.count(app_slice);
        drop(state);
        Ok(Slot { throttle: Arc::clone(self), key })
    }

    fn slice(&self, period: Duration) -> u64 {
        let length = (period.as_micros() / u128::from(SLICES)).max(1);
        u64::try_from(self.since.elapsed().as_micros() / length).unwrap_or(u64::MAX)
    }

    pub(crate) fn usage(&self) -> Vec<GraphUsage> {
        let state = self.lock();
        let mut usage: Vec<_> = state
            .mailboxes
            .iter()
            .map(|((app, mailbox), counter)| GraphUsage {
                app: app.clone(),
                mailbox: mailbox.clone(),
                requests: counter.requests,
                throttled: counter.throttled,
                most_concurrent: counter.most_running,
                most_in_period: counter.most_recent,
            })
            .collect();
        usage.sort_by(|a, b| (&a.mailbox, &a.app).cmp(&(&b.mailbox, &b.app)));
        usage
    }

    pub(crate) fn app_usage(&self) -> Vec<GraphAppUsage> {
        let state = self.lock();
        let mut usage: Vec<_> = state
            .apps
            .iter()
            .map(|(app, counter)| GraphAppUsage {
                app: app.clone(),
                requests: counter.requests,
                throttled: counter.throttled,
                most_in_period: counter.most_recent,
            })
            .collect();
        usage.sort_by(|a, b| a.app.cmp(&b.app));
        usage
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle(options: GraphOptions) -> Arc<Throttle> {
        Arc::new(Throttle::new(&options))
    }

    #[tokio::test(start_paused = true)]
    async fn a_fifth_request_at_once_is_refused_until_one_has_ended() {
        let throttle = throttle(GraphOptions::default());
        let mut running: Vec<_> =
            (0..4).map(|_| throttle.enter("app", "a@example.com").ok().unwrap()).collect();
        let refused = throttle.enter("app", "a@example.com").err();
        assert_eq!(refused, Some(Exceeded::MailboxConcurrency));
        assert!(throttle.enter("app", "b@example.com").is_ok(), "another mailbox");
        assert!(throttle.enter("other", "a@example.com").is_ok(), "another app");
        running.pop();
        assert!(throttle.enter("app", "a@example.com").is_ok());
        let usage = throttle.usage();
        assert_eq!((usage[0].requests, usage[0].throttled, usage[0].most_concurrent), (6, 1, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_of_a_period_are_counted_for_the_mailbox_and_for_the_app() {
        let options =
            GraphOptions { mailbox_requests: 3, app_requests: 5, ..GraphOptions::default() };
        let throttle = throttle(options);
        let enter = |mailbox: &str| throttle.enter("app", mailbox).map(drop);
        assert_eq!([enter("a"), enter("a"), enter("a")], [Ok(()); 3]);
        assert_eq!(enter("a"), Err(Exceeded::MailboxRequests));
        assert_eq!([enter("b"), enter("b")], [Ok(()); 2]);
        assert_eq!(enter("c"), Err(Exceeded::AppRequests));
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(enter("c"), Ok(()));
        assert_eq!(enter("a"), Err(Exceeded::MailboxRequests));
        tokio::time::advance(Duration::from_secs(600)).await;
        assert_eq!(enter("a"), Ok(()));
        assert_eq!(throttle.app_usage()[0].most_in_period, 5);
    }
}
