//! What is known of the running appliance: for probes, for metrics, and for who looks.
//!
//! One [`Monitor`] lives as long as the process, through reloads and restarts of the service
//! inside it. It is told what happens ([`sync::Observer`], [`record::Meter`], [`Monitor::watch`])
//! and tells it in three forms: ready or not, metrics, the status of each mailbox.

mod board;
mod disk;
mod health;
mod metrics;
mod process;
mod series;
mod status;
#[cfg(test)]
mod tests;
mod text;
mod watched;

use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use net::{Endpoint, probe};
use record::{Clock, Meter, Peer, Protocol, Route, Sink};
use sync::{CommitResult, Event, MailboxState, Observer, SkipReason};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Settings,
    exit::{Ending, Exit},
    plan::config_hash,
    shard::Shard,
};

pub use self::{
    board::Board,
    disk::{Place, Room, room},
    watched::CountedBy,
};
use self::{
    health::{Pulse, SinkHealth, TICK},
    series::{Counter, Peers},
    watched::Watched,
};

/// How often the certificates of the servers are looked at.
const CERTIFICATES: Duration = Duration::from_secs(6 * 3600);

/// Why the appliance is not ready, for the answer to a probe.
const NOT_STARTED: &str = "the service has not started yet";
const STOPPING: &str = "the service is stopping";
const INTERRUPTED: &str = "the service waits to be started again, see the log";
const DISK_FULL: &str = "a disk that the appliance writes to is full";

/// Everything that is known of the running appliance.
pub struct Monitor {
    shard: Shard,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
    /// The mutexes guard a few lines each and are never held together.
    pulse: Mutex<Pulse>,
    life: Mutex<Option<Arc<Life>>>,
    counts: Mutex<Counts>,
    peers: Mutex<Peers>,
    sink_health: Mutex<SinkHealth>,
    rooms: Mutex<Vec<(&'static str, Room)>>,
    /// What mail is read over, once that is known.
    protocol: Mutex<Option<Protocol>>,
    tokens: Mutex<BTreeMap<&'static str, DateTime<Utc>>>,
    certificates: Mutex<BTreeMap<&'static str, DateTime<Utc>>>,
    uploads_in_flight: AtomicU64,
    restarts: AtomicU64,
    /// The last change of the configuration was refused.
    reload_failed: AtomicBool,
    /// The service has come to its end and waits to be started again.
    interrupted: AtomicBool,
    /// It was the sign-in that ended the service, and it has not worked since.
    refused: AtomicBool,
    /// Somebody looks at the disks at the moment.
    looking: AtomicBool,
}

/// The service between two changes of its configuration.
struct Life {
    board: Arc<Board>,
    configured: usize,
    config_hash: String,
    tls_verify: bool,
    places: Vec<Place>,
}

/// What has been counted since the process began.
#[derive(Default)]
struct Counts {
    fetched: u64,
    uploaded: u64,
    upload_bytes: u64,
    skipped: BTreeMap<SkipReason, u64>,
    quarantined: Counter,
    redelivered: u64,
    commits: u64,
    /// Somebody else has written the mailbox.
    conflicts: u64,
    failed_commits: u64,
    state_corrupt: u64,
    throttled: Duration,
}

impl Monitor {
    /// `shutdown` ends the service; from then on it is not ready.
    pub fn new(shard: Shard, clock: Arc<dyn Clock>, shutdown: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            shard,
            clock,
            shutdown,
            pulse: Mutex::new(Pulse::new()),
            life: Mutex::default(),
            counts: Mutex::default(),
            peers: Mutex::default(),
            sink_health: Mutex::default(),
            rooms: Mutex::default(),
            tokens: Mutex::default(),
            protocol: Mutex::default(),
            certificates: Mutex::default(),
            uploads_in_flight: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            reload_failed: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            looking: AtomicBool::new(false),
        })
    }

    /// Runs the main loop, with a sign of life every few seconds for as long as its task gets to
    /// run at all.
    pub async fn ticking<T>(self: &Arc<Self>, main_loop: impl Future<Output = T>) -> T {
        let mut main_loop = pin!(main_loop);
        loop {
            lock(&self.pulse).beat();
            self.look_at_disks();
            tokio::select! {
                biased;
                result = &mut main_loop => return result,
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// The service begins, or begins again with other settings: it serves `routes` and writes to
    /// `places`. The board is told what the monitor is told.
    pub fn begin(
        self: &Arc<Self>,
        settings: &Settings,
        routes: &[Route],
        places: Vec<Place>,
    ) -> Arc<Board> {
        let board = Arc::new(Board::new(routes, Arc::clone(&self.clock)));
        let life = Life {
            board: Arc::clone(&board),
            configured: settings.mailboxes.len(),
            config_hash: config_hash(settings),
            tls_verify: settings.tls.verify,
            places,
        };
        self.sink_health().begin(&routes.iter().collect());
        *lock(&self.life) = Some(Arc::new(life));
        self.interrupted.store(false, Ordering::Relaxed);
        self.look_at_disks();
        board
    }

    /// The service has ended with a failure and will be started again.
    pub fn interrupted(&self, ending: &Ending) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        self.interrupted.store(true, Ordering::Relaxed);
        self.refused.store(ending.exit == Exit::Refused, Ordering::Relaxed);
    }

    /// Mail is read over `protocol` from now on.
    pub fn reads_over(&self, protocol: Protocol) {
        *lock(&self.protocol) = Some(protocol);
    }

    /// A changed configuration was taken, or refused.
    pub fn reloaded(&self, successful: bool) {
        self.reload_failed.store(!successful, Ordering::Relaxed);
    }

    /// A token that nobody renews by itself, such as a `sas`, is worth nothing after `at`.
    pub fn token_expires(&self, what: &'static str, at: DateTime<Utc>) {
        lock(&self.tokens).insert(what, at);
    }

    /// Looks at the certificates of the servers now and then, until this is dropped. Without a
    /// certificate that is valid, no mail is read.
    pub async fn watch_certificates(&self, endpoints: Vec<(&'static str, Endpoint)>) {
        loop {
            for (name, endpoint) in &endpoints {
                if let Some(end) = probe::certificate_end(endpoint).await {
                    lock(&self.certificates).insert(name, end);
                }
            }
            tokio::time::sleep(CERTIFICATES).await;
        }
    }

    /// The same sink, watched.
    pub fn watch(self: &Arc<Self>, sink: Arc<dyn Sink>, counted_by: CountedBy) -> Arc<dyn Sink> {
        Arc::new(Watched { sink, monitor: Arc::clone(self), counted_by })
    }

    /// `Err` if the main loop has been silent for too long.
    pub(crate) fn live(&self) -> Result<(), String> {
        let silent = lock(&self.pulse).check(Instant::now());
        silent.map_err(|silence| format!("the main loop is silent since {} s", silence.as_secs()))
    }

    /// `Err` with the reason if the appliance cannot do its work now.
    pub(crate) fn ready(&self) -> Result<(), &'static str> {
        if self.shutdown.is_cancelled() {
            return Err(STOPPING);
        }
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(INTERRUPTED);
        }
        let life = self.life().ok_or(NOT_STARTED)?;
        if lock(&self.rooms).iter().any(|(_, room)| room.is_full()) {
            return Err(DISK_FULL);
        }
        self.sink_health().check(life.board.len())
    }

    fn life(&self) -> Option<Arc<Life>> {
        lock(&self.life).clone()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        lock(&self.counts)
    }

    fn sink_health(&self) -> MutexGuard<'_, SinkHealth> {
        lock(&self.sink_health)
    }

    /// Looks how much room is left, on another thread: a network file system that does not answer
    /// must keep neither the main loop nor, one look at a time, more than one thread.
    fn look_at_disks(self: &Arc<Self>) {
        let Some(life) = self.life() else { return };
        if self.looking.swap(true, Ordering::Relaxed) {
            return;
        }
        let monitor = Arc::clone(self);
        // Nobody waits for it.
        drop(tokio::task::spawn_blocking(move || {
            let look = |place: &Place| Some((place.name, room(&place.path)?));
            let rooms = life.places.iter().filter_map(look).collect();
            *lock(&monitor.rooms) = rooms;
            monitor.looking.store(false, Ordering::Relaxed);
        }));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observer for Monitor {
    fn observe(&self, event: &Event<'_>) {
        if let Some(life) = self.life() {
            life.board.observe(event);
        }
        match event {
            Event::Fetched { emails, .. } => self.counts().fetched += *emails as u64,
            Event::Delivered { emails, bytes, .. } => {
                let mut counts = self.counts();
                counts.uploaded += *emails as u64;
                counts.upload_bytes += bytes;
            }
            Event::Redelivered { emails, .. } => self.counts().redelivered += *emails as u64,
            Event::Skipped { reason, items, .. } => {
                *self.counts().skipped.entry(*reason).or_default() += *items as u64;
            }
            Event::Quarantined { code, items, .. } => {
                self.counts().quarantined.add(code, *items as u64);
            }
            Event::Committed { result, .. } => {
                let mut counts = self.counts();
                match result {
                    CommitResult::Ok => counts.commits += 1,
                    CommitResult::Conflict => counts.conflicts += 1,
                    CommitResult::Error => counts.failed_commits += 1,
                }
            }
            Event::Corrupt { .. } => self.counts().state_corrupt += 1,
            Event::State { state, pause, .. } => match state {
                MailboxState::Throttled => {
                    let mut counts = self.counts();
                    counts.throttled = counts.throttled.saturating_add(*pause);
                }
                MailboxState::Ok => self.refused.store(false, Ordering::Relaxed),
                MailboxState::Retrying | MailboxState::Error | MailboxState::Stopped => {}
            },
            Event::Surveyed { .. } => self.refused.store(false, Ordering::Relaxed),
            Event::Behind { .. } | Event::CaughtUp { .. } => {}
        }
    }
}

impl Meter for Monitor {
    fn request(&self, peer: Peer, operation: &'static str, code: &str, took: Duration) {
        lock(&self.peers).of(peer).ended(operation, code, took);
    }
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").field("shard", &self.shard).finish_non_exhaustive()
    }
}
