//! How much mail there was when: what the web UI draws its charts from.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::{
    call::Call,
    refusal::Refusal,
    reply::Reply,
    schema::{show, time, wrong},
};

/// Spans, by their names.
const INTERVALS: &[(&str, TimeDelta)] =
    &[("hour", TimeDelta::hours(1)), ("day", TimeDelta::days(1)), ("week", TimeDelta::weeks(1))];
/// Days that are counted if the request names none.
const DAYS: i64 = 30;
/// Most spans in an answer.
const MAX_SPANS: i64 = 2000;

pub(crate) async fn of_bucket(call: &Call<'_>) -> Result<Reply, Refusal> {
    let parameter = |name: &str| call.head.parameters(name).next();
    let wanted = parameter("interval").unwrap_or("day");
    let known = INTERVALS.iter().find(|(name, _)| *name == wanted);
    let Some((interval, span)) = known else {
        let names: Vec<_> = INTERVALS.iter().map(|(name, _)| *name).collect();
        let message = format!("'{wanted}' is not one of {}", names.join(", "));
        return Err(wrong("interval", message));
    };
    let at = |name: &str| {
        parameter(name).map(|text| time(name, Value::String(text.to_owned()))).transpose()
    };
    let mut session = call.shared.store.read().await?;
    let to = at("to")?.unwrap_or_else(|| session.now());
    let from = at("from")?.unwrap_or_else(|| earlier(to, TimeDelta::days(DAYS)));
    let spans = (to - from).num_seconds() / span.num_seconds().max(1);
    if spans > MAX_SPANS {
        let message = format!("from there to `to` there are more than {MAX_SPANS} spans");
        return Err(wrong("from", format!("{message}; choose a longer `interval`")));
    }
    let volume = session.volume(&call.bucket()?.id, from, to, *span).await?;
    let shown: Vec<_> = volume
        .spans
        .iter()
        .map(|(begin, count)| json!({ "timestamp": show(*begin), "count": count }))
        .collect();
    Ok(Reply::json(json!({
        "interval": interval,
        "volume": shown,
        "first": volume.range.map(|(first, _)| show(first)),
        "last": volume.range.map(|(_, last)| show(last)),
    })))
}

fn earlier(time: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    time.checked_sub_signed(by).unwrap_or_default()
}
