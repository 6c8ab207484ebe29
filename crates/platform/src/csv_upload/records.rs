//! The text of a file as records, one in memory at a time, whatever is in the file.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::text::Table;
use crate::refusal::Refusal;

/// Most columns.
pub(super) const MAX_COLUMNS: usize = 1024;
/// Most bytes of a record: what one comment may have. Where a quotation mark is missing, all that
/// follows is one record.
const MAX_RECORD: usize = 4 * 1024 * 1024;
/// Bytes for a record at first.
const FIRST: usize = 4096;

/// Where somebody is in a file.
pub(super) struct Records {
    reader: Reader,
    at: usize,
    /// Of the last record: its fields one behind the other, and where each ends.
    fields: Vec<u8>,
    ends: Vec<usize>,
    /// Its line, and how much of the two lists is its own.
    size: (u64, usize, usize),
}

/// A record, and the line that it begins in.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) line: u64,
    text: &'a str,
    ends: &'a [usize],
}

impl<'a> Record<'a> {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, number: usize) -> Option<&'a str> {
        let end = *self.ends.get(number)?;
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before));
        self.text.get(start.copied().unwrap_or_default()..end)
    }

    pub(super) fn iter(self) -> impl Iterator<Item = &'a str> {
        (0..self.len()).filter_map(move |number| self.get(number))
    }

    /// Programs end files with rows of separators only.
    fn is_blank(self) -> bool {
        self.iter().all(|field| field.trim().is_empty())
    }
}

impl Records {
    pub(super) fn new(delimiter: u8) -> Self {
        let reader = ReaderBuilder::new().delimiter(delimiter).build();
        // One more column than is allowed, and one so that a full record is not taken for a part.
        let (fields, ends) = (vec![0; FIRST], vec![0; MAX_COLUMNS + 2]);
        Self { reader, at: 0, fields, ends, size: (1, 0, 0) }
    }

    /// The next record, whatever it is.
    pub(super) fn read(&mut self, text: &str) -> Result<Option<Record<'_>>, Refusal> {
        if self.advance(text)? { self.last().map(Some) } else { Ok(None) }
    }

    /// Goes to the next record, if there is one.
    fn advance(&mut self, text: &str) -> Result<bool, Refusal> {
        // The reader leaves the second half of CRLF to the next record, which then seems to begin
        // in the line before.
        let is_late = text.as_bytes().get(self.at) == Some(&b'\n');
        let line = self.reader.line() + u64::from(is_late);
        let (mut length, mut count) = (0, 0);
        loop {
            let input = text.as_bytes().get(self.at..).unwrap_or_default();
            let fields = self.fields.get_mut(length..).unwrap_or_default();
            let ends = self.ends.get_mut(count..).unwrap_or_default();
            let (result, read, written, ended) = self.reader.read_record(input, fields, ends);
            self.at += read;
            length += written;
            count += ended;
            match result {
                // With nothing more to read, the next round ends the last record.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if length >= MAX_RECORD => {
                    let message = format!(
                        "the row that begins in line {line} has more than {MAX_RECORD} bytes; \
                         is a quotation mark missing?"
                    );
                    return Err(Refusal::invalid(message));
                }
                ReadRecordResult::OutputFull => {
                    let more = self.fields.len().saturating_mul(2).min(MAX_RECORD);
                    self.fields.resize(more, 0);
                }
                ReadRecordResult::OutputEndsFull => return Err(too_many(line)),
                ReadRecordResult::Record if count > MAX_COLUMNS => return Err(too_many(line)),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(false),
            }
        }
        self.size = (line, length, count);
        Ok(true)
    }

    fn last(&self) -> Result<Record<'_>, Refusal> {
        let (line, length, count) = self.size;
        let fields = self.fields.get(..length).unwrap_or_default();
        let ends = self.ends.get(..count).unwrap_or_default();
        // What separates fields is ASCII, so that they are text as the file is.
        let text = str::from_utf8(fields)
            .map_err(|_| Refusal::invalid(format!("line {line} of the file cannot be read")))?;
        Ok(Record { line, text, ends })
    }
}

fn too_many(line: u64) -> Refusal {
    Refusal::invalid(format!("line {line} of the file has more than {MAX_COLUMNS} columns"))
}

/// The rows below the names of the columns.
pub(super) struct Rows {
    table: Table,
    records: Records,
    pub(super) columns: Vec<String>,
}

impl Rows {
    pub(super) fn of(table: Table) -> Result<Self, Refusal> {
        let (columns, records) = begin(&table)?;
        if columns.iter().all(String::is_empty) {
            return Err(Refusal::invalid("the file is empty; its first line names the columns"));
        }
        Ok(Self { table, records, columns })
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Begins anew.
    pub(super) fn rewind(&mut self) -> Result<(), Refusal> {
        (_, self.records) = begin(&self.table)?;
        Ok(())
    }

    /// The next row that has anything in it.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, Refusal> {
        let count = self.columns.len();
        loop {
            if !self.records.advance(&self.table.text)? {
                return Ok(None);
            }
            let record = self.records.last()?;
            if record.is_blank() {
                continue;
            }
            if record.len() != count {
                let (line, found) = (record.line, record.len());
                let message = format!("line {line} has {found} columns, and the first has {count}");
                return Err(Refusal::invalid(message));
            }
            break;
        }
        self.records.last().map(Some)
    }
}

/// The names of the columns, and what is below them.
fn begin(table: &Table) -> Result<(Vec<String>, Records), Refusal> {
    let mut records = Records::new(table.delimiter);
    let first = records.read(&table.text)?;
    let columns = first
        .map_or_else(Vec::new, |first| first.iter().map(|name| name.trim().to_owned()).collect());
    Ok((columns, records))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(u64, Vec<String>)> {
        let mut records = Records::new(b',');
        let mut found = Vec::new();
        while let Some(record) = records.read(text).unwrap() {
            found.push((record.line, record.iter().map(str::to_owned).collect()));
        }
        found
    }

    #[test]
    fn records_are_what_the_standard_says_and_know_their_lines() {
        let of = |line: u64, fields: &[&str]| {
            (line, fields.iter().map(|own| (*own).to_owned()).collect::<Vec<_>>())
        };
        let expected =
            vec![of(1, &["a", "b,\u{20ac}"]), of(2, &["c\r\nd", "\"e\""]), of(4, &["", ""])];
        let text = "a,\"b,\u{20ac}\"\r\n\"c\r\nd\",\"\"\"e\"\"\"\r\n,";
        assert_eq!(all(text), expected);
        assert_eq!(all(&format!("{text}\r\n")), expected);
        assert_eq!(all(""), []);
        let long = "x".repeat(3 * FIRST);
        assert_eq!(all(&format!("{long},y\n")), [of(1, &[&long, "y"])]);
        let widest = vec!["z"; MAX_COLUMNS];
        assert_eq!(all(&widest.join(",")), [of(1, &widest)]);
        assert_eq!(all(&format!("{}\n", widest.join(","))), [of(1, &widest)]);
    }

    #[test]
    fn whatever_is_in_a_file_little_of_it_is_in_memory() {
        let many = ",".repeat(1024 * 1024);
        let one_more = format!("a,b\n{}\nc,d\n", ",".repeat(MAX_COLUMNS));
        let endless = format!("a,b\n\"{}", "x\n".repeat(MAX_RECORD));
        for (text, good, expected) in [
            (&many, 0, "line 1 of the file has more than 1024 columns"),
            (&one_more, 1, "line 2 of the file has more than 1024 columns"),
            (&endless, 1, "the row that begins in line 2 has more than 4194304 bytes"),
        ] {
            let mut records = Records::new(b',');
            for _ in 0..good {
                assert!(records.read(text).unwrap().is_some());
            }
            let refused = records.read(text).err().unwrap().to_string();
            assert!(refused.contains(expected), "{refused}");
            assert!(records.fields.capacity() <= MAX_RECORD);
            assert_eq!(records.ends.capacity(), MAX_COLUMNS + 2);
            assert!(records.at <= MAX_RECORD + 8, "{}", records.at);
        }
    }
}
