//! Reads one page of one folder. The order of the writes stands here.

use std::collections::{BTreeMap, HashSet};

use record::{Advice, Entry, Folder, FolderState, ItemId, Page, Uid};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    deliver::Delivery,
    idle::Found,
    mailbox::{Failed, MailboxSync},
    observer::SkipReason,
    stored::is_stale,
};

/// Most entries of one listing request, and of one checkpoint.
const PAGE: usize = 512;

/// Most entries of one page while a pause for each email is in force.
const PACED_PAGE: usize = 20;

/// Most bytes, as the server lists them, of one page: what one step may take.
const PAGE_BYTES: u64 = 64 << 20;

/// Listed size of an item whose size the server does not tell, in bytes.
pub(crate) const UNKNOWN_SIZE: u64 = 64 << 10;

/// What came of a page.
#[derive(Debug)]
pub(crate) struct PageEnd {
    pub(crate) entries: usize,
    /// Emails fetched, for the pace.
    pub(crate) fetched: usize,
    pub(crate) more: bool,
}

impl MailboxSync {
    /// Reads the page of `folder` that follows its saved position, delivers it, and saves the
    /// position that it leads to.
    pub(crate) async fn read_page(
        &mut self,
        folder: &Folder,
        budget: usize,
        shutdown: &CancellationToken,
    ) -> Result<PageEnd, Failed> {
        let mut page = self.list(folder, budget, shutdown).await?;
        let affordable = affordable(&page.entries);
        if affordable < page.entries.len() {
            // A step is not to last for gigabytes: others wait for their turn.
            page = self.list(folder, affordable, shutdown).await?;
        }
        let mut delivery = self.select(folder, &page).await?;
        let entries = page.entries.len();
        self.fell_behind(&folder.id, &delivery.pending);
        self.deliver(folder, &mut delivery, shutdown).await?;
        self.recheck_gone(folder, &page, &mut delivery, shutdown).await?;
        self.attempts = BTreeMap::new();
        self.cautious = false;
        let end = PageEnd { entries, fetched: delivery.delivered, more: page.more };
        self.commit(folder, page, delivery).await?;
        Ok(end)
    }

    async fn list(
        &mut self,
        folder: &Folder,
        budget: usize,
        shutdown: &CancellationToken,
    ) -> Result<Page, Failed> {
        let most = if self.message_sleep().is_zero() { PAGE } else { PACED_PAGE };
        let limit = budget.min(most).min(self.listing_limit).max(1);
        let from = self
            .checkpoint
            .as_ref()
            .and_then(|checkpoint| checkpoint.folders.get(&folder.id))
            .and_then(|state| state.position.clone());
        let listed = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Err(Failed::Interrupted),
            page = self.source.list(folder, from.as_ref(), limit) => page,
        };
        match listed {
            Ok(page) => {
                self.listing_limit = usize::MAX;
                Ok(page)
            }
            Err(err) => {
                if err.advice() == Advice::Split {
                    self.listing_limit = (limit / 2).max(1);
                }
                Err(err.into())
            }
        }
    }

    /// An item that is gone was deleted or moved; or the right to read it was lost, which servers
    /// report in the same words. What is still listed has not gone anywhere: it is set aside.
    async fn recheck_gone(
        &mut self,
        folder: &Folder,
        page: &Page,
        delivery: &mut Delivery,
        shutdown: &CancellationToken,
    ) -> Result<(), Failed> {
        if delivery.gone.is_empty() {
            return Ok(());
        }
        let still = self.list(folder, page.entries.len(), shutdown).await?;
        let still: HashSet<&ItemId> = still.entries.iter().map(|entry| &entry.item).collect();
        let (listed, gone): (Vec<Entry>, Vec<Entry>) =
            delivery.gone.drain(..).partition(|entry| still.contains(&entry.item));
        let detail = "listed by the server, which then says that it is not there";
        for entry in listed {
            let item = self.quarantined(folder, &entry, "NotFound", detail);
            delivery.set_aside.push(item);
        }
        // A note stays on the list until something takes its place.
        let (noted, gone): (Vec<Entry>, Vec<Entry>) =
            gone.into_iter().partition(|entry| self.is_noted(entry));
        for entry in noted {
            let detail = "deleted or moved while it was fetched";
            delivery.set_aside.push(self.quarantined(folder, &entry, "Gone", detail));
        }
        delivery.skipped += gone.len();
        let gone: Vec<_> = gone.iter().map(|entry| (entry.uid, SkipReason::Gone)).collect();
        self.skipped(&gone);
        Ok(())
    }

    /// Decides about each entry of `page`: fetch it, or pass it over and why.
    async fn select(&mut self, folder: &Folder, page: &Page) -> Result<Delivery, Failed> {
        let mut delivery = Delivery::default();
        let mut wanted = Vec::with_capacity(page.entries.len());
        let mut seen = HashSet::with_capacity(page.entries.len());
        let mut skipped = Vec::new();
        let past = self.past(folder).await?;
        let start = self.settings.start_timestamp;
        let is_before_start = |entry: &Entry| matches!((entry.received, start), (Some(received), Some(start)) if received < start);
        for entry in &page.entries {
            if entry.is_draft && !self.settings.include_drafts {
                skipped.push((entry.uid, SkipReason::Draft));
            } else if is_before_start(entry) {
                skipped.push((entry.uid, SkipReason::BeforeStart));
            } else if !seen.insert(entry.uid) || past.covers(entry) {
                skipped.push((entry.uid, SkipReason::Held));
            } else {
                wanted.push(entry);
            }
        }
        let uids: Vec<Uid> = wanted.iter().map(|entry| entry.uid).collect();
        let held = if uids.is_empty() {
            Vec::new()
        } else {
            self.shared.sink.find(&self.route, &uids).await?
        };
        let mut confirmed = Vec::new();
        for (entry, held) in wanted.into_iter().zip(held) {
            match held {
                Some(held) => {
                    if self.was_sent(entry.uid) {
                        confirmed.push(entry.uid);
                    } else {
                        skipped.push((entry.uid, SkipReason::Held));
                    }
                    if held.folder != folder.path {
                        delivery.moved.push((entry.uid, folder.path.clone()));
                    }
                }
                None if self.is_acknowledged(entry.uid, &folder.id) => confirmed.push(entry.uid),
                None if self.too_large(entry) => {
                    let detail = "larger than `max_email_size`";
                    delivery.set_aside.push(self.quarantined(folder, entry, "TooLarge", detail));
                }
                None => delivery.pending.push_back(entry.clone()),
            }
        }
        delivery.skipped = skipped.len();
        delivery.past = past;
        self.skipped(&skipped);
        self.stored(confirmed);
        Ok(delivery)
    }

    /// Makes the page count: what is set aside first, the position last. A crash in between
    /// repeats the page, which is harmless; the other order would lose items.
    async fn commit(
        &mut self,
        folder: &Folder,
        page: Page,
        delivery: Delivery,
    ) -> Result<(), Failed> {
        let Delivery { moved, mut set_aside, past, delivered, skipped, .. } = delivery;
        if !moved.is_empty() {
            self.shared.sink.relocate(&self.route, &moved).await?;
        }
        if !set_aside.is_empty() {
            self.keep_first_times(&mut set_aside).await?;
            self.shared.sink.quarantine(&self.route, &set_aside).await?;
            for item in &set_aside {
                warn!(
                    mailbox.id = %self.route.mailbox, uid = %item.uid, code = %item.code,
                    "Set an item of `{}` aside: {} ({})", self.route.mailbox, item.code, item.detail
                );
            }
            self.set_aside(set_aside.iter().map(|item| (item.uid, item.code.as_str())));
        }
        let quarantined = self.count_aside(folder, &past, &set_aside).await?;
        let count = self.count_of(&page.entries);
        let is_proof = self.source.marks_are_proof();
        let now = self.shared.clock.now();
        let Some(checkpoint) = self.checkpoint.as_mut() else { return Ok(()) };
        let state: &mut FolderState = checkpoint.folders.entry(folder.id.clone()).or_default();
        let is_known = state.caught_up;
        let quiet = page.entries.is_empty() && page.removed == 0 && state.caught_up && !page.more;
        // Of a source that hands out a new position each time, that alone is seldom worth a save.
        let is_worth_saving = is_proof || state.mark != folder.mark || is_stale(state.read_at, now);
        state.position = Some(page.next.clone());
        state.delivered += count.delivered;
        state.skipped += skipped as u64;
        state.quarantined = quarantined.unwrap_or(state.quarantined + set_aside.len() as u64);
        state.newest = state.newest.max(count.newest);
        state.read_at = Some(now);
        if !page.more {
            state.caught_up = true;
            // The mark was taken before the listing: what came since changes it again.
            state.mark.clone_from(&folder.mark);
            // From here on it has a position that tells more.
            state.delivered_until = None;
        }
        if !page.more {
            let newest = state.newest;
            self.visited(&Found { folder: &folder.id, is_known, is_quiet: quiet, newest });
        }
        if quiet {
            // Worth one save in the end of the round, not one for each folder.
            self.unsaved |= is_worth_saving;
            self.caught_up_in(&folder.id);
            return Ok(());
        }
        if delivered > 0 {
            info!(
                mailbox.id = %self.route.mailbox, records = delivered,
                "Stored {delivered} emails of `{}`", self.route.mailbox
            );
        }
        self.save().await?;
        self.forget(&page.entries);
        self.carried.forget_notes(&self.route, page.entries.iter().map(|entry| entry.uid));
        if !page.more {
            self.caught_up_in(&folder.id);
        }
        Ok(())
    }
}

/// How many of `entries` one step may take.
fn affordable(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    let fits = entries.iter().take_while(|entry| {
        bytes += entry.size.unwrap_or(UNKNOWN_SIZE);
        bytes <= PAGE_BYTES
    });
    fits.count().max(1)
}
