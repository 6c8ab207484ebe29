//! What a mailbox does when somebody else writes its checkpoint: it steps back and watches.
//!
//! While the number of shards changes, two processes may serve one mailbox for a while. The store
//! refuses the commit of one of them. It cannot tell whether it is the one that will stay: if it
//! stopped for good, and the other one was about to end, nobody would serve the mailbox. So it looks
//! often, which costs a read, and goes on soon after the last write of the other; each time that
//! this turns out to be wrong, it waits twice as long.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    backoff::Backoff,
    mailbox::{MailboxSync, Next},
    observer::MailboxState,
};

/// Until the generation is looked at for the first time.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// Between two looks while the other is at work, at first and at most.
const LOOK: Duration = Duration::from_secs(15);
const LONGEST_LOOK: Duration = Duration::from_secs(60);

/// How long nobody else may have written before the mailbox goes on; doubled with each defeat.
const QUIET: Duration = Duration::from_secs(45);

/// The longest of these; also the peace after which defeats are forgotten.
const LONGEST_QUIET: Duration = Duration::from_secs(3600);

/// When somebody else still writes after this time, it is no roll-out but a mistake.
const ROLL_OUT: Duration = Duration::from_secs(240);

/// Of a mailbox that stepped back at least once.
pub(crate) struct Contest {
    patience: Backoff,
    looks: Backoff,
    /// The last defeat.
    since: Instant,
    /// The mailbox watches and does not work.
    watching: Option<Watch>,
}

struct Watch {
    /// How long nobody may write.
    quiet: Duration,
    /// The generation that is there, and when it was seen first.
    seen: Option<(u64, Instant)>,
    /// The log says so already.
    told: bool,
}

impl Contest {
    fn new(now: Instant) -> Self {
        let (patience, looks) =
            (Backoff::new(QUIET, LONGEST_QUIET), Backoff::new(LOOK, LONGEST_LOOK));
        Self { patience, looks, since: now, watching: None }
    }
}

impl MailboxSync {
    /// Somebody else has written the checkpoint.
    pub(crate) fn step_back(&mut self, detail: &str) -> Next {
        let now = Instant::now();
        let contest = self.contest.get_or_insert_with(|| Box::new(Contest::new(now)));
        if now - contest.since > 2 * LONGEST_QUIET {
            contest.patience.succeeded();
        }
        // Whoever is beaten while it only watches has not gone on too early.
        if let Some(watch) = &mut contest.watching {
            watch.seen = None;
            return self.watch_on();
        }
        contest.since = now;
        contest.looks.succeeded();
        let quiet = contest.patience.failed(&mut self.rng);
        contest.watching = Some(Watch { quiet, seen: None, told: false });
        self.set_state(MailboxState::Retrying, detail, FIRST_LOOK);
        Next::After(FIRST_LOOK)
    }

    /// After a load: whether the mailbox has to wait because somebody else may be at work.
    pub(crate) fn contested(&mut self) -> Option<Next> {
        let generation = self.checkpoint.as_ref()?.generation;
        let contest = self.contest.as_mut()?;
        let Watch { quiet, seen, .. } = contest.watching.as_mut()?;
        let (now, mailbox) = (Instant::now(), &self.route.mailbox);
        let before = seen.filter(|(before, _)| *before == generation);
        if let Some((_, since)) = before {
            let left = (since + *quiet).saturating_duration_since(now);
            if left.is_zero() {
                contest.watching = None;
                info!(
                    mailbox.id = %mailbox,
                    "Nobody else writes the state of `{mailbox}` now, going on"
                );
                return None;
            }
            return Some(Next::After(left));
        }
        *seen = Some((generation, now));
        Some(self.watch_on())
    }

    /// Somebody else is at work: looks again later.
    fn watch_on(&mut self) -> Next {
        let mailbox = &self.route.mailbox;
        let Some(Contest { looks, since, watching: Some(watch), .. }) = self.contest.as_deref_mut()
        else {
            return Next::After(FIRST_LOOK);
        };
        let pause = looks.failed(&mut self.rng).min(watch.quiet);
        let seconds = pause.as_secs();
        if !std::mem::replace(&mut watch.told, true) {
            warn!(
                mailbox.id = %mailbox, pause.seconds = seconds,
                "Leaving `{mailbox}` to another process; looking again in {seconds} s"
            );
        } else if since.elapsed() > ROLL_OUT {
            let detail = "another process serves this mailbox; see that only one does";
            self.set_state(MailboxState::Error, detail, pause);
        }
        Next::After(pause)
    }
}
