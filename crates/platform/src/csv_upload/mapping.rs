//! Which column of a file is what of a comment, and the rows as comments.

use std::fmt::Display;

use csv::StringRecord;
use openssl::sha::Sha256;
use serde_json::{Map, Number, Value};

use super::{
    MAX_ROWS, content_of, object, parameter,
    text::{Format, MAX_COLUMNS},
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

    /// All rows as comments, or the first that cannot be one.
    pub(super) fn read(&self, bytes: &[u8], asked: &Format) -> Result<Vec<Written>, Refusal> {
        let table = asked.open(bytes)?;
        let (columns, records) = table.records()?;
        let place = |parameter: &str, name: &str| {
            let mut named = columns.iter().enumerate().filter(|(_, own)| *own == name);
            let first = named.next();
            if named.next().is_some() {
                let why = format_args!("the file has several columns `{name}`");
                return Err(wrong(parameter, why));
            }
            first.map(|(at, _)| at).ok_or_else(|| {
                let known = columns.join("`, `");
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
        let mut written = Vec::new();
        for record in records {
            let (line, record) = record?;
            if written.len() == MAX_ROWS {
                let message = format!("the file has more than {MAX_ROWS} rows; send it in parts");
                return Err(Refusal::invalid(message));
            }
            let row = Row { line, record: &record, order: self.order };
            written.push(row.comment(&fields, &properties)?);
        }
        Ok(written)
    }
}

/// A column and what it is.
struct Cell {
    what: &'static str,
    at: usize,
    column: String,
}

struct Row<'a> {
    line: u64,
    record: &'a StringRecord,
    order: Option<Order>,
}

impl Row<'_> {
    fn get(&self, cell: &Cell) -> &str {
        self.record.get(cell.at).unwrap_or_default().trim()
    }

    fn wrong(&self, cell: &Cell, why: impl Display) -> Refusal {
        Refusal::invalid(format!("line {}, column `{}`: {why}", self.line, cell.column))
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
        let line = format!("line {}", self.line);
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
