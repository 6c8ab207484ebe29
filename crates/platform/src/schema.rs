//! Compares values with the schemas of the service, which refuse every field they do not know.

use std::fmt::Display;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// The fields of an object that were not read yet.
pub(crate) struct Fields {
    path: String,
    map: Map<String, Value>,
}

impl Fields {
    pub(crate) fn of(path: &str, value: Value) -> Result<Self, Refusal> {
        match value {
            Value::Object(map) => Ok(Self { path: path.to_owned(), map }),
            _ => Err(wrong(path, "expected an object")),
        }
    }

    pub(crate) fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str, Value) -> Result<T, Refusal>,
    ) -> Result<Option<T>, Refusal> {
        let path = self.path_of(name);
        self.map.remove(name).map(|value| read(&path, value)).transpose()
    }

    pub(crate) fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str, Value) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let path = self.path_of(name);
        match self.map.remove(name) {
            Some(value) => read(&path, value),
            None => Err(wrong(&path, "this field is required")),
        }
    }

    /// Refuses what was not read.
    pub(crate) fn finish(self) -> Result<(), Refusal> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(name) => Err(wrong(&self.path_of(name), "unknown field")),
        }
    }

    /// The path of the body itself is empty.
    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

/// The refusal of the value at `path`.
pub(crate) fn wrong(path: &str, why: impl Display) -> Refusal {
    Refusal::invalid(format!("`{path}`: {why}"))
}

/// The fields of the body itself; their paths are their names.
pub(crate) fn top(body: Value) -> Result<Fields, Refusal> {
    Ok(Fields { path: String::new(), ..Fields::of("body", body)? })
}

/// The object that is the only field of the body: `{"bucket": {…}}`.
pub(crate) fn only(name: &str, body: Value) -> Result<Fields, Refusal> {
    let mut fields = top(body)?;
    let inner = fields.required(name, Fields::of)?;
    fields.finish()?;
    Ok(inner)
}

pub(crate) fn any_text(path: &str, value: Value) -> Result<String, Refusal> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(wrong(path, "expected a string")),
    }
}

/// A string of so many characters.
pub(crate) fn text(least: usize, most: usize) -> impl Fn(&str, Value) -> Result<String, Refusal> {
    move |path, value| {
        let text = inner_text(least, most)(path, value)?;
        // Not every database keeps this character in a text of its own.
        if text.contains('\0') {
            return Err(wrong(path, "the character U+0000 is not allowed"));
        }
        Ok(text)
    }
}

/// The same for what is kept within JSON, where every character has its place.
pub(crate) fn inner_text(
    least: usize,
    most: usize,
) -> impl Fn(&str, Value) -> Result<String, Refusal> {
    move |path, value| {
        let text = any_text(path, value)?;
        if (least..=most).contains(&text.chars().count()) {
            Ok(text)
        } else {
            Err(wrong(path, format!("expected {least} to {most} characters")))
        }
    }
}

pub(crate) fn one_of(
    allowed: &'static [&'static str],
) -> impl FnOnce(&str, Value) -> Result<String, Refusal> {
    move |path, value| {
        let text = any_text(path, value)?;
        if allowed.contains(&text.as_str()) {
            return Ok(text);
        }
        Err(wrong(path, format!("'{text}' is not one of {}", allowed.join(", "))))
    }
}

pub(crate) fn flag(path: &str, value: Value) -> Result<bool, Refusal> {
    value.as_bool().ok_or_else(|| wrong(path, "expected true or false"))
}

pub(crate) fn natural(path: &str, value: Value) -> Result<u64, Refusal> {
    // Databases and other programs have a sign in their integers.
    let number = value.as_u64().filter(|number| i64::try_from(*number).is_ok());
    number.ok_or_else(|| wrong(path, "expected an integer that is not negative"))
}

/// A time with its offset. Spec: RFC 3339 §5.6.
pub(crate) fn time(path: &str, value: Value) -> Result<DateTime<Utc>, Refusal> {
    let text = any_text(path, value)?;
    // The parser takes a blank for the `T`, as other profiles of ISO 8601 do.
    let time = DateTime::parse_from_rfc3339(&text).ok().filter(|_| text.get(10..11) == Some("T"));
    match time {
        Some(time) => Ok(time.with_timezone(&Utc)),
        None => Err(wrong(path, format!("'{text}' is no RFC 3339 timestamp with an offset"))),
    }
}

/// A time that may be null.
pub(crate) fn time_or_null(path: &str, value: Value) -> Result<Option<DateTime<Utc>>, Refusal> {
    if value.is_null() { Ok(None) } else { time(path, value).map(Some) }
}

/// From when and up to when; each may be left out. Whether the ends are part of it, each endpoint
/// says.
pub(crate) type TimeRange = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// `{"minimum": …, "maximum": …}`
pub(crate) fn time_range(path: &str, value: Value) -> Result<TimeRange, Refusal> {
    let mut range = Fields::of(path, value)?;
    let from = range.optional("minimum", time)?;
    let to = range.optional("maximum", time)?;
    range.finish()?;
    Ok((from, to))
}

pub(crate) fn list<T>(
    read: impl Fn(&str, Value) -> Result<T, Refusal>,
) -> impl FnOnce(&str, Value) -> Result<Vec<T>, Refusal> {
    move |path, value| {
        let Value::Array(list) = value else { return Err(wrong(path, "expected an array")) };
        let element = |(number, value)| read(&format!("{path}[{number}]"), value);
        list.into_iter().enumerate().map(element).collect()
    }
}

/// Lower-case hex digits, so many.
pub(crate) fn is_hex(text: &str, digits: std::ops::RangeInclusive<usize>) -> bool {
    digits.contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A number as `{:x}` writes it: one below zero, such as a place in a time before 1970, is its two's
/// complement.
pub(crate) fn hex_number(text: &str) -> Option<i64> {
    u64::from_str_radix(text, 16).ok().map(u64::cast_signed)
}

/// A name of a bucket or of a configuration: `^[A-Za-z0-9-_]{1,256}$`; of a project also with dots.
pub(crate) fn is_name(text: &str, project: bool) -> bool {
    let most = if project { 1024 } else { 256 };
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b) || project && b == b'.';
    (1..=most).contains(&text.len()) && text.bytes().all(fits)
}

/// A time as the service writes it.
pub(crate) fn show(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
