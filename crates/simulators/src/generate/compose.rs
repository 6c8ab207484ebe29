//! Writes header fields, bodies and attachments.

use base64_simd::STANDARD;
use chrono::DateTime;

use super::{Dice, charset, filler};

/// A message that grows at its end.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn line(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
        self.0.extend_from_slice(b"\r\n");
    }

    /// A header field whose value is written as it is.
    pub(super) fn field(&mut self, name: &str, value: &str) {
        self.line(&format!("{name}: {value}"));
    }

    /// A header field with text in any language.
    pub(super) fn text_field(&mut self, name: &str, value: &str, charset: &str) {
        let words = encoded_words(value, charset);
        self.field(name, &words);
    }

    /// An entity with text: its header fields, the empty line, its body.
    pub(super) fn text(&mut self, kind: &str, text: &str, charset: &str, encoding: &str) {
        let bytes = charset::encode(text, charset);
        self.field("Content-Type", &format!("{kind}; charset={charset}"));
        self.field("Content-Transfer-Encoding", encoding);
        self.line("");
        match encoding {
            "base64" => self.base64(&bytes),
            "quoted-printable" => self.quoted(&bytes),
            _ => self.0.extend_from_slice(&bytes),
        }
        if !self.0.ends_with(b"\r\n") {
            self.line("");
        }
    }

    fn base64(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(57) {
            STANDARD.encode_append(part, &mut self.0);
            self.0.extend_from_slice(b"\r\n");
        }
    }

    /// Quoted-printable (RFC 2045 §6.7).
    fn quoted(&mut self, bytes: &[u8]) {
        let mut column = 0;
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            if rest.starts_with(b"\r\n") {
                self.0.extend_from_slice(b"\r\n");
                rest = rest.get(2..).unwrap_or_default();
                column = 0;
                continue;
            }
            rest = after;
            let ends_line = after.is_empty() || after.starts_with(b"\r\n");
            let plain = matches!(byte, b'!'..=b'<' | b'>'..=b'~') || (*byte == b' ' && !ends_line);
            let width = if plain { 1 } else { 3 };
            if column + width > 75 {
                self.0.extend_from_slice(b"=\r\n");
                column = 0;
            }
            if plain {
                self.0.push(*byte);
            } else {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                let digit = |at: u8| HEX.get(usize::from(at)).copied().unwrap_or(b'0');
                self.0.extend_from_slice(&[b'=', digit(byte >> 4), digit(byte & 15)]);
            }
            column += width;
        }
    }

    /// An attachment of about `size` bytes: its first bytes tell its format, the rest is noise.
    pub(super) fn attachment(&mut self, dice: &mut Dice, size: usize) {
        let at = dice.below(ATTACHMENTS.len());
        let Some((name, kind, magic)) = ATTACHMENTS.get(at) else { return };
        let name = format!("{name}-{}.{}", dice.between(1, 999), name_end(kind));
        self.field("Content-Type", &format!("{kind}; name=\"{name}\""));
        self.field("Content-Disposition", &format!("attachment; filename=\"{name}\""));
        self.field("Content-Transfer-Encoding", "base64");
        self.line("");
        // Magic bytes in a multiple of three, so that the noise can follow as digits.
        let mut start = magic.to_vec();
        start.resize(start.len().next_multiple_of(57), 0);
        self.base64(&start);
        filler::append(&mut self.0, dice, size / 3 * 4);
    }
}

/// Name, type and first bytes of attachments.
const ATTACHMENTS: &[(&str, &str, &[u8])] = &[
    ("invoice", "application/pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"),
    ("photo", "image/jpeg", b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01"),
    ("figures", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"PK\x03\x04"),
    (
        "letter",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        b"PK\x03\x04",
    ),
    ("scan", "image/png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
    ("archive", "application/zip", b"PK\x03\x04\x14\0"),
];

fn name_end(kind: &str) -> &'static str {
    match kind {
        "application/pdf" => "pdf",
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "application/zip" => "zip",
        kind if kind.ends_with("sheet") => "xlsx",
        _ => "docx",
    }
}

/// Encoded words (RFC 2047), if `value` needs them.
pub(super) fn encoded_words(value: &str, charset: &str) -> String {
    if value.is_ascii() {
        return value.to_owned();
    }
    let charset = if charset::can_encode(value, charset) { charset } else { "utf-8" };
    let mut words = String::new();
    let mut part = String::new();
    for c in value.chars().chain(['\0']) {
        // 75 characters are allowed; 30 bytes become 40, and the rest is the name of the set.
        if c == '\0' || part.len() + c.len_utf8() > 30 {
            let digits = STANDARD.encode_to_string(charset::encode(&part, charset));
            let blank = if words.is_empty() { "" } else { "\r\n " };
            words.push_str(&format!("{blank}=?{charset}?B?{digits}?="));
            part.clear();
        }
        part.push(c);
    }
    words
}

/// `Name <address>`, with the name as a field may carry it.
pub(super) fn mailbox(name: &str, address: &str, charset: &str) -> String {
    if name.is_empty() {
        return address.to_owned();
    }
    let name = if name.is_ascii() && name.contains([',', '"', '&', '.']) {
        format!("\"{}\"", name.replace('"', "\\\""))
    } else {
        encoded_words(name, charset)
    };
    format!("{name} <{address}>")
}

/// A time as header fields carry it.
pub(super) fn date(at: i64, zone: i64) -> String {
    let local = DateTime::from_timestamp(at + zone * 3600, 0).unwrap_or_default();
    let sign = if zone < 0 { '-' } else { '+' };
    format!("{} {sign}{:02}00", local.format("%a, %d %b %Y %H:%M:%S"), zone.abs())
}
