//! What happened to a folder before it is listed from its start: again, or over another protocol.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use record::{Entry, Folder, Quarantined, Uid};

use crate::{
    mailbox::{Failed, MailboxSync},
    suspect::IN_FLIGHT,
};

/// What is known of the entries of a folder that was not read to its end. Nothing of others.
#[derive(Default)]
pub(crate) struct Past {
    delivered_until: Option<DateTime<Utc>>,
    /// The time is that of a mailbox which was complete, not that of its newest email.
    is_complete: bool,
    /// What is set aside; `None` where nobody has asked.
    aside: Option<HashMap<Uid, Quarantined>>,
}

impl Past {
    /// Whether an entry counts as delivered.
    pub(crate) fn covers(&self, entry: &Entry) -> bool {
        let (Some(until), Some(received)) = (self.delivered_until, entry.received) else {
            return false;
        };
        // Imported mail has an old date; what the server does not date may be such.
        let was_there = entry.created.map_or(!self.is_complete, |created| created < until);
        let is_aside = self.aside.as_ref().is_some_and(|aside| aside.contains_key(&entry.uid));
        received < until && was_there && !is_aside
    }
}

impl MailboxSync {
    /// What is known of the entries that a listing of `folder` may show.
    pub(crate) async fn past(&mut self, folder: &Folder) -> Result<Past, Failed> {
        let Some(checkpoint) = &self.checkpoint else { return Ok(Past::default()) };
        let state = checkpoint.folders.get(&folder.id).filter(|state| !state.caught_up);
        let Some(state) = state else { return Ok(Past::default()) };
        let aside = self.shared.sink.quarantined(&self.route).await?;
        Ok(Past {
            delivered_until: state.delivered_until,
            is_complete: checkpoint.complete_at.is_some(),
            aside: Some(aside.into_iter().map(|item| (item.uid, item)).collect()),
        })
    }

    /// Lets items that were set aside before keep the time of that.
    pub(crate) async fn keep_first_times(
        &mut self,
        items: &mut [Quarantined],
    ) -> Result<(), Failed> {
        let listed = self.shared.sink.quarantined(&self.route).await?;
        let known: HashMap<Uid, &Quarantined> = listed
            .iter()
            .filter(|item| item.code != IN_FLIGHT)
            .map(|item| (item.uid, item))
            .collect();
        for item in items {
            if let Some(known) = known.get(&item.uid) {
                item.since = item.since.min(known.since);
                item.attempts = item.attempts.max(known.attempts);
            }
        }
        Ok(())
    }

    /// Items of `folder` that are set aside, counted anew where some may be listed for the second
    /// time, or may have left the quarantine; `None` where what is added can be trusted.
    pub(crate) async fn count_aside(
        &mut self,
        folder: &Folder,
        past: &Past,
        added: &[Quarantined],
    ) -> Result<Option<u64>, Failed> {
        let Some(before) = &past.aside else { return Ok(None) };
        if before.is_empty() && added.is_empty() {
            return Ok(Some(0));
        }
        let listed = self.shared.sink.quarantined(&self.route).await?;
        let here = |item: &&Quarantined| {
            item.code != IN_FLIGHT && (item.folder == folder.id || item.folder_path == folder.path)
        };
        Ok(Some(listed.iter().filter(here).count() as u64))
    }
}
