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

/// A configuration without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigVersion {
    pub name: String,
    pub version: i64,
    /// Bytes of the content.
    pub size: i64,
    pub hash: String,
    pub written_by: String,
    pub created_at: DateTime<Utc>,
}

fn version(row: &AnyRow, name: &str) -> Result<ConfigVersion> {
    Ok(ConfigVersion {
        name: name.to_owned(),
        version: row.try_get(0)?,
        // One database counts in 32 bits, the other in 64.
        size: row.try_get::<i64, _>(1).or_else(|_| row.try_get::<i32, _>(1).map(i64::from))?,
        hash: row.try_get(2)?,
        written_by: row.try_get(3)?,
        created_at: time(row.try_get(4)?),
    })
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

    /// Versions, newest first; `before` is the last one of the page before.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn config_history(
        &mut self,
        project_id: &str,
        name: &str,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<ConfigVersion>> {
        let rows = sqlx::query(
            "SELECT version, LENGTH(content), hash, written_by, created_at FROM appliance_configs \
             WHERE project_id = $1 AND name = $2 AND version < $3 ORDER BY version DESC LIMIT $4",
        )
        .bind(project_id.to_owned())
        .bind(name.to_owned())
        .bind(before.unwrap_or(i64::MAX))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(self.database())
        .await?;
        rows.iter().map(|row| version(row, name)).collect()
    }

    /// One version.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn config_version(
        &mut self,
        project_id: &str,
        name: &str,
        version: i64,
    ) -> Result<Option<Config>> {
        let row = sqlx::query(
            "SELECT version, content, hash, written_by, created_at FROM appliance_configs \
             WHERE project_id = $1 AND name = $2 AND version = $3",
        )
        .bind(project_id.to_owned())
        .bind(name.to_owned())
        .bind(version)
        .fetch_optional(self.database())
        .await?;
        row.as_ref().map(config).transpose()
    }

    /// The version in force of each configuration of a project, by name.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn configs(&mut self, project_id: &str) -> Result<Vec<ConfigVersion>> {
        let rows = sqlx::query(
            "SELECT version, LENGTH(content), hash, written_by, created_at, name \
             FROM appliance_configs AS own WHERE project_id = $1 AND version = \
             (SELECT MAX(version) FROM appliance_configs AS newest \
             WHERE newest.project_id = own.project_id AND newest.name = own.name) ORDER BY name",
        )
        .bind(project_id.to_owned())
        .fetch_all(self.database())
        .await?;
        rows.iter().map(|row| version(row, &row.try_get::<String, _>(5)?)).collect()
    }
}
