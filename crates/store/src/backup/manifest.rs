//! What a backup says about itself, and how one is found and recognized.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use openssl::sha::Sha256;
use serde::{Deserialize, Serialize};

use super::UNFINISHED;
use crate::{
    Result, StoreError,
    id::{hash, hex},
    migrate,
};

/// The form of a backup that this program writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;
const NAME: &str = "manifest.json";
const SUM: &str = "manifest.json.sha256";
/// Largest manifest that is read, in bytes.
const MAX_SIZE: u64 = 256 * 1024 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// Version of the program that made it.
    pub program: String,
    /// Version of the tables.
    pub schema: i64,
    /// When its snapshot was taken, in RFC 3339.
    pub created_at: String,
    pub tables: Vec<TableFile>,
    pub contents: u64,
    /// Contents that were damaged already when it was made, and are not in it.
    pub damaged: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFile {
    pub name: String,
    pub columns: Vec<String>,
    pub rows: u64,
    /// Of the rows as text, before compression.
    pub sha256: String,
    /// Where the database counts rows: the last number.
    pub counter: Option<i64>,
}

/// A backup that is not what it was.
pub(super) fn damaged(folder: &Path, what: impl std::fmt::Display) -> StoreError {
    StoreError::BadBackup { place: folder.display().to_string(), detail: what.to_string() }
}

impl Manifest {
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let text =
            serde_json::to_string_pretty(self).map_err(|error| damaged(folder, error))? + "\n";
        let sum = format!("{}  {NAME}\n", hash(text.as_bytes()));
        for (name, text) in [(NAME, text), (SUM, sum)] {
            let path = folder.join(name);
            fs::write(&path, text).map_err(StoreError::file(path))?;
        }
        Ok(())
    }

    /// Reads what a backup says about itself.
    ///
    /// # Errors
    ///
    /// [`StoreError::BadBackup`] for what is none, was cut short or was changed;
    /// [`StoreError::TooNew`] for one of a newer version.
    pub fn read(folder: &Path) -> Result<Self> {
        let unfinished =
            folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED));
        if unfinished {
            return Err(damaged(folder, "it was cut short before it was whole"));
        }
        let read = |name: &str| {
            let path = folder.join(name);
            let mut text = String::new();
            let file = File::open(&path).map_err(|error| {
                damaged(folder, format_args!("`{name}` cannot be read ({error})"))
            })?;
            let read = file.take(MAX_SIZE).read_to_string(&mut text);
            read.map_err(|error| damaged(folder, format_args!("`{name}`: {error}")))?;
            Ok::<_, StoreError>(text)
        };
        let (text, sum) = (read(NAME)?, read(SUM)?);
        if sum.split_whitespace().next() != Some(&*hash(text.as_bytes())) {
            return Err(damaged(folder, format_args!("`{NAME}` is not what `{SUM}` says")));
        }
        let value: serde_json::Value = serde_json::from_str(&text)
            .map_err(|error| damaged(folder, format_args!("`{NAME}`: {error}")))?;
        let format = value.get("format").and_then(serde_json::Value::as_i64).unwrap_or_default();
        if format > i64::from(FORMAT) {
            return Err(StoreError::TooNew { found: format, known: FORMAT.into() });
        }
        let manifest: Self = serde_json::from_value(value)
            .map_err(|error| damaged(folder, format_args!("`{NAME}`: {error}")))?;
        if manifest.schema > migrate::known() {
            return Err(StoreError::TooNew { found: manifest.schema, known: migrate::known() });
        }
        Ok(manifest)
    }
}

/// Backups that are whole, oldest first, and what is left of others.
pub(super) fn list(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let failed = || StoreError::file(folder);
    let (mut whole, mut unfinished) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(UNFINISHED) {
            unfinished.push(path);
        } else if path.join(NAME).exists() {
            whole.push(path);
        }
    }
    whole.sort();
    Ok((whole, unfinished))
}

/// The backup in a folder: itself, or the newest in it.
///
/// # Errors
///
/// There is none that is whole.
pub fn find(folder: &Path) -> Result<PathBuf> {
    if folder.join(NAME).exists() {
        return Ok(folder.to_owned());
    }
    let (mut whole, unfinished) = list(folder)?;
    match (whole.pop(), unfinished.first()) {
        (Some(newest), _) => Ok(newest),
        (None, Some(cut)) => Err(damaged(cut, "it was cut short before it was whole")),
        (None, None) => Err(damaged(folder, "there is no backup in it")),
    }
}

/// The SHA-256 of everything that a reader has.
pub(super) fn digest(mut input: impl Read) -> std::io::Result<String> {
    let (mut sum, mut piece) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        let read = input.read(&mut piece)?;
        if read == 0 {
            return Ok(hex(&sum.finish()));
        }
        sum.update(piece.get(..read).unwrap_or_default());
    }
}
