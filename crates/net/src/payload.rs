//! What a request carries: nothing, bytes in memory, or parts that are made while they are sent.

use std::{
    fmt,
    io::{self, Read},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::{
    sync::Notify,
    task::{JoinHandle, spawn_blocking},
    time::Instant,
};

/// Bytes handed to the connection at a time: what is large leaves in steps, each of which shows
/// that the server still reads.
const PART: usize = 64 * 1024;

/// The body of a request while it is sent.
pub type Parts = Pin<Box<dyn Body<Data = Bytes, Error = io::Error> + Send>>;

/// The body of a request. It can be sent more than once.
#[derive(Clone, Default)]
pub enum Payload {
    #[default]
    Empty,
    Bytes(Bytes),
    /// A body that need not be in memory. `open` begins it anew for each attempt; without
    /// `length` it is sent chunked.
    Stream {
        length: Option<u64>,
        open: Arc<dyn Fn() -> io::Result<Parts> + Send + Sync>,
    },
}

/// Without the content.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Stream { length, .. } => write!(f, "Stream({length:?})"),
        }
    }
}

impl Payload {
    /// A body that `open` reads anew for each attempt, on the threads for blocking work.
    pub fn reader(
        length: Option<u64>,
        open: impl Fn() -> io::Result<Box<dyn Read + Send>> + Send + Sync + 'static,
    ) -> Self {
        let open = move || open().map(|reader| Box::pin(Reading::Idle(reader)) as Parts);
        Self::Stream { length, open: Arc::new(open) }
    }

    /// Bytes to be sent, if that is known.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Stream { length, .. } => *length,
        }
    }

    /// Begins the body.
    pub(crate) fn open(&self) -> io::Result<Outgoing> {
        Ok(match self {
            Self::Empty => Outgoing::whole(Bytes::new()),
            Self::Bytes(bytes) => Outgoing::whole(bytes.clone()),
            Self::Stream { length, open } => Outgoing::new(Content::Parts(open()?), *length),
        })
    }
}

/// A reader, and what came out of it.
type PartRead = (Box<dyn Read + Send>, io::Result<Vec<u8>>);

/// A reader whose next part is read on a thread for blocking work.
enum Reading {
    Idle(Box<dyn Read + Send>),
    Busy(JoinHandle<PartRead>),
    Done,
}

impl Body for Reading {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            match std::mem::replace(&mut *self, Self::Done) {
                Self::Done => return Poll::Ready(None),
                Self::Idle(reader) => *self = Self::Busy(spawn_blocking(|| read_part(reader))),
                Self::Busy(mut job) => {
                    let Poll::Ready(read) = Pin::new(&mut job).poll(context) else {
                        *self = Self::Busy(job);
                        return Poll::Pending;
                    };
                    let (reader, part) = read.map_err(io::Error::other)?;
                    let part = part?;
                    if part.is_empty() {
                        return Poll::Ready(None);
                    }
                    *self = Self::Idle(reader);
                    return Poll::Ready(Some(Ok(Frame::data(part.into()))));
                }
            }
        }
    }
}

/// Reads one full part, or what is left.
fn read_part(mut reader: Box<dyn Read + Send>) -> PartRead {
    let mut part = Vec::with_capacity(PART);
    let read = reader.by_ref().take(PART as u64).read_to_end(&mut part);
    (reader, read.map(|_| part))
}

/// A body on its way out, which tells how far it has come.
pub(crate) struct Outgoing {
    content: Content,
    /// Bytes to come, if that is known: nobody asks for the end of a body of known length.
    left: Option<u64>,
    progress: Progress,
}

enum Content {
    Whole(Bytes),
    Parts(Parts),
}

/// When the connection last took a part, and whether that was the last one.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Shared>);

struct Shared {
    taken: Mutex<Taken>,
    /// The last part was taken.
    all: Notify,
}

#[derive(Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) at: Instant,
    pub(crate) all: bool,
    /// The body could not be made: the fault of this machine, not of the server.
    pub(crate) failed: bool,
}

impl Progress {
    pub(crate) fn taken(&self) -> Taken {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the last part was taken; may wake without a reason.
    pub(crate) async fn all(&self) {
        self.0.all.notified().await;
    }

    fn note(&self, all: bool, failed: bool) {
        let taken = Taken { at: Instant::now(), all, failed };
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) = taken;
        if all {
            self.0.all.notify_one();
        }
    }
}

impl Outgoing {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        Self::new(Content::Whole(bytes), Some(length))
    }

    fn new(content: Content, left: Option<u64>) -> Self {
        let taken = Taken { at: Instant::now(), all: left == Some(0), failed: false };
        let shared = Shared { taken: Mutex::new(taken), all: Notify::new() };
        Self { content, left, progress: Progress(Arc::new(shared)) }
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let frame = match &mut self.content {
            Content::Whole(bytes) => {
                let part = bytes.split_to(bytes.len().min(PART));
                (!part.is_empty()).then(|| Ok(Frame::data(part)))
            }
            Content::Parts(parts) => ready!(parts.as_mut().poll_frame(context)),
        };
        if let (Some(Ok(frame)), Some(left)) = (&frame, &mut self.left) {
            let size = frame.data_ref().map_or(0, Bytes::len);
            *left = left.saturating_sub(size as u64);
        }
        let all = frame.is_none() || self.left == Some(0);
        self.progress.note(all, matches!(frame, Some(Err(_))));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
