//! Which column of a file is what of a comment, and the rows as comments.

use std::fmt::Display;

use openssl::sha::Sha256;
use serde_json::{Map, Number, Value};

use super::{
    MAX_ROWS, content_of, object, parameter,
    records::{MAX_COLUMNS, Record, Rows},
    text::Format,
    times::{Order, time},
};
use crate::{
    comment_shape::{Written, comment},
    refusal::Refusal,
    request::Head,
    schema::{show, wrong},
};

/// What is named once, besides `string` and `number`.
pub(super) const FIELDS: [&str; 9] =
    ["id", "timestamp", "text", "subject", "from", "to", "cc", "bcc", "thread_id"];

/// Rows that are stored together, and cells, of which a comment is made.
const BATCH: usize = 4096;
const BATCH_CELLS: usize = 128 * 1024;
/// Characters of the names of columns in a refusal.
const MAX_NAMES: usize = 1000;

/// Names of columns, as a request gives them.
pub(super) struct Mapping {
    fields: Vec<(&'static str, String)>,
    /// `string` or `number`, and the column, which names the property.
    properties: Vec<(&'static str, String)>,
    order: Option<Order>,
}

impl Mapping {
    pub(super) fn asked(head: &Head) -> Result<Self, Refusal> {
        let mut fields = Vec::new();
        for name in FIELDS {
            match parameter(head, name)? {
                Some(column) => fields.push((name, column.trim().to_owned())),
                None if matches!(name, "text" | "timestamp") => {
                    return Err(wrong(name, "this query parameter is required: a column's name"));
                }
                None => {}
            }
        }
        let mut properties = Vec::new();
        for kind in ["string", "number"] {
            let named = head.parameters(kind).map(|column| (kind, column.trim().to_owned()));
            properties.extend(named);
        }
        if properties.len() > MAX_COLUMNS {
            return Err(wrong("string", format_args!("expected at most {MAX_COLUMNS} columns")));
        }
        let order = match parameter(head, "date_order")? {
            None => None,
            Some("dmy") => Some(Order::DayFirst),
            Some("mdy") => Some(Order::MonthFirst),
            Some(_) => return Err(wrong("date_order", "expected dmy or mdy")),
        };
        Ok(Self { fields, properties, order })
    }

    /// Reads the whole file, and tells of the first row that cannot be a comment.
    pub(super) fn read(&self, bytes: Vec<u8>, asked: &Format) -> Result<Upload, Refusal> {
        let rows = Rows::of(asked.open(bytes)?)?;
        let columns = &rows.columns;
        let place = |parameter: &str, name: &str| {
            let mut named = columns.iter().enumerate().filter(|(_, own)| *own == name);
            let first = named.next();
            if named.next().is_some() {
                let why = format_args!("the file has several columns `{name}`");
                return Err(wrong(parameter, why));
            }
            first.map(|(at, _)| at).ok_or_else(|| {
                let known: String = columns.join("`, `").chars().take(MAX_NAMES).collect();
                wrong(parameter, format_args!("the file has no column `{name}`; it has `{known}`"))
            })
        };
        let places = |list: &[(&'static str, String)]| {
            let one = |(what, name): &(&'static str, String)| {
                Ok(Cell { what, at: place(what, name)?, column: name.clone() })
            };
            list.iter().map(one).collect::<Result<Vec<_>, Refusal>>()
        };
        let (fields, properties) = (places(&self.fields)?, places(&self.properties)?);
        let mut upload = Upload { rows, fields, properties, order: self.order };
        // What was read is not kept: of a row of single letters, a comment takes a hundred times
        // as much.
        let mut count = 0;
        while upload.next()?.is_some() {
            count += 1;
            if count > MAX_ROWS {
                let message = format!("the file has more than {MAX_ROWS} rows; send it in parts");
                return Err(Refusal::invalid(message));
            }
        }
        upload.rows.rewind()?;
        Ok(upload)
    }
}

/// A file of which every row can be a comment.
pub(super) struct Upload {
    rows: Rows,
    fields: Vec<Cell>,
    properties: Vec<Cell>,
    order: Option<Order>,
}

impl Upload {
    fn next(&mut self) -> Result<Option<Written>, Refusal> {
        let Some(record) = self.rows.next()? else { return Ok(None) };
        let row = Row { record, order: self.order };
        row.comment(&self.fields, &self.properties).map(Some)
    }

    /// The next comments, as many as are stored together; none at the end.
    pub(super) fn batch(&mut self) -> Result<Vec<Written>, Refusal> {
        let cells = self.fields.len() + self.properties.len();
        let most = BATCH.min(BATCH_CELLS / cells.max(1));
        let mut batch = Vec::new();
        while batch.len() < most
            && let Some(written) = self.next()?
        {
            batch.push(written);
        }
        Ok(batch)
    }
}

/// A column and what it is.
struct Cell {
    what: &'static str,
    at: usize,
    column: String,
}

struct Row<'a> {
    record: Record<'a>,
    order: Option<Order>,
}

impl Row<'_> {
    fn get(&self, cell: &Cell) -> &str {
        self.record.get(cell.at).unwrap_or_default().trim()
    }

    fn wrong(&self, cell: &Cell, why: impl Display) -> Refusal {
        Refusal::invalid(format!("line {}, column `{}`: {why}", self.record.line, cell.column))
    }

    fn comment(&self, fields: &[Cell], properties: &[Cell]) -> Result<Written, Refusal> {
        let cell = |name: &str| fields.iter().find(|own| own.what == name);
        let text = |name: &str| cell(name).map(|own| self.get(own)).filter(|own| !own.is_empty());
        let at = match cell("timestamp") {
            None => return Err(wrong("timestamp", "this query parameter is required")),
            Some(own) => time(self.get(own), self.order).map_err(|why| self.wrong(own, why))?,
        };
        let id = match cell("id") {
            Some(own) if self.get(own).is_empty() => {
                return Err(self.wrong(own, "an id is missing"));
            }
            Some(own) => self.get(own).to_owned(),
            None => self.own_id(fields),
        };
        let addresses = |name: &str| {
            let list = text(name)?.split(';').map(str::trim).filter(|own| !own.is_empty());
            Some(list.map(Value::from).collect::<Vec<_>>().into())
        };
        let message = object([
            ("body", Some(content_of(text("text").unwrap_or_default()))),
            ("subject", text("subject").map(content_of)),
            ("from", text("from").map(Value::from)),
            ("to", addresses("to")),
            ("cc", addresses("cc")),
            ("bcc", addresses("bcc")),
            ("sent_at", Some(show(at).into())),
        ]);
        let mut values = Map::new();
        for own in properties {
            let text = self.get(own);
            if text.is_empty() {
                continue;
            }
            let value = match own.what {
                "number" => {
                    let number = number(text).ok_or_else(|| {
                        self.wrong(own, format_args!("'{}' is no number", short(text)))
                    })?;
                    Value::Number(number)
                }
                _ => text.into(),
            };
            values.insert(format!("{}:{}", own.what, own.column), value);
        }
        let body = object([
            ("id", Some(id.into())),
            ("timestamp", Some(show(at).into())),
            ("thread_id", text("thread_id").map(Value::from)),
            ("messages", Some(Value::Array(vec![Value::Object(message)]))),
            ("user_properties", Some(Value::Object(values))),
        ]);
        // The rules of all other uploads, with the line in place of the number.
        let line = format!("line {}", self.record.line);
        comment(&line, Value::Object(body))
    }

    /// The same row is the same comment when the file comes again.
    fn own_id(&self, fields: &[Cell]) -> String {
        let mut hash = Sha256::new();
        for cell in fields {
            let text = self.get(cell);
            // With their lengths, so that no two rows run together.
            hash.update(&(text.len() as u64).to_be_bytes());
            hash.update(cell.what.as_bytes());
            hash.update(text.as_bytes());
        }
        hash.finish().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

/// A number as JSON has it; `1 000,5` could be two things and is none.
pub(super) fn number(text: &str) -> Option<Number> {
    match text.parse::<i64>() {
        Ok(number) => Some(number.into()),
        Err(_) if text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) => {
            Number::from_f64(text.parse().ok()?)
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_comments_a_few_at_a_time() {
        let own = |name: &'static str| (name, name.to_owned());
        let properties = (0..500).map(|number| ("string", format!("c{number}")));
        let mapping = Mapping {
            fields: vec![own("text"), own("timestamp")],
            properties: properties.collect(),
            order: None,
        };
        let names: Vec<String> = (0..500).map(|number| format!("c{number}")).collect();
        let row = format!("x,2026-01-01{}\n", ",1".repeat(500));
        let file = format!("text,timestamp,{}\n{}", names.join(","), row.repeat(600));
        let asked = Format::default();
        let mut upload = mapping.read(file.into_bytes(), &asked).unwrap();
        let mut sizes = Vec::new();
        loop {
            let batch = upload.batch().unwrap();
            sizes.push(batch.len());
            let Some(last) = batch.last() else { break };
            assert_eq!(last.body["user_properties"].as_object().unwrap().len(), 500);
        }
        assert_eq!(sizes, [261, 261, 78, 0]);
    }
}
