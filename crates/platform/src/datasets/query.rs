//! Comments of all sources of a dataset, newest first, with what was said about them.

use std::cmp::Reverse;

use serde_json::{Value, json};
use store::{Annotation, Session};

use super::annotations::shown;
use super::set;
use crate::{
    attribute_filter,
    call::Call,
    comment_filter,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    schema::{Fields, any_text, hex_number, natural, one_of, top, wrong},
};

const PAGE: usize = 20;
const MAX_PAGE: usize = 1024;
/// Comments that one request looks at, so that a filter that takes few of them ends.
const MAX_SCAN: usize = 4096;
/// Places that are asked for at least, so that all sources are not asked for each single comment,
/// and comments that are in memory at once.
const LEAST_PLACES: usize = 256;
const LOADED: usize = 64;

fn place(text: &str) -> Option<(i64, i64)> {
    let (at, place) = text.split_once('-')?;
    Some((hex_number(at)?, hex_number(place)?))
}

/// `POST …/query` and `…/recent`.
pub(crate) async fn query(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut body = top(payload.json()?)?;
    let filter = body.optional("filter", |_, value| Ok(value))?.unwrap_or_else(|| json!({}));
    let attributes = body.optional("attribute_filters", |_, value| Ok(value))?;
    let attributes = attribute_filter::read("attribute_filters", attributes)?;
    let dataset = call.dataset()?;
    let filter = comment_filter::read(json!({ "comment_filter": filter }))?;
    let filter = filter.within(&dataset.id, attributes);
    let limit = body
        .optional("limit", natural)?
        .map_or(PAGE, |own| usize::try_from(own).unwrap_or(usize::MAX));
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(wrong("limit", format_args!("expected a number from 1 to {MAX_PAGE}")));
    }
    let mut after = body.optional("continuation", |path, value| {
        place(&any_text(path, value)?).ok_or_else(|| wrong(path, "this was not issued here"))
    })?;
    body.optional("order", |path, value| {
        let mut own = Fields::of(path, value)?;
        // A sample is in no order that could be promised, so that the newest will do.
        let kind = own.required("kind", one_of(&["recent", "sample"]))?;
        if kind == "sample" {
            own.optional("seed", natural)?;
        }
        own.finish()
    })?;
    body.finish()?;
    let _place = call.shared.places.scans.enter().await?;
    let mut session = call.shared.store.read().await?;
    let (mut results, mut scanned, mut more) = (Vec::new(), 0, true);
    let most = limit.max(LEAST_PLACES);
    while more && results.len() < limit && scanned < MAX_SCAN {
        let places = newest(&mut session, &dataset.source_ids, after, most).await?;
        more = places.len() == most;
        'places: for some in places.chunks(LOADED) {
            let page = session.comments_of_places(some).await?;
            let fit = filter.fit(&mut session, &page).await?;
            for (comment, fits) in page.into_iter().zip(fit) {
                if results.len() == limit {
                    more = true;
                    break 'places;
                }
                scanned += 1;
                after = Some(comment.after());
                if !fits {
                    continue;
                }
                let said = session.annotation(&dataset.id, &comment.source_id, &comment.id).await?;
                let own = Annotation {
                    source_id: comment.source_id,
                    comment_id: comment.id,
                    content: said.unwrap_or_else(|| "{}".to_owned()),
                };
                results.extend(shown(&mut session, dataset, &own).await?);
            }
        }
    }
    let mut payload = json!({ "results": results });
    if let Some((at, place)) = after.filter(|_| more) {
        set(&mut payload, "continuation", Value::from(format!("{at:x}-{place:x}")));
    }
    Ok(Reply::json(payload))
}

/// Where the newest comments of all sources are that come behind `after`: of a thousand sources, the
/// comments themselves would fill the memory.
async fn newest(
    session: &mut Session,
    source_ids: &[String],
    after: Option<(i64, i64)>,
    most: usize,
) -> Result<Vec<(i64, i64)>, Refusal> {
    let mut places = Vec::new();
    for id in source_ids {
        // What is older than the last of enough places is none of the newest.
        let from = if places.len() == most { places.last().copied() } else { None };
        places.extend(session.newest_places(id, after, from, most).await?);
        places.sort_unstable_by_key(|place| Reverse(*place));
        places.truncate(most);
    }
    Ok(places)
}
