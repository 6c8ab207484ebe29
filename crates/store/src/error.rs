//! What can go wrong with what is stored.

use std::{io, path::PathBuf};

use record::Cause;

use crate::{Trouble, database};

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or could not be reached.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
    /// Another writer was in the way. Nothing was written; the same may pass now.
    #[error("another writer was in the way")]
    Busy(#[source] sqlx::Error),
    /// No connection to the database.
    #[error("could not reach the database `{place}`")]
    Unreachable {
        place: String,
        #[source]
        cause: Cause,
    },
    /// It does not let us in.
    #[error("the database `{place}` refused the sign-in")]
    Denied {
        place: String,
        #[source]
        cause: Cause,
    },
    /// It is there, and is not one that can be used.
    #[error("the database `{place}` cannot be used: {detail}")]
    Unsuitable { place: String, detail: String, hint: &'static str },
    /// It was written by an earlier version of this program, and must stay as it is.
    #[error("the database has version {found}, and this program works with version {known}")]
    TooOld { found: i64, known: i64 },
    /// It was written by a later version of this program.
    #[error("the database has version {found}, and this program knows versions up to {known}")]
    TooNew { found: i64, known: i64 },
    /// Where contents are that are too large for the database. Nothing was written.
    #[error("could not use `{place}`, where contents are kept")]
    Contents {
        place: String,
        trouble: Trouble,
        hint: Option<String>,
        #[source]
        cause: Cause,
    },
    /// The files beside the database.
    #[error("could not use `{}`", .path.display())]
    File {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// The disk refused what was committed, so that nothing is written until the program starts
    /// again and finds out what is there.
    #[error("the disk failed to take `{}` ({detail})", .path.display())]
    Stopped { path: PathBuf, detail: String },
    /// What was read is not what was written.
    #[error("{what} is damaged")]
    Damaged { what: String },
    /// A backup that is none, or not what it was.
    #[error("the backup `{place}` cannot be used: {detail}")]
    BadBackup { place: String, detail: String },
    /// Where something is to be restored, something is.
    #[error("{what} is not empty")]
    Occupied { what: String },
    /// Something with that name is there already.
    #[error("{what} already exists")]
    Exists { what: String },
    /// What is to be changed is not what the caller has seen.
    #[error("{what} is not the one that the request expects")]
    Changed { what: &'static str },
}

impl StoreError {
    /// What the operator can do, as a complete sentence, if we know.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::TooNew { .. } => {
                Some("Start the version that wrote it, or restore a backup made before its start.")
            }
            Self::File { .. } => Some("Check free space and permissions of the data folder."),
            Self::Stopped { .. } => Some("Check the disk, then start the program again."),
            Self::Damaged { .. } => Some("Restore it from a backup."),
            Self::TooOld { .. } => {
                Some("Start `tributary serve` once: it brings the tables forward.")
            }
            Self::Unreachable { .. } => {
                Some("Check host, port, `sslmode` and the network; is the server running?")
            }
            Self::Denied { .. } => {
                Some("Check user and password of the URL, and `pg_hba.conf` of the server.")
            }
            Self::Unsuitable { hint, .. } => Some(hint),
            Self::Contents { hint, .. } => hint.as_deref(),
            Self::BadBackup { .. } => Some("Give another backup; each is whole by itself."),
            Self::Occupied { .. } => {
                Some("A backup is only restored where nothing is: give an empty place.")
            }
            Self::Database(_) | Self::Busy(_) | Self::Exists { .. } | Self::Changed { .. } => None,
        }
    }

    /// Whether the database will never take one of the values, however often it is tried.
    ///
    /// Spec: "PostgreSQL Error Codes", classes 22 and 54, PostgreSQL documentation; "Result and Error
    /// Codes", `SQLITE_TOOBIG` and `SQLITE_MISMATCH`, SQLite documentation.
    pub fn is_about_a_value(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        error.code().is_some_and(|code| {
            let is_state = code.len() == 5;
            is_state && (code.starts_with("22") || code.starts_with("54"))
                || matches!(&*code, "18" | "20")
        })
    }

    /// `map_err` for work on a file.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |cause| Self::File { path, cause }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        database::sort(error)
    }
}

pub type Result<T, E = StoreError> = std::result::Result<T, E>;
