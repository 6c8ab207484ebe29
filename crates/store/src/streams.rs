//! Streams: how far one reader of a dataset's comments has come.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};

use crate::{
    Comment, Result, Session,
    id::{hex, micros, random, time},
};

/// A change of a comment within its source: the time of the change, and the place of the comment
/// among those that changed together.
pub type ChangePlace = (i64, i64);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    pub id: String,
    pub dataset_id: String,
    pub name: String,
    pub title: String,
    pub description: String,
    /// Filter and model, as JSON.
    pub definition: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

const COLUMNS: &str = "SELECT id, dataset_id, name, title, description, definition, created_at, \
                       updated_at FROM streams";

fn stream(row: &AnyRow) -> Result<Stream> {
    Ok(Stream {
        id: row.try_get(0)?,
        dataset_id: row.try_get(1)?,
        name: row.try_get(2)?,
        title: row.try_get(3)?,
        description: row.try_get(4)?,
        definition: row.try_get(5)?,
        created_at: time(row.try_get(6)?),
        updated_at: time(row.try_get(7)?),
    })
}

/// A place before the changes of all comments that were made since then: none of them was changed
/// before it was there.
pub fn changes_before(since: DateTime<Utc>) -> ChangePlace {
    (micros(since).saturating_sub(1), i64::MAX)
}

impl Session {
    /// The streams of a dataset by name.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn streams(&mut self, dataset_id: &str) -> Result<Vec<Stream>> {
        let sql = AssertSqlSafe(format!("{COLUMNS} WHERE dataset_id = $1 ORDER BY name"));
        let rows = sqlx::query(sql).bind(dataset_id.to_owned()).fetch_all(self.database()).await?;
        rows.iter().map(stream).collect()
    }

    /// The stream of that name.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn stream(&mut self, dataset_id: &str, name: &str) -> Result<Option<Stream>> {
        let sql = AssertSqlSafe(format!("{COLUMNS} WHERE dataset_id = $1 AND name = $2"));
        let query = sqlx::query(sql).bind(dataset_id.to_owned()).bind(name.to_owned());
        query.fetch_optional(self.database()).await?.as_ref().map(stream).transpose()
    }

    /// Makes a stream, or replaces what it is about; where its reader is stays as it is.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn put_stream(&mut self, mut new: Stream) -> Result<Stream> {
        // Ids of streams have twice the digits of others.
        new.id = hex(&random::<16>()?);
        sqlx::query(
            "INSERT INTO streams (id, dataset_id, name, title, description, definition, \
             created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $7) \
             ON CONFLICT (dataset_id, name) DO UPDATE SET title = excluded.title, \
             description = excluded.description, definition = excluded.definition, \
             updated_at = excluded.updated_at",
        )
        .bind(new.id.clone())
        .bind(new.dataset_id.clone())
        .bind(new.name.clone())
        .bind(new.title.clone())
        .bind(new.description.clone())
        .bind(new.definition.clone())
        .bind(micros(self.now))
        .execute(self.database())
        .await?;
        new.created_at = self.now;
        new.updated_at = self.now;
        Ok(self.stream(&new.dataset_id, &new.name).await?.unwrap_or(new))
    }

    /// How far the reader has come in each source.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn stream_positions(&mut self, id: &str) -> Result<BTreeMap<String, ChangePlace>> {
        let sql = "SELECT source_id, reached, place FROM stream_positions WHERE stream_id = $1";
        let rows = sqlx::query(sql).bind(id.to_owned()).fetch_all(self.database()).await?;
        let own = |row: &AnyRow| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)));
        rows.iter().map(own).collect()
    }

    /// Writes down how far the reader has come; sources that are not named stay where they are.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn move_stream(
        &mut self,
        id: &str,
        reached: &BTreeMap<String, ChangePlace>,
    ) -> Result<()> {
        for (source_id, (reached, place)) in reached {
            sqlx::query(
                "INSERT INTO stream_positions (stream_id, source_id, reached, place) \
                 VALUES ($1, $2, $3, $4) ON CONFLICT (stream_id, source_id) \
                 DO UPDATE SET reached = excluded.reached, place = excluded.place",
            )
            .bind(id.to_owned())
            .bind(source_id.clone())
            .bind(*reached)
            .bind(*place)
            .execute(self.database())
            .await?;
        }
        Ok(())
    }

    /// The last change of each source that has comments.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn last_changes(
        &mut self,
        source_ids: &[String],
    ) -> Result<BTreeMap<String, ChangePlace>> {
        let mut ends = BTreeMap::new();
        for id in source_ids {
            let row = sqlx::query(
                "SELECT updated_at, place FROM comments WHERE source_id = $1 \
                 ORDER BY updated_at DESC, place DESC LIMIT 1",
            )
            .bind(id.clone())
            .fetch_optional(self.database())
            .await?;
            if let Some(row) = row {
                ends.insert(id.clone(), (row.try_get(0)?, row.try_get(1)?));
            }
        }
        Ok(ends)
    }

    /// The comments of a source in the order of their changes, behind a place.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn changed_comments(
        &mut self,
        source_id: &str,
        after: ChangePlace,
        limit: usize,
    ) -> Result<Vec<Comment>> {
        let rows = sqlx::query(
            "SELECT place FROM comments WHERE source_id = $1 \
             AND (updated_at > $2 OR updated_at = $2 AND place > $3) \
             ORDER BY updated_at, place LIMIT $4",
        )
        .bind(source_id.to_owned())
        .bind(after.0)
        .bind(after.1)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(self.database())
        .await?;
        let mut comments = Vec::with_capacity(rows.len());
        for row in rows {
            comments.extend(self.comment_at(row.try_get(0)?).await?);
        }
        Ok(comments)
    }

    /// # Errors
    ///
    /// The database failed.
    pub async fn delete_stream(&mut self, id: &str) -> Result<()> {
        let sql = "DELETE FROM streams WHERE id = $1";
        sqlx::query(sql).bind(id.to_owned()).execute(self.database()).await?;
        Ok(())
    }

    /// Says that a comment of the stream needs a person. The last word counts.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn put_stream_exception(&mut self, id: &str, uid: &str, kind: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO stream_exceptions (stream_id, comment_uid, kind, created_at) \
             VALUES ($1, $2, $3, $4) ON CONFLICT (stream_id, comment_uid) \
             DO UPDATE SET kind = excluded.kind, created_at = excluded.created_at",
        )
        .bind(id.to_owned())
        .bind(uid.to_owned())
        .bind(kind.to_owned())
        .bind(micros(self.now))
        .execute(self.database())
        .await?;
        Ok(())
    }

    /// Comments of the stream that need a person, with the reason, newest first.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn stream_exceptions(
        &mut self,
        id: &str,
        limit: usize,
    ) -> Result<Vec<(String, String, DateTime<Utc>)>> {
        let rows = sqlx::query(
            "SELECT comment_uid, kind, created_at FROM stream_exceptions WHERE stream_id = $1 \
             ORDER BY created_at DESC, comment_uid LIMIT $2",
        )
        .bind(id.to_owned())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(self.database())
        .await?;
        let own = |row: &AnyRow| Ok((row.try_get(0)?, row.try_get(1)?, time(row.try_get(2)?)));
        rows.iter().map(own).collect()
    }
}

impl Comment {
    /// Where its last change stands among those of its source.
    pub fn change(&self) -> ChangePlace {
        (micros(self.updated_at), self.place)
    }
}
