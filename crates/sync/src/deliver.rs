//! Fetches what a page lists and writes it, and finds out which item is to blame when that fails.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use record::{
    Advice, Email, Entry, Fetched, Folder, Quarantined, Refusal, SinkAdvice, SinkError, Source,
    SourceError, Uid,
};
use tokio_util::sync::CancellationToken;

use crate::{
    caught::{PANICKED, Panicked, caught},
    mailbox::{Failed, MailboxSync},
    observer::Event,
    page::UNKNOWN_SIZE,
    past::Past,
    suspect::Caution,
};

/// Most bytes, as the server lists them, that are fetched before they are handed to the sink.
/// Twice this may be in memory for each mailbox that is being worked on.
const CHUNK_BYTES: u64 = 2 << 20;

/// Failed attempts at a single item after which it is set aside: the server answered, but not
/// in a readable way.
const UNREADABLE_ATTEMPTS: u32 = 3;

/// The same when no answer came at all, which is the network's fault more often.
const UNREACHABLE_ATTEMPTS: u32 = 6;

/// Fetches in a row that may settle nothing before the request counts as too large.
const STALLS: u32 = 3;

/// A page on its way: what is still to be fetched, and what is to be written beside the emails.
#[derive(Default)]
pub(crate) struct Delivery {
    pub(crate) pending: VecDeque<Entry>,
    pub(crate) moved: Vec<(Uid, Vec<String>)>,
    pub(crate) set_aside: Vec<Quarantined>,
    /// The server says that they are not there.
    pub(crate) gone: Vec<Entry>,
    pub(crate) past: Past,
    /// Emails stored in this attempt, for the pace.
    pub(crate) delivered: usize,
    pub(crate) skipped: usize,
}

impl MailboxSync {
    /// Fetches what is pending and writes it, each portion while the next one is fetched.
    pub(crate) async fn deliver(
        &mut self,
        folder: &Folder,
        delivery: &mut Delivery,
        shutdown: &CancellationToken,
    ) -> Result<(), Failed> {
        let mut ready: Vec<Email> = Vec::new();
        let mut stalls = 0;
        let mut passage = None;
        while !delivery.pending.is_empty() || !ready.is_empty() {
            let chunk = if self.writes_first(&ready, delivery.pending.front()) {
                Vec::new()
            } else {
                self.next_chunk(&mut delivery.pending)
            };
            let caution = self.before_fetch(folder, &chunk, delivery, &mut passage, shutdown);
            if caution.await? == Caution::Leave {
                continue;
            }
            let to_write = std::mem::take(&mut ready);
            self.sending(&folder.id, &to_write);
            // A write is never abandoned half-way; a fetch is, when the service shuts down.
            let (fetched, written) =
                tokio::join!(fetch(self.source.as_mut(), folder, &chunk, shutdown), async {
                    if to_write.is_empty() {
                        return Ok(Ok(Vec::new()));
                    }
                    caught(self.shared.sink.write(&self.route, &to_write)).await
                });
            if let (Err(_), [entry]) = (&fetched, chunk.as_slice()) {
                self.after_survival(folder, entry).await;
            }
            if !matches!(written, Ok(Ok(_))) {
                self.after_unwritten(folder, &to_write).await;
            }
            let written = match written {
                Ok(written) => self.after_write(folder, written, &to_write, delivery),
                Err(Panicked) => self.after_write_panic(folder, &to_write, delivery),
            };
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

    /// Writing showed a bug. Several emails: they are written one by one from now on. A single
    /// one: it is blamed, and set aside when it has happened often enough.
    fn after_write_panic(
        &mut self,
        folder: &Folder,
        emails: &[Email],
        delivery: &mut Delivery,
    ) -> Result<(), Failed> {
        self.cautious = true;
        let [email] = emails else { return Err(Failed::Panicked) };
        let attempts = self.attempts.entry(email.item.clone()).or_insert(0);
        *attempts += 1;
        if *attempts < UNREADABLE_ATTEMPTS {
            return Err(Failed::Panicked);
        }
        self.not_stored(email.uid);
        let (uid, code) = (email.uid, "WriteFailed".to_owned());
        let item = self.refused(folder, email, Refusal { uid, code, detail: PANICKED.to_owned() });
        delivery.set_aside.push(Quarantined { attempts: UNREADABLE_ATTEMPTS, ..item });
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
        let patience = match &failed {
            Failed::Panicked => UNREADABLE_ATTEMPTS,
            Failed::Source(err) if err.advice() == Advice::Split => UNREADABLE_ATTEMPTS,
            // A server that says that it is unwell says nothing against the item.
            Failed::Source(SourceError::Unreachable { .. }) => UNREACHABLE_ATTEMPTS,
            Failed::Source(_) | Failed::Sink(_) | Failed::Interrupted => return Err(failed),
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
            return Err(failed);
        };
        self.cautious = true;
        let attempts = self.attempts.entry(entry.item.clone()).or_insert(0);
        *attempts += 1;
        if *attempts < patience {
            return Err(failed);
        }
        let detail = match failed {
            Failed::Source(err) => record::Chain(&err).to_string(),
            Failed::Panicked => PANICKED.to_owned(),
            Failed::Sink(_) | Failed::Interrupted => return Err(failed),
        };
        let mut item = self.quarantined(folder, entry, "FetchFailed", &detail);
        item.attempts = patience;
        delivery.set_aside.push(item);
        Ok(())
    }
}

/// Whether what the sink has to say keeps the mailbox away for longer than a pause of the source.
fn outweighs(failed: &Failed, asked: Duration) -> bool {
    let Failed::Sink(err) = failed else { return false };
    match err.advice() {
        SinkAdvice::Retry { after } => after.is_some_and(|after| after > asked),
        SinkAdvice::PauseMailbox | SinkAdvice::StepBack | SinkAdvice::StopMailbox => false,
        SinkAdvice::StopService => true,
    }
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
        fetched = caught(source.fetch(folder, entries)) => match fetched {
            Ok(fetched) => Ok(fetched?),
            Err(Panicked) => Err(Failed::Panicked),
        },
    }
}
