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

const KINDS: [(&str, &str); 4] = [
    ("buckets", "SELECT COUNT(*) FROM buckets"),
    ("projects", "SELECT COUNT(*) FROM projects"),
    ("sources", "SELECT COUNT(*) FROM sources"),
    ("users", "SELECT COUNT(*) FROM users"),
];

impl Quota {
    /// The kinds that are counted.
    pub fn kinds() -> impl Iterator<Item = &'static str> {
        KINDS.iter().map(|(kind, _)| *kind)
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
            let used: i64 = sqlx::query(count).fetch_one(self.database()).await?.try_get(0)?;
            let (hard_limit, auto_increase_up_to) = set.remove(kind).unwrap_or((DEFAULT, None));
            quotas.push(Quota { kind, hard_limit, used, auto_increase_up_to });
        }
        Ok(quotas)
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
