//! Which emails are being converted within requests, so that one that ends the process is known
//! afterwards.
//!
//! The note of an email is durable before its conversion begins and goes with its end. What
//! another process has noted and not taken back was there when that process ended, or is being
//! converted there now: the first is told from the second by nobody, so that one note proves
//! nothing and several do.

use std::collections::HashMap;

use chrono::TimeDelta;
use sqlx::{AssertSqlSafe, Row};

use crate::{Result, Session, id::micros, session::places};

/// Emails of one statement.
const PORTION: usize = 400;
/// How long a note is kept that nobody takes back.
const KEPT: TimeDelta = TimeDelta::days(30);

fn list(from: usize, count: usize) -> String {
    let places: Vec<String> = (from..from + count).map(|place| format!("${place}")).collect();
    places.join(", ")
}

impl Session {
    /// How many other processes than `holder` have noted each of these emails; those that none has
    /// noted are left out.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn noted_conversions(
        &mut self,
        holder: &str,
        hashes: &[String],
    ) -> Result<HashMap<String, u64>> {
        let mut noted = HashMap::new();
        for some in hashes.chunks(PORTION) {
            let sql = format!(
                "SELECT hash, COUNT(*) FROM converting WHERE holder <> $1 AND hash IN ({}) \
                 GROUP BY hash",
                list(2, some.len())
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(holder.to_owned());
            let query = some.iter().fold(query, |query, hash| query.bind(hash.clone()));
            for row in query.fetch_all(self.database()).await? {
                let count: i64 = row.try_get(1)?;
                noted.insert(row.try_get(0)?, u64::try_from(count).unwrap_or_default());
            }
        }
        Ok(noted)
    }

    /// Notes that `holder` is about to convert these emails.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn note_conversions(&mut self, holder: &str, hashes: &[String]) -> Result<()> {
        // Two requests with the same emails lock them in the same order.
        let mut hashes = hashes.to_vec();
        hashes.sort_unstable();
        hashes.dedup();
        for some in hashes.chunks(PORTION) {
            let sql = format!(
                "INSERT INTO converting (holder, at, hash) VALUES {} \
                 ON CONFLICT (hash, holder) DO NOTHING",
                places(self.kind(), 3, some.len())
            );
            let at = micros(self.now);
            let query = sqlx::query(AssertSqlSafe(sql));
            let query = some.iter().fold(query, |query, hash| {
                query.bind(holder.to_owned()).bind(at).bind(hash.clone())
            });
            query.execute(self.database()).await?;
        }
        Ok(())
    }

    /// Takes back all notes of these emails: their conversion has ended, and the process has not.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn forget_conversions(&mut self, hashes: &[String]) -> Result<()> {
        for some in hashes.chunks(PORTION) {
            let sql = format!("DELETE FROM converting WHERE hash IN ({})", list(1, some.len()));
            let query = sqlx::query(AssertSqlSafe(sql));
            let query = some.iter().fold(query, |query, hash| query.bind(hash.clone()));
            query.execute(self.database()).await?;
        }
        Ok(())
    }

    /// Removes notes that nobody has asked for in a long time.
    pub(crate) async fn forget_old_conversions(&mut self) -> Result<()> {
        let query = sqlx::query("DELETE FROM converting WHERE at < $1");
        query.bind(micros(self.now - KEPT)).execute(self.database()).await?;
        Ok(())
    }
}
