//! The index follows every write of comments, within the same transaction.

use std::collections::BTreeMap;

use search::{Document, Entry, VERSION, Value as PropertyValue};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};
use tokio::sync::mpsc;

use super::{DAY, postgres};
use crate::{Comment, Kind, Result, Session, contents::on_disk, session::places};

/// Rows that one statement writes.
const ROWS: usize = 64;
/// Statements of rows that are ready before the database is.
const AHEAD: usize = 2;
/// Places that one statement removes.
const REMOVED: usize = 500;
/// What writers share, and only a rebuild has alone: a number among the advisory locks of the
/// database. Spec: "Advisory Locks", PostgreSQL documentation.
const LOCK: i64 = 0x7472_6962_7365_6172;
/// Everything is in the index.
pub(super) const ALL: i64 = i64::MAX;

/// The day of a place. Those before 1970 are negative, and division rounds to zero.
pub(super) fn day(place: i64) -> i64 {
    place.div_euclid(DAY)
}

impl Session {
    /// Brings the index to what [`Session::put_comments`] and [`Session::delete_comments`] did:
    /// comments that stood at `removed` are no longer as they were, and `written` are there now.
    pub(crate) async fn follow(
        &mut self,
        source_id: &str,
        removed: &[i64],
        written: &[Comment],
    ) -> Result<()> {
        self.lock_index(false).await?;
        // What lies behind, the rebuild will come to.
        let done = self.indexed_to().await?;
        let removed: Vec<i64> = removed.iter().copied().filter(|place| *place <= done).collect();
        let written: Vec<&Comment> = written.iter().filter(|own| own.place <= done).collect();
        let mut days = BTreeMap::new();
        removed.iter().for_each(|place| *days.entry(day(*place)).or_insert(0) -= 1);
        written.iter().for_each(|own| *days.entry(day(own.place)).or_insert(0) += 1);
        self.unindex(&removed).await?;
        self.index(source_id, written).await?;
        self.count_days(source_id, days).await
    }

    /// Waits for a rebuild, or for everybody who writes.
    pub(super) async fn lock_index(&mut self, alone: bool) -> Result<()> {
        if self.kind() == Kind::Sqlite {
            // There is one writer.
            return Ok(());
        }
        let shared = if alone { "" } else { "_shared" };
        let sql = format!("SELECT 1 FROM pg_advisory_xact_lock{shared}($1)");
        sqlx::query(AssertSqlSafe(sql)).bind(LOCK).fetch_all(self.database()).await?;
        Ok(())
    }

    /// The place up to which comments are in the index of this version.
    pub(super) async fn indexed_to(&mut self) -> Result<i64> {
        let row = sqlx::query("SELECT done FROM search_state WHERE one = 1 AND version = $1")
            .bind(i64::from(VERSION))
            .fetch_optional(self.database())
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(i64::MIN))
    }

    /// Removes rows; those that are not there are no failure.
    pub(super) async fn unindex(&mut self, removed: &[i64]) -> Result<()> {
        let column = if self.kind() == Kind::Sqlite { "rowid" } else { "place" };
        for some in removed.chunks(REMOVED) {
            let list: Vec<String> = (1..=some.len()).map(|number| format!("${number}")).collect();
            let sql = format!("DELETE FROM search_words WHERE {column} IN ({})", list.join(", "));
            let query = sqlx::query(AssertSqlSafe(sql));
            let query = some.iter().fold(query, |query, place| query.bind(*place));
            query.execute(self.database()).await?;
        }
        Ok(())
    }

    /// Adds comments of a source that are not there.
    pub(super) async fn index(&mut self, source_id: &str, mut new: Vec<&Comment>) -> Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        let project = sqlx::query("SELECT project_id FROM sources WHERE id = $1")
            .bind(source_id.to_owned())
            .fetch_one(self.database())
            .await?;
        let project_id: String = project.try_get(0)?;
        // FTS5 writes what it has gathered whenever a row is not behind the last.
        new.sort_unstable_by_key(|comment| comment.place);
        if new.len() <= ROWS {
            return self.insert_entries(entries(&project_id, new)).await;
        }
        // The words of some are read while the database takes in those before them: others wait
        // for this transaction.
        let new: Vec<Comment> = new.into_iter().cloned().collect();
        let (made, mut ready) = mpsc::channel(AHEAD);
        let reading = on_disk(move || {
            for some in new.chunks(ROWS) {
                if made.blocking_send(entries(&project_id, some)).is_err() {
                    break;
                }
            }
            Ok(())
        });
        let inserting = async move {
            while let Some(entries) = ready.recv().await {
                self.insert_entries(entries).await?;
            }
            Ok(())
        };
        tokio::try_join!(reading, inserting)?;
        Ok(())
    }

    async fn insert_entries(&mut self, entries: Vec<(i64, Entry)>) -> Result<()> {
        match self.kind() {
            Kind::Sqlite => self.insert_sqlite(entries).await,
            Kind::Postgres => self.insert_postgres(entries).await,
        }
    }

    async fn insert_sqlite(&mut self, entries: Vec<(i64, Entry)>) -> Result<()> {
        let sql = format!(
            "INSERT INTO search_words (rowid, subject, sender, recipients, body, marks) VALUES {}",
            places(self.kind(), 6, entries.len())
        );
        let query = entries.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, own| {
            let (place, Entry { subject, from, to, body, marks }) = own;
            query.bind(place).bind(subject).bind(from).bind(to).bind(body).bind(marks)
        });
        query.execute(self.database()).await?;
        Ok(())
    }

    async fn insert_postgres(&mut self, entries: Vec<(i64, Entry)>) -> Result<()> {
        let values: Vec<String> = (0..entries.len())
            .map(|row| format!("(${}, ${}::tsvector, ${})", row * 3 + 1, row * 3 + 2, row * 3 + 3))
            .collect();
        let values = values.join(", ");
        let sql = format!("INSERT INTO search_words (place, words, texts) VALUES {values}");
        let query = entries.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, own| {
            let (words, texts) = postgres::columns(own.0, &own.1);
            query.bind(own.0).bind(words).bind(texts)
        });
        query.execute(self.database()).await?;
        Ok(())
    }

    /// Adds to the numbers of comments of those days.
    pub(super) async fn count_days(
        &mut self,
        source_id: &str,
        days: BTreeMap<i64, i64>,
    ) -> Result<()> {
        let days: Vec<(i64, i64)> = days.into_iter().filter(|(_, change)| *change != 0).collect();
        for some in days.chunks(REMOVED) {
            let sql = format!(
                "INSERT INTO search_volume (source_id, day, comments) VALUES {} \
                 ON CONFLICT (source_id, day) \
                 DO UPDATE SET comments = search_volume.comments + excluded.comments",
                places(self.kind(), 3, some.len())
            );
            let query = sqlx::query(AssertSqlSafe(sql));
            let query = some.iter().fold(query, |query, (day, change)| {
                query.bind(source_id.to_owned()).bind(*day).bind(*change)
            });
            query.execute(self.database()).await?;
        }
        if days.iter().any(|(_, change)| *change < 0) {
            sqlx::query("DELETE FROM search_volume WHERE source_id = $1 AND comments = 0")
                .bind(source_id.to_owned())
                .execute(self.database())
                .await?;
        }
        Ok(())
    }
}

fn entries<'a>(
    project_id: &str,
    comments: impl IntoIterator<Item = &'a Comment>,
) -> Vec<(i64, Entry)> {
    comments.into_iter().map(|own| (own.place, entry(project_id, own))).collect()
}

/// A comment as the index holds it. What is not there, or of another shape, is not looked for.
fn entry(project_id: &str, comment: &Comment) -> Entry {
    let body: Value = serde_json::from_str(&comment.body).unwrap_or_default();
    let message = body.pointer("/messages/0").unwrap_or(&Value::Null);
    let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let lists = ["to", "cc", "bcc"].into_iter().filter_map(|name| message.get(name)?.as_array());
    let properties = body.get("user_properties").and_then(Value::as_object);
    let properties = properties.into_iter().flatten().filter_map(|(name, value)| {
        let value = match value {
            Value::String(text) => PropertyValue::Text(text),
            value => PropertyValue::Number(value.as_f64()?),
        };
        Some((name.as_str(), value))
    });
    let attachments = body.get("attachments").and_then(Value::as_array);
    let attachments = attachments.into_iter().flatten().filter(|own| {
        // Pictures in a signature are part of the text.
        !own.get("inline").and_then(Value::as_bool).unwrap_or_default()
    });
    let document = Document {
        project_id,
        source_id: &comment.source_id,
        thread_id: comment.thread_id.as_deref(),
        subject: text("/subject/text"),
        body: text("/body/text"),
        from: text("/from"),
        to: lists.flatten().filter_map(Value::as_str).collect(),
        properties: properties.collect(),
        attachments: attachments.filter_map(|own| own.get("name")?.as_str()).collect(),
    };
    document.entry()
}
