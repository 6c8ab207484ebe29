//! The keyed sync states of a bucket: for each folder of each mailbox, how far it has come in
//! time. The platform shows them to people; they cannot hold a position of the source.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use net::Method;
use record::{BucketId, Chain, Checkpoint, FolderId, FolderState, MailboxId, Route};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{
    api::{Answer, Api, Ask},
    bucket_path,
    failure::Failure,
};

/// The time alone is written at most this often; a change of the status at once.
const PACE: Duration = Duration::from_secs(60);
/// Pause after which these states are tried again where the server names none.
const PAUSE: Duration = Duration::from_secs(60);
/// Failures are logged at most this often.
const WARNING_PACE: Duration = Duration::from_secs(600);
/// Emails may arrive out of order by so much.
const OVERLAP: TimeDelta = TimeDelta::minutes(5);
const MAX_LIST: usize = 64 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct KeyedState {
    mailbox_name: String,
    /// Absent in an entry for a whole mailbox.
    #[serde(default)]
    folder_id: Option<String>,
    #[serde(default)]
    folder_path: Option<Vec<String>>,
    status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    synced_until: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_synced_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Status {
    InProgress,
    UpToDate,
}

#[derive(Serialize)]
struct Put {
    keyed_sync_state: KeyedState,
}

#[derive(Deserialize)]
struct List {
    keyed_sync_states: Vec<KeyedState>,
}

#[derive(Deserialize)]
struct BucketReply {
    bucket: BucketInfo,
}

#[derive(Deserialize)]
struct BucketInfo {
    id: String,
}

pub(super) struct Keyed {
    api: Api,
    known: Mutex<Known>,
}

/// Guarded: what was written, by key, in few bytes for each of many folders.
#[derive(Default)]
struct Known {
    ids: HashMap<BucketId, String>,
    written: HashMap<[u8; 32], Written>,
    warned_at: Option<Instant>,
    /// None is written before: uploads do not wait for these.
    paused_until: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Written {
    status: Status,
    content: u64,
    at: Instant,
}

/// Key of a folder's state: lower-case hex of SHA-256 over mailbox, NUL and folder id.
fn key(mailbox: &MailboxId, folder: &FolderId) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(mailbox.as_str().to_lowercase());
    hash.update([0]);
    hash.update(&folder.0);
    hash.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Keyed {
    pub(super) fn new(api: Api) -> Self {
        Self { api, known: Mutex::default() }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what has changed since this process wrote it last, or else since `before`, what was
    /// saved last: after a start, thousands of folders are as they were. Where these states are
    /// all that is kept, there is no `before`, and each change is written at once.
    ///
    /// A failure costs nothing but what people see, or a few emails that are sent again: it is
    /// logged.
    pub(super) async fn save(
        &self,
        route: &Route,
        before: Option<&Checkpoint>,
        checkpoint: &Checkpoint,
    ) {
        if self.known().paused_until.is_some_and(|until| until > Instant::now()) {
            return;
        }
        if let Err(failure) = self.write(route, before, checkpoint).await {
            if let Failure::Throttled(pause) = &failure {
                let until = Instant::now() + pause.unwrap_or(PAUSE);
                self.known().paused_until = Some(until);
            }
            let mut known = self.known();
            if known.warned_at.is_some_and(|at| at.elapsed() < WARNING_PACE) {
                return;
            }
            known.warned_at = Some(Instant::now());
            drop(known);
            let error = failure.into_sink_error(
                self.api.host(),
                &format!("bucket {}", route.bucket),
                "the permissions `buckets-read` and `buckets-append`",
            );
            tracing::warn!(
                bucket = %route.bucket,
                error = %Chain(&error),
                "Could not write the keyed sync states of bucket `{}`, which the platform shows; \
                 the emails themselves are not affected",
                route.bucket,
            );
        }
    }

    async fn write(
        &self,
        route: &Route,
        before: Option<&Checkpoint>,
        checkpoint: &Checkpoint,
    ) -> Result<(), Failure> {
        let all = before.is_none();
        for (folder, state) in &checkpoint.folders {
            let mut new = keyed_state(route, folder, state);
            let key = key(&route.mailbox, folder);
            let content = hash(&new);
            let written = self.known().written.get(&key).copied();
            let old = before.and_then(|before| before.folders.get(folder));
            let due = match (written, old) {
                (Some(written), _) => {
                    let (age, changed) = (written.at.elapsed(), written.content != content);
                    written.status != new.status || changed && (all || age > PACE)
                }
                (None, Some(old)) => hash(&keyed_state(route, folder, old)) != content,
                (None, None) => true,
            };
            if !due {
                continue;
            }
            let status = new.status;
            new.last_synced_at = Some(self.api.now());
            let id = self.bucket_id(&route.bucket).await?;
            let path = format!("/api/_private/buckets/id:{id}/keyed-sync-state/{}", hex(&key));
            let body = serde_json::to_vec(&Put { keyed_sync_state: new });
            let body = body.map_err(|err| Failure::local(self.api.host(), err.into()))?;
            let mut ask = Ask::new("PutKeyedSyncState", Method::PUT, path).json(body);
            ask.pauses_all = false;
            let put =
                if all { self.api.grant(&ask).await } else { self.api.grant_once(&ask).await };
            if let Err(Failure::Missing { .. }) = &put {
                // The bucket was deleted, and perhaps made again under another id.
                self.known().ids.remove(&route.bucket);
            }
            put?;
            let written = Written { status, content, at: Instant::now() };
            self.known().written.insert(key, written);
        }
        Ok(())
    }

    /// What the keyed states tell of a mailbox, where nothing better is to be had: no position,
    /// and the time up to which each folder counts as delivered.
    pub(super) async fn load(&self, route: &Route) -> Result<Checkpoint, Failure> {
        let id = self.bucket_id(&route.bucket).await?;
        let path = format!("/api/_private/buckets/id:{id}/keyed-sync-states/");
        let mut ask = Ask::new("ListKeyedSyncStates", Method::GET, path);
        ask.max_answer = MAX_LIST;
        let answer = self.api.grant(&ask).await?;
        let list: List =
            serde_json::from_slice(&answer.body).map_err(|_| Failure::NotThePlatform(200))?;
        let mut folders = BTreeMap::new();
        for state in list.keyed_sync_states {
            let ours = state.mailbox_name.to_lowercase() == route.mailbox.as_str();
            if let (true, Some(folder), Some(until)) = (ours, state.folder_id, state.synced_until)
                // A folder is read from its oldest email on, but a back-fill that was not
                // finished may have left out some that are older.
                && state.status == Status::UpToDate
            {
                let state = FolderState {
                    path: state.folder_path.unwrap_or_default(),
                    delivered_until: Some(until - OVERLAP),
                    newest: Some(until),
                    ..FolderState::default()
                };
                folders.insert(FolderId(folder), state);
            }
        }
        Ok(Checkpoint { folders, ..Checkpoint::default() })
    }

    /// The id of a bucket that is there.
    pub(super) async fn bucket_id(&self, bucket: &BucketId) -> Result<String, Failure> {
        let known = self.known().ids.get(bucket).cloned();
        match known {
            Some(id) => Ok(id),
            None => self.learn_id(bucket, self.api.grant(&ask_for(bucket)).await?),
        }
    }

    /// The id of a bucket as it is now, asked for once.
    pub(super) async fn bucket_id_now(&self, bucket: &BucketId) -> Result<String, Failure> {
        self.learn_id(bucket, self.api.grant_once(&ask_for(bucket)).await?)
    }

    fn learn_id(&self, bucket: &BucketId, answer: Answer) -> Result<String, Failure> {
        let reply: BucketReply =
            serde_json::from_slice(&answer.body).map_err(|_| Failure::NotThePlatform(200))?;
        let id = reply.bucket.id;
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Failure::NotThePlatform(200));
        }
        self.known().ids.insert(bucket.clone(), id.clone());
        Ok(id)
    }
}

fn ask_for(bucket: &BucketId) -> Ask {
    Ask::new("GetBucket", Method::GET, bucket_path(bucket))
}

fn keyed_state(route: &Route, folder: &FolderId, state: &FolderState) -> KeyedState {
    KeyedState {
        mailbox_name: route.mailbox.as_str().to_owned(),
        folder_id: Some(folder.0.clone()),
        folder_path: Some(state.path.clone()),
        status: if state.caught_up { Status::UpToDate } else { Status::InProgress },
        synced_until: state.newest,
        last_synced_at: None,
    }
}

fn hash(state: &KeyedState) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    // People look states up by it, and so do other versions.
    #[test]
    fn the_key_of_a_folder_never_changes() {
        let mailbox = "ABC@example.com".parse().unwrap();
        assert_eq!(
            hex(&key(&mailbox, &FolderId("AAMk=".into()))),
            "049ec97f04575d248031d2f668ec60ad109661e2f8455f2e09c599c0f61bee80"
        );
    }
}
