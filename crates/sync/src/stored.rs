//! The checkpoint of a mailbox: loaded, put away between two rounds, and saved.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};
use record::{FolderState, SinkError};
use tracing::info;

use crate::{
    mailbox::{Failed, MailboxSync, Next},
    migrate,
    observer::{CommitResult, Event},
    settings::StartFrom,
};

/// A newer position alone, with nothing new before it, is saved this often. A server that hands out
/// a new one at each call forgets old ones some day, so it is saved at all.
const QUIET_SAVES: TimeDelta = TimeDelta::hours(1);

/// Whether `read_at`, as it is stored, is old enough for a save that tells nothing but a newer one.
pub(crate) fn is_stale(read_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    let age = read_at.map(|read_at| now - read_at);
    age.is_none_or(|age| age < TimeDelta::zero() || age >= QUIET_SAVES)
}

impl MailboxSync {
    /// Loads the checkpoint. Returns when to come back if nothing may be done now.
    pub(crate) async fn load(&mut self) -> Result<Option<Next>, Failed> {
        let checkpoint = self.shared.sink.load_checkpoint(&self.route).await?;
        if let Some(generation) = self.asleep.take() {
            if checkpoint.generation != generation {
                let place = self.route.mailbox.to_string();
                return Err(SinkError::Superseded { place }.into());
            }
            self.checkpoint = Some(checkpoint);
            // A mailbox in which nothing was worth a save yet is as it was stored, if at all.
            self.convert().await?;
            return Ok(None);
        }
        self.agenda.clear();
        self.thorough = true;
        // Whoever wrote the state meanwhile may have reset it.
        self.complete = None;
        self.checkpoint = Some(checkpoint);
        if let Some(wait) = self.contested() {
            return Ok(Some(wait));
        }
        if let Some(wait) = self.kept_pause().await? {
            return Ok(Some(wait));
        }
        self.convert().await?;
        if self.settings.start_from == StartFrom::Config && !self.applied {
            self.rewind().await?;
        }
        Ok(None)
    }

    /// Puts a checkpoint of another protocol into the terms of the source. It is saved at once:
    /// before, the old one counts, and nothing that is done under the new one follows from it.
    async fn convert(&mut self) -> Result<(), Failed> {
        let protocol = self.source.protocol();
        let Some(checkpoint) = self.checkpoint.as_mut() else { return Ok(()) };
        if checkpoint.protocol == protocol {
            return Ok(());
        }
        let knows = self.shared.sink.knows_what_it_holds();
        let new = migrate::convert(checkpoint, protocol, knows);
        let old = std::mem::replace(checkpoint, new).protocol;
        if checkpoint.generation == 0 {
            return Ok(());
        }
        let mailbox = &self.route.mailbox;
        info!(
            mailbox.id = %mailbox, folders = checkpoint.folders.len(),
            "`{mailbox}` moves from {old} to {protocol}: its folders are listed again, what was \
             delivered is passed over"
        );
        self.save().await
    }

    /// Begins at the start again, whatever is stored.
    async fn rewind(&mut self) -> Result<(), Failed> {
        let Some(checkpoint) = self.checkpoint.as_mut() else { return Ok(()) };
        checkpoint.hierarchy = None;
        // The settings may ask for what was passed over before.
        checkpoint.complete_at = None;
        self.complete = None;
        for state in checkpoint.folders.values_mut() {
            *state = FolderState {
                path: std::mem::take(&mut state.path),
                delivered: state.delivered,
                newest: state.newest,
                ..FolderState::default()
            };
        }
        // Saved at once: after a failure it is this one that must be loaded again.
        self.save().await?;
        self.applied = true;
        Ok(())
    }

    /// Keeps nothing in memory that the next round can load again. What is not worth a save of
    /// its own stays.
    pub(crate) fn put_away(&mut self) {
        self.agenda = VecDeque::new();
        self.shrink_tally();
        if !self.unsaved {
            self.asleep = self.checkpoint.take().map(|checkpoint| checkpoint.generation);
        }
    }

    /// Saves the checkpoint as it stands; the emails that it covers are durable already.
    pub(crate) async fn save(&mut self) -> Result<(), Failed> {
        // A pause that was kept is over, or nothing would be saved.
        self.save_pausing(None).await
    }

    pub(crate) async fn save_pausing(
        &mut self,
        until: Option<DateTime<Utc>>,
    ) -> Result<(), Failed> {
        let Some(mut checkpoint) = self.checkpoint.take() else { return Ok(()) };
        checkpoint.generation += 1;
        checkpoint.paused_until = until;
        checkpoint.complete_at = self.complete_at().or(checkpoint.complete_at);
        // While the save is under way the checkpoint stays unknown: after an error nobody can
        // tell which version is stored, so that it is loaded again.
        let saved = self.shared.sink.save_checkpoint(&self.route, &checkpoint).await;
        let result = match &saved {
            Ok(()) => CommitResult::Ok,
            Err(SinkError::Superseded { .. }) => CommitResult::Conflict,
            Err(_) => CommitResult::Error,
        };
        self.shared.observer.observe(&Event::Committed { route: &self.route, result });
        saved?;
        self.checkpoint = Some(checkpoint);
        self.unsaved = false;
        Ok(())
    }
}
