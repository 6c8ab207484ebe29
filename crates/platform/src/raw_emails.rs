//! Raw emails that clients send straight into a source, in pieces: header, text, HTML.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use comment::{Converted, Delivery, FORMAT_VERSION, Pieces, Transform, guard};
use serde_json::{Map, Value, json};

use crate::{
    body::Measured,
    comment_shape::{self, Written, attachment, comment_id},
    json::{Json, twice},
    refusal::Refusal,
    schema::{Fields, any_text, flag, inner_text, list as array, wrong},
    sources::unknown_tag,
};

/// Most emails of one request.
const MAX_DOCUMENTS: usize = 4096;
const MAX_HEADER: usize = 65_536;
const MAX_PLAIN: usize = 65_536;
const MAX_HTML: usize = 33_554_432;
const MAX_ATTACHMENTS: usize = 128;
const MAX_OVERRIDES: usize = 1024;
/// Bytes of the strings of one email; a character has up to four.
const MAX_DOCUMENT: usize = 4 * MAX_HTML + 4 * 1024 * 1024;

/// What an upload has become.
#[derive(Clone, Debug)]
pub(crate) struct RawEmails {
    pub(crate) comments: Vec<Written>,
    pub(crate) include_comments: bool,
}

/// What is known of a body before any of its emails is converted.
pub(crate) struct Plan {
    transform: Transform,
    include_comments: bool,
    /// Properties of the request that count for more than what the email says.
    overrides: HashSet<String>,
    /// A name for each email: the same when it is sent again, and another for another converter.
    pub(crate) keys: Vec<String>,
}

/// Converts the email with that number in its request.
pub(crate) type Run<'a> =
    &'a dyn Fn(usize, &Pieces<'_>, &Delivery<'_>, &Transform) -> Result<Converted, Refusal>;

/// Reads the body for the second time, one email in memory at a time.
pub(crate) fn read_documents(
    body: Measured,
    plan: &Plan,
    now: DateTime<Utc>,
    run: Run<'_>,
) -> Result<RawEmails, Refusal> {
    let mut json = Json::new(body);
    let mut comments = Vec::new();
    json.object("body", |json, name| {
        if name != "documents" {
            return json.value(&name).map(drop);
        }
        json.array("documents", |json, number| {
            json.allow(MAX_DOCUMENT);
            let value = json.value(&format!("documents[{number}]"))?;
            comments.push(document(number, value, plan, now, run)?);
            Ok(())
        })
    })?;
    json.end()?;
    Ok(RawEmails { comments, include_comments: plan.include_comments })
}

/// Reads the body for the first time: what is beside the emails may come behind them, and decides
/// what becomes of them.
pub(crate) fn read_plan(body: Measured, tag_of_source: Option<&str>) -> Result<Plan, Refusal> {
    let mut json = Json::new(body);
    let mut others = Map::new();
    let mut keys = None;
    json.object("body", |json, name| {
        if name != "documents" {
            let value = json.value(&name)?;
            return match others.insert(name.clone(), value) {
                None => Ok(()),
                Some(_) => Err(twice("body", name)),
            };
        }
        let mut own = Vec::new();
        json.array("documents", |json, number| {
            if number == MAX_DOCUMENTS {
                let most = format_args!("expected at most {MAX_DOCUMENTS} documents");
                return Err(wrong("documents", most));
            }
            json.allow(MAX_DOCUMENT);
            own.push(key(&json.value(&format!("documents[{number}]"))?));
            Ok(())
        })?;
        match keys.replace(own) {
            None => Ok(()),
            Some(_) => Err(twice("body", name)),
        }
    })?;
    json.end()?;
    let mut fields = crate::schema::top(Value::Object(others))?;
    let tag = fields.optional("transform_tag", any_text)?;
    let include_comments = fields.optional("include_comments", flag)?.unwrap_or_default();
    let overrides = fields.optional("override_user_properties", |path, value| {
        let names = array(inner_text(0, 128))(path, value)?;
        if names.len() > MAX_OVERRIDES {
            return Err(wrong(path, format_args!("expected at most {MAX_OVERRIDES} names")));
        }
        Ok(names.into_iter().collect())
    })?;
    fields.finish()?;
    let keys = keys.ok_or_else(|| wrong("documents", "this field is required"))?;
    let tag = tag.as_deref().or(tag_of_source).unwrap_or(Transform::DEFAULT_TAG);
    let transform = Transform::from_tag(tag).ok_or_else(|| unknown_tag(tag))?;
    Ok(Plan { transform, include_comments, overrides: overrides.unwrap_or_default(), keys })
}

/// What the converter is about to see, as a name.
fn key(document: &Value) -> String {
    let email = document.get("raw_email").unwrap_or(&Value::Null);
    guard::content_key(format!("{FORMAT_VERSION} {email}").as_bytes())
}

/// One email, and the comment that it becomes.
fn document(
    number: usize,
    value: Value,
    plan: &Plan,
    now: DateTime<Utc>,
    run: Run<'_>,
) -> Result<Written, Refusal> {
    let path = &format!("documents[{number}]");
    let mut fields = Fields::of(path, value)?;
    let email = fields.required("raw_email", raw_email)?;
    let id = fields.optional("comment_id", comment_id)?;
    let properties = fields.optional("user_properties", comment_shape::properties)?;
    fields.finish()?;
    let listed: Vec<comment::Attachment> = email.attachments.iter().cloned().map(listed).collect();
    let email_id = comment::email_id(email.headers.as_bytes()).unwrap_or_else(|| {
        // The same email has the same id when it is sent again.
        let texts = [&*email.headers, &email.plain, &email.html].join("\0");
        format!("<{}@no-message-id.invalid>", guard::content_key(texts.as_bytes()))
    });
    let metadata = record::Metadata::default();
    let delivery = Delivery {
        email_id: &email_id,
        mailbox: "",
        timestamp: now,
        metadata: &metadata,
        listed: &listed,
    };
    let text =
        |text: &'_ String| -> Option<String> { Some(text.clone()).filter(|text| !text.is_empty()) };
    let (plain, html) = (text(&email.plain), text(&email.html));
    let pieces = Pieces {
        headers: email.headers.as_bytes(),
        plain: plain.as_deref(),
        html: html.as_deref(),
    };
    let converted = run(number, &pieces, &delivery, &plan.transform)?;
    let at = converted.comment.timestamp;
    let thread_id = converted.comment.thread_id.clone();
    let id = id.unwrap_or(converted.comment.id.clone());
    let mut body = serde_json::to_value(&converted.comment)
        .map_err(|_| wrong(path, "this email makes no comment"))?;
    if let Some(map) = body.as_object_mut() {
        map.insert("id".to_owned(), id.clone().into());
        if !email.attachments.is_empty() {
            map.insert("attachments".to_owned(), email.attachments.into());
        }
        let own = map.entry("user_properties").or_insert_with(|| json!({}));
        merge(own, properties, &plan.overrides);
    }
    Ok(Written { id, at, thread_id, body, context: None })
}

/// Adds the properties of the request to those of the email, which count for more unless the
/// request says otherwise.
fn merge(own: &mut Value, given: Option<Value>, overrides: &HashSet<String>) {
    let (Some(own), Some(Value::Object(given))) = (own.as_object_mut(), given) else { return };
    for (full_name, value) in given {
        let name = full_name.split_once(':').map_or(&*full_name, |(_, name)| name);
        let wins = overrides.contains(name) || overrides.contains(&full_name);
        if wins || !own.contains_key(&full_name) {
            own.insert(full_name, value);
        }
    }
}

struct RawEmail {
    headers: String,
    plain: String,
    html: String,
    /// As they were written.
    attachments: Vec<Value>,
}

fn raw_email(path: &str, value: Value) -> Result<RawEmail, Refusal> {
    let mut fields = Fields::of(path, value)?;
    let headers = fields.required("headers", headers)?;
    let (plain, html) = fields.required("body", |path, value| {
        let mut body = Fields::of(path, value)?;
        let plain = body.optional("plain", inner_text(0, MAX_PLAIN))?.unwrap_or_default();
        let html = body.optional("html", inner_text(0, MAX_HTML))?.unwrap_or_default();
        body.finish()?;
        Ok((plain, html))
    })?;
    let attachments = fields.optional("attachments", |path, value| {
        let attachments = array(attachment)(path, value)?;
        if attachments.len() > MAX_ATTACHMENTS {
            let most = format_args!("expected at most {MAX_ATTACHMENTS} attachments");
            return Err(wrong(path, most));
        }
        Ok(attachments)
    })?;
    fields.finish()?;
    Ok(RawEmail { headers, plain, html, attachments: attachments.unwrap_or_default() })
}

fn headers(path: &str, value: Value) -> Result<String, Refusal> {
    let mut fields = Fields::of(path, value)?;
    let raw = fields.optional("raw", inner_text(0, MAX_HEADER))?;
    let parsed = fields.optional("parsed", parsed)?;
    fields.finish()?;
    match (raw, parsed) {
        (Some(headers), None) | (None, Some(headers)) => Ok(headers),
        _ => Err(wrong(path, "expected either `raw` or `parsed`")),
    }
}

/// Header fields by name, as the block that they were read from.
fn parsed(path: &str, value: Value) -> Result<String, Refusal> {
    let Value::Object(map) = value else { return Err(wrong(path, "expected an object")) };
    let mut block = String::new();
    for (name, value) in map {
        let own = format!("{path}.{name}");
        // Spec: RFC 5322 §3.6.8, `ftext`.
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
            return Err(wrong(&own, "this is no name of a header field"));
        }
        let word = |value: &Value| match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(wrong(&own, "expected a string, a number or an array of these")),
        };
        let text = match &value {
            Value::Array(all) => all.iter().map(word).collect::<Result<Vec<_>, _>>()?.join(", "),
            value => word(value)?,
        };
        // A line break would begin another field.
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        block.push_str(&format!("{name}: {line}\r\n"));
        if block.len() > 4 * MAX_HEADER {
            return Err(wrong(path, format_args!("expected at most {MAX_HEADER} characters")));
        }
    }
    Ok(block)
}

/// What the converter wants to know about an attachment.
pub(crate) fn listed(value: Value) -> comment::Attachment {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    comment::Attachment {
        name: text("name"),
        size: value.get("size").and_then(Value::as_u64).unwrap_or_default(),
        content_type: text("content_type"),
        content_hash: Some(text("content_hash")).filter(|hash| !hash.is_empty()),
        inline: value.get("inline").and_then(Value::as_bool).unwrap_or_default(),
    }
}
