//! The queue of emails that wait to become comments.
//!
//! A row is written in the transaction that stores the email, and removed in the one that stores
//! the comment, so that none is lost and none is there twice whenever a process is killed.
//! Several processes may work on one database: each claims rows for a while, and a claim that ran
//! out is anybody's.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};

use crate::{
    Kind, Result, Session,
    id::{micros, time},
};

/// Emails of one source that a scan of its bucket puts into the queue at once, and the length at
/// which it waits.
const SCANNED: i64 = 1000;
const ENOUGH: i64 = 2000;
/// Sources that one scan looks at.
const SCANS: i64 = 8;

/// Who converts, and how much it takes at once.
#[derive(Clone, Debug)]
pub struct Claimant {
    /// Of this process alone.
    pub name: String,
    /// The format that it makes; sources of later ones are left to others.
    pub format: i64,
    /// How long a claim lasts.
    pub lease: TimeDelta,
    pub emails: usize,
    /// Bytes of contents; one email is taken whatever its size.
    pub bytes: u64,
    /// Strikes after which an email is set aside.
    pub strikes: i64,
}

/// An email that is to become a comment of a source.
#[derive(Clone, Debug)]
pub struct Claim {
    pub source_id: String,
    pub bucket_id: String,
    /// Number of the email.
    pub email: i64,
    pub id: String,
    pub mailbox: String,
    pub sent_at: DateTime<Utc>,
    /// SHA-256 of the content.
    pub hash: String,
    pub metadata: Option<String>,
    pub attachments: String,
    pub size: u64,
    pub no_charge: bool,
    /// A process ended while this was being converted: it is converted with nothing beside it.
    pub is_suspect: bool,
    /// Of the row in the queue.
    version: i64,
}

/// Which emails of the queue are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Any,
    /// They have waited long enough behind others.
    SuspectsFirst,
    /// Others are being converted: a process that ends now must not cast suspicion on a suspect.
    NoSuspects,
}

pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

impl Session {
    /// Puts emails of a bucket into the queue of each source that it is attached to.
    pub(crate) async fn queue_emails(&mut self, bucket_id: &str, ids: &[String]) -> Result<()> {
        for ids in ids.chunks(500) {
            let places: Vec<String> = (2..ids.len() + 2).map(|place| format!("${place}")).collect();
            let sql = format!(
                "INSERT INTO conversions (email, source_id, hash, version, strikes) \
                 SELECT emails.number, sources.id, emails.hash, 1, 0 FROM emails \
                 JOIN sources ON sources.bucket_id = emails.bucket_id \
                 WHERE emails.bucket_id = $1 AND emails.id IN ({}) {AGAIN}",
                places.join(", ")
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(bucket_id.to_owned());
            let query = ids.iter().fold(query, |query, id| query.bind(id.clone()));
            query.execute(self.database()).await?;
        }
        Ok(())
    }

    /// Whether a source is attached to a bucket.
    pub(crate) async fn is_converted(&mut self, bucket_id: &str) -> Result<bool> {
        // Whoever attaches one waits for this transaction.
        self.lock_row("SELECT 1 FROM buckets WHERE id = $1 FOR KEY SHARE", bucket_id).await?;
        let query = sqlx::query("SELECT 1 FROM sources WHERE bucket_id = $1 LIMIT 1");
        let query = query.bind(bucket_id.to_owned());
        Ok(query.fetch_optional(self.database()).await?.is_some())
    }

    /// Begins a scan of the source's bucket.
    pub(crate) async fn convert_anew(&mut self, source_id: &str) -> Result<()> {
        let sql = "UPDATE sources SET generation = generation + 1, queued_to = 0 WHERE id = $1";
        sqlx::query(sql).bind(source_id.to_owned()).execute(self.database()).await?;
        Ok(())
    }

    /// Ends what is under way for a source.
    pub(crate) async fn clear_conversions(&mut self, source_id: &str) -> Result<()> {
        for sql in [
            "DELETE FROM conversions WHERE source_id = $1",
            "UPDATE sources SET queued_to = NULL WHERE id = $1",
        ] {
            sqlx::query(sql).bind(source_id.to_owned()).execute(self.database()).await?;
        }
        Ok(())
    }

    /// Lets everything be converted anew that an earlier format has made, and tries again what was
    /// set aside. Returns whether there is a source for which that matters.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn adopt_format(&mut self, format: i64) -> Result<bool> {
        let retry = "UPDATE conversions SET strikes = 0, quarantined_at = NULL, reason = NULL \
                     WHERE quarantined_at IS NOT NULL AND source_id IN \
                     (SELECT id FROM sources WHERE format > 0 AND format < $1)";
        let scan = "UPDATE sources SET generation = generation + 1, queued_to = 0 \
                    WHERE bucket_id IS NOT NULL AND format > 0 AND format < $1";
        let adopt = "UPDATE sources SET format = $1 WHERE format < $1";
        sqlx::query(retry).bind(format).execute(self.database()).await?;
        let scanned = sqlx::query(scan).bind(format).execute(self.database()).await?;
        sqlx::query(adopt).bind(format).execute(self.database()).await?;
        Ok(scanned.rows_affected() > 0)
    }

    /// Releases all claims: for a database that only one process works on, at its start.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn release_claims_of_the_dead(&mut self) -> Result<()> {
        if self.store().kind == Kind::Sqlite {
            let sql = "UPDATE conversions SET claimed_by = NULL, claimed_until = NULL \
                       WHERE claimed_until IS NOT NULL";
            sqlx::query(sql).execute(self.database()).await?;
        }
        Ok(())
    }

    /// Puts older emails of attached buckets into the queue, as long as it is short.
    async fn scan_buckets(&mut self, format: i64) -> Result<()> {
        let sql = "SELECT id, bucket_id, queued_to FROM sources \
                   WHERE queued_to IS NOT NULL AND bucket_id IS NOT NULL AND format <= $1 \
                   ORDER BY updated_at LIMIT $2";
        let rows = sqlx::query(sql).bind(format).bind(SCANS).fetch_all(self.database()).await?;
        for row in rows {
            let (source_id, bucket_id): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let from: i64 = row.try_get(2)?;
            let sql = "SELECT COUNT(*) FROM (SELECT 1 FROM conversions \
                       WHERE source_id = $1 AND quarantined_at IS NULL LIMIT $2) AS part";
            let query = sqlx::query(sql).bind(source_id.clone()).bind(ENOUGH);
            if query.fetch_one(self.database()).await?.try_get::<i64, _>(0)? >= ENOUGH {
                continue;
            }
            let sql = "SELECT MAX(number) FROM (SELECT number FROM emails \
                       WHERE bucket_id = $1 AND number > $2 ORDER BY number LIMIT $3) AS part";
            let query = sqlx::query(sql).bind(bucket_id.clone()).bind(from).bind(SCANNED);
            let to: Option<i64> = query.fetch_one(self.database()).await?.try_get(0)?;
            let sql = "UPDATE sources SET queued_to = $3 WHERE id = $1 AND queued_to = $2";
            let query = sqlx::query(sql).bind(source_id.clone()).bind(from).bind(to);
            // Another process may have gone on with this source, or begun again.
            if query.execute(self.database()).await?.rows_affected() == 0 {
                continue;
            }
            let Some(to) = to else { continue };
            let sql = format!(
                "INSERT INTO conversions (email, source_id, hash, version, strikes) \
                 SELECT number, $1, hash, 1, 0 FROM emails \
                 WHERE bucket_id = $2 AND number > $3 AND number <= $4 {AGAIN}"
            );
            sqlx::query(AssertSqlSafe(sql))
                .bind(source_id)
                .bind(bucket_id)
                .bind(from)
                .bind(to)
                .execute(self.database())
                .await?;
        }
        Ok(())
    }

    /// Whether there may be something for [`Self::claim_conversions`]: a glance that writes nothing.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn may_claim_conversions(&mut self, by: &Claimant) -> Result<bool> {
        let sql = "SELECT 1 FROM sources WHERE queued_to IS NOT NULL AND bucket_id IS NOT NULL \
                   AND format <= $1 LIMIT 1";
        let scan = sqlx::query(sql).bind(by.format).fetch_optional(self.database()).await?;
        let sql = "SELECT 1 FROM conversions WHERE quarantined_at IS NULL LIMIT 1";
        Ok(scan.is_some() || sqlx::query(sql).fetch_optional(self.database()).await?.is_some())
    }

    /// Takes emails from the queue, oldest first. Those that were being converted when a process
    /// was killed come one at a time, and are set aside when that has happened too often.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn claim_conversions(&mut self, by: &Claimant, wanted: Wanted) -> Result<Vec<Claim>> {
        self.scan_buckets(by.format).await?;
        // Not the time of the transaction, which may have begun long before.
        let now = micros(self.store().clock.now());
        let lease = by.lease.num_microseconds().unwrap_or(i64::MAX);
        let skip = match self.store().kind {
            Kind::Sqlite => "",
            Kind::Postgres => "FOR UPDATE OF conversions SKIP LOCKED",
        };
        let mut rows = Vec::new();
        // Who was there when a process ended comes last, and alone: others do not wait for the one
        // that ends processes, and one that was only there is seldom there again.
        let fresh = ("strikes = 0", "email, source_id");
        let suspects = ("strikes > 0", "strikes, email, source_id");
        let kinds = match wanted {
            Wanted::Any => &[fresh, suspects][..],
            Wanted::SuspectsFirst => &[suspects, fresh],
            Wanted::NoSuspects => &[fresh],
        };
        for (which, order) in kinds {
            // A claim from far in the future was made by a clock that went wrong.
            let sql = format!(
                "SELECT conversions.source_id, emails.bucket_id, emails.number, emails.id, \
                 mailbox, sent_at, emails.hash, metadata, attachments, contents.size, no_charge, \
                 conversions.version, strikes FROM conversions \
                 JOIN emails ON emails.number = email JOIN contents ON contents.hash = emails.hash \
                 JOIN sources ON sources.id = source_id WHERE quarantined_at IS NULL AND {which} \
                 AND (claimed_until IS NULL OR claimed_until < $1 OR claimed_until > $2) \
                 AND format <= $3 ORDER BY {order} LIMIT $4 {skip}"
            );
            rows = sqlx::query(AssertSqlSafe(sql))
                .bind(now)
                .bind(now.saturating_add(lease.saturating_mul(2)))
                .bind(by.format)
                .bind(i64::try_from(by.emails).unwrap_or(i64::MAX))
                .fetch_all(self.database())
                .await?;
            if !rows.is_empty() {
                break;
            }
        }
        let mut claims: Vec<Claim> = Vec::new();
        let mut bytes = 0;
        for row in rows {
            let (claim, strikes) = claim(&row)?;
            if strikes >= by.strikes {
                let reason = format!("converting it ended the process {strikes} times");
                self.set_aside(&claim, &reason, None).await?;
                continue;
            }
            bytes += claim.size;
            let is_suspect = claim.is_suspect;
            if !claims.is_empty() && (is_suspect || bytes > by.bytes) {
                break;
            }
            claims.push(claim);
            if is_suspect {
                break;
            }
        }
        if !claims.is_empty() {
            let sql = "UPDATE sources SET format = $1 WHERE format = 0";
            sqlx::query(sql).bind(by.format).execute(self.database()).await?;
        }
        for some in claims.chunks(200) {
            let rows = (0..some.len())
                .map(|row| format!("(${}, ${})", row * 2 + 3, row * 2 + 4))
                .collect::<Vec<_>>();
            let sql = format!(
                "UPDATE conversions SET claimed_by = $1, claimed_until = $2, \
                 strikes = strikes + 1 WHERE (email, source_id) IN (VALUES {})",
                rows.join(", ")
            );
            let query = sqlx::query(AssertSqlSafe(sql))
                .bind(by.name.clone())
                .bind(now.saturating_add(lease));
            let query = some
                .iter()
                .fold(query, |query, own| query.bind(own.email).bind(own.source_id.clone()));
            query.execute(self.database()).await?;
        }
        Ok(claims)
    }

    /// Removes those emails of one source from the queue whose comments are about to be written;
    /// tells for each whether it is still to be written. An email that was changed meanwhile stays
    /// in the queue, and so does one that somebody else has taken over.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn finish_conversions(
        &mut self,
        by: &Claimant,
        claims: &[&Claim],
    ) -> Result<Vec<bool>> {
        let mut versions = HashMap::new();
        for some in claims.chunks(400) {
            let Some(source_id) = some.first().map(|claim| claim.source_id.clone()) else { break };
            let places: Vec<String> =
                (3..some.len() + 3).map(|place| format!("${place}")).collect();
            let sql = format!(
                "DELETE FROM conversions WHERE source_id = $1 AND claimed_by = $2 \
                 AND quarantined_at IS NULL AND email IN ({}) RETURNING email, version",
                places.join(", ")
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(source_id).bind(by.name.clone());
            let query = some.iter().fold(query, |query, claim| query.bind(claim.email));
            for row in query.fetch_all(self.database()).await? {
                versions.insert(row.try_get::<i64, _>(0)?, row.try_get::<i64, _>(1)?);
            }
        }
        let mut still = Vec::with_capacity(claims.len());
        for claim in claims {
            let found = versions.get(&claim.email);
            still.push(found == Some(&claim.version));
            if found.is_some_and(|version| *version != claim.version) {
                let sql = "INSERT INTO conversions (email, source_id, hash, version, strikes) \
                           SELECT number, $2, hash, 1, 0 FROM emails WHERE number = $1";
                let query = sqlx::query(sql).bind(claim.email).bind(claim.source_id.clone());
                query.execute(self.database()).await?;
            }
        }
        Ok(still)
    }

    /// Removes what waits for the conversion of emails that are gone.
    pub(crate) async fn forget_lost_conversions(&mut self) -> Result<()> {
        let sql = "DELETE FROM conversions \
                   WHERE NOT EXISTS (SELECT 1 FROM emails WHERE number = conversions.email)";
        sqlx::query(sql).execute(self.database()).await?;
        Ok(())
    }

    /// Gives a claim back for later, unless somebody else has taken it over.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn postpone(&mut self, by: &Claimant, claim: &Claim, pause: TimeDelta) -> Result<()> {
        sqlx::query(
            "UPDATE conversions SET claimed_by = NULL, claimed_until = $3, strikes = 0 \
             WHERE email = $1 AND source_id = $2 AND claimed_by = $4",
        )
        .bind(claim.email)
        .bind(claim.source_id.clone())
        .bind(micros(self.now + pause))
        .bind(by.name.clone())
        .execute(self.database())
        .await?;
        Ok(())
    }

    /// Sets an email aside, which stays in its bucket; false if it was changed meanwhile, so that
    /// it is to be tried once more, or if somebody else has taken it over.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn quarantine(&mut self, by: &Claimant, claim: &Claim, reason: &str) -> Result<bool> {
        self.set_aside(claim, reason, Some(&by.name)).await
    }

    /// Whoever has claimed it, if nobody is named.
    async fn set_aside(&mut self, claim: &Claim, reason: &str, by: Option<&str>) -> Result<bool> {
        let set = sqlx::query(
            "UPDATE conversions SET claimed_by = NULL, claimed_until = NULL, reason = $4, \
             quarantined_at = $5 WHERE email = $1 AND source_id = $2 AND version = $3 \
             AND ($6 = '' OR claimed_by = $6)",
        )
        .bind(claim.email)
        .bind(claim.source_id.clone())
        .bind(claim.version)
        .bind(reason.replace('\0', " "))
        .bind(micros(self.now))
        .bind(by.unwrap_or_default().to_owned())
        .execute(self.database())
        .await?;
        Ok(set.rows_affected() > 0)
    }
}

/// What becomes of a row that is in the queue already: it is to be converted once more, unless it
/// was set aside and has the content that it had then.
const AGAIN: &str = "ON CONFLICT (email, source_id) DO UPDATE SET \
                     version = conversions.version + 1, strikes = CASE \
                     WHEN conversions.hash = excluded.hash THEN conversions.strikes ELSE 0 END, \
                     quarantined_at = CASE WHEN conversions.hash = excluded.hash \
                     THEN conversions.quarantined_at ELSE NULL END, hash = excluded.hash";

fn claim(row: &AnyRow) -> Result<(Claim, i64)> {
    let strikes = row.try_get(12)?;
    let claim = Claim {
        source_id: row.try_get(0)?,
        bucket_id: row.try_get(1)?,
        email: row.try_get(2)?,
        id: row.try_get(3)?,
        mailbox: row.try_get(4)?,
        sent_at: time(row.try_get(5)?),
        hash: row.try_get(6)?,
        metadata: row.try_get(7)?,
        attachments: row.try_get(8)?,
        size: unsigned(row.try_get(9)?),
        no_charge: row.try_get::<i64, _>(10)? != 0,
        is_suspect: strikes > 0,
        version: row.try_get(11)?,
    };
    Ok((claim, strikes))
}
