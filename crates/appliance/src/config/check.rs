//! Compares a configuration with its shape, and tells every difference.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    json::Json,
    problem::{key, listed, nearest, quoted},
    shape::Shape,
};

/// Most keys that are listed for one that is not among them.
const MAX_NAMED: usize = 8;

/// Most problems that are looked for.
const MAX_PROBLEMS: usize = 1000;

/// What is wrong with `config`, compared with `shape`; nothing if it fits.
pub(super) fn check(config: &Json, shape: &Shape) -> Vec<String> {
    let mut problems = Vec::new();
    compare(config, shape, "", &mut problems);
    problems
}

fn compare(json: &Json, shape: &Shape, path: &str, problems: &mut Vec<String>) {
    let fits = match (shape, json) {
        (Shape::Object(_) | Shape::Map(_), Json::Object(entries)) => {
            return compare_object(entries, shape, path, problems);
        }
        (Shape::List { item, max }, Json::List(items)) if items.len() <= *max => {
            for (index, json) in items.iter().enumerate() {
                compare(json, item, &format!("{path}[{index}]"), problems);
            }
            return;
        }
        (Shape::Text { .. }, Json::Text(_)) | (Shape::Boolean, Json::Boolean(_)) => true,
        (Shape::Whole { min, max }, Json::Number(number)) => {
            number.as_u64().is_some_and(|number| (*min..=*max).contains(&number))
        }
        (Shape::Number { min, max }, Json::Number(number)) => {
            number.as_f64().is_some_and(|number| (*min..=*max).contains(&number))
        }
        (Shape::OneOf(values), json) => values.iter().any(|value| is(json, value)),
        _ => false,
    };
    if !fits {
        problems.push(misfit(json, shape, path));
    }
}

fn compare_object(
    entries: &[(String, Json)],
    shape: &Shape,
    path: &str,
    problems: &mut Vec<String>,
) {
    let mut seen = BTreeSet::new();
    for (name, json) in entries {
        if problems.len() >= MAX_PROBLEMS {
            return;
        }
        let below = join(path, name);
        if !seen.insert(name) {
            problems.push(format!("`{below}` is written twice; allowed: once"));
            continue;
        }
        match shape {
            Shape::Map(values) => compare(json, values, &below, problems),
            Shape::Object(keys) => match keys.get(name) {
                Some(known) if matches!(json, Json::Null) && !known.required => {}
                Some(known) => compare(json, &known.shape, &below, problems),
                None => problems.push(unknown(&below, name, keys.keys())),
            },
            _ => {}
        }
    }
    if let Shape::Object(keys) = shape {
        for (name, _) in keys.iter().filter(|(name, key)| key.required && !seen.contains(name)) {
            problems.push(format!("`{}` is missing", join(path, name)));
        }
    }
}

/// The value of an unknown key is never shown: it may be a secret under a misspelt name.
fn unknown<'a>(path: &str, name: &str, known: impl Iterator<Item = &'a String>) -> String {
    let known: Vec<String> = known.filter(|name| !name.starts_with('$')).cloned().collect();
    if let Some(near) = nearest(name, known.iter().cloned()) {
        return format!("unknown key `{path}`; did you mean `{near}`?");
    }
    if known.len() <= MAX_NAMED {
        return format!("unknown key `{path}`; allowed: {}", listed(&known));
    }
    format!("unknown key `{path}`; the configuration reference lists the keys")
}

fn misfit(json: &Json, shape: &Shape, path: &str) -> String {
    let secret = matches!(shape, Shape::Text { secret: true });
    let value = if secret { "not a string".into() } else { describe(json) };
    let subject = if path.is_empty() { "the file".into() } else { format!("`{path}`") };
    let mut problem = format!("{subject} is {value}; allowed: {}", shape.allowed());
    match (shape, json) {
        (Shape::Whole { .. } | Shape::Number { .. }, Json::Text(text))
            if text.trim().parse::<f64>().is_ok() =>
        {
            problem.push_str(", without quotes");
        }
        (Shape::Boolean, Json::Text(text)) if matches!(text.as_str(), "true" | "false") => {
            problem.push_str(", without quotes");
        }
        (Shape::OneOf(values), Json::Text(text)) => {
            let names = values.iter().filter_map(Value::as_str).map(str::to_owned);
            if let Some(near) = nearest(text, names) {
                problem.push_str(&format!("; did you mean `\"{near}\"`?"));
            }
        }
        _ => {}
    }
    problem
}

/// The value, short enough for a message. Texts are quoted, so that `"15"` is not mistaken
/// for `15`.
fn describe(json: &Json) -> String {
    match json {
        Json::Null => "`null`".into(),
        Json::Boolean(boolean) => format!("`{boolean}`"),
        Json::Number(number) => format!("`{number}`"),
        Json::Text(text) => format!("`{}`", quoted(text)),
        Json::List(items) if items.is_empty() => "an empty list".into(),
        Json::List(items) => format!("a list of {}", items.len()),
        Json::Object(_) => "an object".into(),
    }
}

fn is(json: &Json, value: &Value) -> bool {
    match (json, value) {
        (Json::Text(text), Value::String(value)) => text == value,
        (Json::Boolean(boolean), Value::Bool(value)) => boolean == value,
        _ => false,
    }
}

/// The path of `name` below `path`: `mailboxes.abc@example.com.bucket`.
fn join(path: &str, name: &str) -> String {
    let name = key(name);
    if path.is_empty() { name } else { format!("{path}.{name}") }
}
