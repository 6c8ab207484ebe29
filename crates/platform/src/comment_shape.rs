//! What a comment that a client writes must look like.

use std::io;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::{
    json::{Json, twice},
    refusal::Refusal,
    schema::{
        Fields, any_text, flag, inner_text, is_hex, list as array, natural, one_of, time, wrong,
    },
};

/// Most comments of one request.
pub(crate) const MAX_COMMENTS: usize = 16_384;
const MAX_ID: usize = 1024;
const MAX_THREAD_ID: usize = 2056;
const MAX_PROPERTIES: usize = 1024;
const MAX_PROPERTY_NAME: usize = 64;
const MAX_PROPERTY: usize = 65_536;
const MAX_TEXT: usize = 65_536;
const MAX_NODES: usize = 4096;
const MAX_HREF: usize = 16_384;
const MAX_ADDRESS: usize = 512;
const MAX_ADDRESSES: usize = 2048;
const MAX_ATTACHMENTS: usize = 128;
/// Bytes of the strings of one comment.
const MAX_COMMENT: usize = 4 * 1024 * 1024;

/// A comment as a client has written it.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) id: String,
    pub(crate) at: DateTime<Utc>,
    pub(crate) thread_id: Option<String>,
    /// All of it but the context.
    pub(crate) body: Value,
    pub(crate) context: Option<String>,
}

/// Reads the body of an upload, one comment at a time.
pub(crate) fn read_comments(input: &mut dyn io::Read) -> Result<Vec<Written>, Refusal> {
    let mut json = Json::new(input);
    let mut comments = None;
    json.object("body", |json, name| {
        if name != "comments" {
            return Err(wrong(&name, "unknown field"));
        }
        if comments.is_some() {
            return Err(twice("body", name));
        }
        let mut found = Vec::new();
        json.array("comments", |json, number| {
            if number == MAX_COMMENTS {
                let most = format_args!("expected at most {MAX_COMMENTS} comments");
                return Err(wrong("comments", most));
            }
            let path = format!("comments[{number}]");
            json.allow(MAX_COMMENT);
            let value = json.value(&path)?;
            found.push(comment(&path, value)?);
            Ok(())
        })?;
        comments = Some(found);
        Ok(())
    })?;
    json.end()?;
    comments.ok_or_else(|| wrong("comments", "this field is required"))
}

/// An id of a comment: printable ASCII and letters, digits and `_` of any script.
pub(crate) fn comment_id(path: &str, value: Value) -> Result<String, Refusal> {
    let id = inner_text(1, MAX_ID)(path, value)?;
    // The description of the original leaves out `/`, which its own client sends.
    let fits = |c: char| c.is_ascii_graphic() || c.is_alphanumeric();
    match id.chars().find(|c| !fits(*c)) {
        None => Ok(id),
        Some(c) => {
            let message = format_args!("the character {c:?} is not allowed in an id");
            Err(wrong(path, message))
        }
    }
}

/// Checks a comment.
pub(crate) fn comment(path: &str, value: Value) -> Result<Written, Refusal> {
    let mut body = value.clone();
    let mut fields = Fields::of(path, value)?;
    let id = fields.required("id", comment_id)?;
    let at = fields.required("timestamp", time)?;
    let thread_id = fields.optional("thread_id", nullable(thread_id))?.flatten();
    fields.optional("user_properties", nullable(properties))?;
    fields.required("messages", |path, value| {
        let messages = array(message)(path, value)?;
        if messages.len() == 1 { Ok(()) } else { Err(wrong(path, "expected exactly one message")) }
    })?;
    fields.optional("text_format", one_of(&["plain", "markdown"]))?;
    fields.optional("attachments", |path, value| {
        let attachments = array(attachment)(path, value)?;
        if attachments.len() > MAX_ATTACHMENTS {
            let most = format_args!("expected at most {MAX_ATTACHMENTS} attachments");
            return Err(wrong(path, most));
        }
        Ok(())
    })?;
    let context = fields.optional("context", nullable(any_text))?.flatten();
    fields.finish()?;
    if let Some(map) = body.as_object_mut() {
        map.remove("context");
        map.entry("user_properties").or_insert_with(|| json!({}));
    }
    Ok(Written { id, at, thread_id, body, context })
}

fn nullable<T>(
    read: impl Fn(&str, Value) -> Result<T, Refusal>,
) -> impl Fn(&str, Value) -> Result<Option<T>, Refusal> {
    move |path, value| if value.is_null() { Ok(None) } else { read(path, value).map(Some) }
}

fn thread_id(path: &str, value: Value) -> Result<String, Refusal> {
    crate::schema::text(1, MAX_THREAD_ID)(path, value)
}

/// Properties by `string:<name>` or `number:<name>`.
pub(crate) fn properties(path: &str, value: Value) -> Result<Value, Refusal> {
    let Value::Object(map) = &value else { return Err(wrong(path, "expected an object")) };
    if map.len() > MAX_PROPERTIES {
        return Err(wrong(path, format_args!("expected at most {MAX_PROPERTIES} properties")));
    }
    for (full_name, value) in map {
        let own = format!("{path}.{full_name}");
        let Some((kind, name)) = full_name.split_once(':') else {
            return Err(wrong(&own, "expected a name that begins with `string:` or `number:`"));
        };
        if !(1..=MAX_PROPERTY_NAME).contains(&name.chars().count()) {
            let most = format_args!("expected a name of 1 to {MAX_PROPERTY_NAME} characters");
            return Err(wrong(&own, most));
        }
        if !name.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            return Err(wrong(&own, "a name begins with a letter, a digit or `_`"));
        }
        match kind {
            "string" => drop(inner_text(0, MAX_PROPERTY)(&own, value.clone())?),
            "number" if value.is_number() => {}
            "number" => return Err(wrong(&own, "expected a number")),
            _ => {
                return Err(wrong(&own, "expected a name that begins with `string:` or `number:`"));
            }
        }
    }
    Ok(value)
}

fn message(path: &str, value: Value) -> Result<(), Refusal> {
    let mut fields = Fields::of(path, value)?;
    fields.optional("from", nullable(inner_text(1, MAX_ADDRESS)))?;
    for name in ["to", "cc", "bcc"] {
        fields.optional(name, nullable(addresses))?;
    }
    fields.optional("sent_at", nullable(time))?;
    fields.optional("language", nullable(inner_text(0, 8)))?;
    fields.required("body", content)?;
    fields.optional("subject", nullable(content))?;
    fields.optional("signature", nullable(content))?;
    fields.finish()
}

fn addresses(path: &str, value: Value) -> Result<(), Refusal> {
    let all = array(inner_text(0, MAX_ADDRESS))(path, value)?;
    if all.len() > MAX_ADDRESSES {
        return Err(wrong(path, format_args!("expected at most {MAX_ADDRESSES} addresses")));
    }
    Ok(())
}

/// A text and its markup.
fn content(path: &str, value: Value) -> Result<(), Refusal> {
    let mut fields = Fields::of(path, value)?;
    fields.required("text", inner_text(0, MAX_TEXT))?;
    fields.optional("translated_from", nullable(inner_text(0, MAX_TEXT)))?;
    for name in ["text_markup", "translated_from_markup"] {
        fields.optional(name, nullable(markup))?;
    }
    fields.finish()
}

/// The nodes of a markup are kept as they are; some attributes have limits.
fn markup(path: &str, value: Value) -> Result<(), Refusal> {
    let Value::Array(nodes) = value else { return Err(wrong(path, "expected an array")) };
    if nodes.len() > MAX_NODES {
        return Err(wrong(path, format_args!("expected at most {MAX_NODES} nodes")));
    }
    for (number, node) in nodes.iter().enumerate() {
        let own = format!("{path}[{number}]");
        let Value::Object(node) = node else { return Err(wrong(&own, "expected an object")) };
        let href = node.get("href").and_then(Value::as_str).unwrap_or_default();
        if href.chars().count() > MAX_HREF {
            let most = format_args!("expected at most {MAX_HREF} characters");
            return Err(wrong(&format!("{own}.href"), most));
        }
    }
    Ok(())
}

/// What is said about an attachment.
pub(crate) fn attachment(path: &str, value: Value) -> Result<Value, Refusal> {
    let mut fields = Fields::of(path, value.clone())?;
    fields.required("name", inner_text(0, 256))?;
    fields.required("size", natural)?;
    fields.required("content_type", inner_text(0, 256))?;
    fields.optional("inline", flag)?;
    fields.optional("attachment_reference", nullable(reference))?;
    fields.optional("content_hash", nullable(hash))?;
    fields.finish()?;
    Ok(value)
}

fn reference(path: &str, value: Value) -> Result<(), Refusal> {
    let text = inner_text(0, 128)(path, value)?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    if text.bytes().all(fits) {
        return Ok(());
    }
    Err(wrong(path, "expected letters, digits, `-` and `_`"))
}

fn hash(path: &str, value: Value) -> Result<(), Refusal> {
    let hash = any_text(path, value)?;
    if is_hex(&hash, 64..=64) { Ok(()) } else { Err(wrong(path, "expected 64 hex digits")) }
}
