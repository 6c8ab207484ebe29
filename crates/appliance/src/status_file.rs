//! How each mailbox is, in a file: what `tributary status` reads while the appliance runs.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use record::{BucketId, Clock, Route};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::monitor::Board;

/// Shortest time between two writes of the file.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// What is known of one mailbox beside its checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxStatus {
    /// `ok`, `throttled`, `retrying`, `error` or `stopped`; `starting` before the first round.
    pub state: String,
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
pub struct Statuses {
    pub written_at: DateTime<Utc>,
    pub process: u32,
    pub mailboxes: BTreeMap<String, MailboxStatus>,
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
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
}

impl StatusFile {
    /// `prefix` is the folder that receives the emails.
    pub fn new(prefix: &Path, board: Arc<Board>, clock: Arc<dyn Clock>) -> Self {
        Self { path: path(prefix), board, clock }
    }

    /// Writes the file whenever something changed, until `shutdown`, and once more then.
    pub async fn keep_written(&self, shutdown: CancellationToken) {
        let mut failed = false;
        loop {
            let last = shutdown.is_cancelled();
            if self.board.take_change() || last {
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
            mailboxes: self.board.statuses(),
        };
        let temporary = self.path.with_extension("json.new");
        fs::write(&temporary, serde_json::to_vec(&statuses)?)?;
        fs::rename(&temporary, &self.path)
    }
}

/// Reads the file under `prefix`; `None` if no appliance has written one.
///
/// # Errors
///
/// The file is there and cannot be read.
pub fn read(prefix: &Path) -> io::Result<Option<Statuses>> {
    match fs::read(path(prefix)) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

fn path(prefix: &Path) -> PathBuf {
    prefix.join("state").join("status.json")
}
