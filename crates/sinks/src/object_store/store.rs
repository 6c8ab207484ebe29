//! One container: reads and conditional writes, a bounded number at a time.

use std::{
    io::{self, Read},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    Attribute, Attributes, GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, UpdateVersion, path::Path,
};
use record::{Body, SinkError};
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    failure::{at, unwritable},
    names::Names,
};
use crate::local_files::hex;

/// Size of a block of a large email. One is in memory for each upload.
const BLOCK: usize = 4 << 20;

/// Marks the request that makes the blocks of a large email one blob: it must not replace one that
/// is there. The library has no such option, so our HTTP service adds the condition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CreateOnly;

/// How a store keeps a large email from replacing one that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LargeCreate {
    /// The store decides.
    Conditional,
    /// It is looked up first: good enough for a store within this process.
    CheckedFirst,
}

/// A place for blobs.
pub(crate) struct Store {
    objects: Arc<dyn ObjectStore>,
    /// `az://account/container`, for messages.
    place: String,
    pub(super) names: Names,
    calls: Semaphore,
    large_create: LargeCreate,
}

/// A blob, with the mark of its version.
pub(crate) struct Found {
    pub(crate) bytes: Bytes,
    pub(crate) version: UpdateVersion,
}

/// What became of a conditional write.
#[derive(Debug)]
pub(crate) enum Put {
    Done(UpdateVersion),
    /// The condition did not hold: somebody else was there, or we were and the answer was lost.
    Conflict,
}

/// An email's bytes on their way.
pub(crate) struct Uploaded {
    pub(crate) sha256: String,
    pub(crate) size: u64,
    /// `false`: another copy was there already and stays.
    pub(crate) created: bool,
}

/// What a blob holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Email,
    Json,
    Text,
}

impl Kind {
    fn attributes(self) -> Attributes {
        let kind = match self {
            Self::Email => "message/rfc822",
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        };
        Attributes::from_iter([(Attribute::ContentType, kind)])
    }
}

impl Store {
    pub(crate) fn new(
        objects: Arc<dyn ObjectStore>,
        place: String,
        names: Names,
        calls: usize,
        large_create: LargeCreate,
    ) -> Self {
        Self { objects, place, names, calls: Semaphore::new(calls.max(1)), large_create }
    }

    pub(crate) fn place_of(&self, path: &Path) -> String {
        format!("{}/{path}", self.place)
    }

    pub(crate) fn place(&self) -> String {
        match self.names.prefix() {
            "" => self.place.clone(),
            prefix => format!("{}/{prefix}", self.place),
        }
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>, SinkError> {
        self.calls.acquire().await.map_err(|err| unwritable(self.place.clone(), err))
    }

    /// The blob at `path`, if there is one; an error if it is longer than `limit`.
    pub(crate) async fn read(&self, path: &Path, limit: u64) -> Result<Option<Found>, SinkError> {
        let _permit = self.permit().await?;
        let Some(found) = self.get(path).await? else { return Ok(None) };
        if found.meta.size > limit {
            let cause = Some(format!("it has {} bytes", found.meta.size).into());
            return Err(SinkError::Corrupt { place: self.place_of(path), cause });
        }
        let version =
            UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let bytes = found.bytes().await.map_err(at(self.place_of(path)))?;
        Ok(Some(Found { bytes, version }))
    }

    async fn get(&self, path: &Path) -> Result<Option<GetResult>, SinkError> {
        match self.objects.get_opts(path, GetOptions::default()).await {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(err) => Err(at(self.place_of(path))(err)),
        }
    }

    /// The content of a blob as it comes in.
    pub(crate) async fn stream(
        &self,
        path: &Path,
    ) -> Result<Option<BoxStream<'static, Result<Bytes, SinkError>>>, SinkError> {
        let Some(found) = self.get(path).await? else { return Ok(None) };
        let place = self.place_of(path);
        let pieces = found.into_stream().map_err(move |err| at(place.clone())(err));
        Ok(Some(pieces.boxed()))
    }

    /// Hash and length of a blob.
    async fn hash(&self, path: &Path) -> Result<Option<(String, u64)>, SinkError> {
        let Some(mut pieces) = self.stream(path).await? else { return Ok(None) };
        let (mut hash, mut size) = (Sha256::new(), 0);
        while let Some(piece) = pieces.try_next().await? {
            hash.update(&piece);
            size += piece.len() as u64;
        }
        Ok(Some((hex(&hash.finalize()), size)))
    }

    /// Writes a blob unless there is one.
    pub(crate) async fn create(
        &self,
        path: &Path,
        kind: Kind,
        bytes: Bytes,
    ) -> Result<Put, SinkError> {
        self.put(path, kind, bytes, PutMode::Create).await
    }

    /// Replaces the version of a blob that the caller has seen.
    pub(crate) async fn replace(
        &self,
        path: &Path,
        kind: Kind,
        bytes: Bytes,
        seen: UpdateVersion,
    ) -> Result<Put, SinkError> {
        self.put(path, kind, bytes, PutMode::Update(seen)).await
    }

    pub(crate) async fn put(
        &self,
        path: &Path,
        kind: Kind,
        bytes: Bytes,
        mode: PutMode,
    ) -> Result<Put, SinkError> {
        let _permit = self.permit().await?;
        self.put_now(path, kind, bytes, mode).await
    }

    async fn put_now(
        &self,
        path: &Path,
        kind: Kind,
        bytes: Bytes,
        mode: PutMode,
    ) -> Result<Put, SinkError> {
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

    /// Stores the bytes of an email unless there is a copy, whose hash is told then.
    ///
    /// Small ones travel in one request. Large ones travel in blocks that nobody sees until a last
    /// request makes them one blob.
    pub(crate) async fn upload(&self, path: &Path, body: &Body) -> Result<Uploaded, SinkError> {
        let _permit = self.permit().await?;
        let mut source = Blocks { reader: body.reader(), hash: Sha256::new(), size: 0 };
        let block = BLOCK.min(usize::try_from(body.size()).unwrap_or(BLOCK) + 1);
        let first;
        (source, first) = self.next_block(path, source, block).await?;
        let put = if source.size == body.size() {
            self.put_now(path, Kind::Email, first, PutMode::Create).await?
        } else {
            let (put, at_end) = self.upload_large(path, source, first, body.size()).await?;
            source = at_end;
            put
        };
        if source.size != body.size() {
            let cause = "the spooled email does not have its full length";
            return Err(unwritable(self.place_of(path), cause));
        }
        if let Put::Done(_) = put {
            let Blocks { hash, size, .. } = source;
            return Ok(Uploaded { sha256: hex(&hash.finalize()), size, created: true });
        }
        // A server may build other bytes each time; the sidecar has to speak of those that are
        // there.
        match self.hash(path).await? {
            Some((sha256, size)) => Ok(Uploaded { sha256, size, created: false }),
            None => {
                let cause = "it was there, and then was not";
                Err(unwritable(self.place_of(path), cause))
            }
        }
    }

    async fn upload_large(
        &self,
        path: &Path,
        mut source: Blocks,
        first: Bytes,
        whole: u64,
    ) -> Result<(Put, Blocks), SinkError> {
        let mut options = PutMultipartOptions {
            attributes: Kind::Email.attributes(),
            ..PutMultipartOptions::default()
        };
        options.extensions.insert(CreateOnly);
        let upload = self.objects.put_multipart_opts(path, options).await;
        let mut upload = upload.map_err(at(self.place_of(path)))?;
        let mut block = first;
        while !block.is_empty() {
            let sent = upload.put_part(PutPayload::from(block)).await;
            sent.map_err(at(self.place_of(path)))?;
            (source, block) = self.next_block(path, source, BLOCK).await?;
        }
        let cut = source.size != whole;
        let there =
            self.large_create == LargeCreate::CheckedFirst && self.objects.head(path).await.is_ok();
        if cut || there {
            upload.abort().await.map_err(at(self.place_of(path)))?;
            return Ok((Put::Conflict, source));
        }
        let put = match upload.complete().await {
            Ok(done) => Put::Done(done.into()),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Put::Conflict,
            Err(err) => return Err(at(self.place_of(path))(err)),
        };
        Ok((put, source))
    }

    /// Reads on a thread for blocking work: a large body comes from a file.
    async fn next_block(
        &self,
        path: &Path,
        mut source: Blocks,
        most: usize,
    ) -> Result<(Blocks, Bytes), SinkError> {
        let read = tokio::task::spawn_blocking(move || {
            let block = source.next(most)?;
            Ok::<_, io::Error>((source, block))
        });
        let place = || self.place_of(path);
        read.await
            .map_err(|err| unwritable(place(), err))?
            .map_err(|err| unwritable(place(), format!("could not read the spooled email: {err}")))
    }

    /// The directories right below `prefix`.
    pub(crate) async fn dirs(&self, prefix: &Path) -> Result<Vec<Path>, SinkError> {
        let listed = self.objects.list_with_delimiter(Some(prefix)).await;
        Ok(listed.map_err(at(self.place_of(prefix)))?.common_prefixes)
    }

    /// The blobs whose names begin with `prefix` and a slash.
    pub(crate) fn list(&self, prefix: &Path) -> BoxStream<'static, Result<ObjectMeta, SinkError>> {
        let place = self.place_of(prefix);
        self.objects.list(Some(prefix)).map_err(move |err| at(place.clone())(err)).boxed()
    }
}

/// A body as blocks, hashed on the way.
struct Blocks {
    reader: Box<dyn Read + Send>,
    hash: Sha256,
    size: u64,
}

impl Blocks {
    /// Up to `most` bytes; fewer only at the end.
    fn next(&mut self, most: usize) -> io::Result<Bytes> {
        let mut block = Vec::with_capacity(most);
        self.reader.by_ref().take(most as u64).read_to_end(&mut block)?;
        self.hash.update(&block);
        self.size += block.len() as u64;
        Ok(block.into())
    }
}
