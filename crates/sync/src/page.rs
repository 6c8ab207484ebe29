//! Reads one page of one folder and delivers it. The order of the writes stands here.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use chrono::{DateTime, Utc};
use record::{
    Advice, Email, Entry, Fetched, Folder, FolderState, ItemId, Page, Quarantined, Refusal,
    SinkAdvice, SinkError, Source, SourceError, Uid,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    mailbox::{Failed, MailboxSync},
    observer::{Event, SkipReason},
};

/// Most entries of one listing request, and of one checkpoint.
const PAGE: usize = 512;

/// Most entries of one page while a pause for each email is in force.
const PACED_PAGE: usize = 20;

/// Most bytes, as the server lists them, that are fetched before they are handed to the sink.
/// Twice this may be in memory for each mailbox that is being worked on.
const CHUNK_BYTES: u64 = 2 << 20;

/// Most bytes, as the server lists them, of one page: what one step may take.
const PAGE_BYTES: u64 = 64 << 20;

/// Listed size of an item whose size the server does not tell, in bytes.
const UNKNOWN_SIZE: u64 = 64 << 10;

/// Failed attempts at a single item after which it is set aside: the server answered, but not
/// in a readable way.
const UNREADABLE_ATTEMPTS: u32 = 3;

/// The same when no answer came at all, which is the network's fault more often.
const UNREACHABLE_ATTEMPTS: u32 = 6;

/// Fetches in a row that may settle nothing before the request counts as too large.
const STALLS: u32 = 3;

/// What came of a page.
#[derive(Debug)]
pub(crate) struct PageEnd {
    pub(crate) entries: usize,
    /// Emails fetched, for the pace.
    pub(crate) fetched: usize,
    pub(crate) more: bool,
}

/// A page on its way: what is still to be fetched, and what is to be written beside the emails.
#[derive(Default)]
pub(crate) struct Delivery {
    pending: VecDeque<Entry>,
    moved: Vec<(Uid, Vec<String>)>,
    pub(crate) set_aside: Vec<Quarantined>,
    /// The server says that they are not there.
    gone: Vec<Entry>,
    /// Emails stored in this attempt, for the pace.
    delivered: usize,
    skipped: usize,
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
        self.attempts = HashMap::new();
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
        let delivered_until = self
            .checkpoint
            .as_ref()
            .and_then(|checkpoint| checkpoint.folders.get(&folder.id))
            .and_then(|state| state.delivered_until);
        let is_before = |entry: &Entry, time: Option<DateTime<Utc>>| matches!((entry.received, time), (Some(received), Some(time)) if received < time);
        for entry in &page.entries {
            if entry.is_draft && !self.settings.include_drafts {
                skipped.push((entry.uid, SkipReason::Draft));
            } else if is_before(entry, self.settings.start_timestamp) {
                skipped.push((entry.uid, SkipReason::BeforeStart));
            } else if !seen.insert(entry.uid) || is_before(entry, delivered_until) {
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
        self.skipped(&skipped);
        self.stored(confirmed);
        Ok(delivery)
    }

    /// Fetches what is pending and writes it, each portion while the next one is fetched.
    async fn deliver(
        &mut self,
        folder: &Folder,
        delivery: &mut Delivery,
        shutdown: &CancellationToken,
    ) -> Result<(), Failed> {
        let mut ready: Vec<Email> = Vec::new();
        let mut stalls = 0;
        while !delivery.pending.is_empty() || !ready.is_empty() {
            let chunk = self.next_chunk(&mut delivery.pending);
            let to_write = std::mem::take(&mut ready);
            self.sending(&folder.id, &to_write);
            // A write is never abandoned half-way; a fetch is, when the service shuts down.
            let (fetched, written) =
                tokio::join!(fetch(self.source.as_mut(), folder, &chunk, shutdown), async {
                    if to_write.is_empty() {
                        return Ok(Vec::new());
                    }
                    self.shared.sink.write(&self.route, &to_write).await
                });
            let written = self.after_write(folder, written, &to_write, delivery);
            if let Err(Failed::Source(err)) = &fetched
                && let Advice::Retry { after: Some(asked), .. } = err.advice()
                && !written.as_ref().is_err_and(|failed| outweighs(failed, asked))
            {
                return fetched.map(drop);
            }
            written?;
            let fetched = match fetched {
                Ok(fetched) => fetched,
                Err(failed) => {
                    self.after_fetch_failure(folder, &chunk, failed, delivery)?;
                    continue;
                }
            };
            let settled = fetched.iter().any(|f| !matches!(f, Fetched::Later));
            stalls = if settled || chunk.is_empty() { 0 } else { stalls + 1 };
            if stalls >= STALLS {
                let code = "the server settles none of the items".to_owned();
                let failed = SourceError::TooMuch { host: self.route.mailbox.to_string(), code };
                self.after_fetch_failure(folder, &chunk, failed.into(), delivery)?;
                continue;
            }
            self.settle(folder, chunk, fetched, &mut ready, delivery);
        }
        Ok(())
    }

    /// Takes from `pending` what one write may hold.
    fn next_chunk(&self, pending: &mut VecDeque<Entry>) -> Vec<Entry> {
        let most = if self.cautious { 1 } else { self.shared.pace.batch.max(1) };
        let mut chunk = Vec::new();
        let mut bytes = 0;
        while chunk.len() < most
            && let Some(entry) = pending.front()
        {
            bytes += entry.size.unwrap_or(UNKNOWN_SIZE);
            if bytes > CHUNK_BYTES && !chunk.is_empty() {
                break;
            }
            chunk.extend(pending.pop_front());
        }
        chunk
    }

    /// Counts what was stored, and sets aside what the sink will never take.
    pub(crate) fn after_write(
        &mut self,
        folder: &Folder,
        written: Result<Vec<Refusal>, SinkError>,
        emails: &[Email],
        delivery: &mut Delivery,
    ) -> Result<(), Failed> {
        let mut refused: HashMap<Uid, Refusal> =
            written?.into_iter().map(|refusal| (refusal.uid, refusal)).collect();
        let mut stored = Vec::with_capacity(emails.len());
        for email in emails {
            match refused.remove(&email.uid) {
                Some(refusal) => {
                    self.not_stored(email.uid);
                    delivery.set_aside.push(self.refused(folder, email, refusal));
                }
                None => stored.push(email.uid),
            }
        }
        delivery.delivered += stored.len();
        self.stored(stored);
        Ok(())
    }

    /// Sorts the results of one fetch.
    fn settle(
        &self,
        folder: &Folder,
        chunk: Vec<Entry>,
        fetched: Vec<Fetched>,
        ready: &mut Vec<Email>,
        delivery: &mut Delivery,
    ) {
        let emails = fetched.iter().filter(|f| matches!(f, Fetched::Email(_))).count();
        if emails > 0 {
            self.shared.observer.observe(&Event::Fetched { route: &self.route, emails });
        }
        let mut results = fetched.into_iter();
        for entry in chunk {
            match results.next().unwrap_or(Fetched::Later) {
                Fetched::Email(email) => ready.push(*email),
                Fetched::Gone => delivery.gone.push(entry),
                Fetched::Refused { code, detail } => {
                    delivery.set_aside.push(self.quarantined(folder, &entry, &code, &detail));
                }
                Fetched::Later => delivery.pending.push_back(entry),
            }
        }
    }

    /// A fetch got no usable answer. Several items: they are fetched one by one from now on. A
    /// single one: it is blamed, and set aside when it has failed often enough.
    fn after_fetch_failure(
        &mut self,
        folder: &Folder,
        chunk: &[Entry],
        failed: Failed,
        delivery: &mut Delivery,
    ) -> Result<(), Failed> {
        let Failed::Source(err) = failed else { return Err(failed) };
        let patience = match err.advice() {
            Advice::Split => UNREADABLE_ATTEMPTS,
            // A server that says that it is unwell says nothing against the item.
            _ if matches!(err, SourceError::Unreachable { .. }) => UNREACHABLE_ATTEMPTS,
            _ => return Err(err.into()),
        };
        let [entry] = chunk else {
            if patience == UNREADABLE_ATTEMPTS {
                self.cautious = true;
                for entry in chunk.iter().rev() {
                    delivery.pending.push_front(entry.clone());
                }
                return Ok(());
            }
            // Without an answer, the network gets a second chance before an item is suspected.
            self.cautious |= self.failures() > 0;
            return Err(err.into());
        };
        self.cautious = true;
        let attempts = self.attempts.entry(entry.item.clone()).or_insert(0);
        *attempts += 1;
        if *attempts < patience {
            return Err(err.into());
        }
        let detail = record::Chain(&err).to_string();
        let mut item = self.quarantined(folder, entry, "FetchFailed", &detail);
        item.attempts = patience;
        delivery.set_aside.push(item);
        Ok(())
    }

    /// Makes the page count: what is set aside first, the position last. A crash in between
    /// repeats the page, which is harmless; the other order would lose items.
    async fn commit(
        &mut self,
        folder: &Folder,
        page: Page,
        delivery: Delivery,
    ) -> Result<(), Failed> {
        let Delivery { moved, set_aside, delivered, skipped, .. } = delivery;
        if !moved.is_empty() {
            self.shared.sink.relocate(&self.route, &moved).await?;
        }
        if !set_aside.is_empty() {
            self.shared.sink.quarantine(&self.route, &set_aside).await?;
            for item in &set_aside {
                warn!(
                    mailbox.id = %self.route.mailbox, uid = %item.uid, code = %item.code,
                    "Set an item of `{}` aside: {} ({})", self.route.mailbox, item.code, item.detail
                );
            }
            self.set_aside(set_aside.iter().map(|item| (item.uid, item.code.as_str())));
        }
        let count = self.count_of(&page.entries);
        let now = self.shared.clock.now();
        let Some(checkpoint) = self.checkpoint.as_mut() else { return Ok(()) };
        let state: &mut FolderState = checkpoint.folders.entry(folder.id.clone()).or_default();
        let quiet = page.entries.is_empty() && page.removed == 0 && state.caught_up && !page.more;
        state.position = Some(page.next.clone());
        state.delivered += count.delivered;
        state.skipped += skipped as u64;
        state.quarantined += set_aside.len() as u64;
        state.newest = state.newest.max(count.newest);
        state.read_at = Some(now);
        if !page.more {
            state.caught_up = true;
            // The mark was taken before the listing: what came since changes it again.
            state.mark.clone_from(&folder.mark);
            // From here on it has a position that tells more.
            state.delivered_until = None;
        }
        if quiet {
            // Worth one save in the end of the round, not one for each folder.
            self.unsaved = true;
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
        if !page.more {
            self.caught_up_in(&folder.id);
        }
        Ok(())
    }
}

/// Whether what the sink has to say keeps the mailbox away for longer than a pause of the source.
fn outweighs(failed: &Failed, asked: Duration) -> bool {
    let Failed::Sink(err) = failed else { return false };
    match err.advice() {
        SinkAdvice::Retry { after } => after.is_some_and(|after| after > asked),
        SinkAdvice::PauseMailbox | SinkAdvice::StopMailbox => false,
        SinkAdvice::StopService => true,
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

pub(crate) async fn fetch(
    source: &mut dyn Source,
    folder: &Folder,
    entries: &[Entry],
    shutdown: &CancellationToken,
) -> Result<Vec<Fetched>, Failed> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    tokio::select! {
        biased;
        () = shutdown.cancelled() => Err(Failed::Interrupted),
        fetched = source.fetch(folder, entries) => Ok(fetched?),
    }
}
