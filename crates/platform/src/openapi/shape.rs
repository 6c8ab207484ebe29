//! Words in which bodies and answers are described: JSON Schema 2020-12, as `crate::schema` reads.

use serde_json::{Map, Value, json};

/// One field of an object.
pub(super) struct Field {
    name: &'static str,
    shape: Value,
    required: bool,
}

pub(super) fn must(name: &'static str, shape: Value) -> Field {
    Field { name, shape, required: true }
}

pub(super) fn may(name: &'static str, shape: Value) -> Field {
    Field { name, shape, required: false }
}

/// An object with these fields and no others.
pub(super) fn object(fields: Vec<Field>) -> Value {
    let names = |required: bool| -> Vec<&str> {
        fields.iter().filter(|it| it.required == required).map(|it| it.name).collect()
    };
    let required = names(true);
    let mut shape = json!({ "type": "object", "additionalProperties": false });
    if let Some(map) = shape.as_object_mut() {
        if !required.is_empty() {
            map.insert("required".to_owned(), json!(required));
        }
        let properties: Map<_, _> =
            fields.into_iter().map(|it| (it.name.to_owned(), it.shape)).collect();
        map.insert("properties".to_owned(), properties.into());
    }
    shape
}

/// An object whose names are not known beforehand.
pub(super) fn map_of(value: Value) -> Value {
    json!({ "type": "object", "additionalProperties": value })
}

pub(super) fn any_object() -> Value {
    json!({ "type": "object", "additionalProperties": true })
}

/// Anything.
pub(super) fn any() -> Value {
    json!({})
}

/// A string of so many characters, none of them U+0000.
pub(super) fn text(least: usize, most: usize) -> Value {
    json!({ "type": "string", "minLength": least, "maxLength": most, "pattern": "^[^\\u0000]*$" })
}

/// A string within JSON, where U+0000 has its place.
pub(super) fn inner_text(most: usize) -> Value {
    json!({ "type": "string", "maxLength": most })
}

pub(super) fn any_text() -> Value {
    json!({ "type": "string" })
}

pub(super) fn matching(pattern: &str, example: &str) -> Value {
    json!({ "type": "string", "pattern": pattern, "examples": [example] })
}

pub(super) fn one_of(all: &[&str]) -> Value {
    json!({ "type": "string", "enum": all })
}

pub(super) fn flag() -> Value {
    json!({ "type": "boolean" })
}

pub(super) fn natural() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": i64::MAX })
}

pub(super) fn between(least: u64, most: u64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

pub(super) fn time() -> Value {
    json!({ "type": "string", "format": "date-time", "examples": ["2026-11-02T08:00:00Z"] })
}

pub(super) fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

/// The same, or null.
pub(super) fn nullable(shape: Value) -> Value {
    json!({ "anyOf": [shape, { "type": "null" }] })
}

/// One of the named schemas.
pub(super) fn of(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// With what it means.
pub(super) fn about(mut shape: Value, description: &str) -> Value {
    if let Some(map) = shape.as_object_mut() {
        map.insert("description".to_owned(), description.into());
    }
    shape
}

pub(super) fn hex(digits: usize) -> Value {
    matching(&format!("^[0-9a-f]{{{digits}}}$"), &"0123456789abcdef".repeat(digits.div_ceil(16)))
}

/// The position after a page, only there if more follow.
pub(super) fn continuation(pattern: &str, example: &str) -> Value {
    about(
        matching(pattern, example),
        "Where the next page begins, as the answer to this one said; opaque.",
    )
}

/// What one operation takes and gives.
pub(super) struct Operation {
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) body: Body,
    pub(super) answer: Answer,
    /// Descriptions of query parameters.
    pub(super) query: Vec<(&'static str, Value)>,
    /// Statuses of refusals beside those that its kind of request can have.
    pub(super) refusals: &'static [u16],
}

pub(super) enum Body {
    None,
    Json(Value),
    /// A form with a file in it, or the file itself.
    File,
}

pub(super) enum Answer {
    /// `{"status":"ok"}` with these fields.
    Ok(Vec<Field>),
    /// This in JSON, and no `status`.
    Json(Value),
    /// Bytes of that type.
    Bytes(&'static [&'static str]),
}

pub(super) fn operation(tag: &'static str, summary: &'static str) -> Operation {
    Operation {
        tag,
        summary,
        description: "",
        body: Body::None,
        answer: Answer::Ok(Vec::new()),
        query: Vec::new(),
        refusals: &[],
    }
}

impl Operation {
    pub(super) fn more(self, description: &'static str) -> Self {
        Self { description, ..self }
    }

    pub(super) fn takes(self, fields: Vec<Field>) -> Self {
        Self { body: Body::Json(object(fields)), ..self }
    }

    pub(super) fn takes_file(self) -> Self {
        Self { body: Body::File, ..self }
    }

    pub(super) fn gives(self, fields: Vec<Field>) -> Self {
        Self { answer: Answer::Ok(fields), ..self }
    }

    pub(super) fn gives_json(self, shape: Value) -> Self {
        Self { answer: Answer::Json(shape), ..self }
    }

    pub(super) fn gives_bytes(self, types: &'static [&'static str]) -> Self {
        Self { answer: Answer::Bytes(types), ..self }
    }

    pub(super) fn asks(mut self, name: &'static str, shape: Value) -> Self {
        self.query.push((name, shape));
        self
    }

    pub(super) fn refuses(self, refusals: &'static [u16]) -> Self {
        Self { refusals, ..self }
    }
}
