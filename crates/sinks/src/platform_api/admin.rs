//! What an operator does with stored states: look, keep a copy, put it back, begin anew.

use record::{BucketId, Checkpoint, MailboxId, Quarantined, Route, SinkError};
use serde::{Deserialize, Serialize};

use super::{
    PlatformApi,
    document::{self, Entry, Found, Mark},
};

const KIND: &str = "tributary-state";
const VERSION: u64 = 1;

/// The state of a bucket, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketState {
    Nothing,
    /// It belongs to another program; [`PlatformApi::reset_bucket`] takes it over.
    Foreign,
    Mailboxes(Vec<MailboxState>),
}

/// The state of one mailbox in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxState {
    /// As written.
    pub mailbox: String,
    pub generation: u64,
    /// The process that wrote it last.
    pub writer: String,
    pub folders: usize,
    pub delivered: u64,
    pub quarantined: usize,
}

/// The state of one mailbox as a file.
#[derive(Debug, Serialize, Deserialize)]
struct Exported {
    kind: String,
    v: u64,
    bucket: String,
    mailbox: MailboxId,
    checkpoint: Checkpoint,
    quarantine: Vec<Quarantined>,
}

impl PlatformApi {
    /// The states in `bucket`.
    ///
    /// # Errors
    ///
    /// [`SinkError`] if they cannot be read, or there is no such bucket.
    pub async fn show_state(&self, bucket: &BucketId) -> Result<BucketState, SinkError> {
        let shared = self.bucket(bucket);
        let stored = shared.read().await.map_err(|err| shared.error(err))?;
        let mailboxes = match stored.found {
            Found::Nothing => {
                // A bucket that is not there has no state either.
                let found = self.keyed.bucket_id(bucket).await;
                found.map_err(|failure| shared.error(failure.into()))?;
                return Ok(BucketState::Nothing);
            }
            Found::Foreign => return Ok(BucketState::Foreign),
            Found::Ours(mailboxes) => mailboxes,
        };
        let mut states = Vec::with_capacity(mailboxes.len());
        for mailbox in mailboxes.keys() {
            let entry = document::entry(&mailboxes, mailbox);
            let entry = entry.map_err(|err| shared.error(err.into()))?.unwrap_or_default();
            let (checkpoint, quarantine) = self.open_entry(&shared, &entry)?;
            states.push(MailboxState {
                mailbox: mailbox.clone(),
                generation: entry.mark.generation,
                writer: entry.mark.writer,
                folders: checkpoint.folders.len(),
                delivered: checkpoint.folders.values().map(|folder| folder.delivered).sum(),
                quarantined: quarantine.len(),
            });
        }
        Ok(BucketState::Mailboxes(states))
    }

    /// The state of one mailbox as JSON.
    ///
    /// # Errors
    ///
    /// [`SinkError`] if it cannot be read.
    pub async fn export_state(&self, route: &Route) -> Result<String, SinkError> {
        let shared = self.bucket(&route.bucket);
        let entry = shared.load(&route.mailbox).await.map_err(|err| shared.error(err))?;
        let (checkpoint, quarantine) = self.open_entry(&shared, &entry)?;
        let exported = Exported {
            kind: KIND.to_owned(),
            v: VERSION,
            bucket: route.bucket.to_string(),
            mailbox: route.mailbox.clone(),
            checkpoint,
            quarantine,
        };
        serde_json::to_string_pretty(&exported).map_err(|err| unusable(&err.to_string()))
    }

    /// Replaces the state of one mailbox by an exported one. A process that serves the mailbox is
    /// superseded by that.
    ///
    /// # Errors
    ///
    /// [`SinkError`], also if `text` is the state of another mailbox or bucket.
    pub async fn import_state(&self, route: &Route, text: &str) -> Result<(), SinkError> {
        let exported: Exported =
            serde_json::from_str(text).map_err(|err| unusable(&err.to_string()))?;
        if exported.kind != KIND {
            return Err(unusable("it is no exported state"));
        }
        if exported.v > VERSION {
            let place = "the exported state".to_owned();
            return Err(SinkError::TooNew { place, found: exported.v, known: VERSION });
        }
        if exported.bucket != route.bucket.to_string() || exported.mailbox != route.mailbox {
            return Err(unusable("it belongs to another mailbox or bucket"));
        }
        self.replace(route, exported.checkpoint, &exported.quarantine).await
    }

    /// Lets one mailbox be read from its start again. A process that serves it is superseded.
    ///
    /// # Errors
    ///
    /// [`SinkError`] if the state cannot be read or written.
    pub async fn reset_state(&self, route: &Route) -> Result<(), SinkError> {
        self.replace(route, Checkpoint::default(), &[]).await
    }

    /// Puts an empty state in the place of whatever the bucket has, that of another program
    /// included: all its mailboxes are read from their start again. No process may serve the
    /// bucket meanwhile.
    ///
    /// # Errors
    ///
    /// [`SinkError`] if it cannot be written.
    pub async fn reset_bucket(&self, bucket: &BucketId) -> Result<(), SinkError> {
        let shared = self.bucket(bucket);
        shared.overwrite().await.map_err(|err| shared.error(err))
    }

    async fn replace(
        &self,
        route: &Route,
        mut checkpoint: Checkpoint,
        quarantine: &[Quarantined],
    ) -> Result<(), SinkError> {
        let shared = self.bucket(&route.bucket);
        let known = shared.load(&route.mailbox).await.map_err(|err| shared.error(err))?;
        if shared.is_foreign() {
            return Err(SinkError::Denied {
                place: shared.place(),
                detail: "it belongs to another program".to_owned(),
                hint: Some("Reset the state of the whole bucket to take it over.".to_owned()),
            });
        }
        // Ahead of any process that is still at work.
        checkpoint.generation = known.mark.generation.max(checkpoint.generation) + 1;
        let new = Entry {
            mark: Mark { generation: checkpoint.generation, ..Mark::default() },
            checkpoint: Some(
                document::pack(&checkpoint).map_err(|err| unusable(&err.to_string()))?,
            ),
            quarantine: self.pack_list(quarantine)?,
        };
        shared.save(&route.mailbox, |_| new).await.map_err(|err| shared.error(err))
    }
}

fn unusable(why: &str) -> SinkError {
    SinkError::Corrupt { place: "the exported state".to_owned(), cause: Some(why.into()) }
}
