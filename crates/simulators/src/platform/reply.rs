//! Answers: JSON, with the content of emails escaped while it is sent.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    Response, StatusCode,
    body::{Body, Frame, SizeHint},
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep};

use super::{fault::Fault, refusal::Refusal};

/// Most bytes of a content that one frame holds.
const FRAME: usize = 64 * 1024;

/// A part of an answer.
#[derive(Debug)]
pub(crate) enum Segment {
    Text(Vec<u8>),
    /// UTF-8 that is sent as the inside of a JSON string.
    Escaped(Bytes),
}

/// An answer, before anything goes wrong with it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: Vec<Segment>,
    pub(crate) content_type: &'static str,
    /// The message of an error answer.
    pub(crate) message: Option<String>,
}

impl Reply {
    pub(crate) fn new(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Self {
        let body = vec![Segment::Text(body)];
        Self { status, headers: Vec::new(), body, content_type, message: None }
    }

    /// `{"status":"ok"}` and nothing else, as some clients demand.
    pub(crate) fn ok() -> Self {
        Self::json(json!({}))
    }

    /// `{"status":"ok"}` with the fields of `payload`.
    pub(crate) fn json(mut payload: Value) -> Self {
        if let Some(map) = payload.as_object_mut() {
            map.insert("status".to_owned(), Value::from("ok"));
        }
        Self::new(StatusCode::OK, "application/json", payload.to_string().into())
    }

    pub(crate) fn error(status: StatusCode, message: String) -> Self {
        let body = json!({ "status": "error", "message": message }).to_string();
        let mut reply = Self::new(status, "application/json", body.into());
        reply.message = Some(message);
        reply
    }

    #[must_use]
    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn into_response(self, fault: Option<Fault>) -> Response<ReplyBody> {
        let mut response = Response::new(ReplyBody::new(self.body, fault));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        for (name, value) in self.headers {
            if let Ok(value) = value.parse() {
                headers.insert(name, value);
            }
        }
        response
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let status = refusal.status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::error(status, refusal.message)
    }
}

/// The body of a response, sent as `fault` demands.
pub(crate) struct ReplyBody {
    segments: VecDeque<Segment>,
    /// Known if all is text.
    length: Option<u64>,
    fault: Option<Fault>,
    sent: u64,
    started: Option<Instant>,
    pause: Option<Pin<Box<Sleep>>>,
    flushing: bool,
}

impl ReplyBody {
    fn new(segments: Vec<Segment>, fault: Option<Fault>) -> Self {
        let length = |segment: &Segment| match segment {
            Segment::Text(text) => Some(text.len() as u64),
            Segment::Escaped(_) => None,
        };
        Self {
            length: segments.iter().map(length).sum(),
            segments: segments.into(),
            fault,
            sent: 0,
            started: None,
            pause: None,
            flushing: false,
        }
    }

    /// The next bytes, about `room`; none at the end.
    fn fill(&mut self, room: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while out.len() < room {
            match self.segments.pop_front() {
                None => break,
                Some(Segment::Text(mut text)) => {
                    let rest = text.split_off(text.len().min(room - out.len()));
                    out.append(&mut text);
                    if !rest.is_empty() {
                        self.segments.push_front(Segment::Text(rest));
                    }
                }
                Some(Segment::Escaped(mut content)) => {
                    let mut end = content.len().min(room - out.len());
                    // A character is not cut; none has more than four bytes.
                    while content.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
                        end += 1;
                    }
                    escape(&content.split_to(end), &mut out);
                    if !content.is_empty() {
                        self.segments.push_front(Segment::Escaped(content));
                    }
                }
            }
        }
        out
    }
}

/// Appends UTF-8 as the inside of a JSON string.
fn escape(content: &[u8], out: &mut Vec<u8>) {
    // What was stored was UTF-8, and is cut between characters.
    let text = String::from_utf8_lossy(content);
    let quoted = serde_json::to_vec(text.as_ref()).unwrap_or_default();
    out.extend_from_slice(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default());
}

impl Body for ReplyBody {
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
        let mut room = FRAME;
        match self.fault {
            Some(Fault::CutResponse { after_bytes }) if self.sent >= after_bytes => {
                // What was written must leave before the connection does.
                if !std::mem::replace(&mut self.flushing, true) {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                return Poll::Ready(Some(Err(io::Error::other("cut on purpose"))));
            }
            Some(Fault::StallResponse { after_bytes }) if self.sent >= after_bytes => {
                return Poll::Pending;
            }
            // A slow body comes in small pieces, so that it is slow throughout.
            Some(Fault::SlowResponse { bytes_per_second }) => {
                room = usize::try_from(bytes_per_second / 4).unwrap_or(FRAME).clamp(1, FRAME);
            }
            _ => {}
        }
        let mut bytes = self.fill(room);
        if bytes.is_empty() {
            return Poll::Ready(None);
        }
        match self.fault {
            Some(Fault::CutResponse { after_bytes } | Fault::StallResponse { after_bytes }) => {
                bytes.truncate(usize::try_from(after_bytes - self.sent).unwrap_or(usize::MAX));
            }
            Some(Fault::SlowResponse { bytes_per_second }) => {
                let started = *self.started.get_or_insert_with(Instant::now);
                let sent = self.sent + bytes.len() as u64;
                let due = Duration::from_millis(sent * 1000 / bytes_per_second.max(1));
                self.pause = Some(Box::pin(tokio::time::sleep_until(started + due)));
            }
            _ => {}
        }
        self.sent += bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Some(length) => SizeHint::with_exact(length - self.sent),
            None => SizeHint::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_escaped_piece_by_piece_as_in_one() {
        let text = "é\"\\\r\n\u{1}😀x".repeat(100);
        for room in 1..40 {
            let content = Bytes::from(text.clone());
            let mut body = ReplyBody::new(vec![Segment::Escaped(content)], None);
            let pieces = std::iter::from_fn(|| Some(body.fill(room)).filter(|p| !p.is_empty()));
            let whole: Vec<u8> = pieces.flatten().collect();
            let quoted = format!("\"{}\"", String::from_utf8(whole).unwrap());
            assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text, "{room}");
        }
    }
}
