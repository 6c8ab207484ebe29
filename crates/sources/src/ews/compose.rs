//! Writes a message from its parts, when Exchange has no MIME content of it.
//!
//! Spec: RFC 5322 (headers), RFC 2045 to 2047 and RFC 2231 (MIME), RFC 6854 (groups in `From`).

use std::{
    fmt::Write,
    io::{self, Read},
};

use record::{Body, Uid};

use super::reply::{Address, Attachment, Content, ItemContent, Parts};
use crate::body::{BodyWriter, Limits};

/// Names what the message lacked, so that nobody takes it for the original bytes.
const REBUILT: &str = "X-Tributary-Rebuilt";
/// Bytes that become one line of base64.
const LINE: usize = 57;
/// Longest line that folding aims at.
const WIDTH: usize = 76;

/// A message being written.
#[derive(Debug)]
pub struct Composer {
    writer: BodyWriter,
    /// Present if the message has more than one part.
    boundary: Option<String>,
}

impl Composer {
    /// Writes the header and the text. `code` is why the message had to be rebuilt.
    ///
    /// # Errors
    ///
    /// The spool file could not be written; so for all functions here.
    pub fn begin(
        parts: &Parts,
        item: &ItemContent,
        uid: Uid,
        code: &str,
        limits: &Limits,
    ) -> io::Result<Self> {
        let multiple = !parts.attachments.is_empty();
        // Base64 text cannot hold `=_`, and no other message has this uid.
        let boundary = multiple.then(|| format!("=_rebuilt_{uid}"));
        let mut head = header(parts, item);
        fold(&mut head, REBUILT, &printable(code));
        head.push_str("MIME-Version: 1.0\r\n");
        if let Some(boundary) = &boundary {
            let kind = "Content-Type: multipart/mixed;";
            head.push_str(&format!("{kind}\r\n boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n"));
        }
        let subtype = if parts.body_is_html { "html" } else { "plain" };
        head.push_str(&format!("Content-Type: text/{subtype}; charset=utf-8\r\n"));
        head.push_str("Content-Transfer-Encoding: base64\r\n\r\n");
        let mut composer = Self { writer: BodyWriter::default(), boundary };
        composer.writer.write(head.as_bytes(), limits)?;
        composer.base64(&mut parts.body.as_deref().unwrap_or_default().as_bytes(), limits)?;
        Ok(composer)
    }

    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.writer.size()
    }

    /// # Errors
    ///
    /// As [`begin`](Self::begin); also when `body` could not be read.
    pub fn attach(
        &mut self,
        attachment: &Attachment,
        content: Content,
        body: &Body,
        limits: &Limits,
    ) -> io::Result<()> {
        let message = matches!(content, Content::Message(_));
        let kind = match (&attachment.content_type, message) {
            (_, true) => "message/rfc822",
            (Some(kind), _) if is_media_type(kind) => kind,
            _ => "application/octet-stream",
        };
        let mut head = self.part();
        head.push_str(&format!("Content-Type: {kind}\r\n"));
        head.push_str("Content-Disposition: ");
        head.push_str(if attachment.is_inline { "inline" } else { "attachment" });
        if let Some(name) = &attachment.name {
            head.push_str(&format!(";\r\n filename*=UTF-8''{}", percent_encoded(name)));
        }
        head.push_str("\r\n");
        let id = attachment.content_id.as_deref().map(printable);
        if let Some(id) = id.filter(|id| !id.is_empty()) {
            head.push_str(&format!("Content-ID: <{}>\r\n", id.trim_matches(['<', '>'])));
        }
        let encoding = if message { "8bit" } else { "base64" };
        head.push_str(&format!("Content-Transfer-Encoding: {encoding}\r\n\r\n"));
        self.writer.write(head.as_bytes(), limits)?;
        let mut reader = body.reader();
        if message { self.copy(&mut reader, limits) } else { self.base64(&mut reader, limits) }
    }

    /// Puts a note where an attachment could not be had.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub fn note(&mut self, attachment: &Attachment, why: &str, limits: &Limits) -> io::Result<()> {
        let name = attachment.name.as_deref().unwrap_or("without a name");
        let mut head = self.part();
        head.push_str("Content-Type: text/plain; charset=utf-8\r\n");
        head.push_str("Content-Transfer-Encoding: base64\r\n\r\n");
        self.writer.write(head.as_bytes(), limits)?;
        let note = format!("The attachment \"{name}\" could not be read: {why}\r\n");
        self.base64(&mut note.as_bytes(), limits)
    }

    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub fn finish(mut self, limits: &Limits) -> io::Result<BodyWriter> {
        if let Some(boundary) = &self.boundary {
            self.writer.write(format!("--{boundary}--\r\n").as_bytes(), limits)?;
        }
        Ok(self.writer)
    }

    fn part(&self) -> String {
        format!("--{}\r\n", self.boundary.as_deref().unwrap_or_default())
    }

    fn base64(&mut self, from: &mut dyn Read, limits: &Limits) -> io::Result<()> {
        let mut text = Vec::new();
        loop {
            let mut block = Vec::with_capacity(LINE * 64);
            let read = (&mut *from).take((LINE * 64) as u64).read_to_end(&mut block)?;
            if read == 0 {
                return Ok(());
            }
            text.clear();
            for line in block.chunks(LINE) {
                base64_simd::STANDARD.encode_append(line, &mut text);
                text.extend_from_slice(b"\r\n");
            }
            self.writer.write(&text, limits)?;
        }
    }

    fn copy(&mut self, from: &mut dyn Read, limits: &Limits) -> io::Result<()> {
        let mut block = vec![0; 16 * 1024];
        loop {
            let read = from.read(&mut block)?;
            if read == 0 {
                return self.writer.write(b"\r\n", limits);
            }
            self.writer.write(block.get(..read).unwrap_or_default(), limits)?;
        }
    }
}

/// The transport headers, and what they lack, from the properties.
fn header(parts: &Parts, item: &ItemContent) -> String {
    let mut out = String::new();
    for (name, value) in &parts.headers {
        let lower = name.to_ascii_lowercase();
        // These describe a MIME structure that is not this one.
        if is_field_name(name) && !lower.starts_with("content-") && lower != "mime-version" {
            fold(&mut out, name, &one_line(value));
        }
    }
    let lacks = |name: &str| !parts.headers.iter().any(|(have, _)| have.eq_ignore_ascii_case(name));
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|_| lacks(name)) {
            fold(&mut out, name, &value);
        }
    };
    let list = |list: &[Address]| {
        (!list.is_empty()).then(|| list.iter().map(address).collect::<Vec<_>>().join(", "))
    };
    let date = item.sent.or(item.metadata.received_at).or(item.created);
    add("Date", date.map(|date| date.to_rfc2822()));
    add("From", parts.from.as_ref().or(parts.sender.as_ref()).map(address));
    add("To", list(&parts.to));
    add("Cc", list(&parts.cc));
    add("Subject", parts.subject.as_deref().map(unstructured));
    add("Message-ID", item.message_id.as_deref().map(printable));
    out
}

/// Writes a field, with a line break before a word that would make its line too long.
fn fold(out: &mut String, name: &str, value: &str) {
    let _infallible = write!(out, "{name}:");
    let mut width = name.len() + 1;
    for word in value.trim().split(' ') {
        if width + 1 + word.len() > WIDTH && width > 1 && !word.is_empty() {
            out.push_str("\r\n");
            width = 0;
        }
        let _infallible = write!(out, " {word}");
        width += 1 + word.len();
    }
    out.push_str("\r\n");
}

/// `Ana Ruiz <ana@example.org>`. A recipient without an address of the Internet becomes a group
/// without members, which keeps the name.
fn address(address: &Address) -> String {
    let name = address.name.as_deref().unwrap_or_default();
    let email = address.email.as_deref().map(printable).unwrap_or_default();
    let usable = email.contains('@') && !email.contains([' ', '<', '>', ',', ';', '"']);
    match (name.is_empty(), usable) {
        (true, true) => format!("<{email}>"),
        (false, true) => format!("{} <{email}>", phrase(name)),
        (true, false) => format!("{}:;", phrase(&email)),
        (false, false) => format!("{}:;", phrase(name)),
    }
}

fn phrase(text: &str) -> String {
    if text.is_ascii() {
        format!("\"{}\"", printable(text).replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        encoded_words(text)
    }
}

fn unstructured(text: &str) -> String {
    if text.is_ascii() && !text.contains("=?") { printable(text) } else { encoded_words(text) }
}

/// RFC 2047, in words of at most 75 characters, none of which cuts a character.
fn encoded_words(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut piece = String::new();
    for c in text.chars() {
        if piece.len() + c.len_utf8() > 45 {
            words.push(std::mem::take(&mut piece));
        }
        piece.push(c);
    }
    words.push(piece);
    let encode = |word: &String| base64_simd::STANDARD.encode_to_string(word.as_bytes());
    words.iter().map(|word| format!("=?UTF-8?B?{}?=", encode(word))).collect::<Vec<_>>().join(" ")
}

/// ASCII without control characters, so that nothing can begin a line of its own.
fn printable(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
}

/// A header value on one line. Beyond ASCII it stays as it is: RFC 6532 allows UTF-8.
fn one_line(value: &str) -> String {
    let unfolded = value.replace("\r\n", "");
    unfolded.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 128 && name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

fn is_media_type(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    text.split_once('/').is_some_and(|(kind, subtype)| {
        token(kind) && token(subtype) && !kind.eq_ignore_ascii_case("multipart")
    })
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
}
