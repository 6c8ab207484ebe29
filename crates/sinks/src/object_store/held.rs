//! Which emails a store holds.
//!
//! An email counts as held once its sidecar is there. For a few uids, the sidecars are asked for
//! at once. For more, the names of the route's blobs are listed once (5,000 in a request) and
//! kept, so that the first reading of a mailbox does not ask for each email that is not there. The
//! list may be behind what others have written since; then an email is written again, which the
//! store refuses, which is harmless. It is never ahead: what it names is looked up all the same.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use futures_util::TryStreamExt;
use objects::Failure;
use record::{Route, SinkError, Uid};
use tokio::sync::Semaphore;

use super::{names::uid_of, store::Store};

/// Up to this many uids, no list is made.
pub(crate) const FEW: usize = 16;
/// Memory for all lists, in bytes.
pub(crate) const BUDGET: usize = 32 << 20;
/// What one uid takes in a set that is half full.
const UID_COST: usize = 34;
/// Lists that are read at once.
const LISTINGS: usize = 2;

/// The lists of the routes that were used last, as far as they fit.
pub(crate) struct Lists {
    /// Guards the map only.
    routes: Mutex<Routes>,
    listings: Semaphore,
    most: usize,
}

#[derive(Default)]
struct Routes {
    lists: HashMap<Route, List>,
    uids: usize,
    clock: u64,
}

struct List {
    /// `None`: too long to be kept.
    uids: Option<HashSet<Uid>>,
    used: u64,
}

impl Lists {
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            routes: Mutex::default(),
            listings: Semaphore::new(LISTINGS),
            most: budget / UID_COST,
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Routes) -> T) -> T {
        work(&mut self.routes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Those of `uids` that the store may hold.
    pub(crate) async fn candidates(
        &self,
        store: &Store,
        route: &Route,
        uids: &[Uid],
    ) -> Result<Vec<Uid>, SinkError> {
        if uids.len() <= FEW {
            return Ok(uids.to_vec());
        }
        if let Some(known) = self.with(|routes| routes.select(route, uids)) {
            return Ok(known);
        }
        let listing = self.listings.acquire().await;
        let _listing = listing.map_err(|err| Failure::unwritable(store.place(), err))?;
        let list = self.read(store, route).await?;
        self.with(|routes| {
            routes.insert(route, list, self.most);
            Ok(routes.select(route, uids).unwrap_or_else(|| uids.to_vec()))
        })
    }

    async fn read(&self, store: &Store, route: &Route) -> Result<Option<HashSet<Uid>>, SinkError> {
        let mut blobs = store.list(&store.names.data(route));
        let mut uids = HashSet::new();
        while let Some(blob) = blobs.try_next().await? {
            uids.extend(uid_of(&blob.location, "json"));
            if uids.len() > self.most {
                return Ok(None);
            }
        }
        Ok(Some(uids))
    }

    /// Takes note of what was stored.
    pub(crate) fn add(&self, route: &Route, stored: &[Uid]) {
        self.with(|routes| {
            let Some(uids) = routes.lists.get_mut(route).and_then(|list| list.uids.as_mut()) else {
                return;
            };
            let before = uids.len();
            uids.extend(stored);
            routes.uids += uids.len() - before;
            routes.shrink(self.most);
        });
    }
}

impl Routes {
    /// `None` without a list of `route`.
    fn select(&mut self, route: &Route, uids: &[Uid]) -> Option<Vec<Uid>> {
        self.clock += 1;
        let list = self.lists.get_mut(route)?;
        list.used = self.clock;
        Some(match &list.uids {
            Some(known) => uids.iter().copied().filter(|uid| known.contains(uid)).collect(),
            None => uids.to_vec(),
        })
    }

    fn insert(&mut self, route: &Route, uids: Option<HashSet<Uid>>, most: usize) {
        self.uids += uids.as_ref().map_or(0, HashSet::len);
        let list = List { uids, used: self.clock };
        if let Some(old) = self.lists.insert(route.clone(), list) {
            self.uids -= old.uids.map_or(0, |uids| uids.len());
        }
        self.shrink(most);
    }

    /// Forgets what was not used for longest until the rest fits.
    fn shrink(&mut self, most: usize) {
        while self.uids > most {
            let kept = self.lists.iter().filter(|(_, list)| list.uids.is_some());
            let oldest = kept.min_by_key(|(_, list)| list.used).map(|(route, _)| route.clone());
            let Some(list) = oldest.and_then(|route| self.lists.remove(&route)) else { return };
            self.uids -= list.uids.map_or(0, |uids| uids.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use record::BucketId;

    use super::*;

    fn route(name: &str) -> Route {
        let bucket = BucketId::new("owner", name).unwrap();
        Route { mailbox: "abc@example.com".parse().unwrap(), bucket }
    }

    fn uids(range: std::ops::Range<u128>) -> HashSet<Uid> {
        range.map(|n| format!("{n:032x}").parse().unwrap()).collect()
    }

    #[test]
    fn the_list_that_was_used_last_stays() {
        let mut routes = Routes::default();
        for name in ["a", "b"] {
            routes.insert(&route(name), Some(uids(0..40)), 100);
        }
        assert!(routes.select(&route("a"), &[]).is_some());
        routes.insert(&route("c"), Some(uids(0..40)), 100);
        routes.select(&route("c"), &[]);
        assert!(routes.select(&route("b"), &[]).is_none(), "the oldest list was kept");
        assert!(routes.select(&route("a"), &[]).is_some());
        assert_eq!(routes.uids, 80);
    }

    #[test]
    fn a_list_that_is_too_long_is_remembered_as_such() {
        let mut routes = Routes::default();
        routes.insert(&route("a"), None, 100);
        let asked: Vec<Uid> = uids(0..3).into_iter().collect();
        assert_eq!(routes.select(&route("a"), &asked), Some(asked));
        assert_eq!(routes.uids, 0);
    }
}
