//! Configurations of appliances, with everything that they ever were.

use chrono::{DateTime, Utc};
use sqlx::{Row, any::AnyRow};

use crate::{
    Result, Session,
    id::{hash, micros, time},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub version: i64,
    pub content: Vec<u8>,
    /// SHA-256 of the content, in lower-case hex.
    pub hash: String,
    /// Name of the user.
    pub written_by: String,
    pub created_at: DateTime<Utc>,
}

fn config(row: &AnyRow) -> Result<Config> {
    Ok(Config {
        version: row.try_get(0)?,
        content: row.try_get(1)?,
        hash: row.try_get(2)?,
        written_by: row.try_get(3)?,
        created_at: time(row.try_get(4)?),
    })
}

impl Session {
    /// The version in force.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn config(&mut self, project_id: &str, name: &str) -> Result<Option<Config>> {
        let row = sqlx::query(
            "SELECT version, content, hash, written_by, created_at FROM appliance_configs \
             WHERE project_id = $1 AND name = $2 ORDER BY version DESC LIMIT 1",
        )
        .bind(project_id.to_owned())
        .bind(name.to_owned())
        .fetch_optional(self.database())
        .await?;
        row.as_ref().map(config).transpose()
    }

    /// Adds a version, unless it equals the one in force.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn put_config(
        &mut self,
        project_id: &str,
        name: &str,
        content: &[u8],
        written_by: &str,
    ) -> Result<Config> {
        let held = self.config(project_id, name).await?;
        let hash = hash(content);
        if let Some(held) = held.as_ref().filter(|held| held.hash == hash) {
            return Ok(held.clone());
        }
        let config = Config {
            version: held.map_or(0, |held| held.version) + 1,
            content: content.to_vec(),
            hash,
            written_by: written_by.to_owned(),
            created_at: self.now,
        };
        sqlx::query(
            "INSERT INTO appliance_configs \
             (project_id, name, version, content, hash, written_by, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(project_id.to_owned())
        .bind(name.to_owned())
        .bind(config.version)
        .bind(config.content.clone())
        .bind(config.hash.clone())
        .bind(config.written_by.clone())
        .bind(micros(self.now))
        .execute(self.database())
        .await?;
        Ok(config)
    }

    /// Every version, newest first.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn config_history(&mut self, project_id: &str, name: &str) -> Result<Vec<Config>> {
        let rows = sqlx::query(
            "SELECT version, content, hash, written_by, created_at FROM appliance_configs \
             WHERE project_id = $1 AND name = $2 ORDER BY version DESC",
        )
        .bind(project_id.to_owned())
        .bind(name.to_owned())
        .fetch_all(self.database())
        .await?;
        rows.iter().map(config).collect()
    }
}
