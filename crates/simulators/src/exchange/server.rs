//! The front of the service: what a connection knows, and where a request goes.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, body::Incoming};

use super::{
    answer::{self, Answer},
    auth::{self, Session},
    fault::Faults,
    graph::{self, Throttle},
    log::{Log, Logged, Op},
    oauth::Authority,
    options::Options,
    reply::ReplyBody,
    world::World,
};
use crate::listener::Service;

/// Largest request body, enough for a `CreateItem` with a large message.
const MAX_REQUEST: usize = 256 * 1024 * 1024;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) faults: Faults,
    pub(crate) authority: Authority,
    /// The certificate in DER form; `None` without TLS.
    pub(crate) certificate: Option<Vec<u8>>,
    pub(crate) connections: AtomicU64,
    /// Requests to Graph so far.
    pub(crate) graph_requests: AtomicU64,
    /// The limits of Graph, and who came near them.
    pub(crate) throttle: Arc<Throttle>,
    /// Guards the mailboxes.
    world: Mutex<World>,
    /// Guards the log of requests.
    log: Mutex<Log>,
}

impl Shared {
    pub(crate) fn new(
        options: Options,
        authority: Authority,
        certificate: Option<Vec<u8>>,
    ) -> Self {
        Self {
            throttle: Arc::new(Throttle::new(&options.graph)),
            options,
            faults: Faults::default(),
            authority,
            certificate,
            connections: AtomicU64::new(0),
            graph_requests: AtomicU64::new(0),
            world: Mutex::default(),
            log: Mutex::default(),
        }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection of a client.
pub(crate) struct Connection {
    pub(crate) number: u64,
    pub(crate) shared: Arc<Shared>,
    /// Guards how far the sign-in of this connection has come.
    session: Mutex<Session>,
}

impl Connection {
    pub(crate) fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service for Shared {
    type Connection = Connection;
    type Body = ReplyBody;

    fn connect(self: &Arc<Self>) -> Connection {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        Connection { number, shared: Arc::clone(self), session: Mutex::default() }
    }

    async fn answer(
        connection: Arc<Connection>,
        request: Request<Incoming>,
    ) -> io::Result<Response<ReplyBody>> {
        handle(&connection, request).await
    }
}

/// The headers of a request that matter here.
pub(crate) struct Envelope {
    pub(crate) headers: HeaderMap,
    /// The path in lower case.
    pub(crate) path: String,
    /// Path and query, as they came.
    pub(crate) url: String,
    pub(crate) body: Bytes,
    pub(crate) at: Instant,
}

impl Envelope {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Answers a request. An error breaks the connection without a reply.
async fn handle(
    connection: &Connection,
    request: Request<Incoming>,
) -> io::Result<Response<ReplyBody>> {
    let (parts, body) = request.into_parts();
    let at = Instant::now();
    let path = parts.uri.path().to_ascii_lowercase();
    let body = match Limited::new(body, MAX_REQUEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Err(io::Error::other(error)),
    };
    let shared = &connection.shared;
    if graph::is_below(&path) {
        return graph::handle(connection, &parts, body, at).await;
    }
    if !shared.options.latency.is_zero() {
        tokio::time::sleep(shared.options.latency).await;
    }
    let url = parts.uri.to_string();
    let envelope = Envelope { headers: parts.headers, path, url, body, at };
    let answer = if envelope.path == "/ews/exchange.asmx" {
        let access = if parts.method == Method::POST {
            auth::sign_in(connection, &envelope)
        } else {
            Err(Box::new(auth::challenge(connection, None)))
        };
        match access {
            Ok(signed_in) => answer::answer(connection, &envelope, signed_in),
            Err(refused) => Answer::plain(*refused),
        }
    } else if envelope.path.ends_with("/oauth2/v2.0/token") && parts.method == Method::POST {
        answer::token(shared, &envelope)
    } else if envelope.path.ends_with("/v2.0/.well-known/openid-configuration") {
        answer::discovery(shared)
    } else if envelope.path == "/ews/genericerrorpage.htm" {
        Answer::plain(answer::page("Something went wrong. Please try again later."))
    } else {
        let mut response =
            answer::page("There is nothing here. Look at /EWS/Exchange.asmx or below /v1.0.");
        *response.status_mut() = StatusCode::NOT_FOUND;
        Answer::plain(response)
    };
    finish(connection, &envelope, answer)
}

/// Writes the log, and adds the headers that every response has.
fn finish(
    connection: &Connection,
    envelope: &Envelope,
    answer: Answer,
) -> io::Result<Response<ReplyBody>> {
    let text = |name: &str| envelope.header(name).map(str::to_owned);
    let shared = &connection.shared;
    let number = {
        let mut log = shared.log();
        log.push(Logged {
            op: answer.op.unwrap_or(Op::Other),
            mailbox: answer.mailbox,
            at: envelope.at,
            status: answer.response.as_ref().map_or(0, |response| response.status().as_u16()),
            code: answer.code,
            asked: answer.asked,
            connection: connection.number,
            scheme: text("authorization")
                .and_then(|value| value.split(' ').next().map(str::to_owned)),
            user: answer.user,
            anchor: text("x-anchormailbox"),
            user_agent: text("user-agent"),
            request_id: text("client-request-id"),
            cookie: text("cookie").is_some_and(|cookie| cookie.contains("exchangecookie=")),
            received_bytes: envelope.body.len(),
            url: envelope.url.clone(),
            prefer: None,
            in_batch: false,
        });
        log.total()
    };
    let Some(mut response) = answer.response else {
        return Err(io::Error::other("dropped on purpose"));
    };
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: String| {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    };
    set("server", "Microsoft-IIS/10.0".to_owned());
    set("request-id", format!("{number:08x}-0000-4000-8000-000000000000"));
    set("x-feserver", "SIM01".to_owned());
    if envelope.header("cookie").is_none_or(|cookie| !cookie.contains("exchangecookie=")) {
        set("set-cookie", format!("exchangecookie={:032x}; path=/; HttpOnly", connection.number));
    }
    if let (Some(id), Some("true")) =
        (envelope.header("client-request-id"), envelope.header("return-client-request-id"))
    {
        set("client-request-id", id.to_owned());
    }
    Ok(response)
}
