//! One container: reads and conditional writes, a bounded number at a time.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, PutMode,
    PutOptions, UpdateVersion, path::Path,
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::{Semaphore, SemaphorePermit},
};

use crate::{
    Prefix,
    failure::{Failure, Reason, at},
};

/// How often a blob that breaks off is asked for its rest.
const READS: u32 = 4;

/// Size of a block where the store does not ask for more.
const BLOCK: usize = 4 << 20;

/// How a store keeps a large blob from replacing one that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LargeCreate {
    /// The store decides.
    Conditional,
    /// It is looked up first: good enough for a store within this process.
    CheckedFirst,
}

/// Whether writes whose condition does not hold are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// There is one service that speaks like this, and it refuses them.
    Kept,
    /// Many services speak like this, and some ignore conditions: it has to be seen.
    ToBeSeen,
}

/// What the library does not do for us.
#[async_trait]
pub(crate) trait Account: Send + Sync {
    /// What signs in, once that is known.
    fn credential(&self) -> Option<&'static str>;

    /// Removes a blob; that there is none is no failure.
    async fn remove(&self, path: &Path) -> object_store::Result<()>;
}

/// A place for blobs.
pub struct Container {
    pub(crate) objects: Arc<dyn ObjectStore>,
    account: Option<Box<dyn Account>>,
    /// `az://account/container` or `s3://bucket`, for messages.
    place: String,
    prefix: Prefix,
    calls: Semaphore,
    pub(crate) large_create: LargeCreate,
    conditions: Conditions,
    /// Bytes of one block of a large upload, one of which is in memory.
    pub(crate) block: usize,
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Container").field("place", &self.place()).finish_non_exhaustive()
    }
}

/// A blob, with the mark of its version.
pub struct Found {
    pub bytes: Bytes,
    pub version: UpdateVersion,
}

/// What became of a conditional write.
#[derive(Debug)]
pub enum Put {
    Done(UpdateVersion),
    /// The condition did not hold: somebody else was there, or we were and the answer was lost.
    Conflict,
}

/// What a blob holds.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Email,
    Json,
    Text,
    /// Anything else.
    Bytes,
}

impl Kind {
    pub(crate) fn attributes(self) -> Attributes {
        let kind = match self {
            Self::Email => "message/rfc822",
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
            Self::Bytes => "application/octet-stream",
        };
        Attributes::from_iter([(Attribute::ContentType, kind)])
    }
}

impl Container {
    /// A container that somebody else has set up.
    pub fn new(
        objects: Arc<dyn ObjectStore>,
        place: String,
        prefix: Prefix,
        calls: usize,
        large_create: LargeCreate,
    ) -> Self {
        let calls = Semaphore::new(calls.max(1));
        let conditions = Conditions::Kept;
        Self {
            objects,
            account: None,
            place,
            prefix,
            calls,
            large_create,
            conditions,
            block: BLOCK,
        }
    }

    /// The same, of which nobody knows whether it keeps the conditions of writes.
    #[must_use]
    pub fn with_conditions_to_be_seen(self) -> Self {
        Self { conditions: Conditions::ToBeSeen, ..self }
    }

    /// Whether conditional writes can be relied upon unseen.
    pub fn conditions(&self) -> Conditions {
        self.conditions
    }

    pub(crate) fn with_block(self, block: usize) -> Self {
        Self { block, ..self }
    }

    pub(crate) fn with_account(self, account: impl Account + 'static) -> Self {
        Self { account: Some(Box::new(account)), ..self }
    }

    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    pub fn place_of(&self, path: &Path) -> String {
        format!("{}/{path}", self.place)
    }

    /// The same with the prefix: `az://account/container/prefix`.
    pub fn place(&self) -> String {
        match self.prefix.as_str() {
            "" => self.place.clone(),
            prefix => format!("{}/{prefix}", self.place),
        }
    }

    /// What signs in, once that is known: `the account key in the environment`.
    pub fn credential(&self) -> Option<&'static str> {
        self.account.as_ref().and_then(|account| account.credential())
    }

    pub(crate) async fn permit(&self) -> Result<SemaphorePermit<'_>, Failure> {
        let closed = |err| Failure::unwritable(self.place.clone(), err);
        self.calls.acquire().await.map_err(closed)
    }

    /// The blob at `path`, if there is one; an error if it is longer than `limit`.
    ///
    /// # Errors
    ///
    /// [`Failure::Corrupt`] for one that is too long, else what keeps the store from answering.
    pub async fn read(&self, path: &Path, limit: u64) -> Result<Option<Found>, Failure> {
        let _permit = self.permit().await?;
        let Some(found) = self.get(path, GetOptions::default()).await? else { return Ok(None) };
        if found.meta.size > limit {
            let cause = Some(Reason::new(format!("it has {} bytes", found.meta.size)));
            return Err(Failure::Corrupt { place: self.place_of(path), cause });
        }
        let version =
            UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let bytes = found.bytes().await.map_err(at(self.place_of(path)))?;
        Ok(Some(Found { bytes, version }))
    }

    async fn get(&self, path: &Path, options: GetOptions) -> Result<Option<GetResult>, Failure> {
        match self.objects.get_opts(path, options).await {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(err) => Err(at(self.place_of(path))(err)),
        }
    }

    /// The content of a blob as it comes in.
    ///
    /// # Errors
    ///
    /// What keeps the store from answering.
    pub async fn stream(
        &self,
        path: &Path,
    ) -> Result<Option<BoxStream<'static, Result<Bytes, Failure>>>, Failure> {
        let Some(found) = self.get(path, GetOptions::default()).await? else { return Ok(None) };
        let place = self.place_of(path);
        let pieces = found.into_stream().map_err(move |err| at(place.clone())(err));
        Ok(Some(pieces.boxed()))
    }

    /// The size of a blob, if there is one.
    ///
    /// # Errors
    ///
    /// What keeps the store from answering.
    pub async fn size_of(&self, path: &Path) -> Result<Option<u64>, Failure> {
        let _permit = self.permit().await?;
        let options = GetOptions { head: true, ..GetOptions::default() };
        Ok(self.get(path, options).await?.map(|found| found.meta.size))
    }

    /// Writes the content of a blob into `into`; `false` if there is none. One that breaks off is
    /// gone on with.
    ///
    /// # Errors
    ///
    /// What keeps the store from answering.
    pub async fn download(
        &self,
        path: &Path,
        into: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<bool, Failure> {
        let _permit = self.permit().await?;
        let (mut done, mut tag, mut reads) = (0, None, 0);
        loop {
            reads += 1;
            let range = (done > 0).then_some(GetRange::Offset(done));
            let options = GetOptions { range, if_match: tag.clone(), ..GetOptions::default() };
            let Some(found) = self.get(path, options).await? else { return Ok(false) };
            let whole = found.meta.size;
            tag = found.meta.e_tag.clone();
            let mut pieces = found.into_stream();
            let failure = loop {
                match pieces.try_next().await {
                    Ok(Some(piece)) => {
                        let written = into.write_all(&piece).await;
                        written.map_err(|err| {
                            let cause = format!("could not keep what was read: {err}");
                            Failure::unwritable(self.place_of(path), cause)
                        })?;
                        done += piece.len() as u64;
                    }
                    Ok(None) if done >= whole => {
                        let flushed = into.flush().await;
                        flushed.map_err(|err| Failure::unwritable(self.place_of(path), err))?;
                        return Ok(true);
                    }
                    Ok(None) => break Failure::unwritable(self.place_of(path), "it broke off"),
                    Err(err) => break at(self.place_of(path))(err),
                }
            };
            if reads == READS || done >= whole {
                return Err(failure);
            }
        }
    }

    /// Removes a blob; that there is none is no failure.
    ///
    /// # Errors
    ///
    /// What keeps the store from answering.
    pub async fn remove(&self, path: &Path) -> Result<(), Failure> {
        let _permit = self.permit().await?;
        let removed = match &self.account {
            Some(account) => account.remove(path).await,
            None => object_store::ObjectStoreExt::delete(&self.objects, path).await,
        };
        match removed {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            removed => removed.map_err(at(self.place_of(path))),
        }
    }

    /// Writes a blob unless there is one.
    ///
    /// # Errors
    ///
    /// What keeps the store from answering.
    pub async fn create(&self, path: &Path, kind: Kind, bytes: Bytes) -> Result<Put, Failure> {
        self.put(path, kind, bytes, PutMode::Create).await
    }

    /// Replaces the version of a blob that the caller has seen.
    ///
    /// # Errors
    ///
    /// What keeps the store from answering.
    pub async fn replace(
        &self,
        path: &Path,
        kind: Kind,
        bytes: Bytes,
        seen: UpdateVersion,
    ) -> Result<Put, Failure> {
        self.put(path, kind, bytes, PutMode::Update(seen)).await
    }

    /// Writes a blob.
    ///
    /// # Errors
    ///
    /// What keeps the store from answering.
    pub async fn put(
        &self,
        path: &Path,
        kind: Kind,
        bytes: Bytes,
        mode: PutMode,
    ) -> Result<Put, Failure> {
        let _permit = self.permit().await?;
        self.put_now(path, kind, bytes, mode).await
    }

    pub(crate) async fn put_now(
        &self,
        path: &Path,
        kind: Kind,
        bytes: Bytes,
        mode: PutMode,
    ) -> Result<Put, Failure> {
        let options = PutOptions { mode, attributes: kind.attributes(), ..PutOptions::default() };
        match self.objects.put_opts(path, bytes.into(), options).await {
            Ok(done) => Ok(Put::Done(done.into())),
            // A blob that was to be replaced and is gone is a conflict as well.
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. }
                | object_store::Error::NotFound { .. },
            ) => Ok(Put::Conflict),
            Err(err) => Err(at(self.place_of(path))(err)),
        }
    }

    /// The directories right below `prefix`.
    ///
    /// # Errors
    ///
    /// What keeps the store from answering.
    pub async fn dirs(&self, prefix: &Path) -> Result<Vec<Path>, Failure> {
        let listed = self.objects.list_with_delimiter(Some(prefix)).await;
        Ok(listed.map_err(at(self.place_of(prefix)))?.common_prefixes)
    }

    /// The blobs whose names begin with `prefix` and a slash.
    pub fn list(&self, prefix: &Path) -> BoxStream<'static, Result<ObjectMeta, Failure>> {
        let place = self.place_of(prefix);
        self.objects.list(Some(prefix)).map_err(move |err| at(place.clone())(err)).boxed()
    }
}
