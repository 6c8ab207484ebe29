//! The container with the names that we give to its blobs.

use std::ops::Deref;

use futures_util::TryStreamExt;
use object_store::path::Path;
use objects::{Container, Failure, Kind, Sent};
use record::{Body, SinkError};
use sha2::{Digest, Sha256};

use super::names::Names;
use crate::local_files::hex;

/// A container of emails: what is asked of it is asked of the container.
pub(crate) struct Store {
    container: Container,
    pub(super) names: Names,
}

impl Deref for Store {
    type Target = Container;

    fn deref(&self) -> &Container {
        &self.container
    }
}

/// An email's bytes on their way.
pub(crate) struct Uploaded {
    pub(crate) sha256: String,
    pub(crate) size: u64,
    /// `false`: another copy was there already and stays.
    pub(crate) created: bool,
}

impl Store {
    pub(crate) fn new(container: Container) -> Self {
        let names = Names::new(container.prefix().clone());
        Self { container, names }
    }

    /// Hash and length of a blob.
    async fn hash(&self, path: &Path) -> Result<Option<(String, u64)>, Failure> {
        let Some(mut pieces) = self.stream(path).await? else { return Ok(None) };
        let (mut hash, mut size) = (Sha256::new(), 0);
        while let Some(piece) = pieces.try_next().await? {
            hash.update(&piece);
            size += piece.len() as u64;
        }
        Ok(Some((hex(&hash.finalize()), size)))
    }

    /// Stores the bytes of an email unless there is a copy, whose hash is told then.
    pub(crate) async fn upload(&self, path: &Path, body: &Body) -> Result<Uploaded, SinkError> {
        let sent = self.container.upload(path, Kind::Email, body.size(), body.reader()).await?;
        if let Sent::Created { sha256, size } = sent {
            return Ok(Uploaded { sha256, size, created: true });
        }
        // A server may build other bytes each time; the sidecar has to speak of those that are
        // there.
        match self.hash(path).await? {
            Some((sha256, size)) => Ok(Uploaded { sha256, size, created: false }),
            None => {
                let cause = "it was there, and then was not";
                Err(Failure::unwritable(self.place_of(path), cause).into())
            }
        }
    }
}
