//! What a mailbox does when somebody else writes its checkpoint: it steps back and watches.
//!
//! While the number of shards changes, two processes may serve one mailbox for a while. The store
//! refuses the commit of one of them. It cannot tell whether it is the one that will stay: if it
//! stopped for good, and the other one was about to end, nobody would serve the mailbox.

use std::time::Duration;

use tracing::{info, warn};

use crate::{
    backoff::Backoff,
    mailbox::{MailboxSync, Next},
    observer::MailboxState,
};

/// Until the generation is looked at for the first time.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// How long nobody else may have written before the mailbox goes on; doubled with each defeat.
const QUIET: Duration = Duration::from_secs(240);

/// The longest of these.
const LONGEST_QUIET: Duration = Duration::from_secs(3600);

/// Of a mailbox that stepped back at least once.
pub(crate) struct Contest {
    quiet: Backoff,
    /// The mailbox watches and does not work.
    watching: bool,
    /// The generation that was there at the last look.
    seen: Option<u64>,
}

impl MailboxSync {
    /// Somebody else has written the checkpoint.
    pub(crate) fn step_back(&mut self, detail: &str) -> Next {
        let contest = self.contest.get_or_insert_with(|| {
            let quiet = Backoff::new(QUIET, LONGEST_QUIET);
            Box::new(Contest { quiet, watching: true, seen: None })
        });
        contest.watching = true;
        contest.seen = None;
        self.set_state(MailboxState::Retrying, detail, FIRST_LOOK);
        Next::After(FIRST_LOOK)
    }

    /// After a load: whether the mailbox has to wait because somebody else may be at work.
    pub(crate) fn contested(&mut self) -> Option<Next> {
        let generation = self.checkpoint.as_ref()?.generation;
        let contest = self.contest.as_mut().filter(|contest| contest.watching)?;
        let before = contest.seen.replace(generation);
        let mailbox = &self.route.mailbox;
        if before == Some(generation) {
            contest.watching = false;
            info!(mailbox.id = %mailbox, "Nobody else writes the state of `{mailbox}` now, going on");
            return None;
        }
        let pause = contest.quiet.failed(&mut self.rng);
        if before.is_some() {
            let detail = "another process serves this mailbox; see that only one does";
            self.set_state(MailboxState::Error, detail, pause);
        } else {
            let seconds = pause.as_secs();
            warn!(
                mailbox.id = %mailbox, pause.seconds = seconds,
                "Leaving `{mailbox}` to another process; looking again in {seconds} s"
            );
        }
        Some(Next::After(pause))
    }
}
