//! A reply whose body streams.

use std::{fmt, sync::Arc};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, StatusCode,
    body::{Body as _, Incoming},
    header::CONTENT_ENCODING,
};
use tokio::time::timeout;

use crate::{
    Endpoint, NetError, Stage,
    client::Lease,
    connection::{Connection, timed_out},
    diagnostics,
    error::Reason,
    gunzip::{Decoder, Unfit},
};

/// The reply to one request.
///
/// That of a [`Session`](crate::Session) borrows it, so that the next request cannot be sent
/// before this reply is done with; that of a [`Client`](crate::Client) is free. Dropped before its
/// body was read to the end, it takes the connection with it: hyper closes what it cannot use
/// again.
pub struct Response<'s> {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Body<'s>,
}

/// The body of a reply, decompressed, within the limits of its endpoint.
pub struct Body<'s> {
    holder: Holder<'s>,
    endpoint: Endpoint,
    incoming: Incoming,
    decoder: Decoder,
    state: State,
}

/// Where the connection waits for the end of the body.
pub(crate) enum Holder<'s> {
    Session(&'s mut Option<Connection>),
    Pooled(Lease),
}

impl Holder<'_> {
    /// The connection cannot be used again.
    fn close(&mut self) {
        match self {
            Self::Session(connection) => **connection = None,
            Self::Pooled(lease) => lease.close(),
        }
    }

    fn finished(&mut self) {
        match self {
            Self::Session(_) => {}
            Self::Pooled(lease) => lease.finished(),
        }
    }
}

/// What becomes of a body that says it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// It is decompressed; other encodings were not asked for.
    Gzip,
    /// It is passed on as it comes.
    Raw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Arriving,
    /// Nothing more arrives, but some is not yet handed out.
    Arrived,
    Done,
    Failed,
}

/// Without the headers, which may set cookies.
impl fmt::Debug for Response<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("diagnostics", &self.diagnostics())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("state", &self.state).finish_non_exhaustive()
    }
}

impl<'s> Response<'s> {
    /// `holder` holds the connection over which `reply` arrives.
    pub(crate) fn new(
        endpoint: &Endpoint,
        reply: hyper::Response<Incoming>,
        mut holder: Holder<'s>,
        coding: Coding,
    ) -> Result<Self, NetError> {
        let (head, incoming) = reply.into_parts();
        let gzip = match head.headers.get(CONTENT_ENCODING).map(|value| value.as_bytes()) {
            _ if coding == Coding::Raw => false,
            None | Some(b"" | b"identity") => false,
            Some(name) if name.eq_ignore_ascii_case(b"gzip") => true,
            Some(name) if name.eq_ignore_ascii_case(b"x-gzip") => true,
            Some(_) => {
                holder.close();
                let reason = Reason("its body has an encoding that was not asked for");
                return Err(NetError::bad_reply(endpoint.name(), reason));
            }
        };
        let limits = endpoint.limits();
        let mut state = State::Arriving;
        if incoming.is_end_stream() {
            holder.finished();
            state = State::Done;
        }
        let body = Body {
            holder,
            endpoint: endpoint.clone(),
            decoder: Decoder::new(gzip, limits.max_body, limits.max_expansion),
            incoming,
            state,
        };
        Ok(Self { status: head.status, headers: head.headers, body })
    }

    /// What the server says of itself, for the log; see [`diagnostics`](crate::diagnostics).
    pub fn diagnostics(&self) -> String {
        diagnostics::diagnostics(&self.headers)
    }
}

impl Body<'_> {
    /// The next part of the body, never empty; `None` at its end.
    ///
    /// Safe to cancel. After an error the body yields no more.
    ///
    /// # Errors
    ///
    /// The connection was cut or fell silent, the content is garbled, or too large.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        let next = self.next_part().await;
        if next.is_err() {
            self.state = State::Failed;
            self.holder.close();
        }
        next
    }

    /// Reads the whole body, at most `limit` bytes of it.
    ///
    /// # Errors
    ///
    /// Those of [`Self::chunk`], and [`NetError::TooLarge`].
    pub async fn collect(&mut self, limit: usize) -> Result<Bytes, NetError> {
        let mut all = BytesMut::new();
        while let Some(part) = self.chunk().await? {
            if all.len() + part.len() > limit {
                self.holder.close();
                self.state = State::Failed;
                return Err(self.unfit(Unfit::TooLarge(limit as u64)));
            }
            all.extend_from_slice(&part);
        }
        Ok(all.freeze())
    }

    async fn next_part(&mut self) -> Result<Option<Bytes>, NetError> {
        while self.state == State::Arriving {
            if let Some(part) = self.decoder.next().map_err(|err| self.unfit(err))? {
                return Ok(Some(part));
            }
            match self.next_frame().await? {
                Some(data) => self.decoder.push(data),
                None => self.state = State::Arrived,
            }
        }
        if self.state == State::Arrived {
            let last = self.decoder.finish().map_err(|err| self.unfit(err))?;
            self.state = State::Done;
            self.holder.finished();
            return Ok(last);
        }
        Ok(None)
    }

    /// The next bytes from the wire; `None` at the end.
    async fn next_frame(&mut self) -> Result<Option<Bytes>, NetError> {
        let limit = self.endpoint.limits().idle_body;
        let name = self.endpoint.name();
        loop {
            match timeout(limit, self.incoming.frame()).await {
                Err(_) => return Err(timed_out(&self.endpoint, Stage::Body, limit)),
                Ok(None) => return Ok(None),
                Ok(Some(Err(err))) => return Err(NetError::unreachable(name, err)),
                // Trailers say nothing that anybody here reads.
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    Err(_trailers) => {}
                },
            }
        }
    }

    fn unfit(&self, unfit: Unfit) -> NetError {
        let host = self.endpoint.name().to_owned();
        match unfit {
            Unfit::Garbled(err) => NetError::BadReply { host, cause: Arc::new(err) },
            Unfit::TooLarge(limit) => NetError::TooLarge { host, limit },
        }
    }
}
