//! What a configuration may look like, taken from its JSON Schema, so that check, schema and
//! reference page cannot disagree.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::{problem::listed, written::EwsConfig};

/// The part of JSON Schema that a configuration uses.
#[derive(Debug)]
pub(super) enum Shape {
    Text {
        secret: bool,
    },
    Whole {
        min: u64,
        max: u64,
    },
    Number {
        min: f64,
        max: f64,
    },
    Boolean,
    OneOf(Vec<Value>),
    List {
        item: Box<Shape>,
        max: usize,
    },
    Object(BTreeMap<String, Key>),
    /// Any keys, with values of one shape.
    Map(Box<Shape>),
}

/// A key of an object.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) shape: Shape,
    pub(super) required: bool,
    pub(super) description: String,
    pub(super) default: Option<Value>,
}

impl Shape {
    /// What may be written, as the end of "allowed: …".
    pub(super) fn allowed(&self) -> String {
        match self {
            Self::Text { .. } => "a string".into(),
            Self::Whole { min, max } => format!("a whole number from {min} to {max}"),
            Self::Number { min, max } => format!("a number from {min} to {max}"),
            Self::Boolean => "`true` or `false`".into(),
            Self::OneOf(values) => listed(values),
            Self::List { item, max } if matches!(**item, Self::Object(_)) => {
                format!("a list of at most {max} objects `{{…}}`")
            }
            Self::List { item, max } => {
                let item = item.allowed();
                let item = item.strip_prefix("a ").unwrap_or(&item);
                format!("a list of at most {max} {item}s")
            }
            Self::Object(_) | Self::Map(_) => "an object `{…}`".into(),
        }
    }
}

/// The JSON Schema of the configuration.
pub(super) fn schema() -> Value {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<EwsConfig>()
        .to_value()
}

/// The shape of a whole configuration.
pub(super) fn of_config() -> Shape {
    of(&schema())
}

fn of(schema: &Value) -> Shape {
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if let Some(Value::Array(values)) = schema.get("enum") {
        return Shape::OneOf(values.iter().filter(|value| !value.is_null()).cloned().collect());
    }
    if let Some(Value::Array(cases)) = schema.get("oneOf") {
        return Shape::OneOf(cases.iter().filter_map(|case| case.get("const")).cloned().collect());
    }
    if let Some(Value::Array(cases)) = schema.get("anyOf") {
        let not_null = cases.iter().find(|case| case.get("type") != Some(&Value::from("null")));
        return not_null.map_or(Shape::Boolean, of);
    }
    let number = |name| schema.get(name).and_then(Value::as_f64);
    if types.contains(&"integer") {
        let whole = |name| schema.get(name).and_then(Value::as_u64);
        return Shape::Whole {
            min: whole("minimum").unwrap_or(0),
            max: whole("maximum").unwrap_or(u64::MAX),
        };
    }
    if types.contains(&"number") {
        return Shape::Number {
            min: number("minimum").unwrap_or(0.0),
            max: number("maximum").unwrap_or(f64::MAX),
        };
    }
    if types.contains(&"array") {
        let max = schema.get("maxItems").and_then(Value::as_u64).unwrap_or(1000);
        return Shape::List {
            item: Box::new(schema.get("items").map_or(Shape::Text { secret: false }, of)),
            max: usize::try_from(max).unwrap_or(usize::MAX),
        };
    }
    if types.contains(&"object") {
        return match (schema.get("properties"), schema.get("additionalProperties")) {
            (Some(Value::Object(properties)), _) => {
                Shape::Object(properties.iter().map(|(name, it)| key(schema, name, it)).collect())
            }
            (_, Some(values)) => Shape::Map(Box::new(of(values))),
            _ => Shape::Object(BTreeMap::new()),
        };
    }
    if types.contains(&"string") {
        return Shape::Text { secret: schema.get("writeOnly") == Some(&Value::Bool(true)) };
    }
    Shape::Boolean
}

fn key(parent: &Value, name: &str, schema: &Value) -> (String, Key) {
    let required = parent
        .get("required")
        .and_then(Value::as_array)
        .is_some_and(|names| names.iter().any(|required| required == name));
    let key = Key {
        shape: of(schema),
        required,
        description: schema
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        default: schema.get("default").filter(|value| !value.is_null()).cloned(),
    };
    (name.to_owned(), key)
}
