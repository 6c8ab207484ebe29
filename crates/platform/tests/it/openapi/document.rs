//! What the description says a body looks like.

use serde_json::{Value, json};

/// A description, and what it says a body looks like.
pub(super) struct Document(pub(super) Value);

impl Document {
    fn follow<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let name = schema["$ref"].as_str().and_then(|name| name.strip_prefix('#'));
        name.map_or(schema, |pointer| self.follow(self.0.pointer(pointer).unwrap()))
    }

    /// A value with every field that the schema knows.
    pub(super) fn sample(&self, schema: &Value) -> Value {
        let schema = self.follow(schema);
        if let Some(any) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
            return self.sample(&any[0]);
        }
        if let Some(example) = schema["examples"].get(0).or_else(|| schema["enum"].get(0)) {
            return example.clone();
        }
        let kind = &schema["type"];
        if kind.is_null() {
            return Value::Null;
        }
        match kind.get(0).unwrap_or(kind).as_str().unwrap() {
            "object" => {
                let fields = schema["properties"].as_object();
                let field = |(name, schema): (&String, &Value)| (name.clone(), self.sample(schema));
                match fields {
                    Some(fields) => fields.iter().map(field).collect(),
                    // What names there can be, a schema cannot tell.
                    None => json!({}),
                }
            }
            "array" if schema["maxItems"] == 0 => json!([]),
            "array" => json!([self.sample(&schema["items"])]),
            "string" => "a".repeat(schema["minLength"].as_u64().unwrap_or(1) as usize).into(),
            "integer" => schema["minimum"].clone(),
            "number" => 1.into(),
            "boolean" => false.into(),
            other => panic!("{other}"),
        }
    }

    /// Where in a value there are objects, and which schema each has.
    pub(super) fn objects<'a>(
        &'a self,
        schema: &'a Value,
        value: &Value,
        at: String,
    ) -> Vec<(String, &'a Value)> {
        let schema = self.follow(schema);
        if let Some(any) = schema["anyOf"].as_array() {
            return self.objects(&any[0], value, at);
        }
        match value {
            // Others take more than they declare.
            Value::Object(map)
                if schema["properties"].is_object() && schema["additionalProperties"] == false =>
            {
                let mut found = vec![(at.clone(), schema)];
                for (name, value) in map {
                    found.extend(self.objects(
                        &schema["properties"][name],
                        value,
                        format!("{at}/{name}"),
                    ));
                }
                found
            }
            Value::Array(list) if !list.is_empty() => {
                self.objects(&schema["items"], &list[0], format!("{at}/0"))
            }
            _ => Vec::new(),
        }
    }

    /// What is wrong with a value.
    pub(super) fn check(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let schema = self.follow(schema);
        if let Some(any) = schema["anyOf"].as_array() {
            let tried: Vec<_> = any.iter().map(|schema| self.check(schema, value, at)).collect();
            let fits = tried.iter().any(Vec::is_empty);
            return if fits { Vec::new() } else { tried.concat() };
        }
        let kind = match value {
            Value::Number(number) if number.is_f64() => "number",
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let known = &schema["type"];
        if known.is_null() {
            return Vec::new();
        }
        let fits = |known: &Value| known == kind || known == "number" && kind == "integer";
        if !fits(known) && !known.as_array().is_some_and(|all| all.iter().any(fits)) {
            return vec![format!("{at} is of type {kind}, not {}", schema["type"])];
        }
        let mut wrong = Vec::new();
        if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
            wrong.push(format!("{at} is {value}"));
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            if value.get(name.as_str().unwrap()).is_none() {
                wrong.push(format!("{at} lacks {name}"));
            }
        }
        for (name, value) in value.as_object().into_iter().flatten() {
            let patterns = schema["patternProperties"].as_object().into_iter().flatten();
            // All patterns of names that there are begin with a word and a colon.
            let named = |pattern: &str| {
                pattern
                    .split_once(':')
                    .is_some_and(|(word, _)| name.starts_with(word.trim_start_matches('^')))
            };
            let mut matching = patterns.filter(|(pattern, _)| named(pattern)).map(|(_, own)| own);
            let own = schema["properties"].get(name).or_else(|| matching.next());
            let own = own.unwrap_or(&schema["additionalProperties"]);
            match own {
                Value::Bool(true) => {}
                Value::Object(_) => wrong.extend(self.check(own, value, &format!("{at}/{name}"))),
                _ => wrong.push(format!("{at} has {name}")),
            }
        }
        for (number, value) in value.as_array().into_iter().flatten().enumerate() {
            wrong.extend(self.check(&schema["items"], value, &format!("{at}/{number}")));
        }
        wrong
    }
}
