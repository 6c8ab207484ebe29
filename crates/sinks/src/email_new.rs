//! The platform's raw email in JSON, as its client and its API take it.

use chrono::{DateTime, Utc};
use record::{MailboxId, Metadata};
use serde::Serialize;

/// The platform's `EmailNew`. It refuses fields that it does not know.
#[derive(Serialize)]
pub(crate) struct EmailNew<'a> {
    pub(crate) id: &'a str,
    pub(crate) mailbox: &'a MailboxId,
    pub(crate) timestamp: DateTime<Utc>,
    pub(crate) mime_content: &'a str,
    pub(crate) metadata: &'a Metadata,
}

/// Where the content goes. Within a string the quotes would be escaped, so it stands once.
const GAP: &str = "\"mime_content\":\"\"";

impl EmailNew<'_> {
    /// What comes before the content, and what after it, the quotes of the content included.
    pub(crate) fn around_content(&self) -> serde_json::Result<(String, String)> {
        let mut head = serde_json::to_string(&EmailNew { mime_content: "", ..*self })?;
        let at = head.find(GAP).map_or(head.len(), |at| at + GAP.len() - 1);
        let tail = head.split_off(at);
        Ok((head, tail))
    }
}
