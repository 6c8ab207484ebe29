//! Search by threads: of each, the newest comment that is found.

use std::collections::BTreeSet;

use search::{Mark, Node};
use sqlx::{AssertSqlSafe, Row};

use super::ask::{Count, Search};
use crate::{
    Comment, Result, Session,
    comments::{COLUMNS, comment},
};

/// Comments that are looked at in one go, for each thread that is wanted.
const AHEAD: usize = 4;
/// Times that is done for one page: threads of thousands of comments must not hold up an answer.
const ROUNDS: usize = 16;
/// Comments of a thread that are counted.
const COUNTED: u64 = 1_000;

/// A thread, or a comment that is in none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadHit {
    /// The newest that is found.
    pub comment: Comment,
    pub found: Count,
    /// All of its comments, found or not.
    pub comments: Count,
}

/// A page of threads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadPage {
    pub hits: Vec<ThreadHit>,
    /// Where the next page begins; none at the end.
    pub after: Option<i64>,
}

type Key = (String, String);

fn key(comment: &Comment) -> Option<Key> {
    comment.thread_id.clone().map(|thread| (comment.source_id.clone(), thread))
}

impl Session {
    /// Threads with comments that are found, in the order of the newest of those, at most so many.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn search_threads(&mut self, wanted: &Search, most: usize) -> Result<ThreadPage> {
        let mut page = ThreadPage::default();
        let (mut wanted, mut seen) = (wanted.clone(), BTreeSet::new());
        let began = wanted.after;
        for round in 1.. {
            let ahead = most * AHEAD;
            let places = self.search_places(&wanted, ahead).await?;
            let comments = self.search_at(&wanted, &places).await?;
            let shown = match began {
                Some(began) => self.shown_before(&wanted, began, &comments).await?,
                None => BTreeSet::new(),
            };
            for comment in comments {
                if page.hits.len() == most {
                    // There is at least one more.
                    return Ok(page);
                }
                page.after = Some(comment.place);
                let is_new =
                    key(&comment).is_none_or(|key| !shown.contains(&key) && seen.insert(key));
                if is_new {
                    page.hits.push(self.counted(&wanted, comment).await?);
                }
            }
            if places.len() < ahead {
                page.after = None;
                return Ok(page);
            }
            wanted.after = places.last().copied();
            page.after = wanted.after;
            if page.hits.len() == most || round == ROUNDS {
                return Ok(page);
            }
        }
        Ok(page)
    }

    /// Comments of a thread behind the time and place of one, oldest first, at most so many.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn thread_page(
        &mut self,
        source_id: &str,
        thread_id: &str,
        after: Option<(i64, i64)>,
        most: usize,
    ) -> Result<Vec<Comment>> {
        let sql = format!(
            "{COLUMNS} WHERE source_id = $1 AND thread_id = $2 AND at >= $3 \
             AND (at > $3 OR place > $4) ORDER BY at, place LIMIT $5"
        );
        let (at, place) = after.unwrap_or((i64::MIN, i64::MIN));
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(source_id.to_owned())
            .bind(thread_id.to_owned())
            .bind(at)
            .bind(place)
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(self.database())
            .await?;
        rows.iter().map(comment).collect()
    }

    /// Of the threads of these comments, those with a comment that is found and that pages before
    /// had: at `began` or newer.
    async fn shown_before(
        &mut self,
        wanted: &Search,
        began: i64,
        comments: &[Comment],
    ) -> Result<BTreeSet<Key>> {
        let keys: BTreeSet<Key> = comments.iter().filter_map(key).collect();
        let mut shown = BTreeSet::new();
        for key in keys {
            // Most threads have no newer comment at all, which takes no search.
            let sql = "SELECT 1 FROM comments WHERE source_id = $1 AND thread_id = $2 \
                       AND place >= $3 LIMIT 1";
            let newer = sqlx::query(sql).bind(key.0.clone()).bind(key.1.clone()).bind(began);
            if newer.fetch_optional(self.database()).await?.is_none() {
                continue;
            }
            let condition = self.condition(&Search { after: None, ..of(wanted, &key) }).await?;
            let condition = condition.not_before(began).wherever_they_are();
            if self.count(&condition, 0).await? != Count::Exact(0) {
                shown.insert(key);
            }
        }
        Ok(shown)
    }

    async fn counted(&mut self, wanted: &Search, comment: Comment) -> Result<ThreadHit> {
        let Some(key) = key(&comment) else {
            return Ok(ThreadHit { comment, found: Count::Exact(1), comments: Count::Exact(1) });
        };
        let sql = format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM comments WHERE source_id = $1 AND thread_id = $2 \
             LIMIT {}) AS counted",
            COUNTED + 1
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(key.0.clone()).bind(key.1.clone());
        let count: i64 = query.fetch_one(self.database()).await?.try_get(0)?;
        let comments = match u64::try_from(count).unwrap_or_default() {
            more if more > COUNTED => Count::AtLeast(COUNTED),
            count => Count::Exact(count),
        };
        let found = if comments == Count::Exact(1) {
            Count::Exact(1)
        } else {
            // From the newest on, whatever page this is.
            let condition = self.condition(&Search { after: None, ..of(wanted, &key) }).await?;
            self.count(&condition.wherever_they_are(), COUNTED).await?
        };
        Ok(ThreadHit { comment, found, comments })
    }
}

/// The same search within one thread.
fn of(wanted: &Search, key: &Key) -> Search {
    let query = wanted.query.clone();
    let query = query.and(Node::Mark(Mark::source(&key.0))).and(Node::Mark(Mark::thread(&key.1)));
    Search { query, ..wanted.clone() }
}
