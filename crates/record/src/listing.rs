//! What a source tells about a mailbox before and while emails are fetched.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Email, FolderId, ItemId, Position, Protocol, Uid};

/// A folder that holds mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    pub id: FolderId,
    /// Names from the top of the mailbox down: `["Inbox", "Claims/2026"]`.
    pub path: Vec<String>,
    /// Changes whenever the folder's items change; `None` if the server offers no such mark.
    pub mark: Option<String>,
    /// Items that the server counts in the folder, if it says so.
    pub total: Option<u64>,
}

/// The folders of a mailbox as they are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    pub folders: Vec<Folder>,
    /// What the source wants to know of the folder list next time, kept in the checkpoint.
    pub hierarchy: Option<Position>,
}

/// An item that a folder listing names: all that is needed to decide whether to fetch it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub item: ItemId,
    pub uid: Uid,
    pub message_id: Option<String>,
    pub received: Option<DateTime<Utc>>,
    /// When the item came into the mailbox, if the server says so: later than `received` for mail
    /// that was imported or copied.
    pub created: Option<DateTime<Utc>>,
    /// Size that the server reports, in bytes.
    pub size: Option<u64>,
    pub is_draft: bool,
}

/// A part of a folder's listing, with the position that it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Items that are new or changed, in the server's order. May be empty: a server can move
    /// its cursor without new items.
    pub entries: Vec<Entry>,
    /// Items that left the folder. Counted, never acted upon: an archive keeps what it has.
    pub removed: usize,
    /// Position to save once every entry is delivered, set aside or passed over.
    pub next: Position,
    /// The server has more to list after `next`.
    pub more: bool,
}

/// What became of one entry that was to be fetched.
#[derive(Clone, Debug)]
pub enum Fetched {
    Email(Box<Email>),
    /// The item was deleted or moved between listing and fetching. If it moved, its new folder
    /// lists it.
    Gone,
    /// The server will not hand it out, now or later.
    Refused {
        code: String,
        detail: String,
    },
    /// The server stopped before it came to this item: ask again.
    Later,
}

/// An item set aside: listed by the source, not delivered, not forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    pub uid: Uid,
    /// In whose terms the ids of item and folder are.
    #[serde(default, skip_serializing_if = "Protocol::is_ews")]
    pub protocol: Protocol,
    pub item: ItemId,
    pub folder: FolderId,
    pub folder_path: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The server's code, or ours: `ErrorItemCorrupt`, `TooLarge`.
    pub code: String,
    pub detail: String,
    /// When it was set aside for the first time.
    pub since: DateTime<Utc>,
    pub attempts: u32,
}

impl Quarantined {
    /// The entry to fetch when the item is tried again.
    pub fn entry(&self) -> Entry {
        Entry {
            item: self.item.clone(),
            uid: self.uid,
            message_id: self.message_id.clone(),
            received: self.received,
            created: None,
            size: self.size,
            is_draft: false,
        }
    }
}
