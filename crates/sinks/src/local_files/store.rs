//! What this process knows of each route, and one call at a time on each.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use record::{Checkpoint, Quarantined, Route, SinkError, Uid};

use super::{
    batch::{Batch, Change},
    durable::{at, create_dirs, remove_temps, sync_dir, unwritable},
    layout::Layout,
    ledger::Ledger,
    lock::{Place, RouteLocks},
    quarantine::List,
    sidecar::{Sidecar, held},
    state::{self, CHECKPOINT, Saved, corrupt},
};

pub(super) struct Store {
    pub(super) layout: Layout,
    /// `None`: opened for reading only.
    pub(super) locks: Option<RouteLocks>,
    /// `None` unless this process runs as a shard of the appliance.
    pub(super) place: Option<Place>,
    /// Guards the map only. Each slot has a lock of its own, which is held for a whole call, on
    /// a thread for blocking work.
    slots: Mutex<HashMap<Route, Arc<Mutex<Slot>>>>,
}

/// What this process knows of a route that it has written.
#[derive(Default)]
struct Slot {
    /// This process has the lock of the route.
    served: bool,
    /// Temporary files of the process before are removed.
    clean: bool,
    /// Leftovers of a crash or of a failed call have been put in order.
    ready: bool,
    /// Emails that a failed call may have left visible but not durable. A second `fsync` proves
    /// nothing then, so they do not count as held until they are written anew.
    suspect: HashSet<Uid>,
    /// `None` until the route is ready for the first time, and after a failed call.
    quarantine: Option<List>,
    /// A failed call may have left the quarantine list visible but not durable.
    distrusted: bool,
}

/// One route while a call works on it.
pub(super) struct Work<'a> {
    route: &'a Route,
    data_dir: PathBuf,
    pub(super) state_dir: PathBuf,
    slot: MutexGuard<'a, Slot>,
}

impl Store {
    pub(super) fn new(layout: Layout, locks: Option<RouteLocks>, place: Option<Place>) -> Self {
        Self { layout, locks, place, slots: Mutex::default() }
    }

    /// Runs `work` while nobody else works on `route`, after leftovers are put in order.
    pub(super) fn with<T>(
        &self,
        route: &Route,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        let slot = self.slot(route);
        self.work(route, locked(&slot), |this| {
            this.prepare()?;
            work(this)
        })
    }

    /// Like [`with`](Self::with), but changes nothing before `work` does: the state may be damaged.
    /// Of a folder that was opened for reading, it is read as it is.
    pub(super) fn look<T>(
        &self,
        route: &Route,
        work: impl FnOnce(&Path) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        if self.locks.is_none() {
            return work(&self.layout.state_dir(route));
        }
        let slot = self.slot(route);
        self.work(route, locked(&slot), |this| work(&this.state_dir))
    }

    /// Like [`with`](Self::with), unless a call is under way: then `None`.
    pub(super) fn try_with<T>(
        &self,
        route: &Route,
        work: impl FnOnce(&mut Work<'_>) -> Result<T, SinkError>,
    ) -> Result<Option<T>, SinkError> {
        let slot = self.slot(route);
        let Ok(slot) = slot.try_lock() else { return Ok(None) };
        let done = self.work(route, slot, |this| {
            this.prepare()?;
            work(this)
        });
        done.map(Some)
    }

    /// Gives up every route that is not in `kept`, so that other processes can serve it.
    pub(super) fn release_others(&self, kept: &[Route]) -> Result<(), SinkError> {
        let Some(locks) = &self.locks else { return Ok(()) };
        let kept: HashSet<&Route> = kept.iter().collect();
        let slots: Vec<(Route, Arc<Mutex<Slot>>)> = {
            let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            let others = slots.iter().filter(|(route, _)| !kept.contains(route));
            others.map(|(route, slot)| (route.clone(), Arc::clone(slot))).collect()
        };
        for (route, slot) in slots {
            let mut slot = locked(&slot);
            if slot.served {
                // Whoever serves it next finds what a crash leaves, at the worst.
                *slot = Slot::default();
                locks.release(&route)?;
            }
        }
        Ok(())
    }

    fn slot(&self, route: &Route) -> Arc<Mutex<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        match slots.get(route) {
            Some(slot) => Arc::clone(slot),
            None => Arc::clone(slots.entry(route.clone()).or_default()),
        }
    }

    fn work<'a, T>(
        &self,
        route: &'a Route,
        mut slot: MutexGuard<'a, Slot>,
        work: impl FnOnce(&mut Work<'a>) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        let Some(locks) = &self.locks else {
            return Err(unwritable(self.layout.prefix(), "it was opened for reading only"));
        };
        if !slot.served {
            if !locks.take(route)? {
                return Err(SinkError::Busy {
                    place: format!("{}/{}", route.bucket, route.mailbox),
                });
            }
            slot.served = true;
            if let Some(place) = &self.place {
                // The process that had it may have ended.
                place.take()?;
            }
        }
        let data_dir = self.layout.data_dir(route);
        let state_dir = self.layout.state_dir(route);
        work(&mut Work { route, data_dir, state_dir, slot })
    }
}

/// A panic in another call leaves what a crash leaves.
fn locked(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(|poisoned| {
        let mut slot = poisoned.into_inner();
        slot.ready = false;
        slot
    })
}

impl Work<'_> {
    fn prepare(&mut self) -> Result<(), SinkError> {
        if self.slot.ready {
            return Ok(());
        }
        for dir in [&self.data_dir, &self.state_dir] {
            create_dirs(dir).map_err(at(dir))?;
        }
        self.clean()?;
        // What is visible counts as held from here on, so it has to be durable.
        sync_dir(&self.data_dir).map_err(at(&self.data_dir))?;
        let mark = saved(&self.state_dir, self.route)?.ledger_size;
        self.ledger().repair(mark)?;
        let mut list = List::open(&self.state_dir, self.route)?;
        if self.slot.distrusted {
            list.distrust();
        }
        let held: Vec<Uid> = list.uids().filter(|uid| self.held(*uid).is_some()).collect();
        self.slot.quarantine = Some(list);
        self.release_from_quarantine(&held)?;
        self.slot.ready = true;
        Ok(())
    }

    /// Removes temporary files of earlier processes.
    ///
    /// A directory of emails can be huge, so it is only read if it changed after its checkpoint:
    /// whatever a crash left there was created later than that.
    fn clean(&mut self) -> Result<(), SinkError> {
        if self.slot.clean {
            return Ok(());
        }
        remove_temps(&self.state_dir).map_err(at(&self.state_dir))?;
        let changed = |path: &Path| fs::metadata(path).and_then(|found| found.modified());
        let settled = matches!(
            (changed(&self.state_dir.join("checkpoint.json")), changed(&self.data_dir)),
            (Ok(checkpoint), Ok(data)) if data < checkpoint);
        if !settled {
            remove_temps(&self.data_dir).map_err(at(&self.data_dir))?;
        }
        self.slot.clean = true;
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

    pub(super) fn release_from_quarantine(&mut self, stored: &[Uid]) -> Result<usize, SinkError> {
        let (dir, route) = (self.state_dir.clone(), self.route);
        self.change_quarantine(|list| list.remove(&dir, route, stored))
    }

    pub(super) fn set_aside(&mut self, items: Vec<Quarantined>) -> Result<(), SinkError> {
        let (dir, route) = (self.state_dir.clone(), self.route);
        self.change_quarantine(|list| list.add(&dir, route, items))
    }

    fn change_quarantine<T>(
        &mut self,
        change: impl FnOnce(&mut List) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        let mut list = match self.slot.quarantine.take() {
            Some(list) => list,
            None => List::open(&self.state_dir, self.route)?,
        };
        let changed = change(&mut list);
        self.slot.distrusted = changed.is_err();
        match changed {
            Ok(_) => self.slot.quarantine = Some(list),
            Err(_) => self.slot.ready = false,
        }
        changed
    }

    pub(super) fn save(&mut self, new: &Checkpoint) -> Result<(), SinkError> {
        let stored = saved(&self.state_dir, self.route)?.checkpoint;
        // The same again: the call before may have failed after the rename.
        let again = stored == *new && new.generation > 0;
        if new.generation.checked_sub(1) != Some(stored.generation) && !again {
            let place = self.state_dir.join("checkpoint.json").display().to_string();
            return Err(SinkError::Superseded { place });
        }
        self.replace(new)
    }

    /// Replaces the checkpoint, whatever is there.
    pub(super) fn replace(&mut self, new: &Checkpoint) -> Result<(), SinkError> {
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
