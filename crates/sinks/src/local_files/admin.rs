//! `tributary state` for a folder.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use record::{Checkpoint, Route, SinkError};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    LocalFiles,
    durable::{at, sync_dir},
    quarantine,
    state::{self, CHECKPOINT, Saved, VERSION, corrupt},
    store::{Store, saved},
};
use crate::state_admin::{StateAdmin, StateExport, StateSummary};

/// Names under which a damaged file can be put aside.
const ASIDE: u32 = 10_000;
/// Added to the generation that a damaged checkpoint seems to have: no process can have seen more.
const BEYOND: u64 = 1 << 40;
/// Highest generation that is believed of a damaged checkpoint.
const CREDIBLE: u64 = 1 << 62;

#[async_trait]
impl StateAdmin for LocalFiles {
    async fn routes(&self) -> Result<Vec<Route>, SinkError> {
        let this = self.clone();
        self.run(move |_| this.routes()).await
    }

    async fn show(&self, route: &Route) -> Result<StateSummary, SinkError> {
        let (this, route) = (self.clone(), route.clone());
        self.run(move |store| {
            let dir = store.layout.state_dir(&route);
            let checkpoint = saved(&dir, &route)?.checkpoint;
            let list = quarantine::items(&dir, &route)?;
            let mut stored = 0;
            for line in this.ledger(&route)? {
                line?;
                stored += 1;
            }
            Ok(StateSummary {
                served: Some(!this.served(std::slice::from_ref(&route))?.is_empty()),
                stored: Some(stored),
                ..StateSummary::new(&route, checkpoint, list)
            })
        })
        .await
    }

    async fn export(&self, route: &Route) -> Result<Vec<u8>, SinkError> {
        let route = route.clone();
        self.run(move |store| {
            let dir = store.layout.state_dir(&route);
            // In this order: what the positions pass over is in the list by then.
            let checkpoint = saved(&dir, &route)?.checkpoint;
            let quarantined = quarantine::items(&dir, &route)?;
            StateExport { checkpoint, quarantined }.to_bytes(&route)
        })
        .await
    }

    async fn import(&self, route: &Route, exported: &[u8]) -> Result<(), SinkError> {
        let new = StateExport::from_bytes(route, exported)?;
        let route = route.clone();
        self.run(move |store| {
            let stored = generation(store, &route)?;
            store.with(&route, |work| {
                // Emails that were stored since are in no quarantine, whatever the list says.
                let missing = new.quarantined.into_iter();
                work.set_aside(missing.filter(|item| work.held(item.uid).is_none()).collect())?;
                let generation = stored.max(new.checkpoint.generation) + 1;
                work.replace(&Checkpoint { generation, ..new.checkpoint })
            })
        })
        .await
    }

    async fn reset(&self, route: &Route) -> Result<(), SinkError> {
        let route = route.clone();
        self.run(move |store| {
            let generation = generation(store, &route)?;
            store.look(&route, |dir| {
                // Everything that it names is listed again.
                match quarantine::items(dir, &route) {
                    Err(SinkError::Corrupt { .. }) => quarantine::files(dir)
                        .into_iter()
                        .try_for_each(|path| put_aside(&path).map_err(at(&path))),
                    other => other.map(drop),
                }
            })?;
            store.with(&route, |work| {
                work.replace(&Checkpoint { generation: generation + 1, ..Checkpoint::default() })
            })
        })
        .await
    }
}

/// The generation that is stored. A damaged checkpoint is put aside, and counts as one with a
/// generation that no process can have seen.
fn generation(store: &Store, route: &Route) -> Result<u64, SinkError> {
    store.look(route, |dir| match saved(dir, route) {
        Ok(saved) => Ok(saved.checkpoint.generation),
        Err(SinkError::Corrupt { .. }) => {
            let path = dir.join("checkpoint.json");
            let generation = seeming_generation(&path).min(CREDIBLE) + BEYOND;
            put_aside(&path).map_err(at(&path))?;
            // If this call fails later on, the next one still knows.
            let checkpoint = Checkpoint { generation, ..Checkpoint::default() };
            let saved = Saved { checkpoint, ..Saved::default() };
            state::write(dir, CHECKPOINT, route, generation, &saved)?;
            Ok(generation)
        }
        Err(err) => Err(err),
    })
}

/// The first number that a damaged checkpoint calls its generation.
fn seeming_generation(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let after = text.split_once("\"generation\":").map_or("", |(_, after)| after);
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_default()
}

/// Renames a damaged file, so that somebody can still look at it.
fn put_aside(path: &Path) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for number in 1..=ASIDE {
        let to = path.with_file_name(format!("{name}.damaged-{number}"));
        match fs::hard_link(path, &to) {
            Err(err) if err.kind() == ErrorKind::AlreadyExists => {}
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(()),
            Err(err) => return Err(err),
            Ok(()) => {
                fs::remove_file(path)?;
                return path.parent().map_or(Ok(()), sync_dir);
            }
        }
    }
    Err(io::Error::other("there are too many damaged copies of it"))
}

/// Where bytes come from that are in no file that we know of.
fn exported() -> PathBuf {
    PathBuf::from("the exported state")
}

pub(crate) fn seal_state<T: Serialize>(
    kind: &str,
    route: &Route,
    generation: u64,
    payload: &T,
) -> Result<Vec<u8>, SinkError> {
    let text = state::seal(kind, VERSION, route, generation, payload);
    text.map(String::into_bytes).map_err(at(&exported()))
}

pub(crate) fn unseal_state<T: DeserializeOwned>(
    kind: &str,
    route: &Route,
    bytes: &[u8],
) -> Result<T, SinkError> {
    let path = exported();
    let text = std::str::from_utf8(bytes).map_err(|err| corrupt(&path, err))?;
    state::unseal(&path, kind, route, text).map(|(_, payload)| payload)
}
