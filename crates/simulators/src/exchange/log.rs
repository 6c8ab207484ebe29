//! What was asked of the server.

use std::{collections::VecDeque, str::FromStr, time::Instant};

/// Requests that are remembered; older ones are forgotten.
const MAX_LOGGED: usize = 100_000;

/// An operation of EWS or Graph, or a request for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    ConvertId,
    GetFolder,
    FindFolder,
    SyncFolderHierarchy,
    SyncFolderItems,
    FindItem,
    GetItem,
    GetAttachment,
    CreateItem,
    UpdateItem,
    MoveItem,
    CopyItem,
    DeleteItem,
    CreateFolder,
    UpdateFolder,
    MoveFolder,
    DeleteFolder,
    /// The token endpoint of the authority.
    Token,
    /// Graph: the folders of a mailbox, or those below another.
    MailFolders,
    /// Graph: one folder.
    MailFolder,
    /// Graph: what changed among the folders of a mailbox.
    FoldersDelta,
    /// Graph: the messages of a mailbox or a folder.
    Messages,
    /// Graph: what changed among the messages of a folder.
    MessagesDelta,
    /// Graph: one message.
    Message,
    /// Graph: the MIME content of a message.
    MessageValue,
    /// Graph: several requests in one.
    Batch,
    /// Graph: ids of one kind into those of another.
    TranslateIds,
    /// A request without an operation that we know: GET, a leg of a sign-in, garbage.
    Other,
}

impl Op {
    const NAMED: [Self; 17] = [
        Self::ConvertId,
        Self::GetFolder,
        Self::FindFolder,
        Self::SyncFolderHierarchy,
        Self::SyncFolderItems,
        Self::FindItem,
        Self::GetItem,
        Self::GetAttachment,
        Self::CreateItem,
        Self::UpdateItem,
        Self::MoveItem,
        Self::CopyItem,
        Self::DeleteItem,
        Self::CreateFolder,
        Self::UpdateFolder,
        Self::MoveFolder,
        Self::DeleteFolder,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::ConvertId => "ConvertId",
            Self::GetFolder => "GetFolder",
            Self::FindFolder => "FindFolder",
            Self::SyncFolderHierarchy => "SyncFolderHierarchy",
            Self::SyncFolderItems => "SyncFolderItems",
            Self::FindItem => "FindItem",
            Self::GetItem => "GetItem",
            Self::GetAttachment => "GetAttachment",
            Self::CreateItem => "CreateItem",
            Self::UpdateItem => "UpdateItem",
            Self::MoveItem => "MoveItem",
            Self::CopyItem => "CopyItem",
            Self::DeleteItem => "DeleteItem",
            Self::CreateFolder => "CreateFolder",
            Self::UpdateFolder => "UpdateFolder",
            Self::MoveFolder => "MoveFolder",
            Self::DeleteFolder => "DeleteFolder",
            Self::Token => "Token",
            Self::MailFolders => "MailFolders",
            Self::MailFolder => "MailFolder",
            Self::FoldersDelta => "FoldersDelta",
            Self::Messages => "Messages",
            Self::MessagesDelta => "MessagesDelta",
            Self::Message => "Message",
            Self::MessageValue => "MessageValue",
            Self::Batch => "Batch",
            Self::TranslateIds => "TranslateIds",
            Self::Other => "Other",
        }
    }
}

impl FromStr for Op {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::NAMED.into_iter().find(|op| op.name() == name).ok_or(())
    }
}

/// One request, as it was answered.
#[derive(Clone, Debug)]
pub struct Logged {
    pub op: Op,
    /// The first mailbox that the request concerns.
    pub mailbox: Option<String>,
    pub at: Instant,
    pub status: u16,
    /// The first error code in the reply.
    pub code: Option<String>,
    /// Items or folders that the request names.
    pub asked: usize,
    /// Number of the connection, from 1.
    pub connection: u64,
    /// Scheme of the `Authorization` header: `Basic`, `NTLM`, `Bearer`.
    pub scheme: Option<String>,
    /// Who was signed in.
    pub user: Option<String>,
    /// The header `X-AnchorMailbox`.
    pub anchor: Option<String>,
    pub user_agent: Option<String>,
    /// The header `client-request-id`.
    pub request_id: Option<String>,
    /// Whether the request carried the server's cookie.
    pub cookie: bool,
    /// Bytes of the request's body.
    pub received_bytes: usize,
    /// Path and query, as they came.
    pub url: String,
    /// The header `Prefer`.
    pub prefer: Option<String>,
    /// Whether the request came inside a batch, which has an entry of its own.
    pub in_batch: bool,
}

/// The requests so far, and how many there were.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: VecDeque<Logged>,
    total: u64,
}

impl Log {
    pub(crate) fn push(&mut self, entry: Logged) {
        if self.entries.len() == MAX_LOGGED {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        self.total += 1;
    }

    pub(crate) fn entries(&self) -> Vec<Logged> {
        self.entries.iter().cloned().collect()
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}
