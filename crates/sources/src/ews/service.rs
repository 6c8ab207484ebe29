//! The service that all mailboxes of one account share: connections, pauses, one call.

use std::{
    borrow::Cow,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use net::{Endpoint, HeaderMap, HeaderValue, Identity, NetError, Session, header};
use record::{MailboxId, Meter};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

use super::{
    clean::clean,
    failure::{Context, Signal, Verdict, judge},
    mailbox::EwsMailbox,
    reply::{self, Fault},
    request::{Access, Version},
    stream::{Bodies, Reply, SplitError, Splitter},
};
use crate::{answer::is_html, body::Limits};

/// Most bytes that are read of an answer that reports a failure.
const MAX_FAILURE: usize = 1024 * 1024;
/// How much of it is looked at when it is no SOAP envelope.
const HEAD: usize = 4096;
/// When a connection that the server had no room for is tried again.
const GROW_AFTER: Duration = Duration::from_secs(600);

/// How mailboxes are read. Plain values: where they come from is the caller's business.
#[derive(Clone, Debug)]
pub struct EwsSettings {
    pub access: Access,
    /// Version that is asked for first; a server that refuses it is asked for lower ones.
    pub version: Version,
    /// Connections kept open to the server, shared by all mailboxes of the account. The number
    /// of mailboxes that are worked on at the same time is a good one.
    pub connections: NonZeroUsize,
    /// Largest email that is kept, in bytes of its MIME form.
    pub max_email_size: u64,
    /// Where bodies beyond 256 KiB wait, as files without a name.
    pub spool_dir: PathBuf,
    /// Is told of each request.
    pub meter: Arc<dyn Meter>,
}

/// Exchange Web Services as one account sees them.
#[derive(Debug)]
pub struct Ews {
    pub(super) settings: EwsSettings,
    endpoint: Endpoint,
    identity: Identity,
    /// One permit for each connection that may be in use.
    permits: Semaphore,
    shared: Mutex<Shared>,
}

/// Guarded by a mutex that is held for a few lines only.
#[derive(Debug)]
struct Shared {
    /// Sessions that nobody uses; the one used last is on top, so that idle ones can age.
    idle: Vec<Session>,
    /// Connections that may be in use.
    connections: usize,
    resized: Option<Instant>,
    /// The server asked to be left alone until then.
    paused_until: Option<Instant>,
}

/// A call without a reply to read.
#[derive(Debug)]
pub(super) enum Failed {
    Net(NetError),
    /// The reply broke off before anything of it was of use.
    Cut(NetError),
    Http {
        status: u16,
        headers: HeaderMap,
        head: Vec<u8>,
    },
    Fault(Fault),
    Split(SplitError),
}

impl Failed {
    /// What became of the call, in a word: the code of the service, the HTTP status, or what kept
    /// either from coming. Of whatever a server may make up, one word is made.
    pub(super) fn code(&self) -> Cow<'_, str> {
        match self {
            Self::Net(err) => code_of(err).into(),
            Self::Cut(_) => "cut".into(),
            Self::Http { status, .. } => status.to_string().into(),
            Self::Fault(fault) if is_code(&fault.code) => fault.code.as_str().into(),
            Self::Fault(_) => "unknown".into(),
            Self::Split(_) => "unreadable".into(),
        }
    }

    pub(super) fn verdict(self, context: Context<'_>) -> Verdict {
        match self {
            Self::Net(err) => judge(Signal::Net(err), context),
            Self::Cut(err) => judge(Signal::Cut(err), context),
            Self::Http { status, headers, head } => {
                judge(Signal::Http { status, headers: &headers, head: &head }, context)
            }
            Self::Fault(fault) => judge(Signal::Fault(&fault), context),
            Self::Split(err) => judge(Signal::Split(err), context),
        }
    }
}

/// A reply, and why it ends early if it does.
pub(super) struct Received {
    pub(super) reply: Reply,
    pub(super) broken: Option<NetError>,
    /// Its `Content-Type` says that it is a web page, or it looks like one.
    pub(super) headers: HeaderMap,
    pub(super) head: Vec<u8>,
}

impl Ews {
    pub fn new(endpoint: Endpoint, identity: Identity, settings: EwsSettings) -> Arc<Self> {
        let connections = settings.connections.get();
        Arc::new(Self {
            endpoint,
            identity,
            permits: Semaphore::new(connections),
            shared: Mutex::new(Shared {
                idle: Vec::new(),
                connections,
                resized: None,
                paused_until: None,
            }),
            settings,
        })
    }

    /// A reader for one mailbox. Makes no request.
    pub fn mailbox(self: &Arc<Self>, id: &MailboxId) -> EwsMailbox {
        EwsMailbox::new(Arc::clone(self), id.clone())
    }

    pub(super) fn host(&self) -> &str {
        self.endpoint.name()
    }

    /// How long the server still wants to be left alone by this account.
    pub(super) fn pause(&self) -> Option<Duration> {
        remaining(self.shared().paused_until)
    }

    pub(super) fn pause_for(&self, pause: Duration) {
        let until = Some(Instant::now() + pause);
        let mut shared = self.shared();
        // Of several answers on their way, the longest pause counts.
        shared.paused_until = shared.paused_until.max(until);
    }

    /// Gives up one connection for a while; the last one stays. Returns whether it could.
    pub(super) fn use_fewer_connections(&self) -> bool {
        let mut shared = self.shared();
        let fewer = shared.connections > 1 && self.permits.forget_permits(1) == 1;
        if fewer {
            shared.connections -= 1;
            shared.resized = Some(Instant::now());
            shared.idle.pop();
        }
        fewer
    }

    /// Sends `request` for the mailbox `anchor` and takes the reply apart while it arrives.
    pub(super) async fn call(
        &self,
        anchor: &str,
        request: String,
        which: Bodies,
        limits: Limits,
    ) -> Result<Received, Failed> {
        let mut session = self.session().await;
        let headers = request_headers(anchor);
        let sent = session.get().send(&headers, Bytes::from(request)).await;
        let mut response = sent.map_err(Failed::Net)?;
        let status = response.status.as_u16();
        tracing::trace!(http.status = status, "EWS answered: {}", response.diagnostics());
        if !response.status.is_success() {
            tracing::debug!(
                http.status = status,
                "EWS refused a request: {}",
                response.diagnostics(),
            );
        }
        let headers = std::mem::take(&mut response.headers);
        if !response.status.is_success() {
            let body = response.body.collect(MAX_FAILURE).await;
            return Err(failure_of(status, headers, &body.unwrap_or_default()));
        }

        let mut splitter = Splitter::new(which, limits);
        let mut head = Vec::new();
        let broken = loop {
            let chunk = match response.body.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break None,
                Err(err) => break Some(err),
            };
            let room = HEAD.saturating_sub(head.len()).min(chunk.len());
            head.extend_from_slice(chunk.get(..room).unwrap_or_default());
            if let Err(err) = splitter.push(&chunk) {
                return Err(or_web_page(err, status, headers, head));
            }
        };
        match (splitter.finish(), broken) {
            (Ok(reply), broken) => Ok(Received { reply, broken, headers, head }),
            (Err(_), Some(err)) => Err(Failed::Cut(err)),
            (Err(err), None) => Err(or_web_page(err.into(), status, headers, head)),
        }
    }

    async fn session(&self) -> Checkout<'_> {
        // The semaphore is never closed; without a permit a call would only be one too many.
        let permit = self.permits.acquire().await.ok();
        let mut shared = self.shared();
        let full = shared.connections >= self.settings.connections.get();
        if !full && shared.resized.is_none_or(|at| at.elapsed() >= GROW_AFTER) {
            shared.connections += 1;
            shared.resized = Some(Instant::now());
            self.permits.add_permits(1);
        }
        let session = shared.idle.pop();
        drop(shared);
        Checkout { service: self, session, _permit: permit }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn code_of(err: &NetError) -> &'static str {
    match err {
        NetError::Unauthorized { .. } => "401",
        NetError::NotOffered { .. } | NetError::TokenRefused { .. } => "refused",
        NetError::Unreachable { .. } | NetError::TokenUnavailable { .. } => "unreachable",
        NetError::Timeout { .. } => "timeout",
        NetError::Tls { .. } => "tls",
        NetError::Blocked { .. } => "blocked",
        NetError::BadReply { .. } | NetError::TooLarge { .. } => "unreadable",
        NetError::Crypto { .. } => "crypto",
    }
}

/// Whether `code` looks like one of Exchange's response codes.
fn is_code(code: &str) -> bool {
    let known = code.starts_with("Error") && code.len() <= 64;
    known && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// What is left of a pause.
pub(super) fn remaining(until: Option<Instant>) -> Option<Duration> {
    let left = until?.saturating_duration_since(Instant::now());
    (!left.is_zero()).then_some(left)
}

/// A session in use. It goes back when this is dropped, also when a call is abandoned.
struct Checkout<'a> {
    service: &'a Ews,
    session: Option<Session>,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Checkout<'_> {
    fn get(&mut self) -> &mut Session {
        let Ews { endpoint, identity, .. } = self.service;
        self.session.get_or_insert_with(|| Session::new(endpoint.clone(), identity.clone()))
    }
}

impl Drop for Checkout<'_> {
    fn drop(&mut self) {
        let mut shared = self.service.shared();
        if shared.idle.len() < shared.connections {
            shared.idle.extend(self.session.take());
        }
    }
}

fn request_headers(anchor: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=utf-8"));
    // Tells the front end which server holds the mailbox; without it, calls for somebody else's
    // mailbox are slow and sometimes fail.
    if let Ok(anchor) = HeaderValue::from_str(anchor) {
        headers.insert("x-anchormailbox", anchor);
    }
    headers
}

/// A failure status: with a SOAP fault inside, or without.
fn failure_of(status: u16, headers: HeaderMap, body: &[u8]) -> Failed {
    let cleaned = clean(body);
    let fault = reply::parse(&cleaned.text).ok().and_then(|document| reply::soap_fault(&document));
    match fault {
        Some(fault) => Failed::Fault(fault),
        None => Failed::Http { status, headers, head: body.get(..HEAD).unwrap_or(body).to_vec() },
    }
}

/// What is no XML may be a web page: a sign-in page that some gateway put there.
pub(super) fn or_web_page(
    err: SplitError,
    status: u16,
    headers: HeaderMap,
    head: Vec<u8>,
) -> Failed {
    match err {
        SplitError::Malformed(_) if is_html(&headers, &head) => {
            Failed::Http { status, headers, head }
        }
        err => Failed::Split(err),
    }
}
