//! Header fields of a block, one after the other, without copying them.

use memchr::memchr;

use crate::guard::{Limits, Note, Notes};

/// One header field as it stands: name without blanks, value with its folds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
}

/// A header block. Reading it twice costs less than keeping a table of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    block: &'a [u8],
    max: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(block: &'a [u8], limits: &Limits, notes: &mut Notes) -> Self {
        let cut = block.get(..limits.header_bytes).unwrap_or(block);
        if cut.len() < block.len() {
            notes.add(Note::HeaderTooLarge);
        }
        Self { block: cut, max: limits.headers }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        Iter { rest: self.block }.take(self.max)
    }

    /// The first field of that name; names are compared without regard to case.
    pub(crate) fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|it| it.name.eq_ignore_ascii_case(name.as_bytes())).map(|it| it.value)
    }
}

struct Iter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let (field, rest) = split_folded(self.rest);
            self.rest = rest;
            if let Some(name) = name_of(field) {
                let value = field.get(name.len()..).unwrap_or_default();
                // Obsolete syntax allows blanks before the colon (RFC 5322 §4.5).
                let colon = memchr(b':', value).map_or(value.len(), |at| at + 1);
                let value = value.get(colon..).unwrap_or_default();
                return Some(Field { name, value });
            }
        }
    }
}

/// Cuts off the first line and the lines that continue it.
fn split_folded(block: &[u8]) -> (&[u8], &[u8]) {
    let mut end = 0;
    loop {
        let rest = block.get(end..).unwrap_or_default();
        match memchr(b'\n', rest) {
            Some(at) => end += at + 1,
            None => return (block, &[]),
        }
        match block.get(end) {
            Some(b' ' | b'\t') => {}
            _ => return (block.get(..end).unwrap_or(block), block.get(end..).unwrap_or_default()),
        }
    }
}

/// The name of the field on a line, or `None` if the line is no header field.
fn name_of(line: &[u8]) -> Option<&[u8]> {
    let length = line.iter().take_while(|byte| matches!(byte, 33..=57 | 59..=126)).count();
    let after = line.get(length..).unwrap_or_default();
    let colon = after.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    (length > 0 && colon == Some(&b':')).then(|| line.get(..length)).flatten()
}

/// Ends of a header block: of its fields, and of the blank line after them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) fields: usize,
    pub(crate) body: usize,
}

/// Finds where the header block that starts at `from` ends.
///
/// The block ends at a blank line, at a boundary, or, where the blank line is missing, at the
/// first lines that can be no header. Lines of garbage between header fields are passed over.
pub(crate) fn end_of_fields(raw: &[u8], from: usize, notes: &mut Notes) -> End {
    /// Lines of garbage after which no field is expected any more.
    const MAX_GARBAGE: usize = 3;
    let mut at = from;
    let mut garbage: Option<(usize, usize)> = None;
    loop {
        let rest = raw.get(at..).unwrap_or_default();
        let (line, next) = match memchr(b'\n', rest) {
            Some(length) => (rest.get(..length).unwrap_or_default(), at + length + 1),
            None => (rest, raw.len()),
        };
        let blank = line.iter().all(|byte| matches!(byte, b'\r' | b' ' | b'\t'));
        let folded = matches!(line.first(), Some(b' ' | b'\t')) && at > from;
        let known = name_of(line).is_some() || (folded && !blank);
        let mbox = at == from && line.starts_with(b"From ");
        if line.iter().all(|byte| *byte == b'\r') || (blank && garbage.is_none()) {
            // A blank line among garbage belongs to the text that the garbage is.
            return match garbage {
                Some((start, _)) => End { fields: start, body: start },
                None => End { fields: at, body: next },
            };
        }
        if line.starts_with(b"--") && !known {
            return End { fields: at, body: at };
        }
        if known || mbox {
            garbage = None;
        } else {
            notes.add(Note::BrokenHeader);
            let (start, lines) = garbage.unwrap_or((at, 0));
            if lines + 1 >= MAX_GARBAGE {
                return End { fields: start, body: start };
            }
            garbage = Some((start, lines + 1));
        }
        if next >= raw.len() {
            return match garbage {
                Some((start, _)) => End { fields: start, body: start },
                None => End { fields: raw.len(), body: raw.len() },
            };
        }
        at = next;
    }
}
