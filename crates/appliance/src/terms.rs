//! The settings in the engine's terms.

use std::sync::Arc;

use record::{Protocol, Route};
use sync::{FolderFilter, MailboxSettings, Pace, StartFrom};

use crate::{
    config::{self, Settings},
    shard::Shard,
};

/// The mailboxes of this shard.
pub(crate) fn routes(settings: &Settings, shard: Shard) -> Vec<Route> {
    let owned = settings.mailboxes.iter().filter(|(mailbox, _)| shard.owns(mailbox));
    owned
        .map(|(mailbox, wanted)| Route { mailbox: mailbox.clone(), bucket: wanted.bucket.clone() })
        .collect()
}

pub(crate) fn pace(settings: &Settings, protocol: Protocol) -> Pace {
    Pace {
        poll_frequency: settings.poll_frequency,
        idle_poll_limit: settings.idle_poll_limit_over(protocol),
        poll_message_sleep: settings.poll_message_sleep,
        emails_per_folder: settings.emails_per_folder,
        batch: settings.reinfer_batch_size,
        workers: settings.max_concurrent_mailboxes,
    }
}

/// What of a mailbox is wanted, in the engine's terms.
pub(crate) fn wanted(mailbox: &config::MailboxSettings, settings: &Settings) -> MailboxSettings {
    let rules = Arc::clone(&mailbox.folders);
    MailboxSettings {
        start_from: match mailbox.start_from {
            config::StartFrom::Bucket => StartFrom::Bucket,
            config::StartFrom::Config => StartFrom::Config,
        },
        start_timestamp: mailbox.start_timestamp,
        include_drafts: settings.include_drafts,
        max_email_size: Some(settings.max_email_size),
        folders: FolderFilter::new(move |path| rules.includes(path)),
    }
}
