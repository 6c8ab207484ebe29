//! `tributary replay`: sends what a folder holds to a destination, again and without doubling.

use std::{fs::File, io::Read, path::Path, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use record::{
    Body, BucketId, Chain, Email, MailboxId, Refusal, Route, Sink, SinkAdvice, SinkError, Uid,
};
use sinks::local_files::{LocalFiles, Sidecar, Stored};
use sync::backoff::Backoff;
use tokio::{sync::Semaphore, task::JoinSet};
use tracing::{info, warn};

use crate::exit::Ending;

/// Largest body that is read into memory; larger ones are sent from their file.
const IN_MEMORY: u64 = 256 << 10;

/// Most bytes of one batch.
const BATCH_BYTES: u64 = 2 << 20;

/// Attempts at one batch before the whole command gives up.
const ATTEMPTS: u32 = 8;

/// How many troubles are named one by one.
const MAX_NAMED: usize = 20;

/// Which emails are sent.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub bucket: Option<BucketId>,
    pub mailbox: Option<MailboxId>,
    /// Received at this time or later.
    pub since: Option<DateTime<Utc>>,
}

impl Filter {
    fn accepts(&self, route: &Route) -> bool {
        self.bucket.as_ref().is_none_or(|bucket| *bucket == route.bucket)
            && self.mailbox.as_ref().is_none_or(|mailbox| *mailbox == route.mailbox)
    }
}

/// How much is sent at once.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Emails of one batch.
    pub batch: usize,
    /// Batches under way at the same time.
    pub uploads: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    pub sent: u64,
    pub bytes: u64,
    /// Emails that the destination will not take, or that are damaged here.
    pub failed: u64,
    /// The first of them, one sentence each.
    pub named: Vec<String>,
}

impl Report {
    fn fail(&mut self, sentence: String) {
        self.failed += 1;
        if self.named.len() < MAX_NAMED {
            self.named.push(sentence);
        }
    }
}

/// Sends the emails of `from` that `filter` accepts to `to`. The same email has the same identity
/// on each run, so that repeating a run, whole or in part, leaves one copy.
///
/// # Errors
///
/// The folder cannot be read, or the destination does not take anything. What was sent is kept.
pub async fn replay(
    from: &LocalFiles,
    to: Arc<dyn Sink>,
    filter: &Filter,
    pace: Pace,
) -> Result<Report, Ending> {
    let mut report = Report::default();
    let uploads = Arc::new(Semaphore::new(pace.uploads.max(1)));
    let mut under_way = JoinSet::new();
    let routes = from.routes().map_err(|err| Ending::from(&err))?;
    for route in routes.into_iter().filter(|route| filter.accepts(route)) {
        let mut batch = Batch::default();
        for stored in from.stored(&route).map_err(|err| Ending::from(&err))? {
            let stored = stored.map_err(|err| Ending::from(&err))?;
            let (uid, path) = (stored.uid, stored.eml.clone());
            match read(stored, filter.since) {
                Ok(Some(email)) => batch.push(email),
                Ok(None) => {}
                Err(reason) => report.fail(format!("{} ({uid}): {reason}", path.display())),
            }
            if batch.emails.len() >= pace.batch.max(1) || batch.bytes >= BATCH_BYTES {
                send(&mut under_way, &uploads, &to, &route, &mut batch).await;
                settle(&mut under_way, &mut report, false).await?;
            }
        }
        if !batch.emails.is_empty() {
            send(&mut under_way, &uploads, &to, &route, &mut batch).await;
        }
        info!(mailbox.id = %route.mailbox, records = report.sent, "Sent what `{}` holds", route.mailbox);
    }
    settle(&mut under_way, &mut report, true).await?;
    Ok(report)
}

#[derive(Default)]
struct Batch {
    emails: Vec<Email>,
    bytes: u64,
}

impl Batch {
    fn push(&mut self, email: Email) {
        self.bytes += email.body.size();
        self.emails.push(email);
    }
}

/// A batch that has ended: emails, bytes, and those that were refused.
struct Done {
    emails: u64,
    bytes: u64,
    refused: Vec<(MailboxId, Refusal)>,
}

type UnderWay = JoinSet<Result<Done, Ending>>;

async fn send(
    under_way: &mut UnderWay,
    uploads: &Arc<Semaphore>,
    to: &Arc<dyn Sink>,
    route: &Route,
    batch: &mut Batch,
) {
    // Waiting here bounds what is in memory.
    let Ok(permit) = Arc::clone(uploads).acquire_owned().await else { return };
    let Batch { emails, bytes } = std::mem::take(batch);
    let (to, route) = (Arc::clone(to), route.clone());
    under_way.spawn(async move {
        let _permit = permit;
        let refused = write(to.as_ref(), &route, &emails).await?;
        let refused: Vec<_> =
            refused.into_iter().map(|refusal| (route.mailbox.clone(), refusal)).collect();
        Ok(Done { emails: (emails.len() - refused.len()) as u64, bytes, refused })
    });
}

/// Takes what has ended; with `all`, waits for the rest.
async fn settle(under_way: &mut UnderWay, report: &mut Report, all: bool) -> Result<(), Ending> {
    loop {
        let next = if all { under_way.join_next().await } else { under_way.try_join_next() };
        let Some(ended) = next else { return Ok(()) };
        let done = ended.map_err(|err| Ending::new(crate::exit::Exit::Io, err.to_string()))??;
        report.sent += done.emails;
        report.bytes += done.bytes;
        for (mailbox, Refusal { uid, code, detail }) in done.refused {
            report.fail(format!("{uid} of `{mailbox}` is refused: {code} ({detail})"));
        }
    }
}

/// Writes one batch, trying again where that may help.
async fn write(to: &dyn Sink, route: &Route, emails: &[Email]) -> Result<Vec<Refusal>, Ending> {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
    let mut rng = ChaCha8Rng::seed_from_u64(rand::random());
    loop {
        let err: SinkError = match to.write(route, emails).await {
            Ok(refused) => return Ok(refused),
            Err(err) => err,
        };
        let SinkAdvice::Retry { after } = err.advice() else { return Err(Ending::from(&err)) };
        if backoff.failures() + 1 >= ATTEMPTS {
            return Err(Ending::from(&err));
        }
        let pause = backoff.failed(&mut rng);
        let pause = after.unwrap_or(pause);
        warn!(
            pause.seconds = pause.as_secs_f64().ceil(),
            "The destination is tried again: {}",
            Chain(&err)
        );
        tokio::time::sleep(pause).await;
    }
}

/// The email as the source once handed it out; `None` if it is too old.
fn read(stored: Stored, since: Option<DateTime<Utc>>) -> Result<Option<Email>, String> {
    let (uid, path) = (stored.uid, stored.eml.clone());
    let received = stored.sidecar.as_ref().ok().map(|sidecar| sidecar.timestamp);
    if matches!((received, since), (Some(received), Some(since)) if received < since) {
        return Ok(None);
    }
    // Read whole and compared with its hash: nothing damaged is passed on.
    let sidecar = stored.check().map_err(|flaw| flaw.to_string())?;
    let body = body(&path, sidecar.size).map_err(|err| err.to_string())?;
    Ok(Some(email(uid, sidecar, body)))
}

fn body(path: &Path, size: u64) -> std::io::Result<Body> {
    let mut file = File::open(path)?;
    if size > IN_MEMORY {
        return Ok(Body::Spool { file: Arc::new(file), size });
    }
    let mut bytes = Vec::new();
    file.by_ref().take(IN_MEMORY).read_to_end(&mut bytes)?;
    Ok(Body::Memory(bytes.into()))
}

fn email(uid: Uid, sidecar: Sidecar, body: Body) -> Email {
    let Sidecar { id, timestamp, item, metadata, .. } = sidecar;
    // The id of an email that has none is made from its uid, and comes out the same.
    Email { uid, item, message_id: Some(id), timestamp, metadata, body }
}
