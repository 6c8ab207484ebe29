//! Requests of any kind to one server, over a bounded pool of connections.

use std::{
    fmt,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper::{
    HeaderMap, Method, Request, Uri,
    body::Incoming,
    header::{ACCEPT_ENCODING, CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING, USER_AGENT},
};
use record::Secret;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    Endpoint, NetError, Payload, Response, Stage,
    body::{Coding, Holder},
    connection::{Connection, Lost},
    error::Reason,
    login::sensitive,
    payload::{Outgoing, Progress},
    request::AGENT,
};

/// Age beyond which an idle connection is not tried again: many servers close them after a
/// minute, and some firewalls forget them without a word.
const MAX_IDLE: Duration = Duration::from_secs(50);

/// A pool of connections to one server. Clones share it.
///
/// The endpoint tells the server; its path is not used, each [`Call`] brings its own.
#[derive(Clone, Debug)]
pub struct Client(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    endpoint: Endpoint,
    /// One permit for each connection in use.
    places: Arc<Semaphore>,
    /// Connections between two requests, the one used last at the end.
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// One request.
#[derive(Clone)]
pub struct Call {
    pub method: Method,
    /// Path and query, percent-encoded: `/container/blob?comp=block`.
    pub target: String,
    /// As they are sent, but for those of the connection: `Host`, and the length of the payload.
    pub headers: HeaderMap,
    pub payload: Payload,
    /// Asks for a compressed reply, and decompresses it. Without it the body stays as it comes.
    pub gzip: bool,
    pub repeat: Repeat,
}

/// Whether a request may reach the server twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeat {
    /// It is sent once more when a kept connection ends before an answer began.
    #[default]
    Safe,
    /// Only if it certainly never left this machine.
    Never,
}

/// Method and path; query and headers may hold secrets.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.target.split('?').next().unwrap_or_default();
        write!(f, "Call({} {path})", self.method)
    }
}

impl Call {
    /// A request without headers and payload that may be repeated.
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            headers: HeaderMap::new(),
            payload: Payload::Empty,
            gzip: false,
            repeat: Repeat::Safe,
        }
    }
}

/// The value of `Authorization` for a token; `None` if the token has bytes that no header may
/// have.
pub fn bearer(token: &Secret) -> Option<HeaderValue> {
    sensitive("Bearer", token.reveal())
}

impl Client {
    /// Makes a client. Nothing is connected before the first request.
    pub fn new(endpoint: Endpoint, max_connections: NonZeroUsize) -> Self {
        let places = max_connections.get().min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(places));
        Self(Arc::new(Pool { endpoint, places, idle: Mutex::new(Vec::new()) }))
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// Sends a request and returns the reply, whatever its status is. Redirects are not followed.
    ///
    /// Waits while all connections are in use. The reply keeps its connection until its body was
    /// read to the end or is dropped.
    ///
    /// # Errors
    ///
    /// No complete answer came, or the target is not a path.
    pub async fn send(&self, call: Call) -> Result<Response<'static>, NetError> {
        let name = self.0.endpoint.name();
        let closed = |_| NetError::unreachable(name, Reason("the client is shut down"));
        let place = Arc::clone(&self.0.places).acquire_owned().await.map_err(closed)?;
        let mut kept = self.0.take_idle().await;
        loop {
            let redial = kept.is_some();
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => Connection::open(&self.0.endpoint).await?,
            };
            let request = self.request(&call)?;
            let progress = request.body().progress();
            match connection.send(&self.0.endpoint, request, Stage::Answer).await {
                Ok(reply) => return self.response(reply, connection, place, progress, call.gzip),
                Err(lost) if redial && may_repeat(&lost, call.repeat) => self.0.forget_idle(),
                Err(lost) => return Err(lost.error),
            }
        }
    }

    fn request(&self, call: &Call) -> Result<Request<Outgoing>, NetError> {
        let name = self.0.endpoint.name();
        let bad = || NetError::bad_request(name, Reason("the target is not a path"));
        let target: Uri = call.target.parse().map_err(|_| bad())?;
        if !call.target.starts_with('/') || target.path_and_query().is_none() {
            return Err(bad());
        }
        let body = call.payload.open().map_err(|err| NetError::bad_request(name, err))?;
        let mut request = Request::new(body);
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = target;
        let headers = request.headers_mut();
        headers.clone_from(&call.headers);
        headers.insert(HOST, self.0.endpoint.authority().clone());
        headers.entry(USER_AGENT).or_insert(AGENT);
        headers.remove(TRANSFER_ENCODING);
        headers.remove(CONTENT_LENGTH);
        match call.payload.length() {
            // Only methods with a body say that it is empty. Spec: RFC 9110 §8.6.
            Some(0) if !matches!(call.method, Method::PUT | Method::POST | Method::PATCH) => {}
            Some(length) => drop(headers.insert(CONTENT_LENGTH, HeaderValue::from(length))),
            None => {
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
        if call.gzip {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(request)
    }

    fn response(
        &self,
        reply: hyper::Response<Incoming>,
        connection: Connection,
        place: OwnedSemaphorePermit,
        progress: Progress,
        gzip: bool,
    ) -> Result<Response<'static>, NetError> {
        let pool = Arc::clone(&self.0);
        let lease = Lease { connection: Some(connection), pool, progress, _place: place };
        let coding = if gzip { Coding::Gzip } else { Coding::Raw };
        Response::new(&self.0.endpoint, reply, Holder::Pooled(lease), coding)
    }
}

fn may_repeat(lost: &Lost, repeat: Repeat) -> bool {
    match repeat {
        Repeat::Safe => lost.hung_up,
        Repeat::Never => lost.never_sent,
    }
}

impl Pool {
    /// The idle connection that was used last, if it still takes a request.
    async fn take_idle(&self) -> Option<Connection> {
        loop {
            let idle = self.idle().pop()?;
            let mut connection = idle.connection;
            if idle.since.elapsed() < MAX_IDLE && connection.ready().await {
                return Some(connection);
            }
        }
    }

    /// When one idle connection turned out to be dead, the others most likely are.
    fn forget_idle(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection of the pool while its reply is read. Dropped before the end of the reply, it
/// closes the connection.
pub(crate) struct Lease {
    connection: Option<Connection>,
    pool: Arc<Pool>,
    progress: Progress,
    _place: OwnedSemaphorePermit,
}

impl Lease {
    /// The reply has been read to its end.
    pub(crate) fn finished(&mut self) {
        // A server that answered early may never read the rest of the request.
        if let (Some(connection), true) = (self.connection.take(), self.progress.taken().all) {
            self.pool.idle().push(Idle { connection, since: Instant::now() });
        }
    }

    pub(crate) fn close(&mut self) {
        self.connection = None;
    }
}
