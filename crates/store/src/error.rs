//! What can go wrong with what is stored.

use std::{io, path::PathBuf};

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or could not be reached.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
    /// It was written by a later version of this program.
    #[error("the database has version {found}, and this program knows versions up to {known}")]
    TooNew { found: i64, known: i64 },
    /// The files beside the database.
    #[error("could not use `{}`", .path.display())]
    File {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// What was read is not what was written.
    #[error("{what} is damaged")]
    Damaged { what: String },
    /// Something with that name is there already.
    #[error("{what} already exists")]
    Exists { what: String },
    /// What is to be changed is not what the caller has seen.
    #[error("{what} is not the one that the request expects")]
    Changed { what: &'static str },
}

impl StoreError {
    /// What the operator can do, as a complete sentence, if we know.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::TooNew { .. } => {
                Some("Start the version that wrote it, or restore the copy made before its start.")
            }
            Self::File { .. } => Some("Check free space and permissions of the data folder."),
            Self::Damaged { .. } => Some("Restore it from a backup."),
            Self::Database(_) | Self::Exists { .. } | Self::Changed { .. } => None,
        }
    }

    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |cause| Self::File { path, cause }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

pub type Result<T, E = StoreError> = std::result::Result<T, E>;
