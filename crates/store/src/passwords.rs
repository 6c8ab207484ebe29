//! Hashes of passwords. What a hash is, whoever sets it knows.

use record::Secret;
use sqlx::Row;

use crate::{Held, Result, Session, id::micros};

impl Session {
    /// The hash of a user's password; `None` if they have none.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn password(&mut self, user_id: &str) -> Result<Option<Secret>> {
        let row = sqlx::query("SELECT hash FROM passwords WHERE user_id = $1")
            .bind(user_id.to_owned())
            .fetch_optional(self.database())
            .await?;
        let hash: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
        Ok(hash.map(Secret::from))
    }

    /// Whether that is still the hash of a user's password; it is until this transaction ends.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn still_has_password(&mut self, user_id: &str, hash: &Secret) -> Result<bool> {
        self.hold(Held::Password(user_id)).await?;
        let now = self.password(user_id).await?;
        Ok(now.is_some_and(|now| now.reveal() == hash.reveal()))
    }

    /// Replaces the hash of a user's password.
    ///
    /// # Errors
    ///
    /// There is no such user.
    pub async fn set_password(&mut self, user_id: &str, hash: &Secret) -> Result<()> {
        let now = micros(self.now);
        sqlx::query(
            "INSERT INTO passwords (user_id, hash, changed_at) VALUES ($1, $2, $3) \
             ON CONFLICT (user_id) DO UPDATE \
             SET hash = excluded.hash, changed_at = excluded.changed_at",
        )
        .bind(user_id.to_owned())
        .bind(hash.reveal().to_owned())
        .bind(now)
        .execute(self.database())
        .await?;
        Ok(())
    }

    /// Replaces a hash by another one of the same password, unless the password was changed.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn rehash_password(
        &mut self,
        user_id: &str,
        old: &Secret,
        new: &Secret,
    ) -> Result<()> {
        sqlx::query("UPDATE passwords SET hash = $3 WHERE user_id = $1 AND hash = $2")
            .bind(user_id.to_owned())
            .bind(old.reveal().to_owned())
            .bind(new.reveal().to_owned())
            .execute(self.database())
            .await?;
        Ok(())
    }
}
