//! The sync state of one bucket, shared by all its mailboxes and by other processes.
//!
//! One text holds all mailboxes, so a change is a read, a merge and a write. Changes that come
//! while one is under way are merged into the next. Where the server gives an `ETag`, a write that
//! would undo somebody else's is refused and merged again. Where it does not, such a write can be
//! lost: what this process wrote last is therefore compared each time, and written again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use record::{BucketId, MailboxId, SinkError};
use tokio::time::{Instant, sleep};

use super::{
    api::Api,
    document::{self, Entry, Found, Mailboxes},
    failure::Failure,
    keyed::Keyed,
    rivals::{Compared, compare},
    state_error::StateError,
    sync_state::{Stored, SyncState},
};

/// Age up to which a text that was read serves for mailboxes that begin: at a start, thousands do.
const FRESH: Duration = Duration::from_secs(10);
/// Age after which a mailbox's state is compared with the server's before it is used.
const VALID: Duration = Duration::from_secs(180);
/// Times that a write is merged anew because others were quicker.
const MAX_RACES: u32 = 30;

pub(super) struct Bucket {
    text: SyncState,
    keyed: Arc<Keyed>,
    id: BucketId,
    /// Marks what this process wrote.
    writer: String,
    /// One reads, merges and writes at a time.
    turn: tokio::sync::Mutex<()>,
    /// Guards what is known of the text; never held while waiting.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    served: BTreeMap<MailboxId, Served>,
    fresh: Option<(Instant, Mailboxes)>,
    foreign: bool,
    read_at: Option<Instant>,
    /// Mailboxes that another process has written: what is known of them is soon stale.
    contested: BTreeSet<MailboxId>,
    key: Key,
}

/// What the server calls a bucket; another of the same name is called otherwise.
#[derive(Clone, Default, PartialEq, Eq)]
enum Key {
    #[default]
    Unknown,
    /// Nobody tells.
    Hidden,
    Is(String),
}

#[derive(Default)]
struct Served {
    /// As it was last read or written.
    entry: Entry,
    /// To be written.
    next: Option<Entry>,
    outcome: Option<Result<(), StateError>>,
    /// Another process has written it since.
    lost: bool,
}

impl Known {
    /// Another process has written the state of `mailbox`.
    fn give_up(&mut self, mailbox: &MailboxId) {
        self.served.remove(mailbox);
        self.contested.insert(mailbox.clone());
        self.fresh = None;
    }
}

impl Bucket {
    pub(super) fn new(api: Api, keyed: Arc<Keyed>, id: BucketId, writer: String) -> Self {
        let text = SyncState::new(api, id.clone());
        let (turn, known) = (tokio::sync::Mutex::default(), Mutex::default());
        Self { text, keyed, id, writer, turn, known }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the text belongs to another program: then nothing is written.
    pub(super) fn is_foreign(&self) -> bool {
        self.known().foreign
    }

    /// Names the state in messages.
    pub(super) fn place(&self) -> String {
        format!("bucket-sync-state of {}", self.id)
    }

    pub(super) fn error(&self, err: StateError) -> SinkError {
        err.into_sink_error(self.text.host(), self.place())
    }

    /// The state of `mailbox` as this process knows it, read if it does not or no longer knows.
    pub(super) async fn load(&self, mailbox: &MailboxId) -> Result<Entry, StateError> {
        if let Some(entry) = self.remembered(mailbox)? {
            return Ok(entry);
        }
        let _turn = self.turn.lock().await;
        if let Some(entry) = self.remembered(mailbox)? {
            return Ok(entry);
        }
        if let Some(entry) = self.adopt_fresh(mailbox)? {
            return Ok(entry);
        }
        let stored = self.text.read().await?;
        let undone = self.learn(&stored.found)?;
        self.judge(undone).await;
        let mailboxes = match stored.found {
            Found::Ours(mailboxes) => mailboxes,
            Found::Nothing | Found::Foreign => Mailboxes::new(),
        };
        // Others that begin find theirs in it; one that was only looked at again needs it not.
        let mut known = self.known();
        if !known.served.contains_key(mailbox) {
            known.fresh = Some((Instant::now(), mailboxes));
        }
        drop(known);
        if let Some(entry) = self.remembered(mailbox)? {
            return Ok(entry);
        }
        Ok(self.adopt_fresh(mailbox)?.unwrap_or_default())
    }

    /// What is in memory, if it was compared with the server not long ago. The caller learns
    /// once that another process has taken over.
    fn remembered(&self, mailbox: &MailboxId) -> Result<Option<Entry>, StateError> {
        let mut known = self.known();
        let limit = if known.contested.contains(mailbox) { FRESH } else { VALID };
        let valid = known.foreign || known.read_at.is_some_and(|at| at.elapsed() < limit);
        let Some(served) = known.served.get(mailbox) else { return Ok(None) };
        if served.lost {
            known.give_up(mailbox);
            return Err(StateError::Superseded);
        }
        Ok(valid.then(|| served.entry.clone()))
    }

    fn adopt_fresh(&self, mailbox: &MailboxId) -> Result<Option<Entry>, StateError> {
        let mut known = self.known();
        if known.fresh.as_ref().is_none_or(|(at, _)| at.elapsed() > FRESH) {
            known.fresh = None;
            return Ok(None);
        }
        let Some((_, mailboxes)) = &known.fresh else { return Ok(None) };
        let entry = document::entry(mailboxes, mailbox.as_str())?.unwrap_or_default();
        let served = Served { entry: entry.clone(), ..Served::default() };
        known.served.insert(mailbox.clone(), served);
        Ok(Some(entry))
    }

    /// Compares what is served with what the server holds.
    fn learn(&self, found: &Found) -> Result<Vec<MailboxId>, StateError> {
        let mut known = self.known();
        known.read_at = Some(Instant::now());
        if known.fresh.as_ref().is_some_and(|(at, _)| at.elapsed() > FRESH) {
            known.fresh = None;
        }
        let nothing = Mailboxes::new();
        let mailboxes = match found {
            Found::Foreign => {
                if !known.foreign {
                    known.foreign = true;
                    tracing::warn!(
                        bucket = %self.id,
                        "The sync state of bucket `{}` belongs to another program and is left as \
                         it is; only the time of the newest email of each folder is kept. To take \
                         the bucket over, run `tributary state reset`",
                        self.id,
                    );
                }
                return Ok(Vec::new());
            }
            Found::Nothing => {
                self.begin_anew(&mut known);
                &nothing
            }
            Found::Ours(mailboxes) => mailboxes,
        };
        known.foreign = false;
        let mut undone = Vec::new();
        for (mailbox, served) in &mut known.served {
            if served.lost {
                continue;
            }
            let stored = document::entry(mailboxes, mailbox.as_str())?;
            let stored = stored.map(|entry| entry.mark).unwrap_or_default();
            match compare(&served.entry.mark, &stored, &self.writer) {
                Compared::Same => {}
                Compared::Undone => undone.push(mailbox.clone()),
                Compared::Lost => served.lost = true,
            }
        }
        Ok(undone)
    }

    /// Those of `undone` that are to be written again: none, if the bucket is another one, into
    /// which somebody else was quicker to write.
    async fn judge(&self, undone: Vec<MailboxId>) -> Vec<MailboxId> {
        let before = self.known().key.clone();
        if before != Key::Unknown && undone.is_empty() {
            return undone;
        }
        let now = self.keyed.bucket_id_now(&self.id).await.map_or(Key::Hidden, Key::Is);
        let mut known = self.known();
        let is_another =
            matches!((&before, &now), (Key::Is(before), Key::Is(now)) if before != now);
        if is_another {
            self.begin_anew(&mut known);
        }
        // One that cannot be asked about counts as the one that it was.
        if now != Key::Hidden || before == Key::Unknown {
            known.key = now;
        }
        if is_another { Vec::new() } else { undone }
    }

    /// The bucket was deleted and made again, or its state was. It may lack all that was delivered,
    /// so positions of before must not be written into it; what is there still is known by its id.
    fn begin_anew(&self, known: &mut Known) {
        known.key = Key::Unknown;
        let mut gone = 0;
        for served in known.served.values_mut() {
            if served.entry.mark.generation > 0 && !served.lost {
                served.lost = true;
                gone += 1;
            }
        }
        if gone > 0 {
            known.fresh = None;
            tracing::warn!(
                bucket = %self.id,
                mailboxes = gone,
                "The sync state of bucket `{}` has vanished, as if the bucket had been made anew: \
                 its mailboxes are read again from their start. If nobody did that on purpose, \
                 look for other programs that write to the bucket",
                self.id,
            );
        }
    }

    /// What the server holds.
    pub(super) async fn read(&self) -> Result<Stored, StateError> {
        self.text.read().await
    }

    /// Replaces the state of `mailbox`, together with those that others replace meanwhile.
    pub(super) async fn save(
        &self,
        mailbox: &MailboxId,
        change: impl FnOnce(&Entry) -> Entry,
    ) -> Result<(), StateError> {
        {
            let mut known = self.known();
            let Some(served) = known.served.get_mut(mailbox) else {
                return Err(StateError::Superseded);
            };
            let mut next = change(&served.entry);
            self.writer.clone_into(&mut next.mark.writer);
            served.outcome = None;
            served.next = Some(next);
        }
        let withdrawal = Withdrawal { bucket: self, mailbox };
        let _turn = self.turn.lock().await;
        let decided = self.take_outcome(mailbox);
        let outcome = match decided {
            Some(outcome) => outcome,
            None => {
                self.commit().await;
                self.take_outcome(mailbox).unwrap_or(Err(StateError::Superseded))
            }
        };
        drop(withdrawal);
        outcome
    }

    fn take_outcome(&self, mailbox: &MailboxId) -> Option<Result<(), StateError>> {
        let mut known = self.known();
        let outcome = known.served.get_mut(mailbox)?.outcome.take()?;
        match outcome {
            // Whoever comes back reads the server's.
            Err(StateError::Superseded) => known.give_up(mailbox),
            Ok(()) => drop(known.contested.remove(mailbox)),
            Err(_) => {}
        }
        Some(outcome)
    }

    /// Writes all that waits to be written.
    async fn commit(&self) {
        let waiting: Vec<(MailboxId, Entry)> = {
            let known = self.known();
            let next = |(mailbox, served): (&MailboxId, &Served)| {
                served.next.clone().map(|next| (mailbox.clone(), next))
            };
            known.served.iter().filter_map(next).collect()
        };
        let result = self.commit_these(&waiting).await;
        let mut known = self.known();
        for (mailbox, next) in waiting {
            let Some(served) = known.served.get_mut(&mailbox) else { continue };
            served.next = None;
            served.outcome = Some(match &result {
                Err(err) => Err(err.clone()),
                Ok(()) if served.lost => Err(StateError::Superseded),
                Ok(()) => {
                    served.entry = next;
                    Ok(())
                }
            });
        }
    }

    async fn commit_these(&self, waiting: &[(MailboxId, Entry)]) -> Result<(), StateError> {
        let mut refused = None;
        for race in 0..MAX_RACES {
            if race > 0 {
                sleep(Duration::from_millis(20 * u64::from(race)).mul_f64(rand::random())).await;
            }
            let stored = self.text.read().await?;
            let undone = self.learn(&stored.found)?;
            let undone = self.judge(undone).await;
            let mut mailboxes = match stored.found {
                Found::Foreign => return Ok(()),
                Found::Nothing => Mailboxes::new(),
                Found::Ours(mailboxes) => mailboxes,
            };
            if self.merge(&mut mailboxes, waiting, &undone).map_err(StateError::unprintable)? == 0 {
                return Ok(());
            }
            let text = document::write(&mailboxes).map_err(StateError::unprintable)?;
            drop(mailboxes);
            // A server that refuses what it has just named cannot compare tags.
            let condition = stored.condition.filter(|new| refused.as_ref() != Some(new));
            refused.clone_from(&condition);
            match self.text.write(text, condition).await {
                Err(StateError::Failure(Failure::Changed)) => {}
                written => return written,
            }
        }
        Err(Failure::Changed.into())
    }

    /// Puts the entries of this process in the place of those that are there; tells how many.
    fn merge(
        &self,
        mailboxes: &mut Mailboxes,
        waiting: &[(MailboxId, Entry)],
        undone: &[MailboxId],
    ) -> serde_json::Result<usize> {
        let known = self.known();
        let mut merged = 0;
        let mut put = |mailbox: &MailboxId, entry: &Entry| {
            merged += 1;
            let raw = serde_json::value::to_raw_value(entry)?;
            mailboxes.insert(mailbox.as_str().to_owned(), raw);
            Ok(())
        };
        for mailbox in undone {
            if let Some(served) = known.served.get(mailbox) {
                put(mailbox, &served.entry)?;
            }
        }
        for (mailbox, next) in waiting {
            if known.served.get(mailbox).is_some_and(|served| !served.lost) {
                put(mailbox, next)?;
            }
        }
        Ok(merged)
    }

    /// Writes a text of no mailbox over whatever is there: the way to take over from another
    /// program.
    pub(super) async fn overwrite(&self) -> Result<(), StateError> {
        let text = document::write(&Mailboxes::new()).map_err(StateError::unprintable)?;
        let _turn = self.turn.lock().await;
        self.text.write(text, None).await?;
        *self.known() = Known::default();
        Ok(())
    }
}

/// What was not written because its caller is gone must not be written later.
struct Withdrawal<'a> {
    bucket: &'a Bucket,
    mailbox: &'a MailboxId,
}

impl Drop for Withdrawal<'_> {
    fn drop(&mut self) {
        if let Some(served) = self.bucket.known().served.get_mut(self.mailbox) {
            served.next = None;
            served.outcome = None;
        }
    }
}
