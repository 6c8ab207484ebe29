//! Emails as files: each one as `<uid>.eml` with `<uid>.json` beside it, and the state that goes
//! with them.
//!
//! ```text
//! P/data/<owner>/<bucket>/<mailbox>/<uid>.eml      the bytes as the server gave them
//!                                   <uid>.json     [`Sidecar`]
//! P/state/.lock                                    held while a process writes
//! P/state/<owner>/<bucket>/<mailbox>/checkpoint.json
//!                                    ledger.jsonl       one line per email delivered
//!                                    quarantine.json
//!                                    retry-quarantine   an operator asks for another try
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

mod batch;
mod durable;
mod inspect;
pub(crate) mod layout;
mod ledger;
mod lock;
mod sidecar;
pub(crate) mod state;
mod store;
mod strangers;

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::Path,
    sync::Arc,
};

use async_trait::async_trait;
use record::{Checkpoint, Email, Held, Quarantined, Refusal, Route, Sink, SinkError, Uid};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use self::{
    batch::Change,
    durable::{at, create_dirs, sync_dir, unwritable},
    store::{Store, quarantined, saved},
};
pub use self::{
    inspect::{Flaw, Stored, StoredFiles},
    ledger::{LedgerEntry, LedgerLines},
    sidecar::Sidecar,
};
pub(crate) use self::{
    inspect::{hash_file, stored_uids},
    layout::{Layout, bucket_dir, mailbox_dir},
    lock::subdirs,
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
    /// Opens the folder `prefix` for this process alone, creates it if necessary, and removes
    /// what an earlier process left half written.
    ///
    /// # Errors
    ///
    /// [`SinkError::Unwritable`] with the path of the lock if another process has the folder.
    pub fn open(prefix: &Path) -> Result<Self, SinkError> {
        let layout = Layout::new(prefix);
        for dir in [layout.data(), layout.state()] {
            create_dirs(&dir).map_err(at(&dir))?;
        }
        let lock = lock::take(&layout.lock())?;
        lock::clean(&layout)?;
        strangers::tell(&layout);
        Ok(Self::new(layout, Some(lock)))
    }

    /// Opens the folder `prefix` to look at it, whoever may be writing there.
    ///
    /// # Errors
    ///
    /// [`SinkError::Unwritable`] if there is no such folder.
    pub fn open_read_only(prefix: &Path) -> Result<Self, SinkError> {
        fs::read_dir(prefix).map_err(at(prefix))?;
        Ok(Self::new(Layout::new(prefix), None))
    }

    fn new(layout: Layout, lock: Option<File>) -> Self {
        Self { store: Arc::new(Store::new(layout, lock)), calls: Arc::new(Semaphore::new(CALLS)) }
    }

    /// Asks the process that serves `route` to try its quarantine again, durably. Works without
    /// the lock, so that a command can ask a running process.
    ///
    /// # Errors
    ///
    /// [`SinkError::Unwritable`], also if the route has no state yet.
    pub fn request_quarantine_retry(&self, route: &Route) -> Result<(), SinkError> {
        let dir = self.store.layout.state_dir(route);
        let path = dir.join(RETRY_REQUEST);
        File::create(&path).and_then(|file| file.sync_all()).map_err(at(&path))?;
        sync_dir(&dir).map_err(at(&dir))
    }

    /// Tells whether somebody has asked for the quarantine of `route` to be tried again, and
    /// forgets the request.
    ///
    /// # Errors
    ///
    /// [`SinkError::Unwritable`] if the request is there and cannot be removed.
    pub fn take_retry_request(&self, route: &Route) -> Result<bool, SinkError> {
        let path = self.store.layout.state_dir(route).join(RETRY_REQUEST);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(err) => Err(at(&path)(err)),
        }
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

const RETRY_REQUEST: &str = "retry-quarantine";

#[async_trait]
impl Sink for LocalFiles {
    async fn load_checkpoint(&self, route: &Route) -> Result<Checkpoint, SinkError> {
        let route = route.clone();
        self.run(move |store| Ok(saved(&store.layout.state_dir(&route), &route)?.checkpoint)).await
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
        self.run(move |store| {
            store.with(&route, |work| {
                work.change_quarantine(|items| {
                    let changed = !new.is_empty();
                    for item in new {
                        items.retain(|old| old.uid != item.uid);
                        items.push(item);
                    }
                    changed
                })
            })
        })
        .await
    }

    async fn quarantined(&self, route: &Route) -> Result<Vec<Quarantined>, SinkError> {
        let route = route.clone();
        self.run(move |store| quarantined(&store.layout.state_dir(&route), &route)).await
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
