//! How PostgreSQL finds the newest comments: it looks at one after the other from the newest on, or
//! has the index of words name all that fit, of a period or of all times. Which takes less depends on
//! how many fit, and the database's own guess of that can be wrong by a thousand times. So some are
//! looked at first, and what they show decides about the rest.
//!
//! SQLite keeps the places of each word in their order, and needs none of this.

use sqlx::Row;

use super::ask::{Condition, Found, Order};
use crate::{Result, Session};

/// What one comment takes, in microseconds, as measured on a million of some hundred words: to look
/// at its words, in the order of places; to be named by the index; to be fetched then, from anywhere in
/// the table; to have its text read.
const LOOK: f64 = 4.5;
const NAME: f64 = 0.5;
const FETCH: f64 = 9.0;
const READ: f64 = 10.0;
/// What it takes to ask the index at all.
const ASK: f64 = 1_500.0;
/// What may be spent on counting on, in microseconds.
const PATIENCE: f64 = 8_000.0;
/// Comments that are looked at first, and how many times as many the next time.
const FIRST: usize = 500;
const GROWTH: usize = 64;
/// Bytes of a row of the table, where nobody has counted its rows yet.
const ROW: i64 = 400;

/// How far somebody has come who goes from the newest comment to the oldest.
struct Walk {
    /// Where they began, where they go on, which is behind this place, and where the last comment is.
    began: i64,
    to: i64,
    end: i64,
    /// How many comments there are, about.
    all: usize,
    /// Comments that they have passed, those of them whose words fit, and the places that were found.
    passed: f64,
    fits: f64,
    places: Vec<i64>,
    is_over: bool,
    /// Whether texts must be read.
    reads: bool,
    /// Whether only some of the places count.
    is_part: bool,
}

/// What is likely to take less.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// To look at so many more.
    Look(usize),
    /// To ask the index about the period that so many are in.
    Within(usize),
    /// To ask it about all.
    Words,
}

fn as_float(number: usize) -> f64 {
    // Exact up to 2^53.
    number as f64
}

impl Walk {
    fn begin(condition: &Condition) -> Self {
        Self {
            began: condition.to,
            to: condition.to,
            end: condition.from,
            all: 0,
            passed: 0.0,
            fits: 0.0,
            places: Vec::new(),
            is_over: false,
            reads: condition.texts.is_some(),
            is_part: condition.is_part(),
        }
    }

    /// The share of those whose words fit, and of those that are found, as far as those show that were
    /// passed. Where none of them is one, less than one may be.
    fn shares(&self) -> (f64, f64) {
        let passed = self.passed.max(1.0);
        (self.fits.max(0.5) / passed, as_float(self.places.len()).max(0.5) / passed)
    }

    /// What it takes to look at one more, and to have the index find the same.
    fn each(&self) -> (f64, f64) {
        let (fits, _) = self.shares();
        let read = if self.reads { READ } else { 0.0 };
        (LOOK + fits * read, fits * (NAME + FETCH + read))
    }

    /// The way to `more` further places, and what it takes. Places that are only counted need no order,
    /// so that no more of them are fetched than are wanted. That is taken for free if neither their texts
    /// nor their places matter: in the order of the table, it takes a small part of [`FETCH`].
    fn way(&self, more: usize, order: Order) -> (Way, f64) {
        let ((fits, found), (look, ask)) = (self.shares(), self.each());
        let left = (as_float(self.all) - self.passed).max(1.0);
        // Some more: the next may have fewer.
        let rows = (as_float(more) / found * 1.2).clamp(as_float(FIRST), left.max(as_float(FIRST)));
        let rows = rows.min(self.passed.max(as_float(FIRST)) * as_float(GROWTH));
        let fetched = match order {
            Order::NewestFirst => 1.0,
            Order::Any if self.reads || self.is_part => (as_float(more) / (found * left)).min(1.0),
            Order::Any => 0.0,
        };
        let named = left * fits * NAME;
        let ways = [
            (Way::Words, ASK + named + (left * ask - named) * fetched),
            (Way::Within(rows as usize), ASK + rows * ask),
            (Way::Look(rows as usize), rows * look),
        ];
        let least = ways.into_iter().min_by(|one, other| one.1.total_cmp(&other.1));
        least.unwrap_or((Way::Words, 0.0))
    }

    /// As far as patience reaches.
    fn patient(&self) -> Way {
        let (look, ask) = self.each();
        let (looked, asked) = (PATIENCE / look, (PATIENCE - ASK) / ask);
        if looked > asked { Way::Look(looked as usize) } else { Way::Within(asked as usize) }
    }

    /// Where the period begins that so many more are in, if they come as those before.
    fn back(&self, rows: usize) -> i64 {
        let time = (self.began as f64 - self.to as f64).max(1.0);
        // Saturates.
        let span = (as_float(rows) * time / self.passed.max(1.0)) as i64;
        self.to.saturating_sub(span.max(1)).max(self.end)
    }

    fn found(self) -> Found {
        Found { total: self.places.len(), places: self.places, is_all: self.is_over }
    }
}

impl Session {
    /// The newest places, at most `most`, and how many more there are, up to `counted` in all. What
    /// counting takes is bounded: then it ends early.
    pub(super) async fn walk(
        &mut self,
        condition: &Condition,
        most: usize,
        counted: usize,
    ) -> Result<Found> {
        // That there is at least one is told however long it takes.
        let most = most.max(1);
        let wanted = counted.max(most);
        let mut walk = Walk::begin(condition);
        self.look(condition, &mut walk, FIRST).await?;
        if !walk.is_over && walk.places.len() < wanted {
            let (all, end) = self.indexed_comments().await?;
            (walk.all, walk.end) = (all, end.max(condition.from));
        }
        loop {
            let total = walk.places.len();
            if walk.is_over || total >= wanted {
                return Ok(walk.found());
            }
            let is_shown = total < most;
            let (more, order) = match is_shown {
                true => (most - total, Order::NewestFirst),
                false => (wanted - total, Order::Any),
            };
            let (mut way, cost) = walk.way(more, order);
            let is_last = !is_shown && cost > PATIENCE;
            if is_last {
                way = walk.patient();
            }
            match way {
                Way::Look(rows) => self.look(condition, &mut walk, rows).await?,
                Way::Within(rows) => {
                    self.look_within(condition, &mut walk, rows, wanted - total).await?;
                }
                Way::Words if is_shown => {
                    let behind = condition.behind(walk.to);
                    walk.places.extend(self.named(&behind, wanted - total).await?);
                    walk.is_over = true;
                    return Ok(walk.found());
                }
                Way::Words => {
                    let total = self.count_named(condition, wanted).await?;
                    return Ok(Found { places: walk.places, total, is_all: total < wanted });
                }
            }
            if is_last {
                return Ok(walk.found());
            }
        }
    }

    /// Has the index name those of the period that so many more comments are in, at most `most`.
    async fn look_within(
        &mut self,
        condition: &Condition,
        walk: &mut Walk,
        rows: usize,
        most: usize,
    ) -> Result<()> {
        let from = walk.back(rows);
        let found = self.named(&condition.within(from, walk.to), most).await?;
        let fits = walk.shares().0 * as_float(rows);
        walk.is_over = from == walk.end;
        walk.fits += fits.max(as_float(found.len()));
        walk.passed += as_float(rows);
        walk.to = from;
        walk.places.extend(found);
        Ok(())
    }

    /// Looks at so many more comments.
    async fn look(&mut self, condition: &Condition, walk: &mut Walk, rows: usize) -> Result<()> {
        // The text is read where the words fit, and each value is made once: a part of the statement
        // with an `OFFSET` is not merged into the one around it.
        let texts = condition.texts.as_deref().unwrap_or("TRUE");
        let sql = format!(
            "SELECT COUNT(*), MIN(place), MAX(place), COUNT(*) FILTER (WHERE fits), \
             STRING_AGG(place::text, ' ') FILTER (WHERE CASE WHEN fits THEN {texts} END) \
             FROM (SELECT place, texts, words, {} AS fits FROM (SELECT place, words, texts \
             FROM search_words WHERE place >= $1 AND place < $2 ORDER BY place DESC LIMIT $3) \
             AS newest OFFSET 0) AS looked",
            condition.words
        );
        let row = condition.behind(walk.to).bind(sql, rows).fetch_one(self.database()).await?;
        let count = |column| -> Result<usize> {
            Ok(usize::try_from(row.try_get::<i64, _>(column)?).unwrap_or_default())
        };
        walk.is_over = count(0)? < rows;
        if let (Some(lowest), Some(highest)) = (row.try_get(1)?, row.try_get(2)?) {
            if walk.passed == 0.0 {
                walk.began = highest;
            }
            walk.to = lowest;
        }
        walk.passed += as_float(count(0)?);
        walk.fits += as_float(count(3)?);
        let found: Option<String> = row.try_get(4)?;
        let found = found.unwrap_or_default();
        walk.places.extend(found.split_whitespace().filter_map(|own| own.parse::<i64>().ok()));
        Ok(())
    }

    /// How many comments there are, about, and where the oldest is.
    async fn indexed_comments(&mut self) -> Result<(usize, i64)> {
        let sql = "SELECT CAST(CASE WHEN reltuples > 0 THEN reltuples \
                   ELSE pg_relation_size(oid) / $1 END AS BIGINT), \
                   (SELECT MIN(place) FROM search_words) \
                   FROM pg_class WHERE oid = 'search_words'::regclass";
        let row = sqlx::query(sql).bind(ROW).fetch_one(self.database()).await?;
        let count = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default();
        Ok((count, row.try_get::<Option<i64>, _>(1)?.unwrap_or(i64::MIN)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(passed: usize, fits: usize, found: usize, reads: bool) -> Walk {
        Walk {
            began: 1_000_500_000_000,
            to: 1_000_000_000_000,
            end: 0,
            all: 1_000_000,
            passed: as_float(passed),
            fits: as_float(fits),
            places: vec![0; found],
            is_over: false,
            reads,
            is_part: false,
        }
    }

    #[test]
    fn what_takes_less_is_chosen() {
        use Order::{Any, NewestFirst};
        for (walk, more, order, expected) in [
            // A word of every third comment, of every fiftieth, and of none that was looked at.
            (walk(500, 167, 167, false), 834, Any, Way::Within(2_996)),
            (walk(500, 10, 10, false), 11, NewestFirst, Way::Within(660)),
            (walk(500, 10, 10, false), 991, Any, Way::Within(32_000)),
            (walk(500, 0, 0, false), 21, NewestFirst, Way::Within(25_200)),
            (walk(500_000, 1, 1, false), 20, NewestFirst, Way::Words),
            // Words that all have, and that stand together in every tenth; in none that was seen.
            (walk(500, 500, 50, true), 60, NewestFirst, Way::Look(720)),
            (walk(500, 167, 0, true), 21, NewestFirst, Way::Within(25_200)),
        ] {
            assert_eq!(walk.way(more, order).0, expected, "{more} {order:?}");
        }
    }

    #[test]
    fn a_period_is_as_long_as_comments_are_rare_and_ends_with_the_oldest() {
        // One in a millisecond.
        let walk = walk(500_000, 1, 1, false);
        assert_eq!(walk.back(1_000), 1_000_000_000_000 - 1_000_000);
        assert_eq!(walk.back(usize::MAX), 0);
    }
}
