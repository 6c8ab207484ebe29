//! Backups: everything that cannot be made anew, of one moment, in a form that belongs to neither
//! database. So a backup is also the way from SQLite to PostgreSQL and back.
//!
//! ```text
//! DIR/2026-11-22T131401Z/      whole: it gets this name when everything in it is on the disk
//!       manifest.json          versions, tables with rows and hashes
//!       manifest.json.sha256   for `sha256sum --check`
//!       tables/NAME.jsonl.gz   one row a line, in the order of the manifest's columns
//!       contents/ab/abcd…      every content, compressed, under the hash of what is in it
//! DIR/.unfinished-…            under way, or cut short
//! ```
//!
//! A content that an earlier backup in DIR has is a hard link to it: each backup is whole by
//! itself, and any of them can be deleted.

mod load;
mod manifest;
mod restore;
mod rows;
mod target;
mod write;

pub use self::{
    manifest::{Manifest, TableFile, find},
    restore::{Place, Restored, restore},
    write::Made,
};

/// How far something is that takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, as a noun: `contents`.
    pub what: &'static str,
    pub done: u64,
    /// 0 if nobody knows.
    pub total: u64,
}

/// Hears how far it is.
pub type Watcher<'a> = &'a (dyn Fn(Progress) + Sync);

const TABLES: &str = "tables";
const CONTENTS: &str = "contents";
const UNFINISHED: &str = ".unfinished-";
