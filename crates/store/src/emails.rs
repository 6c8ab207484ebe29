//! Raw emails: one for each id in a bucket, with the metadata of the copy that came last.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};

use crate::{
    Kind, Result, Session, Staged,
    id::{micros, time},
    session::places,
};

/// Rows that one statement writes: each statement is a way to another thread and back.
const ROWS: usize = 128;
/// Ids that one statement looks for.
const LOOKED_FOR: usize = 500;

/// An email without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// Place in the order of first arrival.
    pub number: i64,
    pub id: String,
    pub mailbox: String,
    pub sent_at: DateTime<Utc>,
    /// SHA-256 of the content, which [`Session::content`] opens.
    pub hash: String,
    /// JSON.
    pub metadata: Option<String>,
    /// JSON.
    pub attachments: String,
    /// Times it was uploaded.
    pub writes: u64,
    /// Uploads after the first that changed the content.
    pub content_changes: u64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub struct NewEmail {
    pub id: String,
    pub mailbox: String,
    pub sent_at: DateTime<Utc>,
    pub metadata: Option<String>,
    pub attachments: String,
    pub content: Staged,
}

/// Which emails of a bucket are wanted.
#[derive(Clone, Debug, Default)]
pub struct EmailQuery {
    /// By time and then number, rather than by number alone.
    pub by_time: bool,
    /// The last email of the page before.
    pub after: Option<(i64, i64)>,
    /// Inclusive.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub to: Option<DateTime<Utc>>,
    pub mailbox: Option<String>,
    pub limit: usize,
}

const COLUMNS: &str = "SELECT number, id, mailbox, sent_at, hash, metadata, attachments, writes, \
                       content_changes, created_at, updated_at FROM emails";

fn email(row: &AnyRow) -> Result<Email> {
    let count = |column: usize| -> Result<_> {
        Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or_default())
    };
    Ok(Email {
        number: row.try_get(0)?,
        id: row.try_get(1)?,
        mailbox: row.try_get(2)?,
        sent_at: time(row.try_get(3)?),
        hash: row.try_get(4)?,
        metadata: row.try_get(5)?,
        attachments: row.try_get(6)?,
        writes: count(7)?,
        content_changes: count(8)?,
        created_at: time(row.try_get(9)?),
        updated_at: time(row.try_get(10)?),
    })
}

/// What decides whether an upload changes an email.
#[derive(Clone, Debug)]
struct Held {
    hash: String,
    /// Mailbox, time, metadata and attachments.
    about: (String, i64, Option<String>, String),
    number: Option<i64>,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.about == other.about
    }
}

impl From<&NewEmail> for Held {
    fn from(new: &NewEmail) -> Self {
        let about = (
            new.mailbox.clone(),
            micros(new.sent_at),
            new.metadata.clone(),
            new.attachments.clone(),
        );
        Self { hash: new.content.hash.clone(), about, number: None }
    }
}

impl Email {
    /// What [`EmailQuery::after`] wants to go on behind this one.
    pub fn place(&self) -> (i64, i64) {
        (micros(self.sent_at), self.number)
    }
}

impl Session {
    /// Stores emails under their ids, in the place of what was there. Of several with one id, the
    /// last counts.
    ///
    /// # Errors
    ///
    /// The database or the disk failed.
    pub async fn put_emails(
        &mut self,
        bucket_id: &str,
        emails: Vec<NewEmail>,
        no_charge: bool,
    ) -> Result<()> {
        let is_converted = self.is_converted(bucket_id).await?;
        let mut held = self.held(bucket_id, emails.iter().map(|email| &*email.id)).await?;
        let (mut replaced, mut rows) = (Vec::new(), Vec::with_capacity(ROWS));
        let mut changed = Vec::new();
        for email in emails {
            // One statement must not write a row twice.
            let is_full = rows.len() == ROWS;
            if is_full || rows.iter().any(|(row, _): &(NewEmail, bool)| row.id == email.id) {
                self.put_rows(bucket_id, std::mem::take(&mut rows), no_charge).await?;
            }
            let own = Held::from(&email);
            let old = held.insert(email.id.clone(), own.clone());
            if is_converted && old.as_ref() != Some(&own) {
                changed.push(email.id.clone());
            }
            let old = old.map(|old| old.hash);
            let is_new = old.as_ref() != Some(&own.hash);
            replaced.extend(old.filter(|_| is_new));
            rows.push((email, is_new));
        }
        self.put_rows(bucket_id, rows, no_charge).await?;
        changed.sort_unstable();
        changed.dedup();
        self.queue_emails(bucket_id, &changed).await?;
        self.drop_unused(replaced).await
    }

    /// Stores emails with different ids; those that say so with their contents.
    async fn put_rows(
        &mut self,
        bucket_id: &str,
        mut rows: Vec<(NewEmail, bool)>,
        no_charge: bool,
    ) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let new = rows.iter_mut().filter(|(_, is_new)| *is_new);
        let new = new.map(|(email, _)| email.content.take()).collect();
        self.put_contents(new).await?;
        let now = micros(self.now);
        let sql = format!(
            "INSERT INTO emails (bucket_id, no_charge, created_at, updated_at, writes, \
             content_changes, id, mailbox, sent_at, hash, metadata, attachments) VALUES {} \
             ON CONFLICT (bucket_id, id) DO UPDATE SET mailbox = excluded.mailbox, \
             sent_at = excluded.sent_at, hash = excluded.hash, metadata = excluded.metadata, \
             attachments = excluded.attachments, no_charge = excluded.no_charge, \
             writes = emails.writes + 1, content_changes = emails.content_changes + \
             CASE WHEN emails.hash = excluded.hash THEN 0 ELSE 1 END, \
             updated_at = excluded.updated_at",
            places(self.kind(), 12, rows.len())
        );
        let query = sqlx::query(AssertSqlSafe(sql));
        let query = rows.into_iter().fold(query, |query, (email, _)| {
            query
                .bind(bucket_id.to_owned())
                .bind(i64::from(no_charge))
                .bind(now)
                .bind(now)
                .bind(1_i64)
                .bind(0_i64)
                .bind(email.id)
                .bind(email.mailbox)
                .bind(micros(email.sent_at))
                .bind(email.content.hash)
                .bind(email.metadata)
                .bind(email.attachments)
        });
        query.execute(self.database()).await?;
        Ok(())
    }

    /// Those of the emails that are there, by id.
    async fn held<'a>(
        &mut self,
        bucket_id: &str,
        ids: impl Iterator<Item = &'a str>,
    ) -> Result<HashMap<String, Held>> {
        let mut held = HashMap::new();
        let ids: Vec<&str> = ids.collect();
        for ids in ids.chunks(LOOKED_FOR) {
            let places: Vec<String> =
                (0..ids.len()).map(|place| format!("${}", place + 2)).collect();
            // Whoever deletes them meanwhile, or sends them as well, waits.
            let lock = match self.kind() {
                Kind::Sqlite => "",
                Kind::Postgres => "ORDER BY id FOR UPDATE",
            };
            let sql = format!(
                "SELECT id, hash, mailbox, sent_at, metadata, attachments, number FROM emails \
                 WHERE bucket_id = $1 AND id IN ({}) {lock}",
                places.join(", ")
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(bucket_id.to_owned());
            let query = ids.iter().fold(query, |query, id| query.bind((*id).to_owned()));
            for row in query.fetch_all(self.database()).await? {
                let own = Held {
                    hash: row.try_get(1)?,
                    about: (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?, row.try_get(5)?),
                    number: Some(row.try_get(6)?),
                };
                held.insert(row.try_get(0)?, own);
            }
        }
        Ok(held)
    }

    /// A page of emails.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn emails(&mut self, bucket_id: &str, wanted: &EmailQuery) -> Result<Vec<Email>> {
        let mut sql = format!("{COLUMNS} WHERE bucket_id = $1");
        let mut numbers = Vec::new();
        let mut add = |sql: &mut String, condition: &str, values: &[i64]| {
            let first = numbers.len() + 2;
            let condition = condition
                .replace("{a}", &format!("${first}"))
                .replace("{b}", &format!("${}", first + 1));
            sql.push_str(" AND ");
            sql.push_str(&condition);
            numbers.extend_from_slice(values);
        };
        match wanted.after {
            // The first half alone lets both databases start in the middle of an index.
            Some((at, number)) if wanted.by_time => {
                add(&mut sql, "sent_at >= {a} AND (sent_at > {a} OR number > {b})", &[at, number])
            }
            Some((_, number)) => add(&mut sql, "number > {a}", &[number]),
            None => {}
        }
        if let Some(from) = wanted.from {
            add(&mut sql, "sent_at >= {a}", &[micros(from)]);
        }
        if let Some(to) = wanted.to {
            add(&mut sql, "sent_at < {a}", &[micros(to)]);
        }
        add(&mut sql, "1 <= {a}", &[i64::try_from(wanted.limit).unwrap_or(i64::MAX)]);
        let limit = numbers.len() + 1;
        if wanted.mailbox.is_some() {
            sql.push_str(&format!(" AND mailbox = ${}", limit + 1));
        }
        let order = if wanted.by_time { "sent_at, number" } else { "number" };
        sql.push_str(&format!(" ORDER BY {order} LIMIT ${limit}"));
        let query = sqlx::query(AssertSqlSafe(sql)).bind(bucket_id.to_owned());
        let query = numbers.into_iter().fold(query, |query, number| query.bind(number));
        let query = match &wanted.mailbox {
            Some(mailbox) => query.bind(mailbox.clone()),
            None => query,
        };
        query.fetch_all(self.database()).await?.iter().map(email).collect()
    }

    /// The email with that id.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn email(&mut self, bucket_id: &str, id: &str) -> Result<Option<Email>> {
        let sql = AssertSqlSafe(format!("{COLUMNS} WHERE bucket_id = $1 AND id = $2"));
        let query = sqlx::query(sql).bind(bucket_id.to_owned()).bind(id.to_owned());
        query.fetch_optional(self.database()).await?.as_ref().map(email).transpose()
    }

    /// The email with that number, and the id of its bucket.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn email_by_number(&mut self, number: i64) -> Result<Option<(String, Email)>> {
        let sql = "SELECT bucket_id, id FROM emails WHERE number = $1";
        let row = sqlx::query(sql).bind(number).fetch_optional(self.database()).await?;
        let Some(row) = row else { return Ok(None) };
        let (bucket_id, id): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        Ok(self.email(&bucket_id, &id).await?.map(|email| (bucket_id, email)))
    }

    /// # Errors
    ///
    /// The database failed.
    pub async fn count_emails(&mut self, bucket_id: &str) -> Result<u64> {
        let row = sqlx::query("SELECT COUNT(*) FROM emails WHERE bucket_id = $1")
            .bind(bucket_id.to_owned())
            .fetch_one(self.database())
            .await?;
        Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default())
    }

    /// Removes emails; those that are gone are no failure.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn delete_emails(&mut self, bucket_id: &str, ids: &[String]) -> Result<()> {
        let held = self.held(bucket_id, ids.iter().map(String::as_str)).await?;
        let mut hashes = Vec::new();
        for (id, own) in held {
            hashes.push(own.hash);
            // Who is about to write its comment ends first, or finds it gone from the queue.
            let sql = "DELETE FROM conversions WHERE email = $1";
            sqlx::query(sql).bind(own.number).execute(self.database()).await?;
            if let Some(number) = own.number {
                self.delete_comments_of(bucket_id, number).await?;
            }
            let attachments = sqlx::query(
                "SELECT hash FROM email_attachments WHERE bucket_id = $1 AND email_id = $2",
            );
            let query = attachments.bind(bucket_id.to_owned()).bind(id.clone());
            for row in query.fetch_all(self.database()).await? {
                hashes.push(row.try_get(0)?);
            }
            for sql in [
                "DELETE FROM email_attachments WHERE bucket_id = $1 AND email_id = $2",
                "DELETE FROM emails WHERE bucket_id = $1 AND id = $2",
            ] {
                let query = sqlx::query(sql).bind(bucket_id.to_owned()).bind(id.clone());
                query.execute(self.database()).await?;
            }
        }
        self.drop_unused(hashes).await
    }

    /// Removes the oldest `most` emails of a bucket; false if there were none.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn delete_oldest_emails(&mut self, bucket_id: &str, most: usize) -> Result<bool> {
        let wanted = EmailQuery { limit: most, ..EmailQuery::default() };
        let emails = self.emails(bucket_id, &wanted).await?;
        let ids: Vec<String> = emails.into_iter().map(|email| email.id).collect();
        self.delete_emails(bucket_id, &ids).await?;
        Ok(!ids.is_empty())
    }

    /// Stores the bytes of an attachment, in the place of what was there.
    ///
    /// # Errors
    ///
    /// The database or the disk failed.
    pub async fn put_attachment(
        &mut self,
        bucket_id: &str,
        email_id: &str,
        place: u32,
        content: &Staged,
    ) -> Result<()> {
        let now = micros(self.now);
        let old = sqlx::query(
            "SELECT hash FROM email_attachments \
             WHERE bucket_id = $1 AND email_id = $2 AND place = $3",
        )
        .bind(bucket_id.to_owned())
        .bind(email_id.to_owned())
        .bind(i64::from(place))
        .fetch_optional(self.database())
        .await?;
        self.put_contents(vec![content.clone()]).await?;
        sqlx::query(
            "INSERT INTO email_attachments (bucket_id, email_id, place, hash, created_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (bucket_id, email_id, place) \
             DO UPDATE SET hash = excluded.hash",
        )
        .bind(bucket_id.to_owned())
        .bind(email_id.to_owned())
        .bind(i64::from(place))
        .bind(content.hash.clone())
        .bind(now)
        .execute(self.database())
        .await?;
        let old = old.map(|row| row.try_get(0)).transpose()?;
        self.drop_unused(old.into_iter().collect()).await
    }
}
