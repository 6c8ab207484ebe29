//! What the engine tells while it works: for progress bars, metrics and the status file.

use std::time::Duration;

use chrono::{DateTime, Utc};
use record::Route;

/// Why an entry was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// The sink has it already.
    Held,
    BeforeStart,
    Draft,
    /// Deleted or moved between listing and fetching.
    Gone,
}

/// How a mailbox is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailboxState {
    Ok,
    /// The server asked for a pause.
    Throttled,
    /// Something passing; it will be tried again soon.
    Retrying,
    /// The operator has to act; it is tried again now and then.
    Error,
    /// Not tried again before the program is restarted.
    Stopped,
}

/// What became of a checkpoint that was to be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitResult {
    Ok,
    /// Somebody else has written it.
    Conflict,
    /// It may be saved or not.
    Error,
}

/// What happens, in numbers.
///
/// As long as the process runs, each entry of a listing counts once, as delivered, skipped or
/// quarantined, also if its page is interrupted and read again. An email that leaves the
/// quarantine counts as delivered then.
#[derive(Debug)]
pub enum Event<'a> {
    /// The folders of a mailbox are known: how many, and the items that the server counts.
    Surveyed {
        route: &'a Route,
        folders: usize,
        items: u64,
    },
    /// The source has handed emails out, perhaps not for the first time.
    Fetched {
        route: &'a Route,
        emails: usize,
    },
    /// Emails are durable in the sink.
    Delivered {
        route: &'a Route,
        emails: usize,
        bytes: u64,
    },
    /// Emails are sent to the sink although they were sent before: nobody knows what became of
    /// them then. Not a part of what is delivered.
    Redelivered {
        route: &'a Route,
        emails: usize,
    },
    Skipped {
        route: &'a Route,
        reason: SkipReason,
        items: usize,
    },
    /// Items are on the quarantine list, all for the same reason.
    Quarantined {
        route: &'a Route,
        code: &'a str,
        items: usize,
    },
    /// The checkpoint was to be saved.
    Committed {
        route: &'a Route,
        result: CommitResult,
    },
    /// The stored state cannot be read.
    Corrupt {
        route: &'a Route,
    },
    /// Received time of the oldest email that is known to be listed and not delivered; `None` once
    /// there is none. What the server has not listed yet is not known.
    Behind {
        route: &'a Route,
        oldest: Option<DateTime<Utc>>,
    },
    /// A round is over and nothing is left to read.
    CaughtUp {
        route: &'a Route,
    },
    /// The mailbox changed for better or worse, or waits once more. `detail` names the cause and
    /// the remedy. The pauses of `Throttled` add up to the time that was asked for.
    State {
        route: &'a Route,
        state: MailboxState,
        detail: &'a str,
        pause: Duration,
    },
}

/// Receives what happens. Called on the engine's own task: must not block.
pub trait Observer: Send + Sync {
    fn observe(&self, event: &Event<'_>);
}

/// Observes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blind;

impl Observer for Blind {
    fn observe(&self, _: &Event<'_>) {}
}
