//! What one life of a service leaves to the next one within the process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use record::{MailboxId, Route, Uid};
use tokio::{sync::RwLock, time::Instant};

use crate::suspect::Note;

/// Handed to each [`Service`](crate::Service) that follows another one in the same process, so
/// that a new configuration neither cuts a pause short nor applies `start_from: config` again.
///
/// Clones share what they hold. A service for another server or account starts with a new one: the
/// pauses were not asked for there.
#[derive(Clone, Debug, Default)]
pub struct Carried(Arc<Mutex<Inner>>);

/// Guarded by a mutex that is held for a few lines only.
#[derive(Debug, Default)]
struct Inner {
    /// Of the whole service.
    paused_until: Option<Instant>,
    /// Of single mailboxes, whatever bucket they go to.
    paused: BTreeMap<MailboxId, Instant>,
    applied: BTreeMap<Route, Applied>,
    /// Large items that were fetched and are not stored yet.
    notes: BTreeMap<(Route, Uid), Note>,
    /// Lets large items through, and a suspect alone.
    turnstile: Arc<RwLock<()>>,
}

/// The settings with which `start_from: config` was applied. Others are applied again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) start_timestamp: Option<DateTime<Utc>>,
    pub(crate) include_drafts: bool,
    pub(crate) max_email_size: Option<u64>,
}

impl Carried {
    pub(crate) fn paused_until(&self) -> Option<Instant> {
        self.inner().paused_until
    }

    pub(crate) fn pause_service(&self, until: Instant) {
        let mut inner = self.inner();
        inner.paused_until = inner.paused_until.max(Some(until));
    }

    /// What is left of the pause of `route`.
    pub(crate) fn pause_of(&self, route: &Route) -> Option<Duration> {
        let until = *self.inner().paused.get(&route.mailbox)?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Remembers until when `route` pauses, or that it does not.
    pub(crate) fn pause(&self, route: &Route, until: Option<Instant>) {
        let mut inner = self.inner();
        match until {
            Some(until) => drop(inner.paused.insert(route.mailbox.clone(), until)),
            None => drop(inner.paused.remove(&route.mailbox)),
        }
    }

    pub(crate) fn applied_to(&self, route: &Route) -> Option<Applied> {
        self.inner().applied.get(route).cloned()
    }

    pub(crate) fn apply(&self, route: &Route, applied: &Applied) {
        let mut inner = self.inner();
        if inner.applied.get(route) != Some(applied) {
            inner.applied.insert(route.clone(), applied.clone());
        }
    }

    pub(crate) fn note(&self, route: &Route, uid: Uid) -> Option<Note> {
        let inner = self.inner();
        // Nearly always there is none.
        if inner.notes.is_empty() {
            return None;
        }
        inner.notes.get(&(route.clone(), uid)).copied()
    }

    pub(crate) fn set_note(&self, route: &Route, uid: Uid, note: Note) {
        self.inner().notes.insert((route.clone(), uid), note);
    }

    pub(crate) fn forget_notes(&self, route: &Route, uids: impl IntoIterator<Item = Uid>) {
        let mut inner = self.inner();
        if !inner.notes.is_empty() {
            for uid in uids {
                inner.notes.remove(&(route.clone(), uid));
            }
        }
    }

    pub(crate) fn turnstile(&self) -> Arc<RwLock<()>> {
        Arc::clone(&self.inner().turnstile)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
