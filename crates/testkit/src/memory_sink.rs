//! A sink in memory that checks the promises while it is written to.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use record::{
    Checkpoint, Email, FolderId, Held, Position, Quarantined, Refusal, Route, Sink, SinkError, Uid,
};

/// Called with each checkpoint before it is stored, to judge it.
pub type Judge = Arc<dyn Fn(&MemorySink, &Checkpoint) + Send + Sync>;

/// What survives a crash of the program that writes to it.
#[derive(Clone, Default)]
pub struct MemorySink {
    inner: Arc<Mutex<Inner>>,
    judge: Option<Judge>,
}

#[derive(Default)]
struct Inner {
    emails: BTreeMap<Uid, Vec<String>>,
    writes: u64,
    quarantine: BTreeMap<Uid, Quarantined>,
    checkpoint: Checkpoint,
    /// Emails that are refused, with the code.
    refused: BTreeMap<Uid, String>,
    /// What the next loads and writes fail with.
    failures: VecDeque<SinkError>,
    /// Of each of the next writes, whether it has its effect and fails nevertheless.
    lost_answers: VecDeque<bool>,
    /// Emails on which a write panics, as a bug would.
    traps: BTreeSet<Uid>,
    /// Like some platforms, the sink cannot tell what it holds.
    forgetful: bool,
}

impl MemorySink {
    pub fn judged_by(judge: Judge) -> Self {
        Self::default().judging(judge)
    }

    /// The same sink, with a judge.
    #[must_use]
    pub fn judging(&self, judge: Judge) -> Self {
        Self { inner: Arc::clone(&self.inner), judge: Some(judge) }
    }

    /// This email is never taken.
    pub fn refuse(&self, uid: Uid, code: &str) {
        self.inner.lock().unwrap().refused.insert(uid, code.to_owned());
    }

    pub fn refuse_nothing(&self) {
        self.inner.lock().unwrap().refused.clear();
    }

    /// Each of the next calls that load a checkpoint or write emails fails with one of these.
    pub fn fail_next(&self, failures: Vec<SinkError>) {
        self.inner.lock().unwrap().failures.extend(failures);
    }

    /// Of each of the next writes, tells whether its answer is lost.
    pub fn lose_answers(&self, lost: impl IntoIterator<Item = bool>) {
        self.inner.lock().unwrap().lost_answers.extend(lost);
    }

    /// Writing this email panics, as a bug in a sink would.
    pub fn trap(&self, uid: Uid) {
        self.inner.lock().unwrap().traps.insert(uid);
    }

    /// From now on the sink cannot tell what it holds.
    pub fn forget_all(&self) {
        self.inner.lock().unwrap().forgetful = true;
    }

    fn fail(&self) -> Result<(), SinkError> {
        self.inner.lock().unwrap().failures.pop_front().map_or(Ok(()), Err)
    }

    pub fn uids(&self) -> Vec<Uid> {
        self.inner.lock().unwrap().emails.keys().copied().collect()
    }

    pub fn folder_of(&self, uid: Uid) -> Option<Vec<String>> {
        self.inner.lock().unwrap().emails.get(&uid).cloned()
    }

    /// Emails written so far, those written again included.
    pub fn writes(&self) -> u64 {
        self.inner.lock().unwrap().writes
    }

    pub fn has(&self, uid: Uid) -> bool {
        let inner = self.inner.lock().unwrap();
        inner.emails.contains_key(&uid) || inner.quarantine.contains_key(&uid)
    }

    pub fn set_aside(&self) -> Vec<Quarantined> {
        self.inner.lock().unwrap().quarantine.values().cloned().collect()
    }

    pub fn checkpoint(&self) -> Checkpoint {
        self.inner.lock().unwrap().checkpoint.clone()
    }

    pub fn position(&self, folder: &FolderId) -> Option<Position> {
        self.checkpoint().folders.get(folder)?.position.clone()
    }

    /// Stores one email; a crash may come between two of a batch.
    pub fn put(&self, email: &Email) {
        let mut inner = self.inner.lock().unwrap();
        inner.emails.insert(email.uid, email.metadata.folder.clone());
        inner.quarantine.remove(&email.uid);
        inner.writes += 1;
    }
}

#[async_trait]
impl Sink for MemorySink {
    fn knows_what_it_holds(&self) -> bool {
        !self.inner.lock().unwrap().forgetful
    }

    async fn load_checkpoint(&self, _: &Route) -> Result<Checkpoint, SinkError> {
        self.fail()?;
        Ok(self.checkpoint())
    }

    async fn find(&self, _: &Route, uids: &[Uid]) -> Result<Vec<Option<Held>>, SinkError> {
        let inner = self.inner.lock().unwrap();
        if inner.forgetful {
            return Ok(vec![None; uids.len()]);
        }
        let held = |uid| inner.emails.get(uid).map(|folder| Held { folder: folder.clone() });
        Ok(uids.iter().map(held).collect())
    }

    async fn write(&self, _: &Route, emails: &[Email]) -> Result<Vec<Refusal>, SinkError> {
        self.fail()?;
        let traps = self.inner.lock().unwrap().traps.clone();
        assert!(!emails.iter().any(|email| traps.contains(&email.uid)), "a bug put in on purpose");
        let refused = self.inner.lock().unwrap().refused.clone();
        let mut refusals = Vec::new();
        for email in emails {
            match refused.get(&email.uid) {
                None => self.put(email),
                Some(code) => refusals.push(Refusal {
                    uid: email.uid,
                    code: code.clone(),
                    detail: "the sink does not take it".to_owned(),
                }),
            }
        }
        match self.inner.lock().unwrap().lost_answers.pop_front() {
            Some(true) => {
                let cause = "no answer".into();
                Err(SinkError::Unreachable { host: "memory".to_owned(), cause })
            }
            Some(false) | None => Ok(refusals),
        }
    }

    async fn relocate(&self, _: &Route, moved: &[(Uid, Vec<String>)]) -> Result<(), SinkError> {
        let mut inner = self.inner.lock().unwrap();
        for (uid, folder) in moved {
            if let Some(known) = inner.emails.get_mut(uid) {
                known.clone_from(folder);
            }
        }
        Ok(())
    }

    async fn quarantine(&self, _: &Route, items: &[Quarantined]) -> Result<(), SinkError> {
        let mut inner = self.inner.lock().unwrap();
        inner.quarantine.extend(items.iter().map(|item| (item.uid, item.clone())));
        Ok(())
    }

    async fn quarantined(&self, _: &Route) -> Result<Vec<Quarantined>, SinkError> {
        Ok(self.set_aside())
    }

    async fn save_checkpoint(&self, _: &Route, new: &Checkpoint) -> Result<(), SinkError> {
        if let Some(judge) = &self.judge {
            judge(self, new);
        }
        let mut inner = self.inner.lock().unwrap();
        if inner.checkpoint.generation + 1 != new.generation {
            return Err(SinkError::Superseded { place: "memory".to_owned() });
        }
        inner.checkpoint = new.clone();
        Ok(())
    }
}

/// One [`MemorySink`] for each route.
#[derive(Clone, Default)]
pub struct ManySinks(Arc<Mutex<BTreeMap<Route, MemorySink>>>);

impl ManySinks {
    pub fn of(&self, route: &Route) -> MemorySink {
        self.0.lock().unwrap().entry(route.clone()).or_default().clone()
    }
}

#[async_trait]
impl Sink for ManySinks {
    fn knows_what_it_holds(&self) -> bool {
        true
    }

    async fn load_checkpoint(&self, route: &Route) -> Result<Checkpoint, SinkError> {
        self.of(route).load_checkpoint(route).await
    }

    async fn find(&self, route: &Route, uids: &[Uid]) -> Result<Vec<Option<Held>>, SinkError> {
        self.of(route).find(route, uids).await
    }

    async fn write(&self, route: &Route, emails: &[Email]) -> Result<Vec<Refusal>, SinkError> {
        self.of(route).write(route, emails).await
    }

    async fn relocate(&self, route: &Route, moved: &[(Uid, Vec<String>)]) -> Result<(), SinkError> {
        self.of(route).relocate(route, moved).await
    }

    async fn quarantine(&self, route: &Route, items: &[Quarantined]) -> Result<(), SinkError> {
        self.of(route).quarantine(route, items).await
    }

    async fn quarantined(&self, route: &Route) -> Result<Vec<Quarantined>, SinkError> {
        self.of(route).quarantined(route).await
    }

    async fn save_checkpoint(&self, route: &Route, new: &Checkpoint) -> Result<(), SinkError> {
        self.of(route).save_checkpoint(route, new).await
    }
}
