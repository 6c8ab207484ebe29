//! Comments: how they are read.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use sqlx::{Any, AssertSqlSafe, Row, query::Query};

use crate::{
    Annotation, Comment, Result, Session, Staged,
    comments::{COLUMNS, comment},
    id::micros,
};

/// Which comments of a source are wanted, by time and then place.
#[derive(Clone, Debug, Default)]
pub struct CommentQuery {
    /// Time and place of the last comment of the page before.
    pub after: Option<(i64, i64)>,
    /// Inclusive.
    pub from: Option<DateTime<Utc>>,
    /// Inclusive.
    pub to: Option<DateTime<Utc>>,
    pub newest_first: bool,
    pub limit: usize,
}

/// A thread of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    pub id: String,
    pub comments: u64,
    /// Places of its first and its last comment.
    pub first: i64,
    pub last: i64,
}

/// The place of the audio among what was sent beside a comment.
pub const AUDIO: i64 = -1;

impl Comment {
    /// What [`CommentQuery::after`] wants to go on behind this one.
    pub fn after(&self) -> (i64, i64) {
        (micros(self.at), self.place)
    }
}

/// Conditions with numbers, behind `source_id = $1`.
#[derive(Default)]
struct Conditions {
    sql: String,
    numbers: Vec<i64>,
}

impl Conditions {
    /// Adds a condition, in which `{a}` and `{b}` stand for the values.
    fn add(&mut self, condition: &str, values: &[i64]) {
        let first = self.numbers.len() + 2;
        let condition = condition
            .replace("{a}", &format!("${first}"))
            .replace("{b}", &format!("${}", first + 1));
        self.sql.push_str(" AND ");
        self.sql.push_str(&condition);
        self.numbers.extend_from_slice(values);
    }

    fn within(&mut self, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) {
        if let Some(from) = from {
            self.add("at >= {a}", &[micros(from)]);
        }
        if let Some(to) = to {
            self.add("at <= {a}", &[micros(to)]);
        }
    }

    fn query(self, sql: String, source_id: &str) -> Query<'static, Any, sqlx::any::AnyArguments> {
        let query = sqlx::query(AssertSqlSafe(sql)).bind(source_id.to_owned());
        self.numbers.into_iter().fold(query, |query, number| query.bind(number))
    }
}

fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

impl Session {
    /// A page of comments.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn comments(
        &mut self,
        source_id: &str,
        wanted: &CommentQuery,
    ) -> Result<Vec<Comment>> {
        let mut conditions = Conditions::default();
        // The first half alone lets both databases start in the middle of an index.
        match (wanted.after, wanted.newest_first) {
            (Some((at, place)), false) => {
                conditions.add("at >= {a} AND (at > {a} OR place > {b})", &[at, place]);
            }
            (Some((at, place)), true) => {
                conditions.add("at <= {a} AND (at < {a} OR place < {b})", &[at, place]);
            }
            (None, _) => {}
        }
        conditions.within(wanted.from, wanted.to);
        conditions.add("1 <= {a}", &[limit(wanted.limit)]);
        let order = if wanted.newest_first { "at DESC, place DESC" } else { "at, place" };
        let sql = format!(
            "{COLUMNS} WHERE source_id = $1{} ORDER BY {order} LIMIT ${}",
            conditions.sql,
            conditions.numbers.len() + 1
        );
        let rows = conditions.query(sql, source_id).fetch_all(self.database()).await?;
        rows.iter().map(comment).collect()
    }

    /// The comment with that id.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn comment(&mut self, source_id: &str, id: &str) -> Result<Option<Comment>> {
        let found = self.comments_by_id(source_id, &[id.to_owned()]).await?;
        Ok(found.into_values().next())
    }

    /// The comment at that place, of whatever source.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn comment_at(&mut self, place: i64) -> Result<Option<Comment>> {
        let query = sqlx::query(AssertSqlSafe(format!("{COLUMNS} WHERE place = $1"))).bind(place);
        query.fetch_optional(self.database()).await?.as_ref().map(comment).transpose()
    }

    /// Times and places of the newest comments of a source, behind `after` and not before `from`, as
    /// [`Comment::after`] tells them.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn newest_places(
        &mut self,
        source_id: &str,
        after: Option<(i64, i64)>,
        from: Option<(i64, i64)>,
        most: usize,
    ) -> Result<Vec<(i64, i64)>> {
        let mut conditions = Conditions::default();
        if let Some((at, place)) = after {
            conditions.add("at <= {a} AND (at < {a} OR place < {b})", &[at, place]);
        }
        if let Some((at, place)) = from {
            conditions.add("at >= {a} AND (at > {a} OR place > {b})", &[at, place]);
        }
        conditions.add("1 <= {a}", &[limit(most)]);
        let sql = format!(
            "SELECT at, place FROM comments WHERE source_id = $1{} \
             ORDER BY at DESC, place DESC LIMIT ${}",
            conditions.sql,
            conditions.numbers.len() + 1
        );
        let rows = conditions.query(sql, source_id).fetch_all(self.database()).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// The comments at those times and places, of whatever sources, newest first.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn comments_of_places(&mut self, places: &[(i64, i64)]) -> Result<Vec<Comment>> {
        let places: Vec<i64> = places.iter().map(|(_, place)| *place).collect();
        let mut comments = self.comments_at(&places).await?;
        comments.sort_by_key(|own| Reverse(own.after()));
        Ok(comments)
    }

    /// The comment of a source that was made of that email.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn comment_of_email(
        &mut self,
        source_id: &str,
        email: i64,
    ) -> Result<Option<Comment>> {
        let sql = AssertSqlSafe(format!("{COLUMNS} WHERE email = $1 AND source_id = $2"));
        let query = sqlx::query(sql).bind(email).bind(source_id.to_owned());
        query.fetch_optional(self.database()).await?.as_ref().map(comment).transpose()
    }

    /// How many comments of a source there are between two times, both inclusive.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn count_comments(
        &mut self,
        source_id: &str,
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
    ) -> Result<u64> {
        let mut conditions = Conditions::default();
        conditions.within(from, to);
        let sql = format!("SELECT COUNT(*) FROM comments WHERE source_id = $1{}", conditions.sql);
        let row = conditions.query(sql, source_id).fetch_one(self.database()).await?;
        Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default())
    }

    /// The oldest `most` comments of a thread.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn comments_of_thread(
        &mut self,
        source_id: &str,
        thread_id: &str,
        most: usize,
    ) -> Result<Vec<Comment>> {
        let sql = format!(
            "{COLUMNS} WHERE source_id = $1 AND thread_id = $2 ORDER BY at, place LIMIT $3"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(source_id.to_owned())
            .bind(thread_id.to_owned())
            .bind(limit(most))
            .fetch_all(self.database())
            .await?;
        rows.iter().map(comment).collect()
    }

    /// Threads of a source by their ids, those behind `after`.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn threads(
        &mut self,
        source_id: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<Thread>> {
        let rows = sqlx::query(
            "SELECT thread_id, COUNT(*), MIN(place), MAX(place) FROM comments \
             WHERE source_id = $1 AND thread_id IS NOT NULL AND thread_id > $2 \
             GROUP BY thread_id ORDER BY thread_id LIMIT $3",
        )
        .bind(source_id.to_owned())
        .bind(after.to_owned())
        .bind(limit(most))
        .fetch_all(self.database())
        .await?;
        let thread = |row: &sqlx::any::AnyRow| {
            Ok(Thread {
                id: row.try_get(0)?,
                comments: u64::try_from(row.try_get::<i64, _>(1)?).unwrap_or_default(),
                first: row.try_get(2)?,
                last: row.try_get(3)?,
            })
        };
        rows.iter().map(thread).collect()
    }

    /// Stores bytes that belong to a comment, which may come later, in the place of what was there.
    ///
    /// # Errors
    ///
    /// The database or the disk failed.
    pub async fn put_comment_attachment(
        &mut self,
        source_id: &str,
        comment_id: &str,
        place: i64,
        content: &Staged,
    ) -> Result<()> {
        let now = micros(self.now);
        let old = self.comment_attachment(source_id, comment_id, place).await?;
        self.put_contents(vec![content.clone()]).await?;
        sqlx::query(
            "INSERT INTO comment_attachments (source_id, comment_id, place, hash, created_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (source_id, comment_id, place) \
             DO UPDATE SET hash = excluded.hash",
        )
        .bind(source_id.to_owned())
        .bind(comment_id.to_owned())
        .bind(place)
        .bind(content.hash.clone())
        .bind(now)
        .execute(self.database())
        .await?;
        self.drop_unused(old.into_iter().collect()).await
    }

    /// The hash of the bytes that were sent beside a comment.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn comment_attachment(
        &mut self,
        source_id: &str,
        comment_id: &str,
        place: i64,
    ) -> Result<Option<String>> {
        let sql = "SELECT hash FROM comment_attachments \
                   WHERE source_id = $1 AND comment_id = $2 AND place = $3";
        self.sent_beside(sql, source_id, comment_id, place).await
    }

    /// What was sent beside those comments: the id of the comment and the place of each.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn attachments_of(
        &mut self,
        source_id: &str,
        ids: &[String],
    ) -> Result<Vec<(String, i64)>> {
        let mut found = Vec::new();
        for ids in ids.chunks(500) {
            let places: Vec<String> = (2..ids.len() + 2).map(|place| format!("${place}")).collect();
            let sql = format!(
                "SELECT comment_id, place FROM comment_attachments \
                 WHERE source_id = $1 AND comment_id IN ({})",
                places.join(", ")
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(source_id.to_owned());
            let query = ids.iter().fold(query, |query, id| query.bind(id.clone()));
            for row in query.fetch_all(self.database()).await? {
                found.push((row.try_get(0)?, row.try_get(1)?));
            }
        }
        Ok(found)
    }

    /// What was said about those comments, each with the id of the dataset.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn annotations_of(
        &mut self,
        source_id: &str,
        ids: &[String],
    ) -> Result<Vec<(String, Annotation)>> {
        let mut found = Vec::new();
        for ids in ids.chunks(500) {
            let places: Vec<String> = (2..ids.len() + 2).map(|place| format!("${place}")).collect();
            let sql = format!(
                "SELECT dataset_id, comment_id, content FROM annotations \
                 WHERE source_id = $1 AND comment_id IN ({})",
                places.join(", ")
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(source_id.to_owned());
            let query = ids.iter().fold(query, |query, id| query.bind(id.clone()));
            for row in query.fetch_all(self.database()).await? {
                let own = Annotation {
                    source_id: source_id.to_owned(),
                    comment_id: row.try_get(1)?,
                    content: row.try_get(2)?,
                };
                found.push((row.try_get(0)?, own));
            }
        }
        Ok(found)
    }

    /// The hash of the bytes that were sent beside an email.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn email_attachment(
        &mut self,
        bucket_id: &str,
        email_id: &str,
        place: i64,
    ) -> Result<Option<String>> {
        let sql = "SELECT hash FROM email_attachments \
                   WHERE bucket_id = $1 AND email_id = $2 AND place = $3";
        self.sent_beside(sql, bucket_id, email_id, place).await
    }

    async fn sent_beside(
        &mut self,
        sql: &'static str,
        within: &str,
        id: &str,
        place: i64,
    ) -> Result<Option<String>> {
        let query = sqlx::query(sql).bind(within.to_owned()).bind(id.to_owned()).bind(place);
        let row = query.fetch_optional(self.database()).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }
}
