//! The status of each mailbox as JSON.

use chrono::{DateTime, TimeDelta, Utc};
use record::Route;
use serde::Serialize;

use super::{Monitor, board::Entry};

#[derive(Serialize)]
struct Status<'a> {
    version: &'static str,
    written_at: DateTime<Utc>,
    ready: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    shard: ShardStatus,
    mailboxes_configured: usize,
    mailboxes: Vec<Mailbox<'a>>,
}

#[derive(Serialize)]
struct ShardStatus {
    ordinal: u32,
    total: u32,
}

/// Names as in `tributary status --json`, which reads what is stored; the numbers here count
/// since the service began.
#[derive(Serialize)]
struct Mailbox<'a> {
    bucket: String,
    mailbox: String,
    state: &'a str,
    since: DateTime<Utc>,
    #[serde(skip_serializing_if = "str::is_empty")]
    last_error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    caught_up_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_seconds: Option<i64>,
    /// When the oldest email was received that is known to wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_waiting: Option<DateTime<Utc>>,
    delivered: u64,
    skipped: u64,
    quarantined: u64,
}

impl Monitor {
    /// The status as a JSON text.
    pub(crate) fn status(&self) -> Vec<u8> {
        let now = self.clock.now();
        let ready = self.ready();
        let life = self.life();
        // Copied, so that the engine does not wait until a large text is written.
        let snapshot = life.as_ref().map(|life| life.board.snapshot()).unwrap_or_default();
        let status = Status {
            version: env!("CARGO_PKG_VERSION"),
            written_at: now,
            ready: ready.is_ok(),
            reason: ready.err(),
            shard: ShardStatus { ordinal: self.shard.ordinal(), total: self.shard.total() },
            mailboxes_configured: life.map_or(0, |life| life.configured),
            mailboxes: snapshot.iter().map(|(route, entry)| mailbox(route, entry, now)).collect(),
        };
        serde_json::to_vec(&status).unwrap_or_default()
    }
}

fn mailbox<'a>(route: &Route, entry: &'a Entry, now: DateTime<Utc>) -> Mailbox<'a> {
    let status = &entry.status;
    let lag = |at: DateTime<Utc>| now.signed_duration_since(at).max(TimeDelta::zero());
    Mailbox {
        bucket: route.bucket.to_string(),
        mailbox: route.mailbox.to_string(),
        state: &status.state,
        since: status.since,
        last_error: &status.detail,
        caught_up_at: status.caught_up_at,
        lag_seconds: status.caught_up_at.map(|at| lag(at).num_seconds()),
        oldest_waiting: entry.oldest,
        delivered: entry.delivered,
        skipped: entry.skipped,
        quarantined: entry.quarantined,
    }
}
