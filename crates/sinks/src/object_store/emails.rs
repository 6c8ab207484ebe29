//! One email as two blobs.

use bytes::Bytes;
use object_store::UpdateVersion;
use objects::{Failure, Kind, Put};
use record::{Email, Route, SinkError, Uid};

use super::store::{Store, Uploaded};
use crate::local_files::Sidecar;

/// Longest sidecar that is read, in bytes.
pub(super) const MAX_SIDECAR: u64 = 4 << 20;
/// Above this size, in bytes, the sidecar is asked for before the email is sent once more.
const WORTH_ASKING: u64 = 4 << 20;
/// How often a sidecar is read and replaced when others replace it too.
const ATTEMPTS: usize = 8;

/// What lies under the name of a sidecar.
enum Lookup {
    Nothing,
    /// Not what we write, or that of another email: it counts as absent.
    Unusable(UpdateVersion),
    Sidecar(Box<Sidecar>, UpdateVersion),
}

async fn look_up(store: &Store, route: &Route, uid: Uid) -> Result<Lookup, SinkError> {
    let path = store.names.sidecar(route, uid);
    let Some(found) = store.read(&path, MAX_SIDECAR).await? else { return Ok(Lookup::Nothing) };
    Ok(match serde_json::from_slice::<Sidecar>(&found.bytes) {
        Ok(sidecar) if sidecar.uid == uid => Lookup::Sidecar(Box::new(sidecar), found.version),
        _ => Lookup::Unusable(found.version),
    })
}

/// The sidecar of an email that the store holds.
pub(super) async fn held(
    store: &Store,
    route: &Route,
    uid: Uid,
) -> Result<Option<(Box<Sidecar>, UpdateVersion)>, SinkError> {
    Ok(match look_up(store, route, uid).await? {
        Lookup::Sidecar(sidecar, version) => Some((sidecar, version)),
        Lookup::Nothing | Lookup::Unusable(_) => None,
    })
}

/// Stores `email`: the `.eml` first, the sidecar last.
pub(super) async fn write(store: &Store, route: &Route, email: &Email) -> Result<(), SinkError> {
    if email.body.size() > WORTH_ASKING
        && let Some((old, _)) = held(store, route, email.uid).await?
    {
        let there = Uploaded { sha256: old.sha256, size: old.size, created: false };
        return describe(store, route, email, there).await;
    }
    let uploaded = store.upload(&store.names.eml(route, email.uid), &email.body).await?;
    describe(store, route, email, uploaded).await
}

/// Writes the sidecar of an email whose bytes are there.
async fn describe(
    store: &Store,
    route: &Route,
    email: &Email,
    there: Uploaded,
) -> Result<(), SinkError> {
    let path = store.names.sidecar(route, email.uid);
    let new = Sidecar::new(route, email, there.sha256, there.size);
    if there.created {
        let json = json(store, route, &new)?;
        if let Put::Done(_) = store.create(&path, Kind::Json, json).await? {
            return Ok(());
        }
    }
    change(store, route, email.uid, |_| Some(new.clone())).await
}

/// Corrects the folder path of an email that the store holds.
pub(super) async fn relocate(
    store: &Store,
    route: &Route,
    uid: Uid,
    folder: &[String],
) -> Result<(), SinkError> {
    change(store, route, uid, |old| {
        let mut new = old?.clone();
        new.metadata.folder = folder.to_vec();
        Some(new)
    })
    .await
}

/// Replaces a sidecar by what `change` makes of it, again if somebody else was faster.
async fn change(
    store: &Store,
    route: &Route,
    uid: Uid,
    change: impl Fn(Option<&Sidecar>) -> Option<Sidecar>,
) -> Result<(), SinkError> {
    let path = store.names.sidecar(route, uid);
    for _ in 0..ATTEMPTS {
        let (old, seen) = match look_up(store, route, uid).await? {
            Lookup::Nothing => (None, None),
            Lookup::Unusable(version) => (None, Some(version)),
            Lookup::Sidecar(old, version) => (Some(old), Some(version)),
        };
        let Some(new) = change(old.as_deref()) else { return Ok(()) };
        if old.as_deref() == Some(&new) {
            return Ok(());
        }
        let json = json(store, route, &new)?;
        let put = match seen {
            Some(seen) => store.replace(&path, Kind::Json, json, seen).await?,
            None => store.create(&path, Kind::Json, json).await?,
        };
        if let Put::Done(_) = put {
            return Ok(());
        }
    }
    let cause = format!("others changed it {ATTEMPTS} times in between");
    Err(Failure::unwritable(store.place_of(&path), cause).into())
}

fn json(store: &Store, route: &Route, sidecar: &Sidecar) -> Result<Bytes, SinkError> {
    let place = || store.place_of(&store.names.sidecar(route, sidecar.uid));
    sidecar.to_json().map(Bytes::from).map_err(|err| Failure::unwritable(place(), err).into())
}
