//! One email on its way: what is known of it, and its bytes.

use std::{
    fs::File,
    io::{self, Cursor, Read},
    os::unix::fs::FileExt,
    sync::Arc,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{ItemId, Uid};

/// One email as the source handed it out.
#[derive(Clone, Debug)]
pub struct Email {
    pub uid: Uid,
    /// Where the source keeps it now; changes when the item moves.
    pub item: ItemId,
    /// `Message-ID` with its angle brackets; `None` if the server knows none.
    pub message_id: Option<String>,
    /// When the mailbox received it; when it has no such time, when it was sent or created.
    pub timestamp: DateTime<Utc>,
    pub metadata: Metadata,
    pub body: Body,
}

impl Email {
    /// The id under which a platform bucket knows the email: its `Message-ID` with angle
    /// brackets, or a synthetic one that is the same on every attempt.
    pub fn email_id(&self) -> String {
        match self.message_id.as_deref().map(str::trim) {
            Some(id) if !id.is_empty() => id.to_owned(),
            _ => format!("<{}@no-message-id.invalid>", self.uid),
        }
    }
}

/// What the server says about an email beside its bytes. Serialized, it is the `metadata` of
/// the platform's raw email and of the sidecar of a local file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Names of the folders from the top of the mailbox to the email: `["Inbox", "Claims"]`.
    pub folder: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_at: Option<DateTime<Utc>>,
    /// Size that the server reports, in bytes; not the length of the MIME content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    pub categories: Vec<String>,
    /// `Low`, `Normal` or `High`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub importance: Option<String>,
    /// `Normal`, `Personal`, `Private` or `Confidential`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_attachments: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_read: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_topic: Option<String>,
}

/// The RFC 5322 bytes of an email. Large ones wait in an unlinked file, not in memory.
#[derive(Clone, Debug)]
pub enum Body {
    Memory(Bytes),
    /// A file that is only read from here on, from its start; `size` bytes long.
    Spool {
        file: Arc<File>,
        size: u64,
    },
}

impl Body {
    pub fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Spool { size, .. } => *size,
        }
    }

    /// Reads the body from its start. Each reader has its own position.
    pub fn reader(&self) -> Box<dyn Read + Send> {
        match self {
            Self::Memory(bytes) => Box::new(Cursor::new(bytes.clone())),
            Self::Spool { file, size } => {
                Box::new(SpoolReader { file: Arc::clone(file), at: 0, end: *size })
            }
        }
    }
}

struct SpoolReader {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for SpoolReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let room = into.len().min(left);
        let Some(into) = into.get_mut(..room) else { return Ok(0) };
        if into.is_empty() {
            return Ok(0);
        }
        let read = self.file.read_at(into, self.at)?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the spool file was cut"));
        }
        self.at += read as u64;
        Ok(read)
    }
}
