//! Mails of this program's own that wait to be sent. They are written in the transaction of what
//! they are about, so that there is one exactly when that has happened.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Row, any::AnyRow};

use crate::{
    Result, Session,
    id::{micros, new_id, time},
};

/// How long a mail waits. What nobody has sent by then is no news any more.
const KEPT: TimeDelta = TimeDelta::days(14);
/// Most mails that wait; the oldest ones give way.
const MOST: i64 = 10_000;

/// A mail to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMail {
    /// What it is about, such as `appliance_config_updated`.
    pub kind: &'static str,
    pub recipient: String,
    pub subject: String,
    pub text: String,
}

/// A mail that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingMail {
    pub number: i64,
    pub id: String,
    pub kind: String,
    pub recipient: String,
    pub subject: String,
    pub text: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

fn mail(row: &AnyRow) -> Result<WaitingMail> {
    Ok(WaitingMail {
        number: row.try_get(0)?,
        id: row.try_get(1)?,
        kind: row.try_get(2)?,
        recipient: row.try_get(3)?,
        subject: row.try_get(4)?,
        text: row.try_get(5)?,
        created_at: time(row.try_get(6)?),
        expires_at: time(row.try_get(7)?),
    })
}

impl Session {
    /// Adds a mail, and drops those that have waited too long or are too many.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn post_mail(&mut self, new: NewMail) -> Result<String> {
        let id = new_id()?;
        sqlx::query("DELETE FROM outbox WHERE expires_at <= $1")
            .bind(micros(self.now))
            .execute(self.database())
            .await?;
        sqlx::query(
            "INSERT INTO outbox (id, kind, recipient, subject, body, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(id.clone())
        .bind(new.kind)
        .bind(new.recipient)
        .bind(new.subject)
        .bind(new.text)
        .bind(micros(self.now))
        .bind(micros(self.now + KEPT))
        .execute(self.database())
        .await?;
        sqlx::query(
            "DELETE FROM outbox WHERE number <= \
             (SELECT number FROM outbox ORDER BY number DESC LIMIT 1 OFFSET $1)",
        )
        .bind(MOST)
        .execute(self.database())
        .await?;
        Ok(id)
    }

    /// Mails that wait, newest first; `before` is the number of the last one of the page before.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn waiting_mails(
        &mut self,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<WaitingMail>> {
        let rows = sqlx::query(
            "SELECT number, id, kind, recipient, subject, body, created_at, expires_at \
             FROM outbox WHERE number < $1 AND expires_at > $2 ORDER BY number DESC LIMIT $3",
        )
        .bind(before.unwrap_or(i64::MAX))
        .bind(micros(self.now))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(self.database())
        .await?;
        rows.iter().map(mail).collect()
    }

    /// Drops a mail; `false` if there is none.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn drop_mail(&mut self, id: &str) -> Result<bool> {
        let sql = "DELETE FROM outbox WHERE id = $1";
        let done = sqlx::query(sql).bind(id.to_owned()).execute(self.database()).await?;
        Ok(done.rows_affected() > 0)
    }
}
