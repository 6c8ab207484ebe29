//! The validated configuration: every value present, typed and within its range.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use record::{BucketId, MailboxId, Protocol, Secret};
use url::Url;

pub use super::values::{AccessType, ChannelBinding, EgressPolicy, GraphDelta, StartFrom};
use super::{folders::FolderRules, written::default};

/// Everything that the appliance does, as the configuration, the environment and the defaults
/// say together.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub service: Service,
    /// Why mail is read through this interface, as a clause.
    pub chosen_because: &'static str,
    /// Way to sign in to EWS, or the first application of Graph.
    pub auth: Auth,
    /// No meaning for Graph.
    pub access_type: AccessType,
    pub tls: Tls,
    pub egress_policy: EgressPolicy,
    pub connect_timeout: Duration,
    /// Longest silence of a server within a request.
    pub request_timeout: Duration,
    /// Pause between two rounds of a mailbox that is caught up.
    pub poll_frequency: Duration,
    /// Longest pause between two rounds of a mailbox in which nothing happens, if it is configured.
    pub idle_poll_limit: Option<Duration>,
    /// Pause between two emails of a batch. `None`: not configured, so that a pause is made
    /// only while the server throttles.
    pub poll_message_sleep: Option<Duration>,
    /// At least 1: a configured 0 means one after another.
    pub max_concurrent_uploads: usize,
    pub max_concurrent_mailboxes: usize,
    /// Most emails of one folder before the next has its turn.
    pub emails_per_folder: usize,
    /// Emails fetched, stored and acknowledged together.
    pub reinfer_batch_size: usize,
    /// Largest email that is copied, in bytes.
    pub max_email_size: u64,
    /// Largest reply of a server, in bytes; holds an email of `max_email_size` in Base64.
    pub response_size_cap: u64,
    pub include_drafts: bool,
    /// At least one.
    pub mailboxes: BTreeMap<MailboxId, MailboxSettings>,
    pub audit_email: Option<String>,
    /// Sentences for the log: what is allowed but risky, or has no effect.
    pub warnings: Vec<String>,
    pub(super) effective: Vec<Effective>,
}

impl Settings {
    /// Longest pause between two rounds of a mailbox in which nothing happens, over `protocol`;
    /// at least `poll_frequency`, which means that the pause does not grow.
    pub fn idle_poll_limit_over(&self, protocol: Protocol) -> Duration {
        let otherwise = match protocol {
            // A look costs little, and shows for certain whether anything is new.
            Protocol::Ews => self.poll_frequency,
            Protocol::Graph => Duration::from_secs_f64(default::IDLE_POLL_LIMIT_OF_GRAPH),
        };
        self.idle_poll_limit.unwrap_or(otherwise).max(self.poll_frequency)
    }
}

/// Through which interface mail is read, and where.
#[derive(Clone, Debug, PartialEq)]
pub enum Service {
    Ews(Server),
    Graph(Graph),
    /// Graph if the application may read mail over it, else EWS.
    Either {
        graph: Graph,
        ews: Server,
    },
}

impl Service {
    pub fn ews(&self) -> Option<&Server> {
        match self {
            Self::Ews(ews) | Self::Either { ews, .. } => Some(ews),
            Self::Graph(_) => None,
        }
    }

    pub fn graph(&self) -> Option<&Graph> {
        match self {
            Self::Graph(graph) | Self::Either { graph, .. } => Some(graph),
            Self::Ews(_) => None,
        }
    }
}

impl fmt::Display for Service {
    /// The address, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ews(ews) => ews.endpoint.fmt(f),
            Self::Graph(graph) => graph.endpoint.fmt(f),
            Self::Either { graph, ews } => write!(f, "{} or {}", graph.endpoint, ews.endpoint),
        }
    }
}

/// Microsoft Graph, and who reads there.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// With the version and without a slash at its end: `https://graph.microsoft.com/v1.0`.
    pub endpoint: Url,
    /// App registrations that share the mailboxes; at least one.
    pub applications: Vec<OAuth>,
    pub delta: GraphDelta,
    /// Of each application, all shards together.
    pub requests_per_second: f64,
}

/// An Exchange server that is read over EWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Ends with a path such as `/EWS/Exchange.asmx`; has no user, query or fragment.
    pub endpoint: Url,
    /// `RequestServerVersion` to ask for; `None`: find the newest one.
    pub version: Option<String>,
}

/// How to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `user` is `user@example.com` or `DOMAIN\user`.
    Ntlm {
        user: String,
        password: Secret,
    },
    Basic {
        user: String,
        password: Secret,
    },
    OAuth2(OAuth),
}

/// OAuth 2.0, client credentials grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth {
    pub token_url: Url,
    pub client_id: String,
    pub scope: String,
    pub credential: Credential,
}

/// How an application proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    ClientSecret(Secret),
    Certificate {
        /// PEM with real line breaks, PKCS#1 or PKCS#8.
        private_key: Secret,
        thumbprint: Thumbprint,
    },
}

/// Digest of a certificate's DER form, as it was configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thumbprint {
    /// Goes with RS256 and `x5t`.
    Sha1([u8; 20]),
    /// Goes with PS256 and `x5t#S256`.
    Sha256([u8; 32]),
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: &[u8] = match self {
            Self::Sha1(bytes) => bytes,
            Self::Sha256(bytes) => bytes,
        };
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

/// How the connection to the server is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Holds for Exchange and Graph only. The token endpoint is always verified.
    pub verify: bool,
    /// OpenSSL cipher list.
    pub ciphers: Option<String>,
    /// PEM file with authorities that are trusted besides those of the system, for the
    /// server and the token endpoint.
    pub ca_file: Option<PathBuf>,
    pub channel_binding: ChannelBinding,
}

/// One mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxSettings {
    pub bucket: BucketId,
    pub start_from: StartFrom,
    /// Earliest time of receipt, inclusive.
    pub start_timestamp: Option<DateTime<Utc>>,
    /// Shared by all mailboxes without rules of their own.
    pub folders: Arc<FolderRules>,
    pub(super) written: Written,
}

/// Which keys of a mailbox stand in the configuration; small, since there may be many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) start_from: bool,
    pub(super) folders_allow: bool,
    pub(super) folders_deny: bool,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File,
    /// The variable's name.
    Environment(String),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("file"),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One value as it takes effect, for people. Secrets are `***`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Effective {
    pub(super) key: String,
    /// JSON, or `***`.
    pub(super) value: String,
    pub(super) origin: Origin,
}
