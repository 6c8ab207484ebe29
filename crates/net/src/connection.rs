//! One connection: resolved, checked against the egress policy, opened, and driven.

use std::{
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    time::Duration,
};

use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    rt::{Read, Write},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    task::AbortHandle,
    time::{Instant, sleep_until, timeout},
};
use tokio_openssl::SslStream;

use crate::{
    Endpoint, NetError, Stage, channel_binding,
    error::Reason,
    ntlm,
    payload::{Outgoing, Progress},
};

/// Largest head of a reply, in bytes. NTLM challenges and cookies stay far below.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;
/// Time for the end of a request to leave after its reply has come.
const SETTLE: Duration = Duration::from_secs(1);
/// Most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 8;

/// A connection that takes one request after the other. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Outgoing>,
    _driver: Driver,
    /// What NTLM sends to tie itself to this TLS connection.
    pub(crate) binding: Option<[u8; 16]>,
    /// A reply has come over it before.
    pub(crate) used: bool,
    /// The server knows whom it talks to; NTLM needs no header from then on.
    pub(crate) signed_in: bool,
}

/// Ends the task that moves the bytes when the connection is given up.
#[derive(Debug)]
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A request that got no reply.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) error: NetError,
    /// The connection ended before the reply began, as an idle one does when the server
    /// closes it at the same moment.
    pub(crate) hung_up: bool,
    /// Not even its first byte left.
    pub(crate) never_sent: bool,
}

impl From<NetError> for Lost {
    fn from(error: NetError) -> Self {
        Self { error, hung_up: false, never_sent: false }
    }
}

impl Connection {
    /// Opens a connection within the time for it.
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Self, NetError> {
        let limit = endpoint.limits().connect;
        let opened = timeout(limit, Self::open_unlimited(endpoint, Instant::now() + limit)).await;
        opened.unwrap_or_else(|_| Err(timed_out(endpoint, Stage::Connect, limit)))
    }

    async fn open_unlimited(endpoint: &Endpoint, deadline: Instant) -> Result<Self, NetError> {
        let tcp = dial(endpoint, deadline).await?;
        let name = endpoint.name();
        // A request is one small write that waits for its answer.
        tcp.set_nodelay(true).map_err(|err| NetError::unreachable(name, err))?;
        if !endpoint.secure() {
            return Self::start(endpoint, tcp, None).await;
        }
        let tls = &endpoint.transport().tls;
        let crypto = |err| NetError::crypto(name, err);
        let ssl = tls.start(endpoint.host()).map_err(crypto)?;
        let mut stream = SslStream::new(ssl, tcp).map_err(crypto)?;
        if let Err(err) = Pin::new(&mut stream).connect().await {
            return Err(tls.explain(name, stream.ssl(), err));
        }
        let binding = match stream.ssl().peer_certificate() {
            Some(certificate) => {
                let token = channel_binding::tls_server_end_point(&certificate).map_err(crypto)?;
                // Without MD5, NTLM fails with a message of its own; the others do not need it.
                ntlm::binding_hash(&token).ok()
            }
            None => None,
        };
        Self::start(endpoint, stream, binding).await
    }

    async fn start<T>(
        endpoint: &Endpoint,
        stream: T,
        binding: Option<[u8; 16]>,
    ) -> Result<Self, NetError>
    where
        TokioIo<T>: Read + Write + Unpin,
        T: Send + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .title_case_headers(true)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|err| NetError::unreachable(endpoint.name(), err))?;
        // Its errors reach whoever waits for a reply.
        let task = tokio::spawn(async move { drop(connection.await) });
        let driver = Driver(task.abort_handle());
        Ok(Self { sender, _driver: driver, binding, used: false, signed_in: false })
    }

    /// Whether another request can be sent. A server that answers early may leave the rest of
    /// the last request unread, so the wait is short.
    pub(crate) async fn ready(&mut self) -> bool {
        matches!(timeout(SETTLE, self.sender.ready()).await, Ok(Ok(())))
    }

    /// Sends `request` and waits for the head of its reply.
    pub(crate) async fn send(
        &mut self,
        endpoint: &Endpoint,
        request: Request<Outgoing>,
        stage: Stage,
    ) -> Result<Response<Incoming>, Lost> {
        let progress = request.body().progress();
        let mut sending = pin!(self.sender.send_request(request));
        let sent = loop {
            let (deadline, waits_for, limit) = deadline(endpoint, &progress, stage);
            tokio::select! {
                biased;
                sent = &mut sending => break sent,
                () = progress.all() => {}
                () = sleep_until(deadline) => {
                    if Instant::now() >= self::deadline(endpoint, &progress, stage).0 {
                        return Err(timed_out(endpoint, waits_for, limit).into());
                    }
                }
            }
        };
        match sent {
            Ok(reply) => {
                self.used = true;
                Ok(reply)
            }
            Err(err) if err.is_parse() => Err(NetError::bad_reply(endpoint.name(), err).into()),
            Err(err) => {
                let never_sent = err.is_canceled();
                let hung_up = !progress.taken().failed;
                Err(Lost {
                    error: NetError::unreachable(endpoint.name(), err),
                    hung_up,
                    never_sent,
                })
            }
        }
    }
}

/// Until when the server has time, for what, and how long that is. While the request leaves, each
/// part that the connection takes moves it.
fn deadline(endpoint: &Endpoint, progress: &Progress, stage: Stage) -> (Instant, Stage, Duration) {
    let limits = endpoint.limits();
    let taken = progress.taken();
    let (stage, limit) = match stage {
        Stage::SignIn => (stage, limits.connect),
        _ if taken.all => (Stage::Answer, limits.answer),
        _ => (Stage::Send, limits.idle_send),
    };
    (taken.at + limit, stage, limit)
}

/// Opens a TCP connection to the first address that answers. The egress policy is applied to
/// the very addresses that are then connected to, so that a name cannot resolve to one thing
/// for the check and to another for the connection.
pub(crate) async fn dial(endpoint: &Endpoint, deadline: Instant) -> Result<TcpStream, NetError> {
    let name = endpoint.name();
    let resolved: Vec<SocketAddr> = match endpoint.address() {
        Some(ip) => vec![SocketAddr::new(ip, endpoint.port())],
        None => tokio::net::lookup_host((endpoint.host(), endpoint.port()))
            .await
            .map_err(|err| NetError::unreachable(name, err))?
            .take(MAX_ADDRESSES)
            .collect(),
    };
    let allowed: Vec<_> =
        resolved.iter().copied().filter(|address| endpoint.allows(address.ip())).collect();
    if let (Some(blocked), true) = (resolved.first(), allowed.is_empty()) {
        return Err(blocked_by_policy(endpoint, blocked.ip()));
    }
    let mut last = std::io::Error::other(Reason("the name has no address"));
    for (tried, address) in allowed.iter().enumerate() {
        // What is left of the time, shared among the addresses that are left: one that swallows
        // packets must not use up the time of the next.
        let left = u32::try_from(allowed.len() - tried).unwrap_or(1);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(err)) => last = err,
            Err(_) if left == 1 => {
                return Err(timed_out(endpoint, Stage::Connect, endpoint.limits().connect));
            }
            Err(_) => {}
        }
    }
    Err(NetError::unreachable(name, last))
}

fn blocked_by_policy(endpoint: &Endpoint, address: IpAddr) -> NetError {
    NetError::Blocked { host: endpoint.name().to_owned(), address }
}

pub(crate) fn timed_out(endpoint: &Endpoint, stage: Stage, limit: Duration) -> NetError {
    NetError::Timeout { host: endpoint.name().to_owned(), stage, limit }
}
