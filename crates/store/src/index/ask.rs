//! What is asked of the index: places of comments, newest first, and how many there are.

use std::collections::BTreeSet;

use search::{Mark, Node, Query};
use sqlx::{
    Any, AssertSqlSafe, Row,
    any::{AnyArguments, AnyRow},
    query::Query as Statement,
};

use super::{fts5, postgres};
use crate::{
    Comment, Kind, Result, Session,
    comments::{COLUMNS, comment},
    id::micros,
};

/// Words that a prefix is replaced by; of more, FTS5 reads all places at once.
const MAX_WORDS: usize = 256;
/// Comments that one statement reads.
const READ: usize = 200;

/// What somebody looks for, and what they may find.
#[derive(Clone, Debug)]
pub struct Search {
    pub query: Query,
    /// Ids of the projects whose comments may be found.
    pub projects: BTreeSet<String>,
    /// Only comments behind this place, in the order of the answer: older ones.
    pub after: Option<i64>,
}

/// How many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    Exact(u64),
    /// And there are more.
    AtLeast(u64),
}

/// Newest comments that PostgreSQL looks at first: they tell how rare that is which is looked for.
const PROBED: usize = 500;
/// Comments that are looked at one by one rather than that the index of words is asked, and how many
/// more for each place that is wanted.
const WALKED: usize = 2_000;
const WALKED_MORE: usize = 2;
/// The same for several words: of each, the index reads all places before it knows which have both,
/// and of a phrase, all texts must be read that have its words.
const WALKED_SEVERAL: usize = 10_000;
const WALKED_MORE_SEVERAL: usize = 20;
/// Places for which that many more are looked at.
const MOST_WANTED: usize = 1_000;

/// How PostgreSQL is made to look. Its own guess of how rare a word is can be wrong by a thousand
/// times, and then it reads the words of every comment there is. SQLite keeps the places of each
/// word in their order, and needs no other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Through so many of the newest comments.
    Newest(usize),
    /// Through the index of words, which names all places in no order: quick if there are few.
    Words,
}

/// Until the end of the transaction, or until [`ANY_WAY`]: no scan of the table, none in the order of
/// places, and no other thread or compiler, which would take longer to start than the search.
/// Spec: "Query Planning", PostgreSQL documentation.
const ONLY_WORDS: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; \
                          SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off";
const ANY_WAY: &str = "SET LOCAL enable_seqscan = DEFAULT; SET LOCAL enable_indexscan = DEFAULT; \
                       SET LOCAL max_parallel_workers_per_gather = DEFAULT; SET LOCAL jit = DEFAULT";

/// A search as a condition of the database.
pub(super) struct Condition {
    /// It may be that many places are found, and the newest are soon enough.
    may_be_common: bool,
    /// One word, or one mark, decides.
    is_one_word: bool,
    sql: String,
    texts: Vec<String>,
    /// Inclusive.
    from: i64,
    /// Exclusive.
    to: i64,
}

impl Condition {
    pub(super) fn not_before(mut self, from: i64) -> Self {
        self.from = self.from.max(from);
        self
    }

    /// The newest are not enough: there are few, or all are wanted.
    pub(super) fn wherever_they_are(mut self) -> Self {
        self.may_be_common = false;
        self
    }

    /// `{prefix} … WHERE … {suffix}`, where the places are the column `place`.
    fn statement(
        &self,
        way: Way,
        prefix: &str,
        suffix: &str,
    ) -> Statement<'static, Any, AnyArguments> {
        let found = &self.sql;
        let column = if found.starts_with("search_words") { "rowid" } else { "place" };
        let range = format!("{column} >= $1 AND {column} < $2");
        let from = match way {
            Way::Newest(many) => format!(
                "(SELECT place, words, texts FROM search_words WHERE {range} \
                 ORDER BY place DESC LIMIT {many}) AS newest WHERE {found}"
            ),
            Way::Words => format!("search_words WHERE {found} AND {range}"),
        };
        let sql = format!(
            "{prefix} (SELECT {column} AS place FROM {from} ORDER BY {column} DESC LIMIT $3) \
             AS hits {suffix}"
        );
        // Which way is best depends on the words: a plan is made for each.
        let statement = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        statement.bind(self.from).bind(self.to)
    }

    fn bind<'a>(
        &self,
        statement: Statement<'a, Any, AnyArguments>,
        most: usize,
    ) -> Statement<'a, Any, AnyArguments> {
        let statement = statement.bind(i64::try_from(most).unwrap_or(i64::MAX));
        self.texts.iter().fold(statement, |statement, text| statement.bind(text.clone()))
    }
}

impl Session {
    /// Comments that are found, newest first, at most so many.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn search(&mut self, wanted: &Search, most: usize) -> Result<Vec<Comment>> {
        let found = self.search_places(wanted, most).await?;
        self.search_at(wanted, &found).await
    }

    /// The comments that a search found there.
    pub(super) async fn search_at(
        &mut self,
        wanted: &Search,
        found: &[i64],
    ) -> Result<Vec<Comment>> {
        let comments = self.comments_at(found).await?;
        self.only_allowed(comments, &wanted.projects).await
    }

    /// How many comments are found, counted up to `most`.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn search_count(&mut self, wanted: &Search, most: u64) -> Result<Count> {
        let condition = self.condition(wanted).await?;
        self.count(&condition, most).await
    }

    pub(super) async fn count(&mut self, condition: &Condition, most: u64) -> Result<Count> {
        let most_rows = usize::try_from(most).unwrap_or(usize::MAX - 1) + 1;
        let counted = |rows: &[AnyRow]| -> Result<usize> {
            let count = rows.first().map(|row| row.try_get::<i64, _>(0)).transpose()?;
            Ok(count.and_then(|count| usize::try_from(count).ok()).unwrap_or_default())
        };
        let rows = self.ask(condition, "SELECT COUNT(*) FROM", "", most_rows, counted).await?;
        let found = counted(&rows)? as u64;
        Ok(if found > most { Count::AtLeast(most) } else { Count::Exact(found) })
    }

    pub(super) async fn search_places(&mut self, wanted: &Search, most: usize) -> Result<Vec<i64>> {
        let condition = self.condition(wanted).await?;
        let (prefix, suffix) = ("SELECT place FROM", "ORDER BY place DESC");
        let rows = self.ask(&condition, prefix, suffix, most, |rows| Ok(rows.len())).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Asks for the newest `most` places that fit, in the way that is the quickest as far as a
    /// glance tells; `counted` tells how many places an answer stands for.
    pub(super) async fn ask(
        &mut self,
        condition: &Condition,
        prefix: &str,
        suffix: &str,
        most: usize,
        counted: impl Fn(&[AnyRow]) -> Result<usize>,
    ) -> Result<Vec<AnyRow>> {
        if self.kind() == Kind::Postgres && condition.may_be_common {
            let way = Way::Newest(PROBED);
            let rows = self.ask_by(way, condition, prefix, suffix, most).await?;
            let found = counted(&rows)?;
            if found >= most {
                return Ok(rows);
            }
            let (walked, more) = match condition.is_one_word {
                true => (WALKED, WALKED_MORE),
                false => (WALKED_SEVERAL, WALKED_MORE_SEVERAL),
            };
            let worth = walked + more * most.min(MOST_WANTED);
            if most.saturating_mul(PROBED) <= found * worth {
                let way = Way::Newest(2 * worth);
                let rows = self.ask_by(way, condition, prefix, suffix, most).await?;
                if counted(&rows)? >= most {
                    return Ok(rows);
                }
            }
        }
        self.ask_by(Way::Words, condition, prefix, suffix, most).await
    }

    async fn ask_by(
        &mut self,
        way: Way,
        condition: &Condition,
        prefix: &str,
        suffix: &str,
        most: usize,
    ) -> Result<Vec<AnyRow>> {
        let is_led = self.kind() == Kind::Postgres && way == Way::Words;
        if is_led {
            sqlx::raw_sql(ONLY_WORDS).execute(self.database()).await?;
        }
        let statement = condition.statement(way, prefix, suffix);
        let rows = condition.bind(statement, most).fetch_all(self.database()).await?;
        if is_led {
            sqlx::raw_sql(ANY_WAY).execute(self.database()).await?;
        }
        Ok(rows)
    }

    /// Comments at those places, newest first.
    pub(crate) async fn comments_at(&mut self, found: &[i64]) -> Result<Vec<Comment>> {
        let mut comments = Vec::with_capacity(found.len());
        for some in found.chunks(READ) {
            let list: Vec<String> = (1..=some.len()).map(|number| format!("${number}")).collect();
            let list = list.join(", ");
            let sql = format!("{COLUMNS} WHERE place IN ({list}) ORDER BY place DESC");
            let query = sqlx::query(AssertSqlSafe(sql));
            let query = some.iter().fold(query, |query, place| query.bind(*place));
            for row in query.fetch_all(self.database()).await? {
                comments.push(comment(&row)?);
            }
        }
        Ok(comments)
    }

    /// What the index found is looked at again: nobody sees what is not theirs, even if it is
    /// damaged.
    async fn only_allowed(
        &mut self,
        mut comments: Vec<Comment>,
        projects: &BTreeSet<String>,
    ) -> Result<Vec<Comment>> {
        let mut allowed = BTreeSet::new();
        for row in
            sqlx::query("SELECT id, project_id FROM sources").fetch_all(self.database()).await?
        {
            let (id, project_id): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            if projects.contains(&project_id) {
                allowed.insert(id);
            }
        }
        comments.retain(|comment| allowed.contains(&comment.source_id));
        Ok(comments)
    }

    pub(super) async fn condition(&mut self, wanted: &Search) -> Result<Condition> {
        let mut query = wanted.query.clone();
        // Those who may see everything need not be looked for among everybody.
        if !self.are_all_projects(&wanted.projects).await? {
            query = query.and(Node::any_mark(wanted.projects.iter().map(|id| Mark::project(id))));
        }
        let from = query.from.map_or(i64::MIN, micros);
        let to = query.to.map_or(i64::MAX, micros).min(wanted.after.unwrap_or(i64::MAX));
        let node = query.node.unwrap_or(Node::Mark(Mark::everything()));
        if self.kind() == Kind::Postgres {
            let postgres::Condition { sql, values } = postgres::condition(&node);
            let mut parts = sql.split("{}");
            let mut sql = parts.next().unwrap_or_default().to_owned();
            for (number, part) in parts.enumerate() {
                // The first three are places and a number.
                sql.push_str(&format!("${}{part}", number + 4));
            }
            let quotes = values.iter().map(|own| own.matches('\'').count()).sum::<usize>();
            let is_one_word = quotes <= 2;
            return Ok(Condition {
                may_be_common: true,
                is_one_word,
                sql,
                texts: values,
                from,
                to,
            });
        }
        let mut words = fts5::Words::new();
        for prefix in fts5::prefixes(&node) {
            if let Some(found) = self.words_of(prefix).await? {
                words.insert(prefix.to_owned(), found);
            }
        }
        let texts = vec![fts5::expression(&node, &words)];
        let sql = "search_words MATCH $4".to_owned();
        Ok(Condition { may_be_common: true, is_one_word: false, sql, texts, from, to })
    }

    async fn are_all_projects(&mut self, projects: &BTreeSet<String>) -> Result<bool> {
        for row in sqlx::query("SELECT id FROM projects").fetch_all(self.database()).await? {
            if !projects.contains(&row.try_get::<String, _>(0)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The words of the index that begin with a prefix, if they are not too many.
    async fn words_of(&mut self, prefix: &str) -> Result<Option<Vec<String>>> {
        // From word to word, past all their places. Nothing that a token holds sorts before `0`,
        // so that a word with it at its end is where the next can begin.
        let sql = "WITH RECURSIVE words (word) AS ( \
                       SELECT (SELECT term FROM search_words_terms WHERE term >= $1 LIMIT 1) \
                       UNION ALL \
                       SELECT (SELECT term FROM search_words_terms WHERE term >= words.word || '0' \
                               LIMIT 1) \
                       FROM words WHERE words.word IS NOT NULL AND words.word < $2 \
                   ) SELECT word FROM words WHERE word >= $1 AND word < $2 LIMIT $3";
        let rows = sqlx::query(sql)
            .bind(prefix.to_owned())
            .bind(format!("{prefix}{}", char::MAX))
            .bind(i64::try_from(MAX_WORDS + 1).unwrap_or(i64::MAX))
            .fetch_all(self.database())
            .await?;
        let words = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<String>>>()?;
        Ok((words.len() <= MAX_WORDS).then_some(words))
    }
}
