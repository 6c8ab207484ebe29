//! Comments: how they are written and removed. Everything that changes a comment goes through
//! [`Session::put_comments`] and [`Session::delete_comments`].

use std::{
    collections::{HashMap, HashSet},
    sync::PoisonError,
};

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};

use crate::{
    Result, Session,
    id::{micros, time},
    session::places,
};

/// Rows that one statement writes: each statement is a way to another thread and back.
const ROWS: usize = 128;
/// Ids that one statement looks for.
const LOOKED_FOR: usize = 500;
/// Times whose next free place is remembered.
const REMEMBERED: usize = 4096;

/// A comment as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Its time in microseconds, moved up to a value that no other comment of any source has. It
    /// stays the same as long as the time does.
    pub place: i64,
    pub source_id: String,
    pub id: String,
    pub at: DateTime<Utc>,
    pub thread_id: Option<String>,
    /// JSON, as it was written.
    pub body: String,
    /// Grows with each change; no version of one id is ever used again.
    pub version: i64,
    /// Number of the email that it was made of; `None` if a client wrote it.
    pub email: Option<i64>,
    /// That of its source when it was made of an email.
    pub generation: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A comment that is to be stored.
#[derive(Clone, Debug)]
pub struct NewComment {
    pub id: String,
    pub at: DateTime<Utc>,
    pub thread_id: Option<String>,
    pub body: String,
    pub email: Option<i64>,
    pub generation: i64,
    /// Whether a text of it is another one than before.
    pub changes_text: bool,
    pub no_charge: bool,
}

/// A comment, and what is there under its id.
#[derive(Clone, Debug)]
pub struct CommentWrite {
    pub new: NewComment,
    pub old: Option<Comment>,
}

/// A comment that is to be inserted.
struct Waiting {
    comment: Comment,
    new: NewComment,
    /// Of the row that it had before.
    text_changes: i64,
}

pub(crate) const COLUMNS: &str = "SELECT place, source_id, id, at, thread_id, body, version, \
                                  email, generation, created_at, updated_at FROM comments";

pub(crate) fn comment(row: &AnyRow) -> Result<Comment> {
    Ok(Comment {
        place: row.try_get(0)?,
        source_id: row.try_get(1)?,
        id: row.try_get(2)?,
        at: time(row.try_get(3)?),
        thread_id: row.try_get(4)?,
        body: row.try_get(5)?,
        version: row.try_get(6)?,
        email: row.try_get(7)?,
        generation: row.try_get(8)?,
        created_at: time(row.try_get(9)?),
        updated_at: time(row.try_get(10)?),
    })
}

/// `$first, $second, …`
fn list(first: usize, count: usize) -> String {
    (first..first + count).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}

impl Session {
    /// Makes this transaction the only one that writes comments of a source; false if the source
    /// is gone. Comments that are to be replaced are looked up behind this.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn begin_comments(&mut self, source_id: &str) -> Result<bool> {
        // Readers of streams go by the time of the change: behind the lock, no change is earlier
        // than one that was made before, whatever the clocks of two servers say.
        let sql = "UPDATE sources SET last_modified = CASE WHEN last_modified < $2 THEN $2 \
                   ELSE last_modified + 1 END WHERE id = $1 RETURNING last_modified";
        let query = sqlx::query(sql).bind(source_id.to_owned()).bind(micros(self.now));
        let Some(row) = query.fetch_optional(self.database()).await? else { return Ok(false) };
        self.now = self.now.max(time(row.try_get(0)?));
        Ok(true)
    }

    /// The comments with those ids that are there.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn comments_by_id(
        &mut self,
        source_id: &str,
        ids: &[String],
    ) -> Result<HashMap<String, Comment>> {
        let mut found = HashMap::new();
        for ids in ids.chunks(LOOKED_FOR) {
            let sql = format!("{COLUMNS} WHERE source_id = $1 AND id IN ({})", list(2, ids.len()));
            let query = sqlx::query(AssertSqlSafe(sql)).bind(source_id.to_owned());
            let query = ids.iter().fold(query, |query, id| query.bind(id.clone()));
            for row in query.fetch_all(self.database()).await? {
                let comment = comment(&row)?;
                found.insert(comment.id.clone(), comment);
            }
        }
        Ok(found)
    }

    /// Stores comments with different ids, behind [`Self::begin_comments`], and returns them as
    /// they are now.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn put_comments(
        &mut self,
        source_id: &str,
        writes: Vec<CommentWrite>,
    ) -> Result<Vec<Comment>> {
        let replaced: Vec<i64> =
            writes.iter().filter_map(|write| Some(write.old.as_ref()?.place)).collect();
        let mut written = Vec::with_capacity(writes.len());
        let mut waiting = Vec::new();
        for CommentWrite { new, old } in writes {
            match old {
                Some(old) if old.at == new.at => {
                    let own = self.replaced(&old, &new);
                    self.update_comment(&own, &new).await?;
                    written.push(own);
                }
                // Its place goes with its time.
                Some(old) => {
                    let text_changes = self.take_row(old.place).await?;
                    let comment = self.replaced(&old, &new);
                    waiting.push(Waiting { comment, new, text_changes });
                }
                None => {
                    let comment = self.added(source_id, &new);
                    waiting.push(Waiting { comment, new, text_changes: 0 });
                }
            }
        }
        // Writers of other sources meet in the same order.
        waiting.sort_by_key(|own| own.comment.place);
        self.insert_comments(&mut waiting).await?;
        written.extend(waiting.into_iter().map(|own| own.comment));
        self.follow(source_id, &replaced, &written).await?;
        Ok(written)
    }

    fn added(&self, source_id: &str, new: &NewComment) -> Comment {
        Comment {
            place: micros(new.at),
            source_id: source_id.to_owned(),
            id: new.id.clone(),
            at: time(micros(new.at)),
            thread_id: new.thread_id.clone(),
            body: new.body.clone(),
            version: micros(self.now),
            email: new.email,
            generation: new.generation,
            created_at: self.now,
            updated_at: self.now,
        }
    }

    fn replaced(&self, old: &Comment, new: &NewComment) -> Comment {
        Comment {
            place: if old.at == new.at { old.place } else { micros(new.at) },
            created_at: old.created_at,
            version: micros(self.now).max(old.version + 1),
            ..self.added(&old.source_id, new)
        }
    }

    async fn update_comment(&mut self, comment: &Comment, new: &NewComment) -> Result<()> {
        sqlx::query(
            "UPDATE comments SET thread_id = $2, body = $3, version = $4, email = $5, \
             generation = $6, text_changes = text_changes + $7, no_charge = $8, updated_at = $9 \
             WHERE place = $1",
        )
        .bind(comment.place)
        .bind(comment.thread_id.clone())
        .bind(comment.body.clone())
        .bind(comment.version)
        .bind(comment.email)
        .bind(comment.generation)
        .bind(i64::from(new.changes_text))
        .bind(i64::from(new.no_charge))
        .bind(micros(comment.updated_at))
        .execute(self.database())
        .await?;
        Ok(())
    }

    /// Inserts comments, and tells each its place.
    async fn insert_comments(&mut self, all: &mut [Waiting]) -> Result<()> {
        let mut taken = HashSet::new();
        for Waiting { comment, .. } in all.iter_mut() {
            let mut place = self.first_free(micros(comment.at));
            while !taken.insert(place) {
                place += 1;
            }
            comment.place = place;
        }
        for rows in all.chunks_mut(ROWS) {
            let inserted = self.insert_rows(rows).await?;
            if inserted == rows.len() as u64 {
                continue;
            }
            // Some places were taken: these comments go behind them, one by one.
            let mine = self.places_of(rows).await?;
            for row in rows {
                if mine.contains(&(row.comment.place, row.comment.id.clone())) {
                    continue;
                }
                loop {
                    row.comment.place = self.free_behind(row.comment.place).await?;
                    if taken.insert(row.comment.place)
                        && self.insert_rows(std::slice::from_ref(row)).await? == 1
                    {
                        break;
                    }
                }
            }
        }
        all.iter().for_each(|own| self.remember(&own.comment));
        Ok(())
    }

    /// Inserts those rows whose places are free, and counts them.
    async fn insert_rows(&mut self, rows: &[Waiting]) -> Result<u64> {
        let sql = format!(
            "INSERT INTO comments (place, source_id, id, at, thread_id, body, version, email, \
             generation, text_changes, no_charge, created_at, updated_at) VALUES {} \
             ON CONFLICT (place) DO NOTHING",
            places(self.kind(), 13, rows.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for Waiting { comment, new, text_changes } in rows {
            query = query
                .bind(comment.place)
                .bind(comment.source_id.clone())
                .bind(comment.id.clone())
                .bind(micros(comment.at))
                .bind(comment.thread_id.clone())
                .bind(comment.body.clone())
                .bind(comment.version)
                .bind(comment.email)
                .bind(comment.generation)
                .bind(text_changes + i64::from(new.changes_text))
                .bind(i64::from(new.no_charge))
                .bind(micros(comment.created_at))
                .bind(micros(comment.updated_at));
        }
        Ok(query.execute(self.database()).await?.rows_affected())
    }

    /// The places of those of the comments that are there.
    async fn places_of(&mut self, rows: &[Waiting]) -> Result<HashSet<(i64, String)>> {
        let Some(first) = rows.first() else { return Ok(HashSet::new()) };
        let ids: Vec<String> = rows.iter().map(|own| own.comment.id.clone()).collect();
        let source_id = first.comment.source_id.clone();
        let found = self.comments_by_id(&source_id, &ids).await?;
        Ok(found.into_values().map(|comment| (comment.place, comment.id)).collect())
    }

    /// The first free place behind one that is taken.
    async fn free_behind(&mut self, place: i64) -> Result<i64> {
        let mut last = place;
        loop {
            let sql = "SELECT place FROM comments WHERE place > $1 ORDER BY place LIMIT 1000";
            let rows = sqlx::query(sql).bind(last).fetch_all(self.database()).await?;
            for row in &rows {
                let next: i64 = row.try_get(0)?;
                if next != last + 1 {
                    return Ok(last + 1);
                }
                last = next;
            }
            if rows.len() < 1000 {
                return Ok(last + 1);
            }
        }
    }

    /// Where to begin to look for a free place: many comments may have one time, and each would
    /// walk past all before it. It is a hint; a transaction that is undone leaves a gap.
    fn first_free(&self, at: i64) -> i64 {
        let hints = self.store().places.lock().unwrap_or_else(PoisonError::into_inner);
        hints.get(&at).map_or(at, |last| last + 1)
    }

    fn remember(&self, comment: &Comment) {
        let at = micros(comment.at);
        if comment.place == at {
            return;
        }
        let mut hints = self.store().places.lock().unwrap_or_else(PoisonError::into_inner);
        if hints.len() >= REMEMBERED {
            hints.clear();
        }
        let last = hints.entry(at).or_insert(comment.place);
        *last = comment.place.max(*last);
    }

    /// Notes that comments are what the emails of a generation make, though nothing of them has
    /// changed.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn confirm_comments(&mut self, places: &[i64], generation: i64) -> Result<()> {
        for places in places.chunks(LOOKED_FOR) {
            let sql = format!(
                "UPDATE comments SET generation = $1 WHERE place IN ({})",
                list(2, places.len())
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(generation);
            let query = places.iter().fold(query, |query, place| query.bind(*place));
            query.execute(self.database()).await?;
        }
        Ok(())
    }

    /// Removes the row of a comment that gets another, and returns how often its text has changed.
    async fn take_row(&mut self, place: i64) -> Result<i64> {
        let sql = "DELETE FROM comments WHERE place = $1 RETURNING text_changes";
        let row = sqlx::query(sql).bind(place).fetch_optional(self.database()).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
    }

    /// Removes comments, with what was sent beside them and said about them in datasets; those that
    /// are gone are no failure. Returns those that were there.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn delete_comments(
        &mut self,
        source_id: &str,
        ids: &[String],
    ) -> Result<Vec<Comment>> {
        let mut hashes = Vec::new();
        let removed: Vec<Comment> =
            self.comments_by_id(source_id, ids).await?.into_values().collect();
        for some in removed.chunks(LOOKED_FOR) {
            let places: Vec<i64> = some.iter().map(|comment| comment.place).collect();
            self.remove_rows(source_id, &places).await?;
            self.follow(source_id, &places, &[]).await?;
            let of = format!(
                "comment_attachments WHERE source_id = $1 AND comment_id IN ({})",
                list(2, some.len())
            );
            let bind = |sql: String| {
                let query = sqlx::query(AssertSqlSafe(sql)).bind(source_id.to_owned());
                some.iter().fold(query, |query, comment| query.bind(comment.id.clone()))
            };
            let said = format!(
                "DELETE FROM annotations WHERE source_id = $1 AND comment_id IN ({})",
                list(2, some.len())
            );
            bind(said).execute(self.database()).await?;
            let rows = bind(format!("SELECT hash FROM {of}")).fetch_all(self.database()).await?;
            if rows.is_empty() {
                continue;
            }
            for row in rows {
                hashes.push(row.try_get(0)?);
            }
            bind(format!("DELETE FROM {of}")).execute(self.database()).await?;
        }
        self.drop_unused(hashes).await?;
        Ok(removed)
    }

    async fn remove_rows(&mut self, source_id: &str, places: &[i64]) -> Result<()> {
        let sql = format!(
            "DELETE FROM comments WHERE source_id = $1 AND place IN ({})",
            list(2, places.len())
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(source_id.to_owned());
        let query = places.iter().fold(query, |query, place| query.bind(*place));
        query.execute(self.database()).await?;
        Ok(())
    }

    /// Removes the oldest `most` comments of a source; false if there were none.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn delete_oldest_comments(&mut self, source_id: &str, most: usize) -> Result<bool> {
        let sql = "SELECT id FROM comments WHERE source_id = $1 ORDER BY at, place LIMIT $2";
        let rows = sqlx::query(sql)
            .bind(source_id.to_owned())
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(self.database())
            .await?;
        let ids = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<String>>>()?;
        if ids.is_empty() {
            return Ok(false);
        }
        self.begin_comments(source_id).await?;
        self.delete_comments(source_id, &ids).await?;
        Ok(true)
    }

    /// Removes the comments that were made of an email of this bucket. Those about which something
    /// was said in a dataset stay, as if a client had written them.
    pub(crate) async fn delete_comments_of(&mut self, bucket_id: &str, email: i64) -> Result<()> {
        let sql = "SELECT DISTINCT source_id FROM comments \
                   JOIN sources ON sources.id = source_id WHERE email = $1 AND bucket_id = $2 \
                   ORDER BY source_id";
        let query = sqlx::query(sql).bind(email).bind(bucket_id.to_owned());
        for row in query.fetch_all(self.database()).await? {
            let source_id: String = row.try_get(0)?;
            // Nobody writes the comment or says something about it from here on.
            self.begin_comments(&source_id).await?;
            let sql = "SELECT id, (SELECT COUNT(*) FROM annotations \
                       WHERE source_id = $1 AND comment_id = comments.id) \
                       FROM comments WHERE source_id = $1 AND email = $2";
            let query = sqlx::query(sql).bind(source_id.clone()).bind(email);
            for row in query.fetch_all(self.database()).await? {
                let id: String = row.try_get(0)?;
                if row.try_get::<i64, _>(1)? == 0 {
                    self.delete_comments(&source_id, &[id]).await?;
                    continue;
                }
                let sql = "UPDATE comments SET email = NULL WHERE source_id = $1 AND id = $2";
                let query = sqlx::query(sql).bind(source_id.clone()).bind(id);
                query.execute(self.database()).await?;
            }
        }
        Ok(())
    }
}
