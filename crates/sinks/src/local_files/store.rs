//! What this process knows of each route, and one call at a time on each.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use record::{Checkpoint, Quarantined, Route, SinkError, Uid};

use super::{
    batch::{Batch, Change},
    durable::{at, create_dirs, sync_dir, unwritable},
    layout::Layout,
    ledger::Ledger,
    sidecar::{Sidecar, held},
    state::{self, CHECKPOINT, QUARANTINE, Saved, SetAside, corrupt},
};

pub(super) struct Store {
    pub(super) layout: Layout,
    /// `None`: opened for reading only. The kernel drops the lock with the descriptor.
    lock: Option<File>,
    /// Guards the map only. Each slot has a lock of its own, which is held for a whole call, on
    /// a thread for blocking work.
    slots: Mutex<HashMap<Route, Arc<Mutex<Slot>>>>,
}

/// What this process knows of a route that it has written.
#[derive(Default)]
struct Slot {
    /// Leftovers of a crash or of a failed call have been put in order.
    ready: bool,
    /// Emails that a failed call may have left visible but not durable. A second `fsync` proves
    /// nothing then, so they do not count as held until they are written anew.
    suspect: HashSet<Uid>,
}

/// One route while a call works on it.
pub(super) struct Work<'a> {
    route: &'a Route,
    data_dir: PathBuf,
    state_dir: PathBuf,
    slot: MutexGuard<'a, Slot>,
}

impl Store {
    pub(super) fn new(layout: Layout, lock: Option<File>) -> Self {
        Self { layout, lock, slots: Mutex::default() }
    }

    /// Runs `work` while no other call works on `route`, after leftovers are put in order.
    pub(super) fn with<T>(
        &self,
        route: &Route,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        if self.lock.is_none() {
            return Err(unwritable(self.layout.prefix(), "it was opened for reading only"));
        }
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            match slots.get(route) {
                Some(slot) => Arc::clone(slot),
                None => Arc::clone(slots.entry(route.clone()).or_default()),
            }
        };
        // A panic in another call leaves what a crash leaves.
        let slot = slot.lock().unwrap_or_else(|poisoned| {
            let mut slot = poisoned.into_inner();
            slot.ready = false;
            slot
        });
        let data_dir = self.layout.data_dir(route);
        let state_dir = self.layout.state_dir(route);
        let mut this = Work { route, data_dir, state_dir, slot };
        this.prepare()?;
        work(&mut this)
    }
}

impl Work<'_> {
    fn prepare(&mut self) -> Result<(), SinkError> {
        if self.slot.ready {
            return Ok(());
        }
        for dir in [&self.data_dir, &self.state_dir] {
            create_dirs(dir).map_err(at(dir))?;
        }
        // What is visible counts as held from here on, so it has to be durable.
        sync_dir(&self.data_dir).map_err(at(&self.data_dir))?;
        let mark = saved(&self.state_dir, self.route)?.ledger_size;
        self.ledger().repair(mark)?;
        let held: Vec<Uid> = quarantined(&self.state_dir, self.route)?
            .iter()
            .map(|item| item.uid)
            .filter(|uid| self.held(*uid).is_some())
            .collect();
        self.release_from_quarantine(&held)?;
        self.slot.ready = true;
        Ok(())
    }

    fn ledger(&self) -> Ledger {
        Ledger::new(&self.state_dir, &self.data_dir)
    }

    pub(super) fn held(&self, uid: Uid) -> Option<Sidecar> {
        held(&self.data_dir, uid).filter(|_| !self.slot.suspect.contains(&uid))
    }

    pub(super) fn apply(&mut self, changes: &[Change<'_>]) -> Result<(), SinkError> {
        let uids: Vec<Uid> = changes.iter().map(Change::uid).collect();
        let batch = Batch {
            route: self.route,
            data_dir: &self.data_dir,
            state_dir: &self.state_dir,
            suspect: &self.slot.suspect,
        };
        let mut visible = false;
        let result = batch.stage(changes).and_then(|staged| {
            visible = true;
            batch.publish(staged)
        });
        match &result {
            Ok(()) => uids.iter().for_each(|uid| {
                self.slot.suspect.remove(uid);
            }),
            Err(_) => {
                self.slot.ready = false;
                if visible {
                    self.slot.suspect.extend(uids);
                }
            }
        }
        result
    }

    pub(super) fn release_from_quarantine(&self, stored: &[Uid]) -> Result<(), SinkError> {
        if stored.is_empty() {
            return Ok(());
        }
        self.change_quarantine(|items| {
            let before = items.len();
            items.retain(|item| !stored.contains(&item.uid));
            items.len() != before
        })
    }

    pub(super) fn change_quarantine(
        &self,
        change: impl FnOnce(&mut Vec<Quarantined>) -> bool,
    ) -> Result<(), SinkError> {
        let (generation, mut list) =
            state::read::<SetAside>(&self.state_dir, QUARANTINE, self.route)?.unwrap_or_default();
        if !change(&mut list.items) {
            return Ok(());
        }
        state::write(&self.state_dir, QUARANTINE, self.route, generation + 1, &list)
    }

    pub(super) fn save(&mut self, new: &Checkpoint) -> Result<(), SinkError> {
        let stored = saved(&self.state_dir, self.route)?.checkpoint;
        // The same again: the call before may have failed after the rename.
        let again = stored == *new && new.generation > 0;
        if new.generation.checked_sub(1) != Some(stored.generation) && !again {
            let place = self.state_dir.join("checkpoint.json").display().to_string();
            return Err(SinkError::Superseded { place });
        }
        let saved = Saved { ledger_size: self.ledger().size()?, checkpoint: new.clone() };
        state::write(&self.state_dir, CHECKPOINT, self.route, new.generation, &saved)
    }
}

pub(super) fn saved(state_dir: &Path, route: &Route) -> Result<Saved, SinkError> {
    let Some((generation, saved)) = state::read::<Saved>(state_dir, CHECKPOINT, route)? else {
        return Ok(Saved::default());
    };
    if saved.checkpoint.generation != generation {
        return Err(corrupt(&state_dir.join("checkpoint.json"), "it names two generations"));
    }
    Ok(saved)
}

pub(super) fn quarantined(state_dir: &Path, route: &Route) -> Result<Vec<Quarantined>, SinkError> {
    let list = state::read::<SetAside>(state_dir, QUARANTINE, route)?;
    Ok(list.map(|(_, list)| list.items).unwrap_or_default())
}
