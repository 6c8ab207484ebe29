//! Emails as files: each one as `<uid>.eml` with `<uid>.json` beside it, and the state that goes
//! with them.
//!
//! ```text
//! P/data/<owner>/<bucket>/<mailbox>/<uid>.eml      the bytes as the server gave them
//!                                   <uid>.json     [`Sidecar`]
//! P/state/.routes                                  one process at a time writes a route
//! P/state/.lock                                    held by the process that serves the folder
//! P/state/<owner>/<bucket>/<mailbox>/checkpoint.json
//!                                    ledger.jsonl       one line per email delivered
//!                                    quarantine.json    and the log of its changes
//!                                    retry-quarantine   an operator asks for another try
//!                                    drop-quarantine    or for entries to be forgotten
//! P/config/                                        read by others, never touched here
//! ```
//!
//! # Order of a batch
//!
//! 1. Every file is written under a temporary name in its final directory, and a line for each
//!    email is appended to the ledger. All of it is brought to the disk (the module `batch` tells how).
//! 2. The files get their names, sidecars last, and the directory is brought to the disk.
//! 3. Only then is the batch acknowledged, and the caller may save a checkpoint.
//!
//! A crash leaves whole files or none. Before a route is used for the first time, what a crash may
//! have left is put in order: visible files are made durable, for the process may have died
//! between the two halves of step 2, and ledger lines without files are removed.

mod admin;
mod batch;
mod durable;
mod inspect;
pub(crate) mod layout;
mod ledger;
mod line;
mod lock;
mod quarantine;
mod requests;
mod sidecar;
pub(crate) mod state;
mod store;
mod strangers;

use std::{collections::HashMap, fs, path::Path, sync::Arc};

use async_trait::async_trait;
use record::{Checkpoint, Email, Held, Quarantined, Refusal, Route, Sink, SinkError, Uid};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

pub(crate) use self::{
    admin::{seal_state, unseal_state},
    inspect::{hash_file, stored_uids},
    layout::{Layout, bucket_dir, mailbox_dir},
    lock::subdirs,
};
use self::{
    batch::Change,
    durable::{at, create_dirs, unwritable},
    lock::{Place, RouteLocks},
    store::{Store, saved},
};
pub use self::{
    inspect::{Flaw, Stored},
    ledger::{LedgerEntry, LedgerLines},
    requests::Dropped,
    sidecar::Sidecar,
};

/// Calls that work on files at once; the others wait, so that a hundred mailboxes do not need a
/// hundred threads.
const CALLS: usize = 16;

/// A folder of emails.
#[derive(Clone)]
pub struct LocalFiles {
    store: Arc<Store>,
    calls: Arc<Semaphore>,
}

impl LocalFiles {
    /// Opens the folder `prefix` to serve mailboxes as the only shard of the appliance, and
    /// creates it if necessary.
    ///
    /// # Errors
    ///
    /// [`SinkError::Unwritable`].
    pub fn open(prefix: &Path) -> Result<Self, SinkError> {
        Self::open_shard(prefix, 0, 1)
    }

    /// Opens the folder `prefix` to serve mailboxes as shard `ordinal` of `total`.
    ///
    /// Each route belongs to the process that used it first, until that one ends or
    /// [releases](Self::release_others) it; to all others it is [`SinkError::Busy`].
    ///
    /// # Errors
    ///
    /// [`SinkError::Unwritable`].
    pub fn open_shard(prefix: &Path, ordinal: u32, total: u32) -> Result<Self, SinkError> {
        let layout = Layout::new(prefix);
        let locks = Self::create(&layout)?;
        let place = Place::open(layout.state().join(lock::place_name(ordinal, total)))?;
        strangers::tell(&layout);
        Ok(Self::new(layout, Some(locks), Some(place)))
    }

    /// Opens the folder `prefix` to change it by a command, beside the processes that serve it.
    ///
    /// # Errors
    ///
    /// [`SinkError::Unwritable`], also if there is no such folder.
    pub fn open_for_command(prefix: &Path) -> Result<Self, SinkError> {
        fs::read_dir(prefix).map_err(at(prefix))?;
        let layout = Layout::new(prefix);
        let locks = Self::create(&layout)?;
        Ok(Self::new(layout, Some(locks), None))
    }

    fn create(layout: &Layout) -> Result<RouteLocks, SinkError> {
        for dir in [layout.data(), layout.routes()] {
            create_dirs(&dir).map_err(at(&dir))?;
        }
        Ok(RouteLocks::new(layout.routes()))
    }

    /// Opens the folder `prefix` to look at it, whoever may be writing there.
    ///
    /// # Errors
    ///
    /// [`SinkError::Unwritable`] if there is no such folder.
    pub fn open_read_only(prefix: &Path) -> Result<Self, SinkError> {
        fs::read_dir(prefix).map_err(at(prefix))?;
        Ok(Self::new(Layout::new(prefix), None, None))
    }

    fn new(layout: Layout, locks: Option<RouteLocks>, place: Option<Place>) -> Self {
        let store = Arc::new(Store::new(layout, locks, place));
        Self { store, calls: Arc::new(Semaphore::new(CALLS)) }
    }

    /// The process id of another process that runs as the same shard, as that one noted it. The
    /// two get along: this one waits for each route that the other serves.
    pub fn same_shard(&self) -> Option<String> {
        self.store.place.as_ref()?.other()
    }

    /// Gives up every route that is not in `kept`, so that another process can serve it. Call it
    /// when nothing of this process works on the others any more.
    ///
    /// # Errors
    ///
    /// [`SinkError::Unwritable`].
    pub async fn release_others(&self, kept: &[Route]) -> Result<(), SinkError> {
        let kept = kept.to_vec();
        self.run(move |store| store.release_others(&kept)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let place = self.store.layout.prefix();
        let call = Arc::clone(&self.calls).acquire_owned().await;
        let call = call.map_err(|err| unwritable(place, err))?;
        let store = Arc::clone(&self.store);
        // The work goes on if the caller goes away, and keeps its place meanwhile.
        let work = tokio::task::spawn_blocking(move || {
            let _call = call;
            work(&store)
        });
        work.await.map_err(|err| unwritable(place, err))?
    }
}

#[async_trait]
impl Sink for LocalFiles {
    fn knows_what_it_holds(&self) -> bool {
        true
    }

    async fn load_checkpoint(&self, route: &Route) -> Result<Checkpoint, SinkError> {
        let route = route.clone();
        self.run(move |store| {
            // Under the lock: what another process is about to replace is of no use.
            store.look(&route, |state_dir| Ok(saved(state_dir, &route)?.checkpoint))
        })
        .await
    }

    async fn find(&self, route: &Route, uids: &[Uid]) -> Result<Vec<Option<Held>>, SinkError> {
        let (route, uids) = (route.clone(), uids.to_vec());
        self.run(move |store| {
            store.with(&route, |work| {
                let folder = |sidecar: Sidecar| Held { folder: sidecar.metadata.folder };
                Ok(uids.iter().map(|uid| work.held(*uid).map(folder)).collect())
            })
        })
        .await
    }

    async fn write(&self, route: &Route, emails: &[Email]) -> Result<Vec<Refusal>, SinkError> {
        let (route, emails) = (route.clone(), emails.to_vec());
        self.run(move |store| {
            store.with(&route, |work| {
                // Of two with the same uid, the last counts.
                let mut last: HashMap<Uid, usize> = HashMap::with_capacity(emails.len());
                last.extend(emails.iter().enumerate().map(|(at, email)| (email.uid, at)));
                let changes: Vec<Change<'_>> = emails
                    .iter()
                    .enumerate()
                    .filter(|(at, email)| last.get(&email.uid) == Some(at))
                    .map(|(_, email)| Change::Store(email))
                    .collect();
                work.apply(&changes)?;
                let stored: Vec<Uid> = last.into_keys().collect();
                work.release_from_quarantine(&stored)?;
                Ok(Vec::new())
            })
        })
        .await
    }

    async fn relocate(&self, route: &Route, moved: &[(Uid, Vec<String>)]) -> Result<(), SinkError> {
        let (route, moved) = (route.clone(), moved.to_vec());
        self.run(move |store| {
            store.with(&route, |work| {
                let last: HashMap<Uid, &[String]> =
                    moved.iter().map(|(uid, folder)| (*uid, folder.as_slice())).collect();
                let changes: Vec<Change<'_>> =
                    last.into_iter().map(|(uid, folder)| Change::Relocate(uid, folder)).collect();
                work.apply(&changes)
            })
        })
        .await
    }

    async fn quarantine(&self, route: &Route, items: &[Quarantined]) -> Result<(), SinkError> {
        let (route, new) = (route.clone(), items.to_vec());
        self.run(move |store| store.with(&route, |work| work.set_aside(new))).await
    }

    async fn quarantined(&self, route: &Route) -> Result<Vec<Quarantined>, SinkError> {
        let route = route.clone();
        self.run(move |store| store.look(&route, |state_dir| quarantine::items(state_dir, &route)))
            .await
    }

    async fn save_checkpoint(&self, route: &Route, new: &Checkpoint) -> Result<(), SinkError> {
        let (route, new) = (route.clone(), new.clone());
        self.run(move |store| store.with(&route, |work| work.save(&new))).await
    }
}

pub(crate) fn hex_sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).map_or('?', |d| char::from(*d));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests;
