//! What `doctor` asks of a store before it is relied upon.

use bytes::Bytes;
use object_store::{PutMode, UpdateVersion};
use objects::{Kind, Put};
use record::SinkError;

use super::Objects;

/// One thing that was tried.
#[derive(Debug)]
pub struct ProbeStep {
    /// `write`, `read`, `create only if absent`, `replace only what was seen`, `list`.
    pub what: &'static str,
    pub result: Result<(), SinkError>,
}

/// The store took a write that it had to refuse.
#[derive(Debug, thiserror::Error)]
#[error("it ignores the condition of a write, so two processes could overwrite each other")]
struct Unconditional;

#[derive(Debug, thiserror::Error)]
#[error("it refuses a write whose condition holds")]
struct AlwaysRefused;

#[derive(Debug, thiserror::Error)]
#[error("what was written is not what is read")]
struct Different;

impl Objects {
    /// Writes `state/tributary-probe.txt`, reads it, and sees that conditional writes are refused
    /// when they must be. Stops at the first failure. The blob stays, since deleting would need
    /// a right that nothing else needs.
    pub async fn probe(&self) -> Vec<ProbeStep> {
        let mut steps = Vec::new();
        let mut note = |what, result: Result<(), SinkError>| {
            let good = result.is_ok();
            steps.push(ProbeStep { what, result });
            good
        };
        let version = match self.probe_write().await {
            Ok(version) => version,
            Err(err) => {
                note("write", Err(err));
                return steps;
            }
        };
        note("write", Ok(()));
        if note("read", self.probe_read().await)
            && note("create only if absent", self.probe_create().await)
            && note("replace only what was seen", self.probe_replace(version).await)
        {
            note("list", self.routes().await.map(drop));
        }
        steps
    }

    fn text() -> Bytes {
        Bytes::from_static(b"Written by `doctor` to see whether it can. Safe to delete.\n")
    }

    fn fault(&self, cause: impl Into<record::Cause>) -> SinkError {
        let store = &self.0.store;
        SinkError::Unwritable { place: store.place_of(&store.names.probe()), cause: cause.into() }
    }

    async fn probe_write(&self) -> Result<UpdateVersion, SinkError> {
        let store = &self.0.store;
        let path = store.names.probe();
        match store.put(&path, Kind::Text, Self::text(), PutMode::Overwrite).await? {
            Put::Done(version) => Ok(version),
            Put::Conflict => Err(self.fault(AlwaysRefused)),
        }
    }

    async fn probe_read(&self) -> Result<(), SinkError> {
        let store = &self.0.store;
        match store.read(&store.names.probe(), 4096).await? {
            Some(found) if found.bytes == Self::text() => Ok(()),
            _ => Err(self.fault(Different)),
        }
    }

    async fn probe_create(&self) -> Result<(), SinkError> {
        let store = &self.0.store;
        match store.create(&store.names.probe(), Kind::Text, Self::text()).await? {
            Put::Conflict => Ok(()),
            Put::Done(_) => Err(self.fault(Unconditional)),
        }
    }

    async fn probe_replace(&self, seen: UpdateVersion) -> Result<(), SinkError> {
        let store = &self.0.store;
        let path = store.names.probe();
        let replace = |seen| store.replace(&path, Kind::Text, Self::text(), seen);
        let Put::Done(_) = replace(seen.clone()).await? else {
            return Err(self.fault(AlwaysRefused));
        };
        match replace(seen).await? {
            Put::Conflict => Ok(()),
            Put::Done(_) => Err(self.fault(Unconditional)),
        }
    }
}
