//! The generated pages in `docs/reference/` are those of the code.

use std::{fs, path::Path};

use appliance::config::{parse, reference};

use crate::{config, environment};

#[track_caller]
fn check(name: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(name);
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/reference/{name} is not what the doc comments say; run `cargo xtask docs`"
    );
}

#[test]
fn configuration_page_is_up_to_date() {
    check("configuration.md", &reference::markdown());
}

#[test]
fn command_line_page_is_up_to_date() {
    check("command-line.md", &reference::command_line());
}

#[test]
fn json_schema_is_up_to_date() {
    check("appliance-config.schema.json", &reference::json_schema());
}

/// Whatever the check lets through is understood: schema and types do not disagree.
#[test]
fn what_the_schema_allows_is_understood() {
    let schema: serde_json::Value = serde_json::from_str(&reference::json_schema()).unwrap();
    let keys = schema["properties"].as_object().unwrap().keys();
    let words = schema.to_string();
    let words = words.split('"').filter(|word| word.len() < 20 && !word.contains('\\'));
    let mut values: Vec<String> = words.map(|word| format!("\"{word}\"")).collect();
    values.sort();
    values.dedup();
    values.extend(
        [
            "null",
            "true",
            "false",
            "0",
            "1",
            "32",
            "1.5",
            "-1",
            "443",
            "1e300",
            "[]",
            "[\"a\"]",
            "[null]",
            "{}",
            "18446744073709551615",
            "2147483648",
        ]
        .map(String::from),
    );
    let mut accepted = 0;
    for key in keys {
        for value in &values {
            let base = config("").replace(&format!("\"{key}\": "), "\"$schema\": ");
            let text = base.replacen('{', &format!("{{\"{key}\": {value}, "), 1);
            match parse(text.as_bytes(), "ews.json", &environment(&[])) {
                Ok(_) => accepted += 1,
                Err(error) => {
                    let message = error.to_string();
                    assert!(!message.contains("does not have the form"), "{key}: {value}");
                    assert!(message.contains('`'), "{message}");
                }
            }
        }
    }
    assert!(accepted > 50, "{accepted} accepted");
}
