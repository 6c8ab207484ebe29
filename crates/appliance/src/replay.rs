//! `tributary replay`: sends what a folder or a container holds to a destination, without doubling.

use std::{io::Write, path::PathBuf, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use record::{
    Body, BucketId, Chain, Email, MailboxId, Refusal, Route, Sink, SinkAdvice, SinkError,
};
use sha2::{Digest, Sha256};
use sinks::{
    local_files::{LocalFiles, Sidecar, Stored},
    object_store::{Objects, StoredEmail},
};
use sync::backoff::Backoff;
use tokio::{sync::Semaphore, task::JoinSet};
use tracing::{info, warn};

use crate::{
    destination::{self, Uploads},
    environment::Environment,
    exit::{Ending, Exit},
    flags::{FlagError, Flags, PrivatePrefix},
};

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

/// Emails on their way, or a sentence about one that stays.
type Emails = BoxStream<'static, Result<Result<Email, String>, SinkError>>;

/// Where the emails are.
pub enum Origin {
    Folder(LocalFiles),
    Container(Objects),
}

impl Origin {
    /// Opens a path, or what `--private-file-prefix` names.
    ///
    /// # Errors
    ///
    /// There is no such folder, or the container's address or credentials are not usable.
    pub fn open(place: &str, flags: &Flags, environment: &Environment) -> Result<Self, Ending> {
        let folder = match place.contains("://") {
            false => PathBuf::from(place),
            true => match PrivatePrefix::parse(place).map_err(|err| bad_origin(place, &err))? {
                PrivatePrefix::Folder(folder) => folder,
                PrivatePrefix::Container(place) => {
                    let objects = destination::container(flags, environment, &place);
                    return objects.map(Self::Container);
                }
            },
        };
        let files = LocalFiles::open_read_only(&folder);
        files.map(Self::Folder).map_err(|err| Ending::from(&err))
    }

    async fn routes(&self) -> Result<Vec<Route>, SinkError> {
        match self {
            Self::Folder(files) => files.routes(),
            Self::Container(objects) => objects.routes_with_emails().await,
        }
    }

    /// Hands out the emails of `route`, each read whole and compared with its hash: nothing
    /// damaged is passed on. A sentence for each that cannot be.
    fn emails(&self, route: &Route, since: Option<DateTime<Utc>>) -> Result<Emails, SinkError> {
        Ok(match self {
            Self::Folder(files) => {
                let read = move |stored| read(stored, since).map(Ok);
                stream::iter(files.stored(route)?.filter_map(read)).boxed()
            }
            Self::Container(objects) => objects
                .stored(route)
                .try_filter(move |stored| {
                    let wanted = since.is_none_or(|since| stored.sidecar.timestamp >= since);
                    std::future::ready(wanted)
                })
                .and_then(fetch)
                .boxed(),
        })
    }
}

fn bad_origin(place: &str, err: &FlagError) -> Ending {
    // Whoever writes a secret into a URL shall not find it in a log.
    let shown = place.split(['?', '#']).next().unwrap_or_default();
    let shown = if shown.contains('@') { "…" } else { shown };
    Ending::new(Exit::Config, format!("`--from` is `{shown}`; allowed: a path, {err}"))
}

/// Sends the emails of `from` that `filter` accepts to `to`. The same email has the same identity
/// on each run, so that repeating a run, whole or in part, leaves one copy.
///
/// # Errors
///
/// The origin cannot be read, or the destination does not take anything. What was sent is kept.
pub async fn replay(
    from: &Origin,
    to: Arc<dyn Sink>,
    filter: &Filter,
    uploads: Uploads,
) -> Result<Report, Ending> {
    let mut report = Report::default();
    let room = Arc::new(Semaphore::new(uploads.at_once.max(1)));
    let mut under_way = JoinSet::new();
    let routes = from.routes().await.map_err(|err| Ending::from(&err))?;
    for route in routes.into_iter().filter(|route| filter.accepts(route)) {
        let mut batch = Batch::default();
        let mut emails = from.emails(&route, filter.since).map_err(|err| Ending::from(&err))?;
        while let Some(email) = emails.try_next().await.map_err(|err| Ending::from(&err))? {
            match email {
                Ok(email) => batch.push(email),
                Err(sentence) => report.fail(sentence),
            }
            if batch.emails.len() >= uploads.batch.max(1) || batch.bytes >= BATCH_BYTES {
                send(&mut under_way, &room, &to, &route, &mut batch).await;
                settle(&mut under_way, &mut report, false).await?;
            }
        }
        if !batch.emails.is_empty() {
            send(&mut under_way, &room, &to, &route, &mut batch).await;
        }
        info!(mailbox.id = %route.mailbox, "Sent what is there of `{}`", route.mailbox);
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
    room: &Arc<Semaphore>,
    to: &Arc<dyn Sink>,
    route: &Route,
    batch: &mut Batch,
) {
    // Waiting here bounds what is in memory.
    let Ok(permit) = Arc::clone(room).acquire_owned().await else { return };
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
        let done = ended.map_err(|err| Ending::new(Exit::Io, err.to_string()))??;
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
    let mut rng = SmallRng::seed_from_u64(rand::random());
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
fn read(stored: Stored, since: Option<DateTime<Utc>>) -> Option<Result<Email, String>> {
    let (uid, path) = (stored.uid, stored.eml.clone());
    let received = stored.sidecar.as_ref().ok().map(|sidecar| sidecar.timestamp);
    if matches!((received, since), (Some(received), Some(since)) if received < since) {
        return None;
    }
    let read = stored.read(IN_MEMORY).map(|(sidecar, body)| email(sidecar, body));
    Some(read.map_err(|flaw| format!("{} ({uid}): {flaw}", path.display())))
}

/// The same out of a container; a large body goes through a file without a name.
async fn fetch(stored: StoredEmail) -> Result<Result<Email, String>, SinkError> {
    let uid = stored.sidecar.uid;
    let damaged = |reason: &str| Ok(Err(format!("{uid}: {reason}")));
    let Some(mut parts) = stored.body().await? else {
        return damaged("its `.eml` is missing");
    };
    let size = stored.sidecar.size;
    let mut file = None;
    let mut bytes = Vec::new();
    let spool = |cause: std::io::Error| SinkError::Unwritable {
        place: std::env::temp_dir().display().to_string(),
        cause: cause.into(),
    };
    if size > IN_MEMORY {
        file = Some(tempfile::tempfile().map_err(spool)?);
    }
    let (mut hash, mut length) = (Sha256::new(), 0);
    while let Some(part) = parts.try_next().await? {
        hash.update(&part);
        length += part.len() as u64;
        if length > size {
            break;
        }
        match &mut file {
            Some(file) => file.write_all(&part).map_err(spool)?,
            None => bytes.extend_from_slice(&part),
        }
    }
    let sum: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if length != size || sum != stored.sidecar.sha256 {
        return damaged("the content of its `.eml` has changed");
    }
    let body = match file {
        Some(file) => Body::Spool { file: Arc::new(file), size },
        None => Body::Memory(bytes.into()),
    };
    Ok(Ok(email(stored.sidecar, body)))
}

fn email(sidecar: Sidecar, body: Body) -> Email {
    let Sidecar { uid, id, timestamp, item, metadata, .. } = sidecar;
    // The id of an email that has none is made from its uid, and comes out the same.
    Email { uid, item, message_id: Some(id), timestamp, metadata, body }
}
