//! A request: its envelope, and its body as the operation wants it.

use std::{
    io::{self, Read},
    sync::Arc,
};

use hyper::{
    StatusCode,
    body::{Body, Incoming},
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderName},
    http::request::Parts,
};
use percent_encoding::percent_decode_str;

use super::{
    body::{Reading, Received, Search, receive, too_large},
    email::read_upload,
    fault::Occasion,
    json::Json,
    log::Op,
    ops::Payload,
    options::Limits,
    refusal::Refusal,
    route::{BucketName, Route},
    schema::wrong,
    server::Shared,
};

/// A request without its body.
pub(crate) struct Envelope {
    pub(crate) parts: Parts,
    query: Vec<(String, String)>,
}

impl Envelope {
    pub(crate) fn new(parts: Parts) -> Self {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let query = url::form_urlencoded::parse(query).into_owned().collect();
        Self { parts, query }
    }

    pub(crate) fn header(&self, name: HeaderName) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn parameters(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.query.iter().filter(move |(own, _)| own == name);
        named.map(|(_, value)| value.as_str())
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters(name).next()
    }

    pub(crate) fn check(&self, op: Op) -> Result<(), Refusal> {
        let unknown = |(name, _): &&(String, String)| !op.parameters().contains(&name.as_str());
        match self.query.iter().find(unknown) {
            Some((name, _)) => Err(wrong(name, "unknown query parameter")),
            None => Ok(()),
        }
    }

    /// Whether a secret stands where everybody who keeps logs can see it.
    pub(crate) fn leaks(&self, secrets: Arc<[Vec<u8>]>) -> bool {
        let mut search = Search::new(secrets);
        let uri = self.parts.uri.to_string();
        search.feed(uri.as_bytes());
        search.feed(b"\n");
        search.feed(&percent_decode_str(&uri).collect::<Vec<_>>());
        for (_, value) in self.parts.headers.iter().filter(|(name, _)| *name != AUTHORIZATION) {
            search.feed(b"\n");
            search.feed(value.as_bytes());
        }
        search.found
    }
}

/// Reads the body, as its operation wants it. The body of a request that is refused is read too:
/// a connection that closes while the client writes would swallow the answer.
pub(crate) async fn take(
    shared: &Shared,
    envelope: &Envelope,
    route: &Route,
    access: Result<(), Refusal>,
    body: Incoming,
) -> (Result<Payload, Refusal>, Received<()>) {
    let (limits, secrets) = {
        let settings = shared.settings();
        (settings.limits, Arc::clone(&settings.secrets))
    };
    let nothing = |content| Received { content, wire_bytes: 0, decoded_bytes: 0, leaked: false };
    let gzip = match envelope.header(CONTENT_ENCODING) {
        None | Some("identity") => Ok(false),
        Some("gzip") if shared.options.accepts_gzip => Ok(true),
        Some(coding) => {
            let message = format!("the content coding `{coding}` is not supported");
            Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
        }
    };
    let length = envelope.header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let large = length.is_some_and(|length: u64| length > limits.max_body);
    let access = access.and_then(|()| gzip.clone().map(drop));
    let access = access.and_then(|()| if large { Err(too_large(limits.max_body)) } else { Ok(()) });
    // A client that waits for `100 Continue` has sent nothing yet, and need not.
    if let (Err(refusal), Some(_)) = (&access, envelope.header(EXPECT)) {
        return (Err(refusal.clone()), nothing(Ok(())));
    }
    let wanted = access.is_ok().then_some(route.op);
    let bodiless = wanted.is_none_or(|op| !op.takes_json() && op != Op::PutConfig);
    if body.is_end_stream() && bodiless {
        return (access.map(|()| Payload::None), nothing(Ok(())));
    }
    let bucket = route.bucket.as_ref().map(BucketName::text);
    let occasion = Occasion { op: route.op, bucket: bucket.as_deref(), emails: &[], body: 0 };
    let fault = access.is_ok().then(|| shared.faults.strike_early(occasion)).flatten();
    let is_json = envelope.header(CONTENT_TYPE).is_some_and(|kind| {
        kind.split(';').next().is_some_and(|kind| kind.trim() == "application/json")
    });
    let keep_bodies = shared.options.keep_bodies;
    let gzip = gzip.unwrap_or_default() && access.is_ok();
    let reading = Reading { gzip, limit: limits.max_body, secrets, fault };
    let received = receive(body, reading, move |input| {
        let payload = parse(input, wanted, is_json, keep_bodies, limits);
        // What follows an error is read as well, for its length and for secrets in it.
        io::copy(input, &mut io::sink()).ok();
        payload
    })
    .await;
    let Received { content, wire_bytes, decoded_bytes, leaked } = received;
    let payload = access.and(content);
    (payload, Received { content: Ok(()), wire_bytes, decoded_bytes, leaked })
}

fn parse(
    input: &mut dyn Read,
    wanted: Option<Op>,
    is_json: bool,
    keep_bodies: bool,
    limits: Limits,
) -> Result<Payload, Refusal> {
    let Some(op) = wanted else { return Ok(Payload::None) };
    if op == Op::PutConfig {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        return Ok(Payload::Raw(bytes));
    }
    if !op.takes_json() {
        return Ok(Payload::None);
    }
    if !is_json {
        let message = "the `Content-Type` must be `application/json`";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    if op == Op::PutEmails {
        return read_upload(input, keep_bodies, limits).map(Payload::Emails);
    }
    let mut json = Json::new(input);
    let value = json.value("body")?;
    json.end()?;
    Ok(Payload::Json(value))
}
