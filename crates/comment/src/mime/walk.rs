//! Finds the parts of a message: one pass over its bytes, without recursion.
//!
//! An attached message is one part, not a tree of its own, so that a message in a message in a
//! message costs nothing. The number of open multiparts is limited, so a line is compared with a
//! limited number of boundaries.

use std::ops::Range;

use memchr::{memchr, memmem};

use crate::{
    guard::{Limits, Note, Notes},
    mime::{Fields, end_of_fields, parameters::Structured, transfer::Encoding},
};

/// RFC 2046 §5.1.1 allows 70 characters.
const MAX_BOUNDARY: usize = 1_000;

#[derive(Clone, Debug)]
pub(crate) struct Part<'a> {
    /// The multipart that it is in, by index.
    pub(crate) parent: Option<usize>,
    pub(crate) kind: Structured,
    pub(crate) fields: Fields<'a>,
    pub(crate) encoding: Encoding,
    /// Encoded content; of a multipart, all that is in it.
    pub(crate) body: Range<usize>,
    /// A multipart whose parts follow it in the list.
    pub(crate) open: bool,
}

/// A multipart whose end has not come.
struct Open {
    part: usize,
    boundary: Vec<u8>,
}

/// Parts in the order of the message; the first is the message itself.
pub(crate) fn walk<'a>(raw: &'a [u8], limits: &Limits, notes: &mut Notes) -> Vec<Part<'a>> {
    let mut parts: Vec<Part<'a>> = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut start = 0;
    let mut parent = None;
    'parts: loop {
        if parts.len() >= limits.parts {
            notes.add(Note::TooManyParts);
            break;
        }
        let end = end_of_fields(raw, start, notes);
        let block = raw.get(start..end.fields).unwrap_or_default();
        let fields = Fields::new(block, limits, notes);
        let kind = kind_of(&fields, parent.and_then(|it: usize| parts.get(it)), limits, notes);
        let index = parts.len();
        let mut multipart = kind.value.starts_with("multipart/");
        if multipart && open.len() >= limits.depth {
            notes.add(Note::TooDeep);
            multipart = false;
        }
        if multipart {
            match boundary_of(&kind, raw, end.body, index == 0, notes) {
                Some(boundary) => open.push(Open { part: index, boundary }),
                None => multipart = false,
            }
        }
        let encoding = fields
            .value("Content-Transfer-Encoding")
            .map_or(Encoding::Identity, Encoding::from_field);
        let body = end.body..raw.len();
        parts.push(Part { parent, kind, fields, encoding, body, open: multipart });
        let mut leaf = (!multipart).then_some(index);
        let mut at = end.body;
        loop {
            let Some(line) = next_delimiter(raw, at, &open) else { break 'parts };
            let closed = open.split_off(line.level + 1);
            for part in closed.into_iter().map(|it| it.part).chain(leaf.take()) {
                if let Some(part) = parts.get_mut(part) {
                    part.body.end = line.before.max(part.body.start);
                }
            }
            at = line.after;
            if !line.last {
                parent = open.last().map(|it| it.part);
                start = at;
                continue 'parts;
            }
            if let Some(part) = open.pop().and_then(|it| parts.get_mut(it.part)) {
                part.body.end = line.after;
            }
            if open.is_empty() {
                break 'parts;
            }
        }
    }
    keep_text_of_broken_multiparts(&mut parts, notes);
    parts
}

/// The content type of a part, with the default of where it stands.
fn kind_of(
    fields: &Fields<'_>,
    parent: Option<&Part<'_>>,
    limits: &Limits,
    notes: &mut Notes,
) -> Structured {
    let mut kind = match fields.value("Content-Type") {
        Some(value) => Structured::parse(value, limits, notes),
        None => Structured::default(),
    };
    if !kind.value.contains('/') {
        let digest = parent.is_some_and(|it| it.kind.value == "multipart/digest");
        kind.value = match kind.value.as_str() {
            "" if digest => "message/rfc822",
            "html" => "text/html",
            "multipart" => "multipart/mixed",
            _ => "text/plain",
        }
        .to_owned();
    }
    kind
}

fn boundary_of(
    kind: &Structured,
    raw: &[u8],
    body: usize,
    is_root: bool,
    notes: &mut Notes,
) -> Option<Vec<u8>> {
    let named = kind
        .bytes("boundary")
        .map(<[u8]>::trim_ascii_end)
        .filter(|it| !it.is_empty() && it.len() <= MAX_BOUNDARY);
    // Only the root is searched for what it names: for each part, that would be quadratic.
    if !is_root {
        return named.map(<[u8]>::to_vec);
    }
    let content = raw.get(body..).unwrap_or_default();
    if let Some(boundary) = named
        && memmem::find(content, boundary).is_some()
    {
        return Some(boundary.to_vec());
    }
    notes.add(Note::BrokenMultipart);
    guess_boundary(content)
}

/// The first line that looks like a boundary: dashes, with a MIME header on the next line.
fn guess_boundary(content: &[u8]) -> Option<Vec<u8>> {
    let mut lines = content.split(|byte| *byte == b'\n').take(2_000).peekable();
    while let Some(line) = lines.next() {
        let next = lines.peek().and_then(|it| it.get(..8)).unwrap_or_default();
        if let Some(boundary) = line.strip_prefix(b"--")
            && next.eq_ignore_ascii_case(b"content-")
        {
            let boundary = boundary.trim_ascii_end();
            return (!boundary.is_empty() && boundary.len() <= MAX_BOUNDARY)
                .then(|| boundary.to_vec());
        }
    }
    None
}

/// A line that ends a part.
struct Delimiter {
    /// Which of the open multiparts it belongs to.
    level: usize,
    /// End of the content before it; the line break before it is its own (RFC 2046 §5.1.1).
    before: usize,
    /// Start of the next line.
    after: usize,
    /// The multipart ends here.
    last: bool,
}

fn next_delimiter(raw: &[u8], from: usize, open: &[Open]) -> Option<Delimiter> {
    if open.is_empty() {
        return None;
    }
    let rest = raw.get(from..)?;
    let at_start = from == 0 || raw.get(from - 1) == Some(&b'\n');
    let first = (at_start && rest.starts_with(b"--")).then_some(from);
    let others = memmem::find_iter(rest, b"\n--").map(|at| from + at + 1);
    for start in first.into_iter().chain(others) {
        let line = raw.get(start + 2..).unwrap_or_default();
        // The innermost first: a boundary may be used twice.
        for (level, one) in open.iter().enumerate().rev() {
            let Some(tail) = line.strip_prefix(one.boundary.as_slice()) else { continue };
            let length = memchr(b'\n', tail).unwrap_or(tail.len());
            let tail_line = tail.get(..length).unwrap_or(tail);
            let (tail_line, last) = match tail_line.strip_prefix(b"--") {
                Some(it) => (it, true),
                None => (tail_line, false),
            };
            // Else the boundary is only the start of another one.
            if tail_line.iter().all(u8::is_ascii_whitespace) {
                let after = raw.len().min(start + 2 + line.len() - tail.len() + length + 1);
                return Some(Delimiter { level, before: line_end(raw, start), after, last });
            }
        }
    }
    None
}

/// Steps back over the line break before `start`.
fn line_end(raw: &[u8], start: usize) -> usize {
    let line_feed = start.checked_sub(1).filter(|at| raw.get(*at) == Some(&b'\n'));
    let Some(at) = line_feed else { return start };
    at.checked_sub(1).filter(|at| raw.get(*at) == Some(&b'\r')).unwrap_or(at)
}

/// A multipart in which no part was found may still hold the text.
fn keep_text_of_broken_multiparts(parts: &mut [Part<'_>], notes: &mut Notes) {
    let mut has_child = vec![false; parts.len()];
    for part in parts.iter() {
        if let Some(flag) = part.parent.and_then(|it| has_child.get_mut(it)) {
            *flag = true;
        }
    }
    for (part, has_child) in parts.iter_mut().zip(has_child) {
        if part.kind.value.starts_with("multipart/") && !has_child && !part.body.is_empty() {
            if !part.open || part.parent.is_none() {
                notes.add(Note::BrokenMultipart);
            }
            part.open = false;
            part.kind.value = if part.parent.is_none() {
                "text/plain".to_owned()
            } else {
                "application/octet-stream".to_owned()
            };
        }
    }
}
