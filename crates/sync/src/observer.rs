//! What the engine tells while it works: for progress bars, metrics and the status file.

use std::time::Duration;

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

#[derive(Debug)]
pub enum Event<'a> {
    /// The folders of a mailbox are known: how many, and the items that the server counts.
    Surveyed {
        route: &'a Route,
        folders: usize,
        items: u64,
    },
    /// Emails are durable in the sink.
    Delivered {
        route: &'a Route,
        emails: usize,
        bytes: u64,
    },
    Skipped {
        route: &'a Route,
        reason: SkipReason,
        items: usize,
    },
    Quarantined {
        route: &'a Route,
        items: usize,
    },
    /// A checkpoint was saved.
    Committed {
        route: &'a Route,
    },
    /// A round is over and nothing is left to read.
    CaughtUp {
        route: &'a Route,
    },
    /// The mailbox changed for better or worse. `detail` names the cause and the remedy.
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
