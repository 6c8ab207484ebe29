//! The front of the platform: connections, who may do what, and how each request ends.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, HeaderName, SET_COOKIE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use openssl::ssl::{Ssl, SslAcceptor};
use store::Store;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_openssl::SslStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};
use vault::Vault;

use crate::{
    CheckConfig, Exchange, Limits, Options,
    access::Caller,
    again,
    attempts::{Attempt, Attempts},
    call::Call,
    conversion::{self, Converter},
    cookies::Cookie,
    metrics::Metrics,
    oidc::Provider,
    openapi, original,
    passwords::Passwords,
    places::Places,
    public::{self, Visit},
    rate::Rates,
    refusal::Refusal,
    reply::{Reply, ReplyBody},
    request::{self, Head},
    routes::{self, Need, Op},
    settings::People,
    site::Site,
    sweep, ui,
};

/// Most connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;
/// Most bodies that are received and read at once, how long one more waits, and what it hears.
const MAX_BODIES: usize = 64;
const BODY_PATIENCE: Duration = Duration::from_secs(10);
const BODY_PAUSE: u32 = 5;
/// Most emails that attachments are being taken out of.
const MAX_UNPACKING: usize = 4;
/// Time for the head of the next request of a connection.
const HEAD_TIME: Duration = Duration::from_secs(75);
const HANDSHAKE_TIME: Duration = Duration::from_secs(20);
/// Largest head of a request, in bytes.
const MAX_HEAD: usize = 256 * 1024;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) limits: Limits,
    pub(crate) check_config: Option<CheckConfig>,
    pub(crate) vault: Option<Arc<Vault>>,
    pub(crate) exchange: Option<Arc<dyn Exchange>>,
    pub(crate) metrics: Metrics,
    pub(crate) converter: Converter,
    unpacking: Arc<Semaphore>,
    /// Tasks that finish their work before the server ends.
    pub(crate) tasks: TaskTracker,
    pub(crate) site: Site,
    pub(crate) people: People,
    pub(crate) passwords: Passwords,
    pub(crate) places: Places,
    attempts: Attempts,
    pub(crate) oidc: Option<Provider>,
    rates: Arc<Rates>,
    base_path: String,
    bodies: Semaphore,
    opened: Semaphore,
    draining: AtomicBool,
}

impl Shared {
    /// Charges an attempt to come in, unless there have been too many.
    pub(crate) fn attempt(
        &self,
        account: Option<&str>,
        from: IpAddr,
    ) -> Result<Attempt<'_>, Refusal> {
        self.attempts.begin(account, from, self.store.instant())
    }

    /// A place among those who take attachments out of emails, which are in memory for that.
    pub(crate) async fn place_for_unpacking(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let busy = || Refusal::busy("too many attachments at the same time", BODY_PAUSE);
        let place = Arc::clone(&self.unpacking).acquire_owned();
        timeout(BODY_PATIENCE, place).await.map_err(|_| busy())?.map_err(|_| busy())
    }

    /// A place among those whose bodies are received.
    pub(crate) async fn place_for_body(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Refusal> {
        let busy = || Refusal::busy("too many uploads at the same time", BODY_PAUSE);
        timeout(BODY_PATIENCE, self.bodies.acquire()).await.map_err(|_| busy())?.map_err(|_| busy())
    }

    /// A place among those who look into an email.
    pub(crate) async fn place_to_open(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Refusal> {
        let busy =
            || Refusal::busy("too many emails are being opened at the same time", BODY_PAUSE);
        timeout(BODY_PATIENCE, self.opened.acquire()).await.map_err(|_| busy())?.map_err(|_| busy())
    }

    async fn readiness(&self) -> Result<(), &'static str> {
        if self.draining.load(Ordering::Relaxed) {
            return Err("the server is about to end");
        }
        let answers = async { self.store.read().await?.quota("projects").await };
        match timeout(Duration::from_secs(2), answers).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err("the database does not answer"),
        }
    }
}

/// A server that has its port.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<SslAcceptor>,
    pub(crate) shared: Arc<Shared>,
}

impl Server {
    /// Takes the port.
    ///
    /// # Errors
    ///
    /// Somebody else has it, or it cannot be used; or the settings of OpenID Connect cannot.
    pub async fn bind(store: Store, options: Options) -> std::io::Result<Self> {
        let listener = TcpListener::bind(options.bind).await?;
        let address = listener.local_addr()?;
        let people = options.people;
        let tls = options.tls.is_some();
        let (public, proxies) = (people.public_url.as_ref(), &people.trusted_proxies);
        let site = Site::new(public, proxies, address, tls, &options.base_path);
        let oidc = people.oidc.clone().map(Provider::new).transpose()?;
        let shared = Shared {
            store,
            limits: options.limits,
            check_config: options.check_config,
            vault: options.vault,
            exchange: options.exchange,
            metrics: Metrics::default(),
            converter: Converter::new(options.convert, options.convert_time),
            unpacking: Arc::new(Semaphore::new(MAX_UNPACKING)),
            tasks: TaskTracker::new(),
            site,
            passwords: Passwords::default(),
            places: Places::default(),
            attempts: Attempts::default(),
            oidc,
            rates: Rates::new(people.rate),
            people,
            base_path: options.base_path,
            bodies: Semaphore::new(MAX_BODIES),
            opened: Semaphore::new(original::MAX_OPENED),
            draining: AtomicBool::new(false),
        };
        Ok(Self { listener, address, tls: options.tls, shared: Arc::new(shared) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `over`, and then for `grace` whoever has begun to ask.
    pub async fn serve(self, over: CancellationToken, grace: Duration) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let connections = TaskTracker::new();
        let converting = conversion::work(Arc::clone(&self.shared), over.clone());
        self.shared.tasks.spawn(converting);
        self.shared
            .tasks
            .spawn(crate::search_volume::rebuild(Arc::clone(&self.shared), over.clone()));
        connections.spawn(sweep::sweep(self.shared.store.clone(), over.clone()));
        loop {
            let accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, self.listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                () = over.cancelled() => break,
                accepted = accepted => accepted,
            };
            match (place, accepted) {
                (Ok(place), Ok((stream, from))) => {
                    let (tls, shared) = (self.tls.clone(), Arc::clone(&self.shared));
                    let over = over.clone();
                    connections.spawn(attend(stream, from.ip(), tls, shared, over, place));
                }
                (_, Err(error)) => {
                    // No file descriptors left, as a rule.
                    warn!("Could not accept a connection on `{}`: {error}", self.address);
                    sleep(Duration::from_millis(100)).await;
                }
                (Err(_), _) => break,
            }
        }
        self.shared.draining.store(true, Ordering::Relaxed);
        drop(self.listener);
        connections.close();
        self.shared.tasks.close();
        let last = async {
            connections.wait().await;
            self.shared.tasks.wait().await;
        };
        if timeout(grace, last).await.is_err() {
            info!("Requests that were under way are cut by the end of the process");
        }
    }
}

async fn attend(
    stream: TcpStream,
    from: IpAddr,
    tls: Option<SslAcceptor>,
    shared: Arc<Shared>,
    over: CancellationToken,
    _place: OwnedSemaphorePermit,
) {
    let done = async {
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let Some(acceptor) = tls else {
            return converse(stream, from, shared, over).await.map_err(|error| error.to_string());
        };
        let ssl = Ssl::new(acceptor.context()).map_err(|error| error.to_string())?;
        let mut stream = SslStream::new(ssl, stream).map_err(|error| error.to_string())?;
        let handshake = timeout(HANDSHAKE_TIME, Pin::new(&mut stream).accept()).await;
        handshake.map_err(|_| "the handshake was too slow")?.map_err(|error| error.to_string())?;
        converse(stream, from, shared, over).await.map_err(|error| error.to_string())
    };
    if let Err(error) = done.await {
        debug!(%from, "A connection ended: {error}");
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    from: IpAddr,
    shared: Arc<Shared>,
    over: CancellationToken,
) -> Result<(), hyper::Error> {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(Box::pin(answer(&shared, request, from)).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .max_headers(100)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        done = connection.as_mut() => return done,
        () = over.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

async fn answer(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
    from: IpAddr,
) -> Response<ReplyBody> {
    let began = Instant::now();
    let (parts, mut body) = request.into_parts();
    if let Some(reply) = probe(shared, &parts.method, parts.uri.path()).await {
        return reply.into_response();
    }
    if let Some(reply) = openapi::answer(&parts.method, parts.uri.path(), &shared.base_path) {
        return reply.into_response();
    }
    let head = Head::new(parts);
    let from = shared.site.caller(from, &head.parts.headers);
    if let Some(reply) = ui::answer(&head, &shared.base_path) {
        return reply.into_response();
    }
    let (op, outcome) = handle(shared, &head, &mut body, from).await;
    let reply = match outcome {
        Ok(reply) => reply,
        Err(refusal) => {
            // A connection that closes while the client writes would swallow the answer.
            request::dismiss(&head, &mut body).await;
            Reply::from(refusal)
        }
    };
    let took = began.elapsed();
    shared.metrics.answered(op, reply.status.as_u16(), took);
    debug!(
        op = op.map(tracing::field::debug), code = reply.status.as_u16(), client.address = %from,
        "Answered a request"
    );
    let timing = format!("total;dur={:.1}", took.as_secs_f64() * 1000.0);
    reply
        .with(HeaderName::from_static("server-timing"), timing)
        // Uploads may come compressed. Spec: RFC 9110 §12.5.3.
        .with(ACCEPT_ENCODING, "gzip")
        .with(CACHE_CONTROL, "no-store")
        .into_response()
}

/// Lets a request in and does what it asks. The order decides what a stranger learns: nothing
/// but that the token is not valid.
async fn handle(
    shared: &Arc<Shared>,
    head: &Head,
    body: &mut Incoming,
    from: IpAddr,
) -> (Option<Op>, Result<Reply, Refusal>) {
    let found = routes::find(&head.parts.method, head.parts.uri.path(), &shared.base_path);
    let op = found.as_ref().ok().map(|(route, _)| route.op);
    let outcome = async {
        if let Ok((route, _)) = &found
            && route.need == Need::Public
        {
            return public::answer(&Visit { shared, route, head, address: from }, body).await;
        }
        let mut session = shared.store.read().await?;
        let signed_in = Caller::sign_in(shared, &mut session, head, from).await;
        let caller = match signed_in {
            Ok(caller) => caller,
            Err(refusal) => return refuse_entry(shared, head, refusal),
        };
        let _place = shared.rates.enter(caller.grant.credential.id())?;
        let (route, named) = found?;
        let target = caller.enter(&mut session, route, &named).await?;
        // A long upload must not hold a snapshot.
        drop(session);
        if caller.grant.is_stale {
            let mut session = shared.store.write().await?;
            session.note_use(&caller.grant).await?;
            session.commit().await?;
        }
        head.check_query(route)?;
        let payload = request::take(shared, head, route, &target, body).await?;
        // A body takes as long as its sender wants: who was let in may have been shut out since.
        let (caller, target) = match payload {
            request::Payload::None => (caller, target),
            _ => {
                let mut session = shared.store.read().await?;
                let caller = match Caller::sign_in(shared, &mut session, head, from).await {
                    Ok(caller) => caller,
                    Err(refusal) => return refuse_entry(shared, head, refusal),
                };
                let target = caller.enter(&mut session, route, &named).await?;
                (caller, target)
            }
        };
        let call = Call { shared, route, named: &named, head, caller: &caller, target };
        again::perform(&call, payload).await
    };
    (op, Box::pin(outcome).await)
}

/// Refuses whoever could not be let in. A browser forgets a session that has ended.
fn refuse_entry(shared: &Shared, head: &Head, refusal: Refusal) -> Result<Reply, Refusal> {
    let ended = refusal.status == StatusCode::UNAUTHORIZED
        && !head.parts.headers.contains_key(AUTHORIZATION)
        && Cookie::Session.find(&shared.site, &head.parts.headers).is_some();
    if !ended {
        return Err(refusal);
    }
    Ok(Reply::from(refusal).with(SET_COOKIE, Cookie::Session.clear(&shared.site)))
}

/// Answers whoever watches the process. Needs no token, and shows no mail and no names.
async fn probe(shared: &Shared, method: &Method, path: &str) -> Option<Reply> {
    let text = |status, text: String| Reply::new(status, "text/plain; charset=utf-8", text.into());
    if !matches!(path, "/livez" | "/healthz" | "/readyz" | "/metrics") {
        return None;
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Some(text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned()));
    }
    let reply = match path {
        "/metrics" => {
            let ready = shared.readiness().await.is_ok();
            let queue = conversion::queue(shared).await;
            let kind = "text/plain; version=0.0.4; charset=utf-8";
            Reply::new(StatusCode::OK, kind, shared.metrics.text(ready, queue).into())
        }
        "/readyz" => match shared.readiness().await {
            Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
            Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        },
        _ => text(StatusCode::OK, "ok\n".to_owned()),
    };
    Some(reply.with(CACHE_CONTROL, "no-store"))
}
