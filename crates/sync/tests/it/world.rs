//! What the tests of the engine set up: one mailbox, one sink, a service that reads one into the
//! other on paused time.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use rand::{SeedableRng, rngs::SmallRng};
use record::{BucketId, Clock, Route, Sink, Source};
use sync::{
    Carried, Command, Event, Failure, MailboxSettings, MailboxSync, Observer, Pace, Service,
    mailbox::Shared,
};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

/// Wall clock that follows the paused time of tokio, shifted at will.
pub struct SimClock {
    start: Instant,
    base: TimeDelta,
    pub shift: Mutex<TimeDelta>,
}

impl SimClock {
    /// A clock that begins `base` after the beginning of all.
    pub fn after(base: TimeDelta) -> Self {
        Self { start: Instant::now(), base, shift: Mutex::new(TimeDelta::zero()) }
    }

    /// Time since the beginning of all.
    pub fn passed(&self) -> TimeDelta {
        self.base + TimeDelta::from_std(self.start.elapsed()).unwrap()
    }
}

impl Clock for SimClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_778) + self.passed() + *self.shift.lock().unwrap()
    }
}

/// Keeps what was observed, as text.
#[derive(Default)]
pub struct Diary(Mutex<Vec<String>>);

impl Observer for Diary {
    fn observe(&self, event: &Event<'_>) {
        let line = match event {
            Event::Surveyed { folders, items, .. } => format!("surveyed {folders} {items}"),
            Event::Fetched { emails, .. } => format!("fetched {emails}"),
            Event::Delivered { emails, .. } => format!("delivered {emails}"),
            Event::Redelivered { emails, .. } => format!("redelivered {emails}"),
            Event::Skipped { reason, items, .. } => format!("skipped {reason:?} {items}"),
            Event::Quarantined { code, items, .. } => format!("quarantined {code} {items}"),
            Event::Committed { result, .. } => format!("committed {result:?}"),
            Event::Corrupt { .. } => "corrupt".to_owned(),
            Event::Behind { oldest, .. } => match oldest {
                Some(oldest) => format!("behind {}", oldest.format("%H:%M")),
                None => "behind nothing".to_owned(),
            },
            Event::CaughtUp { .. } => "caught up".to_owned(),
            Event::State { state, .. } => format!("{state:?}"),
        };
        self.0.lock().unwrap().push(line);
    }
}

impl Diary {
    pub fn lines(&self, start: &str) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|line| line.starts_with(start)).cloned().collect()
    }

    /// Sum of the numbers that end the lines which begin like this.
    pub fn sum(&self, start: &str) -> usize {
        let lines = self.lines(start);
        lines.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
    }

    pub fn count(&self, start: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|line| line.starts_with(start)).count()
    }
}

/// A service under test.
pub struct Running {
    pub clock: Arc<SimClock>,
    pub diary: Arc<Diary>,
    pub commands: mpsc::Sender<Command>,
    pub shutdown: CancellationToken,
    pub task: JoinHandle<Result<(), Failure>>,
}

impl Running {
    /// Lets paused time run until the mailbox has been caught up `times` more times.
    pub async fn catches_up(&self, times: usize) {
        let goal = self.diary.count("caught up") + times;
        let patience = Instant::now() + Duration::from_secs(40 * 3600);
        while self.diary.count("caught up") < goal {
            assert!(!self.task.is_finished(), "the service ended");
            assert!(Instant::now() < patience, "not caught up: {:?}", self.diary.0.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// The power goes: nothing that the program had in memory survives.
    pub async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled(), "it had ended before");
    }

    pub async fn stop(self) -> Result<(), Failure> {
        self.shutdown.cancel();
        self.task.await.unwrap()
    }
}

pub fn route(mailbox: &str) -> Route {
    let bucket = BucketId::new("project", "bucket").unwrap();
    Route { mailbox: mailbox.parse().unwrap(), bucket }
}

pub fn pace() -> Pace {
    Pace { poll_message_sleep: Some(Duration::ZERO), ..Pace::default() }
}

/// Starts a service for mailboxes that share one sink.
pub fn start(
    sources: Vec<(Route, Box<dyn Source>)>,
    sink: Arc<dyn Sink>,
    settings: &MailboxSettings,
    pace: Pace,
    seed: u64,
) -> Running {
    let clock = Arc::new(SimClock::after(TimeDelta::zero()));
    start_at(clock, &Carried::default(), sources, sink, settings, pace, seed)
}

/// The same on a clock that runs already, after other services of the same process.
pub fn start_at(
    clock: Arc<SimClock>,
    carried: &Carried,
    sources: Vec<(Route, Box<dyn Source>)>,
    sink: Arc<dyn Sink>,
    settings: &MailboxSettings,
    pace: Pace,
    seed: u64,
) -> Running {
    let diary = Arc::new(Diary::default());
    let workers = pace.workers;
    let shared = Arc::new(Shared {
        sink,
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        observer: Arc::clone(&diary) as Arc<dyn Observer>,
        pace,
    });
    let mailboxes = sources
        .into_iter()
        .enumerate()
        .map(|(i, (route, source))| {
            let rng = SmallRng::seed_from_u64(seed + i as u64);
            MailboxSync::new(route, source, shared.clone(), settings.clone(), rng)
        })
        .collect();
    let (commands, receiver) = mpsc::channel(16);
    let shutdown = CancellationToken::new();
    let observer = Arc::clone(&diary) as Arc<dyn Observer>;
    let service = Service::new(mailboxes, workers, observer).carrying(carried);
    let task = tokio::spawn(service.run(receiver, shutdown.clone()));
    Running { clock, diary, commands, shutdown, task }
}
