//! Pauses that outlive a restart: kept in the checkpoint, obeyed when it is loaded.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::debug;

use crate::{
    mailbox::{Failed, Fatal, MailboxSync, Next},
    observer::MailboxState,
};

/// A pause of this length is worth a save.
const WORTH_KEEPING: Duration = Duration::from_secs(5);

/// The longest pause that is obeyed after a restart: the clock may have been wrong when it was
/// kept, or may be wrong now.
const LONGEST_KEPT: Duration = Duration::from_secs(3600);

impl MailboxSync {
    /// Keeps the pause that the source asked for, so that a restart does not cut it short.
    pub(crate) async fn keep_pause(&mut self, next: Next) -> Result<Next, Fatal> {
        let pause = match next {
            Next::After(pause) | Next::PauseService(pause) => pause,
            Next::Now | Next::Blocked(_) | Next::Stop(_) => return Ok(next),
        };
        if self.state != MailboxState::Throttled || pause <= WORTH_KEEPING {
            return Ok(next);
        }
        let until = self.until(pause);
        self.obeyed_pause = Some(until);
        match self.save_pausing(Some(until)).await {
            Err(Failed::Sink(err)) => {
                debug!("The pause of `{}` is not kept: {err}", self.route.mailbox);
                // Neither wish is ignored: the longer pause counts.
                Ok(match (self.after_sink_failure(err)?, next) {
                    (Next::After(longer), Next::PauseService(_)) if longer <= pause => next,
                    (Next::After(other), Next::PauseService(_)) => {
                        Next::PauseService(other.max(pause))
                    }
                    (Next::After(other), _) => Next::After(other.max(pause)),
                    (Next::Blocked(other), _) => Next::Blocked(other.max(pause)),
                    (other, _) => other,
                })
            }
            _ => Ok(next),
        }
    }

    /// After a load: what is left of a pause that was kept.
    pub(crate) async fn kept_pause(&mut self) -> Result<Option<Next>, Failed> {
        let kept = self.checkpoint.as_ref().and_then(|checkpoint| checkpoint.paused_until);
        let Some(until) = kept.filter(|_| kept != self.obeyed_pause) else { return Ok(None) };
        self.obeyed_pause = kept;
        let left = (until - self.shared.clock.now()).to_std().unwrap_or(Duration::ZERO);
        if left.is_zero() {
            return Ok(None);
        }
        let pause = left.min(LONGEST_KEPT);
        if pause < left {
            // Or each restart would begin the hour anew.
            let until = self.until(pause);
            self.obeyed_pause = Some(until);
            self.save_pausing(Some(until)).await?;
        }
        let detail = "the server asked for a pause, before this process started";
        self.set_state(MailboxState::Throttled, detail, pause);
        Ok(Some(Next::After(pause)))
    }

    fn until(&self, pause: Duration) -> DateTime<Utc> {
        let now = self.shared.clock.now();
        let pause = TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX);
        now.checked_add_signed(pause).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}
