//! MIME that is not Unicode, rewritten as ASCII with the same meaning.
//!
//! A JSON string holds characters, not bytes, while an email may hold anything: text in an old
//! character set, attachments sent as `binary`. A message that is UTF-8 passes as it is. In any
//! other, each body part with bytes above 127 or NUL is encoded anew (RFC 2045 §6), under its
//! declared character set, and header fields get encoded words (RFC 2047) or extended parameters
//! (RFC 2231). What has no meaning, such as text between the parts, gets `?` for each such byte.
//!
//! The message is held in memory once, and its rewritten form beside it, which is at most some
//! 4/3 of it for attachments, three times for text.

mod body;
mod header;

use self::{
    body::{Encoding, clean},
    header::{ContentType, Header},
};

/// Parts within parts that are followed. What is deeper counts as text between the parts.
const MAX_DEPTH: usize = 32;

/// The text of a message: its own bytes if they are UTF-8 without NUL, else ASCII MIME that means
/// the same.
pub fn to_unicode(message: Vec<u8>) -> String {
    match String::from_utf8(message) {
        Ok(text) if !text.contains('\0') => text,
        Ok(text) => ascii(text.as_bytes()),
        Err(err) => ascii(err.as_bytes()),
    }
}

fn ascii(message: &[u8]) -> String {
    let newline = if message.split(|b| *b == b'\n').next().is_some_and(|l| l.ends_with(b"\r")) {
        "\r\n"
    } else {
        "\n"
    };
    let mut out = Writer { out: String::with_capacity(message.len() / 3 * 4), newline };
    out.entity(message, 0);
    out.out
}

pub(crate) fn is_safe(byte: u8) -> bool {
    byte.is_ascii() && byte != 0
}

struct Writer {
    out: String,
    newline: &'static str,
}

impl Writer {
    /// A message or a body part: header fields, an empty line, a body.
    fn entity(&mut self, bytes: &[u8], depth: usize) {
        let (header, body) = header::split(bytes);
        let kind = header.content_type();
        let encoding = Encoding::named(header.value("content-transfer-encoding").as_deref());
        let holds_others = encoding == Encoding::Identity && depth < MAX_DEPTH;
        match &kind.boundary {
            Some(boundary) if holds_others && kind.is_multipart() => {
                self.header(&header, &kind, Some("7bit"), depth);
                self.parts(body, boundary.as_bytes(), depth);
            }
            _ if holds_others && kind.is_message() => {
                self.header(&header, &kind, Some("7bit"), depth);
                self.entity(body, depth + 1);
            }
            _ => self.leaf(&header, &kind, encoding, body, depth),
        }
    }

    fn leaf(
        &mut self,
        header: &Header<'_>,
        kind: &ContentType,
        encoding: Encoding,
        bytes: &[u8],
        depth: usize,
    ) {
        if bytes.iter().all(|b| is_safe(*b)) {
            self.header(header, kind, None, depth);
            return clean(&mut self.out, bytes);
        }
        match encoding {
            Encoding::Identity if kind.is_multipart() => {
                self.header(header, kind, None, depth);
                clean(&mut self.out, bytes);
            }
            Encoding::Identity => {
                let (name, base64) = body::encoding_for(kind.is_text(), bytes);
                self.header(header, kind, Some(name), depth);
                if base64 {
                    body::base64(&mut self.out, bytes, self.newline);
                    if depth == 0 {
                        self.out.push_str(self.newline);
                    }
                } else {
                    body::quoted_printable(&mut self.out, bytes, self.newline);
                }
            }
            // Bytes that cannot be there: what a reader does with them is kept as far as it goes.
            Encoding::QuotedPrintable => {
                self.header(header, kind, None, depth);
                body::repair_quoted_printable(&mut self.out, bytes);
            }
            Encoding::Base64 => {
                self.header(header, kind, None, depth);
                let kept: Vec<u8> = bytes.iter().copied().filter(|b| is_safe(*b)).collect();
                clean(&mut self.out, &kept);
            }
            Encoding::Other => {
                self.header(header, kind, None, depth);
                clean(&mut self.out, bytes);
            }
        }
    }

    /// Writes the fields and the empty line, with another transfer encoding if one is given.
    fn header(
        &mut self,
        header: &Header<'_>,
        kind: &ContentType,
        encoding: Option<&str>,
        depth: usize,
    ) {
        let mut encoding = encoding;
        let new = encoding.map(|name| format!("Content-Transfer-Encoding: {name}{}", self.newline));
        for field in &header.fields {
            if new.is_some() && field.is("content-transfer-encoding") {
                if encoding.take().is_some() {
                    self.out.push_str(new.as_deref().unwrap_or_default());
                }
                continue;
            }
            field.write(&mut self.out, kind.charset.as_deref(), self.newline);
        }
        // `7bit` is what holds without a word.
        if encoding.is_some_and(|name| name != "7bit") {
            if depth == 0 && header.value("mime-version").is_none() {
                self.out.push_str("MIME-Version: 1.0");
                self.out.push_str(self.newline);
            }
            self.out.push_str(new.as_deref().unwrap_or_default());
        }
        clean(&mut self.out, header.end);
    }

    /// Writes the parts of a multipart body. Spec: RFC 2046 §5.1.1.
    fn parts(&mut self, body: &[u8], boundary: &[u8], depth: usize) {
        let (mut in_part, mut part_start, mut at) = (false, 0, 0);
        while at < body.len() {
            let rest = body.get(at..).unwrap_or_default();
            let length = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |n| n + 1);
            let line = rest.get(..length).unwrap_or_default();
            if let Some(closing) = delimiter(line, boundary) {
                self.part(body.get(part_start..at).unwrap_or_default(), in_part, depth);
                clean(&mut self.out, line);
                in_part = !closing;
                part_start = at + length;
            }
            at += length;
        }
        self.part(body.get(part_start..).unwrap_or_default(), in_part, depth);
    }

    /// One part, or what stands before the first and after the last.
    fn part(&mut self, bytes: &[u8], is_part: bool, depth: usize) {
        if !is_part {
            return clean(&mut self.out, bytes);
        }
        // The line break before a delimiter belongs to the delimiter.
        let end = if bytes.ends_with(b"\r\n") { 2 } else { usize::from(bytes.ends_with(b"\n")) };
        let (part, line_break) = bytes.split_at(bytes.len() - end);
        self.entity(part, depth + 1);
        clean(&mut self.out, line_break);
    }
}

/// `Some(true)` for the line that closes a multipart body, `Some(false)` for one between parts.
fn delimiter(line: &[u8], boundary: &[u8]) -> Option<bool> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?;
    let (rest, closing) = match rest.strip_prefix(b"--") {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    rest.iter().all(u8::is_ascii_whitespace).then_some(closing)
}

#[cfg(test)]
mod tests;
