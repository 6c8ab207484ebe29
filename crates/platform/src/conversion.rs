//! Emails of buckets become comments of sources, in the background: claimed from a durable queue,
//! converted on all processors, written in one transaction that also claims the next.
//!
//! An email whose conversion panics is set aside at once; one that ends the process is known by
//! its claim, which is durable before the conversion begins.

mod status;
mod write;

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use chrono::TimeDelta;
use comment::{Converted, Delivery, FORMAT_VERSION, Transform};
use record::{Chain, Metadata};
use serde_json::{Value, json};
use store::{Claim, Claimant, ContentReader, Source, StoreError};
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{comment_files::read_whole, server::Shared};
pub(crate) use status::{queue, retry, status};
use write::write;

/// Emails that are converted in one go, and bytes of them.
const BATCH: usize = 256;
const BATCH_BYTES: u64 = 32 * 1024 * 1024;
/// Strikes after which an email is set aside. The first may be that of others in its batch, and
/// one more may be the kill of somebody who meant the process.
const STRIKES: i64 = 3;
/// How long a claim lasts; a process that was killed elsewhere leaves its emails for so long.
const LEASE: TimeDelta = TimeDelta::seconds(30);
/// How often the queue is looked at without being told: other processes fill it as well.
const POLL: Duration = Duration::from_secs(1);
/// How long an email waits whose content could not be read.
const LATER: TimeDelta = TimeDelta::seconds(60);
/// Pauses after a failure of the database.
const PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Makes a comment of an email.
pub type Convert = Arc<dyn Fn(&[u8], &Delivery<'_>, &Transform) -> Converted + Send + Sync>;

/// What the conversion shares with requests.
pub(crate) struct Converter {
    woken: Notify,
    convert: Convert,
}

impl Converter {
    pub(crate) fn new(convert: Option<Convert>) -> Self {
        let convert = convert.unwrap_or_else(|| Arc::new(comment::convert));
        Self { woken: Notify::new(), convert }
    }

    /// Tells that there may be something in the queue.
    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }
}

/// An email and what became of it.
struct Done {
    claim: Claim,
    outcome: Outcome,
}

enum Outcome {
    Made(Made),
    /// It cannot be converted, whatever is tried.
    Bad(String),
    /// It could not be read now.
    Later,
}

struct Made {
    comment: comment::Comment,
    /// Attachments whose bytes are in the email.
    files: usize,
    generation: i64,
}

/// Converts until `over`.
pub(crate) async fn work(shared: Arc<Shared>, over: CancellationToken) {
    let Some(by) = begin(&shared, &over).await else { return };
    let mut claims = Vec::new();
    loop {
        let done = convert_all(&shared, std::mem::take(&mut claims)).await;
        let was_idle = done.is_empty();
        match write_and_claim(&shared, &over, &by, done).await {
            Some(next) => claims = next,
            None => return,
        }
        if over.is_cancelled() {
            return;
        }
        if claims.is_empty() && was_idle {
            let woken = timeout(POLL, shared.converter.woken.notified());
            tokio::select! {
                () = over.cancelled() => return,
                _ = woken => {}
            }
        }
    }
}

/// Makes ready; `None` if it is over before that.
async fn begin(shared: &Shared, over: &CancellationToken) -> Option<Claimant> {
    let format = i64::from(FORMAT_VERSION);
    let mut pause = PAUSE;
    loop {
        let ready = async {
            let mut session = shared.store.write().await?;
            if session.adopt_format(format).await? {
                info!("Emails are converted anew, since this version does it better");
            }
            session.release_claims_of_the_dead().await?;
            let name = session.new_name()?;
            session.commit().await?;
            Ok::<_, StoreError>(name)
        };
        match ready.await {
            Ok(name) => {
                return Some(Claimant {
                    name,
                    format,
                    lease: LEASE,
                    emails: BATCH,
                    bytes: BATCH_BYTES,
                    strikes: STRIKES,
                });
            }
            Err(failure) => {
                error!("Could not begin to convert emails: {}", Chain(&failure));
                wait(over, &mut pause).await?;
            }
        }
    }
}

/// Waits longer each time; `None` when it is over.
async fn wait(over: &CancellationToken, pause: &mut Duration) -> Option<()> {
    let waited = timeout(*pause, over.cancelled()).await;
    *pause = (*pause * 2).min(MAX_PAUSE);
    waited.is_err().then_some(())
}

/// Stores what was made and claims what is next, in one transaction: one wait for the disk.
async fn write_and_claim(
    shared: &Shared,
    over: &CancellationToken,
    by: &Claimant,
    done: Vec<Done>,
) -> Option<Vec<Claim>> {
    let mut pause = PAUSE;
    loop {
        let written = async {
            let mut session = shared.store.write().await?;
            let changed = write(&mut session, by, &done).await?;
            let claims = match over.is_cancelled() {
                true => Vec::new(),
                false => session.claim_conversions(by).await?,
            };
            session.commit().await?;
            shared.metrics.commented(changed);
            Ok::<_, StoreError>(claims)
        };
        match written.await {
            Ok(claims) => return Some(claims),
            Err(failure) => {
                error!("Could not store comments: {}", Chain(&failure));
                wait(over, &mut pause).await?;
            }
        }
    }
}

/// An email that is about to be converted.
struct Waiting {
    claim: Claim,
    content: Result<ContentReader, StoreError>,
    transform: Transform,
    generation: i64,
}

/// Converts emails on all processors.
async fn convert_all(shared: &Shared, claims: Vec<Claim>) -> Vec<Done> {
    if claims.is_empty() {
        return Vec::new();
    }
    let mut done = Vec::with_capacity(claims.len());
    let mut waiting = match open_all(shared, &claims).await {
        Ok(waiting) => waiting,
        Err(failure) => {
            error!("Could not read emails that wait: {}", Chain(&failure));
            let later = |claim| Done { claim, outcome: Outcome::Later };
            return claims.into_iter().map(later).collect();
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let each = waiting.len().div_ceil(threads);
    let mut tasks = Vec::new();
    while !waiting.is_empty() {
        let some = waiting.split_off(waiting.len().saturating_sub(each));
        let claims: Vec<Claim> = some.iter().map(|own| own.claim.clone()).collect();
        let convert = Arc::clone(&shared.converter.convert);
        let task = tokio::task::spawn_blocking(move || {
            some.into_iter().map(|own| convert_one(&convert, own)).collect::<Vec<_>>()
        });
        tasks.push((claims, task));
    }
    for (claims, task) in tasks {
        let later = |claim| Done { claim, outcome: Outcome::Later };
        done.extend(task.await.unwrap_or_else(|_| claims.into_iter().map(later).collect()));
    }
    done
}

/// Opens the contents of emails, and finds out how they are to be converted.
async fn open_all(shared: &Shared, claims: &[Claim]) -> Result<Vec<Waiting>, StoreError> {
    let mut session = shared.store.read().await?;
    let mut sources: HashMap<String, Option<Source>> = HashMap::new();
    let mut waiting = Vec::with_capacity(claims.len());
    for claim in claims {
        if !sources.contains_key(&claim.source_id) {
            let source = session.source_by_id(&claim.source_id).await?;
            sources.insert(claim.source_id.clone(), source);
        }
        let source = sources.get(&claim.source_id).and_then(Option::as_ref);
        let tag = source.and_then(|source| source.details.transform_tag.as_deref());
        let content = match session.content(&claim.hash).await {
            Err(error @ StoreError::Database(_)) => return Err(error),
            content => content,
        };
        waiting.push(Waiting {
            claim: claim.clone(),
            content,
            transform: tag.and_then(Transform::from_tag).unwrap_or_default(),
            generation: source.map_or(0, |source| source.generation),
        });
    }
    Ok(waiting)
}

fn convert_one(convert: &Convert, own: Waiting) -> Done {
    let Waiting { claim, content, transform, generation } = own;
    let raw = content.and_then(|mut content| read_whole(&mut content));
    let outcome = match raw {
        Ok(raw) => {
            let metadata = metadata(claim.metadata.as_deref());
            let listed: Vec<comment::Attachment> =
                serde_json::from_str::<Vec<Value>>(&claim.attachments)
                    .unwrap_or_default()
                    .into_iter()
                    .map(crate::raw_emails::listed)
                    .collect();
            let delivery = Delivery {
                email_id: &claim.id,
                mailbox: &claim.mailbox,
                timestamp: claim.sent_at,
                metadata: &metadata,
                listed: &listed,
            };
            match catch_unwind(AssertUnwindSafe(|| convert(&raw, &delivery, &transform))) {
                Ok(converted) => Outcome::Made(Made {
                    comment: converted.comment,
                    files: converted.files.len(),
                    generation,
                }),
                Err(_) => Outcome::Bad("the converter panicked".to_owned()),
            }
        }
        Err(failure @ StoreError::Damaged { .. }) => Outcome::Bad(failure.to_string()),
        Err(failure) => {
            error!("Could not read an email that waits: {}", Chain(&failure));
            Outcome::Later
        }
    };
    Done { claim, outcome }
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
