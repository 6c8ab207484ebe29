//! Which uploads of an hour have an audit event.

use crate::{Result, Session, id::micros};

/// Microseconds of an hour.
const HOUR: i64 = 3_600_000_000;

impl Session {
    /// Takes note of an upload; true if it is the first of this hour for which all three are so.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn mark_upload(
        &mut self,
        credential: &str,
        subject: &str,
        address: &str,
    ) -> Result<bool> {
        let hour = micros(self.now).div_euclid(HOUR);
        let done = sqlx::query(
            "INSERT INTO upload_marks (credential, subject, address, hour) \
             VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(credential.to_owned())
        .bind(subject.to_owned())
        .bind(address.to_owned())
        .bind(hour)
        .execute(self.database())
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query("DELETE FROM upload_marks WHERE hour < $1")
            .bind(hour)
            .execute(self.database())
            .await?;
        Ok(true)
    }
}
