//! Single values that processes leave to one another.

use sqlx::Row;

use crate::{Result, Session};

impl Session {
    /// The value of that name.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn setting(&mut self, name: &str) -> Result<Option<String>> {
        let row = sqlx::query("SELECT value FROM settings WHERE name = $1")
            .bind(name.to_owned())
            .fetch_optional(self.database())
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Replaces the value of that name.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn set_setting(&mut self, name: &str, value: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO settings (name, value) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(name.to_owned())
        .bind(value.to_owned())
        .execute(self.database())
        .await?;
        Ok(())
    }
}
