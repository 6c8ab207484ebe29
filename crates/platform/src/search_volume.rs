//! How many comments there are, by day, week or month, and the comments of one thread.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use record::Chain;
use serde_json::{Value, json};
use store::Search;
use tokio_util::sync::CancellationToken;

use crate::{
    call::Call,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    schema::{one_of, show, top},
    search::{Scope, Wanted},
    server::Shared,
};

/// Comments that are looked at when a query has words: the newest.
const LOOKED_AT: usize = 100_000;
/// Comments that one transaction puts into an index that is built anew.
const REBUILT: usize = 200;
/// How long a rebuild waits after a failure.
const PAUSE: Duration = Duration::from_secs(10);

/// `POST /api/_private/search/volume`
pub(crate) async fn volume(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut body = top(payload.json()?)?;
    let wanted = Wanted::read(&mut body)?;
    let interval = body.required("interval", one_of(&["day", "week", "month"]))?;
    body.finish()?;
    let mut session = call.shared.store.read().await?;
    let scope = Scope::of(call, &mut session).await?;
    let (days, since) = if wanted.is_of_sources_alone() {
        let (from, to) = wanted.range();
        (session.source_volume(&wanted.sources(&scope)?, from, to).await?, None)
    } else {
        let query = wanted.query(&scope)?;
        let projects = scope.projects.into_values().collect();
        let search = Search { query, projects, after: None };
        let found = session.search_volume(&search, LOOKED_AT).await?;
        (found.days, found.since)
    };
    let total: u64 = days.values().sum();
    let mut intervals = BTreeMap::new();
    for (day, count) in days {
        *intervals.entry(start(day, &interval)).or_insert(0_u64) += count;
    }
    let volume: Vec<Value> = intervals
        .into_iter()
        .map(|(start, count)| json!({ "start": show(start), "count": count }))
        .collect();
    Ok(Reply::json(json!({
        "volume": volume,
        "total": total,
        "complete": since.is_none(),
        "since": since.map(show),
    })))
}

/// The beginning of the interval that a day, counted from 1970, is in.
fn start(day: i64, interval: &str) -> DateTime<Utc> {
    let epoch = NaiveDate::default();
    let date = TimeDelta::try_days(day).and_then(|days| epoch.checked_add_signed(days));
    let date = date.unwrap_or(epoch);
    let first = match interval {
        "week" => {
            let monday = i64::from(date.weekday().num_days_from_monday());
            date.checked_sub_signed(TimeDelta::days(monday))
        }
        "month" => date.with_day(1),
        _ => Some(date),
    };
    first.unwrap_or(date).and_time(chrono::NaiveTime::MIN).and_utc()
}

/// Builds the index anew where it is of another version or was not restored, beside all else.
pub(crate) async fn rebuild(shared: Arc<Shared>, over: CancellationToken) {
    let mut is_told = false;
    while !over.is_cancelled() {
        let step = async {
            let mut session = shared.store.write().await?;
            let more = session.rebuild_search(REBUILT).await?;
            session.commit().await?;
            Ok::<_, store::StoreError>(more)
        };
        match step.await {
            Ok(true) => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::info!("The search index is built anew; until then searches find less");
                }
                // Those who write wait in the same line.
                tokio::task::yield_now().await;
            }
            Ok(false) => {
                if is_told {
                    tracing::info!("The search index is complete");
                }
                return;
            }
            Err(error) => {
                tracing::error!("The search index could not be built anew: {}", Chain(&error));
                tokio::select! {
                    () = over.cancelled() => return,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_begin_on_mondays_and_firsts() {
        let day =
            |text: &str| (text.parse::<NaiveDate>().unwrap() - NaiveDate::default()).num_days();
        for (date, interval, expected) in [
            ("2026-03-01", "day", "2026-03-01"),
            ("2026-03-01", "week", "2026-02-23"),
            ("2026-02-23", "week", "2026-02-23"),
            ("2026-03-31", "month", "2026-03-01"),
            ("1969-12-31", "week", "1969-12-29"),
        ] {
            assert_eq!(start(day(date), interval).date_naive().to_string(), expected, "{date}");
        }
    }
}
