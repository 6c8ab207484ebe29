//! Emails: how they come in, and how they go out.

use std::{io, time::Duration};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use store::{ContentReader, Email, EmailQuery, NewEmail, Staged, Staging, Store};
use tokio::{sync::mpsc, time::timeout};

use crate::{
    call::Call,
    json::{Json, twice},
    refusal::Refusal,
    reply::{Reply, escape, ok},
    request::Payload,
    routes::Op,
    schema::{
        Fields, any_text, flag, inner_text, is_hex, list, natural, show, text, time, top, wrong,
    },
    uploads,
};

/// Emails of a page, unless the request says how many.
const PAGE: usize = 64;
/// Most emails that one request deletes.
const MAX_DELETED: usize = 1000;
/// Bytes of a content that are read at once.
pub(crate) const PIECE: usize = 64 * 1024;
/// Pieces that wait for the client, and how long they do.
pub(crate) const PIECES: usize = 4;
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The one field that is not read as a value: it can be large.
const CONTENT: &str = "mime_content";

/// Reads the body of an upload, one piece of one email at a time.
pub(crate) fn read_upload(
    input: &mut dyn io::Read,
    staging: &mut Staging,
    max_emails: usize,
) -> Result<Vec<NewEmail>, Refusal> {
    let mut json = Json::new(input);
    let mut emails = None;
    json.object("body", |json, name| {
        if name != "emails" {
            return Err(wrong(&name, "unknown field"));
        }
        if emails.is_some() {
            return Err(twice("body", name));
        }
        let mut found = Vec::new();
        json.array("emails", |json, number| {
            if number == max_emails {
                let most = format_args!("expected at most {max_emails} emails");
                return Err(wrong("emails", most));
            }
            found.push(read_email(json, &format!("emails[{number}]"), staging)?);
            Ok(())
        })?;
        emails = Some(found);
        Ok(())
    })?;
    json.end()?;
    emails.ok_or_else(|| wrong("emails", "this field is required"))
}

fn read_email<R: io::Read>(
    json: &mut Json<R>,
    path: &str,
    staging: &mut Staging,
) -> Result<NewEmail, Refusal> {
    let mut others = Map::new();
    let mut content: Option<Staged> = None;
    json.object(path, |json, name| {
        let own = format!("{path}.{name}");
        if name != CONTENT {
            let value = json.value(&own)?;
            return match others.insert(name.clone(), value) {
                None => Ok(()),
                Some(_) => Err(twice(path, name)),
            };
        }
        if content.is_some() {
            return Err(twice(path, name));
        }
        let mut writer = staging.begin();
        json.string(&own, &mut |piece| {
            // Databases that keep text cannot keep this character.
            if memchr::memchr(0, piece).is_some() {
                return Err(wrong(&own, "the character U+0000 is not allowed"));
            }
            Ok(writer.write(piece)?)
        })?;
        content = Some(writer.finish()?);
        Ok(())
    })?;
    let mut fields = Fields::of(path, Value::Object(others))?;
    let id = fields.required("id", text(1, 4096))?;
    let mailbox = fields.required("mailbox", text(1, 1024))?;
    let sent_at = fields.required("timestamp", time)?;
    let metadata = fields.optional("metadata", metadata)?;
    let attachments = fields.optional("attachments", list(attachment))?.unwrap_or_default();
    fields.finish()?;
    let missing = || wrong(&format!("{path}.{CONTENT}"), "this field is required");
    let content = content.ok_or_else(missing)?;
    Ok(NewEmail {
        id,
        mailbox,
        sent_at,
        metadata: metadata.map(|metadata| metadata.to_string()),
        attachments: Value::Array(attachments).to_string(),
        content,
    })
}

fn metadata(path: &str, value: Value) -> Result<Value, Refusal> {
    let mut fields = Fields::of(path, value.clone())?;
    for name in ["sensitivity", "importance", "conversation_id", "conversation_topic"] {
        fields.optional(name, any_text)?;
    }
    for name in ["categories", "folder"] {
        fields.optional(name, list(any_text))?;
    }
    for name in ["has_attachments", "is_read"] {
        fields.optional(name, flag)?;
    }
    fields.optional("size", natural)?;
    fields.optional("received_at", time)?;
    fields.finish()?;
    Ok(value)
}

fn attachment(path: &str, value: Value) -> Result<Value, Refusal> {
    let mut fields = Fields::of(path, value.clone())?;
    fields.required("name", inner_text(0, 256))?;
    fields.required("size", natural)?;
    fields.required("content_type", inner_text(0, 256))?;
    fields.optional("inline", flag)?;
    fields.optional("attachment_reference", inner_text(0, 128))?;
    fields.optional("content_hash", |path, value| {
        let hash = any_text(path, value)?;
        if is_hex(&hash, 64..=64) { Ok(()) } else { Err(wrong(path, "expected 64 hex digits")) }
    })?;
    fields.finish()?;
    Ok(value)
}

pub(crate) async fn put(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let no_charge = call.head.flag("no_charge")?;
    let Payload::Emails(emails) = payload else {
        return Err(wrong("emails", "this field is required"));
    };
    let count = emails.len() as u64;
    let mut session = call.shared.store.write().await?;
    // It may be gone since it was looked for.
    let bucket = call.bucket_again(&mut session).await?;
    session.put_emails(&bucket.id, emails, no_charge).await?;
    let full_name = format!("{}/{}", bucket.owner, bucket.name);
    let project = (&*bucket.project_id, &*bucket.owner);
    uploads::note(call, &mut session, ("bucket", &full_name), project).await?;
    session.commit().await?;
    call.shared.converter.wake();
    call.shared.metrics.accepted(count);
    Ok(Reply::ok())
}

pub(crate) async fn delete(call: &Call<'_>) -> Result<Reply, Refusal> {
    let ids: Vec<String> = call.head.parameters("id").map(str::to_owned).collect();
    if ids.is_empty() {
        return Err(wrong("id", "this query parameter is required"));
    }
    if ids.len() > MAX_DELETED {
        return Err(wrong("id", format_args!("expected at most {MAX_DELETED} ids")));
    }
    let mut session = call.shared.store.write().await?;
    let bucket = call.bucket_again(&mut session).await?;
    session.delete_emails(&bucket.id, &ids).await?;
    let about = [(&*bucket.project_id, &*bucket.owner)];
    let details = json!({ "bucket": bucket.name, "count": ids.len() });
    session.audit(&call.caller.actor, "delete_emails", &about, details).await?;
    session.commit().await?;
    Ok(Reply::ok())
}

pub(crate) async fn one(call: &Call<'_>) -> Result<Reply, Refusal> {
    let id = call.head.parameters("id").next();
    let id = id.ok_or_else(|| wrong("id", "this query parameter is required"))?;
    let mut session = call.shared.store.read().await?;
    let email = session.email(&call.bucket()?.id, id).await?;
    Ok(send(call, email.into_iter().collect(), json!({})))
}

pub(crate) async fn page(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let by_time = call.route.op == Op::QueryEmails;
    let mut wanted = read_query(payload.json()?, by_time, call.shared.limits.max_page)?;
    let limit = wanted.limit;
    // One more tells whether there are more.
    wanted.limit += 1;
    let mut session = call.shared.store.read().await?;
    let mut emails = session.emails(&call.bucket()?.id, &wanted).await?;
    let has_more = emails.len() > limit;
    emails.truncate(limit);
    let mut more = Map::new();
    if by_time {
        more.insert("more_results".to_owned(), has_more.into());
    }
    if let Some(last) = emails.last().filter(|_| has_more) {
        let (at, number) = last.place();
        more.insert("continuation".to_owned(), format!("after-{at}-{number}").into());
    }
    Ok(send(call, emails, Value::Object(more)))
}

fn read_query(body: Value, by_time: bool, max_page: usize) -> Result<EmailQuery, Refusal> {
    let mut fields = top(body)?;
    let after = fields.optional("continuation", |path, value| {
        let text = any_text(path, value)?;
        // A time before 1970 begins with the same sign.
        let place = text.strip_prefix("after-").and_then(|rest| rest.rsplit_once('-'));
        let place = place.and_then(|(at, number)| Some((at.parse().ok()?, number.parse().ok()?)));
        place.ok_or_else(|| wrong(path, "this continuation was not issued here"))
    })?;
    let limit = fields.optional("limit", |path, value| {
        let limit = usize::try_from(natural(path, value)?).unwrap_or(usize::MAX);
        if (1..=max_page).contains(&limit) {
            return Ok(limit);
        }
        Err(wrong(path, format_args!("expected a number from 1 to {max_page}")))
    })?;
    let limit = limit.unwrap_or(PAGE.min(max_page));
    let mut wanted = EmailQuery { by_time, after, limit, ..EmailQuery::default() };
    if by_time {
        wanted.from = fields.optional("from_timestamp", time)?;
        wanted.to = fields.optional("to_timestamp", time)?;
        wanted.mailbox = fields.optional("mailbox_name", text(1, 1024))?;
    }
    fields.finish()?;
    Ok(wanted)
}

/// An answer with emails and the fields of `more`. Contents are read while they are sent, one at
/// a time.
fn send(call: &Call<'_>, emails: Vec<Email>, more: Value) -> Reply {
    let (pieces, receiver) = mpsc::channel(PIECES);
    let store = call.shared.store.clone();
    call.shared.tasks.spawn(async move {
        if let Err(error) = send_all(&store, emails, more, &pieces).await {
            tracing::debug!("An answer with emails was not sent whole: {error}");
            // The connection breaks unless the client was the one to leave.
            pieces.send(Err(error)).await.unwrap_or_default();
        }
    });
    Reply::pieces(receiver)
}

type Pieces = mpsc::Sender<io::Result<Bytes>>;

async fn pass(pieces: &Pieces, bytes: Vec<u8>) -> io::Result<()> {
    let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
    timeout(PATIENCE, pieces.send(Ok(bytes.into()))).await.map_err(|_| gone())?.map_err(|_| gone())
}

async fn send_all(
    store: &Store,
    emails: Vec<Email>,
    more: Value,
    pieces: &Pieces,
) -> io::Result<()> {
    let failed = |error: store::StoreError| {
        tracing::error!("Could not read an email back: {}", record::Chain(&error));
        io::Error::other("the content could not be read")
    };
    let mut text = ok(more);
    // The brace at the end comes after the emails.
    text.pop();
    text.extend_from_slice(b",\"emails\":[");
    for (number, email) in emails.into_iter().enumerate() {
        if number > 0 {
            text.push(b',');
        }
        text.extend(head(&email));
        let mut session = store.read().await.map_err(failed)?;
        let mut content = session.content(&email.hash).await.map_err(failed)?;
        drop(session);
        let mut is_more = true;
        while is_more {
            (is_more, content, text) = next(content, text).await.map_err(failed)?;
            if text.len() >= PIECE {
                pass(pieces, std::mem::take(&mut text)).await?;
            }
        }
        text.extend_from_slice(b"\"}");
    }
    text.extend_from_slice(b"]}");
    pass(pieces, text).await
}

/// Appends the next piece of a content; false at its end.
async fn next(
    mut content: ContentReader,
    mut text: Vec<u8>,
) -> Result<(bool, ContentReader, Vec<u8>), store::StoreError> {
    let is_slow = content.is_slow();
    let step = move || {
        let mut piece = vec![0; PIECE];
        let read = content.read(&mut piece)?;
        escape(piece.get(..read).unwrap_or_default(), &mut text);
        Ok((read > 0, content, text))
    };
    if is_slow {
        let stopped = || store::StoreError::Damaged { what: "reading a file".to_owned() };
        return tokio::task::spawn_blocking(step).await.unwrap_or_else(|_| Err(stopped()));
    }
    // What is in memory already takes no longer than the way to another thread.
    step()
}

/// An email up to its content.
fn head(email: &Email) -> Vec<u8> {
    let parse = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    let metadata = email.metadata.as_deref().map(parse).map(|mut metadata| {
        // These two are never missing in an answer.
        if let Some(map) = metadata.as_object_mut() {
            map.entry("categories").or_insert_with(|| json!([]));
            map.entry("folder").or_insert_with(|| json!([]));
        }
        metadata
    });
    let fields = json!({
        "id": email.id,
        "mailbox": email.mailbox,
        "timestamp": show(email.sent_at),
        "metadata": metadata,
        "attachments": parse(&email.attachments),
        "created_at": show(email.created_at),
        "updated_at": show(email.updated_at),
    });
    let mut head = fields.to_string().into_bytes();
    head.pop();
    head.extend_from_slice(b",\"mime_content\":\"");
    head
}

pub(crate) async fn put_attachment(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let place = call.named.other(1);
    let place = place.parse::<u32>().ok().filter(|place| *place < 10_000);
    let place = place.ok_or_else(|| wrong("index", "expected a number from 0 to 9999"))?;
    let email = call.named.other(0);
    if !(1..=4096).contains(&email.chars().count()) {
        return Err(wrong("email_id", "expected 1 to 4096 characters"));
    }
    let Payload::File(content) = payload else {
        return Err(wrong("file", "this field of the form is required"));
    };
    let mut session = call.shared.store.write().await?;
    let bucket = call.bucket_again(&mut session).await?;
    session.put_attachment(&bucket.id, email, place, &content).await?;
    let full_name = format!("{}/{}", bucket.owner, bucket.name);
    let project = (&*bucket.project_id, &*bucket.owner);
    uploads::note(call, &mut session, ("bucket", &full_name), project).await?;
    session.commit().await?;
    Ok(Reply::json(json!({ "content_hash": content.hash() })))
}
