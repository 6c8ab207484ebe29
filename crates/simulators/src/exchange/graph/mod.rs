//! The Graph face: mail of the same mailboxes as Microsoft Graph v1.0 shows it.
//!
//! ```text
//! handle ─▶ admit ─▶ complete ─▶ collections, delta, translate ─▶ render
//!  token     path,    faults,     what was asked for               JSON
//!    │       limits   rights
//!    └────▶ batch: the same for each request in it
//! ```
//!
//! Invariants:
//!
//! - A request takes a slot of its app and mailbox until its body was sent; none is left for a
//!   fifth.
//! - A link says everything about the round that it goes on with: nothing is remembered for it.
//! - Contents are read and sent piece by piece, in batches too.

mod answer;
mod batch;
mod collections;
mod delta;
mod error;
mod fault;
mod id;
mod options;
mod query;
mod render;
mod route;
mod throttle;
mod translate;

use std::{io, sync::atomic::Ordering, time::Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use hyper::{Method, Response, StatusCode, header, http::request::Parts};
use serde_json::Value;

pub(crate) use id::{immutable_id, rest_id};
pub(crate) use throttle::Throttle;

pub use options::GraphOptions;
pub use throttle::{GraphAppUsage, GraphUsage};

use super::{
    fault::{Fault, Occasion},
    log::{Logged, Op},
    options::Rights,
    reply::{self, ReplyBody, Segment, Streamed, Trouble},
    server::{Connection, Shared},
};
use answer::{Answer, Caller, Done, Request, admit, complete};
use error::Refusal;
use throttle::Slot;

const JSON: &str = "application/json;odata.metadata=minimal;odata.streaming=true;\
    IEEE754Compatible=false;charset=utf-8";
/// Bodies with more text than this are sent in chunks.
const MAX_WHOLE: u64 = 1024 * 1024;

/// Whether a path, in lower case, belongs to Graph.
pub(crate) fn is_below(path: &str) -> bool {
    ["/v1.0/", "/beta/"].iter().any(|version| path.starts_with(version))
}

/// What one response and those inside of it have in common.
struct Context {
    request_id: String,
    client_id: String,
    now: DateTime<Utc>,
    at: Instant,
    /// The client accepts compressed bodies, and the server makes them.
    gzip: bool,
    /// The URL without its query: where a delta query that lost its state begins again.
    here: String,
}

/// What the log says of a request.
struct Entry {
    op: Op,
    mailbox: Option<String>,
    status: u16,
    code: Option<String>,
    asked: usize,
    in_batch: bool,
}

impl Context {
    fn error(&self, refusal: &Refusal) -> Value {
        refusal.body(&self.request_id, &self.client_id, self.now)
    }

    fn log(&self, connection: &Connection, caller: &Caller, request: &Request, entry: Entry) {
        let text = |name: &str| {
            request.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let query = if request.query.is_empty() { "" } else { "?" };
        connection.shared.log().push(Logged {
            op: entry.op,
            mailbox: entry.mailbox,
            at: self.at,
            status: entry.status,
            code: entry.code,
            asked: entry.asked,
            connection: connection.number,
            scheme: text("authorization").and_then(|own| own.split(' ').next().map(str::to_owned)),
            user: Some(caller.app.clone()).filter(|app| !app.is_empty()),
            anchor: text("x-anchormailbox"),
            user_agent: text("user-agent"),
            request_id: text("client-request-id"),
            cookie: false,
            received_bytes: request.body.len(),
            url: format!("/v1.0{}{query}{}", request.path, request.query),
            prefer: text("prefer"),
            in_batch: entry.in_batch,
        });
    }
}

/// Answers a request below `/v1.0`. An error breaks the connection without a reply.
pub(crate) async fn handle(
    connection: &Connection,
    parts: &Parts,
    body: Bytes,
    at: Instant,
) -> io::Result<Response<ReplyBody>> {
    let shared = &connection.shared;
    let number = shared.graph_requests.fetch_add(1, Ordering::Relaxed) + 1;
    let request_id = format!("{number:08x}-0000-4000-9000-000000000000");
    let client_id = header(parts, "client-request-id").unwrap_or(&request_id).to_owned();
    let now = shared.options.clock.now();
    let path = parts.uri.path();
    let origin = origin(connection, parts);
    let here = format!("{origin}{path}");
    let gzip = shared.options.gzip
        && header(parts, "accept-encoding").is_some_and(|value| value.contains("gzip"));
    let context = Context { request_id, client_id, now, at, gzip, here };
    let request = Request {
        method: parts.method.clone(),
        path: path.get("/v1.0".len()..).unwrap_or_default().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers.clone(),
        body,
        origin,
    };
    let nobody = Caller { app: String::new(), rights: Rights::default(), roles: Vec::new() };
    if path.to_ascii_lowercase().starts_with("/beta/") {
        let refusal = Refusal::new(404, "BadRequest", "Invalid version: beta");
        let entry = Entry::of(Op::Other, None, &refusal);
        context.log(connection, &nobody, &request, entry);
        return Ok(context.refuse(&refusal));
    }
    let caller = match sign_in(shared, parts) {
        Ok(caller) => caller,
        Err(refusal) => {
            context.log(connection, &nobody, &request, Entry::of(Op::Other, None, &refusal));
            return Ok(context.refuse(&refusal));
        }
    };
    if request.path.eq_ignore_ascii_case("/$batch") {
        return answer_batch(connection, &caller, &request, &context).await;
    }
    let mut admitted = admit(shared, &caller, &request);
    if !shared.options.latency.is_zero() {
        tokio::time::sleep(shared.options.latency).await;
    }
    let done = complete(shared, &caller, &request, &admitted);
    let slot = admitted.slot.take().and_then(Result::ok);
    let response = context.answer(done, slot);
    let status = response.as_ref().map_or(0, |(response, _)| response.status().as_u16());
    let code = response.as_ref().and_then(|(_, code)| code.clone());
    let (op, mailbox) = (admitted.op, admitted.mailbox);
    let entry = Entry { op, mailbox, status, code, asked: 1, in_batch: false };
    context.log(connection, &caller, &request, entry);
    response.map(|(response, _)| response).ok_or_else(dropped)
}

fn dropped() -> io::Error {
    io::Error::other("dropped on purpose")
}

async fn answer_batch(
    connection: &Connection,
    caller: &Caller,
    request: &Request,
    context: &Context,
) -> io::Result<Response<ReplyBody>> {
    let occasion = Occasion { op: Op::Batch, mailbox: None, items: &[], folders: &[] };
    let struck = connection.shared.faults.strike_request(occasion);
    let outcome = match fault::refusal(&struck) {
        Some(refusal) => Err(refusal),
        None if request.method != Method::POST => {
            Err(Refusal::new(405, "Request_BadRequest", "A batch must be sent by POST."))
        }
        None => {
            let done = batch::perform(connection, caller, request, context, &struck).await;
            done.map(|(segments, asked)| (Body { kind: JSON, segments }, asked))
        }
    };
    let asked = outcome.as_ref().map_or(0, |(_, asked)| *asked);
    let code = outcome.as_ref().err().map(|refusal| refusal.code.clone());
    let outcome = outcome.map(|(body, _)| body);
    let response = context.deliver(outcome, &struck, Vec::new(), None);
    let status = response.as_ref().map_or(0, |response| response.status().as_u16());
    let entry = Entry { op: Op::Batch, mailbox: None, status, code, asked, in_batch: false };
    context.log(connection, caller, request, entry);
    response.ok_or_else(dropped)
}

impl Entry {
    fn of(op: Op, mailbox: Option<String>, refusal: &Refusal) -> Self {
        let (status, code) = (refusal.status, Some(refusal.code.clone()));
        Self { op, mailbox, status, code, asked: 1, in_batch: false }
    }
}

/// The app that a request comes from.
fn sign_in(shared: &Shared, parts: &Parts) -> Result<Caller, Refusal> {
    if shared.options.auth.is_open() {
        let roles = ["Mail.Read", "User.Read.All"].map(str::to_owned).to_vec();
        return Ok(Caller { app: "anonymous".to_owned(), rights: Rights::default(), roles });
    }
    let refused = |text: &str| Refusal::new(401, "InvalidAuthenticationToken", text);
    let (scheme, token) =
        header(parts, "authorization").and_then(|value| value.split_once(' ')).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(refused("Access token is empty."));
    }
    let app = shared.authority.sign_in_to_graph(token).map_err(refused)?;
    Ok(Caller { app: app.client_id, rights: app.rights, roles: app.roles })
}

fn header<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}

/// Where the client found the server: links lead there.
fn origin(connection: &Connection, parts: &Parts) -> String {
    let scheme = if connection.shared.certificate.is_some() { "https" } else { "http" };
    let host = header(parts, "host").unwrap_or("localhost");
    format!("{scheme}://{host}")
}

/// A body to be sent.
struct Body {
    kind: &'static str,
    segments: Vec<Segment>,
}

impl Context {
    /// The response to one request with its error code; `None` breaks the connection.
    fn answer(
        &self,
        done: Done,
        slot: Option<Slot>,
    ) -> Option<(Response<ReplyBody>, Option<String>)> {
        let Done { struck, outcome, applied } = done;
        let code = outcome.as_ref().err().map(|refusal| refusal.code.clone());
        let body = outcome.map(|answer| match answer {
            Answer::Json(value, faults) => {
                Body { kind: JSON, segments: vec![Segment::Text(render::write(&value, &faults))] }
            }
            Answer::Content(content) => {
                Body { kind: "text/plain", segments: vec![Segment::Raw(content)] }
            }
        });
        Some((self.deliver(body, &struck, applied, slot)?, code))
    }

    /// The response, or what faults leave of it; `None` breaks the connection.
    fn deliver(
        &self,
        body: Result<Body, Refusal>,
        struck: &[Fault],
        applied: Vec<String>,
        slot: Option<Slot>,
    ) -> Option<Response<ReplyBody>> {
        for fault in struck {
            match fault {
                Fault::DropConnection { after_bytes: None } => return None,
                Fault::Html200 => {
                    return Some(super::answer::page("Sign in to your account to continue."));
                }
                Fault::RedirectToErrorPage => {
                    let mut response = Response::new(Vec::new().into());
                    *response.status_mut() = StatusCode::FOUND;
                    let to = header::HeaderValue::from_static("/ews/genericerrorpage.htm");
                    response.headers_mut().insert(header::LOCATION, to);
                    return Some(response);
                }
                Fault::GzipBomb { decoded_bytes } => {
                    let bomb = reply::gzip_bomb(*decoded_bytes);
                    let mut response = self.finish(200, JSON, bomb.into());
                    let gzip = header::HeaderValue::from_static("gzip");
                    response.headers_mut().insert(header::CONTENT_ENCODING, gzip);
                    return Some(response);
                }
                _ => {}
            }
        }
        let Body { kind, mut segments } = match body {
            Ok(body) => body,
            Err(refusal) => return Some(self.refuse(&refusal)),
        };
        let length: u64 = segments.iter().map(Segment::length).sum();
        if struck.contains(&Fault::BadXml)
            && let Some(Segment::Text(text)) = segments.last_mut()
        {
            text.truncate(text.len() / 2);
        }
        let wrong_length = struck.contains(&Fault::WrongContentLength);
        let trouble = struck.iter().find_map(|fault| match fault {
            Fault::DropConnection { after_bytes: Some(after) } => {
                Some(Trouble::Cut { after: *after })
            }
            Fault::TruncatedBase64 => Some(Trouble::Cut { after: length / 2 }),
            Fault::WrongContentLength => Some(Trouble::Cut { after: length }),
            Fault::Stall { after_bytes } => Some(Trouble::Stall { after: *after_bytes }),
            Fault::SlowBody { bytes_per_second } => {
                Some(Trouble::Slow { bytes_per_second: *bytes_per_second })
            }
            _ => None,
        });
        let gzip = self.gzip && !wrong_length;
        let body = match segments.as_mut_slice() {
            [Segment::Text(text)] if trouble.is_none() && length <= MAX_WHOLE => {
                let text = std::mem::take(text);
                if gzip { reply::gzip(&text) } else { text }.into()
            }
            _ => {
                let streamed = Streamed::new(segments, gzip, trouble);
                ReplyBody::Streamed(Box::new(streamed.hold(slot)))
            }
        };
        let mut response = self.finish(200, kind, body);
        let headers = response.headers_mut();
        if wrong_length {
            headers.insert(header::CONTENT_LENGTH, (length + 1000).into());
        }
        if gzip {
            let value = header::HeaderValue::from_static("gzip");
            headers.insert(header::CONTENT_ENCODING, value);
        }
        if let (false, Ok(applied)) = (applied.is_empty(), applied.join(", ").parse()) {
            headers.insert("preference-applied", applied);
        }
        Some(response)
    }

    fn refuse(&self, refusal: &Refusal) -> Response<ReplyBody> {
        let body = self.error(refusal).to_string().into_bytes();
        let mut response = self.finish(refusal.status, "application/json", body.into());
        let headers = response.headers_mut();
        if let Some(pause) = refusal.retry_after {
            headers.insert(header::RETRY_AFTER, pause.as_secs().into());
        }
        if refusal.status == 401 {
            let challenge = "Bearer realm=\"\", client_id=\"00000003-0000-0000-c000-000000000000\"";
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static(challenge));
        }
        if let (410, Ok(to)) = (refusal.status, self.here.parse()) {
            headers.insert(header::LOCATION, to);
        }
        response
    }

    /// A response with the headers that every one has.
    fn finish(&self, status: u16, kind: &'static str, body: ReplyBody) -> Response<ReplyBody> {
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("private"));
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = value.parse() {
                headers.insert(name, value);
            }
        };
        set("odata-version", "4.0");
        set("request-id", &self.request_id);
        set("client-request-id", &self.client_id);
        response
    }
}
