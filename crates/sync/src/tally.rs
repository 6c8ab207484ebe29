//! Counts each entry once, however often its page is read, and tells how far a mailbox is behind.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use record::{Email, Entry, FolderId, Uid};

use crate::{
    mailbox::MailboxSync,
    observer::{Event, SkipReason},
};

/// Most entries that are remembered, of pages that were interrupted and never read again.
const REMEMBERED: usize = 8192;

/// What was counted of pages that are not committed yet. Empty between two rounds.
#[derive(Default)]
pub(crate) struct Tally {
    /// Entries that were observed already, as whatever.
    counted: BTreeSet<Uid>,
    /// Emails that were handed to the sink.
    sent: BTreeMap<Uid, Sent>,
    /// Of each folder, the oldest email that was listed and is not delivered.
    oldest: BTreeMap<FolderId, DateTime<Utc>>,
    /// What the observer was told last.
    told: Option<DateTime<Utc>>,
}

/// An email that was handed to the sink.
struct Sent {
    folder: FolderId,
    bytes: u64,
    received: DateTime<Utc>,
    /// The sink has acknowledged it, or has it.
    stored: bool,
}

/// What a page has brought, all attempts taken together.
#[derive(Debug, Default)]
pub(crate) struct PageCount {
    pub(crate) delivered: u64,
    pub(crate) newest: Option<DateTime<Utc>>,
}

impl MailboxSync {
    /// Emails of `folder` are about to be written.
    pub(crate) fn sending(&mut self, folder: &FolderId, emails: &[Email]) {
        let mut again = 0;
        for email in emails {
            let sent = Sent {
                folder: folder.clone(),
                bytes: email.body.size(),
                received: email.timestamp,
                stored: false,
            };
            again += usize::from(self.tally.sent.insert(email.uid, sent).is_some());
        }
        if again > 0 {
            let emails = again;
            self.shared.observer.observe(&Event::Redelivered { route: &self.route, emails });
        }
    }

    /// The sink has these emails.
    pub(crate) fn stored(&mut self, uids: impl IntoIterator<Item = Uid>) {
        let (mut emails, mut bytes) = (0, 0);
        for uid in uids {
            if let Some(sent) = self.tally.sent.get_mut(&uid) {
                sent.stored = true;
                if self.tally.counted.insert(uid) {
                    emails += 1;
                    bytes += sent.bytes;
                }
            }
        }
        if emails > 0 {
            let route = &self.route;
            self.shared.observer.observe(&Event::Delivered { route, emails, bytes });
        }
    }

    /// The sink will not take it.
    pub(crate) fn not_stored(&mut self, uid: Uid) {
        self.tally.sent.remove(&uid);
    }

    /// The email was handed to the sink in an earlier attempt at its page.
    pub(crate) fn was_sent(&self, uid: Uid) -> bool {
        self.tally.sent.contains_key(&uid)
    }

    /// The sink has acknowledged the email, as one of `folder`: also a sink that cannot tell what
    /// it holds need not be sent it again.
    pub(crate) fn is_acknowledged(&self, uid: Uid, folder: &FolderId) -> bool {
        self.tally.sent.get(&uid).is_some_and(|sent| sent.stored && sent.folder == *folder)
    }

    /// Whether the entry was not observed before.
    pub(crate) fn is_fresh(&self, uid: Uid) -> bool {
        !self.tally.counted.contains(&uid)
    }

    /// Entries were passed over; tells it of those that are fresh.
    pub(crate) fn skipped(&mut self, skipped: &[(Uid, SkipReason)]) {
        let mut reasons = BTreeMap::new();
        for (uid, reason) in skipped {
            // The same uid may stand in a page twice: judged before any is added.
            if self.is_fresh(*uid) {
                *reasons.entry(*reason).or_insert(0) += 1;
            }
        }
        self.tally.counted.extend(skipped.iter().map(|(uid, _)| *uid));
        for (reason, items) in reasons {
            self.shared.observer.observe(&Event::Skipped { route: &self.route, reason, items });
        }
    }

    /// Items are on the quarantine list; tells it of those that are fresh.
    pub(crate) fn set_aside<'a>(&mut self, items: impl IntoIterator<Item = (Uid, &'a str)>) {
        let mut codes = BTreeMap::new();
        for (uid, code) in items {
            if self.tally.counted.insert(uid) {
                *codes.entry(code).or_insert(0) += 1;
            }
        }
        for (code, items) in codes {
            self.shared.observer.observe(&Event::Quarantined { route: &self.route, code, items });
        }
    }

    /// What has become of `entries`, all attempts taken together.
    pub(crate) fn count_of(&self, entries: &[Entry]) -> PageCount {
        let mut count = PageCount::default();
        let mut seen = BTreeSet::new();
        for entry in entries {
            let Some(sent) = self.tally.sent.get(&entry.uid) else { continue };
            if sent.stored && seen.insert(entry.uid) {
                count.delivered += 1;
                count.newest = count.newest.max(Some(sent.received));
            }
        }
        count
    }

    /// Between two rounds there is nothing to count; an emptied map would keep a part of its memory.
    pub(crate) fn shrink_tally(&mut self) {
        let Tally { counted, sent, oldest, .. } = &mut self.tally;
        if counted.is_empty() {
            *counted = BTreeSet::new();
        }
        if sent.is_empty() {
            *sent = BTreeMap::new();
        }
        if oldest.is_empty() {
            *oldest = BTreeMap::new();
        }
    }

    /// A page is committed: it is not read again.
    pub(crate) fn forget(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.tally.counted.remove(&entry.uid);
            self.tally.sent.remove(&entry.uid);
        }
        if self.tally.counted.len().max(self.tally.sent.len()) > REMEMBERED {
            self.tally.counted.clear();
            self.tally.sent.clear();
        }
    }

    /// `pending` is what was listed of `folder` and is to be delivered.
    pub(crate) fn fell_behind<'a>(
        &mut self,
        folder: &FolderId,
        pending: impl IntoIterator<Item = &'a Entry>,
    ) {
        let now = self.shared.clock.now();
        let oldest = pending.into_iter().map(|entry| entry.received.unwrap_or(now)).min();
        // Until the folder is read to its end, what follows may be as old.
        if let Some(oldest) = oldest {
            let known = self.tally.oldest.entry(folder.clone()).or_insert(oldest);
            *known = oldest.min(*known);
        }
        self.tell_lag();
    }

    /// Everything that was listed of `folder` is delivered.
    pub(crate) fn caught_up_in(&mut self, folder: &FolderId) {
        self.tally.oldest.remove(folder);
        self.tell_lag();
    }

    /// Folders that are no longer there are not waited for.
    pub(crate) fn keep_lag_of_known_folders(&mut self) {
        if let Some(checkpoint) = &self.checkpoint {
            self.tally.oldest.retain(|folder, _| checkpoint.folders.contains_key(folder));
        }
        self.tell_lag();
    }

    fn tell_lag(&mut self) {
        let oldest = self.tally.oldest.values().min().copied();
        if self.tally.told != oldest {
            self.tally.told = oldest;
            self.shared.observer.observe(&Event::Behind { route: &self.route, oldest });
        }
    }
}
