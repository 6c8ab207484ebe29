//! A request: its head, and its body as the route wants it.

use std::{sync::Arc, time::Duration};

use hyper::{
    StatusCode,
    body::{Body, Incoming},
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderName},
    http::request::Parts,
};
use serde_json::Value;
use store::{NewEmail, Staged};

use crate::{
    access::Target,
    body::{BODY_TIME, Measured, drain, receive},
    comment_shape::{Written, read_comments},
    emails::read_upload,
    form,
    json::Json,
    raw_emails::RawEmails,
    raw_upload::{self, Upload},
    refusal::Refusal,
    routes::{ANY, Content, Need, Op, Route},
    schema::wrong,
    server::Shared,
};

/// Largest JSON that is no upload, in bytes.
const MAX_JSON: u64 = 1024 * 1024;
/// Of those who have not said yet who they are, and the time that they have.
const MAX_PUBLIC: u64 = 16 * 1024;
const PUBLIC_TIME: Duration = Duration::from_secs(10);
/// Largest sync state. The text of thousands of mailboxes has megabytes.
const MAX_STATE: u64 = 32 * 1024 * 1024;
/// Largest configuration.
const MAX_CONFIG: u64 = 16 * 1024 * 1024;

/// Largest upload of comments: all of them are in memory at once.
const MAX_COMMENTS: u64 = 64 * 1024 * 1024;
/// Largest file of comma-separated values, for the same reason.
const MAX_CSV: u64 = 32 * 1024 * 1024;
/// Largest upload of raw emails; one HTML text may have 32 million characters.
const MAX_RAW_EMAILS: u64 = 256 * 1024 * 1024;

/// A request without its body.
pub(crate) struct Head {
    pub(crate) parts: Parts,
    query: Vec<(String, String)>,
}

/// What came with a request.
#[derive(Clone)]
pub(crate) enum Payload {
    None,
    Json(Value),
    Emails(Vec<NewEmail>),
    Comments(Vec<Written>),
    RawEmails(RawEmails),
    /// A file that is read at once.
    Bytes(Vec<u8>),
    File(Staged),
}

impl Payload {
    pub(crate) fn json(self) -> Result<Value, Refusal> {
        match self {
            Self::Json(value) => Ok(value),
            _ => Err(Refusal::invalid("the body must be a JSON object")),
        }
    }
}

impl Head {
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

    pub(crate) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.parameters(name).next() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(wrong(name, "expected true or false")),
        }
    }

    pub(crate) fn check_query(&self, route: &Route) -> Result<(), Refusal> {
        let unknown = |(name, _): &&(String, String)| {
            route.query != ANY && !route.query.contains(&name.as_str())
        };
        if let Some((name, _)) = self.query.iter().find(unknown) {
            return Err(wrong(name, "unknown query parameter"));
        }
        match self.query.iter().find(|(_, value)| value.contains('\0')) {
            Some((name, _)) => Err(wrong(name, "the character U+0000 is not allowed")),
            None => Ok(()),
        }
    }

    fn is_json(&self) -> bool {
        self.header(CONTENT_TYPE)
            .and_then(|kind| kind.split(';').next())
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    }
}

/// Reads the rest of a body that nobody wants, unless the client waits to be asked for it.
pub(crate) async fn dismiss(head: &Head, body: &mut Incoming) {
    if head.header(EXPECT).is_none() && !body.is_end_stream() {
        drain(body).await;
    }
}

/// Receives the body and reads it as the route wants it.
pub(crate) async fn take(
    shared: &Arc<Shared>,
    head: &Head,
    route: &Route,
    target: &Target,
    body: &mut Incoming,
) -> Result<Payload, Refusal> {
    let limit = match (route.content, route.op) {
        (Content::Nothing, _) => return Ok(Payload::None),
        (Content::Json, _) => MAX_JSON,
        (Content::State, _) => MAX_STATE,
        (Content::File, Op::PutConfig) => MAX_CONFIG,
        (Content::File, Op::SniffCsv | Op::SyncCsv) => MAX_CSV,
        (Content::Comments, _) => MAX_COMMENTS,
        (Content::RawEmails, _) => MAX_RAW_EMAILS,
        (Content::Emails | Content::File, _) => shared.limits.max_body,
    }
    .min(shared.limits.max_body);
    let gzip = match head.header(CONTENT_ENCODING) {
        None | Some("identity") => false,
        Some("gzip") => true,
        Some(coding) => {
            let message = format!("the content coding `{coding}` is not supported");
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
    };
    let length = head.header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
    if length.is_some_and(|length: u64| length > limit) {
        return Err(Refusal::too_large(limit));
    }
    if route.content != Content::File && !head.is_json() {
        let message = "the `Content-Type` must be `application/json`";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let boundary = head.header(CONTENT_TYPE).and_then(form::boundary);
    let folder = shared.store.temporary_folder();
    let (_place, received) = if route.need == Need::Public {
        // Strangers get no place, or they could keep all of them: a name and a password are short.
        (None, receive(body, limit.min(MAX_PUBLIC), PUBLIC_TIME, &folder).await?)
    } else {
        let place = shared.place_for_body().await?;
        (Some(place), receive(body, limit, BODY_TIME, &folder).await?)
    };
    let mut staging = shared.store.staging();
    let max_emails = shared.limits.max_emails;
    let (content, op) = (route.content, route.op);
    if content == Content::RawEmails {
        let source = target.source.as_ref();
        let tag = source.and_then(|source| source.details.transform_tag.clone());
        let upload = Upload { received, gzip, limit, tag };
        return raw_upload::read(shared, upload).await.map(Payload::RawEmails);
    }
    // Parsing and compressing keep a processor busy.
    let parsed = tokio::task::spawn_blocking(move || {
        let mut input = received.reader(gzip, limit)?;
        match (content, op) {
            (Content::Emails, _) => {
                read_upload(&mut input, &mut staging, max_emails).map(Payload::Emails)
            }
            (Content::Comments, _) => read_comments(&mut input).map(Payload::Comments),
            (Content::File, Op::PutConfig | Op::SniffCsv | Op::SyncCsv) => {
                let mut config = Vec::new();
                file(&mut input, boundary.as_deref(), &mut |piece| {
                    config.extend_from_slice(piece);
                    Ok(())
                })?;
                Ok(Payload::Bytes(config))
            }
            (Content::File, _) => {
                let mut content = staging.begin();
                file(&mut input, boundary.as_deref(), &mut |piece| Ok(content.write(piece)?))?;
                Ok(Payload::File(content.finish()?))
            }
            _ => {
                let mut json = Json::new(&mut input);
                let value = json.value("body")?;
                json.end()?;
                Ok(Payload::Json(value))
            }
        }
    });
    let parsed = parsed.await.unwrap_or_else(|error| {
        tracing::error!("Reading a body did not end: {error}");
        let message = "the server could not read the body; its log has the reason";
        Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message))
    })?;
    match &parsed {
        Payload::Emails(emails) => {
            let contents: Vec<_> = emails.iter().map(|email| &email.content).collect();
            shared.store.send_ahead(&contents).await?;
        }
        Payload::File(content) => shared.store.send_ahead(&[content]).await?,
        _ => {}
    }
    Ok(parsed)
}

fn file(
    input: &mut Measured,
    boundary: Option<&str>,
    take: &mut dyn FnMut(&[u8]) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    use std::io::Read;
    if let Some(boundary) = boundary {
        return form::file(input, boundary, take);
    }
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = input.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        take(piece.get(..read).unwrap_or_default())?;
    }
}
