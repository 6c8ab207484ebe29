//! What the engine is told about pace and about each mailbox.

use std::{fmt, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

/// How fast, and in which portions, mail is read. The same for all mailboxes of a service.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Pause between two rounds of a mailbox that is caught up.
    pub poll_frequency: Duration,
    /// Longest pause of a mailbox, and between two readings of a folder, in which nothing happens.
    /// Up to `poll_frequency`: idle mailboxes are looked at as often as the others.
    pub idle_poll_limit: Duration,
    /// Pause for each email. `None`: none, unless the server has throttled the mailbox lately.
    pub poll_message_sleep: Option<Duration>,
    /// Most entries read from one folder before the next one has its turn.
    pub emails_per_folder: usize,
    /// Most emails handed to the sink at once.
    pub batch: usize,
    /// Most mailboxes worked on at the same time.
    pub workers: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            poll_frequency: Duration::from_secs(15),
            idle_poll_limit: Duration::ZERO,
            poll_message_sleep: None,
            emails_per_folder: 2520,
            batch: 80,
            workers: 8,
        }
    }
}

/// Where a mailbox begins when the program starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartFrom {
    /// Where the stored checkpoint ends.
    #[default]
    Bucket,
    /// At `start_timestamp`, whatever is stored.
    Config,
}

type Accepts = dyn Fn(&[String]) -> bool + Send + Sync;

/// Tells whether a folder, given its path, is read.
#[derive(Clone)]
pub struct FolderFilter(Arc<Accepts>);

impl FolderFilter {
    pub fn new(accepts: impl Fn(&[String]) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(accepts))
    }

    pub fn accepts(&self, path: &[String]) -> bool {
        (self.0)(path)
    }
}

impl Default for FolderFilter {
    fn default() -> Self {
        Self::new(|_| true)
    }
}

impl fmt::Debug for FolderFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FolderFilter")
    }
}

/// What of one mailbox is wanted.
#[derive(Clone, Debug, Default)]
pub struct MailboxSettings {
    pub start_from: StartFrom,
    /// Emails received before this are passed over; one received exactly then is not.
    pub start_timestamp: Option<DateTime<Utc>>,
    pub include_drafts: bool,
    /// Emails that the server lists as larger are set aside unread, in bytes. `None`: no limit.
    pub max_email_size: Option<u64>,
    pub folders: FolderFilter,
}
