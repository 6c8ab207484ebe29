//! How many of a kind there may be.

use std::collections::HashMap;

use sqlx::Row;

use crate::{Result, Session};

/// A limit and how much of it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    pub kind: &'static str,
    pub hard_limit: i64,
    pub used: i64,
    pub auto_increase_up_to: Option<i64>,
}

/// Limit of a kind for which none was set.
const DEFAULT: i64 = 10_000;

/// The kinds, and how each is counted; those "per" something count the largest. The official
/// client knows these names, and ends at any other.
const KINDS: &[(&str, &str)] = &[
    ("buckets", "SELECT COUNT(*) FROM buckets"),
    ("datasets", "SELECT COUNT(*) FROM datasets"),
    (
        "datasets_per_source",
        "SELECT COALESCE(MAX(count), 0) FROM \
         (SELECT COUNT(*) AS count FROM dataset_sources GROUP BY source_id) AS counted",
    ),
    ("entities_per_dataset", "SELECT COALESCE(MAX(entities), 0) FROM datasets"),
    ("integrations", "SELECT COUNT(*) FROM integrations"),
    ("labels_per_dataset", "SELECT COALESCE(MAX(labels), 0) FROM datasets"),
    ("mailboxes_per_integration", "SELECT COALESCE(MAX(mailboxes), 0) FROM integrations"),
    ("projects", "SELECT COUNT(*) FROM projects"),
    ("sources", "SELECT COUNT(*) FROM sources"),
    (
        "sources_per_dataset",
        "SELECT COALESCE(MAX(count), 0) FROM \
         (SELECT COUNT(*) AS count FROM dataset_sources GROUP BY dataset_id) AS counted",
    ),
    ("triggers", "SELECT COUNT(*) FROM streams"),
    (
        "triggers_per_dataset",
        "SELECT COALESCE(MAX(count), 0) FROM \
         (SELECT COUNT(*) AS count FROM streams GROUP BY dataset_id) AS counted",
    ),
    ("users", "SELECT COUNT(*) FROM users"),
];

impl Quota {
    /// The kinds that are counted.
    pub fn kinds() -> impl Iterator<Item = &'static str> {
        KINDS.iter().map(|(kind, _)| *kind)
    }

    /// How many there may be: the limit grows by itself up to where it was allowed to.
    pub fn limit(&self) -> i64 {
        self.hard_limit.max(self.auto_increase_up_to.unwrap_or_default())
    }
}

impl Session {
    /// # Errors
    ///
    /// The database failed.
    pub async fn quotas(&mut self) -> Result<Vec<Quota>> {
        let mut set = HashMap::new();
        let rows = sqlx::query("SELECT kind, hard_limit, auto_increase_up_to FROM quotas")
            .fetch_all(self.database())
            .await?;
        for row in rows {
            let limits: (i64, Option<i64>) = (row.try_get(1)?, row.try_get(2)?);
            set.insert(row.try_get::<String, _>(0)?, limits);
        }
        let mut quotas = Vec::new();
        for (kind, count) in KINDS {
            let used: i64 = sqlx::query(*count).fetch_one(self.database()).await?.try_get(0)?;
            let (hard_limit, auto_increase_up_to) = set.remove(*kind).unwrap_or((DEFAULT, None));
            quotas.push(Quota { kind, hard_limit, used, auto_increase_up_to });
        }
        Ok(quotas)
    }

    /// One quota; counting the others would cost more than what it is asked for.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn quota(&mut self, kind: &str) -> Result<Option<Quota>> {
        let Some((kind, count)) = KINDS.iter().find(|(own, _)| *own == kind) else {
            return Ok(None);
        };
        let used: i64 = sqlx::query(*count).fetch_one(self.database()).await?.try_get(0)?;
        let sql = "SELECT hard_limit, auto_increase_up_to FROM quotas WHERE kind = $1";
        let row = sqlx::query(sql).bind((*kind).to_owned()).fetch_optional(self.database()).await?;
        let (hard_limit, auto_increase_up_to) = match row {
            Some(row) => (row.try_get(0)?, row.try_get(1)?),
            None => (DEFAULT, None),
        };
        Ok(Some(Quota { kind, hard_limit, used, auto_increase_up_to }))
    }

    /// # Errors
    ///
    /// The database failed.
    pub async fn set_quota(&mut self, quota: &Quota) -> Result<()> {
        sqlx::query(
            "INSERT INTO quotas (kind, hard_limit, auto_increase_up_to) VALUES ($1, $2, $3) \
             ON CONFLICT (kind) DO UPDATE SET hard_limit = excluded.hard_limit, \
             auto_increase_up_to = excluded.auto_increase_up_to",
        )
        .bind(quota.kind)
        .bind(quota.hard_limit)
        .bind(quota.auto_increase_up_to)
        .execute(self.database())
        .await?;
        Ok(())
    }
}
