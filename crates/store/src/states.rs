//! How far appliances are: one text for each bucket, and one object for each mailbox or folder.

use chrono::{DateTime, Utc};
use sqlx::Row;

use crate::{
    Result, Session, StoreError,
    id::{micros, time},
};

/// The one text of a bucket, kept as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncState {
    pub state: String,
    pub progress_at: Option<DateTime<Utc>>,
    pub synced_at: Option<DateTime<Utc>>,
    /// Grows with every write.
    pub version: i64,
}

/// What a conditional write expects to replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Anything,
    /// No state at all.
    Nothing,
    /// Any state.
    Something,
    /// The state with this version.
    Version(i64),
}

impl Session {
    /// # Errors
    ///
    /// The database failed.
    pub async fn sync_state(&mut self, bucket_id: &str) -> Result<Option<SyncState>> {
        let row = sqlx::query(
            "SELECT state, progress_at, synced_at, version FROM sync_states WHERE bucket_id = $1",
        )
        .bind(bucket_id.to_owned())
        .fetch_optional(self.database())
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(SyncState {
            state: row.try_get(0)?,
            progress_at: row.try_get::<Option<i64>, _>(1)?.map(time),
            synced_at: row.try_get::<Option<i64>, _>(2)?.map(time),
            version: row.try_get(3)?,
        }))
    }

    /// Replaces the state, and tells its new version.
    ///
    /// # Errors
    ///
    /// [`StoreError::Changed`] if it is not the expected one.
    pub async fn put_sync_state(
        &mut self,
        bucket_id: &str,
        new: SyncState,
        expected: Expected,
    ) -> Result<i64> {
        let held = self.sync_state(bucket_id).await?.map(|held| held.version);
        let is_met = match expected {
            Expected::Anything => true,
            Expected::Nothing => held.is_none(),
            Expected::Something => held.is_some(),
            Expected::Version(version) => held == Some(version),
        };
        // The second condition is for databases with several writers: whoever was faster has
        // changed the version that was read.
        let version = held.unwrap_or_default() + 1;
        let written = if is_met {
            sqlx::query(
                "INSERT INTO sync_states (bucket_id, state, progress_at, synced_at, version) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (bucket_id) DO UPDATE \
                 SET state = excluded.state, progress_at = excluded.progress_at, \
                 synced_at = excluded.synced_at, version = excluded.version \
                 WHERE sync_states.version = excluded.version - 1",
            )
            .bind(bucket_id.to_owned())
            .bind(new.state)
            .bind(new.progress_at.map(micros))
            .bind(new.synced_at.map(micros))
            .bind(version)
            .execute(self.database())
            .await?
            .rows_affected()
        } else {
            0
        };
        if written == 0 { Err(StoreError::Changed { what: "the sync state" }) } else { Ok(version) }
    }

    /// The keyed states of a bucket as JSON, by mailbox and then path.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn keyed_sync_states(&mut self, bucket_id: &str) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT state FROM keyed_sync_states WHERE bucket_id = $1 \
             ORDER BY mailbox, path, key",
        )
        .bind(bucket_id.to_owned())
        .fetch_all(self.database())
        .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// # Errors
    ///
    /// The database failed.
    pub async fn keyed_sync_state(&mut self, bucket_id: &str, key: &str) -> Result<Option<String>> {
        let row =
            sqlx::query("SELECT state FROM keyed_sync_states WHERE bucket_id = $1 AND key = $2")
                .bind(bucket_id.to_owned())
                .bind(key.to_owned())
                .fetch_optional(self.database())
                .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// The keys of a mailbox's states.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn keyed_sync_state_keys(
        &mut self,
        bucket_id: &str,
        mailbox: &str,
    ) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT key FROM keyed_sync_states WHERE bucket_id = $1 AND mailbox = $2 ORDER BY key",
        )
        .bind(bucket_id.to_owned())
        .bind(mailbox.to_owned())
        .fetch_all(self.database())
        .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Replaces one keyed state; `path` is what it is sorted by.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn put_keyed_sync_state(
        &mut self,
        bucket_id: &str,
        key: &str,
        mailbox: &str,
        path: &str,
        state: &str,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO keyed_sync_states (bucket_id, key, mailbox, path, state) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (bucket_id, key) DO UPDATE \
             SET mailbox = excluded.mailbox, path = excluded.path, state = excluded.state",
        )
        .bind(bucket_id.to_owned())
        .bind(key.to_owned())
        .bind(mailbox.to_owned())
        .bind(path.to_owned())
        .bind(state.to_owned())
        .execute(self.database())
        .await?;
        Ok(())
    }

    /// False if there was none.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn delete_keyed_sync_state(&mut self, bucket_id: &str, key: &str) -> Result<bool> {
        let done = sqlx::query("DELETE FROM keyed_sync_states WHERE bucket_id = $1 AND key = $2")
            .bind(bucket_id.to_owned())
            .bind(key.to_owned())
            .execute(self.database())
            .await?;
        Ok(done.rows_affected() > 0)
    }
}
