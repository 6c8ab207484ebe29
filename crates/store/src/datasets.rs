//! Datasets: sources that are looked at together, with labels and what people have said about
//! their comments.

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};

use crate::{
    Result, Session, StoreError,
    id::{micros, new_id, time},
    session::places,
};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dataset {
    pub id: String,
    pub project_id: String,
    /// Name of the project.
    pub owner: String,
    pub name: String,
    pub title: String,
    pub description: String,
    pub model_family: String,
    pub has_sentiment: bool,
    /// Labels, fields and flags, as JSON.
    pub definition: String,
    /// How many of each the definition holds.
    pub labels: i64,
    pub entities: i64,
    /// In the order in which they were given.
    pub source_ids: Vec<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// What people have said about one comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    pub source_id: String,
    pub comment_id: String,
    /// JSON.
    pub content: String,
}

const COLUMNS: &str = "SELECT datasets.id, project_id, projects.name, datasets.name, \
                       datasets.title, datasets.description, model_family, has_sentiment, \
                       definition, labels, entities, datasets.created_at, datasets.updated_at \
                       FROM datasets JOIN projects ON projects.id = project_id";

fn dataset(row: &AnyRow) -> Result<Dataset> {
    Ok(Dataset {
        id: row.try_get(0)?,
        project_id: row.try_get(1)?,
        owner: row.try_get(2)?,
        name: row.try_get(3)?,
        title: row.try_get(4)?,
        description: row.try_get(5)?,
        model_family: row.try_get(6)?,
        has_sentiment: row.try_get::<i64, _>(7)? != 0,
        definition: row.try_get(8)?,
        labels: row.try_get(9)?,
        entities: row.try_get(10)?,
        source_ids: Vec::new(),
        created_at: time(row.try_get(11)?),
        updated_at: time(row.try_get(12)?),
    })
}

impl Session {
    async fn with_sources(&mut self, mut dataset: Dataset) -> Result<Dataset> {
        let sql = "SELECT source_id FROM dataset_sources WHERE dataset_id = $1 ORDER BY place";
        let rows = sqlx::query(sql).bind(dataset.id.clone()).fetch_all(self.database()).await?;
        let ids: Result<_, sqlx::Error> = rows.iter().map(|row| row.try_get(0)).collect();
        dataset.source_ids = ids?;
        Ok(dataset)
    }

    /// All datasets by full name.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn datasets(&mut self) -> Result<Vec<Dataset>> {
        let sql = AssertSqlSafe(format!("{COLUMNS} ORDER BY projects.name, datasets.name"));
        let rows = sqlx::query(sql).fetch_all(self.database()).await?;
        let mut datasets = rows.iter().map(dataset).collect::<Result<Vec<_>>>()?;
        let sql = "SELECT dataset_id, source_id FROM dataset_sources ORDER BY dataset_id, place";
        let mut sources = std::collections::HashMap::<String, Vec<String>>::new();
        for row in sqlx::query(sql).fetch_all(self.database()).await? {
            sources.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
        }
        for dataset in &mut datasets {
            dataset.source_ids = sources.remove(&dataset.id).unwrap_or_default();
        }
        Ok(datasets)
    }

    /// The dataset of that name in the project of that name.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn dataset(&mut self, owner: &str, name: &str) -> Result<Option<Dataset>> {
        let sql = format!("{COLUMNS} WHERE projects.name = $1 AND datasets.name = $2");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(owner.to_owned()).bind(name.to_owned());
        let row = query.fetch_optional(self.database()).await?;
        match row.as_ref().map(dataset).transpose()? {
            Some(dataset) => self.with_sources(dataset).await.map(Some),
            None => Ok(None),
        }
    }

    /// The dataset with that id.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn dataset_by_id(&mut self, id: &str) -> Result<Option<Dataset>> {
        let sql = AssertSqlSafe(format!("{COLUMNS} WHERE datasets.id = $1"));
        let row = sqlx::query(sql).bind(id.to_owned()).fetch_optional(self.database()).await?;
        match row.as_ref().map(dataset).transpose()? {
            Some(dataset) => self.with_sources(dataset).await.map(Some),
            None => Ok(None),
        }
    }

    /// Adds a dataset; its id and times are given here.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`].
    pub async fn create_dataset(&mut self, mut new: Dataset) -> Result<Dataset> {
        if self.dataset(&new.owner, &new.name).await?.is_some() {
            let what = format!("the dataset `{}/{}`", new.owner, new.name);
            return Err(StoreError::Exists { what });
        }
        new.id = new_id()?;
        new.created_at = self.now;
        new.updated_at = self.now;
        sqlx::query(
            "INSERT INTO datasets (id, project_id, name, title, description, model_family, \
             has_sentiment, definition, labels, entities, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
        )
        .bind(new.id.clone())
        .bind(new.project_id.clone())
        .bind(new.name.clone())
        .bind(new.title.clone())
        .bind(new.description.clone())
        .bind(new.model_family.clone())
        .bind(i64::from(new.has_sentiment))
        .bind(new.definition.clone())
        .bind(new.labels)
        .bind(new.entities)
        .bind(micros(self.now))
        .execute(self.database())
        .await?;
        self.set_sources(&new).await?;
        Ok(new)
    }

    /// Replaces everything but id, project and name.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn update_dataset(&mut self, changed: &mut Dataset) -> Result<()> {
        changed.updated_at = self.now;
        sqlx::query(
            "UPDATE datasets SET title = $2, description = $3, definition = $4, labels = $5, \
             entities = $6, updated_at = $7 WHERE id = $1",
        )
        .bind(changed.id.clone())
        .bind(changed.title.clone())
        .bind(changed.description.clone())
        .bind(changed.definition.clone())
        .bind(changed.labels)
        .bind(changed.entities)
        .bind(micros(self.now))
        .execute(self.database())
        .await?;
        let sql = "DELETE FROM dataset_sources WHERE dataset_id = $1";
        sqlx::query(sql).bind(changed.id.clone()).execute(self.database()).await?;
        self.set_sources(changed).await
    }

    async fn set_sources(&mut self, dataset: &Dataset) -> Result<()> {
        if dataset.source_ids.is_empty() {
            return Ok(());
        }
        let rows = places(self.kind(), 3, dataset.source_ids.len());
        let sql =
            format!("INSERT INTO dataset_sources (dataset_id, source_id, place) VALUES {rows}");
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (place, id) in (0_i64..).zip(&dataset.source_ids) {
            query = query.bind(dataset.id.clone()).bind(id.clone()).bind(place);
        }
        query.execute(self.database()).await?;
        Ok(())
    }

    /// Removes a dataset with its streams and annotations. The comments stay.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn delete_dataset(&mut self, id: &str) -> Result<()> {
        let sql = "DELETE FROM datasets WHERE id = $1";
        sqlx::query(sql).bind(id.to_owned()).execute(self.database()).await?;
        Ok(())
    }

    /// How many datasets a project has.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn count_datasets(&mut self, project_id: &str) -> Result<u64> {
        let row = sqlx::query("SELECT COUNT(*) FROM datasets WHERE project_id = $1")
            .bind(project_id.to_owned())
            .fetch_one(self.database())
            .await?;
        Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default())
    }

    /// What people have said about a comment, replaced whole.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn put_annotation(&mut self, dataset_id: &str, own: &Annotation) -> Result<()> {
        sqlx::query(
            "INSERT INTO annotations (dataset_id, source_id, comment_id, content, updated_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (dataset_id, source_id, comment_id) \
             DO UPDATE SET content = excluded.content, updated_at = excluded.updated_at",
        )
        .bind(dataset_id.to_owned())
        .bind(own.source_id.clone())
        .bind(own.comment_id.clone())
        .bind(own.content.clone())
        .bind(micros(self.now))
        .execute(self.database())
        .await?;
        Ok(())
    }

    /// What people have said about one comment in a dataset.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn annotation(
        &mut self,
        dataset_id: &str,
        source_id: &str,
        comment_id: &str,
    ) -> Result<Option<String>> {
        let row = sqlx::query(
            "SELECT content FROM annotations \
             WHERE dataset_id = $1 AND source_id = $2 AND comment_id = $3",
        )
        .bind(dataset_id.to_owned())
        .bind(source_id.to_owned())
        .bind(comment_id.to_owned())
        .fetch_optional(self.database())
        .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// A page of annotations in the order of source and comment, behind the pair `after`.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn annotations(
        &mut self,
        dataset_id: &str,
        after: (&str, &str),
        limit: usize,
    ) -> Result<Vec<Annotation>> {
        let rows = sqlx::query(
            "SELECT source_id, comment_id, content FROM annotations WHERE dataset_id = $1 \
             AND (source_id > $2 OR source_id = $2 AND comment_id > $3) \
             ORDER BY source_id, comment_id LIMIT $4",
        )
        .bind(dataset_id.to_owned())
        .bind(after.0.to_owned())
        .bind(after.1.to_owned())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(self.database())
        .await?;
        let own = |row: &AnyRow| {
            Ok(Annotation {
                source_id: row.try_get(0)?,
                comment_id: row.try_get(1)?,
                content: row.try_get(2)?,
            })
        };
        rows.iter().map(own).collect()
    }
}
