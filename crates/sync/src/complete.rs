//! Knows since when everything in a mailbox is delivered, for sinks that cannot tell what they hold.
//!
//! One round in which every folder was read to its end is not enough: an email may move from a
//! folder that is still to be read into one that was read already. The next round finds it there. So
//! what was in the mailbox at the beginning of a round counts once each folder has been read to its
//! end in it, and once more after it.

use chrono::{DateTime, TimeDelta, Utc};

use crate::mailbox::MailboxSync;

/// The rounds of a mailbox that matter here.
#[derive(Default)]
pub(crate) struct Complete {
    /// When the round at hand began.
    began: Option<DateTime<Utc>>,
    /// Of a round that was complete: since when no folder was read, and when it ended.
    last: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Everything that was in the mailbox before then is delivered.
    sure: Option<DateTime<Utc>>,
}

impl MailboxSync {
    /// A round begins: what comes from now on may be missed by it.
    pub(crate) fn round_begins(&mut self) {
        if !self.shared.sink.knows_what_it_holds() {
            let now = self.shared.clock.now();
            self.complete.get_or_insert_default().began = Some(now);
        }
    }

    /// Every folder was read to its end, or need not be read.
    pub(crate) fn round_was_complete(&mut self) {
        let now = self.shared.clock.now();
        let unread = self.longest_unread().and_then(|unread| TimeDelta::from_std(unread).ok());
        let Some(complete) = self.complete.as_deref_mut() else { return };
        let Some(began) = complete.began.take() else { return };
        let read = unread.map_or(began, |unread| began.min(now - unread));
        match complete.last {
            Some((_, ended)) if read < ended => {}
            last => {
                complete.sure = last.map(|(read, _)| read);
                complete.last = Some((read, now));
            }
        }
        let Some(checkpoint) = self.checkpoint.as_mut() else { return };
        // From then on it is saved with the next email.
        self.unsaved |= complete.sure.is_some() && checkpoint.complete_at.is_none();
    }

    /// What a checkpoint that is saved now may say.
    pub(crate) fn complete_at(&self) -> Option<DateTime<Utc>> {
        self.complete.as_deref().and_then(|complete| complete.sure)
    }
}
