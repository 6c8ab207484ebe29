//! How PostgreSQL finds the newest comments: it looks at one after the other from the newest on, or
//! has the index of words name all that fit, in no order. Which takes less depends on how many fit,
//! and the database's own guess of that can be wrong by a thousand times. So some are looked at
//! first, and what they show decides about the rest.
//!
//! SQLite keeps the places of each word in their order, and needs none of this.

use sqlx::Row;

use super::ask::{Condition, Found, Order};
use crate::{Result, Session};

/// What one comment takes, in microseconds, as measured on a million of some hundred words: to look
/// at its words, in the order of places; to read its text; to be named by the index; to be fetched
/// then, from anywhere in the table.
const LOOK: f64 = 4.5;
const READ: f64 = 10.0;
const NAME: f64 = 0.5;
const FETCH: f64 = 9.0;
/// What may be spent on counting on, in microseconds.
const PATIENCE: f64 = 8_000.0;
/// Comments that are looked at first, and how many times as many the next time.
const FIRST: usize = 500;
const GROWTH: usize = 10;
/// Bytes of a row of the table, where nobody has counted its rows yet.
const ROW: i64 = 400;

/// How far somebody has come who looks at one comment after the other.
struct Walk {
    /// Where they go on: behind this place.
    to: i64,
    /// Comments that were looked at, those of them whose words fit, and the places that were found.
    looked: usize,
    fits: usize,
    places: Vec<i64>,
    is_over: bool,
    /// Whether texts must be read, and whether only some of the places count.
    reads: bool,
    is_part: bool,
    /// How many comments there are, about.
    all: usize,
}

/// What is likely to take less.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// To look at so many more.
    Look(usize),
    Words,
}

fn as_float(number: usize) -> f64 {
    // Exact up to 2^53.
    number as f64
}

impl Walk {
    fn begin(condition: &Condition) -> Self {
        Self {
            to: condition.to,
            looked: 0,
            fits: 0,
            places: Vec::new(),
            is_over: false,
            reads: condition.texts.is_some(),
            is_part: condition.is_part(),
            all: 0,
        }
    }

    /// So many of all comments, as far as those show that were looked at. Where none of them is one,
    /// less than one may be.
    fn share(&self, own: usize) -> f64 {
        as_float(own).max(0.5) / as_float(self.looked.max(1))
    }

    fn read(&self) -> f64 {
        if self.reads { READ } else { 0.0 }
    }

    /// What one more takes.
    fn look(&self) -> f64 {
        LOOK + self.share(self.fits) * self.read()
    }

    /// What it takes that the index names all that fit.
    fn name(&self) -> f64 {
        as_float(self.all) * self.share(self.fits) * NAME
    }

    /// The way to `more` further places, and what it takes. Places that are only counted need no order,
    /// so that the index of words can stop when there are enough, and fetches nothing that it does
    /// not have to.
    fn way(&self, more: usize, order: Order) -> (Way, f64) {
        let (fits, found) = (self.share(self.fits), self.share(self.places.len()));
        let left = as_float(self.all.saturating_sub(self.looked));
        let rows = (as_float(more) / found).min(left);
        let looking = rows * self.look();
        let fetched = match order {
            Order::NewestFirst => left * fits,
            Order::Any if self.reads || self.is_part => {
                (left * fits).min(as_float(more) * fits / found)
            }
            Order::Any => 0.0,
        };
        let asking = self.name() + fetched * (FETCH + self.read());
        if looking > asking {
            return (Way::Words, asking);
        }
        // Some more: the next may have fewer.
        let rows = (rows * 1.2) as usize;
        (Way::Look(rows.clamp(FIRST, self.looked.max(FIRST) * GROWTH)), looking)
    }

    fn found(self, is_all: bool) -> Found {
        Found { total: self.places.len(), places: self.places, is_all }
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
            walk.all = self.indexed_comments().await?;
        }
        loop {
            let total = walk.places.len();
            if walk.is_over || total >= wanted {
                let is_all = walk.is_over;
                return Ok(walk.found(is_all));
            }
            let is_shown = total < most;
            let (more, order) = match is_shown {
                true => (most - total, Order::NewestFirst),
                false => (wanted - total, Order::Any),
            };
            let (way, cost) = walk.way(more, order);
            if !is_shown && cost > PATIENCE {
                let rows = (PATIENCE / walk.look()) as usize;
                self.look(condition, &mut walk, rows).await?;
                let is_all = walk.is_over;
                return Ok(walk.found(is_all));
            }
            match (way, order) {
                (Way::Look(rows), _) => self.look(condition, &mut walk, rows).await?,
                (Way::Words, Order::NewestFirst) => {
                    let behind = condition.behind(walk.to);
                    walk.places.extend(self.named(&behind, wanted - total).await?);
                    let is_all = walk.places.len() < wanted;
                    return Ok(walk.found(is_all));
                }
                (Way::Words, Order::Any) => {
                    let total = self.count_named(condition, wanted).await?;
                    return Ok(Found { places: walk.places, total, is_all: total < wanted });
                }
            }
        }
    }

    /// Looks at so many more comments.
    async fn look(&mut self, condition: &Condition, walk: &mut Walk, rows: usize) -> Result<()> {
        // The text is read where the words fit, and each value is made once: a part of the statement
        // with an `OFFSET` is not merged into the one around it.
        let texts = condition.texts.as_deref().unwrap_or("TRUE");
        let sql = format!(
            "SELECT COUNT(*), MIN(place), COUNT(*) FILTER (WHERE fits), \
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
        walk.looked += count(0)?;
        walk.fits += count(2)?;
        if let Some(lowest) = row.try_get(1)? {
            walk.to = lowest;
        }
        let found: Option<String> = row.try_get(3)?;
        let found = found.unwrap_or_default();
        walk.places.extend(found.split_whitespace().filter_map(|own| own.parse::<i64>().ok()));
        Ok(())
    }

    /// How many comments there are, about.
    async fn indexed_comments(&mut self) -> Result<usize> {
        let sql = "SELECT CAST(CASE WHEN reltuples > 0 THEN reltuples \
                   ELSE pg_relation_size(oid) / $1 END AS BIGINT) \
                   FROM pg_class WHERE oid = 'search_words'::regclass";
        let count: i64 = sqlx::query(sql).bind(ROW).fetch_one(self.database()).await?.try_get(0)?;
        Ok(usize::try_from(count).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(walk: (usize, usize, usize), more: usize, reads: bool, order: Order, expected: Way) {
        let (looked, fits, found) = walk;
        let (places, all) = (vec![0; found], 1_000_000);
        let (is_over, is_part) = (false, false);
        let walk = Walk { to: 0, looked, fits, places, is_over, reads, is_part, all };
        assert_eq!(walk.way(more, order).0, expected);
    }

    #[test]
    fn the_index_is_asked_for_what_is_rare_and_the_newest_are_looked_at_for_what_is_not() {
        use Order::{Any, NewestFirst};
        // A word of every third comment, one of every fiftieth, and one that none has.
        check((500, 167, 167), 834, false, Any, Way::Look(2_996));
        check((500, 10, 10), 11, false, NewestFirst, Way::Look(660));
        check((500, 10, 10), 991, false, Any, Way::Words);
        check((500, 0, 0), 21, false, NewestFirst, Way::Words);
        // Words that every third comment has, and seldom beside one another.
        check((500, 167, 0), 21, true, NewestFirst, Way::Look(5_000));
        check((5_500, 1_800, 4), 17, true, NewestFirst, Way::Look(28_050));
        // Rare ones: few texts are to be read.
        check((500, 0, 0), 21, true, NewestFirst, Way::Words);
    }
}
