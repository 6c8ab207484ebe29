//! Moves the state of a mailbox from one protocol to another.
//!
//! Positions and ids mean nothing to another protocol, so each folder is listed again from its
//! start. What a sink holds is not fetched again: most sinks tell it by uid, which is the same over
//! every protocol. For those that cannot, time has to do: what was in the mailbox while every folder
//! was read to its end, twice, counts as delivered.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use record::{Checkpoint, Folder, FolderId, FolderState, Protocol, Route, Sink, SinkError};

/// What came this long before a mailbox was complete is delivered again. The servers behind one
/// address have clocks of their own, this machine has another, and transport stamps an email
/// some time before the mailbox has it.
pub const MARGIN: TimeDelta = TimeDelta::minutes(10);

/// What happens to one folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    pub folder: FolderId,
    pub path: Vec<String>,
    /// Under which id it was known before; `None` for a folder that nothing is known of.
    pub from: Option<FolderId>,
    pub state: FolderState,
    /// Items as the new server counts them.
    pub total: Option<u64>,
}

/// How emails that were delivered before are recognized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// By their uid: none is fetched twice.
    ByIdentity,
    /// By their time: those since then are sent again.
    ByTime { until: DateTime<Utc> },
    /// Not at all: everything is sent again, which is harmless.
    Nothing,
}

/// What a move to another protocol would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub from: Protocol,
    pub to: Protocol,
    pub skip: Skip,
    pub folders: Vec<Adoption>,
    /// Folders that were known, and of whose path there is none now.
    pub lost: Vec<FolderState>,
}

/// The checkpoint in the terms of `to`: without positions, marks and folder list. Folders keep their
/// old ids until [`adopt`] finds the new ones.
///
/// The generation stays: whoever saves it raises it.
pub fn convert(checkpoint: &Checkpoint, to: Protocol, knows_what_it_holds: bool) -> Checkpoint {
    if checkpoint.protocol == to {
        return checkpoint.clone();
    }
    let until = delivered_until(checkpoint);
    let convert = |state: &FolderState| FolderState {
        position: None,
        // A folder that was never read to its end may be new among those that are read at all.
        delivered_until: match (knows_what_it_holds, state.caught_up) {
            (true, _) => None,
            (false, true) => until,
            (false, false) => state.delivered_until,
        },
        caught_up: false,
        mark: None,
        ..state.clone()
    };
    let folders = checkpoint.folders.iter().map(|(id, state)| (id.clone(), convert(state)));
    Checkpoint { protocol: to, hierarchy: None, folders: folders.collect(), ..checkpoint.clone() }
}

/// Until when everything in the mailbox is delivered for sure, by the clock of its server.
fn delivered_until(checkpoint: &Checkpoint) -> Option<DateTime<Utc>> {
    // Where this machine's clock is ahead, the server's own time of the newest email says less.
    let newest = checkpoint.folders.values().filter_map(|state| state.newest).max()?;
    checkpoint.complete_at?.min(newest).checked_sub_signed(MARGIN)
}

/// Gives each folder that is not known by its id what is known of a folder with the same path that
/// has no position: it was known over another protocol.
pub fn adopt(checkpoint: &mut Checkpoint, folders: &[Folder]) -> Vec<Adoption> {
    let present: BTreeSet<&FolderId> = folders.iter().map(|folder| &folder.id).collect();
    let is_left =
        |(id, state): &(&FolderId, &FolderState)| !present.contains(id) && state.position.is_none();
    let left = checkpoint.folders.iter().filter(is_left);
    let mut left: BTreeMap<Vec<String>, FolderId> =
        left.map(|(id, state)| (state.path.clone(), id.clone())).collect();
    let adopt = |folder: &Folder| {
        let mut from = checkpoint.folders.contains_key(&folder.id).then(|| folder.id.clone());
        if from.is_none() {
            from = left.remove(&folder.path);
            let state = from.as_ref().and_then(|from| checkpoint.folders.remove(from));
            if let Some(state) = state {
                checkpoint.folders.insert(folder.id.clone(), state);
            }
        }
        Adoption {
            folder: folder.id.clone(),
            path: folder.path.clone(),
            from,
            state: checkpoint.folders.get(&folder.id).cloned().unwrap_or_default(),
            total: folder.total,
        }
    };
    folders.iter().map(adopt).collect()
}

/// What a move of `checkpoint` to `to` would do, where the new server has these folders.
pub fn plan(
    checkpoint: &Checkpoint,
    to: Protocol,
    knows_what_it_holds: bool,
    folders: &[Folder],
) -> Plan {
    let mut converted = convert(checkpoint, to, knows_what_it_holds);
    let adopted = adopt(&mut converted, folders);
    let known: BTreeSet<&FolderId> = folders.iter().map(|folder| &folder.id).collect();
    let lost = converted.folders.iter().filter(|(id, _)| !known.contains(id));
    let until = adopted.iter().filter_map(|adoption| adoption.state.delivered_until).min();
    Plan {
        from: checkpoint.protocol,
        to,
        skip: match (knows_what_it_holds, until) {
            (true, _) => Skip::ByIdentity,
            (false, Some(until)) => Skip::ByTime { until },
            (false, None) => Skip::Nothing,
        },
        lost: lost.map(|(_, state)| state.clone()).collect(),
        folders: adopted,
    }
}

/// Moves the state of a route ahead of time, while nobody serves it. `None` if there is nothing to
/// move.
///
/// # Errors
///
/// Those of the sink; then the old state or the new one is stored, and both are right.
pub async fn migrate_now(
    sink: &dyn Sink,
    route: &Route,
    to: Protocol,
) -> Result<Option<Checkpoint>, SinkError> {
    let old = sink.load_checkpoint(route).await?;
    if old.protocol == to || old.generation == 0 {
        return Ok(None);
    }
    let mut new = convert(&old, to, sink.knows_what_it_holds());
    new.generation += 1;
    sink.save_checkpoint(route, &new).await?;
    Ok(Some(new))
}
