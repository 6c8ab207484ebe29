//! Builds the index anew: after a restore, and when tokens have become others.

use std::collections::BTreeMap;

use search::VERSION;
use sqlx::AssertSqlSafe;

use super::follow::{ALL, day};
use crate::{
    Comment, Kind, Result, Session,
    comments::{COLUMNS, comment},
};

/// How far the index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchProgress {
    Complete,
    /// Comments up to this place are in it.
    Upto(i64),
    /// Nothing is.
    Missing,
}

impl Session {
    /// # Errors
    ///
    /// The database failed.
    pub async fn search_progress(&mut self) -> Result<SearchProgress> {
        Ok(match self.indexed_to().await? {
            ALL => SearchProgress::Complete,
            i64::MIN => SearchProgress::Missing,
            place => SearchProgress::Upto(place),
        })
    }

    /// Puts up to `most` further comments into the index; false if all of them are in it. What
    /// another version made is thrown away first.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn rebuild_search(&mut self, most: usize) -> Result<bool> {
        self.lock_index(true).await?;
        let mut done = self.indexed_to().await?;
        if done == ALL {
            return Ok(false);
        }
        if done == i64::MIN {
            self.forget_index().await?;
        }
        let sql = AssertSqlSafe(format!("{COLUMNS} WHERE place > $1 ORDER BY place LIMIT $2"));
        let rows = sqlx::query(sql)
            .bind(done)
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(self.database())
            .await?;
        let comments = rows.iter().map(comment).collect::<Result<Vec<Comment>>>()?;
        let mut sources: BTreeMap<&str, Vec<&Comment>> = BTreeMap::new();
        for own in &comments {
            sources.entry(&own.source_id).or_default().push(own);
        }
        for (source_id, own) in sources {
            let mut days = BTreeMap::new();
            own.iter().for_each(|own| *days.entry(day(own.place)).or_insert(0) += 1);
            self.index(source_id, own).await?;
            self.count_days(source_id, days).await?;
        }
        let is_complete = comments.len() < most;
        done = comments.last().map_or(done, |last| last.place);
        self.set_indexed_to(if is_complete { ALL } else { done }).await?;
        Ok(!is_complete)
    }

    /// Whether there is nothing that would have to be in the index; then it is complete.
    pub(crate) async fn begin_search(&mut self) -> Result<bool> {
        let any = sqlx::query("SELECT 1 FROM comments LIMIT 1");
        if any.fetch_optional(self.database()).await?.is_some() {
            return Ok(false);
        }
        // It also marks the index as one of this version.
        self.rebuild_search(1).await.map(|more| !more)
    }

    /// Makes the index be built anew.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn discard_search(&mut self) -> Result<()> {
        self.lock_index(true).await?;
        self.forget_index().await
    }

    async fn forget_index(&mut self) -> Result<()> {
        let words = match self.kind() {
            Kind::Sqlite => "INSERT INTO search_words (search_words) VALUES ('delete-all')",
            Kind::Postgres => "TRUNCATE search_words",
        };
        for sql in [words, "DELETE FROM search_volume", "DELETE FROM search_state"] {
            sqlx::query(sql).execute(self.database()).await?;
        }
        Ok(())
    }

    async fn set_indexed_to(&mut self, done: i64) -> Result<()> {
        let sql = "INSERT INTO search_state (one, version, done) VALUES (1, $1, $2) \
                   ON CONFLICT (one) DO UPDATE SET version = excluded.version, \
                   done = excluded.done";
        let query = sqlx::query(sql).bind(i64::from(VERSION)).bind(done);
        query.execute(self.database()).await?;
        Ok(())
    }
}
