//! Progress bars, for people who watch a terminal.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use record::Route;
use sync::{Event, MailboxState, Observer};

/// Mailboxes that get a bar of their own; of more, only the sum is shown.
const MOST_BARS: usize = 8;

/// Draws what the engine tells: a bar for the sum, and one for each of a few mailboxes.
pub struct Progress {
    sum: ProgressBar,
    /// Guards the bars, which appear as mailboxes are surveyed.
    mailboxes: Mutex<BTreeMap<Route, Mailbox>>,
    bars: MultiProgress,
    many: bool,
}

struct Mailbox {
    bar: ProgressBar,
    items: u64,
    done: u64,
    caught_up: bool,
}

impl Progress {
    pub fn new(bars: MultiProgress, mailboxes: usize) -> Self {
        let sum = bars.add(ProgressBar::new(0));
        sum.set_style(style(
            "{prefix:24!} {wide_bar} {pos}/{len} emails  {rate:>8}  {eta:>4} left  {msg}",
        ));
        sum.set_prefix(format!("{mailboxes} mailboxes"));
        sum.enable_steady_tick(Duration::from_millis(500));
        Self { sum, mailboxes: Mutex::default(), bars, many: mailboxes > MOST_BARS }
    }

    /// Removes the bars.
    pub fn finish(&self) {
        for mailbox in self.lock().values() {
            mailbox.bar.finish_and_clear();
        }
        self.sum.finish_and_clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Route, Mailbox>> {
        self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, route: &Route, change: impl FnOnce(&mut Mailbox)) {
        let mut mailboxes = self.lock();
        let mailbox = mailboxes.entry(route.clone()).or_insert_with(|| {
            let bar = if self.many {
                ProgressBar::hidden()
            } else {
                let bar = self.bars.add(ProgressBar::new(0));
                bar.set_style(style("{prefix:24!} {wide_bar} {pos}/{len}  {msg}"));
                bar.set_prefix(route.mailbox.to_string());
                bar
            };
            Mailbox { bar, items: 0, done: 0, caught_up: false }
        });
        change(mailbox);
        mailbox.bar.set_length(mailbox.items.max(mailbox.done));
        mailbox.bar.set_position(mailbox.done);
        let sum = |part: fn(&Mailbox) -> u64| mailboxes.values().map(part).sum();
        self.sum.set_length(sum(|mailbox| mailbox.items.max(mailbox.done)));
        self.sum.set_position(sum(|mailbox| mailbox.done));
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
        // There is nowhere to report that a terminal does not take a number.
        write!(out, "{:.0}/s", state.per_sec()).unwrap_or_default();
    };
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).with_key("rate", rate)
}

impl Observer for Progress {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Surveyed { route, items, .. } => self.update(route, |mailbox| {
                mailbox.items = *items;
            }),
            Event::Delivered { route, emails, .. } => self.update(route, |mailbox| {
                mailbox.done += *emails as u64;
            }),
            Event::Skipped { route, items, .. } | Event::Quarantined { route, items, .. } => {
                self.update(route, |mailbox| mailbox.done += *items as u64);
            }
            Event::CaughtUp { route } => self.update(route, |mailbox| {
                // What was read in an earlier run was not counted in this one.
                mailbox.done = mailbox.items.max(mailbox.done);
                if !mailbox.caught_up {
                    mailbox.caught_up = true;
                    mailbox.bar.set_message("up to date");
                }
            }),
            Event::State { route, state, .. } => self.update(route, |mailbox| {
                mailbox.bar.set_message(match state {
                    MailboxState::Ok => "",
                    MailboxState::Throttled => "waiting: the server asked for a pause",
                    MailboxState::Retrying => "waiting: will be tried again",
                    MailboxState::Error => "needs attention, see the log",
                    MailboxState::Stopped => "stopped, see the log",
                });
            }),
            Event::Fetched { .. }
            | Event::Redelivered { .. }
            | Event::Committed { .. }
            | Event::Corrupt { .. }
            | Event::Behind { .. } => {}
        }
    }
}
