//! Sources and sinks that are slow, lose answers, throttle and go away, as a seed decides.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use record::{
    Checkpoint, Email, Entry, Fetched, Folder, Held, Page, Position, Quarantined, Route, Scope,
    Sink, SinkError, Source, SourceError, Survey, Uid,
};
use testkit::memory_source::{MemorySource, SLOWEST_CALL};
use tokio::{task::JoinSet, time::Instant};

/// The dice of one simulated run, and what they have caused.
#[derive(Clone)]
pub struct Dice {
    rng: Arc<Mutex<ChaCha8Rng>>,
    /// Probability that a call fails.
    failure: f64,
    /// From now on everything works.
    pub calm: Arc<AtomicBool>,
    /// Nobody is reached before this moment.
    pub partition: Arc<Mutex<Option<Instant>>>,
    pub failures: Arc<AtomicU64>,
    /// A call before this moment breaks the server's wish for a pause.
    quiet_until: Arc<Mutex<Option<Instant>>>,
    /// Faults put in on purpose.
    pub lies: Lies,
}

/// What happens to one call.
enum Fate {
    Works,
    /// The call has no effect.
    Fails,
    /// The call has its effect, the answer is lost.
    AnswerLost,
    Throttled(Duration),
}

impl Dice {
    pub fn new(rng: ChaCha8Rng, failure: f64) -> Self {
        Self {
            rng: Arc::new(Mutex::new(rng)),
            failure,
            calm: Arc::default(),
            partition: Arc::default(),
            failures: Arc::default(),
            quiet_until: Arc::default(),
            lies: Lies::None,
        }
    }

    pub fn range(&self, from: u64, to: u64) -> u64 {
        self.rng.lock().unwrap().random_range(from..to)
    }

    /// A crashed client knows only of a pause that it has kept; `left` is what is left of that.
    pub fn restart(&self, left: Option<Duration>) {
        *self.quiet_until.lock().unwrap() = left.map(|left| Instant::now() + left);
        *self.partition.lock().unwrap() = None;
    }

    async fn fate(&self) -> Fate {
        let latency = self.range(1, u64::try_from(SLOWEST_CALL.as_millis()).unwrap());
        tokio::time::sleep(Duration::from_millis(latency)).await;
        let partition = *self.partition.lock().unwrap();
        if partition.is_some_and(|until| Instant::now() < until) {
            self.failures.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(10)).await;
            return Fate::Fails;
        }
        let mut rng = self.rng.lock().unwrap();
        if !rng.random_bool(self.failure) || self.calm.load(Ordering::Relaxed) {
            return Fate::Works;
        }
        self.failures.fetch_add(1, Ordering::Relaxed);
        match rng.random_range(0..4) {
            0 => Fate::Throttled(Duration::from_secs(rng.random_range(1..60))),
            1 => Fate::AnswerLost,
            _ => Fate::Fails,
        }
    }
}

fn unreachable() -> SourceError {
    SourceError::Unreachable { host: "simulated".to_owned(), cause: "no answer".into() }
}

fn unwritable() -> SinkError {
    SinkError::Unwritable { place: "simulated".to_owned(), cause: "no answer".into() }
}

/// What a mailbox that moves between protocols is told wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lies {
    #[default]
    None,
    /// Every item came into the mailbox when it was received.
    NothingIsImported,
    /// Every email is delivered.
    AlwaysComplete,
}

pub struct ChaosSource {
    pub inner: MemorySource,
    pub dice: Dice,
}

impl ChaosSource {
    /// Reads have no effect, so that a lost answer is like a failure.
    async fn gate(&self) -> Result<(), SourceError> {
        let quiet = *self.dice.quiet_until.lock().unwrap();
        assert!(
            quiet.is_none_or(|until| Instant::now() >= until),
            "called before the pause that was asked for was over"
        );
        match self.dice.fate().await {
            Fate::Works => Ok(()),
            Fate::Fails | Fate::AnswerLost => Err(unreachable()),
            Fate::Throttled(pause) => {
                *self.dice.quiet_until.lock().unwrap() = Some(Instant::now() + pause);
                Err(SourceError::Throttled {
                    host: "simulated".to_owned(),
                    scope: Scope::Mailbox,
                    retry_after: Some(pause),
                })
            }
        }
    }
}

#[async_trait]
impl Source for ChaosSource {
    fn protocol(&self) -> record::Protocol {
        self.inner.protocol()
    }

    fn marks_are_proof(&self) -> bool {
        self.inner.marks_are_proof()
    }

    async fn survey(&mut self, known: &Checkpoint, thorough: bool) -> Result<Survey, SourceError> {
        self.gate().await?;
        self.inner.survey(known, thorough).await
    }

    async fn list(
        &mut self,
        folder: &Folder,
        from: Option<&Position>,
        limit: usize,
    ) -> Result<Page, SourceError> {
        self.gate().await?;
        let mut page = self.inner.list(folder, from, limit).await?;
        if self.dice.lies == Lies::NothingIsImported {
            page.entries.iter_mut().for_each(|entry| entry.created = entry.received);
        }
        Ok(page)
    }

    async fn fetch(
        &mut self,
        folder: &Folder,
        entries: &[Entry],
    ) -> Result<Vec<Fetched>, SourceError> {
        self.gate().await?;
        self.inner.fetch(folder, entries).await
    }

    async fn translate(
        &mut self,
        from: record::Protocol,
        items: &[record::ItemId],
    ) -> Result<Vec<Option<record::ItemId>>, SourceError> {
        self.gate().await?;
        self.inner.translate(from, items).await
    }
}

pub struct ChaosSink {
    inner: Arc<dyn Sink>,
    dice: Dice,
    /// Like a platform, it cannot tell what it holds.
    forgetful: bool,
    /// A fault put in on purpose: emails are acknowledged before they are durable. With it, the
    /// checkpoint may be durable before the emails that it covers.
    acknowledges_early: bool,
    /// What is acknowledged and not durable; lost with the program.
    unwritten: Mutex<JoinSet<()>>,
}

impl ChaosSink {
    pub fn new(
        inner: Arc<dyn Sink>,
        dice: Dice,
        forgetful: bool,
        acknowledges_early: bool,
    ) -> Self {
        Self { inner, dice, forgetful, acknowledges_early, unwritten: Mutex::default() }
    }

    async fn gate(&self) -> Result<bool, SinkError> {
        match self.dice.fate().await {
            Fate::Works => Ok(true),
            Fate::AnswerLost => Ok(false),
            Fate::Fails | Fate::Throttled(_) => Err(unwritable()),
        }
    }

    fn answer(works: bool) -> Result<(), SinkError> {
        if works { Ok(()) } else { Err(unwritable()) }
    }
}

#[async_trait]
impl Sink for ChaosSink {
    fn knows_what_it_holds(&self) -> bool {
        !self.forgetful && self.inner.knows_what_it_holds()
    }

    async fn load_checkpoint(&self, route: &Route) -> Result<Checkpoint, SinkError> {
        self.gate().await?;
        let mut loaded = self.inner.load_checkpoint(route).await?;
        if self.dice.lies == Lies::AlwaysComplete {
            loaded.complete_at = Some(DateTime::<Utc>::MAX_UTC);
        }
        Ok(loaded)
    }

    async fn find(&self, route: &Route, uids: &[Uid]) -> Result<Vec<Option<Held>>, SinkError> {
        self.gate().await?;
        if self.forgetful {
            return Ok(vec![None; uids.len()]);
        }
        self.inner.find(route, uids).await
    }

    async fn write(
        &self,
        route: &Route,
        emails: &[Email],
    ) -> Result<Vec<record::Refusal>, SinkError> {
        let works = self.gate().await?;
        if self.acknowledges_early {
            let (inner, route, emails) = (self.inner.clone(), route.clone(), emails.to_vec());
            let pause = Duration::from_millis(self.dice.range(1, 2000));
            self.unwritten.lock().unwrap().spawn(async move {
                tokio::time::sleep(pause).await;
                inner.write(&route, &emails).await.unwrap();
            });
            return Self::answer(works).map(|()| Vec::new());
        }
        for email in emails {
            // A crash may come between any two of a batch.
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.inner.write(route, std::slice::from_ref(email)).await?;
        }
        Self::answer(works).map(|()| Vec::new())
    }

    async fn relocate(&self, route: &Route, moved: &[(Uid, Vec<String>)]) -> Result<(), SinkError> {
        let works = self.gate().await?;
        self.inner.relocate(route, moved).await?;
        Self::answer(works)
    }

    async fn quarantine(&self, route: &Route, items: &[Quarantined]) -> Result<(), SinkError> {
        let works = self.gate().await?;
        self.inner.quarantine(route, items).await?;
        Self::answer(works)
    }

    async fn quarantined(&self, route: &Route) -> Result<Vec<Quarantined>, SinkError> {
        self.gate().await?;
        self.inner.quarantined(route).await
    }

    async fn save_checkpoint(&self, route: &Route, new: &Checkpoint) -> Result<(), SinkError> {
        let works = self.gate().await?;
        self.inner.save_checkpoint(route, new).await?;
        Self::answer(works)
    }
}
