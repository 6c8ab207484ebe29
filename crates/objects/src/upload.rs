//! Blobs that are made of a reader: small ones in one request, large ones in blocks that nobody
//! sees until a last request makes them one blob.

use std::io::{self, Read};

use bytes::Bytes;
use object_store::{
    MultipartUpload, ObjectStoreExt, PutMode, PutMultipartOptions, PutPayload, path::Path,
};
use sha2::{Digest, Sha256};

use crate::{Container, Failure, Kind, LargeCreate, Put, at, hex};

/// Marks the request that makes the blocks of a large blob one: it must not replace one that is
/// there. The library has no such option, so our HTTP service adds the condition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CreateOnly;

/// What became of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    Created {
        sha256: String,
        size: u64,
    },
    /// Another copy was there already and stays.
    WasThere,
}

impl Container {
    /// Makes a blob of the `size` bytes of `reader`, unless there is one.
    ///
    /// # Errors
    ///
    /// What keeps the store from taking it. There is no blob then, or the whole of it.
    pub async fn upload(
        &self,
        path: &Path,
        kind: Kind,
        size: u64,
        reader: Box<dyn Read + Send>,
    ) -> Result<Sent, Failure> {
        let _permit = self.permit().await?;
        let mut source = Blocks { reader, hash: Sha256::new(), size: 0 };
        let block = self.block.min(usize::try_from(size).unwrap_or(self.block) + 1);
        let first;
        (source, first) = self.next_block(path, source, block).await?;
        let put = if source.size == size {
            self.put_now(path, kind, first, PutMode::Create).await?
        } else {
            let (put, at_end) = self.upload_large(path, kind, source, first, size).await?;
            source = at_end;
            put
        };
        if source.size != size {
            return Err(self.cut(path));
        }
        Ok(match put {
            Put::Done(_) => {
                let Blocks { hash, size, .. } = source;
                Sent::Created { sha256: hex(&hash.finalize()), size }
            }
            Put::Conflict => Sent::WasThere,
        })
    }

    /// Makes a small blob as a large one is made, unless there is one: to see whether the store
    /// keeps the condition there, too.
    ///
    /// # Errors
    ///
    /// What keeps the store from taking it.
    pub async fn create_in_parts(
        &self,
        path: &Path,
        kind: Kind,
        bytes: Bytes,
    ) -> Result<Put, Failure> {
        let _permit = self.permit().await?;
        let size = bytes.len() as u64;
        let source = Blocks { reader: Box::new(io::empty()), hash: Sha256::new(), size };
        self.upload_large(path, kind, source, bytes, size).await.map(|(put, _)| put)
    }

    fn cut(&self, path: &Path) -> Failure {
        Failure::unwritable(self.place_of(path), "what is to be sent does not have its full length")
    }

    async fn upload_large(
        &self,
        path: &Path,
        kind: Kind,
        source: Blocks,
        first: Bytes,
        whole: u64,
    ) -> Result<(Put, Blocks), Failure> {
        let mut options =
            PutMultipartOptions { attributes: kind.attributes(), ..PutMultipartOptions::default() };
        options.extensions.insert(CreateOnly);
        let upload = self.objects.put_multipart_opts(path, options).await;
        let mut upload = upload.map_err(at(self.place_of(path)))?;
        let sent = self.send_blocks(path, &mut *upload, source, first).await;
        let is_there =
            self.large_create == LargeCreate::CheckedFirst && self.objects.head(path).await.is_ok();
        let left = match sent {
            Ok(source) if source.size == whole && !is_there => {
                match self.complete(path, &mut *upload).await {
                    Ok(Put::Done(version)) => return Ok((Put::Done(version), source)),
                    Ok(Put::Conflict) => Ok(source),
                    Err(failure) => Err(failure),
                }
            }
            sent => sent,
        };
        // What cannot be taken back now costs room until the store forgets it.
        if let Err(err) = upload.abort().await {
            tracing::debug!("Could not take back blocks: {}", record::Chain(&err));
        }
        left.map(|source| (Put::Conflict, source))
    }

    async fn send_blocks(
        &self,
        path: &Path,
        upload: &mut dyn MultipartUpload,
        mut source: Blocks,
        first: Bytes,
    ) -> Result<Blocks, Failure> {
        let mut block = first;
        while !block.is_empty() {
            let sent = upload.put_part(PutPayload::from(block)).await;
            sent.map_err(at(self.place_of(path)))?;
            (source, block) = self.next_block(path, source, self.block).await?;
        }
        Ok(source)
    }

    async fn complete(
        &self,
        path: &Path,
        upload: &mut dyn MultipartUpload,
    ) -> Result<Put, Failure> {
        match upload.complete().await {
            Ok(done) => Ok(Put::Done(done.into())),
            // Parts that are gone may have become a blob by an attempt whose answer was lost: who
            // finds none under that name begins anew.
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. }
                | object_store::Error::NotFound { .. },
            ) => Ok(Put::Conflict),
            Err(err) => Err(at(self.place_of(path))(err)),
        }
    }

    /// Reads on a thread for blocking work: a large body comes from a file.
    async fn next_block(
        &self,
        path: &Path,
        mut source: Blocks,
        most: usize,
    ) -> Result<(Blocks, Bytes), Failure> {
        let read = tokio::task::spawn_blocking(move || {
            let block = source.next(most)?;
            Ok::<_, io::Error>((source, block))
        });
        let place = || self.place_of(path);
        read.await.map_err(|err| Failure::unwritable(place(), err))?.map_err(|err| {
            Failure::unwritable(place(), format!("could not read what is to be sent: {err}"))
        })
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
