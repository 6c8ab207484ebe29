//! Whether the process is alive, and whether it can do its work.

use std::{collections::HashSet, io, time::Duration};

use record::{Route, SinkError};
use tokio::time::Instant;

/// How often the main loop gives a sign of life.
pub(crate) const TICK: Duration = Duration::from_secs(5);

/// Silence of the main loop after which the process counts as dead. Long, because a container
/// with a twentieth of a processor is slow and not dead, and a restart would only cost it more.
const LONGEST_SILENCE: Duration = Duration::from_secs(180);

/// Failures in a row, without a success of any mailbox between them, after which a destination
/// that cannot be reached counts as down.
const FAILURES: u32 = 3;

/// The signs of life of the main loop.
#[derive(Debug)]
pub(crate) struct Pulse(Instant);

impl Pulse {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn beat(&mut self) {
        self.0 = Instant::now();
    }

    /// `Err` with the length of the silence if it is too long.
    pub(crate) fn check(&self, now: Instant) -> Result<(), Duration> {
        let silence = now.saturating_duration_since(self.0);
        if silence > LONGEST_SILENCE { Err(silence) } else { Ok(()) }
    }
}

/// Whom a failed write concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Every write fails: the disk is full, the token is refused.
    All,
    /// Every write may fail: nobody answered.
    PerhapsAll,
    Mailbox,
    /// It works as it should: another process has the mailbox for now, or it asks for a pause. A
    /// roll-out that waits until a new process is ready must not wait for the old one to go.
    Nobody,
}

/// What the writes of all mailboxes together tell about the destination. Reads do not count: a
/// full disk can be read.
#[derive(Debug, Default)]
pub(crate) struct SinkHealth {
    failing: HashSet<Route>,
    in_a_row: u32,
    /// Why the destination as a whole does not work.
    broken: Option<&'static str>,
}

impl SinkHealth {
    pub(crate) fn wrote(&mut self, route: &Route) {
        self.failing.remove(route);
        self.in_a_row = 0;
        self.broken = None;
    }

    pub(crate) fn failed(&mut self, route: &Route, err: &SinkError) {
        let (reach, what) = reach(err);
        if reach != Reach::Nobody {
            self.failing.insert(route.clone());
        }
        match reach {
            Reach::All => self.broken = Some(what),
            Reach::PerhapsAll => {
                self.in_a_row = self.in_a_row.saturating_add(1);
                if self.in_a_row >= FAILURES {
                    self.broken = Some(what);
                }
            }
            Reach::Mailbox | Reach::Nobody => {}
        }
    }

    /// Forgets mailboxes that are served no longer.
    pub(crate) fn begin(&mut self, served: &HashSet<&Route>) {
        self.failing.retain(|route| served.contains(route));
    }

    /// `Err` with the reason if nothing can be written for any of `mailboxes`.
    pub(crate) fn check(&self, mailboxes: usize) -> Result<(), &'static str> {
        match self.broken {
            Some(what) => Err(what),
            None if !self.failing.is_empty() && self.failing.len() >= mailboxes => {
                Err("the destination fails for every mailbox")
            }
            None => Ok(()),
        }
    }
}

fn reach(err: &SinkError) -> (Reach, &'static str) {
    match err {
        SinkError::Unwritable { cause, .. } => {
            let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
            match kind {
                Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                    (Reach::All, "the disk of the destination is full")
                }
                Some(io::ErrorKind::ReadOnlyFilesystem) => {
                    (Reach::All, "the disk of the destination is read-only")
                }
                _ => (Reach::PerhapsAll, "the destination cannot be written"),
            }
        }
        SinkError::Unreachable { .. } => (Reach::PerhapsAll, "the destination cannot be reached"),
        SinkError::Unavailable { .. } => (Reach::PerhapsAll, "the destination cannot answer"),
        SinkError::Unauthorized { .. } => (Reach::All, "the destination refuses the credentials"),
        SinkError::Corrupt { .. } | SinkError::TooNew { .. } | SinkError::Denied { .. } => {
            (Reach::Mailbox, "")
        }
        SinkError::Superseded { .. } | SinkError::Busy { .. } | SinkError::Throttled { .. } => {
            (Reach::Nobody, "")
        }
    }
}

#[cfg(test)]
mod tests {
    use record::BucketId;

    use super::*;

    fn route(number: usize) -> Route {
        Route {
            mailbox: format!("{number}@example.com").parse().unwrap(),
            bucket: BucketId::new("o", "n").unwrap(),
        }
    }

    fn unwritable(kind: io::ErrorKind) -> SinkError {
        SinkError::Unwritable { place: "p".into(), cause: Box::new(io::Error::from(kind)) }
    }

    #[test]
    fn a_full_disk_is_seen_at_once_and_forgotten_with_the_next_write() {
        let mut health = SinkHealth::default();
        health.wrote(&route(0));
        health.failed(&route(1), &unwritable(io::ErrorKind::StorageFull));
        assert_eq!(health.check(1000), Err("the disk of the destination is full"));
        health.wrote(&route(2));
        assert_eq!(health.check(1000), Ok(()));
    }

    #[test]
    fn a_single_lost_answer_says_nothing_and_three_in_a_row_do() {
        let mut health = SinkHealth::default();
        let lost = || SinkError::Unavailable { host: "h".into(), code: "HTTP 500".into() };
        health.failed(&route(0), &lost());
        health.failed(&route(1), &lost());
        health.wrote(&route(2));
        health.failed(&route(0), &lost());
        health.failed(&route(1), &lost());
        assert_eq!(health.check(1000), Ok(()));
        health.failed(&route(0), &lost());
        assert_eq!(health.check(1000), Err("the destination cannot answer"));
    }

    #[test]
    fn trouble_of_one_mailbox_is_its_own_unless_it_is_the_only_one() {
        let mut health = SinkHealth::default();
        let denied = || SinkError::Denied { place: "p".into(), detail: "d".into(), hint: None };
        (0..9).for_each(|_| health.failed(&route(0), &denied()));
        assert_eq!(health.check(2), Ok(()));
        assert!(health.check(1).is_err());
        health.failed(&route(1), &denied());
        assert!(health.check(2).is_err());
        health.begin(&HashSet::from([&route(2)]));
        assert_eq!(health.check(1), Ok(()));
    }

    #[test]
    fn a_process_that_waits_for_another_to_go_is_ready() {
        let mut health = SinkHealth::default();
        health.failed(&route(0), &SinkError::Busy { place: "p".into() });
        health.failed(&route(1), &SinkError::Superseded { place: "p".into() });
        assert_eq!(health.check(2), Ok(()));
    }

    #[test]
    fn a_slow_main_loop_is_alive_and_a_silent_one_is_not() {
        let mut pulse = Pulse::new();
        let later = pulse.0 + LONGEST_SILENCE;
        assert_eq!(pulse.check(later), Ok(()));
        assert_eq!(pulse.check(later + TICK), Err(LONGEST_SILENCE + TICK));
        pulse.beat();
        assert_eq!(pulse.check(pulse.0 + TICK), Ok(()));
    }
}
