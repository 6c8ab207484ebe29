//! What operators do with the state of a mailbox: look at it, take it away, put it back, begin again.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use record::{Checkpoint, FolderId, Quarantined, Route, SinkError};
use serde::{Deserialize, Serialize};

use crate::local_files::{seal_state, unseal_state};

const KIND: &str = "state-export";

/// Code of the note that the engine keeps on the quarantine list while a large item is on its way.
pub const NOTE: &str = "InFlight";

/// The entries of a quarantine list that were set aside: all but the engine's notes.
pub fn set_aside(mut list: Vec<Quarantined>) -> Vec<Quarantined> {
    list.retain(|item| item.code != NOTE);
    list
}

/// The state of each mailbox, beside the emails themselves.
///
/// Changes raise the generation, so that a process which has seen the state before cannot replace
/// it by what it remembers. Where it can be told that a process serves the mailbox, they are
/// refused; elsewhere that process is superseded with its next write.
#[async_trait]
pub trait StateAdmin: Send + Sync {
    /// Every route that has state, sorted. A platform does not list its buckets, so it is those
    /// of the buckets that the sink was told to look at.
    async fn routes(&self) -> Result<Vec<Route>, SinkError>;

    /// How far `route` has come.
    async fn show(&self, route: &Route) -> Result<StateSummary, SinkError>;

    /// The state of `route` as [`StateExport::to_bytes`] writes it.
    async fn export(&self, route: &Route) -> Result<Vec<u8>, SinkError>;

    /// Replaces the state of `route` by an exported one. What has arrived since is listed again,
    /// and not stored again.
    ///
    /// The positions must be those of *this* destination: emails before them are not asked for.
    ///
    /// # Errors
    ///
    /// [`SinkError::Corrupt`] if the bytes are damaged or belong to another route,
    /// [`SinkError::Busy`] or [`SinkError::Superseded`] while a process serves the route.
    async fn import(&self, route: &Route, exported: &[u8]) -> Result<(), SinkError>;

    /// Forgets how far `route` has come, also if that cannot be read any more. The mailbox is
    /// read again from its start; emails that are stored stay, and are not stored again.
    ///
    /// # Errors
    ///
    /// [`SinkError::Busy`] or [`SinkError::Superseded`] while a process serves the route.
    async fn reset(&self, route: &Route) -> Result<(), SinkError>;
}

/// The state of one mailbox, without the positions themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateSummary {
    pub bucket: String,
    pub mailbox: String,
    /// Number of this version of the state; 0 if the mailbox never ran.
    pub generation: u64,
    /// A process serves the mailbox at the moment; `None` if that cannot be told.
    pub served: Option<bool>,
    /// Emails stored, if the destination counts them.
    pub stored: Option<u64>,
    pub quarantined: usize,
    pub folders: Vec<FolderSummary>,
}

/// How far one folder has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FolderSummary {
    pub id: FolderId,
    pub path: Vec<String>,
    /// There is a position to go on from.
    pub begun: bool,
    pub up_to_date: bool,
    pub delivered: u64,
    pub skipped: u64,
    pub quarantined: u64,
    pub newest: Option<DateTime<Utc>>,
    pub read_at: Option<DateTime<Utc>>,
}

impl StateSummary {
    /// `list` is the quarantine list as it is stored.
    pub fn new(route: &Route, checkpoint: Checkpoint, list: Vec<Quarantined>) -> Self {
        let folders = checkpoint.folders.into_iter().map(|(id, state)| FolderSummary {
            id,
            path: state.path,
            begun: state.position.is_some(),
            up_to_date: state.caught_up,
            delivered: state.delivered,
            skipped: state.skipped,
            quarantined: state.quarantined,
            newest: state.newest,
            read_at: state.read_at,
        });
        Self {
            bucket: route.bucket.to_string(),
            mailbox: route.mailbox.to_string(),
            generation: checkpoint.generation,
            served: None,
            stored: None,
            quarantined: set_aside(list).len(),
            folders: folders.collect(),
        }
    }
}

/// What an export holds. The same for every destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateExport {
    pub checkpoint: Checkpoint,
    pub quarantined: Vec<Quarantined>,
}

impl StateExport {
    /// One line of JSON in the envelope of all state, with version, route and checksum.
    ///
    /// # Errors
    ///
    /// None that could be caused from outside.
    pub fn to_bytes(&self, route: &Route) -> Result<Vec<u8>, SinkError> {
        seal_state(KIND, route, self.checkpoint.generation, self)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`SinkError::Corrupt`], [`SinkError::TooNew`].
    pub fn from_bytes(route: &Route, exported: &[u8]) -> Result<Self, SinkError> {
        unseal_state(KIND, route, exported)
    }
}
