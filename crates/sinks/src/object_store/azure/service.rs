//! The HTTP service under the library: signs, sends, waits and tries again, and judges answers.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
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
    azure::AzureAuthorizer,
    client::{
        HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
        HttpService,
    },
};
use record::{Clock, Meter, Peer};
use tokio::time::Instant;

use super::{
    answer::{Judge, Verdict, error_code},
    credential::Credentials,
    crypto::OpenSsl,
};
use crate::object_store::{
    failure::{Failure, Reason},
    store::CreateOnly,
};

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

/// Requests to one account.
pub(super) struct Service {
    client: Client,
    account: String,
    credentials: Credentials,
    meter: Arc<dyn Meter>,
    judge: Judge,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("account", &self.account).finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.send(request).await.map_err(|err| HttpError::new(HttpErrorKind::Unknown, err))
    }
}

/// A request as the library wants it, before it is signed.
struct Plain {
    parts: Parts,
    payload: Payload,
    operation: &'static str,
    /// It must not replace anything.
    creates: bool,
}

impl Service {
    pub(super) fn new(
        client: Client,
        account: String,
        place: String,
        credentials: Credentials,
        meter: Arc<dyn Meter>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let host = client.endpoint().name().to_owned();
        let judge = Judge { host, place, sas_ends_at: credentials.ends_at(), clock };
        Self { client, account, credentials, meter, judge }
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let request = Plain::new(request).await?;
        let began = Instant::now();
        let mut pause = PAUSE;
        let mut renewed = false;
        for attempt in 1.. {
            let credential = self.credentials.get(&self.judge.host).await?;
            let call = self.sign(&request, &credential)?;
            let (failure, wait) = match self.attempt(&request, call).await? {
                Outcome::Answer(answer) => return Ok(answer),
                Outcome::Unauthorized(failure) => {
                    if std::mem::replace(&mut renewed, true)
                        || !self.credentials.renew(&credential).await
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
            tracing::debug!(storage.host = %self.judge.host, operation = request.operation,
                attempt, wait_seconds = wait.as_secs_f64(), "Tries again: {failure}");
            tokio::time::sleep(wait).await;
            pause *= 2;
        }
        Err(Failure::Unavailable { host: self.judge.host.clone(), code: "no answer".to_owned() })
    }

    fn sign(
        &self,
        request: &Plain,
        credential: &object_store::azure::AzureCredential,
    ) -> Result<Call, Failure> {
        let mut signed = HttpRequest::new(HttpRequestBody::empty());
        *signed.method_mut() = request.parts.method.clone();
        *signed.uri_mut() = request.parts.uri.clone();
        *signed.headers_mut() = request.parts.headers.clone();
        AzureAuthorizer::new(credential, &self.account)
            .with_crypto(&OpenSsl)
            .try_authorize(&mut signed)
            .map_err(|err| {
                let cause = Reason::new(err);
                Failure::Unauthorized { host: self.judge.host.clone(), cause }
            })?;
        let target = signed.uri().path_and_query().map_or("/", |target| target.as_str());
        let mut call = Call::new(signed.method().clone(), target);
        call.headers = std::mem::take(signed.headers_mut());
        call.payload = request.payload.clone();
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
            let body = self.stream(reply.body);
            return Ok(Outcome::Answer(response(status, headers, body)));
        }
        let text = reply.body.collect(MAX_FAILURE).await.unwrap_or_default();
        let code = error_code(&reply.headers, &text);
        let verdict = self.judge.verdict(reply.status, code.as_deref(), &text, request.creates);
        Ok(match verdict {
            Verdict::Known(status) => {
                Outcome::Answer(response(status, HeaderMap::new(), bytes::Bytes::new().into()))
            }
            Verdict::Unauthorized(failure) => Outcome::Unauthorized(failure),
            Verdict::Failed(failure) => return Err(failure),
            Verdict::Later(failure) => {
                let wait = retry_after(&reply.headers);
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
        Failure::Unreachable { host: self.judge.host.clone(), cause: Reason::new(cause) }
    }

    /// The body of an answer as it comes in.
    fn stream(&self, body: net::Body<'static>) -> HttpResponseBody {
        let host = self.judge.host.clone();
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

impl Plain {
    async fn new(request: HttpRequest) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        if parts.extensions.get::<CreateOnly>().is_some() {
            parts.headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        let creates = parts.headers.get(IF_NONE_MATCH).is_some_and(|value| value == "*");
        let bytes = body.collect().await.map(http_body_util::Collected::to_bytes);
        let payload = match bytes.unwrap_or_default() {
            bytes if bytes.is_empty() && parts.method != Method::PUT => Payload::Empty,
            bytes => Payload::Bytes(bytes),
        };
        let operation = operation(&parts);
        Ok(Self { parts, payload, operation, creates })
    }
}

/// The operation as Azure's reference of the Blob service calls it.
fn operation(parts: &Parts) -> &'static str {
    let query = parts.uri.query().unwrap_or_default();
    let part = |wanted: &str| query.split('&').any(|part| part == wanted);
    match parts.method {
        Method::GET if part("comp=list") => "ListBlobs",
        Method::GET => "GetBlob",
        Method::HEAD => "GetBlobProperties",
        Method::PUT if part("comp=block") => "PutBlock",
        Method::PUT if part("comp=blocklist") => "PutBlockList",
        Method::PUT => "PutBlob",
        _ => "Other",
    }
}

fn response(status: StatusCode, headers: HeaderMap, body: HttpResponseBody) -> HttpResponse {
    let mut answer = response::Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// Seconds only: Azure does not send the form with a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// A stream that the library can share between threads, though nobody reads it from two.
struct Exclusive(std::sync::Mutex<BoxStream<'static, Result<Frame<bytes::Bytes>, HttpError>>>);

impl stream::Stream for Exclusive {
    type Item = Result<Frame<bytes::Bytes>, HttpError>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        // No lock is taken: whoever polls has it alone.
        let pieces = self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        pieces.poll_next_unpin(context)
    }
}
