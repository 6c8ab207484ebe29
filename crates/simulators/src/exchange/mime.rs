//! As much of MIME as a mail server shows as properties: header fields, body, attachments.

use base64_simd::STANDARD;

/// Deepest nesting of multiparts that is looked into.
const MAX_DEPTH: usize = 20;
/// Most parts of one message that are listed.
const MAX_PARTS: usize = 500;

/// Length of the header with the empty line that ends it.
pub(crate) fn head_length(message: &[u8]) -> Option<usize> {
    if message.starts_with(b"\r\n") {
        return Some(2);
    }
    let mut at = 0;
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        if line == b"\r\n" || line == b"\n" {
            return Some(at);
        }
    }
    None
}

/// The header fields in order, unfolded, as text; bytes that are no UTF-8 are read as Latin-1.
pub(crate) fn fields(head: &[u8]) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in head.split(|byte| *byte == b'\n') {
        let line = text(line.strip_suffix(b"\r").unwrap_or(line));
        if line.is_empty() {
            break;
        }
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    fields
}

/// The value of the first field called `name`, as it stands there.
pub(crate) fn field(head: &[u8], name: &str) -> Option<String> {
    find(&fields(head), name).map(str::to_owned)
}

pub(crate) fn find<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// Decodes the encoded words of a header field (RFC 2047) in UTF-8 and Latin-1; words in other
/// character sets stay as they are.
pub(crate) fn decode_words(value: &str) -> String {
    let mut out = String::new();
    let mut rest = value;
    let mut after_word = false;
    while let Some(start) = rest.find("=?") {
        let (before, word) = rest.split_at(start);
        match decode_word(word) {
            Some((decoded, length)) => {
                // Blanks between two encoded words are not part of the text.
                if !after_word || !before.trim().is_empty() {
                    out.push_str(before);
                }
                out.push_str(&decoded);
                rest = word.get(length..).unwrap_or_default();
                after_word = true;
            }
            None => {
                out.push_str(before);
                out.push_str("=?");
                rest = word.get(2..).unwrap_or_default();
                after_word = false;
            }
        }
    }
    out.push_str(rest);
    out
}

fn decode_word(word: &str) -> Option<(String, usize)> {
    let mut parts = word.get(2..)?.splitn(4, '?');
    let (charset, encoding, data) = (parts.next()?, parts.next()?, parts.next()?);
    if !parts.next()?.starts_with('=') {
        return None;
    }
    let bytes = match encoding {
        "B" | "b" => STANDARD.decode_to_vec(data.as_bytes()).ok()?,
        "Q" | "q" => unquote(data.replace('_', " ").as_bytes()),
        _ => return None,
    };
    let length = 2 + charset.len() + 1 + encoding.len() + 1 + data.len() + 2;
    Some((in_charset(&bytes, charset)?, length))
}

/// `bytes` as text if their character set is one that we know.
fn in_charset(bytes: &[u8], charset: &str) -> Option<String> {
    match charset.to_ascii_lowercase().as_str() {
        "utf-8" | "us-ascii" => Some(String::from_utf8_lossy(bytes).into_owned()),
        "iso-8859-1" | "iso-8859-15" | "windows-1252" => {
            Some(bytes.iter().map(|byte| char::from(*byte)).collect())
        }
        _ => None,
    }
}

/// Undoes quoted-printable.
fn unquote(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut rest = data;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'=' {
            out.push(*first);
        } else if let Some(tail) = after.strip_prefix(b"\r\n").or_else(|| after.strip_prefix(b"\n"))
        {
            rest = tail;
        } else if let Some((hex, tail)) = after.split_at_checked(2)
            && let Ok(hex) = std::str::from_utf8(hex)
            && let Ok(byte) = u8::from_str_radix(hex, 16)
        {
            out.push(byte);
            rest = tail;
        } else {
            out.push(b'=');
        }
    }
    out
}

/// A name and an address out of a header field such as `From`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) address: String,
}

/// The people of a field such as `To`.
pub(crate) fn people(value: &str) -> Vec<Person> {
    let mut people = Vec::new();
    let mut current = String::new();
    let (mut quoted, mut angle) = (false, false);
    for c in value.chars().chain([',']) {
        match c {
            '"' => quoted = !quoted,
            '<' if !quoted => angle = true,
            '>' if !quoted => angle = false,
            _ => {}
        }
        if c == ',' && !quoted && !angle {
            people.extend(person(&current));
            current.clear();
        } else {
            current.push(c);
        }
    }
    people
}

fn person(text: &str) -> Option<Person> {
    let text = text.trim();
    let person = match text.rsplit_once('<') {
        Some((name, rest)) => Person {
            name: decode_words(name.trim().trim_matches('"')),
            address: rest.trim_end_matches('>').trim().to_owned(),
        },
        None => Person { name: String::new(), address: text.to_owned() },
    };
    (!person.address.is_empty()).then_some(person)
}

/// A part of a message that is no multipart.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// `text/plain`, in lower case.
    pub(crate) kind: String,
    pub(crate) charset: String,
    pub(crate) name: Option<String>,
    pub(crate) content_id: Option<String>,
    pub(crate) is_attachment: bool,
    pub(crate) bytes: Vec<u8>,
}

impl Part {
    pub(crate) fn to_text(&self) -> String {
        in_charset(&self.bytes, &self.charset).unwrap_or_else(|| text(&self.bytes))
    }
}

/// The parts of a message, in order.
pub(crate) fn parts(message: &[u8]) -> Vec<Part> {
    let mut found = Vec::new();
    collect(message, 0, &mut found);
    found
}

fn collect(entity: &[u8], depth: usize, found: &mut Vec<Part>) {
    if depth > MAX_DEPTH || found.len() >= MAX_PARTS {
        return;
    }
    let (head, body) =
        entity.split_at_checked(head_length(entity).unwrap_or(entity.len())).unwrap_or_default();
    let fields = fields(head);
    let content_type = find(&fields, "Content-Type").unwrap_or("text/plain");
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if let (true, Some(boundary)) =
        (kind.starts_with("multipart/"), parameter(content_type, "boundary"))
    {
        for part in split(body, &boundary) {
            collect(part, depth + 1, found);
        }
        return;
    }
    let disposition = find(&fields, "Content-Disposition").unwrap_or_default();
    let encoding = find(&fields, "Content-Transfer-Encoding").unwrap_or_default();
    let name = parameter(disposition, "filename").or_else(|| parameter(content_type, "name"));
    let is_attachment = disposition.to_ascii_lowercase().starts_with("attachment")
        || name.is_some()
        || !(kind.starts_with("text/") || kind.starts_with("message/delivery"));
    found.push(Part {
        charset: parameter(content_type, "charset").unwrap_or_else(|| "utf-8".to_owned()),
        name: name.map(|name| decode_words(&name)),
        content_id: find(&fields, "Content-ID").map(|id| id.trim_matches(['<', '>']).to_owned()),
        is_attachment,
        bytes: decode_body(body, encoding),
        kind,
    });
}

fn decode_body(body: &[u8], encoding: &str) -> Vec<u8> {
    match encoding.to_ascii_lowercase().as_str() {
        "base64" => {
            let mut digits: Vec<u8> =
                body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
            digits.truncate(digits.len() / 4 * 4);
            STANDARD.decode_to_vec(&digits).unwrap_or_default()
        }
        "quoted-printable" => unquote(body),
        _ => body.to_vec(),
    }
}

/// The entities between the boundaries of a multipart's body.
fn split<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let mark = format!("--{boundary}");
    let mut parts = Vec::new();
    let (mut at, mut start) = (0, None);
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(mark.as_bytes()) {
            if let Some(start) = start.take() {
                let part = body.get(start..at).unwrap_or_default();
                let part = part.strip_suffix(b"\n").unwrap_or(part);
                parts.push(part.strip_suffix(b"\r").unwrap_or(part));
            }
            if line.get(mark.len()..).is_some_and(|rest| rest.starts_with(b"--")) {
                return parts;
            }
            start = Some(at + line.len());
        }
        at += line.len();
    }
    parts.extend(start.and_then(|start| body.get(start..)));
    parts
}

fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|part| {
        let (own, value) = part.split_once('=')?;
        own.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_body_and_attachment() {
        let message = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= =?iso-8859-1?B?5A==?=\r\n\
            Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\npreamble\r\n--b\r\n\
            Content-Type: text/plain; charset=iso-8859-1\r\n\
            Content-Transfer-Encoding: quoted-printable\r\n\r\nna=\r\n=EFve\r\n--b\r\n\
            Content-Type: application/pdf; name=a.pdf\r\n\
            Content-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n";
        let subject = field(message, "subject").unwrap();
        assert_eq!(decode_words(&subject), "Grüßeä");
        let parts = parts(message);
        assert_eq!(parts[0].to_text(), "naïve");
        assert_eq!(
            (parts[1].name.as_deref(), parts[1].bytes.as_slice()),
            (Some("a.pdf"), &[0, 1, 2][..])
        );
        assert!(parts[1].is_attachment && !parts[0].is_attachment);
    }

    #[test]
    fn reads_people() {
        let people = people("\"Claims, North\" <claims@example.org>, desk@example.net");
        assert_eq!(
            people[0],
            Person { name: "Claims, North".into(), address: "claims@example.org".into() }
        );
        assert_eq!(people[1].address, "desk@example.net");
    }
}
