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

/// How what is found is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    NewestFirst,
    Any,
}

/// PostgreSQL uses the index of words, until the end of the transaction or until [`ANY_WAY`]: no scan
/// of the table, none in the order of places, and no other thread or compiler, which would take longer
/// to start than the search. Spec: "Query Planning", PostgreSQL documentation.
const ONLY_WORDS: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; \
                          SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off";
const ANY_WAY: &str = "SET LOCAL enable_seqscan = DEFAULT; SET LOCAL enable_indexscan = DEFAULT; \
                       SET LOCAL max_parallel_workers_per_gather = DEFAULT; SET LOCAL jit = DEFAULT";

/// So many, and one that tells that there are more.
fn one_more(counted: u64) -> usize {
    usize::try_from(counted).map_or(usize::MAX, |counted| counted.saturating_add(1))
}

/// Numbers the places of values, from `first` on.
fn numbered(sql: &str, first: usize) -> String {
    let mut parts = sql.split("{}");
    let mut numbered = parts.next().unwrap_or_default().to_owned();
    for (number, part) in parts.enumerate() {
        numbered.push_str(&format!("${}{part}", number + first));
    }
    numbered
}

/// What was found.
pub(super) struct Found {
    /// The newest places, in that order.
    pub(super) places: Vec<i64>,
    /// How many there are, as far as was looked.
    pub(super) total: usize,
    /// Whether there are no more, unless there are as many as were wanted.
    pub(super) is_all: bool,
}

impl Found {
    fn count(&self, most: u64) -> Count {
        let total = self.total as u64;
        match self.is_all && total <= most {
            true => Count::Exact(total),
            // There are more than so many: the last that was found is one of those.
            false => Count::AtLeast(total.saturating_sub(1).min(most)),
        }
    }
}

/// A search as a condition of the database. Its values stand behind two places and a number.
#[derive(Clone)]
pub(super) struct Condition {
    /// It may be that many places are found, and the newest are soon enough.
    may_be_common: bool,
    /// On the words.
    pub(super) words: String,
    /// On the texts, if the words alone do not decide.
    pub(super) texts: Option<String>,
    values: Vec<String>,
    /// The column of places.
    column: &'static str,
    /// Inclusive.
    pub(super) from: i64,
    /// Exclusive.
    pub(super) to: i64,
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

    /// Whether it leaves out some places, whatever they have.
    pub(super) fn is_part(&self) -> bool {
        (self.from, self.to) != (i64::MIN, i64::MAX)
    }

    /// The same, of older comments only.
    pub(super) fn behind(&self, place: i64) -> Self {
        Self { to: place, ..self.clone() }
    }

    /// The same, of comments from a place (inclusive) to another (exclusive), in a way that the index
    /// of words of PostgreSQL knows by itself.
    pub(super) fn within(&self, from: i64, to: i64) -> Self {
        let mut part = Self { from, to, ..self.clone() };
        if let (Some(periods), Some(words)) = (postgres::periods(from, to), part.values.first_mut())
        {
            *words = format!("({words}) & {periods}");
        }
        part
    }

    /// A statement with the values of this condition behind its number.
    pub(super) fn bind(&self, sql: String, number: usize) -> Statement<'static, Any, AnyArguments> {
        // Which plan is best depends on the words: it is made for each.
        let statement = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let statement = statement.bind(self.from).bind(self.to).bind(number);
        self.values.iter().fold(statement, |statement, value| statement.bind(value.clone()))
    }

    /// `{prefix} … {suffix}`, where the places are the column `place`.
    fn statement(
        &self,
        prefix: &str,
        suffix: &str,
        order: Order,
        most: usize,
    ) -> Statement<'static, Any, AnyArguments> {
        let column = self.column;
        let texts = self.texts.iter().map(|own| format!(" AND {own}")).collect::<String>();
        let order = match order {
            Order::NewestFirst => format!("ORDER BY {column} DESC"),
            Order::Any => String::new(),
        };
        let sql = format!(
            "{prefix} (SELECT {column} AS place FROM search_words WHERE {}{texts} \
             AND {column} >= $1 AND {column} < $2 {order} LIMIT $3) AS hits {suffix}",
            self.words
        );
        self.bind(sql, most)
    }
}

impl Session {
    /// Comments that are found, newest first, at most so many.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn search(&mut self, wanted: &Search, most: usize) -> Result<Vec<Comment>> {
        Ok(self.search_and_count(wanted, most, 0).await?.0)
    }

    /// The same, and how many are found in all, counted up to `counted`, or less where that would
    /// take long.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn search_and_count(
        &mut self,
        wanted: &Search,
        most: usize,
        counted: u64,
    ) -> Result<(Vec<Comment>, Count)> {
        let condition = self.condition(wanted).await?;
        let counted_to = if counted == 0 { 0 } else { one_more(counted) };
        let mut found = self.find(&condition, most, counted_to).await?;
        found.places.truncate(most);
        Ok((self.search_at(wanted, &found.places).await?, found.count(counted)))
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

    /// How many comments are found, counted up to `most`, or less where that would take long.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn search_count(&mut self, wanted: &Search, most: u64) -> Result<Count> {
        let condition = self.condition(wanted).await?;
        self.count(&condition, most).await
    }

    pub(super) async fn count(&mut self, condition: &Condition, most: u64) -> Result<Count> {
        Ok(self.find(condition, 0, one_more(most)).await?.count(most))
    }

    pub(super) async fn search_places(&mut self, wanted: &Search, most: usize) -> Result<Vec<i64>> {
        let condition = self.condition(wanted).await?;
        let mut found = self.find(&condition, most, 0).await?;
        found.places.truncate(most);
        Ok(found.places)
    }

    /// The newest places, `most` of them or more, and how many there are, up to `counted`.
    async fn find(&mut self, condition: &Condition, most: usize, counted: usize) -> Result<Found> {
        if self.kind() == Kind::Postgres && condition.may_be_common {
            return self.walk(condition, most, counted).await;
        }
        let places = match most {
            0 => Vec::new(),
            most => self.named(condition, most).await?,
        };
        let is_all = places.len() < most;
        if is_all || counted <= most {
            let total = places.len();
            return Ok(Found { places, total, is_all });
        }
        let total = self.count_named(condition, counted).await?;
        Ok(Found { places, total, is_all: total < counted })
    }

    /// The newest places that the index of words names, at most so many.
    pub(super) async fn named(&mut self, condition: &Condition, most: usize) -> Result<Vec<i64>> {
        let newest = Order::NewestFirst;
        let rows =
            self.ask(condition, "SELECT place FROM", "ORDER BY place DESC", newest, most).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// How many places the index of words names, up to so many.
    pub(super) async fn count_named(
        &mut self,
        condition: &Condition,
        most: usize,
    ) -> Result<usize> {
        let rows = self.ask(condition, "SELECT COUNT(*) FROM", "", Order::Any, most).await?;
        let count = rows.first().map(|row| row.try_get::<i64, _>(0)).transpose()?;
        Ok(count.and_then(|count| usize::try_from(count).ok()).unwrap_or_default())
    }

    /// Asks the index of words for `most` places.
    pub(super) async fn ask(
        &mut self,
        condition: &Condition,
        prefix: &str,
        suffix: &str,
        order: Order,
        most: usize,
    ) -> Result<Vec<AnyRow>> {
        let is_led = self.kind() == Kind::Postgres;
        if is_led {
            sqlx::raw_sql(ONLY_WORDS).execute(self.database()).await?;
        }
        let statement = condition.statement(prefix, suffix, order, most);
        let rows = statement.fetch_all(self.database()).await?;
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
            let postgres::Condition { words, texts, mut values } = postgres::condition(&node);
            let texts = texts.map(|texts| numbered(&texts, 5));
            values.insert(0, words);
            let words = "words @@ $4::tsquery".to_owned();
            let column = "place";
            return Ok(Condition { may_be_common: true, words, texts, values, column, from, to });
        }
        let mut known = fts5::Words::new();
        for prefix in fts5::prefixes(&node) {
            if let Some(found) = self.words_of(prefix).await? {
                known.insert(prefix.to_owned(), found);
            }
        }
        let values = vec![fts5::expression(&node, &known)];
        let (words, texts, column) = ("search_words MATCH $4".to_owned(), None, "rowid");
        Ok(Condition { may_be_common: true, words, texts, values, column, from, to })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_is_not_exact_is_of_fewer_than_there_are() {
        for (total, is_all, most, expected) in [
            (3, true, 10, Count::Exact(3)),
            (3, false, 10, Count::AtLeast(2)),
            (10, true, 10, Count::Exact(10)),
            (11, false, 10, Count::AtLeast(10)),
            (40, true, 10, Count::AtLeast(10)),
            (1, false, 0, Count::AtLeast(0)),
        ] {
            let found = Found { places: Vec::new(), total, is_all };
            assert_eq!(found.count(most), expected, "{total} of {most}");
        }
    }
}
