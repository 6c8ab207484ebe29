//! The JSON file beside each email.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use chrono::{DateTime, Utc};
use record::{Email, ItemId, MailboxId, Metadata, Route, Uid};
use serde::{Deserialize, Serialize};

use super::layout;

/// Version of the sidecar's shape. Fields may be added without a new one.
const VERSION: u64 = 1;
/// Longest sidecar that is read, in bytes.
const MAX_SIZE: u64 = 4 << 20;
/// Most sidecars are shorter, and read at once.
const USUAL_SIZE: usize = 2 << 10;

/// What is known of an email beside its bytes: the content of `<uid>.json`.
///
/// Its JSON form is a compatibility promise: other programs read these files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sidecar {
    pub version: u64,
    pub uid: Uid,
    /// The id under which a platform bucket knows the email.
    pub id: String,
    pub mailbox: MailboxId,
    pub timestamp: DateTime<Utc>,
    /// Where the server kept the email when it was read.
    pub item: ItemId,
    /// Lower-case hex of the SHA-256 of the `.eml` file.
    pub sha256: String,
    /// Size of the `.eml` file in bytes; `metadata.size` is what the server said.
    pub size: u64,
    pub metadata: Metadata,
}

impl Sidecar {
    pub(crate) fn new(route: &Route, email: &Email, sha256: String, size: u64) -> Self {
        Self {
            version: VERSION,
            uid: email.uid,
            id: email.email_id(),
            mailbox: route.mailbox.clone(),
            timestamp: email.timestamp,
            item: email.item.clone(),
            sha256,
            size,
            metadata: email.metadata.clone(),
        }
    }

    pub(crate) fn to_json(&self) -> io::Result<Vec<u8>> {
        let mut json = serde_json::to_vec(self)?;
        json.push(b'\n');
        Ok(json)
    }

    /// Reads a sidecar.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] without the file, [`io::ErrorKind::InvalidData`] if it does
    /// not have the shape that we write.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut json = Vec::with_capacity(USUAL_SIZE);
        File::open(path)?.take(MAX_SIZE + 1).read_to_end(&mut json)?;
        if json.len() as u64 > MAX_SIZE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "far too long"));
        }
        Ok(serde_json::from_slice(&json)?)
    }
}

/// The sidecar of an email that is there whole: both files exist, and the length is right.
///
/// Anything less counts as absent, so that the email is written again.
pub(crate) fn held(data_dir: &Path, uid: Uid) -> Option<Sidecar> {
    let sidecar = Sidecar::read(&layout::sidecar(data_dir, uid)).ok()?;
    let size = fs::metadata(layout::eml(data_dir, uid)).ok()?.len();
    (sidecar.uid == uid && sidecar.size == size).then_some(sidecar)
}
