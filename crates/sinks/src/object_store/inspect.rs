//! Looking at what is there.

use std::{collections::BTreeSet, path::Path as Place};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use record::{BucketId, Route, SinkError, Uid};

use super::{
    Objects,
    emails::held,
    names::{route_of_data, uid_of},
    state::MAX_STATE,
};
use crate::local_files::{
    Sidecar,
    state::{CHECKPOINT, QUARANTINE, corrupt, owner},
};

/// One email in the store.
pub struct StoredEmail {
    pub sidecar: Sidecar,
    objects: Objects,
    route: Route,
}

impl std::fmt::Debug for StoredEmail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredEmail").field("uid", &self.sidecar.uid).finish_non_exhaustive()
    }
}

impl StoredEmail {
    /// The bytes of the email as they come in; `None` if its `.eml` is missing.
    ///
    /// # Errors
    ///
    /// What keeps the store from answering.
    pub async fn body(
        &self,
    ) -> Result<Option<BoxStream<'static, Result<Bytes, SinkError>>>, SinkError> {
        let store = &self.objects.0.store;
        let pieces = store.stream(&store.names.eml(&self.route, self.sidecar.uid)).await?;
        Ok(pieces.map(|pieces| pieces.map_err(SinkError::from).boxed()))
    }
}

impl Objects {
    /// The routes that have state, sorted.
    ///
    /// # Errors
    ///
    /// [`SinkError::Corrupt`] for state under a shortened name that does not tell to whom it
    /// belongs.
    pub async fn routes(&self) -> Result<Vec<Route>, SinkError> {
        let store = &self.0.store;
        let mut blobs = store.list(&store.names.all_state());
        let mut routes = BTreeSet::new();
        while let Some(blob) = blobs.try_next().await? {
            let Some((by_name, file)) = store.names.state_of(&blob.location) else { continue };
            if ![CHECKPOINT, QUARANTINE].iter().any(|kind| file == format!("{kind}.json")) {
                continue;
            }
            let route = match by_name {
                Some(route) => Some(route),
                None => match store.read(&blob.location, MAX_STATE).await? {
                    Some(found) => {
                        Some(route_by_content(&store.place_of(&blob.location), &found.bytes)?)
                    }
                    None => None,
                },
            };
            routes.extend(route);
        }
        Ok(routes.into_iter().collect())
    }

    /// The routes that have state or emails, sorted: what was put there without a checkpoint, as
    /// by `replay`, has emails only.
    ///
    /// # Errors
    ///
    /// Those of [`Self::routes`], also for emails under a shortened name without state.
    pub async fn routes_with_emails(&self) -> Result<Vec<Route>, SinkError> {
        let store = &self.0.store;
        let mut routes: BTreeSet<Route> = self.routes().await?.into_iter().collect();
        let known: BTreeSet<_> = routes.iter().map(|route| store.names.data(route)).collect();
        for owner in store.dirs(&store.names.all_data()).await? {
            for bucket in store.dirs(&owner).await? {
                for dir in store.dirs(&bucket).await? {
                    if known.contains(&dir) {
                        continue;
                    }
                    let place = store.place_of(&dir);
                    let unknown = || corrupt(Place::new(&place), "no state tells whose emails");
                    routes.insert(route_of_data(&dir).ok_or_else(unknown)?);
                }
            }
        }
        Ok(routes.into_iter().collect())
    }

    /// The uids of the emails of `route`, in the order of their names: those with a sidecar.
    pub fn stored_uids(&self, route: &Route) -> BoxStream<'static, Result<Uid, SinkError>> {
        let store = &self.0.store;
        let blobs = store.list(&store.names.data(route)).map_err(SinkError::from);
        let uid = |blob: object_store::ObjectMeta| uid_of(&blob.location, "json");
        blobs.try_filter_map(move |blob| std::future::ready(Ok(uid(blob)))).boxed()
    }

    /// One email of `route`; `None` without a sidecar that can be read.
    ///
    /// # Errors
    ///
    /// What keeps the store from answering.
    pub async fn stored_email(
        &self,
        route: &Route,
        uid: Uid,
    ) -> Result<Option<StoredEmail>, SinkError> {
        let found = held(&self.0.store, route, uid).await?;
        Ok(found.map(|(sidecar, _)| StoredEmail {
            sidecar: *sidecar,
            objects: self.clone(),
            route: route.clone(),
        }))
    }

    /// The emails of `route`, in the order of their names. Holds a few sidecars in memory.
    pub fn stored(&self, route: &Route) -> BoxStream<'static, Result<StoredEmail, SinkError>> {
        let (objects, route) = (self.clone(), route.clone());
        self.stored_uids(&route)
            .map_ok(move |uid| {
                let (objects, route) = (objects.clone(), route.clone());
                async move { objects.stored_email(&route, uid).await }
            })
            .try_buffered(self.0.at_once)
            .try_filter_map(|email| std::future::ready(Ok(email)))
            .boxed()
    }
}

fn route_by_content(place: &str, bytes: &[u8]) -> Result<Route, SinkError> {
    let place = Place::new(place);
    let text = std::str::from_utf8(bytes).map_err(|err| corrupt(place, err))?;
    let (bucket, mailbox) = owner(place, text)?;
    let (owner, name) = bucket.split_once('/').ok_or_else(|| corrupt(place, "no bucket"))?;
    let bucket = BucketId::new(owner, name).map_err(|err| corrupt(place, err))?;
    let mailbox = mailbox.parse().map_err(|err| corrupt(place, err))?;
    Ok(Route { mailbox, bucket })
}
