//! Projects, which own everything else.

use chrono::{DateTime, Utc};
use sqlx::{Row, any::AnyRow};

use crate::{
    Result, Session, StoreError,
    id::{micros, new_id, time},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    pub id: String,
    pub name: String,
    pub title: String,
    pub description: String,
    pub user_auto_join: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Clone, Debug, Default)]
pub struct NewProject {
    pub name: String,
    pub title: String,
    pub description: String,
    pub user_auto_join: bool,
}

const COLUMNS: &str = "SELECT id, name, title, description, user_auto_join, created_at, updated_at \
                       FROM projects";

fn project(row: &AnyRow) -> Result<Project> {
    Ok(Project {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        title: row.try_get(2)?,
        description: row.try_get(3)?,
        user_auto_join: row.try_get::<i64, _>(4)? != 0,
        created_at: time(row.try_get(5)?),
        updated_at: time(row.try_get(6)?),
    })
}

impl Session {
    /// All projects by name.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn projects(&mut self) -> Result<Vec<Project>> {
        let sql = sqlx::AssertSqlSafe(format!("{COLUMNS} ORDER BY name"));
        let rows = sqlx::query(sql).fetch_all(self.database()).await?;
        rows.iter().map(project).collect()
    }

    /// The project with that name.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn project(&mut self, name: &str) -> Result<Option<Project>> {
        let sql = sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE name = $1"));
        let row = sqlx::query(sql).bind(name.to_owned()).fetch_optional(self.database()).await?;
        row.as_ref().map(project).transpose()
    }

    /// # Errors
    ///
    /// [`StoreError::Exists`].
    pub async fn create_project(&mut self, new: NewProject) -> Result<Project> {
        if self.project(&new.name).await?.is_some() {
            return Err(StoreError::Exists { what: format!("the project `{}`", new.name) });
        }
        let project = Project {
            id: new_id()?,
            name: new.name,
            title: new.title,
            description: new.description,
            user_auto_join: new.user_auto_join,
            created_at: self.now,
            updated_at: self.now,
        };
        sqlx::query(
            "INSERT INTO projects \
             (id, name, title, description, user_auto_join, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $6)",
        )
        .bind(project.id.clone())
        .bind(project.name.clone())
        .bind(project.title.clone())
        .bind(project.description.clone())
        .bind(i64::from(project.user_auto_join))
        .bind(micros(self.now))
        .execute(self.database())
        .await?;
        Ok(project)
    }

    /// Replaces title and description.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn update_project(&mut self, project: &mut Project) -> Result<()> {
        project.updated_at = self.now;
        sqlx::query(
            "UPDATE projects SET title = $2, description = $3, updated_at = $4 WHERE id = $1",
        )
        .bind(project.id.clone())
        .bind(project.title.clone())
        .bind(project.description.clone())
        .bind(micros(self.now))
        .execute(self.database())
        .await?;
        Ok(())
    }

    /// Removes a project that has no buckets; memberships and configurations go with it.
    ///
    /// # Errors
    ///
    /// It has buckets.
    pub async fn delete_project(&mut self, id: &str) -> Result<()> {
        sqlx::query("DELETE FROM projects WHERE id = $1")
            .bind(id.to_owned())
            .execute(self.database())
            .await?;
        Ok(())
    }
}
