//! Requests to the platform: address, token, pauses, repetitions.

use std::{
    fmt,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use net::{
    BadEndpoint, Call, Client, Endpoint, HeaderMap, HeaderValue, Method, NetError, Payload,
    StatusCode, Transport, bearer,
    header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use record::{Clock, Meter, Peer, Secret};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::failure::Failure;

/// Longest pause that is believed.
const MAX_PAUSE: Duration = Duration::from_secs(3600);
/// Time for the whole of an answer once it has begun.
const ANSWER_TIME: Duration = Duration::from_secs(120);
/// Connections beside those of the uploads.
const SPARE_CONNECTIONS: usize = 2;

/// All but the unreserved characters. Spec: RFC 3986 §2.3.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How long a request is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// First wait; it doubles each time.
    pub first: Duration,
    pub longest: Duration,
    /// Time after which a request is not tried again.
    pub total: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
            total: Duration::from_secs(120),
        }
    }
}

/// What is needed to talk to the platform.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// `https://<domain>/api/`, with or without the slash, with or without `/api`.
    pub endpoint: String,
    pub token: Secret,
    /// Uploads at a time; 0 counts as 1.
    pub max_concurrent_uploads: usize,
    pub transport: Transport,
    pub meter: Arc<dyn Meter>,
    pub retry: Retry,
}

/// The settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadApi {
    #[error("the API endpoint cannot be used")]
    Endpoint(#[from] BadEndpoint),
    #[error("the API endpoint has a query or fragment, which does not belong there")]
    Query,
    #[error("the API token is empty or has characters that no token has")]
    Token,
}

/// The platform. Clones share connections, pauses and what was learnt of the server.
#[derive(Clone)]
pub struct Api(Arc<Shared>);

struct Shared {
    client: Client,
    /// What comes before `/api/`.
    base: String,
    token: Secret,
    authorization: HeaderValue,
    clock: Arc<dyn Clock>,
    meter: Arc<dyn Meter>,
    retry: Retry,
    /// No request before then.
    pause: Mutex<Option<Instant>>,
    /// The server has said that it takes compressed bodies.
    takes_gzip: AtomicBool,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Api({}{})", self.host(), self.0.base)
    }
}

/// One request.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) operation: &'static str,
    pub(super) method: Method,
    /// What follows the base: `/api/v1/…`.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload,
    /// Largest answer, in bytes.
    pub(super) max_answer: usize,
    /// Whether the answer may be compressed.
    pub(super) gzip: bool,
    /// Whether a pause that is asked for in reply concerns all requests.
    pub(super) pauses_all: bool,
}

/// What came back, whatever it says.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Ask {
    pub(super) fn new(operation: &'static str, method: Method, path: String) -> Self {
        let (headers, payload) = (HeaderMap::new(), Payload::Empty);
        Self {
            operation,
            method,
            path,
            headers,
            payload,
            max_answer: 1 << 20,
            gzip: true,
            pauses_all: true,
        }
    }

    pub(super) fn json(mut self, body: Vec<u8>) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.payload = Payload::Bytes(body.into());
        self
    }
}

/// One segment of a path.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

impl Api {
    /// Checks the settings. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`BadApi`]. It does not repeat the token.
    pub fn new(settings: ApiSettings) -> Result<Self, BadApi> {
        let ApiSettings { endpoint, token, max_concurrent_uploads, transport, meter, retry } =
            settings;
        if endpoint.contains(['?', '#']) {
            return Err(BadApi::Query);
        }
        let url = endpoint.trim().trim_end_matches('/');
        let url = url.strip_suffix("/api").unwrap_or(url).trim_end_matches('/');
        let clock = Arc::clone(&transport.clock);
        let endpoint = Endpoint::new(url, transport)?;
        let after_scheme = url.split_once("://").map_or("", |(_, rest)| rest);
        let base = after_scheme.find('/').and_then(|at| after_scheme.get(at..)).unwrap_or_default();
        let plain = token.reveal().bytes().all(|byte| byte.is_ascii_graphic());
        let authorization = bearer(&token).filter(|_| plain && !token.reveal().is_empty());
        let authorization = authorization.ok_or(BadApi::Token)?;
        let connections = max_concurrent_uploads.max(1).saturating_add(SPARE_CONNECTIONS);
        let connections = NonZeroUsize::new(connections).unwrap_or(NonZeroUsize::MIN);
        Ok(Self(Arc::new(Shared {
            client: Client::new(endpoint, connections),
            base: base.to_owned(),
            token,
            authorization,
            clock,
            meter,
            retry,
            pause: Mutex::new(None),
            takes_gzip: AtomicBool::new(false),
        })))
    }

    pub fn host(&self) -> &str {
        self.0.client.endpoint().name()
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    pub(super) fn takes_gzip(&self) -> bool {
        self.0.takes_gzip.load(Ordering::Relaxed)
    }

    pub(super) fn stop_gzip(&self) {
        self.0.takes_gzip.store(false, Ordering::Relaxed);
    }

    /// Asks, and asks again while that may help and there is time; grants are JSON with
    /// `"status":"ok"`.
    pub(super) async fn grant(&self, ask: &Ask) -> Result<Answer, Failure> {
        self.persist(|| self.grant_once(ask)).await
    }

    /// Repeats `attempt` with growing waits.
    pub(super) async fn persist<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<T, Failure> {
        let mut tries = self.tries();
        loop {
            match attempt().await {
                Err(failure) if failure.is_passing() => tries.wait(failure).await?,
                ended => return ended,
            }
        }
    }

    pub(super) fn tries(&self) -> Tries<'_> {
        let retry = self.0.retry;
        Tries { api: self, next: retry.first, ends: Instant::now() + retry.total, count: 0 }
    }

    pub(super) async fn grant_once(&self, ask: &Ask) -> Result<Answer, Failure> {
        let answer = self.ask_once(ask).await?;
        let retry_after = retry_after(&answer.headers, self.now());
        let granted = Failure::of_answer(answer.status, retry_after, &answer.body, &self.0.token);
        granted.map(|()| answer)
    }

    /// What an answer other than 200 means.
    pub(super) fn refusal(&self, answer: &Answer) -> Failure {
        let retry_after = retry_after(&answer.headers, self.now());
        let read = Failure::of_answer(answer.status, retry_after, &answer.body, &self.0.token);
        read.err().unwrap_or(Failure::NotThePlatform(200))
    }

    /// Asks once, whatever the answer is, after any pause that the server asked for.
    pub(super) async fn ask_once(&self, ask: &Ask) -> Result<Answer, Failure> {
        self.wait_for_pause().await?;
        let started = Instant::now();
        let result = self.exchange(ask).await;
        let code = match &result {
            Ok(answer) => answer.status.to_string(),
            Err(NetError::Timeout { .. }) => "timeout".to_owned(),
            Err(_) => "unreachable".to_owned(),
        };
        self.0.meter.request(Peer::Sink, ask.operation, &code, started.elapsed());
        let answer = result.map_err(Failure::Lost)?;
        if let Some(value) = answer.headers.get(ACCEPT_ENCODING) {
            self.0.takes_gzip.store(names_gzip(value), Ordering::Relaxed);
        }
        if let (429 | 503, Some(pause)) = (answer.status, retry_after(&answer.headers, self.now()))
            && ask.pauses_all
        {
            self.note_pause(pause);
        }
        Ok(answer)
    }

    async fn exchange(&self, ask: &Ask) -> Result<Answer, NetError> {
        let mut call = Call::new(ask.method.clone(), format!("{}{}", self.0.base, ask.path));
        call.headers.clone_from(&ask.headers);
        call.headers.insert(AUTHORIZATION, self.0.authorization.clone());
        call.payload = ask.payload.clone();
        call.gzip = ask.gzip;
        let mut reply = self.0.client.send(call).await?;
        let reading = timeout(ANSWER_TIME, reply.body.collect(ask.max_answer)).await;
        let host = || self.host().to_owned();
        let body = match reading {
            Ok(Ok(body)) => body,
            // The status says enough; a proxy's page may be of any size.
            Ok(Err(NetError::TooLarge { .. })) if reply.status != StatusCode::OK => Bytes::new(),
            Ok(Err(err)) => return Err(err),
            Err(_) => {
                let stage = net::Stage::Body;
                return Err(NetError::Timeout { host: host(), stage, limit: ANSWER_TIME });
            }
        };
        Ok(Answer { status: reply.status.as_u16(), headers: reply.headers, body })
    }

    async fn wait_for_pause(&self) -> Result<(), Failure> {
        let until = *self.0.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(until) = until else { return Ok(()) };
        let left = until.saturating_duration_since(Instant::now());
        if left > self.0.retry.total {
            return Err(Failure::Throttled(Some(left)));
        }
        sleep_until(until).await;
        Ok(())
    }

    fn note_pause(&self, pause: Duration) {
        let until = Instant::now() + pause.min(MAX_PAUSE);
        let mut noted = self.0.pause.lock().unwrap_or_else(PoisonError::into_inner);
        *noted = Some(noted.map_or(until, |noted| noted.max(until)));
    }
}

/// The attempts of one request.
pub(super) struct Tries<'a> {
    api: &'a Api,
    next: Duration,
    ends: Instant,
    pub(super) count: u32,
}

impl Tries<'_> {
    /// Waits for the next attempt, or gives `failure` back when the time is over.
    pub(super) async fn wait(&mut self, failure: Failure) -> Result<(), Failure> {
        self.count += 1;
        // Different for each request, so that those that failed together do not come together.
        let wait = self.next.mul_f64(rand::random_range(0.5..1.0));
        self.next = (self.next * 2).min(self.api.0.retry.longest);
        let pause = match failure {
            Failure::Throttled(Some(pause)) => pause.max(wait),
            _ => wait,
        };
        if Instant::now() + pause > self.ends {
            return Err(failure);
        }
        sleep(pause).await;
        Ok(())
    }
}

/// Whether `Accept-Encoding` of an answer names gzip. Spec: RFC 7694 §3, RFC 9110 §12.5.3.
fn names_gzip(value: &HeaderValue) -> bool {
    let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
    text.split(',').any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok());
        matches!(name.trim(), "gzip" | "x-gzip") && weight != Some(0.0)
    })
}

/// The pause that an answer asks for: seconds, or a date. Spec: RFC 9110 §10.2.3.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds).min(MAX_PAUSE));
    }
    let at = DateTime::parse_from_rfc2822(text).ok()?;
    Some((at.to_utc() - now).to_std().unwrap_or_default().min(MAX_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_read_in_both_forms() {
        let now = DateTime::parse_from_rfc3339("2026-01-02T03:04:05Z").unwrap().to_utc();
        let check = |text: &str, expected: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{text}");
        };
        check("7", Some(7));
        check("Fri, 02 Jan 2026 03:05:05 GMT", Some(60));
        check("Fri, 02 Jan 2026 03:00:00 GMT", Some(0));
        check("99999999999", Some(3600));
        check("soon", None);
    }

    #[test]
    fn gzip_is_used_only_where_it_is_named() {
        for (text, expected) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("*", false),
        ] {
            assert_eq!(names_gzip(&HeaderValue::from_static(text)), expected, "{text}");
        }
    }
}
