//! The checkpoint of a mailbox: loaded, put away between two rounds, and saved.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use record::{FolderState, SinkError};

use crate::{
    mailbox::{Failed, MailboxSync, Next},
    observer::{CommitResult, Event},
    settings::StartFrom,
};

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
            return Ok(None);
        }
        self.agenda.clear();
        self.thorough = true;
        self.checkpoint = Some(checkpoint);
        if let Some(wait) = self.contested() {
            return Ok(Some(wait));
        }
        if let Some(wait) = self.kept_pause().await? {
            return Ok(Some(wait));
        }
        if self.settings.start_from == StartFrom::Config && !self.applied {
            self.rewind().await?;
        }
        Ok(None)
    }

    /// Begins at the start again, whatever is stored.
    async fn rewind(&mut self) -> Result<(), Failed> {
        let Some(checkpoint) = self.checkpoint.as_mut() else { return Ok(()) };
        checkpoint.hierarchy = None;
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
