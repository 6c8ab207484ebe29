//! How many comments there are on each day.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Row};

use super::{
    DAY,
    ask::{Order, Search},
    follow::day,
};
use crate::{
    Result, Session,
    id::{micros, time},
};

/// Days that are added before places are divided, so that none is negative.
const SHIFT: i64 = 20_000_000;
/// Sources that one statement counts.
const SOURCES: usize = 500;

/// Comments by day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchVolume {
    /// By days since 1970, those without comments left out.
    pub days: BTreeMap<i64, u64>,
    /// Comments before this time were not counted: there were too many.
    pub since: Option<DateTime<Utc>>,
}

impl Session {
    /// Counts what is found by day, looking at the newest `most`.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn search_volume(&mut self, wanted: &Search, most: usize) -> Result<SearchVolume> {
        let condition = self.condition(wanted).await?;
        let prefix = format!(
            "SELECT (place + {}) / {DAY} - {SHIFT}, COUNT(*), MIN(place) FROM",
            SHIFT * DAY
        );
        let (suffix, newest) = ("GROUP BY 1 ORDER BY 1", Order::NewestFirst);
        let rows = self.ask(&condition, &prefix, suffix, newest, most).await?;
        let mut volume = SearchVolume::default();
        let (mut total, mut oldest) = (0, i64::MAX);
        for row in rows {
            let (day, count): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            oldest = oldest.min(row.try_get(2)?);
            total += count;
            volume.days.insert(day, u64::try_from(count).unwrap_or_default());
        }
        if usize::try_from(total).is_ok_and(|total| total >= most) {
            volume.since = Some(time(oldest));
        }
        Ok(volume)
    }

    /// Counts all comments of sources by day, whatever they say, from a time (inclusive) to a time
    /// (exclusive). It is exact, and as fast as there are days.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn source_volume(
        &mut self,
        sources: &[String],
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
    ) -> Result<BTreeMap<i64, u64>> {
        let (from, to) = (from.map_or(i64::MIN, micros), to.map_or(i64::MAX, micros));
        let mut days = BTreeMap::new();
        // Days that the time has no more than a part of are counted comment by comment.
        let first = if from.rem_euclid(DAY) == 0 { day(from) } else { day(from) + 1 };
        let last = if to == i64::MAX { i64::MAX } else { day(to) };
        let mut parts = Vec::new();
        if first > last {
            parts.push((from, to));
        } else {
            if from != i64::MIN && first * DAY > from {
                parts.push((from, first * DAY));
            }
            if to != i64::MAX && last * DAY < to {
                parts.push((last * DAY, to));
            }
        }
        for some in sources.chunks(SOURCES) {
            let list: Vec<String> = (3..some.len() + 3).map(|own| format!("${own}")).collect();
            let list = list.join(", ");
            let whole = format!(
                "SELECT day, CAST(SUM(comments) AS BIGINT) FROM search_volume \
                 WHERE day >= $1 AND day < $2 AND source_id IN ({list}) GROUP BY day"
            );
            let part = format!(
                "SELECT MIN(at), COUNT(*) FROM comments \
                 WHERE at >= $1 AND at < $2 AND source_id IN ({list})"
            );
            let whole = (whole, (if from == i64::MIN { i64::MIN } else { first }, last));
            let parts = parts.iter().map(|part_of| (part.clone(), *part_of));
            for (sql, (from, to)) in std::iter::once(whole).chain(parts) {
                let is_part = sql == part;
                let query = sqlx::query(AssertSqlSafe(sql)).bind(from).bind(to);
                let query = some.iter().fold(query, |query, id| query.bind(id.clone()));
                for row in query.fetch_all(self.database()).await? {
                    let Some(first): Option<i64> = row.try_get(0)? else { continue };
                    let count = u64::try_from(row.try_get::<i64, _>(1)?).unwrap_or_default();
                    *days.entry(if is_part { day(first) } else { first }).or_insert(0) += count;
                }
            }
        }
        Ok(days)
    }
}
