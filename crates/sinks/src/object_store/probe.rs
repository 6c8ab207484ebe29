//! What is seen of a store before it is relied upon: by `doctor`, and before the first write to a
//! store of which nobody knows that it keeps the conditions of writes.

use bytes::Bytes;
use object_store::UpdateVersion;
use objects::{Failure, Kind, Put};
use record::SinkError;

use super::Objects;

/// One thing that was tried.
#[derive(Debug)]
pub struct ProbeStep {
    /// `write`, `read`, `create only if absent`, `create in parts only if absent`, `replace only
    /// what was seen`, `list`.
    pub what: &'static str,
    pub result: Result<(), SinkError>,
}

/// What a text begins with, in front of letters that no other has: some stores make the mark of a
/// version from the content, so that the same text again would be the version that was seen.
const TEXT: &str = "Written to see whether the store refuses what it must. Safe to delete.\n";

const CONDITIONS: &str = "Without conditional writes, two processes could overwrite each other. Use a \
                          store that honors `If-Match` and `If-None-Match` when an object is written \
                          and when its parts are put together.";

impl Objects {
    /// Writes `state/tributary-probe.txt`, reads it, and sees that conditional writes are refused
    /// when they must be. Stops at the first failure. The blob stays, since deleting would need
    /// a right that nothing else needs.
    pub async fn probe(&self) -> Vec<ProbeStep> {
        let mut steps = self.probe_conditions().await;
        if steps.iter().all(|step| step.result.is_ok()) {
            steps.push(ProbeStep { what: "list", result: self.routes().await.map(drop) });
        }
        steps
    }

    /// Sees once that the store refuses a write whose condition does not hold, unless that is known
    /// of its kind. Whatever writes waits for it.
    ///
    /// # Errors
    ///
    /// [`SinkError::Denied`] if it takes such a write, or refuses ours; else what keeps it from
    /// answering, and then it is tried again the next time.
    pub async fn prove(&self) -> Result<(), SinkError> {
        let seen = async || {
            let mut steps = self.probe_conditions().await.into_iter();
            steps.try_for_each(|step| step.result)?;
            tracing::info!("`{}` refuses writes whose condition does not hold", self.place());
            Ok(())
        };
        self.0.proven.get_or_try_init(seen).await.copied()
    }

    /// Other processes may do the same at the same time: each step stands for itself.
    async fn probe_conditions(&self) -> Vec<ProbeStep> {
        let mut steps = Vec::new();
        let mut note = |what, result: Result<(), SinkError>| {
            let good = result.is_ok();
            steps.push(ProbeStep { what, result });
            good
        };
        let _ = note("write", self.probe_write().await)
            && note("read", self.probe_read().await.map(drop))
            && note("create only if absent", self.probe_create().await)
            && note("create in parts only if absent", self.probe_parts().await)
            && note("replace only what was seen", self.probe_replace().await);
        steps
    }

    fn text() -> Bytes {
        format!("{TEXT}{:032x}\n", rand::random::<u128>()).into()
    }

    /// The store is not to be relied upon.
    fn unsuitable(&self, why: &str) -> SinkError {
        SinkError::Denied {
            place: self.place(),
            detail: why.to_owned(),
            hint: Some(CONDITIONS.to_owned()),
        }
    }

    async fn probe_write(&self) -> Result<(), SinkError> {
        let store = &self.0.store;
        // One that is there is replaced by a later step.
        match store.create(&store.names.probe(), Kind::Text, Self::text()).await? {
            Put::Done(_) | Put::Conflict => Ok(()),
        }
    }

    async fn probe_read(&self) -> Result<UpdateVersion, SinkError> {
        let store = &self.0.store;
        let path = store.names.probe();
        match store.read(&path, 4096).await? {
            Some(found) => Ok(found.version),
            None => {
                let cause = "what was written cannot be found";
                Err(Failure::unwritable(store.place_of(&path), cause).into())
            }
        }
    }

    async fn probe_create(&self) -> Result<(), SinkError> {
        let store = &self.0.store;
        match store.create(&store.names.probe(), Kind::Text, Self::text()).await? {
            Put::Conflict => Ok(()),
            Put::Done(_) => Err(self.unsuitable("it ignores `If-None-Match`")),
        }
    }

    async fn probe_parts(&self) -> Result<(), SinkError> {
        let store = &self.0.store;
        match store.create_in_parts(&store.names.probe(), Kind::Text, Self::text()).await? {
            Put::Conflict => Ok(()),
            Put::Done(_) => {
                Err(self.unsuitable("it ignores `If-None-Match` where parts are put together"))
            }
        }
    }

    async fn probe_replace(&self) -> Result<(), SinkError> {
        let store = &self.0.store;
        let path = store.names.probe();
        let seen = self.probe_read().await?;
        let replace = |seen| store.replace(&path, Kind::Text, Self::text(), seen);
        match replace(seen.clone()).await? {
            Put::Done(_) => {}
            // Somebody else was faster, and ours was refused for that.
            Put::Conflict if self.probe_read().await? != seen => return Ok(()),
            Put::Conflict => {
                return Err(self.unsuitable("it refuses a write whose `If-Match` holds"));
            }
        }
        match replace(seen).await? {
            Put::Conflict => Ok(()),
            Put::Done(_) => Err(self.unsuitable("it ignores `If-Match`")),
        }
    }
}
