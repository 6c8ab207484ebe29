//! Converts claimed emails on all processors, each for a bounded time.

use std::{
    collections::{HashMap, VecDeque},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use comment::{Delivery, Transform};
use record::{Chain, Metadata};
use serde_json::{Value, json};
use store::{Claim, ContentReader, Source, StoreError};
use tokio::task::JoinSet;
use tracing::error;

use super::{
    Convert, Done, Made, Outcome,
    converter::{Raw, processors},
};
use crate::{
    server::Shared,
    watched::{Unfinished, Watch},
};

/// How long emails of a batch are begun: with the last of them, the batch is done before its
/// claims end.
const TIME: Duration = Duration::from_secs(10);

/// An email that is about to be converted.
struct Waiting {
    /// In the list of claims.
    number: usize,
    content: Result<ContentReader, StoreError>,
    transform: Transform,
    generation: i64,
}

/// What the threads of a batch share.
struct Batch {
    claims: Vec<Claim>,
    convert: Convert,
    until: Instant,
    /// Guards the emails whose turn has not come.
    waiting: Mutex<VecDeque<Waiting>>,
    /// Guards what became of the others.
    done: Mutex<Vec<Done>>,
}

/// What a thread does with an email.
#[derive(Clone, Copy, Debug)]
enum Step {
    Read(usize),
    Convert(usize),
}

fn lock<T>(guarded: &Mutex<T>) -> MutexGuard<'_, T> {
    guarded.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Converts emails on all processors.
pub(super) async fn convert_all(shared: &Arc<Shared>, claims: Vec<Claim>) -> Vec<Done> {
    if claims.is_empty() {
        return Vec::new();
    }
    let waiting = match open_all(shared, &claims).await {
        Ok(waiting) => waiting,
        Err(failure) => {
            error!("Could not read emails that wait: {}", Chain(&failure));
            let later = |claim| Done { claim, outcome: Outcome::Later };
            return claims.into_iter().map(later).collect();
        }
    };
    let lanes = processors().min(claims.len());
    let batch = Arc::new(Batch {
        done: Mutex::new(Vec::with_capacity(claims.len())),
        claims,
        convert: Arc::clone(&shared.converter.convert),
        until: Instant::now() + TIME,
        waiting: Mutex::new(waiting),
    });
    let mut tasks = JoinSet::new();
    for _ in 0..lanes {
        tasks.spawn(lane(Arc::clone(shared), Arc::clone(&batch)));
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(failure) = ended {
            error!("A conversion was not waited for: {failure}");
        }
    }
    for own in std::mem::take(&mut *lock(&batch.waiting)) {
        batch.put(own.number, Outcome::NotYet);
    }
    std::mem::take(&mut *lock(&batch.done))
}

/// One thread after the other, as long as they do not come to the end.
async fn lane(shared: Arc<Shared>, batch: Arc<Batch>) {
    let threads = &shared.converter.threads;
    loop {
        let own = Arc::clone(&batch);
        match threads.run(move |watch| own.work(watch)).await {
            Ok(()) => return,
            Err(Unfinished::TooLong(Step::Convert(number))) => {
                let reason = format!("converting it took more than {:?}", threads.time());
                batch.put(number, Outcome::Bad(reason));
            }
            Err(
                Unfinished::TooLong(Step::Read(number))
                | Unfinished::Panicked(Some(Step::Read(number) | Step::Convert(number))),
            ) => {
                error!("An email could not be read to its end, and is tried again later");
                batch.put(number, Outcome::Later);
            }
            Err(Unfinished::Panicked(None)) => return,
            Err(Unfinished::NoThread) => {
                error!(
                    "Emails wait to be converted: others do not end, and take all threads; \
                     they were set aside, and a new start of the server ends them"
                );
                return;
            }
        }
    }
}

impl Batch {
    /// Converts until nothing waits, the time is over, or nobody waits for this thread.
    fn work(&self, watch: &Watch<Step>) {
        while Instant::now() < self.until {
            let Some(own) = lock(&self.waiting).pop_front() else { return };
            let number = own.number;
            let Some(outcome) = self.convert_one(watch, own) else { return };
            if !watch.end() {
                return;
            }
            self.put(number, outcome);
        }
    }

    fn put(&self, number: usize, outcome: Outcome) {
        if let Some(claim) = self.claims.get(number) {
            lock(&self.done).push(Done { claim: claim.clone(), outcome });
        }
    }

    /// None if nobody waits for it any more.
    fn convert_one(&self, watch: &Watch<Step>, own: Waiting) -> Option<Outcome> {
        let Waiting { number, content, transform, generation } = own;
        let claim = self.claims.get(number)?;
        if !watch.begin(Step::Read(number)) {
            return None;
        }
        let raw = match content.and_then(ContentReader::read_whole) {
            Ok(raw) => raw,
            Err(failure @ StoreError::Damaged { .. }) => {
                return Some(Outcome::Bad(failure.to_string()));
            }
            Err(failure) => {
                error!("Could not read an email that waits: {}", Chain(&failure));
                return Some(Outcome::Later);
            }
        };
        let metadata = metadata(claim.metadata.as_deref());
        let listed = serde_json::from_str::<Vec<Value>>(&claim.attachments).unwrap_or_default();
        let listed: Vec<_> = listed.into_iter().map(crate::raw_emails::listed).collect();
        let delivery = Delivery {
            email_id: &claim.id,
            mailbox: &claim.mailbox,
            timestamp: claim.sent_at,
            metadata: &metadata,
            listed: &listed,
        };
        if !watch.begin(Step::Convert(number)) {
            return None;
        }
        let convert = || (self.convert)(Raw::Whole(&raw), &delivery, &transform);
        Some(match catch_unwind(AssertUnwindSafe(convert)) {
            Ok(converted) => Outcome::Made(Made {
                comment: converted.comment,
                files: converted.files.len(),
                generation,
            }),
            Err(_) => Outcome::Bad("the converter panicked".to_owned()),
        })
    }
}

/// Opens the contents of emails, and finds out how they are to be converted.
async fn open_all(shared: &Shared, claims: &[Claim]) -> Result<VecDeque<Waiting>, StoreError> {
    let mut session = shared.store.read().await?;
    let mut sources: HashMap<&str, Option<Source>> = HashMap::new();
    let mut waiting = VecDeque::with_capacity(claims.len());
    let hashes: Vec<&str> = claims.iter().map(|claim| &*claim.hash).collect();
    let mut opened = session.contents(&hashes).await?;
    let lost =
        |own: &Result<ContentReader, StoreError>| matches!(own, Err(StoreError::Contents { .. }));
    let mut is_cut_off = opened.values().any(lost);
    for (number, claim) in claims.iter().enumerate() {
        if !sources.contains_key(&*claim.source_id) {
            let source = session.source_by_id(&claim.source_id).await?;
            sources.insert(&claim.source_id, source);
        }
        let source = sources.get(&*claim.source_id).and_then(Option::as_ref);
        let tag = source.and_then(|source| source.details.transform_tag.as_deref());
        let content = match opened.remove(&claim.hash) {
            Some(content) => content,
            None if is_cut_off => {
                let cause = io::Error::other("others could not be had from where it is");
                Err(StoreError::File { path: PathBuf::from(&claim.hash), cause })
            }
            // An email that two sources want is opened for each.
            None => match session.content(&claim.hash).await {
                Err(error @ StoreError::Database(_)) => return Err(error),
                content => content,
            },
        };
        is_cut_off |= matches!(content, Err(StoreError::Contents { .. }));
        waiting.push_back(Waiting {
            number,
            content,
            transform: tag.and_then(Transform::from_tag).unwrap_or_default(),
            generation: source.map_or(0, |source| source.generation),
        });
    }
    Ok(waiting)
}

/// What the deliverer said; what it left out is empty.
fn metadata(text: Option<&str>) -> Metadata {
    let mut value: Value =
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| json!({}));
    if let Some(map) = value.as_object_mut() {
        map.entry("folder").or_insert_with(|| json!([]));
        map.entry("categories").or_insert_with(|| json!([]));
    }
    serde_json::from_value(value).unwrap_or_default()
}
