//! What was asked of the platform.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

/// Requests that are remembered; older ones are forgotten.
const MAX_LOGGED: usize = 100_000;
/// Ids of emails that are remembered of one request.
pub(crate) const MAX_IDS: usize = 1000;

/// An operation of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    CurrentUser,
    RefreshPermissions,
    ListProjects,
    GetProject,
    CreateProject,
    UpdateProject,
    DeleteProject,
    ListBuckets,
    GetBucket,
    CreateBucket,
    UpdateBucket,
    DeleteBucket,
    BucketStatistics,
    PutEmails,
    ListEmails,
    GetEmail,
    QueryEmails,
    DeleteEmails,
    GetSyncState,
    PutSyncState,
    ListKeyedSyncStates,
    GetKeyedSyncState,
    PutKeyedSyncState,
    DeleteKeyedSyncState,
    KeyedSyncStateIds,
    GetConfig,
    PutConfig,
    /// A request for nothing that we know.
    Other,
}

impl Op {
    /// The permission that the operation takes; `None`: any token will do.
    pub(crate) fn permission(self) -> Option<&'static str> {
        match self {
            Self::CurrentUser
            | Self::RefreshPermissions
            | Self::ListProjects
            | Self::GetProject
            | Self::Other => None,
            Self::CreateProject | Self::UpdateProject | Self::DeleteProject => {
                Some("projects-admin")
            }
            Self::ListBuckets
            | Self::GetBucket
            | Self::BucketStatistics
            | Self::GetSyncState
            | Self::ListKeyedSyncStates
            | Self::GetKeyedSyncState
            | Self::KeyedSyncStateIds => Some("buckets-read"),
            Self::CreateBucket
            | Self::DeleteBucket
            | Self::DeleteEmails
            | Self::DeleteKeyedSyncState => Some("buckets-write"),
            // Who uploads also says how far it is.
            Self::PutEmails | Self::UpdateBucket | Self::PutSyncState | Self::PutKeyedSyncState => {
                Some("buckets-append")
            }
            Self::ListEmails | Self::GetEmail | Self::QueryEmails => Some("buckets-items-read"),
            Self::GetConfig => Some("appliance-config-read"),
            Self::PutConfig => Some("appliance-config-write"),
        }
    }

    /// Whether the request has a body of JSON.
    pub(crate) fn takes_json(self) -> bool {
        matches!(
            self,
            Self::RefreshPermissions
                | Self::CreateProject
                | Self::UpdateProject
                | Self::CreateBucket
                | Self::UpdateBucket
                | Self::PutEmails
                | Self::ListEmails
                | Self::QueryEmails
                | Self::PutSyncState
                | Self::PutKeyedSyncState
                | Self::KeyedSyncStateIds
        )
    }

    /// The query parameters that the operation knows.
    pub(crate) fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::PutEmails => &["no_charge"],
            Self::GetEmail | Self::DeleteEmails => &["id"],
            Self::ListProjects => &["cm_only"],
            Self::DeleteProject => &["force"],
            _ => &[],
        }
    }
}

/// One request, as it was answered.
#[derive(Clone, Debug)]
pub struct Logged {
    pub op: Op,
    pub method: String,
    /// The path as it was sent, without the query.
    pub path: String,
    /// The bucket that the request names, as it names it: `owner/name` or `id:…`.
    pub bucket: Option<String>,
    pub at: Instant,
    /// 0: the connection was broken instead.
    pub status: u16,
    /// The message of an error answer.
    pub message: Option<String>,
    /// Ids of the emails in the request, the first thousand.
    pub emails: Vec<String>,
    /// Number of the connection, from 1.
    pub connection: u64,
    /// Place of the token among those of the server.
    pub token: Option<usize>,
    pub user_agent: Option<String>,
    pub content_encoding: Option<String>,
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
    /// Bytes of the body as they came.
    pub received_bytes: u64,
    /// Bytes of the body after decompression.
    pub decoded_bytes: u64,
    /// A token or a watched text is in the path, the query, the body, or a header other than
    /// `Authorization`.
    pub leaked: bool,
}

/// The requests so far, and how many there were.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: VecDeque<Logged>,
    counts: BTreeMap<Op, u64>,
}

impl Log {
    pub(crate) fn push(&mut self, entry: Logged) {
        if self.entries.len() == MAX_LOGGED {
            self.entries.pop_front();
        }
        *self.counts.entry(entry.op).or_default() += 1;
        self.entries.push_back(entry);
    }

    pub(crate) fn entries(&self) -> Vec<Logged> {
        self.entries.iter().cloned().collect()
    }

    pub(crate) fn count(&self, op: Op) -> u64 {
        self.counts.get(&op).copied().unwrap_or_default()
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}
