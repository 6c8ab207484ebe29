//! Integrations: where mail is to be fetched from, by whom it may be, and what went wrong.

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};

use crate::{
    Result, Session, StoreError,
    id::{micros, new_id, time},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integration {
    pub id: String,
    pub project_id: String,
    /// Name of the project.
    pub owner: String,
    pub name: String,
    pub title: String,
    pub kind: String,
    pub enabled: bool,
    pub disabled_reason: Option<String>,
    /// JSON without secrets.
    pub configuration: String,
    /// Sealed by whoever has the key.
    pub secrets: Option<String>,
    /// How many the configuration names.
    pub mailboxes: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What an integration could not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegrationError {
    pub number: i64,
    pub kind: String,
    /// JSON.
    pub action: String,
    pub text: String,
    pub created_at: DateTime<Utc>,
}

/// Errors that are kept of each integration: the last ones.
const KEPT_ERRORS: i64 = 100;

const COLUMNS: &str = "SELECT integrations.id, project_id, projects.name, integrations.name, \
                       integrations.title, kind, enabled, disabled_reason, configuration, \
                       secrets, mailboxes, integrations.created_at, integrations.updated_at \
                       FROM integrations JOIN projects ON projects.id = project_id";

fn integration(row: &AnyRow) -> Result<Integration> {
    Ok(Integration {
        id: row.try_get(0)?,
        project_id: row.try_get(1)?,
        owner: row.try_get(2)?,
        name: row.try_get(3)?,
        title: row.try_get(4)?,
        kind: row.try_get(5)?,
        enabled: row.try_get::<i64, _>(6)? != 0,
        disabled_reason: row.try_get(7)?,
        configuration: row.try_get(8)?,
        secrets: row.try_get(9)?,
        mailboxes: row.try_get(10)?,
        created_at: time(row.try_get(11)?),
        updated_at: time(row.try_get(12)?),
    })
}

impl Session {
    /// All integrations by full name.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn integrations(&mut self) -> Result<Vec<Integration>> {
        let sql = AssertSqlSafe(format!("{COLUMNS} ORDER BY projects.name, integrations.name"));
        let rows = sqlx::query(sql).fetch_all(self.database()).await?;
        rows.iter().map(integration).collect()
    }

    /// The integration of that name in the project of that name.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn integration(&mut self, owner: &str, name: &str) -> Result<Option<Integration>> {
        let sql = format!("{COLUMNS} WHERE projects.name = $1 AND integrations.name = $2");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(owner.to_owned()).bind(name.to_owned());
        query.fetch_optional(self.database()).await?.as_ref().map(integration).transpose()
    }

    /// The integration with that id.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn integration_by_id(&mut self, id: &str) -> Result<Option<Integration>> {
        let sql = AssertSqlSafe(format!("{COLUMNS} WHERE integrations.id = $1"));
        let query = sqlx::query(sql).bind(id.to_owned());
        query.fetch_optional(self.database()).await?.as_ref().map(integration).transpose()
    }

    /// Adds an integration; its times are given here.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`].
    pub async fn create_integration(&mut self, mut new: Integration) -> Result<Integration> {
        if self.integration(&new.owner, &new.name).await?.is_some() {
            let what = format!("the integration `{}/{}`", new.owner, new.name);
            return Err(StoreError::Exists { what });
        }
        new.created_at = self.now;
        new.updated_at = self.now;
        sqlx::query(
            "INSERT INTO integrations (id, project_id, name, title, kind, enabled, \
             disabled_reason, configuration, secrets, mailboxes, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
        )
        .bind(new.id.clone())
        .bind(new.project_id.clone())
        .bind(new.name.clone())
        .bind(new.title.clone())
        .bind(new.kind.clone())
        .bind(i64::from(new.enabled))
        .bind(new.disabled_reason.clone())
        .bind(new.configuration.clone())
        .bind(new.secrets.clone())
        .bind(new.mailboxes)
        .bind(micros(self.now))
        .execute(self.database())
        .await?;
        Ok(new)
    }

    /// Replaces everything but id, project and name. The time of the change is never that of the
    /// one before, so that whoever has seen that one can tell.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn update_integration(&mut self, changed: &mut Integration) -> Result<()> {
        let least = changed.updated_at + chrono::TimeDelta::microseconds(1);
        changed.updated_at = self.now.max(least);
        sqlx::query(
            "UPDATE integrations SET title = $2, enabled = $3, disabled_reason = $4, \
             configuration = $5, secrets = $6, mailboxes = $7, updated_at = $8 WHERE id = $1",
        )
        .bind(changed.id.clone())
        .bind(changed.title.clone())
        .bind(i64::from(changed.enabled))
        .bind(changed.disabled_reason.clone())
        .bind(changed.configuration.clone())
        .bind(changed.secrets.clone())
        .bind(changed.mailboxes)
        .bind(micros(changed.updated_at))
        .execute(self.database())
        .await?;
        Ok(())
    }

    /// Removes an integration with its errors. The mail that it fetched stays.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn delete_integration(&mut self, id: &str) -> Result<()> {
        let sql = "DELETE FROM integrations WHERE id = $1";
        sqlx::query(sql).bind(id.to_owned()).execute(self.database()).await?;
        Ok(())
    }

    /// How many integrations have credentials that are sealed.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn count_sealed(&mut self) -> Result<u64> {
        let query = sqlx::query("SELECT COUNT(*) FROM integrations WHERE secrets IS NOT NULL");
        let count: i64 = query.fetch_one(self.database()).await?.try_get(0)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// How many integrations a project has.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn count_integrations(&mut self, project_id: &str) -> Result<u64> {
        let row = sqlx::query("SELECT COUNT(*) FROM integrations WHERE project_id = $1")
            .bind(project_id.to_owned())
            .fetch_one(self.database())
            .await?;
        Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default())
    }

    /// Writes down what an integration could not do; only the last ones are kept.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn add_integration_error(
        &mut self,
        integration_id: &str,
        kind: &str,
        action: &str,
        text: &str,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO integration_errors (integration_id, kind, action, text, created_at) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(integration_id.to_owned())
        .bind(kind.to_owned())
        .bind(action.to_owned())
        .bind(text.to_owned())
        .bind(micros(self.now))
        .execute(self.database())
        .await?;
        sqlx::query(
            "DELETE FROM integration_errors WHERE integration_id = $1 AND number <= \
             (SELECT number FROM integration_errors WHERE integration_id = $1 \
             ORDER BY number DESC LIMIT 1 OFFSET $2)",
        )
        .bind(integration_id.to_owned())
        .bind(KEPT_ERRORS)
        .execute(self.database())
        .await?;
        Ok(())
    }

    /// What an integration could not do, newest first.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn integration_errors(&mut self, id: &str) -> Result<Vec<IntegrationError>> {
        let rows = sqlx::query(
            "SELECT number, kind, action, text, created_at FROM integration_errors \
             WHERE integration_id = $1 ORDER BY number DESC",
        )
        .bind(id.to_owned())
        .fetch_all(self.database())
        .await?;
        let error = |row: &AnyRow| {
            Ok(IntegrationError {
                number: row.try_get(0)?,
                kind: row.try_get(1)?,
                action: row.try_get(2)?,
                text: row.try_get(3)?,
                created_at: time(row.try_get(4)?),
            })
        };
        rows.iter().map(error).collect()
    }

    /// An id for a row that is about to be made, for what must be bound to it.
    ///
    /// # Errors
    ///
    /// There are no random numbers.
    pub fn draw_id(&self) -> Result<String> {
        new_id()
    }
}
