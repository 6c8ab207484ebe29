//! How each mailbox is, in a file for each shard: what `tributary status` reads while the appliance
//! runs.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use record::{BucketId, Clock, Route};
use serde::{Deserialize, Serialize, Serializer};
use sinks::local_files::LocalFiles;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{monitor::Board, shard::Shard};

/// Beginning of the file's name; the only shard has no number.
const NAME: &str = "status";

/// Shortest time between two writes of the file.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// What is known of one mailbox beside its checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxStatus {
    /// `ok`, `throttled`, `retrying`, `error` or `stopped`; `starting` before the first round.
    pub state: Cow<'static, str>,
    /// The last error, until the mailbox works again.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    pub since: DateTime<Utc>,
    /// When the last round came to its end with nothing left to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caught_up_at: Option<DateTime<Utc>>,
}

/// The status of every mailbox that a process serves, by `owner/bucket/mailbox`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statuses<M = BTreeMap<String, MailboxStatus>> {
    pub written_at: DateTime<Utc>,
    pub process: u32,
    #[serde(default)]
    pub shard: u32,
    #[serde(default = "one")]
    pub total_shards: u32,
    pub mailboxes: M,
}

/// The same before it is written: the names are made on the way into the file.
struct Routed(BTreeMap<Route, MailboxStatus>);

impl Serialize for Routed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(route, status)| (key(route), status)))
    }
}

fn one() -> u32 {
    1
}

/// The name of a route in the file.
pub fn key(route: &Route) -> String {
    format!("{}/{}", route.bucket, route.mailbox)
}

/// The route of a name in the file.
pub fn route(key: &str) -> Option<Route> {
    let (owner, rest) = key.split_once('/')?;
    let (name, mailbox) = rest.split_once('/')?;
    let bucket = BucketId::new(owner, name).ok()?;
    Some(Route { mailbox: mailbox.parse().ok()?, bucket })
}

/// Keeps the file like the board.
pub struct StatusFile {
    path: PathBuf,
    shard: Shard,
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
    files: LocalFiles,
}

impl StatusFile {
    /// `prefix` is the folder that receives the emails, `files` the same as this shard opened it.
    pub fn new(
        prefix: &Path,
        shard: Shard,
        board: Arc<Board>,
        clock: Arc<dyn Clock>,
        files: LocalFiles,
    ) -> Self {
        let name = match shard.total() {
            1 => format!("{NAME}.json"),
            _ => format!("{NAME}-{}.json", shard.ordinal()),
        };
        Self { path: prefix.join("state").join(name), shard, board, clock, files }
    }

    /// Writes the file whenever something changed, until `shutdown`, and once more then.
    pub async fn keep_written(&self, shutdown: CancellationToken) {
        let mut failed = false;
        loop {
            let last = shutdown.is_cancelled();
            // The file is that of the process for which this one may be waiting.
            let ours = self.files.same_shard().is_none();
            if ours && (self.board.take_change() || last) {
                let written = self.write();
                if let (Err(err), false) = (&written, failed) {
                    warn!("Could not write `{}`: {err}", self.path.display());
                }
                failed = written.is_err();
            }
            if last {
                return;
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(WRITE_EVERY) => {}
            }
        }
    }

    /// Readers see the old file or the new one. It is not worth an `fsync`: after a power cut
    /// it is written anew.
    fn write(&self) -> io::Result<()> {
        let statuses = Statuses {
            written_at: self.clock.now(),
            process: std::process::id(),
            shard: self.shard.ordinal(),
            total_shards: self.shard.total(),
            mailboxes: Routed(self.board.statuses()),
        };
        let temporary = self.path.with_extension("json.new");
        let mut file = BufWriter::new(File::create(&temporary)?);
        serde_json::to_writer(&mut file, &statuses)?;
        file.flush()?;
        fs::rename(&temporary, &self.path)
    }
}

/// Reads what the shards have written under `prefix`, the latest last; empty if no appliance has
/// written anything. A file that cannot be read counts for nothing: it is written anew.
pub fn read(prefix: &Path) -> Vec<Statuses> {
    let Ok(entries) = fs::read_dir(prefix.join("state")) else { return Vec::new() };
    let ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let shard = name.strip_prefix(NAME).and_then(|rest| rest.strip_suffix(".json"));
        shard.is_some_and(|shard| {
            let digits = shard.strip_prefix('-').unwrap_or(shard);
            digits.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    let paths = entries.flatten().map(|entry| entry.path()).filter(ours);
    let read = |path: PathBuf| serde_json::from_slice(&fs::read(path).ok()?).ok();
    let mut statuses: Vec<Statuses> = paths.filter_map(read).collect();
    statuses.sort_by_key(|statuses| statuses.written_at);
    statuses
}
