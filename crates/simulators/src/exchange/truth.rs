//! What a mailbox really holds, for the comparison with what a client got.

use std::io::Read;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use openssl::sha::Sha256;

use super::{Content, mailbox::Mailbox};

/// One item of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrueItem {
    /// Names from the top of the mailbox down: `["Inbox", "Claims/2026"]`.
    pub folder: Vec<String>,
    pub folder_id: String,
    pub id: String,
    pub search_key: [u8; 16],
    /// With its angle brackets.
    pub message_id: Option<String>,
    pub received: Option<DateTime<Utc>>,
    pub class: String,
    pub is_draft: bool,
    pub is_read: bool,
    /// Whether a copy of the mailbox's mail should hold it: it lies in a mail folder below the
    /// top, not under Sync Issues, and is no draft.
    pub is_mail: bool,
    /// SHA-256 of the content, in lower-case hex.
    pub sha256: String,
    /// Length of the content, in bytes.
    pub size: u64,
}

/// A [`TrueItem`] whose content is not hashed yet.
pub(crate) struct Outline {
    item: TrueItem,
    content: Content,
}

pub(crate) fn outline(mailbox: &Mailbox) -> Vec<Outline> {
    let top = mailbox.distinguished("msgfolderroot");
    let issues = mailbox.distinguished("syncissues");
    let mut outlines = Vec::new();
    for folder in mailbox.folders.values().filter(|folder| !folder.deleted) {
        let below = |root: Option<u32>| {
            root.is_some_and(|root| root == folder.no || mailbox.is_below(folder.no, root))
        };
        let holds_mail = folder.holds_mail() && below(top) && !below(issues);
        let (path, folder_id) = (mailbox.path(folder.no), mailbox.folder_id(folder.no));
        for item in folder.items.values().filter_map(|no| mailbox.items.get(no)) {
            let delivery = &item.delivery;
            outlines.push(Outline {
                item: TrueItem {
                    folder: path.clone(),
                    folder_id: folder_id.clone(),
                    id: mailbox.item_id(item.no),
                    search_key: item.search_key,
                    message_id: delivery.message_id.clone(),
                    received: delivery.received,
                    class: delivery.class.clone(),
                    is_draft: delivery.is_draft,
                    is_read: delivery.is_read,
                    is_mail: holds_mail && !delivery.is_draft,
                    sha256: String::new(),
                    size: delivery.content.size(),
                },
                content: delivery.content.clone(),
            });
        }
    }
    outlines
}

impl Outline {
    pub(crate) fn is_mail(&self) -> bool {
        self.item.is_mail
    }

    pub(crate) fn complete(self) -> Result<TrueItem> {
        let mut hash = Sha256::new();
        let mut reader = self.content.reader().context("could not read a mail file")?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = reader.read(&mut buffer).context("could not read a mail file")?;
            if count == 0 {
                break;
            }
            hash.update(buffer.get(..count).unwrap_or_default());
        }
        let sha256 = hash.finish().iter().fold(String::with_capacity(64), |mut hex, byte| {
            hex.push_str(&format!("{byte:02x}"));
            hex
        });
        Ok(TrueItem { sha256, ..self.item })
    }
}
