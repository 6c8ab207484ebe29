//! `tributary plan`: what would be copied, by which shard, into which bucket, from where.
//!
//! The same settings give the same text, however they arrive: by file, by environment, or from a
//! platform.

use chrono::{DateTime, SecondsFormat, Utc};
use record::{Chain, Checkpoint, Protocol, Route, Sink};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    config::{AccessType, MailboxSettings, Service, Settings, StartFrom},
    shard::Shard,
    status::shown,
};

/// What the appliance would do with these settings.
#[derive(Debug, Serialize)]
pub struct Plan {
    pub server: String,
    pub access: &'static str,
    /// The shard of the flags; 0 of 1 without them.
    pub shard: u32,
    pub total_shards: u32,
    /// Digest of all settings, as in the metric `tributary_config_info`.
    pub config_hash: String,
    /// Of all shards.
    pub mailboxes: Vec<Planned>,
}

/// One mailbox.
#[derive(Debug, Serialize)]
pub struct Planned {
    pub mailbox: String,
    pub bucket: String,
    /// The shard that serves it.
    pub shard: u32,
    /// Whether that is the shard of the flags.
    pub served_here: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_timestamp: Option<DateTime<Utc>>,
    pub start: Start,
    pub folders_allow: Vec<String>,
    pub folders_deny: Vec<String>,
}

/// Where a mailbox begins.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Start {
    /// It never ran: everything since `start_timestamp`, or since ever.
    Beginning,
    /// `start_from` is `config`: everything since `start_timestamp` once more.
    Config,
    /// Where the stored position ends.
    Stored {
        folders: usize,
        delivered: u64,
        newest: Option<DateTime<Utc>>,
        /// The interface that the stored position was read over, if it is another one.
        #[serde(skip_serializing_if = "Option::is_none")]
        moves_from: Option<Protocol>,
    },
    /// From the times that another program has noted, whose state is left alone.
    Noted { folders: usize },
    /// Where the stored position ends, if there is one: it was not looked at.
    NotLookedAt,
    /// The stored position cannot be read, and the mailbox would stop.
    Unreadable { error: String },
}

/// What is known of the positions of earlier runs.
#[derive(Clone, Copy)]
pub enum Positions<'a> {
    /// Kept here.
    Stored(&'a dyn Sink),
    /// There are none: the destination does not exist yet.
    None,
    /// They are not looked at.
    Unknown,
}

/// Plans for every mailbox, of this shard and of the others.
pub async fn plan(settings: &Settings, shard: Shard, positions: Positions<'_>) -> Plan {
    let mut mailboxes = Vec::with_capacity(settings.mailboxes.len());
    for (mailbox, wanted) in &settings.mailboxes {
        let route = Route { mailbox: mailbox.clone(), bucket: wanted.bucket.clone() };
        let owner = shard.owner(mailbox);
        let patterns = |patterns: &[crate::config::folders::FolderPattern]| {
            patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect()
        };
        mailboxes.push(Planned {
            mailbox: mailbox.to_string(),
            bucket: wanted.bucket.to_string(),
            shard: owner,
            served_here: owner == shard.ordinal(),
            start_timestamp: wanted.start_timestamp,
            start: start(&route, wanted, positions, protocol(&settings.service)).await,
            folders_allow: patterns(&wanted.folders.allow),
            folders_deny: patterns(&wanted.folders.deny),
        });
    }
    Plan {
        server: settings.service.to_string(),
        access: match (&settings.service, settings.access_type) {
            (Service::Graph(_), _) => "application",
            (_, AccessType::Delegate) => "delegate",
            (_, AccessType::Impersonation) => "impersonation",
        },
        shard: shard.ordinal(),
        total_shards: shard.total(),
        config_hash: config_hash(settings),
        mailboxes,
    }
}

/// A short digest of every setting, the same for the same settings. Secrets are no part of it.
pub fn config_hash(settings: &Settings) -> String {
    let hash = Sha256::digest(settings.canonical());
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// What mail is read over, if that is decided without asking.
fn protocol(service: &Service) -> Option<Protocol> {
    match service {
        Service::Ews(_) => Some(Protocol::Ews),
        Service::Graph(_) => Some(Protocol::Graph),
        Service::Either { .. } => None,
    }
}

async fn start(
    route: &Route,
    wanted: &MailboxSettings,
    positions: Positions<'_>,
    over: Option<Protocol>,
) -> Start {
    if wanted.start_from == StartFrom::Config {
        return Start::Config;
    }
    let stored = match positions {
        Positions::Stored(sink) => sink.load_checkpoint(route).await,
        Positions::None => Ok(Checkpoint::default()),
        Positions::Unknown => return Start::NotLookedAt,
    };
    match stored {
        Ok(Checkpoint { generation: 0, folders, .. }) if !folders.is_empty() => {
            Start::Noted { folders: folders.len() }
        }
        Ok(Checkpoint { generation: 0, .. }) => Start::Beginning,
        Ok(Checkpoint { folders, protocol, .. }) => Start::Stored {
            moves_from: over.is_some_and(|over| over != protocol).then_some(protocol),
            folders: folders.len(),
            delivered: folders.values().map(|folder| folder.delivered).sum(),
            newest: folders.values().filter_map(|folder| folder.newest).max(),
        },
        Err(err) => Start::Unreadable { error: Chain(&err).to_string() },
    }
}

impl Plan {
    /// The plan for people.
    pub fn table(&self) -> String {
        let mut text = format!(
            "Mail of {} ({} access), configuration {}\nShard {} of {} serves {} of {} mailboxes:\n",
            self.server,
            self.access,
            self.config_hash,
            self.shard,
            self.total_shards,
            self.mailboxes.iter().filter(|mailbox| mailbox.served_here).count(),
            self.mailboxes.len(),
        );
        for mailbox in &self.mailboxes {
            let mark = if mailbox.served_here { "*" } else { " " };
            text.push_str(&format!(
                "{mark} shard {}  {} -> {}: {}\n",
                mailbox.shard,
                mailbox.mailbox,
                mailbox.bucket,
                mailbox.begins()
            ));
            for (name, patterns) in
                [("only", &mailbox.folders_allow), ("without", &mailbox.folders_deny)]
            {
                if !patterns.is_empty() {
                    text.push_str(&format!("             {name} {}\n", shown_all(patterns)));
                }
            }
        }
        text
    }
}

impl Planned {
    fn begins(&self) -> String {
        let since = self.start_timestamp.map_or_else(
            || "everything".to_owned(),
            |at| {
                format!(
                    "what was received since {}",
                    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
                )
            },
        );
        match &self.start {
            Start::Beginning => format!("{since}; nothing is stored yet"),
            Start::Config => format!("{since}, once more at each start (`start_from` is `config`)"),
            Start::Stored { folders, delivered, newest, moves_from } => {
                let newest = newest.map_or_else(String::new, |at| {
                    format!(", the newest of {}", at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
                });
                format!(
                    "goes on where it stopped: {delivered} emails of {folders} folders are \
                     stored{newest}{}",
                    match moves_from {
                        None => "",
                        Some(Protocol::Ews) => "; moves from EWS, see `tributary migrate-source`",
                        Some(Protocol::Graph) => {
                            "; moves from Graph, see `tributary migrate-source`"
                        }
                    }
                )
            }
            Start::Noted { folders } => format!(
                "goes on from the times noted for {folders} folders; the sync state of the bucket \
                 belongs to another program"
            ),
            Start::NotLookedAt => format!("{since}, or where it stopped"),
            Start::Unreadable { error } => {
                format!("WOULD STOP: {}", shown(std::slice::from_ref(error)))
            }
        }
    }
}

fn shown_all(patterns: &[String]) -> String {
    let shown: Vec<String> = patterns
        .iter()
        .map(|pattern| format!("`{}`", shown(std::slice::from_ref(pattern))))
        .collect();
    shown.join(", ")
}
