//! How often an idle mailbox is looked at: the longer nothing has happened in it, the less.
//!
//! The pause is a part of the time since something happened, from `poll_frequency` to
//! `idle_poll_limit`. So a mailbox in which something happens each hour waits a few minutes at most,
//! one that has been quiet for a day the limit, and none needs a counter. The same holds for each
//! folder of a source whose marks prove nothing.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use chrono::{DateTime, Utc};
use rand::RngExt;
use record::FolderId;
use tokio::time::Instant;

use crate::{mailbox::MailboxSync, settings::Pace};

/// The pause is this part of the time since something happened.
const PART: u32 = 16;

/// Pauses vary by this part, so that mailboxes which began together do not stay together.
const JITTER: f64 = 0.1;

/// What is remembered of a mailbox: 16 bytes for each folder of a source whose marks prove nothing.
pub(crate) struct Idle {
    /// Times are in seconds from here.
    zero: Instant,
    /// When the round at hand began.
    round: i32,
    /// When something happened last, as far as no folder tells.
    changed: i32,
    /// The first pause is made.
    is_spread: bool,
    visits: Vec<Visit>,
}

/// A folder that was read to its end.
struct Visit {
    folder: u64,
    /// When the round began in which it was.
    read: i32,
    /// When something happened in it.
    changed: i32,
}

/// What was found in a folder that was read to its end.
pub(crate) struct Found<'a> {
    pub(crate) folder: &'a FolderId,
    /// It had been read to its end before.
    pub(crate) is_known: bool,
    /// Nothing came, nothing went.
    pub(crate) is_quiet: bool,
    /// Received time of its newest email.
    pub(crate) newest: Option<DateTime<Utc>>,
}

impl Pace {
    /// Whether idle mailboxes are looked at less often.
    pub(crate) fn is_adaptive(&self) -> bool {
        self.idle_poll_limit > self.poll_frequency
    }

    /// The pause, before jitter, of what has been idle for so long.
    fn pause_after(&self, idle: Duration) -> Duration {
        let longest = self.idle_poll_limit.div_f64(1.0 + JITTER).max(self.poll_frequency);
        (idle / PART).clamp(self.poll_frequency, longest)
    }
}

impl Idle {
    /// For a mailbox in which something happened `idle` ago.
    fn new(idle: Duration) -> Self {
        let changed = -seconds(idle);
        Self { zero: Instant::now(), round: 0, changed, is_spread: false, visits: Vec::new() }
    }

    fn now(&self) -> i32 {
        seconds(self.zero.elapsed())
    }

    /// Time since something happened in the mailbox.
    fn idle(&self) -> Duration {
        let changed = self.visits.iter().map(|visit| visit.changed).fold(self.changed, i32::max);
        since(self.now(), changed)
    }
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}

fn since(now: i32, then: i32) -> Duration {
    Duration::from_secs(u64::try_from(i64::from(now) - i64::from(then)).unwrap_or(0))
}

fn key(folder: &FolderId) -> u64 {
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    hasher.finish()
}

impl MailboxSync {
    /// A round begins, and these folders are there.
    pub(crate) fn look_around<'a>(&mut self, present: impl Iterator<Item = &'a FolderId>) {
        if !self.shared.pace.is_adaptive() {
            return;
        }
        if self.idle.is_none() {
            // After a start, the newest email tells, or thousands of idle mailboxes were busy again.
            let folders = self.checkpoint.iter().flat_map(|checkpoint| checkpoint.folders.values());
            let idle = self.age(folders.filter_map(|state| state.newest).max());
            self.idle = Some(Box::new(Idle::new(idle)));
        }
        let Some(idle) = self.idle.as_deref_mut() else { return };
        idle.round = idle.now();
        if !idle.visits.is_empty() {
            let present: Vec<u64> = present.map(key).collect();
            idle.visits.retain(|visit| present.contains(&visit.folder));
        }
    }

    /// Time since `then`; for ever if nothing has ever happened.
    fn age(&self, then: Option<DateTime<Utc>>) -> Duration {
        let Some(then) = then else { return Duration::MAX };
        (self.shared.clock.now() - then).to_std().unwrap_or(Duration::ZERO)
    }

    /// Whether a folder is to be read although its mark has not changed.
    pub(crate) fn is_due(&self, folder: &FolderId) -> bool {
        if self.source.marks_are_proof() {
            return false;
        }
        let Some(idle) = self.idle.as_deref() else { return true };
        let folder = key(folder);
        let Some(visit) = idle.visits.iter().find(|visit| visit.folder == folder) else {
            return true;
        };
        let (now, pace) = (idle.now(), &self.shared.pace);
        // Before it is late, not after: the next chance comes with the next round.
        let next_round = pace.pause_after(idle.idle()).mul_f64(1.0 + JITTER);
        since(now, visit.read) + next_round >= pace.pause_after(since(now, visit.changed))
    }

    pub(crate) fn visited(&mut self, found: &Found<'_>) {
        let history = seconds(self.age(found.newest));
        let is_proof = self.source.marks_are_proof();
        let Some(idle) = self.idle.as_deref_mut() else { return };
        let now = idle.now();
        // What a folder holds that is read for the first time is history.
        let news = if found.is_known { now } else { now.saturating_sub(history) };
        if is_proof {
            if !found.is_quiet {
                idle.changed = idle.changed.max(news);
            }
            return;
        }
        let (folder, read) = (key(found.folder), idle.round);
        if let Some(visit) = idle.visits.iter_mut().find(|visit| visit.folder == folder) {
            visit.read = read;
            if !found.is_quiet {
                visit.changed = news;
            }
        } else {
            let quiet = now.saturating_sub(history);
            let changed = if found.is_quiet { quiet } else { news };
            // A mailbox has few folders, and nearly always as many as before.
            idle.visits.reserve_exact(1);
            idle.visits.push(Visit { folder, read, changed });
        }
    }

    /// The longest time that a folder was not read, as far as that is not the round at hand.
    pub(crate) fn longest_unread(&self) -> Option<Duration> {
        let idle = self.idle.as_deref()?;
        let oldest = idle.visits.iter().map(|visit| visit.read).min()?;
        // Whole seconds, so that one may be missing.
        Some(since(idle.now(), oldest) + Duration::from_secs(1))
    }

    /// The pause after a round in which every folder was read to its end.
    pub(crate) fn round_pause(&mut self) -> Duration {
        let pace = &self.shared.pace;
        let Some(idle) = self.idle.as_deref_mut().filter(|_| pace.is_adaptive()) else {
            return pace.poll_frequency;
        };
        let pause = pace.pause_after(idle.idle());
        // All mailboxes have had their first rounds at once, and are not to have the next ones so.
        let first = !std::mem::replace(&mut idle.is_spread, true);
        let range = if first { 0.0..=1.0 } else { 1.0 - JITTER..=1.0 + JITTER };
        pause.mul_f64(self.rng.random_range(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_with_the_time_since_something_happened() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let pace = Pace { idle_poll_limit: minutes(22), ..Pace::default() };
        for (idle, pause) in [(0, 15), (3, 15), (8, 30), (160, 600), (321, 1200), (99_999, 1200)] {
            assert_eq!(pace.pause_after(minutes(idle)).as_secs(), pause, "after {idle} minutes");
        }
    }

    #[test]
    fn a_limit_below_the_frequency_changes_nothing() {
        let pace = Pace { idle_poll_limit: Duration::from_secs(1), ..Pace::default() };
        assert!(!pace.is_adaptive() && !Pace::default().is_adaptive());
        assert_eq!(pace.pause_after(Duration::MAX), pace.poll_frequency);
    }
}
