//! Bodies as ASCII: base64, quoted-printable, and what to do with bytes that fit nowhere.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::is_safe;

/// Bytes on one line of base64: 76 characters.
const BASE64_LINE: usize = 57;
/// Longest line of quoted-printable, the `=` of a soft line break included.
const QUOTED_LINE: usize = 76;

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

/// The encoding that suits `bytes`, and whether it is base64: text that is mostly ASCII stays
/// readable.
pub(super) fn encoding_for(is_text: bool, bytes: &[u8]) -> (&'static str, bool) {
    let high = bytes.iter().filter(|b| !b.is_ascii()).count();
    if is_text && !bytes.contains(&0) && high <= bytes.len() / 4 {
        ("quoted-printable", false)
    } else {
        ("base64", true)
    }
}

/// Appends `bytes`, with `?` for each that is not safe.
pub(super) fn clean(out: &mut String, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.iter().all(|b| is_safe(*b)) => out.push_str(text),
        _ => out.extend(bytes.iter().map(|b| if is_safe(*b) { char::from(*b) } else { '?' })),
    }
}

/// Appends `bytes` in lines, without a line break at the end.
pub(super) fn base64(out: &mut String, bytes: &[u8], newline: &str) {
    for (number, line) in bytes.chunks(BASE64_LINE).enumerate() {
        if number > 0 {
            out.push_str(newline);
        }
        STANDARD.encode_string(line, out);
    }
}

/// Appends text with the line breaks that it has. Spec: RFC 2045 §6.7.
pub(super) fn quoted_printable(out: &mut String, bytes: &[u8], newline: &str) {
    let (mut at, mut column) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.starts_with(newline.as_bytes()) {
            out.push_str(newline);
            at += newline.len();
            column = 0;
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
        if column + width > QUOTED_LINE - 1 {
            out.push('=');
            out.push_str(newline);
            column = 0;
        }
        if literal {
            out.push(char::from(*byte));
        } else {
            quote(out, '=', *byte);
        }
        column += width;
        at += 1;
    }
}

/// Quotes the bytes that must not be in quoted-printable text, as its readers take them.
pub(super) fn repair_quoted_printable(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        if is_safe(*byte) {
            out.push(char::from(*byte));
        } else {
            quote(out, '=', *byte);
        }
    }
}

/// Appends `mark` and two hex digits.
pub(super) fn quote(out: &mut String, mark: char, byte: u8) {
    out.push(mark);
    for nibble in [byte >> 4, byte & 15] {
        let digit = char::from_digit(u32::from(nibble), 16).unwrap_or('?');
        out.push(digit.to_ascii_uppercase());
    }
}
