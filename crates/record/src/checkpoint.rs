//! How far a mailbox has been delivered.

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::FolderId;

/// How far one mailbox has been delivered into one bucket. An absent folder is unread.
///
/// Invariant: a checkpoint never covers an item that its sink neither holds nor has in
/// quarantine, except those that the settings leave out (older than the start, drafts).
///
/// The JSON form is kept beside the data, so it is a compatibility promise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Number of this version: 0 is the state of a mailbox that never ran, and every save
    /// raises it by one. A sink refuses to replace any version but the one before.
    pub generation: u64,
    /// In whose terms the positions and folder ids are.
    #[serde(default, skip_serializing_if = "Protocol::is_ews")]
    pub protocol: Protocol,
    /// What the source knows of the folder list, in its own terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hierarchy: Option<Position>,
    /// The server asked for a pause until then; a restart does not cut it short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<DateTime<Utc>>,
    /// Every email that was in the mailbox before then is delivered. For sinks that cannot tell what
    /// they hold: with the positions gone, this is all that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete_at: Option<DateTime<Utc>>,
    pub folders: BTreeMap<FolderId, FolderState>,
}

/// How far one folder has been delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderState {
    /// Where the folder is, for people; the id is what counts.
    pub path: Vec<String>,
    /// Last position whose items are all delivered. `None`: nothing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Without a position, the emails received and created before this count as delivered: where a
    /// sink could keep no position, or the position was of another protocol, there is at least this
    /// time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_until: Option<DateTime<Utc>>,
    /// The listing was followed to its end at least once since `position` began.
    #[serde(default)]
    pub caught_up: bool,
    /// The folder's mark when it was last caught up: equal means that nothing changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// Emails delivered from this folder.
    #[serde(default)]
    pub delivered: u64,
    /// Entries passed over: already held, older than the start, drafts, gone.
    #[serde(default)]
    pub skipped: u64,
    #[serde(default)]
    pub quarantined: u64,
    /// Received time of the newest email delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<DateTime<Utc>>,
    /// Items that the server counted in the folder when it was last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// When the folder was last read without an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<DateTime<Utc>>,
}

/// A way to read mailboxes. Positions and ids of one mean nothing to another; a [`Uid`](crate::Uid)
/// is the same in both, so that a mailbox can move from one to the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Exchange Web Services; also what a checkpoint without this key was written for.
    #[default]
    Ews,
    /// Microsoft Graph.
    Graph,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ews => "EWS",
            Self::Graph => "Graph",
        })
    }
}

impl Protocol {
    pub(crate) fn is_ews(&self) -> bool {
        *self == Self::Ews
    }
}

/// A place in a listing, in the terms of its protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Position {
    /// A cursor that the server issued: EWS `SyncState`; also what a source notes for itself.
    Cursor { token: String },
    /// An address that the server issued: Graph `@odata.nextLink` or `@odata.deltaLink`.
    Link { url: String },
}
