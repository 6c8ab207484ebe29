//! The bytes of a file as text, and the text as records.

use std::borrow::Cow;

use csv::{ReaderBuilder, StringRecord};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::parameter;
use crate::{refusal::Refusal, request::Head, schema::wrong};

/// Separators that are looked for.
const DELIMITERS: [u8; 4] = *b",;\t|";
/// Records that tell which separator it is.
const SAMPLE: usize = 200;
/// Most columns.
pub(super) const MAX_COLUMNS: usize = 1024;

/// What a request says of the file; the rest is found out.
pub(super) struct Format {
    encoding: Option<&'static Encoding>,
    delimiter: Option<u8>,
}

/// A file whose form is known.
pub(super) struct Table<'a> {
    text: Cow<'a, str>,
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
    pub(super) fn open<'a>(&self, bytes: &'a [u8]) -> Result<Table<'a>, Refusal> {
        let marked = Encoding::for_bom(bytes).map(|(encoding, _)| encoding);
        let encoding = marked.or(self.encoding).unwrap_or_else(|| guessed(bytes));
        let (text, _, broken) = encoding.decode(bytes);
        if broken {
            let line = bytes_before(&text).map_or(1, |before| before.matches('\n').count() + 1);
            let name = encoding.name();
            let message = format!("line {line} of the file is not {name}; name its `encoding`");
            return Err(Refusal::invalid(message));
        }
        let delimiter = self.delimiter.unwrap_or_else(|| found(&text));
        Ok(Table { text, encoding, delimiter })
    }
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
        let mut records = reader(text, *delimiter).into_records();
        let Some(Ok(first)) = records.next() else { return (0, 0) };
        let same = records.take(SAMPLE).flatten().filter(|own| own.len() == first.len()).count();
        if first.len() < 2 { (0, 0) } else { (same, first.len()) }
    };
    // Of equals, the first one counts.
    DELIMITERS.iter().rev().copied().max_by_key(score).unwrap_or(b',')
}

fn reader(text: &str, delimiter: u8) -> csv::Reader<&[u8]> {
    let mut builder = ReaderBuilder::new();
    builder.delimiter(delimiter).has_headers(false).flexible(true).from_reader(text.as_bytes())
}

/// A record with the line that it begins in.
pub(super) type Line = (u64, StringRecord);

impl Table<'_> {
    /// The line that a record begins in. The reader leaves the second half of CRLF to the next
    /// record, which then seems to begin in the line before.
    fn line(&self, at: &csv::Position) -> u64 {
        let byte = usize::try_from(at.byte()).ok().and_then(|at| self.text.as_bytes().get(at));
        at.line() + u64::from(byte == Some(&b'\n'))
    }

    /// The names of the columns, and an iterator over everything below them.
    pub(super) fn records(
        &self,
    ) -> Result<(Vec<String>, impl Iterator<Item = Result<Line, Refusal>>), Refusal> {
        let mut records = reader(&self.text, self.delimiter).into_records().map(|record| {
            let record = record.map_err(|error| {
                let line = error.position().map_or(0, csv::Position::line);
                Refusal::invalid(format!("line {line} of the file cannot be read"))
            })?;
            Ok((record.position().map_or(0, |own| self.line(own)), record))
        });
        let (_, first) = records.next().unwrap_or_else(|| Ok((1, StringRecord::new())))?;
        let columns: Vec<String> = first.iter().map(|name| name.trim().to_owned()).collect();
        if columns.iter().all(String::is_empty) {
            return Err(Refusal::invalid("the file is empty; its first line names the columns"));
        }
        if columns.len() > MAX_COLUMNS {
            let message = format!("the file has more than {MAX_COLUMNS} columns");
            return Err(Refusal::invalid(message));
        }
        let count = columns.len();
        let records = records.filter_map(move |record| match record {
            // Programs end files with rows of separators only.
            Ok((_, record)) if record.iter().all(|field| field.trim().is_empty()) => None,
            Ok((line, record)) if record.len() != count => {
                let found = record.len();
                let message = format!("line {line} has {found} columns, and the first has {count}");
                Some(Err(Refusal::invalid(message)))
            }
            other => Some(other),
        });
        Ok((columns, records))
    }
}
