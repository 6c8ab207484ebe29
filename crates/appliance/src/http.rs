//! What `--bind` serves: probes, metrics and the status. HTTP/1.1, one request a connection.
//!
//! | Path | 200 while |
//! |---|---|
//! | `/livez`, `/healthz` | the main loop gives signs of life |
//! | `/readyz` | the configuration is in force, the destination takes mail, no stop has begun |
//! | `/metrics` | always: text for Prometheus |
//! | `/status` | always: JSON with one entry for each mailbox |
//!
//! Whoever reaches the port may read all of it. There is no secret in it, but the addresses of
//! the mailboxes are in `/status`.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    exit::{Ending, Exit},
    monitor::Monitor,
};

/// Most connections at once. For one more, the oldest is closed: whoever keeps connections open
/// without a word must not keep a probe waiting.
const MAX_CONNECTIONS: usize = 32;

/// Most texts of `/status` in memory at once; with thousands of mailboxes each has megabytes.
const MAX_STATUSES: usize = 2;

/// Time for the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// Time for a connection from its first to its last byte.
const CONNECTION_TIME: Duration = Duration::from_secs(30);

/// Time for answers that are under way when the process ends.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Largest head of a request, in bytes; hyper takes no less.
const MAX_HEAD: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A port that is taken, but not yet answered on.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    monitor: Arc<Monitor>,
}

impl Server {
    /// Takes the port.
    ///
    /// # Errors
    ///
    /// Exit code 74 if somebody else has it, which may be over soon; 78 if the address cannot be
    /// used at all.
    pub async fn bind(address: SocketAddr, monitor: Arc<Monitor>) -> Result<Self, Ending> {
        let failed = |err: io::Error| {
            let (exit, hint) = match err.kind() {
                io::ErrorKind::AddrInUse => {
                    (Exit::Io, "Another program listens there. Stop it, or give another port.")
                }
                io::ErrorKind::AddrNotAvailable => (
                    Exit::Config,
                    "This machine has no such address; `0.0.0.0` stands for all of them.",
                ),
                io::ErrorKind::PermissionDenied => (
                    Exit::Config,
                    "Ports below 1024 need a special right; give a higher one, such as 8000.",
                ),
                _ => (Exit::Io, "Check the address and the port."),
            };
            Ending::new(
                exit,
                format!("could not listen on `--bind {address}`: {err}\nHint: {hint}"),
            )
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        info!("Serving health and metrics on `http://{address}`: /livez /readyz /metrics /status");
        Ok(Self { listener, address, monitor })
    }

    /// Where it listens; with port 0 in the flag, the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `over`, and for a moment longer whoever has begun to ask.
    pub async fn serve(self, over: CancellationToken) {
        let statuses = Arc::new(Semaphore::new(MAX_STATUSES));
        let mut tasks = JoinSet::new();
        let mut open: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            let accepted = tokio::select! {
                () = over.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            while tasks.try_join_next().is_some() {}
            open.retain(|task| !task.is_finished());
            if open.len() >= MAX_CONNECTIONS
                && let Some(oldest) = open.pop_front()
            {
                oldest.abort();
            }
            match accepted {
                Ok((stream, _)) => {
                    let statuses = Arc::clone(&statuses);
                    let monitor = Arc::clone(&self.monitor);
                    open.push_back(tasks.spawn(attend(stream, monitor, statuses)));
                }
                Err(err) => {
                    // No file descriptors left, as a rule.
                    warn!("Could not accept a connection on `{}`: {err}", self.address);
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(self.listener);
        let last = async { while tasks.join_next().await.is_some() {} };
        if timeout(LAST_ANSWERS, last).await.is_err() {
            debug!("Connections to `{}` were cut by the end of the process", self.address);
        }
    }
}

async fn attend(stream: TcpStream, monitor: Arc<Monitor>, statuses: Arc<Semaphore>) {
    // Holds the right to a large answer until it has left.
    let held = Mutex::new(None);
    let service = service_fn(|request: Request<_>| {
        let answer = answer(&request, &monitor, &statuses, &held);
        async { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        // Also means that nobody reads a body, however long.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(err)) => debug!("A connection for health or metrics ended: {err}"),
        Err(_) => debug!("A connection for health or metrics was too slow and is closed"),
    }
}

fn answer<T>(
    request: &Request<T>,
    monitor: &Monitor,
    statuses: &Arc<Semaphore>,
    held: &Mutex<Option<OwnedSemaphorePermit>>,
) -> Response<Full<Bytes>> {
    let known =
        matches!(request.uri().path(), "/livez" | "/healthz" | "/readyz" | "/metrics" | "/status");
    if !known {
        let paths = "not found; there are /livez, /readyz, /healthz, /metrics and /status\n";
        return reply(StatusCode::NOT_FOUND, TEXT, paths);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/metrics" => reply(StatusCode::OK, METRICS, monitor.metrics()),
        "/status" => match Arc::clone(statuses).try_acquire_owned() {
            Ok(permit) => {
                *held.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
                reply(StatusCode::OK, JSON, monitor.status())
            }
            Err(_) => {
                let busy = "others are reading the status at the moment\n";
                reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, busy)
            }
        },
        "/readyz" => probe(monitor.ready()),
        _ => probe(monitor.live()),
    }
}

fn probe(result: Result<(), impl Into<String>>) -> Response<Full<Bytes>> {
    match result {
        Ok(()) => reply(StatusCode::OK, TEXT, "ok\n"),
        Err(reason) => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{}\n", reason.into())),
    }
}

fn reply(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    // What was true a moment ago is of no use to a probe.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
