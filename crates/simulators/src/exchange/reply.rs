//! The body of a reply: text and base64 of contents, encoded while it is sent.

use std::{
    any::Any,
    collections::VecDeque,
    future::Future,
    io::{self, Read, Write},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use base64_simd::STANDARD;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::{
    content::{Content, Reader},
    xml::Xml,
};

/// Most bytes that one frame of a body holds.
const FRAME: usize = 64 * 1024;

/// A part of a reply.
#[derive(Debug)]
pub(crate) enum Segment {
    Text(Vec<u8>),
    /// The base64 of a content; of its first `limit` digits only, if given.
    Base64 {
        content: Content,
        limit: Option<u64>,
    },
    /// A content as it is.
    Raw(Content),
}

/// What is wrong with the way a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The connection breaks after so many bytes.
    Cut {
        after: u64,
    },
    /// Nothing follows after so many bytes, and the connection stays open.
    Stall {
        after: u64,
    },
    Slow {
        bytes_per_second: u64,
    },
}

/// A body whose length is not known, or that is not sent as it should be.
pub(crate) struct Streamed {
    segments: VecDeque<Segment>,
    reader: Option<Source>,
    gzip: Option<GzEncoder<Vec<u8>>>,
    trouble: Option<Trouble>,
    sent: u64,
    started: Option<Instant>,
    pause: Option<Pin<Box<Sleep>>>,
    flushing: bool,
    /// What ends when the body does.
    held: Option<Box<dyn Any + Send>>,
}

/// A content that is being sent.
enum Source {
    /// As base64, of which so many digits may still come.
    Encoded(Reader, u64),
    Raw(Reader),
}

impl Streamed {
    pub(crate) fn new(segments: Vec<Segment>, gzip: bool, trouble: Option<Trouble>) -> Self {
        Self {
            segments: segments.into(),
            reader: None,
            gzip: gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast())),
            trouble,
            sent: 0,
            started: None,
            pause: None,
            flushing: false,
            held: None,
        }
    }

    /// Keeps `held` until the body was sent or given up.
    pub(crate) fn hold(mut self, held: impl Any + Send) -> Self {
        self.held = Some(Box::new(held));
        self
    }

    /// The next bytes, about a frame; `None` at the end.
    fn fill(&mut self) -> io::Result<Option<Vec<u8>>> {
        let room = match self.trouble {
            // A slow body comes in small pieces, so that it is slow throughout.
            Some(Trouble::Slow { bytes_per_second }) => {
                usize::try_from(bytes_per_second / 4).unwrap_or(FRAME).clamp(1, FRAME)
            }
            _ => FRAME,
        };
        let mut out = Vec::with_capacity(room + 16);
        while out.len() < room {
            if let Some(source) = &mut self.reader {
                let room = room - out.len();
                let ended = match source {
                    Source::Encoded(reader, left) => encode(reader, left, room, &mut out)?,
                    Source::Raw(reader) => {
                        reader.by_ref().take(room as u64).read_to_end(&mut out)? < room
                    }
                };
                if ended {
                    self.reader = None;
                }
                continue;
            }
            match self.segments.pop_front() {
                None => break,
                Some(Segment::Text(mut text)) => {
                    let fits = text.len().min(room - out.len());
                    let rest = text.split_off(fits);
                    out.extend_from_slice(&text);
                    if !rest.is_empty() {
                        self.segments.push_front(Segment::Text(rest));
                    }
                }
                Some(Segment::Base64 { content, limit }) => {
                    let left = limit.unwrap_or(u64::MAX);
                    self.reader = Some(Source::Encoded(content.reader()?, left));
                }
                Some(Segment::Raw(content)) => {
                    self.reader = Some(Source::Raw(content.reader()?));
                }
            }
        }
        if let Some(encoder) = &mut self.gzip {
            let ended = out.is_empty();
            encoder.write_all(&out)?;
            if ended {
                return Ok(self
                    .gzip
                    .take()
                    .map(GzEncoder::finish)
                    .transpose()?
                    .filter(|o| !o.is_empty()));
            }
            return Ok(Some(std::mem::take(encoder.get_mut())));
        }
        Ok((!out.is_empty()).then_some(out))
    }
}

/// Appends at most `room` digits of what `reader` holds; `left` is how many may still come.
/// Returns true when nothing is left.
fn encode(reader: &mut Reader, left: &mut u64, room: usize, out: &mut Vec<u8>) -> io::Result<bool> {
    let room = room.max(4).min(usize::try_from(*left).unwrap_or(usize::MAX)).div_ceil(4) * 3;
    let before = out.len();
    let ended = match reader {
        Reader::Bytes { bytes, at } => {
            let rest = bytes.get(*at..).unwrap_or_default();
            let part = rest.get(..room.min(rest.len())).unwrap_or_default();
            STANDARD.encode_append(part, out);
            *at += part.len();
            part.len() == rest.len()
        }
        other => {
            let mut part = Vec::with_capacity(room);
            other.take(room as u64).read_to_end(&mut part)?;
            STANDARD.encode_append(&part, out);
            part.len() < room
        }
    };
    let digits = (out.len() - before) as u64;
    if digits >= *left {
        out.truncate(before + usize::try_from(*left).unwrap_or(usize::MAX));
        return Ok(true);
    }
    *left -= digits;
    Ok(ended)
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.pause = None;
        }
        if let Some(Trouble::Cut { after } | Trouble::Stall { after }) = self.trouble
            && self.sent >= after
        {
            if matches!(self.trouble, Some(Trouble::Stall { .. })) {
                return Poll::Pending;
            }
            // What was written must leave before the connection does.
            if !std::mem::replace(&mut self.flushing, true) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            return Poll::Ready(Some(Err(io::Error::other("cut on purpose"))));
        }
        let mut bytes = match self.fill() {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Poll::Ready(None),
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        match self.trouble {
            Some(Trouble::Cut { after } | Trouble::Stall { after }) => {
                bytes.truncate(usize::try_from(after - self.sent).unwrap_or(usize::MAX));
            }
            Some(Trouble::Slow { bytes_per_second }) => {
                let started = *self.started.get_or_insert_with(Instant::now);
                let sent = self.sent + bytes.len() as u64;
                let due = Duration::from_millis(sent * 1000 / bytes_per_second.max(1));
                self.pause = Some(Box::pin(tokio::time::sleep_until(started + due)));
            }
            None => {}
        }
        self.sent += bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
    }
}

/// The body of a response.
pub(crate) enum ReplyBody {
    Whole(Option<Bytes>),
    Streamed(Box<Streamed>),
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streamed(body) => Pin::new(body.as_mut()).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Streamed(_) => SizeHint::new(),
        }
    }
}

impl From<Vec<u8>> for ReplyBody {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Whole((!bytes.is_empty()).then(|| bytes.into()))
    }
}

/// Compresses a small body.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory cannot fail.
    encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default()
}

/// A gzip body of little size that unpacks to `decoded` bytes: an envelope's start and blanks.
pub(crate) fn gzip_bomb(decoded: u64) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let blanks = [b' '; FRAME];
    let mut left = decoded;
    let mut result = encoder.write_all(b"<?xml version=\"1.0\" encoding=\"utf-8\"?><a>");
    while left > 0 && result.is_ok() {
        let part = usize::try_from(left).unwrap_or(FRAME).min(FRAME);
        result = encoder.write_all(blanks.get(..part).unwrap_or_default());
        left -= part as u64;
    }
    encoder.finish().unwrap_or_default()
}

/// A reply as the operations write it: XML, with contents between.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    segments: Vec<Segment>,
    pub(crate) xml: Xml,
}

impl Reply {
    /// Appends the base64 of `content`; of its first `limit` digits only, if given.
    pub(crate) fn base64(&mut self, content: Content, limit: Option<u64>) {
        self.segments.push(Segment::Text(std::mem::take(&mut self.xml.0)));
        self.segments.push(Segment::Base64 { content, limit });
    }

    pub(crate) fn into_segments(mut self) -> Vec<Segment> {
        self.segments.push(Segment::Text(self.xml.0));
        self.segments
    }
}

impl Segment {
    /// Bytes that the segment has in the body.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Base64 { content, limit } => {
                let whole = content.size().div_ceil(3) * 4;
                limit.map_or(whole, |limit| limit.min(whole))
            }
            Self::Raw(content) => content.size(),
        }
    }
}
