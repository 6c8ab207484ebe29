//! The platform's contents in a container of an object store.
//!
//! ```text
//! PREFIX/contents/ab/abcdef…     a content, compressed, under its SHA-256; never replaced
//! PREFIX/contents/damaged/…      what `fsck` has set aside
//! PREFIX/contents/owner.txt      which platform's they are
//! PREFIX/contents/check.txt      written and removed at each start
//! ```

use std::{
    fs::File,
    io::{self, Read, Seek},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{PutMode, path::Path as Name};
use objects::{Container, Failure, Kind, Put, Sent};
use store::{Contents, Listed, Result, StoreError, Trouble};

/// Longest mark of an owner, in bytes.
const MAX_OWNER: u64 = 256;

/// Names that are handed on at once.
const LISTED: usize = 1000;

/// Contents in a container.
pub struct InContainer {
    container: Container,
    /// Where contents wait that are being read.
    folder: PathBuf,
}

impl InContainer {
    /// Contents wait in files without names in `folder` while they are read.
    pub fn new(container: Container, folder: PathBuf) -> Self {
        Self { container, folder }
    }

    fn name(&self, parts: &[&str]) -> Name {
        self.container.prefix().below(&[&["contents"], parts].concat())
    }

    fn name_of(&self, hash: &str) -> Name {
        self.name(&[hash.get(..2).unwrap_or("00"), hash])
    }

    fn failed(&self, failure: Failure) -> StoreError {
        let trouble = match &failure {
            Failure::Unreachable { .. }
            | Failure::Unavailable { .. }
            | Failure::Throttled { .. }
            | Failure::Corrupt { .. }
            | Failure::Unwritable { .. } => Trouble::Away,
            Failure::Unauthorized { .. } => Trouble::Refused,
            Failure::Denied { .. } => Trouble::Unsuitable,
        };
        let by = self.container.credential().map(|name| format!("It is signed in to with {name}."));
        let hint = [failure.hint().map(str::to_owned), by];
        let hint = hint.into_iter().flatten().collect::<Vec<_>>().join(" ");
        StoreError::Contents {
            place: self.container.place(),
            trouble,
            hint: (!hint.is_empty()).then_some(hint),
            cause: Box::new(failure),
        }
    }

    async fn upload(&self, name: &Name, file: &Path) -> Result<Sent> {
        let failed = || StoreError::file(file);
        let opened = File::open(file).map_err(failed())?;
        let size = opened.metadata().map_err(failed())?.len();
        let sent = self.container.upload(name, Kind::Bytes, size, Box::new(opened)).await;
        sent.map_err(|failure| self.failed(failure))
    }

    /// A file without a name, with what is under `name`.
    async fn download(&self, name: &Name) -> Result<Option<File>> {
        let failed = || StoreError::file(&self.folder);
        let file = tempfile::tempfile_in(&self.folder).map_err(failed())?;
        let mut file = tokio::fs::File::from_std(file);
        let found = self.container.download(name, &mut file).await;
        if !found.map_err(|failure| self.failed(failure))? {
            return Ok(None);
        }
        let mut file = file.into_std().await;
        file.rewind().map_err(failed())?;
        Ok(Some(file))
    }
}

#[async_trait]
impl Contents for InContainer {
    async fn put(&self, hash: &str, file: &Path) -> Result<()> {
        let name = self.name_of(hash);
        // A large one is not sent in vain, and what is there stays.
        if self.has(hash).await? || matches!(self.upload(&name, file).await?, Sent::Created { .. })
        {
            return Ok(());
        }
        // The store says that there is one. What could not be seen after that is not durable.
        match self.has(hash).await? {
            true => Ok(()),
            false => {
                let place = self.container.place_of(&name);
                let cause = "the store says that it is there, and does not find it";
                Err(self.failed(Failure::unwritable(place, cause)))
            }
        }
    }

    async fn has(&self, hash: &str) -> Result<bool> {
        let size = self.container.size_of(&self.name_of(hash)).await;
        Ok(size.map_err(|failure| self.failed(failure))?.is_some())
    }

    /// Reads it to its end before anything is handed out: a connection that breaks off is an error
    /// here, and not the end of an answer that has begun.
    async fn open(&self, hash: &str) -> Result<Option<Box<dyn Read + Send>>> {
        let file = self.download(&self.name_of(hash)).await?;
        Ok(file.map(|file| Box::new(file) as Box<dyn Read + Send>))
    }

    async fn remove(&self, hash: &str) -> Result<()> {
        let removed = self.container.remove(&self.name_of(hash)).await;
        removed.map_err(|failure| self.failed(failure))
    }

    async fn set_aside(&self, hash: &str) -> Result<String> {
        let (from, to) = (self.name_of(hash), self.name(&["damaged", hash]));
        let place = self.container.place_of(&to);
        let Some(mut file) = self.download(&from).await? else { return Ok(place) };
        let failed = || StoreError::file(&self.folder);
        let mut copy = tempfile::NamedTempFile::new_in(&self.folder).map_err(failed())?;
        io::copy(&mut file, &mut copy).map_err(failed())?;
        self.upload(&to, copy.path()).await?;
        self.remove(hash).await?;
        Ok(place)
    }

    fn list(&self) -> BoxStream<'_, Result<Vec<Listed>>> {
        let root = self.name(&[]);
        let blobs = self.container.list(&root);
        let listed = blobs.try_filter_map(move |blob| {
            let is_part =
                |part: &str| part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
            let parts: Vec<_> = blob.location.prefix_match(&root).into_iter().flatten().collect();
            let name = match &parts[..] {
                [part, name] if is_part(part.as_ref()) => Some(name.as_ref().to_owned()),
                _ => None,
            };
            let place = self.container.place_of(&blob.location);
            std::future::ready(Ok(name.map(|name| Listed { name, place, size: blob.size })))
        });
        listed
            .map_err(|failure| self.failed(failure))
            .try_chunks(LISTED)
            .map_err(|err| err.1)
            .boxed()
    }

    fn place(&self) -> String {
        let place = self.container.place();
        format!("{place}/contents")
    }

    fn is_far(&self) -> bool {
        true
    }

    async fn owner(&self) -> Result<Option<String>> {
        let found = self.container.read(&self.name(&["owner.txt"]), MAX_OWNER).await;
        let found = found.map_err(|failure| self.failed(failure))?;
        Ok(found.map(|found| String::from_utf8_lossy(&found.bytes).trim().to_owned()))
    }

    async fn set_owner(&self, owner: &str) -> Result<()> {
        let text = Bytes::from(format!("{owner}\n"));
        let put = self.container.create(&self.name(&["owner.txt"]), Kind::Text, text).await;
        match put.map_err(|failure| self.failed(failure))? {
            Put::Done(_) | Put::Conflict => Ok(()),
        }
    }

    async fn check(&self) -> Result<()> {
        let name = self.name(&["check.txt"]);
        let text = Bytes::from_static(b"Written and removed at each start. Safe to delete.\n");
        let put = self.container.put(&name, Kind::Text, text, PutMode::Overwrite).await;
        put.map_err(|failure| self.failed(failure))?;
        self.container.remove(&name).await.map_err(|failure| self.failed(failure))
    }
}
