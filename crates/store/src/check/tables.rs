//! What can be told of rows without looking into contents.

use sqlx::{AssertSqlSafe, Row};

use super::{Finding, Kind, Report};
use crate::{
    Kind as Database, NeededBy, Progress, Result, Session, Store, StoreError, Watcher, tables,
};

/// Most findings of one question.
const MOST: usize = 200;

impl Store {
    pub(super) async fn check_tables(
        &self,
        report: &mut Report,
        watcher: Watcher<'_>,
    ) -> Result<()> {
        let mut session = self.read().await?;
        let told = |done| watcher(Progress { what: "tables", done, total: 3 });
        if self.kind == Database::Sqlite {
            let found = session.integrity().await;
            accept(report, found, |report, found| report.extend(found))?;
        }
        told(1);
        let found = session.lost_contents().await;
        accept(report, found, |report, found| report.extend(found))?;
        told(2);
        let found = session.first_forged_event().await;
        accept(report, found, |report, forged| {
            if let Some(event) = forged {
                report.note(Kind::Audit, format!("from the event `{event}` on"));
            }
        })?;
        told(3);
        Ok(())
    }
}

/// A database that is damaged is a finding, and no reason to look no further.
fn accept<T>(
    report: &mut Report,
    found: Result<T>,
    take: impl FnOnce(&mut Report, T),
) -> Result<()> {
    match found {
        Ok(found) => take(report, found),
        Err(StoreError::Damaged { what }) => report.note(Kind::Database, what),
        Err(error) => return Err(error),
    }
    Ok(())
}

impl Report {
    fn extend(&mut self, found: Vec<Finding>) {
        found.into_iter().for_each(|finding| self.add(finding));
    }
}

fn finding(kind: Kind, what: String) -> Finding {
    Finding { kind, what, needed_by: NeededBy::default(), repaired: None }
}

impl Session {
    /// What SQLite itself finds. Spec: `PRAGMA integrity_check` and `PRAGMA foreign_key_check`,
    /// SQLite documentation.
    async fn integrity(&mut self) -> Result<Vec<Finding>> {
        let mut found = Vec::new();
        let sql = AssertSqlSafe(format!("PRAGMA integrity_check({MOST})"));
        for row in sqlx::query(sql).fetch_all(self.database()).await? {
            let text: String = row.try_get(0)?;
            if text != "ok" {
                found.push(finding(Kind::Database, text));
            }
        }
        let sql = "SELECT \"table\", parent, COUNT(*) FROM pragma_foreign_key_check \
                   GROUP BY 1, 2 ORDER BY 1, 2";
        for row in sqlx::query(sql).fetch_all(self.database()).await? {
            let (table, parent): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            // These are told by name.
            if parent != "contents" {
                let count: i64 = row.try_get(2)?;
                let what =
                    format!("{count} rows of `{table}` name rows of `{parent}` that are gone");
                found.push(finding(Kind::Reference, what));
            }
        }
        Ok(found)
    }

    /// Contents that rows name and that have no row of their own.
    async fn lost_contents(&mut self) -> Result<Vec<Finding>> {
        let mut found = Vec::new();
        for table in tables::TABLES {
            for column in table.contents {
                let sql = format!(
                    "SELECT DISTINCT {column} FROM {0} WHERE {column} IS NOT NULL AND NOT EXISTS \
                     (SELECT 1 FROM contents WHERE contents.hash = {0}.{column}) LIMIT {MOST}",
                    table.name
                );
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(self.database()).await?;
                for row in rows {
                    let hash: String = row.try_get(0)?;
                    let needed_by = self.needed_by(&hash).await?;
                    let what = format!("{hash} (no row, named by `{}`)", table.name);
                    let repaired = None;
                    found.push(Finding { kind: Kind::MissingContent, what, needed_by, repaired });
                }
            }
        }
        Ok(found)
    }
}
