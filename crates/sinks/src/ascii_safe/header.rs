//! Header fields: finding them, understanding the few that matter, and writing them as ASCII.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    body::{clean, quote},
    is_safe,
};

/// Longest encoded word, in characters. Spec: RFC 2047 §2.
const ENCODED_WORD: usize = 75;
/// Longest name of a character set that is taken over.
const MAX_CHARSET: usize = 40;

/// The fields in front of a body.
pub(super) struct Header<'a> {
    pub(super) fields: Vec<Field<'a>>,
    /// The empty line after them, if it is there.
    pub(super) end: &'a [u8],
}

/// One field with its continuation lines and its line break.
pub(super) struct Field<'a>(&'a [u8]);

/// What a `Content-Type` field says, in lower case except for the boundary.
#[derive(Default)]
pub(super) struct ContentType {
    kind: String,
    pub(super) boundary: Option<String>,
    pub(super) charset: Option<String>,
}

/// Finds the fields of a header.
pub(super) fn split(bytes: &[u8]) -> Header<'_> {
    let mut fields = Vec::new();
    let (mut start, mut at) = (0, 0);
    let part = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default();
    while at < bytes.len() {
        let rest = part(at, bytes.len());
        let length = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |n| n + 1);
        let line = part(at, at + length);
        let is_end = matches!(line, b"\n" | b"\r\n");
        let continues = matches!(line.first(), Some(b' ' | b'\t')) && at > 0;
        if !continues && at > start {
            fields.push(Field(part(start, at)));
            start = at;
        }
        at += length;
        if is_end {
            return Header { fields, end: line };
        }
    }
    if at > start {
        fields.push(Field(part(start, at)));
    }
    Header { fields, end: b"" }
}

impl Header<'_> {
    /// The value of the first field with this name, unfolded; bytes above 127 are kept as they
    /// would be in ISO 8859-1.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        let field = self.fields.iter().find(|field| field.is(name))?;
        let value = field.parts()?.1;
        let unfolded = value.iter().filter(|b| !matches!(b, b'\r' | b'\n'));
        Some(unfolded.map(|b| char::from(*b)).collect::<String>().trim().to_owned())
    }

    pub(super) fn content_type(&self) -> ContentType {
        let Some(value) = self.value("content-type") else { return ContentType::default() };
        let mut parts = parameters(&value).into_iter();
        let mut this = ContentType {
            kind: parts.next().unwrap_or_default().trim().to_ascii_lowercase(),
            ..ContentType::default()
        };
        for part in parts {
            let Some((name, value)) = part.split_once('=') else { continue };
            let value = unquoted(value.trim());
            match name.trim().to_ascii_lowercase().as_str() {
                "boundary" if !value.is_empty() => this.boundary = Some(value),
                "charset" => this.charset = Some(value.to_ascii_lowercase()),
                _ => {}
            }
        }
        this
    }
}

impl ContentType {
    pub(super) fn is_multipart(&self) -> bool {
        self.kind.starts_with("multipart/")
    }

    pub(super) fn is_message(&self) -> bool {
        matches!(self.kind.as_str(), "message/rfc822" | "message/global")
    }

    /// Without a type, a part is text. Spec: RFC 2045 §5.2.
    pub(super) fn is_text(&self) -> bool {
        self.kind.is_empty() || self.kind.starts_with("text/")
    }
}

/// Splits at semicolons outside of quotes.
fn parameters(value: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in value.chars() {
        if c == ';' && !quoted {
            parts.push(String::new());
            continue;
        }
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = c == '\\' && !escaped;
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

/// The content of a quoted string; other text as it is.
fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"') else { return text.to_owned() };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut content = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        content.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
    }
    content
}

impl<'a> Field<'a> {
    fn parts(&self) -> Option<(&'a [u8], &'a [u8])> {
        let colon = self.0.iter().position(|b| *b == b':')?;
        Some((self.0.get(..colon)?, self.0.get(colon + 1..)?))
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.parts().is_some_and(|(own, _)| own.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Appends the field as ASCII. `charset` is that of the text that the header belongs to, the
    /// best guess for a header that is not UTF-8.
    pub(super) fn write(&self, out: &mut String, charset: Option<&str>, newline: &str) {
        let parts = self.parts().filter(|(name, _)| name.iter().all(u8::is_ascii_graphic));
        let Some((name, value)) = parts.filter(|_| !self.0.iter().all(|b| is_safe(*b))) else {
            return clean(out, self.0);
        };
        clean(out, name);
        out.push(':');
        let charset = charset_of(value, charset);
        let content_field = [&b"content-type"[..], b"content-disposition"]
            .iter()
            .any(|n| name.eq_ignore_ascii_case(n));
        if content_field {
            write_parameters(out, value, charset, newline);
        } else {
            write_words(out, value, charset, newline);
        }
    }
}

fn charset_of<'c>(value: &[u8], hint: Option<&'c str>) -> &'c str {
    if std::str::from_utf8(value).is_ok() {
        return "utf-8";
    }
    let token = |name: &&str| {
        !name.is_empty()
            && name.len() <= MAX_CHARSET
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:+".contains(&b))
            && !matches!(*name, "utf-8" | "utf8" | "us-ascii" | "ascii")
            && !name.starts_with("utf-16")
            && !name.starts_with("utf-32")
    };
    // Keeps each byte, and is right for much of the mail that names nothing.
    hint.filter(token).unwrap_or("iso-8859-1")
}

/// `name="value"` becomes `name*=charset''value` where it has to. Spec: RFC 2231 §4.
fn write_parameters(out: &mut String, value: &[u8], charset: &str, newline: &str) {
    let unfolded: String =
        value.iter().filter(|b| !matches!(b, b'\r' | b'\n')).map(|b| char::from(*b)).collect();
    for (number, part) in parameters(&unfolded).iter().enumerate() {
        if number > 0 {
            out.push(';');
            out.push_str(newline);
        }
        let safe = part.chars().all(|c| c.is_ascii() && c != '\0');
        let named =
            part.split_once('=').filter(|(name, _)| number > 0 && name.bytes().all(is_safe));
        match named {
            Some((name, value)) if !safe => {
                let name = name.trim();
                let (name, extended) = match name.strip_suffix('*') {
                    Some(name) => (name, true),
                    None => (name, false),
                };
                out.push_str(&format!(" {name}*="));
                if !extended {
                    out.push_str(&format!("{charset}''"));
                }
                for c in unquoted(value.trim()).chars() {
                    let byte = u8::try_from(c).unwrap_or(b'?');
                    let plain = byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
                    if plain || (extended && b"'%".contains(&byte)) {
                        out.push(c);
                    } else {
                        quote(out, '%', byte);
                    }
                }
            }
            _ => {
                if number > 0 && !part.starts_with([' ', '\t']) {
                    out.push(' ');
                }
                out.extend(part.chars().map(|c| if c.is_ascii() && c != '\0' { c } else { '?' }));
            }
        }
    }
    out.push_str(newline);
}

/// A piece of a field's value.
enum Token<'a> {
    /// Blanks and line breaks.
    Space(&'a [u8]),
    /// A quoted string, without its quotes and escapes.
    Quoted(&'a [u8], Vec<u8>),
    Word(&'a [u8]),
}

fn tokens(value: &[u8]) -> Vec<Token<'_>> {
    const DELIMITERS: &[u8] = b"<>(),;:\"";
    let mut tokens = Vec::new();
    let mut rest = value;
    while let Some(first) = rest.first() {
        let length = if first.is_ascii_whitespace() {
            let end = rest.iter().position(|b| !b.is_ascii_whitespace());
            end.unwrap_or(rest.len())
        } else if let Some((length, content)) = quoted_string(rest) {
            tokens.push(Token::Quoted(rest.get(..length).unwrap_or_default(), content));
            rest = rest.get(length..).unwrap_or_default();
            continue;
        } else if DELIMITERS.contains(first) {
            1
        } else {
            let end = rest.iter().position(|b| b.is_ascii_whitespace() || DELIMITERS.contains(b));
            end.unwrap_or(rest.len())
        };
        let (piece, after) = rest.split_at(length);
        tokens.push(match first.is_ascii_whitespace() {
            true => Token::Space(piece),
            false => Token::Word(piece),
        });
        rest = after;
    }
    tokens
}

/// Length and content of the quoted string that `text` begins with.
fn quoted_string(text: &[u8]) -> Option<(usize, Vec<u8>)> {
    let mut content = Vec::new();
    let mut bytes = text.iter().enumerate().skip(1);
    text.first().filter(|b| **b == b'"')?;
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((at + 1, content)),
            b'\\' => content.push(*bytes.next()?.1),
            other => content.push(*other),
        }
    }
    None
}

/// Words with other bytes than ASCII become encoded words, together with the blanks between them,
/// since readers drop those between two encoded words. Spec: RFC 2047 §6.2.
fn write_words(out: &mut String, value: &[u8], charset: &str, newline: &str) {
    let mut run: Vec<u8> = Vec::new();
    let mut space: &[u8] = b"";
    for token in tokens(value) {
        let (raw, content) = match &token {
            Token::Space(raw) => {
                space = raw;
                continue;
            }
            Token::Quoted(raw, content) => (*raw, content.as_slice()),
            Token::Word(raw) => (*raw, *raw),
        };
        if raw.iter().all(|b| is_safe(*b)) {
            write_run(out, &mut run, charset, newline);
            // An encoded word ends at a blank.
            let glued = out.ends_with("?=") && space.is_empty() && !raw.starts_with(b")");
            clean(out, if glued && !raw.starts_with(b",") { b" " } else { space });
            clean(out, raw);
        } else {
            if run.is_empty() {
                let glued = space.is_empty() && !out.ends_with([' ', '\t', '(', ':']);
                clean(out, if glued { b" " } else { space });
            } else if !space.is_empty() {
                run.push(b' ');
            }
            run.extend_from_slice(content);
        }
        space = b"";
    }
    write_run(out, &mut run, charset, newline);
    clean(out, space);
    if !out.ends_with('\n') {
        out.push_str(newline);
    }
}

fn write_run(out: &mut String, run: &mut Vec<u8>, charset: &str, newline: &str) {
    let room = ENCODED_WORD.saturating_sub("=??B??=".len() + charset.len()) / 4 * 3;
    let mut rest = std::mem::take(run);
    rest.retain(|b| !matches!(b, 0 | b'\r' | b'\n'));
    let mut first = true;
    while !rest.is_empty() {
        let mut length = rest.len().min(room.max(3));
        // A character must not be cut (RFC 2047 §5): the rest of one begins with the bits 10.
        while charset == "utf-8" && length > 1 && rest.get(length).is_some_and(|b| b & 0xc0 == 0x80)
        {
            length -= 1;
        }
        let after = rest.split_off(length);
        if !first {
            out.push_str(newline);
            out.push(' ');
        }
        out.push_str(&format!("=?{charset}?B?{}?=", STANDARD.encode(&rest)));
        first = false;
        rest = after;
    }
}
