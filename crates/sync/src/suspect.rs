//! Finds the large item that ends the process whenever it is fetched.
//!
//! Whatever goes wrong with an item is a failure that the engine sees, but for one thing: that the
//! process is killed, as for lack of memory. So before a large item is fetched, a note of it is put
//! on the quarantine list, which storing the item removes. A note that a process finds at its start
//! is a strike: the one before ended amid that item. A suspect is tried once more, while no other
//! large item is on its way; after the second strike it is set aside for good.
//!
//! Small items are fetched without a note: they would cost a durable write each, and what they can
//! do to the process is little.

use record::{Email, Entry, Folder, Quarantined};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    deliver::Delivery,
    mailbox::{Failed, MailboxSync},
};

/// From this listed size on, in bytes, an item is fetched with a note.
const NOTED_SIZE: u64 = 8 << 20;

/// Strikes after which an item is set aside.
const STRIKES: u32 = 2;

/// Code of a note. Whoever shows a quarantine list leaves notes out.
pub const IN_FLIGHT: &str = "InFlight";

/// Code of an item that ended the process too often.
const KILLS_PROCESS: &str = "KillsProcess";

/// What is known of an item that is fetched with a note.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note {
    /// Processes that ended amid the item before this one.
    pub(crate) strikes: u32,
    /// The stored note counts this process too.
    raised: bool,
}

/// Held until a large item is stored: a suspect is tried while no other large item is on its way.
pub(crate) enum Passage {
    Shared { _guard: OwnedRwLockReadGuard<()> },
    Alone { _guard: OwnedRwLockWriteGuard<()> },
}

/// What to do with items that are to be fetched.
#[derive(PartialEq, Eq)]
pub(crate) enum Caution {
    Fetch,
    /// They are set aside.
    Leave,
}

pub(crate) fn is_large(entry: &Entry) -> bool {
    entry.size.is_some_and(|size| size >= NOTED_SIZE)
}

impl MailboxSync {
    /// Whether `ready` is to be stored before anything of `pending` is fetched, so that nobody is
    /// blamed for what somebody else does.
    pub(crate) fn writes_first(&self, ready: &[Email], pending: Option<&Entry>) -> bool {
        let noted = |email: &Email| self.carried.note(&self.route, email.uid).is_some();
        !ready.is_empty() && (pending.is_some_and(is_large) || ready.iter().any(noted))
    }

    /// Before `chunk` is fetched. A large item always comes alone. `passage` is that of the item
    /// before, which is stored by now.
    pub(crate) async fn before_fetch(
        &mut self,
        folder: &Folder,
        chunk: &[Entry],
        delivery: &mut Delivery,
        passage: &mut Option<Passage>,
        shutdown: &CancellationToken,
    ) -> Result<Caution, Failed> {
        let [entry] = chunk else { return Ok(Caution::Fetch) };
        if !is_large(entry) {
            return Ok(Caution::Fetch);
        }
        let note = match self.carried.note(&self.route, entry.uid) {
            Some(note) => note,
            None => {
                let listed = self.shared.sink.quarantined(&self.route).await?;
                // The page may be read again after the item was set aside.
                let ours = |code: &str| code == IN_FLIGHT || code == KILLS_PROCESS;
                let found = |item: &&Quarantined| item.uid == entry.uid && ours(&item.code);
                let strikes = listed.iter().find(found).map_or(0, |item| item.attempts);
                Note { strikes, raised: false }
            }
        };
        if note.strikes >= STRIKES {
            let detail = "the process ended twice while it was fetched";
            let item = self.quarantined(folder, entry, KILLS_PROCESS, detail);
            delivery.set_aside.push(Quarantined { attempts: note.strikes, ..item });
            return Ok(Caution::Leave);
        }
        if note.strikes > 0 {
            warn!(
                mailbox.id = %self.route.mailbox, uid = %entry.uid, strikes = note.strikes,
                "Trying an item of `{}` amid which an earlier process ended", self.route.mailbox
            );
        }
        *passage = None;
        let turnstile = self.carried.turnstile();
        *passage = Some(tokio::select! {
            biased;
            () = shutdown.cancelled() => return Err(Failed::Interrupted),
            guard = turnstile.clone().write_owned(), if note.strikes > 0 => {
                Passage::Alone { _guard: guard }
            }
            guard = turnstile.clone().read_owned(), if note.strikes == 0 => {
                Passage::Shared { _guard: guard }
            }
        });
        if !note.raised {
            self.write_note(folder, entry, Note { raised: true, ..note }).await?;
        }
        Ok(Caution::Fetch)
    }

    /// After an item could not be fetched or stored: the process has survived it, which is noted
    /// if the sink lets us.
    pub(crate) async fn after_survival(&mut self, folder: &Folder, entry: &Entry) {
        let note = self.carried.note(&self.route, entry.uid).filter(|note| note.raised);
        let Some(note) = note else { return };
        if let Err(Failed::Sink(err)) =
            self.write_note(folder, entry, Note { raised: false, ..note }).await
        {
            debug!("A note of an item of `{}` stays as it is: {err}", self.route.mailbox);
        }
    }

    /// The same of emails that could not be stored.
    pub(crate) async fn after_unwritten(&mut self, folder: &Folder, emails: &[Email]) {
        for email in emails {
            let entry = Entry {
                item: email.item.clone(),
                uid: email.uid,
                message_id: email.message_id.clone(),
                received: email.metadata.received_at,
                created: None,
                size: Some(email.body.size()),
                is_draft: false,
            };
            self.after_survival(folder, &entry).await;
        }
    }

    async fn write_note(
        &mut self,
        folder: &Folder,
        entry: &Entry,
        note: Note,
    ) -> Result<(), Failed> {
        let detail = "being fetched; if the process ends now, it is to blame";
        let mut item = self.quarantined(folder, entry, IN_FLIGHT, detail);
        item.attempts = note.strikes + u32::from(note.raised);
        self.shared.sink.quarantine(&self.route, &[item]).await?;
        self.carried.set_note(&self.route, entry.uid, note);
        Ok(())
    }

    /// Whether a note of the item stands on the quarantine list.
    pub(crate) fn is_noted(&self, entry: &Entry) -> bool {
        self.carried.note(&self.route, entry.uid).is_some()
    }
}
