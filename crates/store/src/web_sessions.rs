//! Sessions of browsers: who a cookie stands for, and for how long.

use chrono::{DateTime, TimeDelta, Utc};
use record::Secret;
use sqlx::{Row, any::AnyRow};

use crate::{
    Credential, Grant, Result, Session,
    id::{hash, hex, micros, new_id, random, time},
    tokens::USE_RESOLUTION,
};

/// Most sessions of one user; one more ends the oldest.
const MAX_PER_USER: i64 = 100;

/// A session as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSession {
    pub id: String,
    /// How the person came in: `password`, `link` or `oidc`.
    pub method: String,
    pub address: String,
    pub user_agent: String,
    pub created_at: DateTime<Utc>,
    /// To some minutes.
    pub last_used_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub struct NewWebSession {
    pub user_id: String,
    pub method: &'static str,
    pub address: String,
    pub user_agent: String,
    /// However much it is used.
    pub lifetime: TimeDelta,
}

fn web_session(row: &AnyRow) -> Result<WebSession> {
    Ok(WebSession {
        id: row.try_get(0)?,
        method: row.try_get(1)?,
        address: row.try_get(2)?,
        user_agent: row.try_get(3)?,
        created_at: time(row.try_get(4)?),
        last_used_at: time(row.try_get(5)?),
        expires_at: time(row.try_get(6)?),
    })
}

impl Session {
    /// Begins a session. Its secret is returned once and kept nowhere. What has ended is removed.
    ///
    /// # Errors
    ///
    /// There is no such user.
    pub async fn create_web_session(&mut self, new: NewWebSession) -> Result<(String, Secret)> {
        let (id, text) = (new_id()?, hex(&random::<32>()?));
        let now = micros(self.now);
        sqlx::query("DELETE FROM web_sessions WHERE expires_at <= $1")
            .bind(now)
            .execute(self.database())
            .await?;
        sqlx::query(
            "DELETE FROM web_sessions WHERE id IN (SELECT id FROM web_sessions \
             WHERE user_id = $1 ORDER BY created_at DESC, id LIMIT $2 OFFSET $3)",
        )
        .bind(new.user_id.clone())
        .bind(MAX_PER_USER)
        .bind(MAX_PER_USER - 1)
        .execute(self.database())
        .await?;
        sqlx::query(
            "INSERT INTO web_sessions (id, user_id, hash, method, address, user_agent, \
             created_at, last_used_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)",
        )
        .bind(id.clone())
        .bind(new.user_id)
        .bind(hash(text.as_bytes()))
        .bind(new.method)
        .bind(new.address)
        .bind(new.user_agent)
        .bind(now)
        .bind(micros(self.now + new.lifetime))
        .execute(self.database())
        .await?;
        Ok((id, Secret::from(text)))
    }

    /// What the session stands for; `None` if it is unknown, was ended, is too old, or was not
    /// used for `idle`.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn grant_of_session(
        &mut self,
        secret: &Secret,
        idle: TimeDelta,
    ) -> Result<Option<Grant>> {
        let row = sqlx::query(
            "SELECT id, user_id, last_used_at, expires_at FROM web_sessions \
             WHERE hash = $1 AND expires_at > $2 AND last_used_at > $3",
        )
        .bind(hash(secret.reveal().as_bytes()))
        .bind(micros(self.now))
        .bind(micros(self.now - idle))
        .fetch_optional(self.database())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let user_id: String = row.try_get(1)?;
        let user = self.user(&user_id).await?.filter(|user| user.disabled_at.is_none());
        let Some(user) = user else { return Ok(None) };
        let used = time(row.try_get(2)?);
        Ok(Some(Grant {
            credential: Credential::Session(row.try_get(0)?),
            user,
            permissions: None,
            project: None,
            expires_at: Some(time(row.try_get(3)?)),
            is_stale: self.now - used > USE_RESOLUTION,
        }))
    }

    /// The sessions of a user that are good, the newest first.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn web_sessions(
        &mut self,
        user_id: &str,
        idle: TimeDelta,
    ) -> Result<Vec<WebSession>> {
        let rows = sqlx::query(
            "SELECT id, method, address, user_agent, created_at, last_used_at, expires_at \
             FROM web_sessions WHERE user_id = $1 AND expires_at > $2 AND last_used_at > $3 \
             ORDER BY created_at DESC, id",
        )
        .bind(user_id.to_owned())
        .bind(micros(self.now))
        .bind(micros(self.now - idle))
        .fetch_all(self.database())
        .await?;
        rows.iter().map(web_session).collect()
    }

    /// Ends a session of a user; false if they have none with that id.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn end_web_session(&mut self, user_id: &str, id: &str) -> Result<bool> {
        let done = sqlx::query("DELETE FROM web_sessions WHERE user_id = $1 AND id = $2")
            .bind(user_id.to_owned())
            .bind(id.to_owned())
            .execute(self.database())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Ends all sessions of a user but the one with the id `except`; tells how many.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn end_web_sessions(&mut self, user_id: &str, except: Option<&str>) -> Result<u64> {
        // No id is empty.
        let done = sqlx::query("DELETE FROM web_sessions WHERE user_id = $1 AND id <> $2")
            .bind(user_id.to_owned())
            .bind(except.unwrap_or_default().to_owned())
            .execute(self.database())
            .await?;
        Ok(done.rows_affected())
    }
}
