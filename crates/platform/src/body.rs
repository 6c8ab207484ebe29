//! The body of a request: received whole, in memory or in a file, and only then looked at, so that
//! a client that is slow holds a connection and nothing else.

use std::{
    fs::File,
    io::{self, Cursor, Read, Seek},
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::{StatusCode, body::Incoming};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, timeout, timeout_at},
};

use crate::refusal::Refusal;

/// Largest body that is kept in memory; a larger one goes into a file without a name.
const MAX_MEMORY: usize = 4 * 1024 * 1024;
/// Time for the next piece.
const PIECE_TIME: Duration = Duration::from_secs(30);
/// Time for the whole body.
pub(crate) const BODY_TIME: Duration = Duration::from_secs(30 * 60);
/// Most bytes of a refused body that are read, so that the client hears the answer before the
/// connection closes, and the time for them.
const MAX_DRAIN: u64 = 64 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(30);

/// A body that has come whole.
pub(crate) enum Received {
    Memory(Vec<u8>),
    File(File),
}

impl Received {
    /// The same body, to be read once more.
    pub(crate) fn again(&self) -> io::Result<Self> {
        match self {
            Self::Memory(bytes) => Ok(Self::Memory(bytes.clone())),
            // Both share one position: they are read one after the other.
            Self::File(file) => file.try_clone().map(Self::File),
        }
    }

    /// Reads the body, after decompression at most `limit` bytes of it.
    pub(crate) fn reader(self, gzip: bool, limit: u64) -> io::Result<Measured> {
        let input: Box<dyn Read + Send> = match self {
            Self::Memory(bytes) => Box::new(Cursor::new(bytes)),
            Self::File(mut file) => {
                file.rewind()?;
                Box::new(file)
            }
        };
        let input = if gzip { Box::new(MultiGzDecoder::new(input)) } else { input };
        Ok(Measured { input, limit, read: 0 })
    }
}

/// Refuses more than the limit.
pub(crate) struct Measured {
    input: Box<dyn Read + Send>,
    limit: u64,
    read: u64,
}

impl Read for Measured {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(into)?;
        self.read += read as u64;
        if self.read > self.limit { Err(Refusal::too_large(self.limit).into()) } else { Ok(read) }
    }
}

/// Receives a body of at most `limit` bytes.
pub(crate) async fn receive(
    body: &mut Incoming,
    limit: u64,
    time: Duration,
    folder: &Path,
) -> Result<Received, Refusal> {
    let deadline = Instant::now() + time;
    let mut memory = Vec::new();
    let mut file = None;
    let mut count = 0_u64;
    while let Some(piece) = next(body, deadline).await? {
        count += piece.len() as u64;
        if count > limit {
            return Err(Refusal::too_large(limit));
        }
        if file.is_none() && memory.len() + piece.len() > MAX_MEMORY {
            let mut opened =
                tokio::fs::File::from_std(tempfile::tempfile_in(folder).map_err(full)?);
            opened.write_all(&memory).await.map_err(full)?;
            memory = Vec::new();
            file = Some(opened);
        }
        match &mut file {
            Some(file) => file.write_all(&piece).await.map_err(full)?,
            None => memory.extend_from_slice(&piece),
        }
    }
    let Some(mut file) = file else { return Ok(Received::Memory(memory)) };
    file.flush().await.map_err(full)?;
    Ok(Received::File(file.into_std().await))
}

/// The disk is full, as a rule.
pub(crate) fn full(error: io::Error) -> Refusal {
    tracing::error!("Could not keep the body of a request: {error}");
    let message = "the server could not keep the body; its log has the reason";
    Refusal { retry_after: Some(5), ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message) }
}

async fn next(body: &mut Incoming, deadline: Instant) -> Result<Option<Bytes>, Refusal> {
    let late = || Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body came too slowly");
    let frame = timeout_at(deadline, timeout(PIECE_TIME, body.frame())).await;
    match frame.map_err(|_| late())?.map_err(|_| late())? {
        None => Ok(None),
        Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
        Some(Err(error)) => Err(Refusal::invalid(format!("the body did not come whole: {error}"))),
    }
}

/// Reads what a client is still sending that has been refused.
pub(crate) async fn drain(body: &mut Incoming) {
    let deadline = Instant::now() + DRAIN_TIME;
    let mut read = 0;
    while let Ok(Some(piece)) = next(body, deadline).await {
        read += piece.len() as u64;
        if read > MAX_DRAIN {
            break;
        }
    }
}
