//! How one version of a comment differs from the one before.

use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    New,
    Unchanged,
    /// Only user properties differ.
    PropertiesOnly,
    /// Something else than properties and text.
    Other,
    /// The text of a subject, a body or a signature: what such platforms bill.
    Text,
}

/// What an upload has done. The last two are parts of `updated`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) new: u64,
    pub(crate) updated: u64,
    pub(crate) unchanged: u64,
    pub(crate) properties_only: u64,
    pub(crate) text_changed: u64,
}

impl Counts {
    pub(crate) fn join(&mut self, more: &Self) {
        self.new += more.new;
        self.updated += more.updated;
        self.unchanged += more.unchanged;
        self.properties_only += more.properties_only;
        self.text_changed += more.text_changed;
    }

    pub(crate) fn add(&mut self, change: Change) {
        match change {
            Change::New => self.new += 1,
            Change::Unchanged => self.unchanged += 1,
            Change::PropertiesOnly | Change::Other | Change::Text => self.updated += 1,
        }
        self.properties_only += u64::from(change == Change::PropertiesOnly);
        self.text_changed += u64::from(change == Change::Text);
    }
}

/// Compares two bodies of one comment.
pub(crate) fn change(before: &Value, after: &Value) -> Change {
    if before == after {
        Change::Unchanged
    } else if texts(before) != texts(after) {
        Change::Text
    } else if without_properties(before) == without_properties(after) {
        Change::PropertiesOnly
    } else {
        Change::Other
    }
}

/// Whether a body differs in its texts from one that is about to be stored.
pub(crate) fn changes_text(before: &Value, after: &str) -> bool {
    serde_json::from_str(after).is_ok_and(|after: Value| texts(before) != texts(&after))
}

fn texts(body: &Value) -> Vec<&str> {
    let messages = body.get("messages").and_then(Value::as_array).into_iter().flatten();
    messages
        .flat_map(|message| {
            ["subject", "body", "signature"].map(|field| {
                message.get(field).and_then(|own| own.get("text")).and_then(Value::as_str)
            })
        })
        // A missing text and an empty one read alike.
        .map(Option::unwrap_or_default)
        .collect()
}

fn without_properties(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(map) = body.as_object_mut() {
        map.remove("user_properties");
    }
    body
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_counts_before_everything_else() {
        let body = |subject: &str, from: &str, folder: &str| {
            json!({
                "messages": [{ "from": from, "subject": { "text": subject },
                               "body": { "text": "b" } }],
                "user_properties": { "string:Folder": folder },
            })
        };
        let before = body("s", "a", "f");
        for (after, expected) in [
            (body("s", "a", "f"), Change::Unchanged),
            (body("s", "a", "g"), Change::PropertiesOnly),
            (body("s", "b", "g"), Change::Other),
            (body("t", "b", "g"), Change::Text),
        ] {
            assert_eq!(change(&before, &after), expected, "{after}");
        }
    }
}
