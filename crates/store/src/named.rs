//! What a content is called by those who know nothing of hashes.

use serde::Serialize;
use sqlx::Row;

use crate::{Result, Session};

/// Most emails, and most comments, that are named for one content.
const MOST: i64 = 20;

/// Who needs a content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NeededBy {
    /// As `project/bucket id`: the email itself, or what was sent beside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<String>,
    /// As `project/source id`: what was sent beside the comment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub comments: Vec<String>,
}

impl NeededBy {
    /// All of them, for people.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let comments = self.comments.iter().map(|comment| format!("comment {comment}"));
        self.emails.iter().cloned().chain(comments)
    }
}

impl Session {
    /// The emails and comments that need a content.
    pub(crate) async fn needed_by(&mut self, hash: &str) -> Result<NeededBy> {
        let emails = self.names_of(
            "SELECT projects.name, buckets.name, found.id FROM \
             (SELECT bucket_id, id FROM emails WHERE hash = $1 UNION \
              SELECT bucket_id, email_id FROM email_attachments WHERE hash = $1) AS found \
             JOIN buckets ON buckets.id = found.bucket_id \
             JOIN projects ON projects.id = buckets.project_id ORDER BY 1, 2, 3 LIMIT $2",
            hash,
        );
        let emails = emails.await?;
        if !self.has_table("comment_attachments").await? {
            return Ok(NeededBy { emails, comments: Vec::new() });
        }
        let comments = self.names_of(
            "SELECT DISTINCT projects.name, sources.name, found.comment_id \
             FROM comment_attachments AS found \
             JOIN sources ON sources.id = found.source_id \
             JOIN projects ON projects.id = sources.project_id \
             WHERE found.hash = $1 ORDER BY 1, 2, 3 LIMIT $2",
            hash,
        );
        Ok(NeededBy { emails, comments: comments.await? })
    }

    async fn names_of(&mut self, sql: &'static str, hash: &str) -> Result<Vec<String>> {
        let query = sqlx::query(sql).bind(hash.to_owned()).bind(MOST);
        let rows = query.fetch_all(self.database()).await?;
        let name = |row: &sqlx::any::AnyRow| {
            let (project, place, id): (String, String, String) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            Ok(format!("{project}/{place} {id}"))
        };
        rows.iter().map(name).collect()
    }
}
