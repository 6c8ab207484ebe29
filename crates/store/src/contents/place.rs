//! The seam to wherever contents are that are too large for the database.

use std::{io::Read, path::Path};

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::Result;

/// A folder, or a container of an object store. Names are SHA-256 in lower-case hex, and what is
/// under them is compressed; nothing here looks into it.
#[async_trait]
pub trait Contents: Send + Sync {
    /// Keeps a copy of the file under that name. Durable when it returns; what is there already
    /// stays as it is.
    async fn put(&self, hash: &str, file: &Path) -> Result<()>;

    /// Opens what is under that name, if there is something.
    async fn open(&self, hash: &str) -> Result<Option<Box<dyn Read + Send>>>;

    /// Removes what is under that name; that there is nothing is no failure.
    async fn remove(&self, hash: &str) -> Result<()>;

    /// Takes a damaged content out of the way without destroying it, and tells where it went.
    async fn set_aside(&self, hash: &str) -> Result<String>;

    /// What there is, some at a time, while others write and remove.
    fn list(&self) -> BoxStream<'_, Result<Vec<Listed>>>;

    /// Whether there is something under that name.
    async fn has(&self, hash: &str) -> Result<bool>;

    /// For messages.
    fn place(&self) -> String;

    /// Whether each call crosses a network.
    fn is_far(&self) -> bool {
        false
    }

    /// The mark that says whose contents these are. A folder has none: it is where its platform
    /// is, or was given by hand.
    async fn owner(&self) -> Result<Option<String>> {
        Ok(None)
    }

    /// Leaves the mark, unless there is one.
    async fn set_owner(&self, _owner: &str) -> Result<()> {
        Ok(())
    }

    /// Tries whether contents can be written and removed.
    async fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// Why a place that is far cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It cannot be reached, or cannot answer now: later it may.
    Away,
    /// It does not let us in.
    Refused,
    /// It is not there, or not ours, or lacks a right.
    Unsuitable,
}

/// Something that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// A hash, unless somebody else put it there.
    pub name: String,
    /// For messages.
    pub place: String,
    pub size: u64,
}

/// Whether we give such names.
pub fn is_hash(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
