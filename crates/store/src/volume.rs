//! How many emails of a bucket were sent in each hour, day or week.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::Row;

use crate::{
    Result, Session,
    id::{micros, time},
};

/// Emails by the time at which they were sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Beginning of each span that has emails, and how many it has; oldest first.
    pub spans: Vec<(DateTime<Utc>, u64)>,
    /// Times of the first and the last email of the bucket.
    pub range: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Session {
    /// Counts the emails from `from` until before `to`, in spans that begin at multiples of `span`
    /// since 1970. Times before 1970 are in no span.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn volume(
        &mut self,
        bucket_id: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        span: TimeDelta,
    ) -> Result<Volume> {
        let span = span.num_microseconds().unwrap_or(i64::MAX).max(1);
        let rows = sqlx::query(
            "SELECT sent_at / $1, COUNT(*) FROM emails \
             WHERE bucket_id = $2 AND sent_at >= $3 AND sent_at < $4 GROUP BY 1 ORDER BY 1",
        )
        .bind(span)
        .bind(bucket_id.to_owned())
        // Division rounds to zero, so that the span around 1970 would hold twice its emails.
        .bind(micros(from).max(0))
        .bind(micros(to))
        .fetch_all(self.database())
        .await?;
        let mut spans = Vec::with_capacity(rows.len());
        for row in &rows {
            let (number, count): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            spans.push((time(number.saturating_mul(span)), count.max(0).cast_unsigned()));
        }
        // Two questions: the index answers each at once, but not both in one.
        let mut ends = Vec::new();
        for text in [FIRST, LAST] {
            let row = sqlx::query(text).bind(bucket_id.to_owned());
            let row = row.fetch_optional(self.database()).await?;
            ends.extend(row.map(|row| row.try_get::<i64, _>(0)).transpose()?);
        }
        let range = match ends.as_slice() {
            [first, last] => Some((time(*first), time(*last))),
            _ => None,
        };
        Ok(Volume { spans, range })
    }
}

const FIRST: &str = "SELECT sent_at FROM emails WHERE bucket_id = $1 ORDER BY sent_at LIMIT 1";
const LAST: &str = "SELECT sent_at FROM emails WHERE bucket_id = $1 ORDER BY sent_at DESC LIMIT 1";
