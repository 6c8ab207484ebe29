//! The effective configuration as text, without secrets.

use std::fmt::Write;

use chrono::SecondsFormat;
use record::MailboxId;
use serde_json::{Value, json};

use super::{
    folders::FolderPattern,
    problem,
    settings::{MailboxSettings, Origin, Settings, StartFrom},
};

impl Settings {
    /// Every value with its origin, a line each: `poll_frequency = 15  # default`. Secrets are
    /// `***`.
    pub fn print(&self) -> String {
        self.lines(true)
    }

    /// Every value, without its origin: the same text however the same configuration arrives.
    pub fn canonical(&self) -> String {
        self.lines(false)
    }

    fn lines(&self, with_origin: bool) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &str, origin: &Origin| {
            // Writing to a string cannot fail.
            let written = if with_origin {
                writeln!(text, "{key} = {value}  # {origin}")
            } else {
                writeln!(text, "{key} = {value}")
            };
            debug_assert!(written.is_ok(), "a string takes everything");
        };
        for effective in &self.effective {
            line(&effective.key, &effective.value, &effective.origin);
        }
        for (id, mailbox) in &self.mailboxes {
            for (name, value, origin) in mailbox_lines(mailbox) {
                line(&path(id, name), &value.to_string(), &origin);
            }
        }
        text
    }
}

fn path(id: &MailboxId, name: &str) -> String {
    format!("mailboxes.{}.{name}", problem::key(id.as_str()))
}

fn mailbox_lines(mailbox: &MailboxSettings) -> [(&'static str, Value, Origin); 6] {
    let origin = |written| if written { Origin::File } else { Origin::Default };
    let start = mailbox.start_timestamp.map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true));
    let start_from = match mailbox.start_from {
        StartFrom::Bucket => "bucket",
        StartFrom::Config => "config",
    };
    let written = mailbox.written;
    let start_written = origin(start.is_some());
    [
        ("bucket.owner", json!(mailbox.bucket.owner()), Origin::File),
        ("bucket.name", json!(mailbox.bucket.name()), Origin::File),
        ("start_from", json!(start_from), origin(written.start_from)),
        ("start_timestamp", json!(start), start_written),
        ("folders_allow", patterns(&mailbox.folders.allow), origin(written.folders_allow)),
        ("folders_deny", patterns(&mailbox.folders.deny), origin(written.folders_deny)),
    ]
}

/// `null` without patterns, as the key may be written.
fn patterns(patterns: &[FolderPattern]) -> Value {
    if patterns.is_empty() {
        return Value::Null;
    }
    patterns.iter().map(FolderPattern::as_str).collect()
}
