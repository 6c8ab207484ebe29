//! The seam to wherever contents are that are too large for the database.

use std::{io::Read, path::Path};

use async_trait::async_trait;

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

    /// What there is with names that begin with these two hex digits.
    async fn list(&self, part: u8) -> Result<Vec<Listed>>;

    /// For messages.
    fn place(&self) -> String;
}

/// Something that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// A hash, unless somebody else put it there.
    pub name: String,
    pub size: u64,
}

/// Whether we give such names.
pub fn is_hash(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
