//! Tokens: who a request comes from, and how much of what they may do it may do.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use record::Secret;
use sqlx::{Row, any::AnyRow};

use crate::{
    Result, Session, StoreError, User,
    id::{hash, hex, micros, new_id, random, time},
};

/// How much older than now the time of the last use may be.
pub(crate) const USE_RESOLUTION: TimeDelta = TimeDelta::minutes(5);
/// Characters of a token that are shown, so that people recognize it.
const SHOWN: usize = 12;

/// A token as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub id: String,
    pub user_id: String,
    pub username: String,
    pub name: String,
    /// Its first characters.
    pub shown: String,
    /// `None`: everything that its user may do.
    pub permissions: Option<BTreeSet<String>>,
    /// Name of the one project in which it is worth something.
    pub project: Option<String>,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub last_used_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, Default)]
pub struct NewToken {
    pub user_id: String,
    pub name: String,
    pub permissions: Option<BTreeSet<String>>,
    /// Id of a project.
    pub project_id: Option<String>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// What a request was let in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The id of a token.
    Token(String),
    /// The id of a session of a browser.
    Session(String),
}

impl Credential {
    pub fn id(&self) -> &str {
        match self {
            Self::Token(id) | Self::Session(id) => id,
        }
    }
}

/// What a valid token or session stands for.
#[derive(Clone, Debug)]
pub struct Grant {
    pub credential: Credential,
    pub user: User,
    pub permissions: Option<BTreeSet<String>>,
    /// Name of a project.
    pub project: Option<String>,
    pub expires_at: Option<DateTime<Utc>>,
    /// The use is worth noting.
    pub is_stale: bool,
}

const COLUMNS: &str = "SELECT tokens.id, user_id, username, tokens.name, shown, permissions, \
    projects.name, tokens.created_at, expires_at, last_used_at, revoked_at \
    FROM tokens JOIN users ON users.id = user_id LEFT JOIN projects ON projects.id = project_id";

fn set(text: Option<String>) -> Result<Option<BTreeSet<String>>> {
    let damaged = |_| StoreError::Damaged { what: "the permissions of a token".to_owned() };
    text.map(|text| serde_json::from_str(&text).map_err(damaged)).transpose()
}

fn token(row: &AnyRow) -> Result<Token> {
    let at = |column: usize| -> Result<_> { Ok(row.try_get::<Option<i64>, _>(column)?.map(time)) };
    Ok(Token {
        id: row.try_get(0)?,
        user_id: row.try_get(1)?,
        username: row.try_get(2)?,
        name: row.try_get(3)?,
        shown: row.try_get(4)?,
        permissions: set(row.try_get(5)?)?,
        project: row.try_get(6)?,
        created_at: time(row.try_get(7)?),
        expires_at: at(8)?,
        last_used_at: at(9)?,
        revoked_at: at(10)?,
    })
}

impl Session {
    /// Makes a token. Its text is returned once and kept nowhere.
    ///
    /// # Errors
    ///
    /// There is no such user or project.
    pub async fn create_token(&mut self, new: NewToken) -> Result<(String, Secret)> {
        let id = new_id()?;
        let text = format!("tri_{}", hex(&random::<32>()?));
        let permissions = new.permissions.map(|set| serde_json::Value::from_iter(set).to_string());
        sqlx::query(
            "INSERT INTO tokens \
             (id, user_id, name, shown, hash, permissions, project_id, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(id.clone())
        .bind(new.user_id)
        .bind(new.name)
        .bind(text.chars().take(SHOWN).collect::<String>())
        .bind(hash(text.as_bytes()))
        .bind(permissions)
        .bind(new.project_id)
        .bind(micros(self.now))
        .bind(new.expires_at.map(micros))
        .execute(self.database())
        .await?;
        Ok((id, Secret::from(text)))
    }

    /// What the token stands for; `None` if it is unknown, expired or revoked, or its user is
    /// disabled.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn grant(&mut self, text: &Secret) -> Result<Option<Grant>> {
        let row = sqlx::query(
            "SELECT tokens.id, user_id, permissions, projects.name, last_used_at, expires_at \
             FROM tokens \
             LEFT JOIN projects ON projects.id = project_id \
             WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(hash(text.reveal().as_bytes()))
        .bind(micros(self.now))
        .fetch_optional(self.database())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let user_id: String = row.try_get(1)?;
        let user = self.user(&user_id).await?.filter(|user| user.disabled_at.is_none());
        let Some(user) = user else { return Ok(None) };
        let used = row.try_get::<Option<i64>, _>(4)?.map(time);
        let now = self.now;
        Ok(Some(Grant {
            credential: Credential::Token(row.try_get(0)?),
            user,
            permissions: set(row.try_get(2)?)?,
            project: row.try_get(3)?,
            expires_at: row.try_get::<Option<i64>, _>(5)?.map(time),
            is_stale: used.is_none_or(|used| now - used > USE_RESOLUTION),
        }))
    }

    /// Notes that a token or a session was used.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn note_use(&mut self, grant: &Grant) -> Result<()> {
        let now = micros(self.now);
        let update = match grant.credential {
            Credential::Token(_) => "UPDATE tokens SET last_used_at = $2 WHERE id = $1",
            Credential::Session(_) => "UPDATE web_sessions SET last_used_at = $2 WHERE id = $1",
        };
        sqlx::query(update)
            .bind(grant.credential.id().to_owned())
            .bind(now)
            .execute(self.database())
            .await?;
        sqlx::query("UPDATE users SET last_seen_at = $2 WHERE id = $1")
            .bind(grant.user.id.clone())
            .bind(now)
            .execute(self.database())
            .await?;
        Ok(())
    }

    /// All tokens, oldest first.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn tokens(&mut self) -> Result<Vec<Token>> {
        let sql = sqlx::AssertSqlSafe(format!("{COLUMNS} ORDER BY tokens.created_at, tokens.id"));
        let rows = sqlx::query(sql).fetch_all(self.database()).await?;
        rows.iter().map(token).collect()
    }

    /// The tokens of a user, the newest first and at most `limit`.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn tokens_of(&mut self, user_id: &str, limit: usize) -> Result<Vec<Token>> {
        let sql = sqlx::AssertSqlSafe(format!(
            "{COLUMNS} WHERE user_id = $1 ORDER BY tokens.created_at DESC, tokens.id LIMIT $2"
        ));
        let query = sqlx::query(sql).bind(user_id.to_owned());
        let query = query.bind(i64::try_from(limit).unwrap_or(i64::MAX));
        query.fetch_all(self.database()).await?.iter().map(token).collect()
    }

    /// How many tokens of a user are good.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn count_valid_tokens(&mut self, user_id: &str) -> Result<i64> {
        let now = micros(self.now);
        let row = sqlx::query(
            "SELECT COUNT(*) FROM tokens WHERE user_id = $1 AND revoked_at IS NULL \
             AND (expires_at IS NULL OR expires_at > $2)",
        );
        let row = row.bind(user_id.to_owned()).bind(now).fetch_one(self.database()).await?;
        Ok(row.try_get(0)?)
    }

    /// Revokes all tokens of a user; tells how many were good.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn revoke_tokens_of(&mut self, user_id: &str) -> Result<u64> {
        let now = micros(self.now);
        let done = sqlx::query(
            "UPDATE tokens SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL \
             AND (expires_at IS NULL OR expires_at > $2)",
        );
        let done = done.bind(user_id.to_owned()).bind(now).execute(self.database()).await?;
        Ok(done.rows_affected())
    }

    /// Revokes a token of a user; false if they have none with that id that is still valid.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn revoke_token_of(&mut self, user_id: &str, id: &str) -> Result<bool> {
        let now = micros(self.now);
        let done = sqlx::query(
            "UPDATE tokens SET revoked_at = $3 \
             WHERE user_id = $1 AND id = $2 AND revoked_at IS NULL",
        )
        .bind(user_id.to_owned())
        .bind(id.to_owned())
        .bind(now)
        .execute(self.database())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Revokes a token; false if there is none with that id that is still valid.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn revoke_token(&mut self, id: &str) -> Result<bool> {
        let now = micros(self.now);
        let done =
            sqlx::query("UPDATE tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
                .bind(id.to_owned())
                .bind(now)
                .execute(self.database())
                .await?;
        Ok(done.rows_affected() > 0)
    }
}
