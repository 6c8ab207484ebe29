//! MIME that is not Unicode, rewritten as ASCII with the same meaning.
//!
//! A JSON string holds characters, not bytes, while an email may hold anything: text in an old
//! character set, attachments sent as `binary`. A message that is UTF-8 passes as it is. In any
//! other, each body part with bytes above 127 or NUL is encoded anew (RFC 2045 §6), under its
//! declared character set, and header fields get encoded words (RFC 2047) or extended parameters
//! (RFC 2231). What has no meaning, such as text between the parts, gets `?` for each such byte.
//!
//! The message is read piece by piece, some pieces several times, and the result is written as it
//! is made, so that a message of any size passes in little memory. A header beyond 8 MiB is more
//! than that: what belongs to it is text without a meaning.

mod body;
mod header;
mod input;

use std::io::{self, BufRead, Read, Write};

use record::Body;

use self::{
    body::{Encoding, Tally},
    header::{ContentType, Header},
    input::{Input, Span},
};

/// Parts within parts that are followed. What is deeper counts as text between the parts.
const MAX_DEPTH: usize = 32;
/// Longest header that is understood, in bytes: it is in memory.
const MAX_HEADER: u64 = 8 << 20;
/// Most fields of such a header.
const MAX_FIELDS: usize = 100_000;

/// The text of a message: its own bytes if they are UTF-8 without NUL, else ASCII MIME that means
/// the same.
pub fn to_unicode(message: Vec<u8>) -> String {
    match String::from_utf8(message) {
        Ok(text) if !text.contains('\0') => text,
        Ok(text) => ascii(text.as_bytes()),
        Err(err) => ascii(err.as_bytes()),
    }
}

#[expect(clippy::expect_used, reason = "memory can be read and written, and ASCII is text")]
fn ascii(message: &[u8]) -> String {
    let mut out = Vec::with_capacity(message.len() / 3 * 4);
    rewrite_input(Input::Memory(message), &mut out).expect("memory to memory");
    String::from_utf8(out).expect("ASCII")
}

/// Writes a message, whatever it is, as ASCII MIME that means the same.
pub(crate) fn rewrite(body: &Body, out: &mut dyn Write) -> io::Result<()> {
    rewrite_input(Input::of(body), out)
}

fn rewrite_input(input: Input<'_>, out: &mut dyn Write) -> io::Result<()> {
    let newline = if first_line_ends_with_cr(input)? { "\r\n" } else { "\n" };
    Writer { input, out, newline }.entity(input.whole(), 0)
}

fn first_line_ends_with_cr(input: Input<'_>) -> io::Result<bool> {
    let (mut last, mut ended) = (None, false);
    let mut reader = input.read(input.whole());
    while !ended {
        let bytes = reader.fill_buf()?;
        let length = bytes.len();
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        last = line.last().copied().or(last);
        ended = line.len() < length || length == 0;
        reader.consume(length);
    }
    Ok(last == Some(b'\r'))
}

pub(crate) fn is_safe(byte: u8) -> bool {
    byte.is_ascii() && byte != 0
}

struct Writer<'a> {
    input: Input<'a>,
    out: &'a mut dyn Write,
    newline: &'static str,
}

/// What is in a body.
enum Content {
    Parts { boundary: String },
    Message,
    Leaf,
}

impl Writer<'_> {
    /// A message or a body part: header fields, an empty line, a body.
    fn entity(&mut self, span: Span, depth: usize) -> io::Result<()> {
        let Some(bytes) = self.read_header(span)? else { return self.clean(span) };
        let body = Span { start: span.start + bytes.len() as u64, end: span.end };
        let content = {
            let header = header::split(&bytes);
            let mut kind = header.content_type();
            let encoding = Encoding::named(header.value("content-transfer-encoding").as_deref());
            let holds_others = encoding == Encoding::Identity && depth < MAX_DEPTH;
            match kind.boundary.take() {
                Some(boundary) if holds_others && kind.is_multipart() => {
                    self.header(&header, &kind, Some("7bit"), depth)?;
                    Content::Parts { boundary }
                }
                _ if holds_others && kind.is_message() => {
                    self.header(&header, &kind, Some("7bit"), depth)?;
                    Content::Message
                }
                _ => {
                    self.leaf(&header, &kind, encoding, body, depth)?;
                    Content::Leaf
                }
            }
        };
        // Not kept while what is inside is read.
        drop(bytes);
        match content {
            Content::Parts { boundary } => self.parts(body, boundary.as_bytes(), depth),
            Content::Message => self.entity(body, depth + 1),
            Content::Leaf => Ok(()),
        }
    }

    /// The header with the empty line after it; `None` if it is too long.
    fn read_header(&self, span: Span) -> io::Result<Option<Vec<u8>>> {
        let mut reader = self.input.read(span).take(MAX_HEADER);
        let (mut bytes, mut fields) = (Vec::new(), 0);
        loop {
            let before = bytes.len();
            reader.read_until(b'\n', &mut bytes)?;
            let line = bytes.get(before..).unwrap_or_default();
            if matches!(line, b"\n" | b"\r\n") || bytes.len() as u64 == span.len() {
                return Ok(Some(bytes));
            }
            fields += usize::from(!matches!(line.first(), Some(b' ' | b'\t')));
            if reader.limit() == 0 || fields > MAX_FIELDS {
                return Ok(None);
            }
        }
    }

    fn read(&self, span: Span) -> Box<dyn BufRead + '_> {
        self.input.read(span)
    }

    fn clean(&mut self, span: Span) -> io::Result<()> {
        body::clean_all(self.out, &mut *self.input.read(span))
    }

    fn leaf(
        &mut self,
        header: &Header<'_>,
        kind: &ContentType,
        encoding: Encoding,
        span: Span,
        depth: usize,
    ) -> io::Result<()> {
        let tally = Tally::of(&mut *self.read(span))?;
        let (new, base64) = match encoding {
            Encoding::Identity if !tally.is_safe() && !kind.is_multipart() => {
                let (name, base64) = tally.encoding(kind.is_text());
                (Some(name), base64)
            }
            _ => (None, false),
        };
        self.header(header, kind, new, depth)?;
        let (newline, mut bytes) = (self.newline, self.input.read(span));
        let (out, bytes) = (&mut *self.out, &mut *bytes);
        match (encoding, new) {
            _ if tally.is_safe() => body::clean_all(out, bytes),
            (Encoding::Identity, Some(_)) if base64 => {
                body::base64(out, bytes, newline)?;
                if depth == 0 { out.write_all(newline.as_bytes()) } else { Ok(()) }
            }
            (Encoding::Identity, Some(_)) => body::quoted_printable(out, bytes, newline),
            // Bytes that cannot be there: what a reader does with them is kept as far as it goes.
            (Encoding::QuotedPrintable, _) => body::repair_quoted_printable(out, bytes),
            (Encoding::Base64, _) => body::keep_safe(out, bytes),
            (Encoding::Identity | Encoding::Other, _) => body::clean_all(out, bytes),
        }
    }

    /// Writes the fields and the empty line, with another transfer encoding if one is given.
    fn header(
        &mut self,
        header: &Header<'_>,
        kind: &ContentType,
        encoding: Option<&str>,
        depth: usize,
    ) -> io::Result<()> {
        let mut encoding = encoding;
        let new = encoding.map(|name| format!("Content-Transfer-Encoding: {name}{}", self.newline));
        let new = new.as_deref();
        let mut text = String::new();
        for field in &header.fields {
            match new.filter(|_| field.is("content-transfer-encoding")) {
                Some(new) if encoding.take().is_some() => text.push_str(new),
                Some(_) => {}
                None => field.write(&mut text, kind.charset.as_deref(), self.newline),
            }
            self.out.write_all(text.as_bytes())?;
            text.clear();
        }
        // `7bit` is what holds without a word.
        if encoding.is_some_and(|name| name != "7bit") {
            if depth == 0 && header.value("mime-version").is_none() {
                text.push_str("MIME-Version: 1.0");
                text.push_str(self.newline);
            }
            text.push_str(new.unwrap_or_default());
        }
        body::clean(&mut text, header.end);
        self.out.write_all(text.as_bytes())
    }

    /// Writes the parts of a multipart body. Spec: RFC 2046 §5.1.1.
    fn parts(&mut self, body: Span, boundary: &[u8], depth: usize) -> io::Result<()> {
        let input = self.input;
        let mut lines = Lines::new(input.read(body), body.start, boundary.len());
        let (mut in_part, mut part_start) = (false, body.start);
        while let Some(line) = lines.next()? {
            if let Some(closing) = lines.delimiter(boundary) {
                self.part(Span { start: part_start, end: line.start }, in_part, depth)?;
                self.clean(line)?;
                in_part = !closing;
                part_start = line.end;
            }
        }
        self.part(Span { start: part_start, end: body.end }, in_part, depth)
    }

    /// One part, or what stands before the first and after the last.
    fn part(&mut self, span: Span, is_part: bool, depth: usize) -> io::Result<()> {
        if !is_part {
            return self.clean(span);
        }
        // The line break before a delimiter belongs to the delimiter.
        let last = Span { start: span.start.max(span.end.saturating_sub(2)), end: span.end };
        let mut bytes = Vec::new();
        self.read(last).read_to_end(&mut bytes)?;
        let length = if bytes == b"\r\n" { 2 } else { u64::from(bytes.ends_with(b"\n")) };
        let end = span.end - length;
        self.entity(Span { start: span.start, end }, depth + 1)?;
        self.clean(Span { start: end, end: span.end })
    }
}

/// The lines of a multipart body, each remembered as far as it takes to know a delimiter.
struct Lines<'a> {
    reader: Box<dyn BufRead + 'a>,
    at: u64,
    front: Vec<u8>,
    /// Longest `front`.
    enough: usize,
    /// What follows `front` in the line is blank.
    blank: bool,
}

impl<'a> Lines<'a> {
    fn new(reader: Box<dyn BufRead + 'a>, at: u64, boundary: usize) -> Self {
        Self { reader, at, front: Vec::new(), enough: boundary + "----".len(), blank: true }
    }

    fn next(&mut self) -> io::Result<Option<Span>> {
        let start = self.at;
        self.front.clear();
        self.blank = true;
        loop {
            let bytes = self.reader.fill_buf()?;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let length = end.map_or(bytes.len(), |at| at + 1);
            let room = self.enough.saturating_sub(self.front.len()).min(length);
            let (front, after) = bytes.get(..length).unwrap_or_default().split_at(room);
            self.front.extend_from_slice(front);
            self.blank = self.blank && after.iter().all(u8::is_ascii_whitespace);
            self.reader.consume(length);
            self.at += length as u64;
            if end.is_some() || length == 0 {
                let line = Span { start, end: self.at };
                return Ok((line.len() > 0).then_some(line));
            }
        }
    }

    /// `Some(true)` for a line that closes a multipart body, `Some(false)` for one between parts.
    fn delimiter(&self, boundary: &[u8]) -> Option<bool> {
        let rest = self.front.strip_prefix(b"--")?.strip_prefix(boundary)?;
        let (rest, closing) = match rest.strip_prefix(b"--") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        (self.blank && rest.iter().all(u8::is_ascii_whitespace)).then_some(closing)
    }
}

#[cfg(test)]
mod tests;
