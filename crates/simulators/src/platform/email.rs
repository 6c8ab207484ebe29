//! Emails: how they come in, what is kept of them, and how they go out.

use std::{
    collections::{BTreeMap, HashMap},
    io::Read,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use openssl::sha::Sha256;
use serde_json::{Map, Value, json};

use super::{
    json::{Json, twice},
    options::Limits,
    refusal::Refusal,
    reply::Segment,
    schema::{Fields, any_text, flag, is_hex, list, natural, show, text, time, top, wrong},
};

/// An email of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    pub id: String,
    pub mailbox: String,
    pub timestamp: DateTime<Utc>,
    pub metadata: Option<Value>,
    pub attachments: Vec<Value>,
    /// SHA-256 of the UTF-8 of `mime_content`, in lower-case hex.
    pub sha256: String,
    /// Bytes of the UTF-8 of `mime_content`.
    pub size: u64,
    /// The UTF-8 of `mime_content`, unless the server does not keep bodies.
    pub body: Option<Bytes>,
    /// How many times it was stored.
    pub writes: u64,
    /// Writes after the first that changed `mime_content`: these would be billed again.
    pub content_changes: u64,
    /// Writes after the first that changed anything else only.
    pub other_changes: u64,
    /// The last upload asked for no charge.
    pub no_charge: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl Email {
    /// How many times the email would be billed.
    pub fn charged(&self) -> u64 {
        1 + self.content_changes
    }

    /// What a client reads, as a part of a list.
    ///
    /// # Errors
    ///
    /// The content was not kept.
    pub(crate) fn show(&self, into: &mut Vec<Segment>) -> Result<(), Refusal> {
        let body = self.body.clone().ok_or_else(|| {
            let message = "this server does not keep the content of emails, only their hash";
            Refusal::new(hyper::StatusCode::UNPROCESSABLE_ENTITY, message)
        })?;
        let metadata = self.metadata.clone().map(|mut metadata| {
            // These two are never missing in an answer.
            if let Some(map) = metadata.as_object_mut() {
                map.entry("categories").or_insert_with(|| json!([]));
                map.entry("folder").or_insert_with(|| json!([]));
            }
            metadata
        });
        let fields = json!({
            "id": self.id,
            "mailbox": self.mailbox,
            "timestamp": show(self.timestamp),
            "metadata": metadata,
            "attachments": self.attachments,
            "created_at": show(self.created_at),
            "updated_at": show(self.updated_at),
        });
        let mut head = fields.to_string().into_bytes();
        head.pop();
        head.extend_from_slice(b",\"mime_content\":\"");
        into.push(Segment::Text(head));
        into.push(Segment::Escaped(body));
        into.push(Segment::Text(b"\"}".to_vec()));
        Ok(())
    }
}

/// An email of an upload that was not stored yet.
#[derive(Debug)]
pub(crate) struct NewEmail {
    pub(crate) id: String,
    mailbox: String,
    timestamp: DateTime<Utc>,
    metadata: Option<Value>,
    attachments: Vec<Value>,
    sha256: String,
    size: u64,
    body: Option<Bytes>,
}

/// Reads the body of an upload, one piece of one email at a time.
pub(crate) fn read_upload(
    input: &mut dyn Read,
    keep_bodies: bool,
    limits: Limits,
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
            if number == limits.max_emails {
                let most = limits.max_emails;
                return Err(wrong("emails", format_args!("expected at most {most} emails")));
            }
            found.push(read_email(json, &format!("emails[{number}]"), keep_bodies)?);
            Ok(())
        })?;
        emails = Some(found);
        Ok(())
    })?;
    json.end()?;
    emails.ok_or_else(|| wrong("emails", "this field is required"))
}

/// The one field that is not read as a value: it can be large.
const CONTENT: &str = "mime_content";

fn read_email<R: Read>(
    json: &mut Json<R>,
    path: &str,
    keep_body: bool,
) -> Result<NewEmail, Refusal> {
    let mut others = Map::new();
    let mut content: Option<(Sha256, u64, Vec<u8>)> = None;
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
        let (mut hash, mut size, mut body) = (Sha256::new(), 0, Vec::new());
        json.string(&own, &mut |piece| {
            // Databases that keep text cannot keep this character.
            if memchr::memchr(0, piece).is_some() {
                return Err(wrong(&own, "the character U+0000 is not allowed"));
            }
            hash.update(piece);
            size += piece.len() as u64;
            if keep_body {
                body.extend_from_slice(piece);
            }
            Ok(())
        })?;
        content = Some((hash, size, body));
        Ok(())
    })?;
    let mut fields = Fields::of(path, Value::Object(others))?;
    let id = fields.required("id", text(1, 4096))?;
    let mailbox = fields.required("mailbox", text(1, 1024))?;
    let timestamp = fields.required("timestamp", time)?;
    let metadata = fields.optional("metadata", metadata)?;
    let attachments = fields.optional("attachments", list(attachment))?.unwrap_or_default();
    fields.finish()?;
    let missing = || wrong(&format!("{path}.{CONTENT}"), "this field is required");
    let (hash, size, body) = content.ok_or_else(missing)?;
    let sha256 = hash.finish().iter().map(|byte| format!("{byte:02x}")).collect();
    let body = keep_body.then(|| body.into());
    Ok(NewEmail { id, mailbox, timestamp, metadata, attachments, sha256, size, body })
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
    fields.required("name", text(0, 256))?;
    fields.required("size", natural)?;
    fields.required("content_type", text(0, 256))?;
    fields.optional("inline", flag)?;
    fields.optional("attachment_reference", text(0, 128))?;
    fields.optional("content_hash", |path, value| {
        let hash = any_text(path, value)?;
        if is_hex(&hash, 64..=64) { Ok(()) } else { Err(wrong(path, "expected 64 hex digits")) }
    })?;
    fields.finish()?;
    Ok(value)
}

/// The emails of a bucket, in the order of their first arrival.
#[derive(Debug, Default)]
pub(crate) struct Emails {
    by_number: BTreeMap<u64, Email>,
    numbers: HashMap<String, u64>,
    last: u64,
}

/// Which emails are asked for.
#[derive(Debug, Default)]
pub(crate) struct Query {
    /// The number after which the page begins.
    after: u64,
    limit: usize,
    /// Inclusive.
    from: Option<DateTime<Utc>>,
    /// Exclusive.
    to: Option<DateTime<Utc>>,
    mailbox: Option<String>,
}

impl Query {
    /// Reads the body of a listing, or of a query if `filters`.
    pub(crate) fn read(body: Value, filters: bool, limits: Limits) -> Result<Self, Refusal> {
        let mut fields = top(body)?;
        let continuation = fields.optional("continuation", |path, value| {
            let text = any_text(path, value)?;
            let number = text.strip_prefix("after-").and_then(|number| number.parse().ok());
            number.ok_or_else(|| wrong(path, "this continuation was not issued here"))
        })?;
        let limit = fields.optional("limit", |path, value| {
            let most = limits.max_page;
            let limit = usize::try_from(natural(path, value)?).unwrap_or(usize::MAX);
            if (1..=most).contains(&limit) {
                return Ok(limit);
            }
            Err(wrong(path, format_args!("expected a number from 1 to {most}")))
        })?;
        let mut query = Self {
            after: continuation.unwrap_or_default(),
            limit: limit.unwrap_or(64).min(limits.max_page),
            ..Self::default()
        };
        if filters {
            query.from = fields.optional("from_timestamp", time)?;
            query.to = fields.optional("to_timestamp", time)?;
            query.mailbox = fields.optional("mailbox_name", text(1, 1024))?;
        }
        fields.finish()?;
        Ok(query)
    }

    fn wants(&self, email: &Email) -> bool {
        self.from.is_none_or(|from| email.timestamp >= from)
            && self.to.is_none_or(|to| email.timestamp < to)
            && self.mailbox.as_ref().is_none_or(|mailbox| *mailbox == email.mailbox)
    }
}

impl Emails {
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(crate) fn all(&self) -> Vec<Email> {
        self.by_number.values().cloned().collect()
    }

    pub(crate) fn one(&self, id: &str) -> Option<&Email> {
        self.by_number.get(self.numbers.get(id)?)
    }

    pub(crate) fn remove(&mut self, id: &str) {
        if let Some(number) = self.numbers.remove(id) {
            self.by_number.remove(&number);
        }
    }

    /// A page, and the continuation unless it is the last.
    pub(crate) fn page(&self, query: &Query) -> (Vec<&Email>, Option<String>) {
        let after = self.by_number.range(query.after.saturating_add(1)..);
        let mut found = after.filter(|(_, email)| query.wants(email)).peekable();
        let (mut emails, mut last) = (Vec::new(), 0);
        for (number, email) in found.by_ref().take(query.limit) {
            emails.push(email);
            last = *number;
        }
        let more = found.peek().is_some().then(|| format!("after-{last}"));
        (emails, more)
    }

    /// Stores an email under its id, in the place of what was there.
    pub(crate) fn put(&mut self, new: NewEmail, no_charge: bool, now: DateTime<Utc>) {
        let last = &mut self.last;
        let number = *self.numbers.entry(new.id.clone()).or_insert_with(|| {
            *last += 1;
            *last
        });
        let mut email = Email {
            id: new.id,
            mailbox: new.mailbox,
            timestamp: new.timestamp,
            metadata: new.metadata,
            attachments: new.attachments,
            sha256: new.sha256,
            size: new.size,
            body: new.body,
            writes: 1,
            content_changes: 0,
            other_changes: 0,
            no_charge,
            created_at: now,
            updated_at: now,
        };
        if let Some(old) = self.by_number.get(&number) {
            let content = u64::from(old.sha256 != email.sha256);
            let same = old.mailbox == email.mailbox
                && old.timestamp == email.timestamp
                && old.metadata == email.metadata
                && old.attachments == email.attachments;
            email.writes = old.writes + 1;
            email.content_changes = old.content_changes + content;
            email.other_changes = old.other_changes + u64::from(!same && content == 0);
            email.created_at = old.created_at;
        }
        self.by_number.insert(number, email);
    }
}
