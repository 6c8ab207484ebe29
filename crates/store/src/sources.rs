//! Sources of comments.

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};

use crate::{
    Result, Session, StoreError,
    id::{micros, new_id, time},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub id: String,
    pub project_id: String,
    /// Name of the project.
    pub owner: String,
    pub name: String,
    pub details: SourceDetails,
    /// Grows whenever the emails of its bucket have to be converted anew.
    pub generation: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// When a comment of it was written or removed last.
    pub last_modified: DateTime<Utc>,
}

/// What can be changed of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceDetails {
    pub title: String,
    pub description: String,
    pub language: String,
    pub should_translate: bool,
    /// JSON.
    pub sensitive_properties: String,
    pub kind: String,
    /// The bucket whose emails become comments.
    pub bucket_id: Option<String>,
    pub transform_tag: Option<String>,
    pub transform_version: Option<i64>,
}

impl SourceDetails {
    /// Whether the emails of the bucket have to be converted, or converted anew.
    fn converts_anew(&self, before: &Self) -> bool {
        let of =
            |own: &Self| (own.bucket_id.clone(), own.transform_tag.clone(), own.transform_version);
        self.bucket_id.is_some() && of(self) != of(before)
    }
}

const COLUMNS: &str = "SELECT sources.id, project_id, projects.name, sources.name, sources.title, \
                       sources.description, language, should_translate, sensitive_properties, \
                       kind, bucket_id, transform_tag, transform_version, generation, \
                       sources.created_at, sources.updated_at, last_modified \
                       FROM sources JOIN projects ON projects.id = project_id";

fn source(row: &AnyRow) -> Result<Source> {
    Ok(Source {
        id: row.try_get(0)?,
        project_id: row.try_get(1)?,
        owner: row.try_get(2)?,
        name: row.try_get(3)?,
        details: SourceDetails {
            title: row.try_get(4)?,
            description: row.try_get(5)?,
            language: row.try_get(6)?,
            should_translate: row.try_get::<i64, _>(7)? != 0,
            sensitive_properties: row.try_get(8)?,
            kind: row.try_get(9)?,
            bucket_id: row.try_get(10)?,
            transform_tag: row.try_get(11)?,
            transform_version: row.try_get(12)?,
        },
        generation: row.try_get(13)?,
        created_at: time(row.try_get(14)?),
        updated_at: time(row.try_get(15)?),
        last_modified: time(row.try_get(16)?),
    })
}

impl Session {
    /// All sources by full name.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn sources(&mut self) -> Result<Vec<Source>> {
        let sql = AssertSqlSafe(format!("{COLUMNS} ORDER BY projects.name, sources.name"));
        let rows = sqlx::query(sql).fetch_all(self.database()).await?;
        rows.iter().map(source).collect()
    }

    /// The source of that name in the project of that name.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn source(&mut self, owner: &str, name: &str) -> Result<Option<Source>> {
        let sql = format!("{COLUMNS} WHERE projects.name = $1 AND sources.name = $2");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(owner.to_owned()).bind(name.to_owned());
        query.fetch_optional(self.database()).await?.as_ref().map(source).transpose()
    }

    /// The source with that id.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn source_by_id(&mut self, id: &str) -> Result<Option<Source>> {
        let sql = AssertSqlSafe(format!("{COLUMNS} WHERE sources.id = $1"));
        let query = sqlx::query(sql).bind(id.to_owned());
        query.fetch_optional(self.database()).await?.as_ref().map(source).transpose()
    }

    /// Makes a source. If it has a bucket, the emails there will become comments of it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`].
    pub async fn create_source(
        &mut self,
        owner: &str,
        name: &str,
        details: SourceDetails,
    ) -> Result<Source> {
        let what = format!("the source `{owner}/{name}`");
        if self.source(owner, name).await?.is_some() {
            return Err(StoreError::Exists { what });
        }
        let id = new_id()?;
        let now = micros(self.now);
        let inserted = sqlx::query(
            "INSERT INTO sources (id, project_id, name, title, description, language, \
             should_translate, sensitive_properties, kind, generation, format, created_at, \
             updated_at, last_modified) \
             SELECT $1, id, $2, '', '', '', 0, '[]', '', 0, 0, $3, $3, $3 \
             FROM projects WHERE name = $4",
        )
        .bind(id.clone())
        .bind(name.to_owned())
        .bind(now)
        .bind(owner.to_owned())
        .execute(self.database())
        .await?;
        let made = if inserted.rows_affected() == 1 { self.source_by_id(&id).await? } else { None };
        let mut made = made.ok_or(StoreError::Damaged { what })?;
        made.details = details;
        self.update_source(&mut made).await?;
        Ok(made)
    }

    /// Replaces the details. Another bucket, tag or version lets all emails of the bucket be
    /// converted anew; without a bucket, none are, and the comments that are there stay.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn update_source(&mut self, source: &mut Source) -> Result<()> {
        if let Some(bucket) = &source.details.bucket_id {
            // Uploads that are under way do not know of the source: they end first, and later ones
            // put their emails into the queue.
            self.lock_row("SELECT 1 FROM buckets WHERE id = $1 FOR UPDATE", bucket).await?;
        }
        self.lock_row("SELECT 1 FROM sources WHERE id = $1 FOR UPDATE", &source.id).await?;
        let what = || StoreError::Damaged { what: format!("the source `{}`", source.id) };
        let before = self.source_by_id(&source.id).await?.ok_or_else(what)?;
        let details = source.details.clone();
        source.updated_at = self.now;
        sqlx::query(
            "UPDATE sources SET title = $2, description = $3, language = $4, \
             should_translate = $5, sensitive_properties = $6, kind = $7, bucket_id = $8, \
             transform_tag = $9, transform_version = $10, updated_at = $11 WHERE id = $1",
        )
        .bind(source.id.clone())
        .bind(details.title.clone())
        .bind(details.description.clone())
        .bind(details.language.clone())
        .bind(i64::from(details.should_translate))
        .bind(details.sensitive_properties.clone())
        .bind(details.kind.clone())
        .bind(details.bucket_id.clone())
        .bind(details.transform_tag.clone())
        .bind(details.transform_version)
        .bind(micros(self.now))
        .execute(self.database())
        .await?;
        if details.bucket_id != before.details.bucket_id {
            self.clear_conversions(&source.id).await?;
        }
        if details.converts_anew(&before.details) {
            source.generation = before.generation + 1;
            self.convert_anew(&source.id).await?;
        }
        Ok(())
    }

    /// Removes a source with everything in it.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn delete_source(&mut self, id: &str) -> Result<()> {
        self.lock_row("SELECT 1 FROM sources WHERE id = $1 FOR UPDATE", id).await?;
        while self.delete_oldest_comments(id, 500).await? {}
        let mut hashes = Vec::new();
        let sql = "SELECT DISTINCT hash FROM comment_attachments WHERE source_id = $1";
        for row in sqlx::query(sql).bind(id.to_owned()).fetch_all(self.database()).await? {
            hashes.push(row.try_get(0)?);
        }
        for sql in [
            "DELETE FROM comment_attachments WHERE source_id = $1",
            "DELETE FROM conversions WHERE source_id = $1",
            "DELETE FROM annotations WHERE source_id = $1",
            "DELETE FROM dataset_sources WHERE source_id = $1",
            "DELETE FROM stream_positions WHERE source_id = $1",
            "DELETE FROM sources WHERE id = $1",
        ] {
            sqlx::query(sql).bind(id.to_owned()).execute(self.database()).await?;
        }
        self.drop_unused(hashes).await
    }

    /// Lets go of a bucket that is about to be removed.
    pub(crate) async fn detach_sources(&mut self, bucket_id: &str) -> Result<()> {
        let sql = "SELECT id FROM sources WHERE bucket_id = $1";
        for row in sqlx::query(sql).bind(bucket_id.to_owned()).fetch_all(self.database()).await? {
            self.clear_conversions(row.try_get(0)?).await?;
        }
        sqlx::query("UPDATE sources SET bucket_id = NULL, updated_at = $2 WHERE bucket_id = $1")
            .bind(bucket_id.to_owned())
            .bind(micros(self.now))
            .execute(self.database())
            .await?;
        Ok(())
    }

    /// How many sources a project has.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn count_sources(&mut self, project_id: &str) -> Result<u64> {
        let row = sqlx::query("SELECT COUNT(*) FROM sources WHERE project_id = $1")
            .bind(project_id.to_owned())
            .fetch_one(self.database())
            .await?;
        Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default())
    }
}
