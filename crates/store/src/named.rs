//! What a content is called by those who know nothing of hashes.

use sqlx::Row;

use crate::{Result, Session};

/// Most emails that are named for one content.
const MOST: i64 = 20;

impl Session {
    /// The emails that need a content, as `project/bucket id`.
    pub(crate) async fn emails_with(&mut self, hash: &str) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT projects.name, buckets.name, found.id FROM \
             (SELECT bucket_id, id FROM emails WHERE hash = $1 UNION \
              SELECT bucket_id, email_id FROM email_attachments WHERE hash = $1) AS found \
             JOIN buckets ON buckets.id = found.bucket_id \
             JOIN projects ON projects.id = buckets.project_id ORDER BY 1, 2, 3 LIMIT $2",
        )
        .bind(hash.to_owned())
        .bind(MOST)
        .fetch_all(self.database())
        .await?;
        let name = |row: &sqlx::any::AnyRow| {
            let (project, bucket, id): (String, String, String) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            Ok(format!("{project}/{bucket} {id}"))
        };
        rows.iter().map(name).collect()
    }
}
