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

impl Complete {
    /// A round was complete and ends `now`; every folder was read at `read` or later.
    fn ended(&mut self, read: DateTime<Utc>, now: DateTime<Utc>) {
        match self.last {
            // A folder was not read since the end of that round.
            Some((_, ended)) if read < ended => {}
            last => {
                self.sure = last.map(|(read, _)| read);
                self.last = Some((read, now));
            }
        }
    }
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
        complete.ended(read, now);
        let Some(checkpoint) = self.checkpoint.as_mut() else { return };
        // From then on it is saved with the next email.
        self.unsaved |= complete.sure.is_some() && checkpoint.complete_at.is_none();
    }

    /// What a checkpoint that is saved now may say.
    pub(crate) fn complete_at(&self) -> Option<DateTime<Utc>> {
        self.complete.as_deref().and_then(|complete| complete.sure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_folder_is_read_twice_before_anything_is_sure() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let mut complete = Complete::default();
        complete.ended(at(10), at(12));
        assert_eq!(complete.sure, None);
        // One folder was not read again: an email may have moved into it before.
        complete.ended(at(11), at(13));
        assert_eq!(complete.sure, None);
        complete.ended(at(14), at(16));
        assert_eq!(complete.sure, Some(at(10)));
        complete.ended(at(20), at(21));
        assert_eq!(complete.sure, Some(at(14)));
    }
}
