//! Who a person is elsewhere: identities of OpenID Connect, and what their groups give.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::Row;

use crate::{
    Result, Session, User,
    id::{hash, micros, time},
};

/// A user as a provider knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub issuer: String,
    pub subject: String,
    pub created_at: DateTime<Utc>,
    pub last_used_at: DateTime<Utc>,
}

impl Session {
    /// The user whom `issuer` knows as `subject`.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn user_with_identity(
        &mut self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<User>> {
        let row = sqlx::query("SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2")
            .bind(issuer.to_owned())
            .bind(subject.to_owned())
            .fetch_optional(self.database())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let id: String = row.try_get(0)?;
        self.user(&id).await
    }

    /// The users with that email address, however its letters are written.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn users_with_email(&mut self, email: &str) -> Result<Vec<User>> {
        let rows = sqlx::query("SELECT id FROM users WHERE LOWER(email) = LOWER($1) LIMIT 2")
            .bind(email.to_owned())
            .fetch_all(self.database())
            .await?;
        let mut users = Vec::new();
        for row in rows {
            let id: String = row.try_get(0)?;
            users.extend(self.user(&id).await?);
        }
        Ok(users)
    }

    /// Notes that a user came in with that identity, and adds it to them if it is new.
    ///
    /// # Errors
    ///
    /// The user has another identity with that issuer.
    pub async fn note_identity(&mut self, user: &str, issuer: &str, subject: &str) -> Result<()> {
        let now = micros(self.now);
        sqlx::query(
            "INSERT INTO identities (issuer, subject, user_id, created_at, last_used_at) \
             VALUES ($1, $2, $3, $4, $4) ON CONFLICT (issuer, subject) DO UPDATE SET \
             last_used_at = excluded.last_used_at",
        )
        .bind(issuer.to_owned())
        .bind(subject.to_owned())
        .bind(user.to_owned())
        .bind(now)
        .execute(self.database())
        .await?;
        Ok(())
    }

    /// The identities of a user, oldest first.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn identities(&mut self, user_id: &str) -> Result<Vec<Identity>> {
        let rows = sqlx::query(
            "SELECT issuer, subject, created_at, last_used_at FROM identities \
             WHERE user_id = $1 ORDER BY created_at, issuer",
        )
        .bind(user_id.to_owned())
        .fetch_all(self.database())
        .await?;
        let read = |row: &sqlx::any::AnyRow| -> Result<Identity> {
            Ok(Identity {
                issuer: row.try_get(0)?,
                subject: row.try_get(1)?,
                created_at: time(row.try_get(2)?),
                last_used_at: time(row.try_get(3)?),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Takes note of a sign-in that came back, for as long as it could come back again; false if
    /// it did before.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn use_state(&mut self, state: &str, lifetime: TimeDelta) -> Result<bool> {
        let now = micros(self.now);
        sqlx::query("DELETE FROM used_states WHERE expires_at <= $1")
            .bind(now)
            .execute(self.database())
            .await?;
        let done = sqlx::query(
            "INSERT INTO used_states (hash, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(hash(state.as_bytes()))
        .bind(micros(self.now + lifetime))
        .execute(self.database())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Replaces what the groups of a user give: roles, each with the name of a project or, for
    /// everywhere, with none. True if that changed something.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn set_group_roles(
        &mut self,
        user_id: &str,
        roles: &BTreeSet<(String, String)>,
    ) -> Result<bool> {
        // Of two sign-ins at once, the later one decides about all of it.
        self.lock_row("SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id).await?;
        let rows = sqlx::query("SELECT project, role FROM group_roles WHERE user_id = $1")
            .bind(user_id.to_owned())
            .fetch_all(self.database())
            .await?;
        let mut before = BTreeSet::new();
        for row in rows {
            before.insert((row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?));
        }
        if before == *roles {
            return Ok(false);
        }
        sqlx::query("DELETE FROM group_roles WHERE user_id = $1")
            .bind(user_id.to_owned())
            .execute(self.database())
            .await?;
        for (project, role) in roles {
            sqlx::query("INSERT INTO group_roles (user_id, project, role) VALUES ($1, $2, $3)")
                .bind(user_id.to_owned())
                .bind(project.clone())
                .bind(role.clone())
                .execute(self.database())
                .await?;
        }
        Ok(true)
    }
}
