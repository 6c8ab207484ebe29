//! The front of the platform: who may do what, what goes wrong on purpose, and the log.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, HeaderName, IF_MATCH, IF_NONE_MATCH,
        RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE,
    },
};
use serde_json::{Map, Value, json};

use super::{
    fault::{Fault, Faults, Occasion},
    log::{Log, Logged, MAX_IDS, Op},
    ops::{self, Call, Payload},
    options::{Limits, Options, Token},
    refusal::Refusal,
    reply::{Reply, ReplyBody},
    request::{Envelope, take},
    route::{self, Route},
    schema::show,
    world::World,
};
use crate::listener::Service;

/// What can be changed while the server runs.
pub(crate) struct Settings {
    pub(crate) tokens: Vec<Token>,
    pub(crate) limits: Limits,
    pub(crate) conditional_writes: bool,
    /// What must not be in a request: every token that there ever was, and more.
    pub(crate) secrets: Arc<[Vec<u8>]>,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) faults: Faults,
    pub(crate) connections: AtomicU64,
    pub(crate) uploads: AtomicUsize,
    pub(crate) peak_uploads: AtomicUsize,
    /// Guards the settings.
    settings: Mutex<Settings>,
    /// Guards what is stored.
    world: Mutex<World>,
    /// Guards the log of requests.
    log: Mutex<Log>,
}

impl Shared {
    pub(crate) fn new(options: Options) -> Self {
        let watched = options.watched.iter().map(|secret| secret.reveal().into());
        let settings = Settings {
            tokens: Vec::new(),
            limits: options.limits,
            conditional_writes: options.conditional_writes,
            secrets: watched.collect(),
        };
        let tokens = options.tokens.clone();
        let shared = Self {
            faults: Faults::new(options.seed),
            options,
            connections: AtomicU64::new(0),
            uploads: AtomicUsize::new(0),
            peak_uploads: AtomicUsize::new(0),
            settings: Mutex::new(settings),
            world: Mutex::default(),
            log: Mutex::default(),
        };
        shared.set_tokens(tokens);
        shared
    }

    pub(crate) fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_tokens(&self, tokens: Vec<Token>) {
        let mut settings = self.settings();
        let new = tokens.iter().map(|token| token.secret.reveal().as_bytes().to_vec());
        settings.secrets = settings.secrets.iter().cloned().chain(new).collect();
        settings.tokens = tokens;
    }

    /// The place of the token that a request carries.
    fn sign_in(&self, headers: &HeaderMap) -> Result<usize, Refusal> {
        let refused = |message: &str| Refusal::new(StatusCode::UNAUTHORIZED, message);
        let header = headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok());
        let header = header.ok_or_else(|| refused("the request carries no token"))?;
        let token = header.split_once(' ').filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
        let (_, token) =
            token.ok_or_else(|| refused("`Authorization` must be `Bearer <token>`"))?;
        let settings = self.settings();
        let place = settings.tokens.iter().position(|own| own.secret.reveal() == token.trim());
        place.ok_or_else(|| refused("the token is not valid"))
    }

    fn may(&self, token: usize, op: Op) -> Result<(), Refusal> {
        let settings = self.settings();
        let Some(permission) = op.permission() else { return Ok(()) };
        if settings.tokens.get(token).is_some_and(|token| token.allows(permission)) {
            return Ok(());
        }
        let message = format!("this needs the permission `{permission}`, which the token has not");
        Err(Refusal::new(StatusCode::FORBIDDEN, message))
    }

    /// What `GET /auth/user` tells of the owner of a token.
    fn user(&self, token: usize) -> Value {
        let permissions = self.settings().tokens.get(token).map(|own| own.permissions.clone());
        let permissions = permissions.unwrap_or_default();
        let global = if permissions.is_none() { json!(["root"]) } else { json!([]) };
        let world = self.world();
        let projects: Map<_, _> = world
            .projects
            .keys()
            .map(|name| (name.clone(), json!(permissions.clone().unwrap_or_default())))
            .collect();
        json!({
            "id": format!("{:016x}", 0xaa + token),
            "username": format!("user{}", token + 1),
            "email": format!("user{}@example.com", token + 1),
            "created": show(self.options.clock.now()),
            "global_permissions": global,
            "sso_global_permissions": [],
            "organisation_permissions": projects,
            "verified": true,
        })
    }
}

/// One connection of a client.
pub(crate) struct Connection {
    number: u64,
    shared: Arc<Shared>,
}

impl Service for Shared {
    type Connection = Connection;
    type Body = ReplyBody;

    fn connect(self: &Arc<Self>) -> Connection {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        Connection { number, shared: Arc::clone(self) }
    }

    async fn answer(
        connection: Arc<Connection>,
        request: Request<Incoming>,
    ) -> io::Result<Response<ReplyBody>> {
        handle(&connection, request).await
    }
}

/// Counts an upload for as long as it lasts.
struct Upload<'a>(&'a Shared);

impl<'a> Upload<'a> {
    fn begin(shared: &'a Shared) -> Self {
        let now = shared.uploads.fetch_add(1, Ordering::Relaxed) + 1;
        shared.peak_uploads.fetch_max(now, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        self.0.uploads.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers a request. An error breaks the connection without a reply.
async fn handle(
    connection: &Connection,
    request: Request<Incoming>,
) -> io::Result<Response<ReplyBody>> {
    let at = Instant::now();
    let shared = &*connection.shared;
    let (parts, body) = request.into_parts();
    let envelope = Envelope::new(parts);
    let path = envelope.parts.uri.path();
    let found = route::route(&envelope.parts.method, path, &shared.options.base_path);
    let (route, lost) = match found {
        Ok(route) => (route, None),
        Err(refusal) => (Route::NOWHERE, Some(refusal)),
    };
    let _upload = (route.op == Op::PutEmails).then(|| Upload::begin(shared));
    let token = shared.sign_in(&envelope.parts.headers);
    let access = match (&token, lost) {
        (Err(refusal), _) => Err(refusal.clone()),
        (Ok(_), Some(refusal)) => Err(refusal),
        (Ok(token), None) => shared.may(*token, route.op).and_then(|()| envelope.check(route.op)),
    };
    let bucket = route.bucket.as_ref().map(route::BucketName::text);
    let (payload, received) = take(shared, &envelope, &route, access, body).await;
    if !shared.options.latency.is_zero() {
        tokio::time::sleep(shared.options.latency).await;
    }
    let emails = match &payload {
        Ok(Payload::Emails(emails)) => emails.iter().map(|email| email.id.clone()).collect(),
        _ => Vec::new(),
    };
    let fault = payload.is_ok().then(|| {
        let emails: Vec<_> = emails.iter().map(String::as_str).collect();
        let body = received.decoded_bytes;
        let bucket = bucket.as_deref();
        shared.faults.strike_late(Occasion { op: route.op, bucket, emails: &emails, body })
    });
    let fault = fault.flatten();
    let place = token.as_ref().ok().copied();
    let outcome = payload.and_then(|payload| {
        let (limits, conditional_writes) = {
            let settings = shared.settings();
            (settings.limits, settings.conditional_writes)
        };
        let user = place.map(|place| shared.user(place)).unwrap_or_default();
        let now = shared.options.clock.now();
        let weak_tags = shared.options.weak_tags;
        let (route, envelope) = (&route, &envelope);
        let call = Call { route, envelope, limits, conditional_writes, weak_tags, now, user };
        act(shared, &call, payload, fault.as_ref())
    });
    let reply = outcome.unwrap_or_else(|refusal| refusal.status.map(|_| Reply::from(refusal)));
    let secrets = Arc::clone(&shared.settings().secrets);
    let text = |name| envelope.header(name).map(str::to_owned);
    shared.log().push(Logged {
        op: route.op,
        method: envelope.parts.method.to_string(),
        path: path.to_owned(),
        bucket,
        at,
        status: reply.as_ref().map_or(0, |reply| reply.status.as_u16()),
        message: reply.as_ref().and_then(|reply| reply.message.clone()),
        emails: emails.into_iter().take(MAX_IDS).collect(),
        connection: connection.number,
        token: place,
        user_agent: text(USER_AGENT),
        content_encoding: text(CONTENT_ENCODING),
        if_match: text(IF_MATCH),
        if_none_match: text(IF_NONE_MATCH),
        received_bytes: received.wire_bytes,
        decoded_bytes: received.decoded_bytes,
        leaked: received.leaked || envelope.leaks(secrets),
    });
    let mut reply = reply.ok_or_else(|| io::Error::other("dropped on purpose"))?;
    if shared.options.accepts_gzip {
        reply = reply.with(ACCEPT_ENCODING, "gzip");
    }
    if reply.status == StatusCode::UNAUTHORIZED {
        reply = reply.with(WWW_AUTHENTICATE, "Bearer");
    }
    let milliseconds = at.elapsed().as_secs_f64() * 1000.0;
    let timing = format!("total;dur={milliseconds:.1}");
    reply = reply.with(HeaderName::from_static("server-timing"), timing);
    Ok(reply.into_response(fault))
}

/// What is no answer of the platform.
const PAGE: &[u8] = b"<!DOCTYPE html><title>Sign in</title>";

/// Does what is asked, or what the fault wants; `None` breaks the connection.
fn act(
    shared: &Shared,
    call: &Call<'_>,
    mut payload: Payload,
    fault: Option<&Fault>,
) -> Result<Option<Reply>, Refusal> {
    let failure = |status: u16| {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Reply::error(status, "this went wrong on purpose".to_owned())
    };
    let instead = match fault {
        Some(Fault::Http { status, retry_after }) => {
            let reply = failure(*status);
            Some(Some(match retry_after {
                Some(pause) => reply.with(RETRY_AFTER, pause),
                None => reply,
            }))
        }
        Some(Fault::Page { status }) => {
            let status = failure(*status).status;
            Some(Some(Reply::new(status, "text/html", PAGE.to_vec())))
        }
        Some(Fault::DropBeforeCommit) => Some(None),
        Some(Fault::BadJson) => {
            let body = b"{\"status\":\"ok\",".to_vec();
            Some(Some(Reply::new(StatusCode::OK, "application/json", body)))
        }
        Some(Fault::Html200) => Some(Some(Reply::new(StatusCode::OK, "text/html", PAGE.to_vec()))),
        Some(Fault::StatusMismatch) => {
            let mut reply = failure(500);
            reply.status = StatusCode::OK;
            Some(Some(reply))
        }
        _ => None,
    };
    if let Some(instead) = instead {
        return Ok(instead);
    }
    if let (Some(Fault::CommitSome { emails: some, .. }), Payload::Emails(emails)) =
        (fault, &mut payload)
    {
        emails.truncate(*some);
    }
    let reply = ops::perform(&mut shared.world(), call, payload)?;
    Ok(match fault {
        Some(Fault::DropAfterCommit) => None,
        Some(Fault::HttpAfterCommit { status } | Fault::CommitSome { status, .. }) => {
            Some(failure(*status))
        }
        _ => Some(reply),
    })
}
