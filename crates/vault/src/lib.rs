//! Keeps the credentials of others: sealed, they may lie in a database; the key never does.
//!
//! ```text
//! key file ─▶ key ─▶ wraps ─▶ key of one row ─▶ seals ─▶ the credential
//! ```
//!
//! Each row has a key of its own, which the key of the file wraps, so that a new key in the file
//! costs a few bytes a row and touches no credential. What a row is about is bound to it: a text
//! that was copied to another row opens nothing.

mod keys;
mod seal;

use std::{io, path::PathBuf};

pub use keys::Vault;

/// Why the vault could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file of keys cannot be used.
    #[error("could not use the key file `{}`", .path.display())]
    File {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// The file of keys is no such file.
    #[error("line {line} of the key file `{}` is not `KEYID:BASE64` with 32 bytes", .path.display())]
    BadKey { path: PathBuf, line: usize },
    #[error("the key file `{}` holds no key", .path.display())]
    NoKey { path: PathBuf },
    /// Others may read it.
    #[error("the key file `{}` can be read by others", .path.display())]
    Shared { path: PathBuf },
    /// The text was sealed under a key that is not there.
    #[error("the key `{id}` is not in the key file")]
    UnknownKey { id: String },
    /// The text is not what was sealed, or not for this row.
    #[error("a sealed credential does not open")]
    Damaged,
    #[error("the cryptographic library failed at {operation}")]
    Library { operation: &'static str },
}

impl VaultError {
    /// What the operator can do, as a complete sentence, if we know.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::File { .. } => Some("Check the path and the permissions of the key file."),
            Self::BadKey { .. } | Self::NoKey { .. } => {
                Some("Restore the key file from where it is kept; without it no credential opens.")
            }
            Self::Shared { .. } => Some("Take the rights of others away: `chmod 600`."),
            Self::UnknownKey { .. } => {
                Some("Add the line with that key to the key file, behind the first one.")
            }
            Self::Damaged => Some("Enter the credentials again."),
            Self::Library { .. } => None,
        }
    }
}

pub type Result<T, E = VaultError> = std::result::Result<T, E>;
