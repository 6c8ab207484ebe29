//! Brings emails into a bucket: in batches, which are split until what the platform will not take
//! is alone.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
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
/// Emails of a batch that may fail alone while none passes.
const MAX_DOUBTFUL: u64 = 8;
/// Emails that are remembered because the platform stumbled over them.
const MAX_SUSPECTS: usize = 1_000;
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
    /// Emails that failed alone, and how many had been accepted by then.
    suspects: Mutex<HashMap<Uid, u64>>,
}

/// An email, and every uid that it stands for.
struct Item {
    prepared: Prepared,
    uids: Vec<Uid>,
}

/// What became of a batch.
#[derive(Default)]
struct Outcome {
    refused: Vec<Refusal>,
    /// Emails that failed alone although others may pass, and how.
    doubtful: Vec<(Vec<Uid>, Failure)>,
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
            suspects: Mutex::default(),
        }
    }

    /// Uploads `emails`, and returns those that the platform will never take.
    pub(super) async fn upload(
        &self,
        route: &Route,
        emails: &[Email],
    ) -> Result<Vec<Refusal>, SinkError> {
        let before = self.accepted.load(Ordering::Relaxed);
        let items = self.prepare(route, emails).await?;
        let count = items.len();
        let batches = self.batches(items);
        let mut running = stream::iter(batches)
            .map(|batch| self.deliver(route, batch))
            .buffer_unordered(self.width);
        let mut all = Outcome::default();
        while let Some(outcome) = running.next().await {
            let outcome = outcome.map_err(|failure| self.error(route, failure))?;
            all.refused.extend(outcome.refused);
            all.doubtful.extend(outcome.doubtful);
        }
        self.judge(route, before, &mut all)?;
        if all.refused.len() >= ALL_REFUSED.max(count) && self.accepted.load(Ordering::Relaxed) == 0
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
        let before = self.accepted.load(Ordering::Relaxed);
        let mut left = vec![batch];
        while let Some(mut batch) = left.pop() {
            // After the first that failed alone, the question is only which others do.
            let patient = outcome.doubtful.is_empty();
            let Err(failure) = self.send(&route.bucket, &batch, patient).await else {
                self.accepted.fetch_add(batch.len() as u64, Ordering::Relaxed);
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
            for Item { uids, .. } in batch {
                match &failure {
                    Failure::TooLarge { detail } => {
                        outcome.refused.extend(refusals(&uids, "TooLarge", detail));
                    }
                    Failure::Rejected { status, detail } => {
                        outcome.refused.extend(refusals(&uids, &status.to_string(), detail));
                    }
                    _ => outcome.doubtful.push((uids, failure.clone())),
                }
            }
            // When nothing passes, the platform is more likely to be down than to stumble over
            // one email after the other.
            let doubtful = outcome.doubtful.len() as u64;
            let passed = self.accepted.load(Ordering::Relaxed) - before;
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

    /// Decides about emails that failed alone: refused if others have passed since they did so
    /// first, otherwise the platform is to blame.
    fn judge(&self, route: &Route, before: u64, all: &mut Outcome) -> Result<(), SinkError> {
        let accepted = self.accepted.load(Ordering::Relaxed);
        let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        for refusal in &all.refused {
            suspects.remove(&refusal.uid);
        }
        let mut blames_platform = None;
        for (uids, failure) in all.doubtful.drain(..) {
            let first = uids.first().and_then(|uid| suspects.get(uid).copied());
            // A connection that is cut says less than an answer: it counts at the second call.
            let since = match (&failure, first) {
                (_, Some(first)) => Some(first),
                (Failure::Broken(_), None) => Some(before),
                _ => None,
            };
            if since.is_some_and(|since| accepted > since) {
                suspects.retain(|uid, _| !uids.contains(uid));
                let code = match &failure {
                    Failure::Broken(status) => status.to_string(),
                    _ => "NoAnswer".to_owned(),
                };
                let detail = "the platform fails over this email while it takes others";
                all.refused.extend(refusals(&uids, &code, detail));
                continue;
            }
            if suspects.len() < MAX_SUSPECTS
                && let Some(uid) = uids.first()
            {
                suspects.entry(*uid).or_insert(accepted);
            }
            blames_platform = Some(failure);
        }
        match blames_platform {
            Some(failure) => Err(self.error(route, failure)),
            None => Ok(()),
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
            "The platform refuses every email, so none is set aside; check that the endpoint is \
             that of the platform's API."
                .to_owned(),
        ),
    }
}
