//! `tributary state` for a container.

use std::path::Path as Place;

use async_trait::async_trait;
use object_store::UpdateVersion;
use objects::Put;
use record::{Checkpoint, Quarantined, Route, Sink, SinkError, Uid};
use serde::Serialize;

use super::{
    Objects,
    state::{self, MAX_STATE},
    store::Store,
};
use crate::{
    local_files::state::{CHECKPOINT, QUARANTINE, Saved, SetAside, unseal},
    state_admin::{StateAdmin, StateExport, StateSummary},
};

#[async_trait]
impl StateAdmin for Objects {
    async fn routes(&self) -> Result<Vec<Route>, SinkError> {
        Self::routes(self).await
    }

    async fn show(&self, route: &Route) -> Result<StateSummary, SinkError> {
        let StateExport { checkpoint, quarantined } = self.stored_state(route).await?;
        Ok(StateSummary::new(route, checkpoint, quarantined))
    }

    async fn export(&self, route: &Route) -> Result<Vec<u8>, SinkError> {
        self.stored_state(route).await?.to_bytes(route)
    }

    async fn import(&self, route: &Route, exported: &[u8]) -> Result<(), SinkError> {
        let StateExport { checkpoint, quarantined } = StateExport::from_bytes(route, exported)?;
        // Emails that were stored since are in no quarantine, whatever the list says.
        let uids: Vec<Uid> = quarantined.iter().map(|item| item.uid).collect();
        let held = self.find(route, &uids).await?;
        let missing = quarantined.into_iter().zip(held).filter(|(_, held)| held.is_none());
        let missing: Vec<Quarantined> = missing.map(|(item, _)| item).collect();
        // In this order: what the positions pass over is in the list by then.
        self.quarantine(route, &missing).await?;
        self.replace(route, CHECKPOINT, |generation| {
            let generation = generation.max(checkpoint.generation) + 1;
            (generation, saved(Checkpoint { generation, ..checkpoint }))
        })
        .await
    }

    async fn reset(&self, route: &Route) -> Result<(), SinkError> {
        self.replace(route, CHECKPOINT, |generation| {
            let generation = generation + 1;
            (generation, saved(Checkpoint { generation, ..Checkpoint::default() }))
        })
        .await?;
        // Everything that the list names is listed again, so one that is damaged is no loss now.
        match state::read::<SetAside>(&self.0.store, route, QUARANTINE).await {
            Err(SinkError::Corrupt { .. }) => {
                let empty = |generation| (generation + 1, SetAside::default());
                self.replace(route, QUARANTINE, empty).await
            }
            read => read.map(drop),
        }
    }
}

fn saved(checkpoint: Checkpoint) -> Saved {
    Saved { ledger_size: 0, checkpoint }
}

impl Objects {
    /// Takes entries from the quarantine list of `route`, and tells which.
    ///
    /// # Errors
    ///
    /// [`SinkError`] if the list cannot be read or written.
    pub async fn forget_quarantined(
        &self,
        route: &Route,
        uids: &[Uid],
    ) -> Result<Vec<Quarantined>, SinkError> {
        let mut forgotten = Vec::new();
        let forget = |list: &mut Vec<Quarantined>| {
            forgotten = list.extract_if(.., |item| uids.contains(&item.uid)).collect();
            !forgotten.is_empty()
        };
        self.prove().await?;
        self.0.states.change_quarantine(&self.0.store, route, forget).await?;
        Ok(forgotten)
    }

    async fn stored_state(&self, route: &Route) -> Result<StateExport, SinkError> {
        let store = &self.0.store;
        // In this order: what the positions pass over is in the list by then.
        let checkpoint = state::read::<Saved>(store, route, CHECKPOINT).await?;
        let list = state::read::<SetAside>(store, route, QUARANTINE).await?;
        Ok(StateExport {
            checkpoint: checkpoint.map(|opened| opened.payload.checkpoint).unwrap_or_default(),
            quarantined: list.map(|opened| opened.payload.items).unwrap_or_default(),
        })
    }

    /// Puts what `new` makes of the stored generation in the place of the state of `kind`.
    async fn replace<T: Serialize>(
        &self,
        route: &Route,
        kind: &str,
        new: impl FnOnce(u64) -> (u64, T),
    ) -> Result<(), SinkError> {
        self.prove().await?;
        let store = &self.0.store;
        let (seen, generation) = version_of(store, route, kind).await?;
        let (generation, payload) = new(generation);
        let text = state::sealed(store, route, kind, generation, &payload)?;
        match state::write(store, route, kind, text, seen).await? {
            Put::Done(_) => Ok(()),
            Put::Conflict => Err(SinkError::Superseded {
                place: store.place_of(&store.names.state(route, kind)),
            }),
        }
    }
}

/// The version and the generation of a state blob; 0 if it is absent or damaged, for replacing it
/// is how an operator gets out of that.
async fn version_of(
    store: &Store,
    route: &Route,
    kind: &str,
) -> Result<(Option<UpdateVersion>, u64), SinkError> {
    let path = store.names.state(route, kind);
    let Some(found) = store.read(&path, MAX_STATE).await? else { return Ok((None, 0)) };
    let place = store.place_of(&path);
    let text = String::from_utf8_lossy(&found.bytes);
    match unseal::<serde_json::Value>(Place::new(&place), kind, route, &text) {
        Ok((generation, _)) => Ok((Some(found.version), generation)),
        Err(SinkError::Corrupt { .. }) => Ok((Some(found.version), 0)),
        Err(err) => Err(err),
    }
}
