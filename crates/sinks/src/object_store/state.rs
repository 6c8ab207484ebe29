//! Checkpoints and quarantine lists: blobs that are only replaced by who has seen them.
//!
//! A write names the version that it replaces (`If-Match`), or that there is none
//! (`If-None-Match: *`). If the store refuses, the blob is read again: it may hold what we wrote,
//! because the answer to an earlier attempt was lost. Anything else means that somebody else writes
//! this route.

use std::{
    collections::HashMap,
    path::Path as Place,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use object_store::UpdateVersion;
use objects::{Failure, Found, Kind, Put};
use record::{Checkpoint, Quarantined, Route, SinkError, Uid};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::store::Store;
use crate::local_files::state::{
    CHECKPOINT, QUARANTINE, Saved, SetAside, VERSION, corrupt, seal, unseal,
};

/// Longest state blob that is read, in bytes: some 100,000 folders.
pub(crate) const MAX_STATE: u64 = 256 << 20;
/// How often a change of the quarantine list is tried when others change it too.
const ATTEMPTS: usize = 16;

/// What this process knows of the state of each route.
#[derive(Default)]
pub(crate) struct States {
    /// Guards the map only.
    known: Mutex<HashMap<Route, Known>>,
}

#[derive(Default)]
struct Known {
    /// The checkpoint as it was last read or written here.
    checkpoint: Option<Stored>,
    /// The uids on the quarantine list as it was last read or written here.
    set_aside: Option<Vec<Uid>>,
}

#[derive(Clone)]
struct Stored {
    version: UpdateVersion,
    generation: u64,
    /// SHA-256 of the text: whole checkpoints of thousands of mailboxes would fill the memory.
    digest: [u8; 32],
}

/// A state blob, opened.
pub(crate) struct Opened<T> {
    pub(crate) found: Found,
    pub(crate) generation: u64,
    pub(crate) payload: T,
}

/// Reads and checks the state of `kind`; `None` if there is none.
pub(crate) async fn read<T: DeserializeOwned>(
    store: &Store,
    route: &Route,
    kind: &str,
) -> Result<Option<Opened<T>>, SinkError> {
    let path = store.names.state(route, kind);
    let Some(found) = store.read(&path, MAX_STATE).await? else { return Ok(None) };
    let place = store.place_of(&path);
    let text = std::str::from_utf8(&found.bytes).map_err(|err| corrupt(Place::new(&place), err))?;
    let (generation, payload) = unseal(Place::new(&place), kind, route, text)?;
    Ok(Some(Opened { found, generation, payload }))
}

pub(crate) fn sealed<T: Serialize>(
    store: &Store,
    route: &Route,
    kind: &str,
    generation: u64,
    payload: &T,
) -> Result<Bytes, SinkError> {
    let text = seal(kind, VERSION, route, generation, payload);
    let place = || store.place_of(&store.names.state(route, kind));
    Ok(Bytes::from(text.map_err(|err| Failure::unwritable(place(), err))?))
}

/// Writes the state of `kind` over the version `seen`, or where nothing was seen.
pub(crate) async fn write(
    store: &Store,
    route: &Route,
    kind: &str,
    text: Bytes,
    seen: Option<UpdateVersion>,
) -> Result<Put, SinkError> {
    let path = store.names.state(route, kind);
    Ok(match seen {
        Some(seen) => store.replace(&path, Kind::Json, text, seen).await?,
        None => store.create(&path, Kind::Json, text).await?,
    })
}

fn digest(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

impl States {
    fn with<T>(&self, route: &Route, work: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get_mut(route) {
            Some(known) => work(known),
            None => work(known.entry(route.clone()).or_default()),
        }
    }

    fn remember(&self, route: &Route, stored: Option<Stored>) {
        self.with(route, |known| known.checkpoint = stored);
    }

    pub(crate) async fn load(&self, store: &Store, route: &Route) -> Result<Checkpoint, SinkError> {
        // If it cannot be read, the next save must look at it, too.
        self.remember(route, None);
        let Some(opened) = read::<Saved>(store, route, CHECKPOINT).await? else {
            return Ok(Checkpoint::default());
        };
        let checkpoint = opened.payload.checkpoint;
        if checkpoint.generation != opened.generation {
            let place = store.place_of(&store.names.state(route, CHECKPOINT));
            return Err(corrupt(Place::new(&place), "it names two generations"));
        }
        let Found { bytes, version } = opened.found;
        let digest = digest(&bytes);
        let stored = Stored { version, generation: opened.generation, digest };
        self.remember(route, Some(stored));
        Ok(checkpoint)
    }

    pub(crate) async fn save(
        &self,
        store: &Store,
        route: &Route,
        new: &Checkpoint,
    ) -> Result<(), SinkError> {
        let saved = Saved { ledger_size: 0, checkpoint: new.clone() };
        let text = sealed(store, route, CHECKPOINT, new.generation, &saved)?;
        let follows = |known: &Option<Stored>| {
            let generation = known.as_ref().map_or(0, |known| known.generation);
            new.generation.checked_sub(1) == Some(generation)
        };
        let mut known = self.with(route, |known| known.checkpoint.clone());
        if known.is_none() || !follows(&known) {
            self.load(store, route).await?;
            known = self.with(route, |known| known.checkpoint.clone());
        }
        let digest = digest(&text);
        // The same again: the call before may have failed although it was done.
        if known.as_ref().is_some_and(|known| known.digest == digest) {
            return Ok(());
        }
        let superseded = || {
            let place = store.place_of(&store.names.state(route, CHECKPOINT));
            SinkError::Superseded { place }
        };
        if !follows(&known) {
            return Err(superseded());
        }
        let seen = known.map(|known| known.version);
        match write(store, route, CHECKPOINT, text, seen).await? {
            Put::Done(version) => {
                let stored = Stored { version, generation: new.generation, digest };
                self.remember(route, Some(stored));
                Ok(())
            }
            Put::Conflict => {
                self.load(store, route).await?;
                let ours = |known: &mut Known| {
                    known.checkpoint.as_ref().is_some_and(|stored| stored.digest == digest)
                };
                if self.with(route, ours) { Ok(()) } else { Err(superseded()) }
            }
        }
    }

    pub(crate) async fn quarantined(
        &self,
        store: &Store,
        route: &Route,
    ) -> Result<Vec<Quarantined>, SinkError> {
        let list = read::<SetAside>(store, route, QUARANTINE).await?;
        let items = list.map(|opened| opened.payload.items).unwrap_or_default();
        self.remember_set_aside(route, &items);
        Ok(items)
    }

    fn remember_set_aside(&self, route: &Route, items: &[Quarantined]) {
        let uids = items.iter().map(|item| item.uid).collect();
        self.with(route, |known| known.set_aside = Some(uids));
    }

    /// Takes what is stored from the quarantine list. The list is read if this process has not
    /// seen it yet, or if it held one of them.
    pub(crate) async fn release(
        &self,
        store: &Store,
        route: &Route,
        stored: &[Uid],
    ) -> Result<(), SinkError> {
        let seen = self.with(route, |known| {
            let set_aside = known.set_aside.as_ref()?;
            Some(set_aside.iter().any(|uid| stored.contains(uid)))
        });
        if stored.is_empty() || seen == Some(false) {
            return Ok(());
        }
        self.change_quarantine(store, route, |items| {
            let before = items.len();
            items.retain(|item| !stored.contains(&item.uid));
            items.len() != before
        })
        .await
    }

    /// Applies `change`, which tells whether it changed anything. It is not a matter of ownership:
    /// if somebody else was faster, it is applied to what they left.
    pub(crate) async fn change_quarantine(
        &self,
        store: &Store,
        route: &Route,
        mut change: impl FnMut(&mut Vec<Quarantined>) -> bool,
    ) -> Result<(), SinkError> {
        for _ in 0..ATTEMPTS {
            let opened = read::<SetAside>(store, route, QUARANTINE).await?;
            let (seen, generation, mut list) = match opened {
                Some(opened) => (Some(opened.found.version), opened.generation, opened.payload),
                None => (None, 0, SetAside::default()),
            };
            let changed = change(&mut list.items);
            if changed {
                let text = sealed(store, route, QUARANTINE, generation + 1, &list)?;
                if let Put::Conflict = write(store, route, QUARANTINE, text, seen).await? {
                    continue;
                }
            }
            self.remember_set_aside(route, &list.items);
            return Ok(());
        }
        let place = store.place_of(&store.names.state(route, QUARANTINE));
        Err(Failure::unwritable(place, format!("others changed it {ATTEMPTS} times in between"))
            .into())
    }
}
