//! Buckets of the platform: raw emails are uploaded in batches, how far each mailbox has come is
//! kept beside them.
//!
//! An email is known there by its `Message-ID`, so one that is sent twice is there once. The
//! platform tells nobody what it holds, hence [`PlatformApi`] cannot either: an email that moves
//! is sent again, with its new folder.
//!
//! The checkpoint of a mailbox is in the bucket's sync state (see `document` for its form), the
//! time up to which each folder has come in its keyed sync states, for people and as the last
//! resort. Both are written after the emails that they cover.

mod admin;
mod api;
mod bucket;
mod content;
mod document;
mod escape;
mod failure;
mod json;
mod keyed;
mod remote_config;
mod rivals;
mod state_error;
mod sync_state;
mod upload;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use net::Method;
use record::{
    BucketId, Checkpoint, Email, Held, Position, Quarantined, Refusal, Route, Sink, SinkError, Uid,
};
use serde_json::json;

pub use self::{
    admin::BucketState,
    api::{Api, ApiSettings, BadApi, Retry},
    remote_config::{RemoteConfig, Version},
};
use self::{
    api::{Ask, segment},
    bucket::Bucket,
    content::Encoder,
    document::Entry,
    keyed::Keyed,
    upload::Uploads,
};

/// Largest token of the folder list that is stored with a checkpoint, in bytes. A larger one is
/// kept in memory only: without it, a restart costs one more request for each mailbox.
const MAX_HIERARCHY: usize = 1024;

/// How emails are uploaded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Most emails of one upload.
    pub batch_size: usize,
    /// Uploads at a time, over all mailboxes; 0 counts as 1.
    pub max_concurrent_uploads: usize,
    /// Where large emails wait that had to be rewritten.
    pub spool_dir: PathBuf,
    /// Tells the platform who writes to its buckets.
    pub appliance: Option<Appliance>,
}

/// Who writes to a bucket, as the platform shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appliance {
    pub config_owner: String,
    pub config_key: String,
    pub shard_index: u32,
    pub num_shards: u32,
}

/// Uploads emails to the platform.
pub struct PlatformApi {
    api: Api,
    uploads: Uploads,
    keyed: Arc<Keyed>,
    appliance: Option<Appliance>,
    /// Marks what this process writes.
    writer: String,
    /// Emails are all that is written.
    uploads_only: bool,
    shared: Mutex<Shared>,
}

/// Guarded: what is known of buckets and mailboxes.
#[derive(Default)]
struct Shared {
    buckets: HashMap<BucketId, Arc<Bucket>>,
    /// Tokens of folder lists that are too large to be stored, and the generations they are of.
    hierarchies: HashMap<Route, (u64, Position)>,
}

/// The path of a bucket, its name as one segment.
fn bucket_path(bucket: &BucketId) -> String {
    format!("/api/_private/buckets/{}", segment(&bucket.to_string()))
}

impl PlatformApi {
    /// Makes a sink. Nothing is connected yet.
    pub fn new(api: Api, settings: Settings) -> Self {
        let encoder = Encoder::new(settings.spool_dir);
        let (batch, uploads) = (settings.batch_size, settings.max_concurrent_uploads);
        Self {
            uploads: Uploads::new(api.clone(), encoder, batch, uploads),
            keyed: Arc::new(Keyed::new(api.clone())),
            appliance: settings.appliance,
            writer: format!("{:016x}", rand::random::<u64>()),
            uploads_only: false,
            shared: Mutex::default(),
            api,
        }
    }

    /// A sink whose `write` leaves the states of the bucket alone: for emails that are sent beside
    /// a process that serves their mailbox.
    #[must_use]
    pub fn uploads_only(self) -> Self {
        Self { uploads_only: true, ..self }
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bucket(&self, id: &BucketId) -> Arc<Bucket> {
        let new = || {
            let (api, keyed) = (self.api.clone(), Arc::clone(&self.keyed));
            Arc::new(Bucket::new(api, keyed, id.clone(), self.writer.clone()))
        };
        Arc::clone(self.shared().buckets.entry(id.clone()).or_insert_with(new))
    }

    /// Tells the platform that this appliance writes to `bucket`. Once at the start; a platform
    /// that does not know the request, or does not allow it, is left alone.
    pub async fn announce(&self, bucket: &BucketId) {
        let Some(appliance) = &self.appliance else { return };
        let body = json!({"bucket": {"last_updated_by": {
            "config_owner": appliance.config_owner,
            "config_key": appliance.config_key,
            "shard_index": appliance.shard_index,
            "num_shards": appliance.num_shards,
        }}});
        let ask = Ask::new("UpdateBucket", Method::POST, bucket_path(bucket));
        if let Err(failure) = self.api.grant_once(&ask.json(body.to_string().into_bytes())).await {
            tracing::debug!(%bucket, ?failure, "The platform did not take who writes to `{bucket}`");
        }
    }

    /// The entry of a mailbox; in a bucket of another program, made of its keyed states.
    async fn entry(&self, route: &Route) -> Result<(Arc<Bucket>, Entry), SinkError> {
        let bucket = self.bucket(&route.bucket);
        let entry = bucket.load(&route.mailbox).await.map_err(|err| bucket.error(err))?;
        Ok((bucket, entry))
    }

    fn open_entry(
        &self,
        bucket: &Bucket,
        entry: &Entry,
    ) -> Result<(Checkpoint, Vec<Quarantined>), SinkError> {
        let unusable = |err: document::Unusable| bucket.error(err.into());
        let checkpoint = entry.checkpoint.as_deref().map(document::unpack).transpose();
        let quarantine = entry.quarantine.as_deref().map(document::unpack).transpose();
        Ok((
            checkpoint.map_err(unusable)?.unwrap_or_default(),
            quarantine.map_err(unusable)?.unwrap_or_default(),
        ))
    }

    fn pack_list(&self, list: &[Quarantined]) -> Result<Option<String>, SinkError> {
        if list.is_empty() {
            return Ok(None);
        }
        document::pack(&list).map(Some).map_err(unwritable)
    }

    /// Changes the quarantine list of a mailbox, if `change` says that it did.
    async fn change_list(
        &self,
        route: &Route,
        change: impl FnOnce(&mut Vec<Quarantined>) -> bool,
    ) -> Result<(), SinkError> {
        let (bucket, entry) = self.entry(route).await?;
        let (_, mut list) = self.open_entry(&bucket, &entry)?;
        if !change(&mut list) {
            return Ok(());
        }
        let quarantine = self.pack_list(&list)?;
        let saved = bucket.save(&route.mailbox, |old| {
            let mut new = Entry { quarantine, ..old.clone() };
            new.mark.revision += 1;
            new
        });
        saved.await.map_err(|err| bucket.error(err))
    }
}

fn unwritable(cause: record::Cause) -> SinkError {
    SinkError::Unwritable { place: "bucket-sync-state".to_owned(), cause }
}

#[async_trait]
impl Sink for PlatformApi {
    fn knows_what_it_holds(&self) -> bool {
        false
    }

    async fn load_checkpoint(&self, route: &Route) -> Result<Checkpoint, SinkError> {
        let (bucket, entry) = self.entry(route).await?;
        if entry.checkpoint.is_none() && bucket.is_foreign() {
            let loaded = self.keyed.load(route).await;
            return loaded.map_err(|failure| bucket.error(failure.into()));
        }
        let (mut checkpoint, _) = self.open_entry(&bucket, &entry)?;
        if checkpoint.hierarchy.is_none() {
            // A checkpoint that somebody else put there does not follow from that folder list.
            let shared = self.shared();
            let kept = shared.hierarchies.get(route);
            let kept = kept.filter(|(generation, _)| *generation == checkpoint.generation);
            checkpoint.hierarchy = kept.map(|(_, token)| token.clone());
        }
        Ok(checkpoint)
    }

    async fn find(&self, _: &Route, uids: &[Uid]) -> Result<Vec<Option<Held>>, SinkError> {
        Ok(vec![None; uids.len()])
    }

    async fn write(&self, route: &Route, emails: &[Email]) -> Result<Vec<Refusal>, SinkError> {
        let refused = self.uploads.upload(route, emails).await?;
        if self.uploads_only {
            return Ok(refused);
        }
        let (_, entry) = self.entry(route).await?;
        if entry.quarantine.is_some() {
            let stored = |uid: &Uid| {
                emails.iter().any(|email| email.uid == *uid)
                    && refused.iter().all(|refusal| refusal.uid != *uid)
            };
            self.change_list(route, |list| {
                let before = list.len();
                list.retain(|item| !stored(&item.uid));
                list.len() < before
            })
            .await?;
        }
        Ok(refused)
    }

    async fn relocate(&self, _: &Route, _: &[(Uid, Vec<String>)]) -> Result<(), SinkError> {
        Ok(())
    }

    async fn quarantine(&self, route: &Route, items: &[Quarantined]) -> Result<(), SinkError> {
        if items.is_empty() {
            return Ok(());
        }
        self.change_list(route, |list| {
            list.retain(|old| items.iter().all(|new| new.uid != old.uid));
            list.extend_from_slice(items);
            true
        })
        .await
    }

    async fn quarantined(&self, route: &Route) -> Result<Vec<Quarantined>, SinkError> {
        let (bucket, entry) = self.entry(route).await?;
        Ok(self.open_entry(&bucket, &entry)?.1)
    }

    async fn save_checkpoint(&self, route: &Route, new: &Checkpoint) -> Result<(), SinkError> {
        let (bucket, entry) = self.entry(route).await?;
        // An entry that is damaged is not replaced.
        let (before, _) = self.open_entry(&bucket, &entry)?;
        let mut stored = new.clone();
        let large = |position: &mut Position| match position {
            Position::Cursor { token } | Position::Link { url: token } => {
                token.len() > MAX_HIERARCHY
            }
        };
        let large = stored.hierarchy.take_if(large);
        let packed = document::pack(&stored).map_err(unwritable)?;
        let generation = entry.mark.generation;
        if new.generation == generation && entry.checkpoint.as_deref() == Some(packed.as_str()) {
            return Ok(());
        }
        if new.generation != generation + 1 {
            return Err(SinkError::Superseded { place: bucket.place() });
        }
        let saved = bucket.save(&route.mailbox, |old| {
            let mut next = Entry { checkpoint: Some(packed), ..old.clone() };
            next.mark.generation = new.generation;
            next.mark.revision = 0;
            next
        });
        saved.await.map_err(|err| bucket.error(err))?;
        match large {
            Some(large) => {
                let kept = (new.generation, large);
                self.shared().hierarchies.insert(route.clone(), kept);
            }
            None => {
                self.shared().hierarchies.remove(route);
            }
        }
        let before = Some(&before).filter(|_| !bucket.is_foreign());
        self.keyed.save(route, before, new).await;
        Ok(())
    }
}
