//! Reads one mailbox for ever, in steps of at most one page.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use rand::rngs::SmallRng;
use record::{
    Checkpoint, Clock, Folder, FolderId, ItemId, Route, Sink, SinkError, Source, SourceError,
    Survey,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    backoff::Backoff,
    carried::{Applied, Carried},
    complete::Complete,
    contest::Contest,
    idle::Idle,
    migrate,
    observer::{Event, MailboxState, Observer},
    settings::{MailboxSettings, Pace, StartFrom},
    stored::is_stale,
    tally::Tally,
};

/// Rounds between two surveys that ask for the folder list itself, in case the cheap check
/// missed a change.
const ROUNDS_BETWEEN_THOROUGH_SURVEYS: u32 = 40;

/// The documented pause for each email, used while the server throttles.
const DOCUMENTED_MESSAGE_SLEEP: Duration = Duration::from_millis(100);

/// When the mailbox wants its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Now,
    After(Duration),
    /// Nobody may call the server for this long, this mailbox included.
    PauseService(Duration),
    /// The mailbox needs the operator; it is tried again after this long.
    Blocked(Duration),
    /// Never.
    Stop(StopReason),
}

/// Why a mailbox stops for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The service is shutting down.
    Shutdown,
    /// Its state cannot be read.
    Corrupt,
    /// Its state was written by a newer version.
    TooNew,
}

/// A failure that concerns every mailbox of the service.
#[derive(Debug)]
pub enum Fatal {
    Source(SourceError),
    Sink(SinkError),
}

/// A step did not come to its end.
pub(crate) enum Failed {
    Source(SourceError),
    Sink(SinkError),
    /// A bug showed while items were fetched or written.
    Panicked,
    /// The service is shutting down.
    Interrupted,
}

impl From<SourceError> for Failed {
    fn from(err: SourceError) -> Self {
        Self::Source(err)
    }
}

impl From<SinkError> for Failed {
    fn from(err: SinkError) -> Self {
        Self::Sink(err)
    }
}

/// What a mailbox shares with the others of its service.
pub struct Shared {
    pub sink: Arc<dyn Sink>,
    pub clock: Arc<dyn Clock>,
    pub observer: Arc<dyn Observer>,
    pub pace: Pace,
}

/// One mailbox on its way into one bucket.
pub struct MailboxSync {
    pub(crate) route: Route,
    pub(crate) source: Box<dyn Source>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) settings: MailboxSettings,
    pub(crate) rng: SmallRng,
    /// `None` until it is loaded, again when a save may or may not have happened, and between
    /// two rounds, so that thousands of idle mailboxes cost little memory.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Generation that was put away between two rounds.
    pub(crate) asleep: Option<u64>,
    /// `start_from: config` was applied; from then on the checkpoint counts.
    pub(crate) applied: bool,
    /// What the stored checkpoint lacks is worth a save of its own.
    pub(crate) unsaved: bool,
    /// Folders of this round that are still to be read.
    pub(crate) agenda: VecDeque<Turn>,
    /// A folder was left with more to read, to give the others their turn.
    left_more: bool,
    /// A folder was left out of this round because it cannot be read.
    incomplete: bool,
    /// Failures in a row of folders that could not be read while their mailbox could.
    pub(crate) sick_folders: BTreeMap<FolderId, u32>,
    rounds: u32,
    pub(crate) thorough: bool,
    retry_quarantine: bool,
    /// One item a request, after a request for several failed.
    pub(crate) cautious: bool,
    /// Failed fetches of single items, for the page at hand.
    pub(crate) attempts: BTreeMap<ItemId, u32>,
    /// Most entries asked for at once, after a longer listing failed.
    pub(crate) listing_limit: usize,
    /// For calls that got no answer, and for the sink.
    pub(crate) backoff: Backoff,
    /// For answers that tell of trouble.
    pub(crate) transient: Backoff,
    /// For a server that asks for a pause without saying how long.
    pub(crate) throttle: Backoff,
    pub(crate) paced_until: Option<Instant>,
    /// For a sink where another process is at work on the mailbox.
    pub(crate) busy: Backoff,
    pub(crate) contest: Option<Box<Contest>>,
    /// For a sink that cannot tell what it holds.
    pub(crate) complete: Option<Box<Complete>>,
    /// Where idle mailboxes are looked at less often.
    pub(crate) idle: Option<Box<Idle>>,
    /// The pause in the checkpoint that was obeyed or asked for in this process.
    pub(crate) obeyed_pause: Option<DateTime<Utc>>,
    pub(crate) tally: Tally,
    pub(crate) carried: Carried,
    pub(crate) state: MailboxState,
    caught_up: bool,
}

/// One folder's turn within a round.
pub(crate) struct Turn {
    pub(crate) folder: Folder,
    /// Entries that may still be read before the next folder has its turn.
    pub(crate) budget: usize,
}

impl MailboxSync {
    pub fn new(
        route: Route,
        source: Box<dyn Source>,
        shared: Arc<Shared>,
        settings: MailboxSettings,
        rng: SmallRng,
    ) -> Self {
        Self {
            route,
            source,
            shared,
            settings,
            rng,
            checkpoint: None,
            asleep: None,
            applied: false,
            unsaved: false,
            agenda: VecDeque::new(),
            left_more: false,
            incomplete: false,
            sick_folders: BTreeMap::new(),
            rounds: 0,
            thorough: true,
            retry_quarantine: false,
            cautious: false,
            attempts: BTreeMap::new(),
            listing_limit: usize::MAX,
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(600)),
            transient: Backoff::new(Duration::from_secs(10), Duration::from_secs(3600)),
            throttle: Backoff::new(Duration::from_secs(60), Duration::from_secs(3600)),
            paced_until: None,
            busy: Backoff::new(Duration::from_secs(2), Duration::from_secs(30)),
            contest: None,
            complete: None,
            idle: None,
            obeyed_pause: None,
            tally: Tally::default(),
            carried: Carried::default(),
            state: MailboxState::Ok,
            caught_up: false,
        }
    }

    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Something of the round is still to be read.
    pub fn is_amid_round(&self) -> bool {
        !self.agenda.is_empty()
    }

    /// A round came to its end with nothing left to read.
    pub fn has_been_up_to_date(&self) -> bool {
        self.caught_up
    }

    /// A server asked for the pause that the mailbox makes.
    pub(crate) fn is_throttled(&self) -> bool {
        self.state == MailboxState::Throttled
    }

    /// Asks for one more attempt at everything in quarantine.
    pub fn retry_quarantine(&mut self) {
        self.retry_quarantine = true;
    }

    /// Does a little work: a survey, or a page of one folder.
    ///
    /// # Errors
    ///
    /// The failure that concerns every mailbox of the service, see [`record::Advice::StopService`]
    /// and [`record::SinkAdvice::StopService`].
    pub async fn step(&mut self, shutdown: &CancellationToken) -> Result<Next, Fatal> {
        match self.try_step(shutdown).await {
            Ok(next) => Ok(next),
            Err(Failed::Interrupted) => Ok(Next::Stop(StopReason::Shutdown)),
            Err(Failed::Sink(err)) => self.after_sink_failure(err),
            Err(Failed::Panicked) => Ok(self.after_panic()),
            Err(Failed::Source(err)) => {
                let next = self.after_source_failure(err)?;
                self.keep_pause(next).await
            }
        }
    }

    /// The settings with which `start_from: config` is applied, if it is.
    pub(crate) fn wanted_start(&self) -> Option<Applied> {
        (self.settings.start_from == StartFrom::Config).then_some(Applied {
            start_timestamp: self.settings.start_timestamp,
            include_drafts: self.settings.include_drafts,
            max_email_size: self.settings.max_email_size,
        })
    }

    /// `start_from: config` was applied, in this life of the service or in an earlier one.
    pub(crate) fn has_applied_start(&self) -> bool {
        self.applied
    }

    pub(crate) fn start_is_applied(&mut self) {
        self.applied = true;
    }

    async fn try_step(&mut self, shutdown: &CancellationToken) -> Result<Next, Failed> {
        if self.checkpoint.is_none()
            && let Some(wait) = self.load().await?
        {
            self.checkpoint = None;
            return Ok(wait);
        }
        if std::mem::take(&mut self.retry_quarantine)
            && let Err(failed) = self.read_quarantine(shutdown).await
        {
            self.retry_quarantine = true;
            return Err(failed);
        }
        let Some(mut turn) = self.agenda.pop_front() else {
            self.survey(shutdown).await?;
            return if self.agenda.is_empty() { self.end_round(0).await } else { Ok(Next::Now) };
        };
        let end = match self.read_page(&turn.folder, turn.budget, shutdown).await {
            Ok(end) => end,
            Err(failed) => return self.after_page_failure(turn, failed),
        };
        self.sick_folders.remove(&turn.folder.id);
        self.succeeded();
        turn.budget = turn.budget.saturating_sub(end.entries.max(1));
        if end.more && turn.budget > 0 {
            self.agenda.push_front(turn);
        } else {
            self.left_more |= end.more;
        }
        if !self.agenda.is_empty() {
            return Ok(self.pause_for(end.fetched));
        }
        if std::mem::take(&mut self.left_more) {
            // The round was cut short only to be fair: the next one follows at once.
            self.put_away();
            return Ok(self.pause_for(end.fetched));
        }
        self.end_round(end.fetched).await
    }

    /// The next step after a folder was left out of this round.
    pub(crate) fn without(&mut self, turn: Turn) -> Next {
        self.incomplete = true;
        drop(turn);
        if self.agenda.is_empty() {
            // Not at once, or a folder that cannot be read would be asked for without a pause.
            Next::After(self.shared.pace.poll_frequency)
        } else {
            Next::Now
        }
    }

    /// Asks which folders there are and puts those that may hold something new on the agenda.
    async fn survey(&mut self, shutdown: &CancellationToken) -> Result<(), Failed> {
        let thorough = self.thorough || self.rounds.is_multiple_of(ROUNDS_BETWEEN_THOROUGH_SURVEYS);
        self.round_begins();
        let Some(checkpoint) = self.checkpoint.as_mut() else { return Ok(()) };
        let survey = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Err(Failed::Interrupted),
            survey = self.source.survey(checkpoint, thorough) => survey?,
        };
        self.thorough = false;
        self.incomplete = false;
        self.rounds = self.rounds.wrapping_add(1);
        let Survey { folders, hierarchy } = survey;
        let wanted: Vec<Folder> =
            folders.into_iter().filter(|f| self.settings.folders.accepts(&f.path)).collect();
        let items = wanted.iter().filter_map(|f| f.total).sum();
        self.shared.observer.observe(&Event::Surveyed {
            route: &self.route,
            folders: wanted.len(),
            items,
        });
        self.look_around(wanted.iter().map(|f| &f.id));
        let due: Vec<bool> = wanted.iter().map(|f| thorough || self.is_due(&f.id)).collect();
        let is_proof = self.source.marks_are_proof();
        let Some(checkpoint) = self.checkpoint.as_mut() else { return Ok(()) };
        let present: BTreeSet<&FolderId> = wanted.iter().map(|f| &f.id).collect();
        if wanted.iter().any(|f| !checkpoint.folders.contains_key(&f.id)) {
            migrate::adopt(checkpoint, &wanted);
        }
        let before = checkpoint.folders.len();
        checkpoint.folders.retain(|id, _| present.contains(id));
        self.unsaved |= checkpoint.folders.len() != before;
        if checkpoint.hierarchy != hierarchy {
            let read_at = checkpoint.folders.values().filter_map(|state| state.read_at).max();
            self.unsaved |= is_proof || is_stale(read_at, self.shared.clock.now());
            checkpoint.hierarchy = hierarchy;
        }
        for (folder, due) in wanted.into_iter().zip(due) {
            let state = checkpoint.folders.entry(folder.id.clone()).or_default();
            if state.path != folder.path {
                state.path.clone_from(&folder.path);
                self.unsaved = true;
            }
            state.total = folder.total;
            let unchanged = state.caught_up && folder.mark.is_some() && state.mark == folder.mark;
            if !unchanged || due && !is_proof {
                let budget = self.shared.pace.emails_per_folder;
                self.agenda.push_back(Turn { folder, budget });
            }
        }
        self.keep_lag_of_known_folders();
        Ok(())
    }

    /// Every folder was read to its end.
    async fn end_round(&mut self, fetched: usize) -> Result<Next, Failed> {
        if !self.incomplete {
            self.round_was_complete();
        }
        if self.unsaved {
            self.save().await?;
        }
        self.put_away();
        if !self.incomplete {
            self.succeeded();
            if !std::mem::replace(&mut self.caught_up, true) {
                info!(mailbox.id = %self.route.mailbox, "`{}` is up to date", self.route.mailbox);
            }
            self.shared.observer.observe(&Event::CaughtUp { route: &self.route });
        }
        let pause = self.round_pause();
        Ok(match self.pause_for(fetched) {
            Next::After(longer) if longer > pause => Next::After(longer),
            _ => Next::After(pause),
        })
    }

    /// A page or a round came to its end: whatever was wrong is over. A survey alone does not
    /// count, or a mailbox whose emails cannot be stored would never slow down.
    fn succeeded(&mut self) {
        self.backoff.succeeded();
        self.transient.succeeded();
        self.throttle.succeeded();
        self.busy.succeeded();
        self.set_state(MailboxState::Ok, "", Duration::ZERO);
    }

    /// The next step, after the pause that `poll_message_sleep` asks for `fetched` emails.
    fn pause_for(&self, fetched: usize) -> Next {
        let each = self.message_sleep();
        let pause = each.saturating_mul(u32::try_from(fetched).unwrap_or(u32::MAX));
        if pause.is_zero() { Next::Now } else { Next::After(pause) }
    }

    /// The pause for each email that holds at the moment.
    pub(crate) fn message_sleep(&self) -> Duration {
        match (self.shared.pace.poll_message_sleep, self.paced_until) {
            (Some(sleep), _) => sleep,
            (None, Some(until)) if Instant::now() < until => DOCUMENTED_MESSAGE_SLEEP,
            (None, _) => Duration::ZERO,
        }
    }

    /// Failures in a row of calls that got no answer.
    pub(crate) fn failures(&self) -> u32 {
        self.backoff.failures().max(self.transient.failures())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_mailbox_is_small() {
        // Thousands of them wait for the most part.
        assert!(size_of::<MailboxSync>() <= 576, "{}", size_of::<MailboxSync>());
    }
}
