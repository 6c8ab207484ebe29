//! What the demo counts while the appliance runs.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use record::Route;
use sync::{Event, Observer};
use tokio::sync::Notify;

#[derive(Default)]
pub(super) struct Counter {
    emails: AtomicU64,
    bytes: AtomicU64,
    /// Guards the mailboxes that are up to date.
    caught_up: Mutex<BTreeSet<Route>>,
    pub(super) news: Notify,
}

impl Observer for Counter {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Delivered { emails, bytes, .. } => {
                self.emails.fetch_add(*emails as u64, Ordering::Relaxed);
                self.bytes.fetch_add(*bytes, Ordering::Relaxed);
            }
            Event::CaughtUp { route } => {
                let mut known = self.caught_up.lock().unwrap_or_else(PoisonError::into_inner);
                known.insert((*route).clone());
            }
            _ => return,
        }
        self.news.notify_one();
    }
}

impl Counter {
    pub(super) fn caught_up(&self) -> usize {
        self.caught_up.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn emails(&self) -> u64 {
        self.emails.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}
