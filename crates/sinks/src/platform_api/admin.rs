//! `tributary state` for a platform.

use std::collections::BTreeSet;

use async_trait::async_trait;
use record::{BucketId, Cause, Checkpoint, MailboxId, Quarantined, Route, SinkError, Uid};

use super::{
    PlatformApi,
    document::{self, Entry, Found, Mark},
};
use crate::state_admin::{StateAdmin, StateExport, StateSummary};

/// The state of a bucket, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketState {
    Nothing,
    /// It belongs to another program; [`PlatformApi::reset_bucket`] takes it over.
    Foreign,
    /// Those that have state.
    Mailboxes(Vec<MailboxId>),
}

#[async_trait]
impl StateAdmin for PlatformApi {
    async fn routes(&self) -> Result<Vec<Route>, SinkError> {
        let buckets: BTreeSet<BucketId> = self.shared().buckets.keys().cloned().collect();
        let mut routes = Vec::new();
        for bucket in buckets {
            if let BucketState::Mailboxes(mailboxes) = self.show_state(&bucket).await? {
                let route = |mailbox| Route { mailbox, bucket: bucket.clone() };
                routes.extend(mailboxes.into_iter().map(route));
            }
        }
        routes.sort();
        Ok(routes)
    }

    async fn show(&self, route: &Route) -> Result<StateSummary, SinkError> {
        let StateExport { checkpoint, quarantined } = self.stored_state(route).await?;
        Ok(StateSummary::new(route, checkpoint, quarantined))
    }

    async fn export(&self, route: &Route) -> Result<Vec<u8>, SinkError> {
        self.stored_state(route).await?.to_bytes(route)
    }

    async fn import(&self, route: &Route, exported: &[u8]) -> Result<(), SinkError> {
        let StateExport { checkpoint, quarantined } = StateExport::from_bytes(route, exported)?;
        self.replace(route, checkpoint, quarantined).await
    }

    async fn reset(&self, route: &Route) -> Result<(), SinkError> {
        self.replace(route, Checkpoint::default(), Vec::new()).await
    }
}

impl PlatformApi {
    /// Lets [`StateAdmin::routes`] look at `buckets`, too.
    pub fn look_at<'a>(&self, buckets: impl IntoIterator<Item = &'a BucketId>) {
        for bucket in buckets {
            self.bucket(bucket);
        }
    }

    /// Whose state is in `bucket`.
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
        let names = mailboxes.keys().map(|name| name.parse());
        let names: Result<Vec<MailboxId>, _> = names.collect();
        names.map(BucketState::Mailboxes).map_err(|err| SinkError::Corrupt {
            place: shared.place(),
            cause: Some(Cause::from(err)),
        })
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

    /// Takes entries from the quarantine list of `route`, and tells which. A process that serves
    /// the mailbox is superseded by that.
    ///
    /// # Errors
    ///
    /// [`SinkError`] if the list cannot be read or written.
    pub async fn forget_quarantined(
        &self,
        route: &Route,
        uids: &[Uid],
    ) -> Result<Vec<Quarantined>, SinkError> {
        let mut forgotten = Vec::new();
        self.change_list(route, |list| {
            forgotten = list.extract_if(.., |item| uids.contains(&item.uid)).collect();
            !forgotten.is_empty()
        })
        .await?;
        Ok(forgotten)
    }

    async fn stored_state(&self, route: &Route) -> Result<StateExport, SinkError> {
        let (bucket, entry) = self.entry(route).await?;
        let (checkpoint, quarantined) = self.open_entry(&bucket, &entry)?;
        Ok(StateExport { checkpoint, quarantined })
    }

    /// Replaces the state of a mailbox. What its quarantine list has beside `set_aside` stays.
    async fn replace(
        &self,
        route: &Route,
        mut checkpoint: Checkpoint,
        mut set_aside: Vec<Quarantined>,
    ) -> Result<(), SinkError> {
        let (shared, known) = self.entry(route).await?;
        if shared.is_foreign() {
            return Err(SinkError::Denied {
                place: shared.place(),
                detail: "it belongs to another program".to_owned(),
                hint: Some("Reset the state of the whole bucket to take it over.".to_owned()),
            });
        }
        // One that is damaged is no loss: all that `set_aside` lacks is listed again.
        let stored = known.quarantine.as_deref().and_then(|list| document::unpack(list).ok());
        let mut list: Vec<Quarantined> = stored.unwrap_or_default();
        list.retain(|item| set_aside.iter().all(|new| new.uid != item.uid));
        list.append(&mut set_aside);
        // Ahead of any process that is still at work.
        checkpoint.generation = known.mark.generation.max(checkpoint.generation) + 1;
        let new = Entry {
            mark: Mark { generation: checkpoint.generation, ..Mark::default() },
            checkpoint: Some(document::pack(&checkpoint).map_err(super::unwritable)?),
            quarantine: self.pack_list(&list)?,
        };
        shared.save(&route.mailbox, |_| new).await.map_err(|err| shared.error(err))
    }
}
