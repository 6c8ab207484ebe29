//! Answers: JSON, and contents of emails escaped while they are sent.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    Response, StatusCode,
    body::{Body, Frame, SizeHint},
    header::{
        ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE,
    },
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::refusal::Refusal;

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    content_type: HeaderValue,
    headers: Vec<(HeaderName, String)>,
    body: ReplyBody,
}

pub(crate) enum ReplyBody {
    Whole(Option<Bytes>),
    /// An error breaks the connection: nobody takes half an answer for a whole one.
    Pieces(mpsc::Receiver<io::Result<Bytes>>),
}

impl Reply {
    pub(crate) fn new(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Self {
        let content_type = HeaderValue::from_static(content_type);
        let body = ReplyBody::Whole(Some(body.into()).filter(|body: &Bytes| !body.is_empty()));
        Self { status, content_type, headers: Vec::new(), body }
    }

    /// An answer whose body is part of the program.
    pub(crate) fn fixed(
        status: StatusCode,
        content_type: &'static str,
        body: &'static [u8],
    ) -> Self {
        let reply = Self::new(status, content_type, Vec::new());
        Self { body: ReplyBody::Whole(Some(Bytes::from_static(body))), ..reply }
    }

    /// `{"status":"ok"}` with the fields of `payload` behind it.
    pub(crate) fn json(payload: Value) -> Self {
        Self::new(StatusCode::OK, "application/json", ok(payload))
    }

    pub(crate) fn ok() -> Self {
        Self::json(json!({}))
    }

    /// JSON whose pieces come by themselves.
    pub(crate) fn pieces(pieces: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self::stream("application/json", pieces)
    }

    /// An answer whose pieces come by themselves.
    pub(crate) fn stream(
        content_type: &'static str,
        pieces: mpsc::Receiver<io::Result<Bytes>>,
    ) -> Self {
        let reply = Self::new(StatusCode::OK, content_type, Vec::new());
        Self { body: ReplyBody::Pieces(pieces), ..reply }
    }

    /// Bytes of any kind that come by themselves.
    pub(crate) fn bytes(pieces: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        let reply = Self::new(StatusCode::OK, "application/octet-stream", Vec::new());
        Self { body: ReplyBody::Pieces(pieces), ..reply }
    }

    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn into_response(self) -> Response<ReplyBody> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, self.content_type);
        for (name, value) in self.headers {
            let Ok(value) = HeaderValue::from_str(&value) else { continue };
            // The one header that may come several times, and then not as a list.
            if name == SET_COOKIE {
                headers.append(name, value);
            } else {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// The fields of an answer, behind its status.
pub(crate) fn ok(payload: Value) -> Vec<u8> {
    let fields = payload.to_string();
    let rest = fields.strip_prefix('{').unwrap_or("}");
    let comma = if rest == "}" { "" } else { "," };
    format!("{{\"status\":\"ok\"{comma}{rest}").into_bytes()
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let mut body = json!({ "status": "error", "message": refusal.message });
        if let (Some(at), Some(map)) = (refusal.position, body.as_object_mut()) {
            let position = json!({
                "char_start": at.char_start,
                "char_end": at.char_end,
                "utf16_byte_start": at.utf16_byte_start,
                "utf16_byte_end": at.utf16_byte_end,
            });
            map.insert("position".to_owned(), position);
        }
        let body = body.to_string().into_bytes();
        let mut reply = Self::new(refusal.status, "application/json", body);
        if refusal.status == StatusCode::UNAUTHORIZED {
            reply = reply.with(WWW_AUTHENTICATE, "Bearer");
        }
        // Spec: RFC 9110 §15.5.6.
        if let Some(methods) = refusal.allow {
            reply = reply.with(ALLOW, methods);
        }
        match refusal.retry_after {
            Some(seconds) => reply.with(RETRY_AFTER, seconds.to_string()),
            None => reply,
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Pieces(pieces) => {
                pieces.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
            Self::Pieces(_) => SizeHint::new(),
        }
    }
}

/// Appends UTF-8 as the inside of a JSON string. Spec: RFC 8259 §7.
pub(crate) fn escape(mut text: &[u8], into: &mut Vec<u8>) {
    while let Some(at) = text.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        let (plain, rest) = text.split_at(at);
        into.extend_from_slice(plain);
        let Some((byte, rest)) = rest.split_first() else { return };
        match byte {
            b'"' => into.extend_from_slice(b"\\\""),
            b'\\' => into.extend_from_slice(b"\\\\"),
            b'\n' => into.extend_from_slice(b"\\n"),
            b'\r' => into.extend_from_slice(b"\\r"),
            b'\t' => into.extend_from_slice(b"\\t"),
            byte => into.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        text = rest;
    }
    into.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_reads_as_it_was() {
        let text: String = ('\0'..='\u{ff}').chain("\u{1f600}x".chars()).collect();
        let mut quoted = vec![b'"'];
        escape(text.as_bytes(), &mut quoted);
        quoted.push(b'"');
        assert_eq!(serde_json::from_slice::<String>(&quoted).unwrap(), text);
    }

    #[test]
    fn the_status_comes_first() {
        assert_eq!(ok(json!({})), br#"{"status":"ok"}"#);
        assert_eq!(ok(json!({ "a": 1 })), br#"{"status":"ok","a":1}"#);
    }
}
