//! The bytes of a file as text.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::{parameter, records::Records};
use crate::{refusal::Refusal, request::Head, schema::wrong};

/// Separators that are looked for.
const DELIMITERS: [u8; 4] = *b",;\t|";
/// Records that tell which separator it is.
const SAMPLE: usize = 200;

/// What a request says of the file; the rest is found out.
#[derive(Default)]
pub(super) struct Format {
    encoding: Option<&'static Encoding>,
    delimiter: Option<u8>,
}

/// A file whose form is known.
pub(super) struct Table {
    pub(super) text: String,
    pub(super) encoding: &'static Encoding,
    pub(super) delimiter: u8,
}

impl Format {
    pub(super) fn asked(head: &Head) -> Result<Self, Refusal> {
        let encoding = parameter(head, "encoding")?.map(|label| {
            let known = Encoding::for_label(label.as_bytes());
            known.ok_or_else(|| {
                let why = format_args!("'{label}' is no encoding of the Encoding Standard");
                wrong("encoding", why)
            })
        });
        let delimiter = parameter(head, "delimiter")?.map(|text| match text.as_bytes() {
            [one] if DELIMITERS.contains(one) => Ok(*one),
            _ => Err(wrong("delimiter", "expected a comma, a semicolon, a tab or `|`")),
        });
        Ok(Self { encoding: encoding.transpose()?, delimiter: delimiter.transpose()? })
    }

    /// Reads the bytes as text, and finds out what the request does not say.
    pub(super) fn open(&self, bytes: Vec<u8>) -> Result<Table, Refusal> {
        let marked = Encoding::for_bom(&bytes).map(|(encoding, _)| encoding);
        let encoding = marked.or(self.encoding).unwrap_or_else(|| guessed(&bytes));
        let text = decoded(encoding, bytes)?;
        let delimiter = self.delimiter.unwrap_or_else(|| found(&text));
        Ok(Table { text, encoding, delimiter })
    }
}

/// The bytes as text, in the same memory if they are that already.
fn decoded(encoding: &'static Encoding, mut bytes: Vec<u8>) -> Result<String, Refusal> {
    let broken = |before: Option<&str>| {
        let line = before.map_or(1, |before| before.matches('\n').count() + 1);
        let name = encoding.name();
        Refusal::invalid(format!("line {line} of the file is not {name}; name its `encoding`"))
    };
    let length = match encoding.decode(&bytes) {
        (text, _, true) => return Err(broken(bytes_before(&text))),
        (Cow::Owned(text), ..) => return Ok(text),
        (Cow::Borrowed(text), ..) => text.len(),
    };
    // A mark at the beginning is no text.
    bytes.drain(..bytes.len().saturating_sub(length));
    String::from_utf8(bytes).map_err(|_| broken(None))
}

/// What is before the first character that could not be read.
fn bytes_before(text: &str) -> Option<&str> {
    text.find('\u{fffd}').and_then(|at| text.get(..at))
}

/// Without a mark: UTF-8 if it is, UTF-16 if every other byte is zero, else what Windows writes in
/// the West.
fn guessed(bytes: &[u8]) -> &'static Encoding {
    let start = bytes.get(..bytes.len().min(4096)).unwrap_or_default();
    let zeros = |offset: usize| start.iter().skip(offset).step_by(2).filter(|b| **b == 0).count();
    if 10 * zeros(1) > 4 * start.len() {
        return UTF_16LE;
    }
    if 10 * zeros(0) > 4 * start.len() && !start.is_empty() {
        return UTF_16BE;
    }
    if std::str::from_utf8(bytes).is_ok() { UTF_8 } else { WINDOWS_1252 }
}

/// The separator with which most of the first records have as many columns as the header, and
/// more than one.
fn found(text: &str) -> u8 {
    let score = |delimiter: &u8| {
        let mut records = Records::new(*delimiter);
        let columns = match records.read(text) {
            Ok(Some(first)) => first.len(),
            Ok(None) => 0,
            // Too many columns are more than none.
            Err(_) => return (0, usize::MAX),
        };
        let mut same = 0;
        for _ in 0..SAMPLE {
            let Ok(Some(record)) = records.read(text) else { break };
            same += usize::from(record.len() == columns);
        }
        if columns < 2 { (0, 0) } else { (same, columns) }
    };
    // Of equals, the first one counts.
    DELIMITERS.iter().rev().copied().max_by_key(score).unwrap_or(b',')
}
