//! Streams: a reader that comes back where it was. The order is that of the changes of each
//! source, so that a comment that changes comes once more, and none is passed over.

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde_json::{Value, json};
use store::{ChangePlace, Dataset, Held, Session, Stream, changes_before};

use super::set;
use crate::{
    call::Call,
    comment_filter::{self, Filter},
    comment_pages, quotas,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    schema::{
        Fields, any_text, hex_number, is_hex, is_name, list as array, natural, only, show, text,
        time, top, wrong,
    },
};

const MAX_FETCH: u64 = 1024;
/// Comments that one fetch looks at, so that a filter that takes few of them ends.
const MAX_SCAN: usize = 4096;
const MAX_EXCEPTIONS: usize = 1024;

fn shown(own: &Stream) -> Value {
    let definition: Value = serde_json::from_str(&own.definition).unwrap_or_default();
    let mut shown = json!({
        "id": own.id,
        "dataset_id": own.dataset_id,
        "name": own.name,
        "title": own.title,
        "description": own.description,
        "created_at": show(own.created_at),
        "updated_at": show(own.updated_at),
        "comment_filter": definition.get("comment_filter").cloned().unwrap_or_else(|| json!({})),
        "label_threshold_filter": null,
    });
    if let Some(model) = definition.get("model") {
        set(&mut shown, "model", model.clone());
    }
    shown
}

async fn named(call: &Call<'_>, session: &mut Session) -> Result<(Dataset, Stream), Refusal> {
    let dataset = call.dataset_again(session).await?;
    let name = call.named.other(0);
    let missing = || {
        let full_name = format!("{}/{}/{name}", dataset.owner, dataset.name);
        Refusal::not_found(format_args!("the stream `{full_name}`"))
    };
    let stream = session.stream(&dataset.id, name).await?.ok_or_else(missing)?;
    Ok((dataset, stream))
}

pub(crate) async fn list_streams(call: &Call<'_>) -> Result<Reply, Refusal> {
    let mut session = call.shared.store.read().await?;
    let streams = session.streams(&call.dataset()?.id).await?;
    Ok(Reply::json(json!({ "streams": streams.iter().map(shown).collect::<Vec<_>>() })))
}

pub(crate) async fn get_stream(call: &Call<'_>) -> Result<Reply, Refusal> {
    let mut session = call.shared.store.read().await?;
    let (_, stream) = named(call, &mut session).await?;
    Ok(Reply::json(json!({ "stream": shown(&stream) })))
}

/// A new stream begins now; `reset` moves it back.
pub(crate) async fn put_stream(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut fields = only("stream", payload.json()?)?;
    let name = fields.required("name", |path, value| {
        let name = text(1, 256)(path, value)?;
        if is_name(&name, false) { Ok(name) } else { Err(wrong(path, "this is no name")) }
    })?;
    let title = fields.optional("title", text(0, 1024))?;
    let description = fields.optional("description", text(0, 16_384))?;
    let mut definition = json!({});
    let filter = fields.optional("comment_filter", |_, value| {
        comment_filter::read(json!({ "comment_filter": value })).map(|_| value)
    })?;
    if let Some(filter) = filter {
        set(&mut definition, "comment_filter", filter);
    }
    let model = fields.optional("model", |path, value| {
        let mut own = Fields::of(path, value)?;
        let version = own.required("version", natural)?;
        let thresholds = own.optional(
            "label_thresholds",
            array(|path: &str, value: Value| {
                let mut own = Fields::of(path, value)?;
                let name = own.required("name", array(any_text))?;
                let threshold = own.required("threshold", |path, value: Value| {
                    value.as_f64().ok_or_else(|| wrong(path, "expected a number"))
                })?;
                own.finish()?;
                Ok(json!({ "name": name, "threshold": threshold }))
            }),
        )?;
        own.finish()?;
        Ok(json!({ "version": version, "label_thresholds": thresholds.unwrap_or_default() }))
    })?;
    if let Some(model) = model {
        set(&mut definition, "model", model);
    }
    fields.finish()?;
    let mut session = call.shared.store.write().await?;
    let dataset = call.dataset_again(&mut session).await?;
    let is_new = session.stream(&dataset.id, &name).await?.is_none();
    if is_new {
        quotas::check(&mut session, "triggers").await?;
        let count = session.streams(&dataset.id).await?.len();
        quotas::check_size(&mut session, "triggers_per_dataset", count + 1).await?;
    }
    let new = Stream {
        dataset_id: dataset.id.clone(),
        title: title.unwrap_or_else(|| name.clone()),
        name,
        description: description.unwrap_or_default(),
        definition: definition.to_string(),
        ..Stream::default()
    };
    let stream = session.put_stream(new).await?;
    if is_new {
        let ends = session.last_changes(&dataset.source_ids).await?;
        session.move_stream(&stream.id, &ends).await?;
    }
    audit(call, &mut session, "put_stream", &dataset, &stream).await?;
    session.commit().await?;
    Ok(Reply::json(json!({ "stream": shown(&stream) })))
}

async fn audit(
    call: &Call<'_>,
    session: &mut Session,
    kind: &str,
    dataset: &Dataset,
    stream: &Stream,
) -> Result<(), Refusal> {
    let about = [(&*dataset.project_id, &*dataset.owner)];
    let details = json!({
        "dataset": dataset.name, "id": dataset.id, "title": dataset.title, "stream": stream.name,
    });
    Ok(session.audit(&call.caller.actor, kind, &about, details).await?)
}

pub(crate) async fn delete_stream(call: &Call<'_>) -> Result<Reply, Refusal> {
    let mut session = call.shared.store.write().await?;
    let (dataset, stream) = named(call, &mut session).await?;
    session.delete_stream(&stream.id).await?;
    audit(call, &mut session, "delete_stream", &dataset, &stream).await?;
    session.commit().await?;
    Ok(Reply::ok())
}

/// Where a reader is: for each source that it has moved in, the time and the place of the change.
type Positions = BTreeMap<String, ChangePlace>;

/// `SOURCE-TIME-PLACE`, joined by dots, numbers in hex.
fn write(positions: &Positions) -> String {
    if positions.is_empty() {
        return "0".to_owned();
    }
    let one = |(id, (at, place)): (&String, &ChangePlace)| format!("{id}-{at:x}-{place:x}");
    positions.iter().map(one).collect::<Vec<_>>().join(".")
}

fn read(text: &str) -> Option<Positions> {
    if text == "0" {
        return Some(Positions::new());
    }
    let one = |part: &str| {
        let mut parts = part.split('-');
        let id = parts.next().filter(|id| is_hex(id, 16..=16))?;
        let (at, place) = (hex_number(parts.next()?)?, hex_number(parts.next()?)?);
        parts.next().is_none().then(|| (id.to_owned(), (at, place)))
    };
    text.split('.').map(one).collect()
}

fn filter(stream: &Stream) -> Result<Filter, Refusal> {
    let definition: Value = serde_json::from_str(&stream.definition).unwrap_or_default();
    let own = definition.get("comment_filter").cloned().unwrap_or_else(|| json!({}));
    let filter = comment_filter::read(json!({ "comment_filter": own }))?;
    Ok(filter.within(&stream.dataset_id, Vec::new()))
}

async fn batch(call: &Call<'_>, size: usize) -> Result<Reply, Refusal> {
    let mut session = call.shared.store.read().await?;
    let (dataset, stream) = named(call, &mut session).await?;
    let filter = filter(&stream)?;
    let held = session.stream_positions(&stream.id).await?;
    let (mut reached, mut results, mut filtered) = (Positions::new(), Vec::new(), 0_usize);
    let mut is_end = true;
    for id in &dataset.source_ids {
        loop {
            let room = size - results.len();
            if room == 0 || filtered >= MAX_SCAN {
                is_end = false;
                break;
            }
            let from = reached.get(id).or_else(|| held.get(id)).copied().unwrap_or_default();
            let changed = session.changed_comments(id, from, room).await?;
            if changed.is_empty() {
                break;
            }
            let fit = filter.fit(&mut session, &changed).await?;
            for (comment, fits) in changed.into_iter().zip(fit) {
                reached.insert(id.clone(), comment.change());
                if !fits {
                    filtered += 1;
                    continue;
                }
                let shown = comment_pages::shown(&mut session, &[comment], true).await?.pop();
                results.push(json!({
                    "comment": shown, "sequence_id": write(&reached), "labels": [], "entities": [],
                }));
            }
        }
    }
    Ok(Reply::json(json!({
        "results": results,
        "filtered": filtered,
        "sequence_id": write(&reached),
        "is_end_sequence": is_end,
    })))
}

/// `POST …/fetch`: what comes next. Until the reader advances, the same comes again.
pub(crate) async fn fetch(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut body = top(payload.json()?)?;
    let size = body.required("size", natural)?;
    body.finish()?;
    if !(1..=MAX_FETCH).contains(&size) {
        return Err(wrong("size", format_args!("expected a number from 1 to {MAX_FETCH}")));
    }
    batch(call, usize::try_from(size).unwrap_or(1)).await
}

/// `GET …/results`: the same for newer clients.
pub(crate) async fn results(call: &Call<'_>) -> Result<Reply, Refusal> {
    let most = usize::try_from(MAX_FETCH).unwrap_or(1);
    let size = match call.head.parameters("max_results").next() {
        None => 16,
        Some(text) => text.parse().unwrap_or_default(),
    };
    if !(1..=most).contains(&size) {
        return Err(wrong("max_results", format_args!("expected a number from 1 to {MAX_FETCH}")));
    }
    batch(call, size).await
}

/// `POST …/advance`: the reader is done with everything up to there. It never goes back.
pub(crate) async fn advance(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut body = top(payload.json()?)?;
    let to = body.required("sequence_id", |path, value| {
        let text = text(1, 64 * 1024)(path, value)?;
        read(&text).ok_or_else(|| wrong(path, "this was not issued here"))
    })?;
    body.finish()?;
    let mut session = call.shared.store.write().await?;
    let (dataset, stream) = named(call, &mut session).await?;
    session.hold(Held::Stream(&stream.id)).await?;
    let held = session.stream_positions(&stream.id).await?;
    if let Some(id) =
        to.keys().find(|id| !dataset.source_ids.contains(*id) && !held.contains_key(*id))
    {
        return Err(wrong("sequence_id", format_args!("the source `{id}` is not in the dataset")));
    }
    let ahead: Positions =
        to.into_iter().filter(|(id, to)| held.get(id).is_none_or(|held| held < to)).collect();
    session.move_stream(&stream.id, &ahead).await?;
    session.commit().await?;
    Ok(Reply::json(json!({ "sequence_id": write(&ahead) })))
}

/// `POST …/reset`: everything that was made since then comes again.
pub(crate) async fn reset(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut body = top(payload.json()?)?;
    let to = body.required("to_comment_created_at", time)?;
    body.finish()?;
    let mut session = call.shared.store.write().await?;
    let (dataset, stream) = named(call, &mut session).await?;
    session.hold(Held::Stream(&stream.id)).await?;
    let place = changes_before(to);
    let positions: Positions = dataset.source_ids.iter().map(|id| (id.clone(), place)).collect();
    session.move_stream(&stream.id, &positions).await?;
    audit(call, &mut session, "reset_stream", &dataset, &stream).await?;
    session.commit().await?;
    Ok(Reply::json(json!({ "sequence_id": write(&positions) })))
}

/// `PUT …/exceptions`: comments that need a person.
pub(crate) async fn exceptions(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut body = top(payload.json()?)?;
    let list = body.required(
        "exceptions",
        array(|path: &str, value: Value| {
            let mut own = Fields::of(path, value)?;
            let kind = own.required("metadata", |path, value| {
                let mut own = Fields::of(path, value)?;
                let kind = own.required("type", text(1, 256))?;
                own.finish()?;
                Ok(kind)
            })?;
            let uid = own.required("uid", text(1, 2048))?;
            own.finish()?;
            Ok((kind, uid))
        }),
    )?;
    body.finish()?;
    if list.len() > MAX_EXCEPTIONS {
        return Err(wrong("exceptions", format_args!("expected at most {MAX_EXCEPTIONS}")));
    }
    let mut session = call.shared.store.write().await?;
    let (dataset, stream) = named(call, &mut session).await?;
    for (number, (kind, uid)) in list.iter().enumerate() {
        let found = match uid.split_once('.') {
            Some((source, id)) if dataset.source_ids.iter().any(|own| own == source) => {
                session.comment(source, id).await?
            }
            _ => None,
        };
        if found.is_none() {
            let message = format!("`exceptions[{number}].uid`: the comment `{uid}` was not found");
            return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message));
        }
        session.put_stream_exception(&stream.id, uid, kind).await?;
    }
    session.commit().await?;
    Ok(Reply::ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let mut positions = Positions::new();
        assert_eq!(read(&write(&positions)), Some(positions.clone()));
        // Negative before 1970.
        for number in [0, 1, 2, -1, -2_208_988_800_000_000, i64::MIN] {
            positions.insert(format!("{number:016x}"), (number.wrapping_add(9), number));
            assert_eq!(read(&write(&positions)), Some(positions.clone()));
        }
        for bad in
            ["", "x", "1-2", "0000000000000001-2", "0000000000000001-2-3-4", "0000000000000001-g-1"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
