//! Brings emails into a bucket: in batches, which are split until what the platform will not take
//! is alone.

mod blame;

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{StreamExt, stream};
use net::{HeaderValue, Method, header::CONTENT_ENCODING};
use record::{BucketId, Email, Refusal, Route, SinkError, Uid};
use tokio::sync::Semaphore;

use self::blame::Blame;
use super::{
    api::{Api, Ask},
    bucket_path,
    content::{Encoder, Prepared},
    failure::Failure,
    json::{payload, size_of},
};

/// Bytes of one upload, unless a single email is larger.
const MAX_BATCH: u64 = 8 << 20;
/// An upload is never made smaller than this because of its size.
const MIN_BATCH: u64 = 64 << 10;
/// Attempts after which a batch that fails while others pass is split.
const PATIENCE: u32 = 3;
/// Emails of a batch that may fail alone while none of it passes.
const MAX_DOUBTFUL: usize = 8;
/// Refused emails of one call that, when nothing has ever passed, blame the platform.
const ALL_REFUSED: usize = 3;

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
