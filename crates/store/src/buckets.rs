//! Buckets of raw emails.

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};

use crate::{
    Result, Session, StoreError,
    id::{micros, new_id, time},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub id: String,
    pub project_id: String,
    /// Name of the project.
    pub owner: String,
    pub name: String,
    pub title: String,
    /// The appliance that fills it, as JSON.
    pub last_updated_by: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

const COLUMNS: &str = "SELECT buckets.id, project_id, projects.name, buckets.name, buckets.title, \
                       last_updated_by, buckets.created_at, buckets.updated_at \
                       FROM buckets JOIN projects ON projects.id = project_id";

fn bucket(row: &AnyRow) -> Result<Bucket> {
    Ok(Bucket {
        id: row.try_get(0)?,
        project_id: row.try_get(1)?,
        owner: row.try_get(2)?,
        name: row.try_get(3)?,
        title: row.try_get(4)?,
        last_updated_by: row.try_get(5)?,
        created_at: time(row.try_get(6)?),
        updated_at: time(row.try_get(7)?),
    })
}

impl Session {
    /// All buckets by full name.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn buckets(&mut self) -> Result<Vec<Bucket>> {
        let sql = AssertSqlSafe(format!("{COLUMNS} ORDER BY projects.name, buckets.name"));
        let rows = sqlx::query(sql).fetch_all(self.database()).await?;
        rows.iter().map(bucket).collect()
    }

    /// The bucket of that name in the project of that name.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn bucket(&mut self, owner: &str, name: &str) -> Result<Option<Bucket>> {
        let sql = format!("{COLUMNS} WHERE projects.name = $1 AND buckets.name = $2");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(owner.to_owned()).bind(name.to_owned());
        query.fetch_optional(self.database()).await?.as_ref().map(bucket).transpose()
    }

    /// The bucket with that id.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn bucket_by_id(&mut self, id: &str) -> Result<Option<Bucket>> {
        let sql = AssertSqlSafe(format!("{COLUMNS} WHERE buckets.id = $1"));
        let query = sqlx::query(sql).bind(id.to_owned());
        query.fetch_optional(self.database()).await?.as_ref().map(bucket).transpose()
    }

    /// # Errors
    ///
    /// [`StoreError::Exists`].
    pub async fn create_bucket(&mut self, owner: &str, name: &str, title: &str) -> Result<Bucket> {
        let what = format!("the bucket `{owner}/{name}`");
        if self.bucket(owner, name).await?.is_some() {
            return Err(StoreError::Exists { what });
        }
        let now = micros(self.now);
        let inserted = sqlx::query(
            "INSERT INTO buckets (id, project_id, name, title, created_at, updated_at) \
             SELECT $1, id, $2, $3, $4, $4 FROM projects WHERE name = $5",
        )
        .bind(new_id()?)
        .bind(name.to_owned())
        .bind(title.to_owned())
        .bind(now)
        .bind(owner.to_owned())
        .execute(self.database())
        .await?;
        let made =
            if inserted.rows_affected() == 1 { self.bucket(owner, name).await? } else { None };
        made.ok_or(StoreError::Damaged { what })
    }

    /// Replaces title and the mark of who fills it.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn update_bucket(&mut self, bucket: &mut Bucket) -> Result<()> {
        bucket.updated_at = self.now;
        sqlx::query(
            "UPDATE buckets SET title = $2, last_updated_by = $3, updated_at = $4 WHERE id = $1",
        )
        .bind(bucket.id.clone())
        .bind(bucket.title.clone())
        .bind(bucket.last_updated_by.clone())
        .bind(micros(self.now))
        .execute(self.database())
        .await?;
        Ok(())
    }

    /// Removes a bucket with everything in it.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn delete_bucket(&mut self, id: &str) -> Result<()> {
        while self.delete_oldest_emails(id, 500).await? {}
        self.detach_sources(id).await?;
        let mut hashes: Vec<String> = Vec::new();
        for sql in [
            "SELECT DISTINCT hash FROM emails WHERE bucket_id = $1",
            "SELECT DISTINCT hash FROM email_attachments WHERE bucket_id = $1",
        ] {
            for row in sqlx::query(sql).bind(id.to_owned()).fetch_all(self.database()).await? {
                hashes.push(row.try_get(0)?);
            }
        }
        for sql in [
            "DELETE FROM email_attachments WHERE bucket_id = $1",
            "DELETE FROM emails WHERE bucket_id = $1",
            "DELETE FROM buckets WHERE id = $1",
        ] {
            sqlx::query(sql).bind(id.to_owned()).execute(self.database()).await?;
        }
        self.drop_unused(hashes).await
    }

    /// How many buckets a project has.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn count_buckets(&mut self, project_id: &str) -> Result<u64> {
        let row = sqlx::query("SELECT COUNT(*) FROM buckets WHERE project_id = $1")
            .bind(project_id.to_owned())
            .fetch_one(self.database())
            .await?;
        Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default())
    }
}
