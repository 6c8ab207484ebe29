//! One-time links: whoever has one may set the password of a user.

use chrono::{DateTime, TimeDelta, Utc};
use record::Secret;
use sqlx::Row;

use crate::{
    Result, Session, StoreError, User,
    id::{hash, hex, micros, random, time},
};

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    FirstAdmin,
    Invitation,
    Reset,
}

impl LinkKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstAdmin => "first_admin",
            Self::Invitation => "invitation",
            Self::Reset => "reset",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::FirstAdmin, Self::Invitation, Self::Reset].into_iter().find(|k| k.name() == name)
    }
}

/// A link that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub user: User,
    pub kind: LinkKind,
    pub expires_at: DateTime<Utc>,
}

impl Session {
    /// Makes the one link of a user; one that was there before is worthless. Its secret is
    /// returned once and kept nowhere.
    ///
    /// # Errors
    ///
    /// There is no such user.
    pub async fn make_link(
        &mut self,
        user_id: &str,
        kind: LinkKind,
        lifetime: TimeDelta,
    ) -> Result<(Secret, DateTime<Utc>)> {
        let text = format!("tri_link_{}", hex(&random::<32>()?));
        let expires_at = self.now + lifetime;
        let now = micros(self.now);
        sqlx::query(
            "INSERT INTO links (user_id, hash, kind, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (user_id) DO UPDATE SET \
             hash = excluded.hash, kind = excluded.kind, created_at = excluded.created_at, \
             expires_at = excluded.expires_at",
        )
        .bind(user_id.to_owned())
        .bind(hash(text.as_bytes()))
        .bind(kind.name())
        .bind(now)
        .bind(micros(expires_at))
        .execute(self.database())
        .await?;
        Ok((Secret::from(text), expires_at))
    }

    /// The link with that secret; `None` if it is unknown, used or expired, or its user disabled.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn link(&mut self, secret: &Secret) -> Result<Option<Link>> {
        let row = sqlx::query(
            "SELECT user_id, kind, expires_at FROM links WHERE hash = $1 AND expires_at > $2",
        )
        .bind(hash(secret.reveal().as_bytes()))
        .bind(micros(self.now))
        .fetch_optional(self.database())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let (user_id, kind): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let damaged = || StoreError::Damaged { what: "the kind of a link".to_owned() };
        let kind = LinkKind::named(&kind).ok_or_else(damaged)?;
        let expires_at = time(row.try_get(2)?);
        let user = self.user(&user_id).await?.filter(|user| user.disabled_at.is_none());
        Ok(user.map(|user| Link { user, kind, expires_at }))
    }

    /// Uses a link up: of several who try, one gets it.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn use_link(&mut self, secret: &Secret) -> Result<Option<Link>> {
        let Some(link) = self.link(secret).await? else { return Ok(None) };
        let done = sqlx::query("DELETE FROM links WHERE hash = $1")
            .bind(hash(secret.reveal().as_bytes()))
            .execute(self.database())
            .await?;
        Ok((done.rows_affected() > 0).then_some(link))
    }

    /// Makes the link of a user worthless.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn drop_link(&mut self, user_id: &str) -> Result<bool> {
        let done = sqlx::query("DELETE FROM links WHERE user_id = $1")
            .bind(user_id.to_owned())
            .execute(self.database())
            .await?;
        Ok(done.rows_affected() > 0)
    }
}
