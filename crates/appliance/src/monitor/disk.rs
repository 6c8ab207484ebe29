//! How much room is left where the appliance writes.

use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

/// With less than this nothing can be stored: a file, its sidecar and a line of the ledger.
const NOTHING_LEFT: u64 = 64 << 10;

/// A folder whose disk matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `data` or `spool`.
    pub name: &'static str,
    pub path: PathBuf,
}

/// The room on one disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// For processes without special rights.
    pub free: u64,
    pub total: u64,
}

impl Room {
    /// Nothing more can be stored.
    pub fn is_full(self) -> bool {
        self.free < NOTHING_LEFT
    }
}

/// The room at `path`; `None` if the system does not say, as while the folder is not there yet.
pub fn room(path: &Path) -> Option<Room> {
    let found = statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    let total = bytes(found.f_blocks);
    // Some network file systems report no sizes at all: that says nothing about being full.
    (total > 0).then(|| Room { free: bytes(found.f_bavail), total })
}
