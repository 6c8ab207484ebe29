//! The body of a request: read in pieces, decompressed, measured and searched for secrets.

use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::{StatusCode, body::Incoming};
use tokio::{sync::mpsc, time::Instant};

use super::{fault::Fault, refusal::Refusal};

/// Pieces of a body that wait to be parsed.
const PIECES: usize = 8;
/// Most bytes that are read and thrown away, so that a client hears the answer before the
/// connection closes.
const MAX_DRAIN: u64 = 1 << 30;
/// How long a stall lasts, unless the client gives up before.
const STALL: Duration = Duration::from_secs(600);

/// A body, read to its end.
pub(crate) struct Received<T> {
    pub(crate) content: Result<T, Refusal>,
    pub(crate) wire_bytes: u64,
    pub(crate) decoded_bytes: u64,
    /// The body holds a secret.
    pub(crate) leaked: bool,
}

/// How a body is to be read.
pub(crate) struct Reading {
    pub(crate) gzip: bool,
    /// Most bytes after decompression.
    pub(crate) limit: u64,
    pub(crate) secrets: Arc<[Vec<u8>]>,
    pub(crate) fault: Option<Fault>,
}

/// Reads a body with `parse`, on a thread of its own, while it arrives.
pub(crate) async fn receive<T: Send + 'static>(
    body: Incoming,
    reading: Reading,
    parse: impl FnOnce(&mut dyn Read) -> Result<T, Refusal> + Send + 'static,
) -> Received<T> {
    let (sender, pieces) = mpsc::channel(PIECES);
    let Reading { gzip, limit, secrets, fault } = reading;
    let parser = tokio::task::spawn_blocking(move || {
        let wire = Wire { pieces, piece: Bytes::new() };
        let input: Box<dyn Read> =
            if gzip { Box::new(MultiGzDecoder::new(wire)) } else { Box::new(wire) };
        let mut input = Measured { input, limit, read: 0, search: Search::new(secrets) };
        let content = parse(&mut input);
        (content, input.read, input.search.found)
    });
    let wire_bytes = pump(body, sender, fault).await;
    match parser.await {
        Ok((content, decoded_bytes, leaked)) => {
            Received { content, wire_bytes, decoded_bytes, leaked }
        }
        Err(_) => Received {
            content: Err(Refusal::gone("the parser of the body failed")),
            wire_bytes,
            decoded_bytes: 0,
            leaked: false,
        },
    }
}

/// Passes the body on; what the parser no longer wants is thrown away. Returns the bytes read.
async fn pump(
    mut body: Incoming,
    sender: mpsc::Sender<Result<Bytes, Refusal>>,
    fault: Option<Fault>,
) -> u64 {
    let (mut read, started) = (0, Instant::now());
    loop {
        match fault {
            Some(Fault::StallRequest { after_bytes }) if read >= after_bytes => {
                tokio::time::sleep(STALL).await;
                let gone = Err(Refusal::gone("stalled on purpose"));
                // The parser may have ended before; then nobody needs to be told.
                sender.send(gone).await.ok();
                return read;
            }
            Some(Fault::SlowRequest { bytes_per_second }) => {
                let due = Duration::from_millis(read * 1000 / bytes_per_second.max(1));
                tokio::time::sleep_until(started + due).await;
            }
            _ => {}
        }
        let piece = match body.frame().await {
            None => return read,
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(error)) => {
                let gone = format!("the body was not sent to its end: {error}");
                sender.send(Err(Refusal::gone(gone))).await.ok();
                return read;
            }
        };
        read += piece.len() as u64;
        if sender.send(Ok(piece)).await.is_err() && read > MAX_DRAIN {
            return read;
        }
    }
}

/// The pieces of a body as they come.
struct Wire {
    pieces: mpsc::Receiver<Result<Bytes, Refusal>>,
    piece: Bytes,
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.piece = piece?,
            }
        }
        let part = self.piece.split_to(self.piece.len().min(into.len()));
        into.get_mut(..part.len()).unwrap_or_default().copy_from_slice(&part);
        Ok(part.len())
    }
}

/// Counts what is read, and refuses more than the limit.
struct Measured {
    input: Box<dyn Read>,
    limit: u64,
    read: u64,
    search: Search,
}

impl Read for Measured {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(into)?;
        self.search.feed(into.get(..read).unwrap_or_default());
        self.read += read as u64;
        if self.read > self.limit {
            return Err(too_large(self.limit).into());
        }
        Ok(read)
    }
}

pub(crate) fn too_large(limit: u64) -> Refusal {
    let message = format!("the body has more than {limit} bytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// Looks for secrets in bytes that come in pieces.
pub(crate) struct Search {
    secrets: Arc<[Vec<u8>]>,
    longest: usize,
    /// The last bytes, in which a secret may begin.
    tail: Vec<u8>,
    pub(crate) found: bool,
}

impl Search {
    pub(crate) fn new(secrets: Arc<[Vec<u8>]>) -> Self {
        let longest = secrets.iter().map(Vec::len).max().unwrap_or_default();
        Self { secrets, longest, tail: Vec::new(), found: false }
    }

    pub(crate) fn feed(&mut self, piece: &[u8]) {
        let keep = self.longest.saturating_sub(1);
        let head = piece.get(..keep.min(piece.len())).unwrap_or_default();
        self.tail.extend_from_slice(head);
        self.found = self.found || self.holds(&self.tail) || self.holds(piece);
        if piece.len() > head.len() {
            // More than `keep` bytes: only the last of them can begin a secret.
            let last = piece.get(piece.len() - keep..).unwrap_or_default();
            self.tail.splice(.., last.iter().copied());
        }
        self.tail.drain(..self.tail.len().saturating_sub(keep));
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        self.secrets.iter().any(|secret| memchr::memmem::find(bytes, secret).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_wherever_the_pieces_end() {
        let text = b"some text with s3cr3t in it";
        for size in 1..=text.len() {
            let mut search = Search::new(Arc::from([b"s3cr3t".to_vec()]));
            text.chunks(size).for_each(|piece| search.feed(piece));
            assert!(search.found, "pieces of {size}");
            let mut search = Search::new(Arc::from([b"secret".to_vec()]));
            text.chunks(size).for_each(|piece| search.feed(piece));
            assert!(!search.found, "pieces of {size}");
        }
    }
}
