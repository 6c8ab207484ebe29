//! Bodies as ASCII: base64, quoted-printable, and what to do with bytes that fit nowhere.

use std::io::{self, BufRead, Write};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    input::{fill, for_each},
    is_safe,
};

/// Bytes on one line of base64: 76 characters.
const BASE64_LINE: usize = 57;
/// Lines of base64 that are made at a time.
const BASE64_LINES: usize = 512;
/// Longest line of quoted-printable, the `=` of a soft line break included.
const QUOTED_LINE: usize = 76;
/// How far ahead of a byte one must see to know whether its line ends there: a line break.
const LOOKAHEAD: usize = 3;

/// How a body is encoded for transfer. Spec: RFC 2045 §6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// `7bit`, `8bit`, `binary` or none.
    Identity,
    QuotedPrintable,
    Base64,
    Other,
}

impl Encoding {
    pub(super) fn named(name: Option<&str>) -> Self {
        match name.unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" | "7bit" | "8bit" | "binary" => Self::Identity,
            "quoted-printable" => Self::QuotedPrintable,
            "base64" => Self::Base64,
            _ => Self::Other,
        }
    }
}

/// What bytes a body is made of.
#[derive(Default)]
pub(super) struct Tally {
    length: u64,
    high: u64,
    nul: bool,
}

impl Tally {
    pub(super) fn of(body: &mut dyn BufRead) -> io::Result<Self> {
        let mut this = Self::default();
        for_each(body, |bytes| {
            this.length += bytes.len() as u64;
            this.high += bytes.iter().map(|byte| u64::from(byte >> 7)).sum::<u64>();
            this.nul |= bytes.contains(&0);
            Ok(())
        })?;
        Ok(this)
    }

    pub(super) fn is_safe(&self) -> bool {
        self.high == 0 && !self.nul
    }

    /// The encoding that suits the body, and whether it is base64: text that is mostly ASCII stays
    /// readable.
    pub(super) fn encoding(&self, is_text: bool) -> (&'static str, bool) {
        if is_text && !self.nul && self.high <= self.length / 4 {
            ("quoted-printable", false)
        } else {
            ("base64", true)
        }
    }
}

/// A byte as it is, or `?` if it is not safe.
fn cleaned(byte: u8) -> u8 {
    if is_safe(byte) { byte } else { b'?' }
}

/// Appends `bytes`, with `?` for each that is not safe.
pub(super) fn clean(out: &mut String, bytes: &[u8]) {
    out.extend(bytes.iter().map(|byte| char::from(cleaned(*byte))));
}

/// The same for any amount.
pub(super) fn clean_all(out: &mut dyn Write, body: &mut dyn BufRead) -> io::Result<()> {
    for_each(body, |bytes| {
        if bytes.iter().all(|byte| is_safe(*byte)) {
            return out.write_all(bytes);
        }
        let cleaned: Vec<u8> = bytes.iter().map(|byte| cleaned(*byte)).collect();
        out.write_all(&cleaned)
    })
}

/// Writes the safe bytes only.
pub(super) fn keep_safe(out: &mut dyn Write, body: &mut dyn BufRead) -> io::Result<()> {
    for_each(body, |bytes| {
        let kept: Vec<u8> = bytes.iter().copied().filter(|byte| is_safe(*byte)).collect();
        out.write_all(&kept)
    })
}

/// Writes a body in lines, without a line break at the end.
pub(super) fn base64(out: &mut dyn Write, body: &mut dyn BufRead, newline: &str) -> io::Result<()> {
    let mut buffer = vec![0; BASE64_LINE * BASE64_LINES];
    let mut lines = String::new();
    let mut first = true;
    loop {
        let bytes = fill(body, &mut buffer)?;
        if bytes.is_empty() {
            return Ok(());
        }
        for line in bytes.chunks(BASE64_LINE) {
            if !std::mem::take(&mut first) {
                lines.push_str(newline);
            }
            STANDARD.encode_string(line, &mut lines);
        }
        out.write_all(lines.as_bytes())?;
        lines.clear();
    }
}

/// Writes text with the line breaks that it has. Spec: RFC 2045 §6.7.
pub(super) fn quoted_printable(
    out: &mut dyn Write,
    body: &mut dyn BufRead,
    newline: &str,
) -> io::Result<()> {
    let (mut text, mut column) = (String::new(), 0);
    let mut window: Vec<u8> = Vec::new();
    loop {
        let read = body.fill_buf()?;
        let length = read.len();
        window.extend_from_slice(read);
        body.consume(length);
        // What comes next decides about the last bytes, until nothing does.
        let decided =
            if length == 0 { window.len() } else { window.len().saturating_sub(LOOKAHEAD) };
        let done = quote_text(&mut text, &window, decided, &mut column, newline);
        window.drain(..done.min(window.len()));
        out.write_all(text.as_bytes())?;
        text.clear();
        if length == 0 {
            return Ok(());
        }
    }
}

/// Appends the text up to `decided`, or to the end of a line break there; tells how much that was.
fn quote_text(
    out: &mut String,
    bytes: &[u8],
    decided: usize,
    column: &mut usize,
    newline: &str,
) -> usize {
    let mut at = 0;
    while at < decided
        && let Some(byte) = bytes.get(at)
    {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.starts_with(newline.as_bytes()) {
            out.push_str(newline);
            at += newline.len();
            *column = 0;
            continue;
        }
        let after = bytes.get(at + 1..).unwrap_or_default();
        let ends_line = after.is_empty() || after.starts_with(newline.as_bytes());
        let literal = match byte {
            b' ' | b'\t' => !ends_line,
            b'=' => false,
            byte => byte.is_ascii_graphic(),
        };
        let width = if literal { 1 } else { 3 };
        if *column + width > QUOTED_LINE - 1 {
            out.push('=');
            out.push_str(newline);
            *column = 0;
        }
        if literal {
            out.push(char::from(*byte));
        } else {
            quote(out, '=', *byte);
        }
        *column += width;
        at += 1;
    }
    at
}

/// Quotes the bytes that must not be in quoted-printable text, as its readers take them.
pub(super) fn repair_quoted_printable(
    out: &mut dyn Write,
    body: &mut dyn BufRead,
) -> io::Result<()> {
    let mut text = String::new();
    for_each(body, |bytes| {
        for byte in bytes {
            if is_safe(*byte) {
                text.push(char::from(*byte));
            } else {
                quote(&mut text, '=', *byte);
            }
        }
        out.write_all(text.as_bytes())?;
        text.clear();
        Ok(())
    })
}

/// Appends `mark` and two hex digits.
pub(super) fn quote(out: &mut String, mark: char, byte: u8) {
    out.push(mark);
    for nibble in [byte >> 4, byte & 15] {
        let digit = char::from_digit(u32::from(nibble), 16).unwrap_or('?');
        out.push(digit.to_ascii_uppercase());
    }
}
