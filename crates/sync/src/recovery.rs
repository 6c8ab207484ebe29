//! What a mailbox does about a failure.

use std::time::Duration;

use record::{Advice, Chain, Scope, SinkAdvice, SinkError, SourceError};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::{
    caught::PANICKED,
    mailbox::{Failed, Fatal, MailboxSync, Next, StopReason, Turn},
    observer::{Event, MailboxState},
};

/// How long a mailbox that was throttled is read at the documented pace.
const PACED_AFTER_THROTTLING: Duration = Duration::from_secs(600);

/// Pause of a mailbox that needs the operator.
const OPERATOR_PAUSE: Duration = Duration::from_secs(3600);

/// Failures in a row after which a folder is left out, so that the others have their turn.
const FOLDER_ATTEMPTS: u32 = 3;

/// Attempts after which somebody is told that another process still serves the mailbox: after
/// about four minutes.
const BUSY_PATIENCE: u32 = 12;

impl MailboxSync {
    /// A page could not be read: what that means for its folder.
    pub(crate) fn after_page_failure(
        &mut self,
        turn: Turn,
        failed: Failed,
    ) -> Result<Next, Failed> {
        let Failed::Source(err) = &failed else {
            self.agenda.push_front(turn);
            return Err(failed);
        };
        let mailbox = &self.route.mailbox;
        match err.advice() {
            // Whatever is wrong here may be wrong with this folder only.
            Advice::Split | Advice::Retry { scope: Scope::Mailbox, after: None }
                if !matches!(err, SourceError::Unreachable { .. }) =>
            {
                self.after_sick_folder(turn, failed)
            }
            Advice::RestartFolder => {
                let state = self
                    .checkpoint
                    .as_mut()
                    .and_then(|checkpoint| checkpoint.folders.get_mut(&turn.folder.id))
                    .filter(|state| state.position.is_some());
                let again = self.sick_folders.contains_key(&turn.folder.id);
                let Some(state) = state else { return self.after_sick_folder(turn, failed) };
                state.position = None;
                state.caught_up = false;
                state.mark = None;
                if again {
                    return self.after_sick_folder(turn, failed);
                }
                warn!(
                    mailbox.id = %mailbox, folder.path = ?turn.folder.path,
                    "The saved position in a folder of `{mailbox}` has expired; the folder is \
                     read again from its start"
                );
                self.sick_folders.insert(turn.folder.id.clone(), 0);
                self.agenda.push_front(turn);
                Ok(Next::Now)
            }
            Advice::ReviewFolders => {
                info!(
                    mailbox.id = %mailbox, folder.path = ?turn.folder.path,
                    "A folder of `{mailbox}` is gone; the folder list is read again"
                );
                self.thorough = true;
                Ok(self.without(turn))
            }
            // No right to one folder says nothing about the others.
            Advice::PauseMailbox => {
                warn!(
                    mailbox.id = %mailbox, folder.path = ?turn.folder.path,
                    "Leaving a folder of `{mailbox}` out of this round: {}", Chain(err)
                );
                Ok(self.without(turn))
            }
            Advice::Retry { .. } | Advice::Split | Advice::StopService => {
                self.agenda.push_front(turn);
                Err(failed)
            }
        }
    }

    /// Gives a folder some attempts, then leaves it out of the round; in later rounds it gets
    /// one attempt, until it can be read again.
    fn after_sick_folder(&mut self, turn: Turn, failed: Failed) -> Result<Next, Failed> {
        let failures = self.sick_folders.entry(turn.folder.id.clone()).or_insert(0);
        *failures += 1;
        if *failures < FOLDER_ATTEMPTS {
            self.agenda.push_front(turn);
            return Err(failed);
        }
        if let Failed::Source(err) = &failed {
            let mailbox = &self.route.mailbox;
            warn!(
                mailbox.id = %mailbox, folder.path = ?turn.folder.path, failures = *failures,
                "Leaving a folder of `{mailbox}` out of this round: {}", Chain(err)
            );
            let detail = format!("folder {:?}: {}", turn.folder.path, with_hint(err, err.hint()));
            let pause = self.shared.pace.poll_frequency;
            self.set_state(MailboxState::Retrying, &detail, pause);
        }
        Ok(self.without(turn))
    }

    pub(crate) fn after_sink_failure(&mut self, err: SinkError) -> Result<Next, Fatal> {
        let detail = with_hint(&err, err.hint());
        // Whatever was being saved may be stored or not: the next step loads it, and begins a
        // round with it.
        self.checkpoint = None;
        self.asleep = None;
        self.agenda.clear();
        match err.advice() {
            SinkAdvice::Retry { after } => {
                // A pause of nothing is no answer.
                let hint = after.filter(|pause| !pause.is_zero());
                let pause = hint.unwrap_or_else(|| match err {
                    SinkError::Busy { .. } => self.busy.failed(&mut self.rng),
                    SinkError::Throttled { .. } => self.throttle.failed(&mut self.rng),
                    _ => self.backoff.failed(&mut self.rng),
                });
                match err {
                    SinkError::Busy { .. } => self.wait_for_owner(&detail, pause),
                    SinkError::Throttled { .. } => {
                        self.set_state(MailboxState::Throttled, &detail, pause);
                    }
                    _ => self.set_state(MailboxState::Retrying, &detail, pause),
                }
                Ok(Next::After(pause))
            }
            SinkAdvice::PauseMailbox => Ok(self.block(&detail)),
            SinkAdvice::StepBack => Ok(self.step_back(&detail)),
            SinkAdvice::StopMailbox => {
                let reason = match err {
                    SinkError::TooNew { .. } => StopReason::TooNew,
                    _ => {
                        self.shared.observer.observe(&Event::Corrupt { route: &self.route });
                        StopReason::Corrupt
                    }
                };
                self.set_state(MailboxState::Stopped, &detail, Duration::MAX);
                Ok(Next::Stop(reason))
            }
            SinkAdvice::StopService => Err(Fatal::Sink(err)),
        }
    }

    /// A bug showed: nobody knows in which state it has left things, so that they are loaded again.
    pub(crate) fn after_panic(&mut self) -> Next {
        self.checkpoint = None;
        self.asleep = None;
        self.agenda.clear();
        let pause = self.backoff.failed(&mut self.rng);
        self.set_state(MailboxState::Retrying, PANICKED, pause);
        Next::After(pause)
    }

    /// Another process serves the mailbox, as in an update that replaces one process after the
    /// other: nothing to worry about, unless it lasts.
    fn wait_for_owner(&mut self, detail: &str, pause: Duration) {
        let mailbox = &self.route.mailbox;
        let seconds = pause.as_secs_f64().ceil();
        match self.busy.failures() {
            1 => info!(mailbox.id = %mailbox, "`{mailbox}` waits: {detail}"),
            BUSY_PATIENCE => warn!(
                mailbox.id = %mailbox,
                "`{mailbox}` still waits, it is asked for every {seconds} s: {detail}. See that \
                 only one process serves this mailbox"
            ),
            _ => debug!(mailbox.id = %mailbox, "`{mailbox}` waits {seconds} s: {detail}"),
        }
        self.note_state(MailboxState::Retrying, detail, pause);
    }

    pub(crate) fn after_source_failure(&mut self, err: SourceError) -> Result<Next, Fatal> {
        let detail = with_hint(&err, err.hint());
        match err.advice() {
            Advice::StopService => Err(Fatal::Source(err)),
            Advice::Retry { scope, after } => {
                let throttled = matches!(err, SourceError::Throttled { .. });
                // A pause of nothing is no answer.
                let hint = after.filter(|pause| !pause.is_zero());
                let pause = hint.unwrap_or_else(|| match err {
                    SourceError::Throttled { .. } => self.throttle.failed(&mut self.rng),
                    SourceError::Unavailable { .. } => self.transient.failed(&mut self.rng),
                    _ => self.backoff.failed(&mut self.rng),
                });
                if throttled {
                    self.paced_until = Some(Instant::now() + PACED_AFTER_THROTTLING);
                    self.set_state(MailboxState::Throttled, &detail, pause);
                } else {
                    self.set_state(MailboxState::Retrying, &detail, pause);
                }
                // Without a hint it may be the back end of this one mailbox that is down.
                Ok(if scope == Scope::Service && hint.is_some() {
                    Next::PauseService(pause)
                } else {
                    Next::After(pause)
                })
            }
            Advice::PauseMailbox => Ok(self.block(&detail)),
            Advice::Split | Advice::RestartFolder | Advice::ReviewFolders => {
                self.thorough = true;
                let pause = self.backoff.failed(&mut self.rng);
                self.set_state(MailboxState::Retrying, &detail, pause);
                Ok(Next::After(pause))
            }
        }
    }

    /// Leaves the mailbox alone for long: somebody has to act.
    pub(crate) fn block(&mut self, detail: &str) -> Next {
        self.agenda.clear();
        self.thorough = true;
        self.set_state(MailboxState::Error, detail, OPERATOR_PAUSE);
        Next::Blocked(OPERATOR_PAUSE)
    }

    pub(crate) fn set_state(&mut self, state: MailboxState, detail: &str, pause: Duration) {
        if state == MailboxState::Ok && self.state == MailboxState::Ok {
            return;
        }
        let mailbox = &self.route.mailbox;
        let seconds = pause.as_secs_f64().ceil();
        match state {
            MailboxState::Ok => info!(mailbox.id = %mailbox, "`{mailbox}` works again"),
            MailboxState::Throttled | MailboxState::Retrying => warn!(
                mailbox.id = %mailbox, pause.seconds = seconds,
                "`{mailbox}` waits {seconds} s: {detail}"
            ),
            MailboxState::Error => error!(
                mailbox.id = %mailbox, pause.seconds = seconds,
                "`{mailbox}` cannot be served, next attempt in {seconds} s: {detail}"
            ),
            MailboxState::Stopped => error!(
                mailbox.id = %mailbox, "`{mailbox}` is stopped: {detail}"
            ),
        }
        self.note_state(state, detail, pause);
    }

    /// As [`Self::set_state`], without a line in the log.
    fn note_state(&mut self, state: MailboxState, detail: &str, pause: Duration) {
        self.state = state;
        self.shared.observer.observe(&Event::State { route: &self.route, state, detail, pause });
    }
}

/// All that is known of a failure, on one line.
pub(crate) fn with_hint(err: &(dyn std::error::Error + 'static), hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("{}. {hint}", Chain(err)),
        None => Chain(err).to_string(),
    }
}
