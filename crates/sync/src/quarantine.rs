//! Items that are set aside: what is known of them, and another attempt on demand.

use chrono::{DateTime, Utc};
use record::{
    Advice, Email, Entry, Fetched, Folder, FolderId, ItemId, Quarantined, Refusal, SourceError,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    caught::{PANICKED, Panicked, caught},
    deliver::{Delivery, fetch},
    mailbox::{Failed, MailboxSync},
    suspect::IN_FLIGHT,
};

/// Most ids that are translated in one request.
const TRANSLATED_AT_ONCE: usize = 1000;

impl MailboxSync {
    pub(crate) fn too_large(&self, entry: &Entry) -> bool {
        matches!((entry.size, self.settings.max_email_size), (Some(size), Some(most)) if size > most)
    }

    /// What is known of an item that is set aside now.
    pub(crate) fn quarantined(
        &self,
        folder: &Folder,
        entry: &Entry,
        code: &str,
        detail: &str,
    ) -> Quarantined {
        Quarantined {
            uid: entry.uid,
            protocol: self.source.protocol(),
            item: entry.item.clone(),
            folder: folder.id.clone(),
            folder_path: folder.path.clone(),
            message_id: entry.message_id.clone(),
            received: entry.received,
            size: entry.size,
            code: code.to_owned(),
            detail: detail.to_owned(),
            since: self.shared.clock.now(),
            attempts: 1,
        }
    }

    /// What is known of an email that the sink will not take.
    pub(crate) fn refused(&self, folder: &Folder, email: &Email, why: Refusal) -> Quarantined {
        Quarantined {
            uid: email.uid,
            protocol: self.source.protocol(),
            item: email.item.clone(),
            folder: folder.id.clone(),
            folder_path: folder.path.clone(),
            message_id: email.message_id.clone(),
            received: email.metadata.received_at,
            size: Some(email.body.size()),
            code: why.code,
            detail: why.detail,
            since: self.shared.clock.now(),
            attempts: 1,
        }
    }

    /// Tries everything in quarantine once more.
    pub(crate) async fn read_quarantine(
        &mut self,
        shutdown: &CancellationToken,
    ) -> Result<(), Failed> {
        let items = self.shared.sink.quarantined(&self.route).await?;
        for item in self.in_our_terms(items, shutdown).await? {
            let folder = Folder {
                id: FolderId(item.folder.0.clone()),
                path: item.folder_path.clone(),
                mark: None,
                total: None,
            };
            let entry = item.entry();
            // A note is no item that was set aside.
            if self.too_large(&entry) || item.code == IN_FLIGHT {
                continue;
            }
            let entries = std::slice::from_ref(&entry);
            let fetched = fetch(self.source.as_mut(), &folder, entries, shutdown).await;
            let (code, detail) = match fetched.map(|all| all.into_iter().next()) {
                Ok(Some(Fetched::Email(email))) => {
                    let emails = std::slice::from_ref(email.as_ref());
                    let mut delivery = Delivery::default();
                    self.sending(&folder.id, emails);
                    let written = caught(self.shared.sink.write(&self.route, emails)).await;
                    let written = match written {
                        Ok(written) => written,
                        Err(Panicked) => {
                            let (code, detail) = ("WriteFailed".to_owned(), PANICKED.to_owned());
                            Ok(vec![Refusal { uid: item.uid, code, detail }])
                        }
                    };
                    self.after_write(&folder, written, emails, &mut delivery)?;
                    self.forget(std::slice::from_ref(&entry));
                    match delivery.set_aside.pop() {
                        Some(refused) => (refused.code, refused.detail),
                        None => {
                            self.released(&item, email.timestamp);
                            continue;
                        }
                    }
                }
                Ok(Some(Fetched::Refused { code, detail })) => (code, detail),
                Ok(Some(Fetched::Gone)) => {
                    (item.code.clone(), "no longer in the folder that listed it".to_owned())
                }
                Ok(Some(Fetched::Later) | None) => (item.code.clone(), item.detail.clone()),
                Err(Failed::Source(err)) if ends_retries(&err) => return Err(err.into()),
                // The attempt counts; new mail is not to wait for an item that breaks requests.
                Err(Failed::Source(err)) => (item.code.clone(), record::Chain(&err).to_string()),
                Err(Failed::Panicked) => (item.code.clone(), PANICKED.to_owned()),
                Err(failed) => return Err(failed),
            };
            let again = Quarantined { code, detail, attempts: item.attempts + 1, ..item };
            self.shared.sink.quarantine(&self.route, &[again]).await?;
        }
        Ok(())
    }
}

impl MailboxSync {
    /// Gives items that another protocol named the ids that they have here. An item without one is
    /// left out; it stays on the list, and gets its id when its folder lists it.
    async fn in_our_terms(
        &mut self,
        items: Vec<Quarantined>,
        shutdown: &CancellationToken,
    ) -> Result<Vec<Quarantined>, Failed> {
        let ours = self.source.protocol();
        let (mut known, foreign): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|item| item.protocol == ours);
        for items in foreign.chunks(TRANSLATED_AT_ONCE) {
            let Some(first) = items.first() else { break };
            // There are two protocols, so that all of these are of the same.
            let from = first.protocol;
            let ids: Vec<ItemId> = items.iter().map(|item| item.item.clone()).collect();
            let translated = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Err(Failed::Interrupted),
                translated = self.source.translate(from, &ids) => match translated {
                    Ok(translated) => translated,
                    Err(err) if ends_retries(&err) => return Err(err.into()),
                    Err(err) => {
                        warn!(
                            mailbox.id = %self.route.mailbox,
                            "Items of `{}` that are set aside keep their old ids: {}",
                            self.route.mailbox, record::Chain(&err)
                        );
                        continue;
                    }
                },
            };
            for (item, id) in items.iter().zip(translated) {
                if let Some(id) = id {
                    let folder = self.folder_at(&item.folder_path).unwrap_or(item.folder.clone());
                    known.push(Quarantined { protocol: ours, item: id, folder, ..item.clone() });
                }
            }
        }
        Ok(known)
    }

    fn folder_at(&self, path: &[String]) -> Option<FolderId> {
        let folders = &self.checkpoint.as_ref()?.folders;
        folders.iter().find(|(_, state)| state.path == path).map(|(id, _)| id.clone())
    }

    /// An item has left the quarantine: the numbers of its folder follow, with the next save.
    fn released(&mut self, item: &Quarantined, received: DateTime<Utc>) {
        let folders = self.checkpoint.as_mut().map(|checkpoint| &mut checkpoint.folders);
        if let Some(state) = folders.and_then(|folders| folders.get_mut(&item.folder)) {
            state.quarantined = state.quarantined.saturating_sub(1);
            state.delivered += 1;
            state.newest = state.newest.max(Some(received));
            self.unsaved = true;
        }
    }
}

/// Whether a failure says nothing about the item that was tried again.
fn ends_retries(err: &SourceError) -> bool {
    matches!(err.advice(), Advice::StopService | Advice::Retry { after: Some(_), .. })
}
