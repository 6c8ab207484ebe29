//! How each mailbox is, in memory: the one list behind `/status`, the metrics, and the file that
//! `tributary status` reads.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::{DateTime, Utc};
use record::{Clock, Route};
use sync::{CommitResult, Event, MailboxState, Observer};

use crate::status_file::MailboxStatus;

/// The mailboxes that this process serves.
pub struct Board {
    clock: Arc<dyn Clock>,
    began: DateTime<Utc>,
    /// Guards what the engine reports.
    mailboxes: Mutex<BTreeMap<Route, Entry>>,
    changed: AtomicBool,
}

/// What is known of one mailbox.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) status: MailboxStatus,
    /// When its source last told what is new.
    pub(crate) polled_at: Option<DateTime<Utc>>,
    pub(crate) committed_at: Option<DateTime<Utc>>,
    /// Received time of the oldest email that is known to wait.
    pub(crate) oldest: Option<DateTime<Utc>>,
    /// Counted since the service began.
    pub(crate) delivered: u64,
    pub(crate) skipped: u64,
    pub(crate) quarantined: u64,
}

impl Entry {
    /// How long mail may have been waiting: since the oldest that is known to wait has come, or
    /// else, since nobody knows what has come, since everything had been read, or `began`.
    pub(crate) fn behind_since(&self, began: DateTime<Utc>) -> DateTime<Utc> {
        self.oldest.or(self.status.caught_up_at).unwrap_or(began)
    }
}

impl Board {
    pub fn new(routes: &[Route], clock: Arc<dyn Clock>) -> Self {
        let began = clock.now();
        let status =
            MailboxStatus { state: "starting".into(), since: began, ..MailboxStatus::default() };
        let starting = Entry { status, ..Entry::default() };
        let entry = |route: &Route| (route.clone(), starting.clone());
        let mailboxes = Mutex::new(routes.iter().map(entry).collect());
        Self { clock, began, mailboxes, changed: AtomicBool::new(true) }
    }

    /// How many mailboxes there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub fn statuses(&self) -> BTreeMap<Route, MailboxStatus> {
        self.lock().iter().map(|(route, entry)| (route.clone(), entry.status.clone())).collect()
    }

    /// Whether a status has changed since the last call.
    pub fn take_change(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn began(&self) -> DateTime<Utc> {
        self.began
    }

    /// Everything as it is now.
    pub(crate) fn snapshot(&self) -> BTreeMap<Route, Entry> {
        self.lock().clone()
    }

    /// Hands each mailbox to `look`, which must be quick: the engine waits meanwhile.
    pub(crate) fn for_each(&self, look: impl FnMut(&Entry)) {
        self.lock().values().for_each(look);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Route, Entry>> {
        self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, route: &Route, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.lock().get_mut(route) {
            change(entry);
        }
    }

    fn update_status(&self, route: &Route, change: impl FnOnce(&mut MailboxStatus)) {
        self.update(route, |entry| change(&mut entry.status));
        self.changed.store(true, Ordering::Relaxed);
    }
}

fn name(state: MailboxState) -> &'static str {
    match state {
        MailboxState::Ok => "ok",
        MailboxState::Throttled => "throttled",
        MailboxState::Retrying => "retrying",
        MailboxState::Error => "error",
        MailboxState::Stopped => "stopped",
    }
}

impl Observer for Board {
    fn observe(&self, event: &Event<'_>) {
        let now = self.clock.now();
        match event {
            Event::State { route, state, detail, .. } => self.update_status(route, |status| {
                if status.state != name(*state) {
                    status.since = now;
                }
                status.state = name(*state).into();
                detail.trim().clone_into(&mut status.detail);
            }),
            Event::CaughtUp { route } => self.update_status(route, |status| {
                status.caught_up_at = Some(now);
                if status.state == "starting" {
                    status.state = name(MailboxState::Ok).into();
                    status.since = now;
                }
            }),
            Event::Surveyed { route, .. } => self.update(route, |mailbox| {
                mailbox.polled_at = Some(now);
            }),
            Event::Behind { route, oldest } => self.update(route, |mailbox| {
                mailbox.oldest = *oldest;
            }),
            Event::Delivered { route, emails, .. } => self.update(route, |mailbox| {
                mailbox.delivered += *emails as u64;
            }),
            Event::Skipped { route, items, .. } => self.update(route, |mailbox| {
                mailbox.skipped += *items as u64;
            }),
            Event::Quarantined { route, items, .. } => self.update(route, |mailbox| {
                mailbox.quarantined += *items as u64;
            }),
            Event::Committed { route, result: CommitResult::Ok } => {
                self.update(route, |mailbox| mailbox.committed_at = Some(now));
            }
            Event::Committed { result: CommitResult::Conflict | CommitResult::Error, .. }
            | Event::Fetched { .. }
            | Event::Redelivered { .. }
            | Event::Corrupt { .. } => {}
        }
    }
}
