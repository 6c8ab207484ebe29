//! Brings emails into a bucket: in batches, which are split until what the platform will not take
//! is alone.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{StreamExt, stream};
use net::{HeaderValue, Method, header::CONTENT_ENCODING};
use record::{BucketId, Email, Refusal, Route, SinkError, Uid};
use tokio::sync::Semaphore;

use super::{
    api::{Api, Ask},
    bucket_path,
    content::{Encoder, Prepared, payload, size_of},
    failure::Failure,
};

/// Bytes of one upload, unless a single email is larger.
const MAX_BATCH: u64 = 8 << 20;
/// An upload is never made smaller than this because of its size.
const MIN_BATCH: u64 = 64 << 10;
/// Attempts after which a batch that fails while others pass is split.
const PATIENCE: u32 = 3;
/// Emails of a batch that may fail alone while none of it passes.
const MAX_DOUBTFUL: usize = 8;
/// Times that an email must fail alone, others having passed each time since the last, before it
/// is to blame and not the platform.
const PROOFS: u32 = 3;
/// Emails that are remembered because the platform stumbled over them.
const MAX_SUSPECTS: usize = 1_000;
/// Refused emails of one call that, when nothing has ever passed, blame the platform.
const ALL_REFUSED: usize = 3;
/// Emails refused in a row, while none is accepted, that blame the platform.
const MAX_IN_A_ROW: usize = 10;
/// A size that something before the platform must let pass: what refuses less is out of order.
const BELIEVABLE_LIMIT: u64 = 1 << 20;

pub(super) struct Uploads {
    api: Api,
    encoder: Encoder,
    batch_size: usize,
    width: usize,
    /// Uploads of the whole sink at a time.
    places: Semaphore,
    /// Bytes of an upload that the server has not called too large.
    max_batch: AtomicU64,
    /// Emails that the platform has taken.
    accepted: AtomicU64,
    blame: Mutex<Blame>,
}

/// Guarded: what speaks against emails, and what against the platform.
#[derive(Default)]
struct Blame {
    /// Emails that failed alone and have not been accepted since.
    suspects: HashMap<Uid, Suspect>,
    /// Emails that were refused since the last one that was accepted.
    in_a_row: HashSet<Uid>,
}

#[derive(Clone, Copy)]
struct Suspect {
    /// Failures, with others accepted between one and the next.
    failures: u32,
    /// How many had been accepted at the last of them.
    accepted: u64,
}

/// An email, and every uid that it stands for.
#[derive(Clone)]
struct Item {
    prepared: Prepared,
    uids: Vec<Uid>,
}

/// What became of a batch.
#[derive(Default)]
struct Outcome {
    refused: Vec<Refusal>,
    /// Emails that failed alone although others may pass.
    doubtful: Vec<Doubt>,
    /// One that was accepted, the smallest: sent again, it tells whether the platform works.
    witness: Option<Item>,
}

struct Doubt {
    item: Item,
    failure: Failure,
    /// How many emails had been accepted when it failed.
    accepted: u64,
}

impl Outcome {
    fn accepted(&mut self, item: Item) {
        if self.witness.as_ref().is_none_or(|old| item.prepared.size < old.prepared.size) {
            self.witness = Some(item);
        }
    }
}

impl Uploads {
    pub(super) fn new(api: Api, encoder: Encoder, batch_size: usize, uploads: usize) -> Self {
        let width = uploads.max(1);
        Self {
            api,
            encoder,
            batch_size: batch_size.max(1),
            width,
            places: Semaphore::new(width),
            max_batch: AtomicU64::new(MAX_BATCH),
            accepted: AtomicU64::new(0),
            blame: Mutex::default(),
        }
    }

    /// Uploads `emails`, and returns those that the platform will never take.
    pub(super) async fn upload(
        &self,
        route: &Route,
        emails: &[Email],
    ) -> Result<Vec<Refusal>, SinkError> {
        let mut all = Outcome::default();
        let items = self.prepare(route, emails).await?;
        let count = items.len();
        let batches = self.batches(items);
        let mut running = stream::iter(batches)
            .map(|batch| self.deliver(route, batch))
            .buffer_unordered(self.width);
        while let Some(outcome) = running.next().await {
            let outcome = outcome.map_err(|failure| self.error(route, failure))?;
            all.refused.extend(outcome.refused);
            all.doubtful.extend(outcome.doubtful);
            outcome.witness.into_iter().for_each(|item| all.accepted(item));
        }
        self.judge(route, &mut all).await.map_err(|failure| self.error(route, failure))?;
        self.doubt_refusals(route, &all).await?;
        if count > 0
            && all.refused.len() >= ALL_REFUSED.max(count)
            && self.accepted.load(Ordering::Relaxed) == 0
        {
            return Err(nothing_passes(route, &all.refused));
        }
        Ok(all.refused)
    }

    /// Emails with the same id are one email there: the last counts, and one is sent.
    async fn prepare(&self, route: &Route, emails: &[Email]) -> Result<Vec<Item>, SinkError> {
        let mut last: HashMap<String, (usize, Vec<Uid>)> = HashMap::new();
        for (at, email) in emails.iter().enumerate() {
            let (place, uids) = last.entry(email.email_id()).or_default();
            *place = at;
            if !uids.contains(&email.uid) {
                uids.push(email.uid);
            }
        }
        let mut places: Vec<(usize, Vec<Uid>)> = last.into_values().collect();
        places.sort_unstable_by_key(|(at, _)| *at);
        let mut items = Vec::with_capacity(places.len());
        for (at, uids) in places {
            let Some(email) = emails.get(at) else { continue };
            let prepared = self.encoder.prepare(route, email).await;
            let prepared = prepared.map_err(|cause| SinkError::Unwritable {
                place: "the spooled email".to_owned(),
                cause: cause.into(),
            })?;
            items.push(Item { prepared, uids });
        }
        Ok(items)
    }

    fn batches(&self, items: Vec<Item>) -> Vec<Vec<Item>> {
        let limit = self.max_batch.load(Ordering::Relaxed);
        let mut batches: Vec<Vec<Item>> = Vec::new();
        let mut size = 0;
        for item in items {
            let fits = size + item.prepared.size <= limit;
            match batches.last_mut() {
                Some(batch) if fits && batch.len() < self.batch_size => {
                    size += item.prepared.size;
                    batch.push(item);
                }
                _ => {
                    size = item.prepared.size;
                    batches.push(vec![item]);
                }
            }
        }
        batches
    }

    /// Sends a batch, in ever smaller parts where it must be.
    async fn deliver(&self, route: &Route, batch: Vec<Item>) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::default();
        let mut passed = 0;
        let mut left = vec![batch];
        while let Some(mut batch) = left.pop() {
            // After the first that failed alone, the question is only which others do.
            let patient = outcome.doubtful.is_empty();
            let Err(failure) = self.send(&route.bucket, &batch, patient).await else {
                passed += batch.len();
                self.note_accepted(&batch);
                batch.into_iter().for_each(|item| outcome.accepted(item));
                continue;
            };
            if matches!(failure, Failure::TooLarge { .. }) {
                self.shrink(&batch);
            }
            let blames_content =
                matches!(failure, Failure::TooLarge { .. } | Failure::Rejected { .. });
            if !blames_content && !failure.may_be_the_content() {
                return Err(failure);
            }
            if batch.len() > 1 {
                let second = batch.split_off(batch.len() / 2);
                left.push(second);
                left.push(batch);
                continue;
            }
            for item in batch {
                self.alone(item, failure.clone(), &mut outcome)?;
            }
            // When nothing passes, the platform is more likely to be down than to stumble over
            // one email after the other.
            let doubtful = outcome.doubtful.len();
            if doubtful >= MAX_DOUBTFUL && doubtful > passed {
                return Err(failure);
            }
        }
        Ok(outcome)
    }

    /// Sends one upload, again and again while that may help.
    /// An email alone is given all the time there is if the caller is `patient`.
    async fn send(&self, bucket: &BucketId, batch: &[Item], patient: bool) -> Result<(), Failure> {
        let emails: Vec<Prepared> = batch.iter().map(|item| item.prepared.clone()).collect();
        let accepted = self.accepted.load(Ordering::Relaxed);
        let mut tries = self.api.tries();
        loop {
            let place = self.places.acquire().await;
            let gzip = self.api.takes_gzip();
            let result = self.send_once(bucket, &emails, gzip).await;
            drop(place);
            match result {
                Err(Failure::Unsupported { .. }) if gzip => self.api.stop_gzip(),
                Err(failure) if failure.is_passing() => {
                    let others_pass = self.accepted.load(Ordering::Relaxed) > accepted;
                    let enough = tries.count + 1 >= PATIENCE;
                    let settled = others_pass || emails.len() > 1 || !patient;
                    if failure.may_be_the_content() && enough && settled {
                        return Err(failure);
                    }
                    tries.wait(failure).await?;
                }
                ended => return ended,
            }
        }
    }

    /// Sends one upload once.
    async fn send_now(&self, bucket: &BucketId, batch: &[Item]) -> Result<(), Failure> {
        let emails: Vec<Prepared> = batch.iter().map(|item| item.prepared.clone()).collect();
        let _place = self.places.acquire().await;
        self.send_once(bucket, &emails, false).await
    }

    async fn send_once(
        &self,
        bucket: &BucketId,
        emails: &[Prepared],
        gzip: bool,
    ) -> Result<(), Failure> {
        let path = format!("{}/emails?no_charge=false", bucket_path(bucket));
        let mut ask = Ask::new("PutEmails", Method::PUT, path).json(Vec::new());
        let payload = payload(emails, gzip).map_err(|err| Failure::local(self.api.host(), err))?;
        ask.payload = payload;
        if gzip {
            ask.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        self.api.grant_once(&ask).await.map(drop)
    }

    /// Later uploads stay below half of what was too large.
    fn shrink(&self, batch: &[Item]) {
        if batch.len() > 1 {
            let emails: Vec<Prepared> = batch.iter().map(|item| item.prepared.clone()).collect();
            let half = (size_of(&emails) / 2).max(MIN_BATCH);
            self.max_batch.fetch_min(half, Ordering::Relaxed);
        }
    }

    fn blame(&self) -> MutexGuard<'_, Blame> {
        self.blame.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_accepted(&self, batch: &[Item]) {
        self.accepted.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let mut blame = self.blame();
        blame.in_a_row.clear();
        if !blame.suspects.is_empty() {
            for uid in batch.iter().flat_map(|item| &item.uids) {
                blame.suspects.remove(uid);
            }
        }
    }

    /// Notes what became of an email that was sent alone and not accepted.
    fn alone(&self, item: Item, failure: Failure, outcome: &mut Outcome) -> Result<(), Failure> {
        match &failure {
            Failure::TooLarge { own, .. } if !own && item.prepared.size < BELIEVABLE_LIMIT => {
                return Err(Failure::NotThePlatform(413));
            }
            Failure::TooLarge { detail, .. } => {
                outcome.refused.extend(refusals(&item.uids, "TooLarge", detail));
            }
            Failure::Rejected { status, detail } => {
                let mut blame = self.blame();
                blame.suspects.retain(|uid, _| !item.uids.contains(uid));
                if blame.in_a_row.len() < MAX_IN_A_ROW {
                    blame.in_a_row.extend(item.uids.first());
                }
                outcome.refused.extend(refusals(&item.uids, &status.to_string(), detail));
            }
            _ => {
                let accepted = self.accepted.load(Ordering::Relaxed);
                outcome.doubtful.push(Doubt { item, failure, accepted });
            }
        }
        Ok(())
    }

    /// Notes that an email failed alone; tells whether it has done so often enough.
    fn is_proven(&self, doubt: &Doubt) -> bool {
        let Some(uid) = doubt.item.uids.first() else { return false };
        if !doubt.failure.blames_the_email() {
            return false;
        }
        let accepted = self.accepted.load(Ordering::Relaxed);
        let mut blame = self.blame();
        let before = blame.suspects.get(uid).copied();
        let failures = match before {
            None => 1,
            Some(before) if doubt.accepted > before.accepted => before.failures + 1,
            Some(_) => return false,
        };
        if failures >= PROOFS {
            blame.suspects.remove(uid);
            return true;
        }
        if before.is_none() && blame.suspects.len() >= MAX_SUSPECTS {
            let any = blame.suspects.keys().next().copied();
            any.map(|any| blame.suspects.remove(&any));
        }
        blame.suspects.insert(*uid, Suspect { failures, accepted });
        false
    }

    /// Decides about emails that failed alone. If others of this call were accepted, one of these
    /// is sent again before each further try: an upload can be repeated, and it tells an email
    /// that the platform stumbles over from a platform that is down.
    async fn judge(&self, route: &Route, all: &mut Outcome) -> Result<(), Failure> {
        let mut tries = self.api.tries();
        for _ in 0..PROOFS {
            let mut open = Vec::new();
            for doubt in std::mem::take(&mut all.doubtful) {
                if self.is_proven(&doubt) {
                    let code = match doubt.failure {
                        Failure::Broken(status) => status.to_string(),
                        _ => String::new(),
                    };
                    let detail = "the platform fails over this email while it takes others";
                    all.refused.extend(refusals(&doubt.item.uids, &code, detail));
                } else {
                    open.push(doubt);
                }
            }
            let others = |doubt: &&Doubt| !doubt.failure.blames_the_email();
            let Some(last) = open.iter().find(others).or(open.last()) else { return Ok(()) };
            let Some(witness) = all.witness.clone().filter(|_| last.failure.blames_the_email())
            else {
                return Err(last.failure.clone());
            };
            tries.wait(last.failure.clone()).await?;
            self.testify(route, witness).await?;
            for Doubt { item, .. } in open {
                match self.send_now(&route.bucket, std::slice::from_ref(&item)).await {
                    Ok(()) => self.note_accepted(&[item]),
                    Err(failure) => self.alone(item, failure, all)?,
                }
            }
        }
        match all.doubtful.pop() {
            Some(doubt) => Err(doubt.failure),
            None => Ok(()),
        }
    }

    async fn testify(&self, route: &Route, witness: Item) -> Result<(), Failure> {
        self.send_now(&route.bucket, std::slice::from_ref(&witness)).await?;
        self.note_accepted(&[witness]);
        Ok(())
    }

    /// A platform that refuses one email after the other is to blame, not the emails.
    async fn doubt_refusals(&self, route: &Route, all: &Outcome) -> Result<(), SinkError> {
        if all.refused.is_empty() || self.blame().in_a_row.len() < MAX_IN_A_ROW {
            return Ok(());
        }
        let Some(witness) = all.witness.clone() else {
            return Err(nothing_passes(route, &all.refused));
        };
        match self.testify(route, witness).await {
            Err(failure) if failure.is_passing() => Err(self.error(route, failure)),
            Err(_) => Err(nothing_passes(route, &all.refused)),
            Ok(()) => Ok(()),
        }
    }

    fn error(&self, route: &Route, failure: Failure) -> SinkError {
        failure.into_sink_error(
            self.api.host(),
            &format!("bucket {}", route.bucket),
            "the permissions `buckets-read` and `buckets-append`",
        )
    }
}

fn refusals(uids: &[Uid], code: &str, detail: &str) -> Vec<Refusal> {
    let refusal = |uid: &Uid| Refusal { uid: *uid, code: code.into(), detail: detail.into() };
    uids.iter().map(refusal).collect()
}

fn nothing_passes(route: &Route, refused: &[Refusal]) -> SinkError {
    SinkError::Denied {
        place: format!("bucket {}", route.bucket),
        detail: refused.first().map(|first| first.detail.clone()).unwrap_or_default(),
        hint: Some(
            "The platform refuses one email after the other, so none is set aside; check that the \
             endpoint is that of the platform's API and that it works."
                .to_owned(),
        ),
    }
}
