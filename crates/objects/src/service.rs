//! The HTTP service under the library: signs, sends, waits and tries again, and judges answers.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::BoxStream};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::Frame,
    http::{request::Parts, response},
};
use net::{
    Call, Client, HeaderMap, HeaderValue, Method, NetError, Payload, Repeat, StatusCode,
    header::{IF_NONE_MATCH, RETRY_AFTER},
};
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
        HttpResponse, HttpResponseBody, HttpService,
    },
};
use record::{Meter, Peer};
use tokio::time::Instant;

use crate::failure::{Failure, Reason};

/// How often one request is sent.
const ATTEMPTS: u32 = 4;
/// No further attempt begins after this long; the engine tries again later.
const PATIENCE: Duration = Duration::from_secs(30);
/// First pause between two attempts; each further one is twice as long, plus up to half of it.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest pause that is waited for here.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Largest body of a failure that is looked at, in bytes.
const MAX_FAILURE: usize = 64 << 10;

/// What is to be done with an answer that is no success.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The library knows what it means: nothing is there, a condition does not hold.
    Known(StatusCode),
    Unauthorized(Failure),
    Later(Failure),
    Failed(Failure),
}

/// Who answers, and about what.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    pub(crate) host: String,
    /// `az://account/container` or `s3://bucket`.
    pub(crate) place: String,
}

impl Answers {
    pub(crate) fn unavailable(&self, status: StatusCode, code: &str) -> Verdict {
        let code = shown(status, code);
        Verdict::Later(Failure::Unavailable { host: self.host.clone(), code })
    }

    pub(crate) fn throttled(&self) -> Verdict {
        Verdict::Later(Failure::Throttled { host: self.host.clone(), retry_after: None })
    }

    pub(crate) fn denied(&self, status: StatusCode, code: &str, hint: Option<&str>) -> Verdict {
        Verdict::Failed(Failure::Denied {
            place: self.place.clone(),
            detail: shown(status, code),
            hint: hint.map(str::to_owned),
        })
    }
}

/// An answer that is no success.
pub(crate) struct Refused<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    /// It was an answer to a request that must not replace anything.
    pub(crate) creates: bool,
}

/// What differs between the services of different providers.
pub(crate) trait Protocol: fmt::Debug + Send + Sync + 'static {
    type Credential: Send + Sync;

    /// What signs the next request to `host`.
    fn credential(
        &self,
        host: &str,
    ) -> impl Future<Output = Result<Arc<Self::Credential>, Failure>> + Send;

    /// Forgets a credential that was refused. `false`: there is no other.
    fn renew(&self, refused: &Self::Credential) -> impl Future<Output = bool> + Send;

    /// The operation as the provider's reference calls it.
    fn operation(&self, parts: &Parts) -> &'static str;

    /// Whether it must not replace anything, though the library does not say so.
    fn creates(&self, parts: &Parts) -> bool;

    /// Signs a request, whose body is `payload`.
    fn sign(
        &self,
        request: &mut HttpRequest,
        payload: &[u8],
        credential: &Self::Credential,
    ) -> object_store::Result<()>;

    /// Whether the body of a success can say that it is none.
    fn may_hide_failure(&self, operation: &'static str) -> bool;

    fn verdict(&self, refused: &Refused<'_>) -> Verdict;
}

/// Requests to one account.
pub(crate) struct Service<P> {
    client: Client,
    protocol: Arc<P>,
    meter: Arc<dyn Meter>,
    host: String,
}

impl<P: Protocol> fmt::Debug for Service<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

#[async_trait]
impl<P: Protocol> HttpService for Service<P> {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.send(request).await.map_err(|err| HttpError::new(HttpErrorKind::Unknown, err))
    }
}

/// Hands the library our service.
#[derive(Debug)]
pub(crate) struct Connector(pub(crate) HttpClient);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}

/// A request as the library wants it, before it is signed.
struct Plain {
    parts: Parts,
    body: Bytes,
    operation: &'static str,
    /// It must not replace anything.
    creates: bool,
}

impl<P: Protocol> Service<P> {
    pub(crate) fn new(client: Client, protocol: Arc<P>, meter: Arc<dyn Meter>) -> Self {
        let host = client.endpoint().name().to_owned();
        Self { client, protocol, meter, host }
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let request = self.plain(request).await;
        let began = Instant::now();
        let mut pause = PAUSE;
        let mut renewed = false;
        for attempt in 1.. {
            let credential = self.protocol.credential(&self.host).await?;
            let call = self.sign(&request, &credential)?;
            let (failure, wait) = match self.attempt(&request, call).await? {
                Outcome::Answer(answer) => return Ok(answer),
                Outcome::Unauthorized(failure) => {
                    if std::mem::replace(&mut renewed, true)
                        || !self.protocol.renew(&credential).await
                    {
                        return Err(failure);
                    }
                    continue;
                }
                Outcome::Later(failure, wait) => (failure, wait),
            };
            let wait = wait.unwrap_or_else(|| pause + pause.mul_f64(rand::random::<f64>() / 2.0));
            let spent = began.elapsed() + wait > PATIENCE;
            if attempt >= ATTEMPTS || spent || wait > MAX_PAUSE {
                return Err(failure);
            }
            tracing::debug!(storage.host = %self.host, operation = request.operation,
                attempt, wait_seconds = wait.as_secs_f64(), "Tries again: {failure}");
            tokio::time::sleep(wait).await;
            pause *= 2;
        }
        Err(Failure::Unavailable { host: self.host.clone(), code: "no answer".to_owned() })
    }

    async fn plain(&self, request: HttpRequest) -> Plain {
        let (mut parts, body) = request.into_parts();
        if self.protocol.creates(&parts) {
            parts.headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        let creates = parts.headers.get(IF_NONE_MATCH).is_some_and(|value| value == "*");
        let body = body.collect().await.map(http_body_util::Collected::to_bytes);
        let operation = self.protocol.operation(&parts);
        Plain { parts, body: body.unwrap_or_default(), operation, creates }
    }

    fn sign(&self, request: &Plain, credential: &P::Credential) -> Result<Call, Failure> {
        let mut signed = HttpRequest::new(HttpRequestBody::empty());
        *signed.method_mut() = request.parts.method.clone();
        *signed.uri_mut() = request.parts.uri.clone();
        *signed.headers_mut() = request.parts.headers.clone();
        self.protocol.sign(&mut signed, &request.body, credential).map_err(|err| {
            let cause = Reason::new(err);
            Failure::Unauthorized { host: self.host.clone(), cause }
        })?;
        let target = signed.uri().path_and_query().map_or("/", |target| target.as_str());
        let mut call = Call::new(signed.method().clone(), target);
        call.headers = std::mem::take(signed.headers_mut());
        let is_empty = request.body.is_empty() && request.parts.method != Method::PUT;
        call.payload = match is_empty {
            true => Payload::Empty,
            false => Payload::Bytes(request.body.clone()),
        };
        // All of them may be repeated: what is written twice is refused the second time, and the
        // caller looks at what is there.
        call.repeat = Repeat::Safe;
        Ok(call)
    }

    async fn attempt(&self, request: &Plain, call: Call) -> Result<Outcome, Failure> {
        let asked = Instant::now();
        let reply = self.client.send(call).await;
        let code = match &reply {
            Ok(reply) => reply.status.as_str().to_owned(),
            Err(NetError::Timeout { .. }) => "timeout".to_owned(),
            Err(_) => "unreachable".to_owned(),
        };
        self.meter.request(Peer::Sink, request.operation, &code, asked.elapsed());
        let mut reply = match reply {
            Ok(reply) => reply,
            Err(err) => {
                let failure = self.lost(err);
                return Ok(Outcome::Later(failure, None));
            }
        };
        if reply.status.is_success() {
            let (status, headers) = (reply.status, std::mem::take(&mut reply.headers));
            if !self.protocol.may_hide_failure(request.operation) {
                let body = self.stream(reply.body);
                return Ok(Outcome::Answer(response(status, headers, body)));
            }
            let text = match reply.body.collect(MAX_FAILURE).await {
                Ok(text) => text,
                Err(err) => return Ok(Outcome::Later(self.lost(err), None)),
            };
            if !hides_failure(&text) {
                return Ok(Outcome::Answer(response(status, headers, text.into())));
            }
            return self.judge(request, StatusCode::INTERNAL_SERVER_ERROR, &headers, &text);
        }
        let text = reply.body.collect(MAX_FAILURE).await.unwrap_or_default();
        self.judge(request, reply.status, &reply.headers, &text)
    }

    fn judge(
        &self,
        request: &Plain,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Outcome, Failure> {
        let creates = request.creates;
        Ok(match self.protocol.verdict(&Refused { status, headers, body, creates }) {
            Verdict::Known(status) => {
                Outcome::Answer(response(status, HeaderMap::new(), Bytes::new().into()))
            }
            Verdict::Unauthorized(failure) => Outcome::Unauthorized(failure),
            Verdict::Failed(failure) => return Err(failure),
            Verdict::Later(failure) => {
                let wait = retry_after(headers);
                match failure {
                    Failure::Throttled { host, .. } => {
                        Outcome::Later(Failure::Throttled { host, retry_after: wait }, wait)
                    }
                    other => Outcome::Later(other, wait),
                }
            }
        })
    }

    fn lost(&self, err: NetError) -> Failure {
        let hint = err.hint();
        let cause: Box<dyn std::error::Error + Send + Sync> = match hint {
            Some(hint) => format!("{}. {hint}", record::Chain(&err)).into(),
            None => Box::new(err),
        };
        Failure::Unreachable { host: self.host.clone(), cause: Reason::new(cause) }
    }

    /// The body of an answer as it comes in.
    fn stream(&self, body: net::Body<'static>) -> HttpResponseBody {
        let host = self.host.clone();
        let pieces = stream::unfold(Some(body), move |body| {
            let host = host.clone();
            async move {
                let mut body = body?;
                match body.chunk().await {
                    Ok(Some(piece)) => Some((Ok(Frame::data(piece)), Some(body))),
                    Ok(None) => None,
                    Err(err) => {
                        let failure = Failure::Unreachable { host, cause: Reason::new(err) };
                        Some((Err(HttpError::new(HttpErrorKind::Unknown, failure)), None))
                    }
                }
            }
        });
        HttpResponseBody::new(StreamBody::new(Exclusive(std::sync::Mutex::new(pieces.boxed()))))
    }
}

enum Outcome {
    Answer(HttpResponse),
    /// A new token may help.
    Unauthorized(Failure),
    /// Another attempt may help, after exactly this long or after a growing pause.
    Later(Failure, Option<Duration>),
}

/// Whether a body is that of a failure. Spec: "`CompleteMultipartUpload`", Amazon S3 API Reference.
fn hides_failure(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("<Error>")
}

/// The code of a failure that is told in XML.
pub(crate) fn code_in_xml(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    Some(text.split_once("<Code>")?.1.split_once("</Code>")?.0)
}

/// Whether it looks like a code, and may be shown.
pub(crate) fn is_code(code: &str) -> bool {
    !code.is_empty() && code.len() <= 80 && code.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// `HTTP 404 ContainerNotFound`.
pub(crate) fn shown(status: StatusCode, code: &str) -> String {
    match code {
        "" => format!("HTTP {}", status.as_u16()),
        code => format!("HTTP {} {code}", status.as_u16()),
    }
}

fn response(status: StatusCode, headers: HeaderMap, body: HttpResponseBody) -> HttpResponse {
    let mut answer = response::Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// Seconds only: neither provider sends the form with a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// A stream that the library can share between threads, though nobody reads it from two.
struct Exclusive(std::sync::Mutex<BoxStream<'static, Result<Frame<Bytes>, HttpError>>>);

impl stream::Stream for Exclusive {
    type Item = Result<Frame<Bytes>, HttpError>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        // No lock is taken: whoever polls has it alone.
        let pieces = self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        pieces.poll_next_unpin(context)
    }
}
