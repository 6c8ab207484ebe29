//! How far the conversion of emails is, and what was set aside.

use chrono::{DateTime, Utc};
use sqlx::{Row, any::AnyRow};

use crate::{Result, Session, conversions::unsigned, id::time};

/// An email that is set aside because it cannot be converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    pub email_id: String,
    /// SHA-256 of its content.
    pub hash: String,
    pub reason: String,
    pub at: DateTime<Utc>,
}

/// How far the conversion of a source is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conversion {
    /// Emails that are not comments yet.
    pub waiting: u64,
    /// Emails that were set aside.
    pub quarantined: u64,
    /// A scan of the bucket is under way.
    pub scanning: bool,
}

impl Session {
    /// Tries again what was set aside of a source; tells how many emails that are.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn retry_quarantined(&mut self, source_id: &str) -> Result<u64> {
        let sql = "UPDATE conversions SET strikes = 0, quarantined_at = NULL, reason = NULL, \
                   version = version + 1 WHERE source_id = $1 AND quarantined_at IS NOT NULL";
        let query = sqlx::query(sql).bind(source_id.to_owned());
        Ok(query.execute(self.database()).await?.rows_affected())
    }

    /// How far the conversion of a source is.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn conversion(&mut self, source_id: &str) -> Result<Conversion> {
        let sql = "SELECT COUNT(*) - COUNT(quarantined_at), COUNT(quarantined_at) \
                   FROM conversions WHERE source_id = $1";
        let row = sqlx::query(sql).bind(source_id.to_owned()).fetch_one(self.database()).await?;
        let (queued, aside): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let sql = "SELECT COUNT(*), COUNT(DISTINCT sources.id) FROM sources LEFT JOIN emails \
                   ON emails.bucket_id = sources.bucket_id AND emails.number > queued_to \
                   WHERE sources.id = $1 AND queued_to IS NOT NULL AND emails.number IS NOT NULL";
        let row = sqlx::query(sql).bind(source_id.to_owned()).fetch_one(self.database()).await?;
        let left: i64 = row.try_get(0)?;
        let scanning: i64 = row.try_get(1)?;
        Ok(Conversion {
            waiting: unsigned(queued) + unsigned(left),
            quarantined: unsigned(aside),
            scanning: scanning > 0,
        })
    }

    /// Emails in the queue of all sources, and those that were set aside.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn count_conversions(&mut self) -> Result<(u64, u64)> {
        let sql = "SELECT COUNT(*) - COUNT(quarantined_at), COUNT(quarantined_at) \
                   FROM conversions";
        let row = sqlx::query(sql).fetch_one(self.database()).await?;
        Ok((unsigned(row.try_get(0)?), unsigned(row.try_get(1)?)))
    }

    /// The emails of a source that were set aside, the last ones first.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn quarantined(&mut self, source_id: &str, most: usize) -> Result<Vec<Quarantined>> {
        let rows = sqlx::query(
            "SELECT emails.id, emails.hash, reason, quarantined_at FROM conversions \
             JOIN emails ON emails.number = email \
             WHERE source_id = $1 AND quarantined_at IS NOT NULL \
             ORDER BY quarantined_at DESC, email LIMIT $2",
        )
        .bind(source_id.to_owned())
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(self.database())
        .await?;
        let quarantined = |row: &AnyRow| {
            Ok(Quarantined {
                email_id: row.try_get(0)?,
                hash: row.try_get(1)?,
                reason: row.try_get(2)?,
                at: time(row.try_get(3)?),
            })
        };
        rows.iter().map(quarantined).collect()
    }
}
