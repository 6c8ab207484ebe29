//! Comments: how clients read them.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use store::{Comment, CommentQuery, Session};

use crate::{
    call::Call,
    comment_files::reference,
    comment_shape,
    comments::context,
    datasets,
    refusal::Refusal,
    reply::Reply,
    request::Head,
    schema::{show, time, wrong},
};

/// Comments of a page, unless the request says how many.
const PAGE: usize = 64;
/// Comments of a thread that its properties are computed from.
const MAX_THREAD: usize = 1000;

/// Comments as the API shows them.
pub(crate) async fn shown(
    session: &mut Session,
    comments: &[Comment],
    markup: bool,
) -> Result<Vec<Value>, Refusal> {
    let mut sent: HashMap<(String, String), Vec<i64>> = HashMap::new();
    // What was sent beside comments is looked up for one source at a time.
    for some in comments.chunk_by(|one, other| one.source_id == other.source_id) {
        let Some(first) = some.first() else { continue };
        let ids: Vec<String> = some.iter().map(|comment| comment.id.clone()).collect();
        for (id, place) in session.attachments_of(&first.source_id, &ids).await? {
            sent.entry((first.source_id.clone(), id)).or_default().push(place);
        }
    }
    // Tools that delete what nobody has looked at go by this, so that what was said in a dataset
    // that the caller cannot read counts as well.
    let annotated = annotated(session, comments, None).await?;
    let none = Vec::new();
    let show_one = |comment: &Comment| {
        let key = (comment.source_id.clone(), comment.id.clone());
        let mut shown = shown_one(comment, sent.get(&key).unwrap_or(&none), markup);
        if let Some(map) = shown.as_object_mut() {
            map.insert("has_annotations".to_owned(), annotated.contains(&key).into());
        }
        shown
    };
    Ok(comments.iter().map(show_one).collect())
}

/// Sources and ids of those of the comments that something was said about, in one dataset or in any.
pub(crate) async fn annotated(
    session: &mut Session,
    comments: &[Comment],
    dataset_id: Option<&str>,
) -> Result<HashSet<(String, String)>, Refusal> {
    let mut annotated = HashSet::new();
    for some in comments.chunk_by(|one, other| one.source_id == other.source_id) {
        let Some(first) = some.first() else { continue };
        let ids: Vec<String> = some.iter().map(|comment| comment.id.clone()).collect();
        for (dataset, said) in session.annotations_of(&first.source_id, &ids).await? {
            if dataset_id.is_none_or(|wanted| dataset == wanted)
                && datasets::says_something(&said.content)
            {
                annotated.insert((said.source_id, said.comment_id));
            }
        }
    }
    Ok(annotated)
}

fn shown_one(comment: &Comment, sent: &[i64], markup: bool) -> Value {
    let mut body: Map<String, Value> = serde_json::from_str(&comment.body).unwrap_or_default();
    let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
    set("uid", format!("{}.{}", comment.source_id, comment.id).into());
    set("source_id", comment.source_id.clone().into());
    set("created_at", show(comment.created_at).into());
    set("last_modified", show(comment.updated_at).into());
    set("context", context(comment).into());
    if !markup {
        let messages = body.get_mut("messages").and_then(Value::as_array_mut);
        for message in messages.into_iter().flatten() {
            for field in ["subject", "body", "signature"] {
                if let Some(text) = message.get_mut(field).and_then(Value::as_object_mut) {
                    text.remove("text_markup");
                    text.remove("translated_from_markup");
                }
            }
        }
    }
    let attachments = body.get_mut("attachments").and_then(Value::as_array_mut);
    for (place, attachment) in (0_i64..).zip(attachments.into_iter().flatten()) {
        if let Some(map) = attachment.as_object_mut().filter(|_| sent.contains(&place)) {
            let reference = reference(comment, place).into();
            map.insert("attachment_reference".to_owned(), reference);
        }
    }
    Value::Object(body)
}

fn parameter<'a>(head: &'a Head, name: &str) -> Option<&'a str> {
    head.parameters(name).next()
}

pub(crate) fn limit(head: &Head, default: usize, most: usize) -> Result<usize, Refusal> {
    let Some(text) = parameter(head, "limit") else { return Ok(default.min(most)) };
    let limit = text.parse().ok().filter(|limit| (1..=most).contains(limit));
    limit.ok_or_else(|| wrong("limit", format_args!("expected a number from 1 to {most}")))
}

fn instant(head: &Head, name: &str) -> Result<Option<DateTime<Utc>>, Refusal> {
    // A `+` of an offset that was not encoded arrives as a blank.
    let text = parameter(head, name).map(|text| text.replace(' ', "+"));
    text.map(|text| time(name, text.into())).transpose()
}

/// What [`CommentQuery::after`] is made of.
fn place(text: &str) -> Option<(i64, i64)> {
    // A time before 1970 begins with the same sign.
    let (at, place) = text.strip_prefix("after_")?.split_once('_')?;
    Some((at.parse().ok()?, place.parse().ok()?))
}

pub(crate) async fn page(call: &Call<'_>) -> Result<Reply, Refusal> {
    let head = call.head;
    let limit = limit(head, PAGE, call.shared.limits.max_page)?;
    let not_issued = || wrong("after", "this continuation was not issued here");
    let after = parameter(head, "after").map(|text| place(text).ok_or_else(not_issued));
    let newest_first = match parameter(head, "direction") {
        None | Some("asc" | "ascending") => false,
        Some("desc" | "descending") => true,
        Some(_) => return Err(wrong("direction", "expected `asc` or `desc`")),
    };
    let markup = head.flag("include_markup")?;
    let threads = head.flag("include_thread_properties")?;
    let wanted = CommentQuery {
        after: after.transpose()?,
        from: instant(head, "from_timestamp")?,
        to: instant(head, "to_timestamp")?,
        newest_first,
        // One more tells whether there are more.
        limit: limit + 1,
    };
    let source = call.source()?;
    let mut session = call.shared.store.read().await?;
    let mut comments = session.comments(&source.id, &wanted).await?;
    let has_more = comments.len() > limit;
    comments.truncate(limit);
    let mut payload = Map::new();
    if let Some(last) = comments.last().filter(|_| has_more) {
        let (at, place) = last.after();
        payload.insert("continuation".to_owned(), format!("after_{at}_{place}").into());
    }
    let all = shown(&mut session, &comments, markup).await?;
    payload.insert("comments".to_owned(), all.into());
    if threads {
        let mut known: HashMap<String, Vec<Part>> = HashMap::new();
        let mut properties = Vec::with_capacity(comments.len());
        for comment in &comments {
            properties.push(thread_properties(&mut session, comment, &mut known).await?);
        }
        payload.insert("thread_properties".to_owned(), properties.into());
    }
    Ok(Reply::json(Value::Object(payload)))
}

/// A comment as far as the properties of its thread need it.
struct Part {
    place: i64,
    at: DateTime<Utc>,
    from: Option<String>,
}

async fn thread_properties(
    session: &mut Session,
    comment: &Comment,
    known: &mut HashMap<String, Vec<Part>>,
) -> Result<Value, Refusal> {
    let part = |comment: &Comment| {
        let body: Value = serde_json::from_str(&comment.body).unwrap_or_default();
        let from = body.pointer("/messages/0/from").and_then(Value::as_str).map(str::to_owned);
        Part { place: comment.place, at: comment.at, from }
    };
    let alone;
    let parts = match &comment.thread_id {
        None => {
            alone = vec![part(comment)];
            &alone
        }
        Some(id) => {
            if !known.contains_key(id) {
                let all = session.comments_of_thread(&comment.source_id, id, MAX_THREAD).await?;
                known.insert(id.clone(), all.iter().map(part).collect());
            }
            known.entry(id.clone()).or_default()
        }
    };
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Ok(json!({})) };
    let seconds = |to: DateTime<Utc>| {
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
        let millis = (to - first.at).num_milliseconds() as f64;
        millis / 1000.0
    };
    let answer = parts.iter().find(|part| part.from.is_some() && part.from != first.from);
    let mut people: Vec<&str> = parts.iter().filter_map(|part| part.from.as_deref()).collect();
    people.sort_unstable();
    people.dedup();
    let position = parts.iter().position(|part| part.place == comment.place);
    Ok(json!({
        "duration": seconds(last.at),
        "response_time": answer.map(|part| seconds(part.at)),
        "num_messages": parts.len(),
        "num_participants": people.len(),
        "first_sender": first.from,
        "thread_position": position,
    }))
}

/// The comment that the path names.
pub(crate) async fn named(call: &Call<'_>, session: &mut Session) -> Result<Comment, Refusal> {
    let id = call.named.other(0);
    let missing = || Refusal::not_found(format_args!("the comment `{id}`"));
    session.comment(&call.source()?.id, id).await?.ok_or_else(missing)
}

pub(crate) async fn one(call: &Call<'_>) -> Result<Reply, Refusal> {
    let markup = call.head.flag("include_markup")?;
    let mut session = call.shared.store.read().await?;
    let comment = named(call, &mut session).await?;
    let mut shown = shown(&mut session, &[comment], markup).await?;
    Ok(Reply::json(json!({ "comment": shown.pop() })))
}

/// The comments of one thread, oldest first.
pub(crate) async fn thread(call: &Call<'_>) -> Result<Reply, Refusal> {
    let head = call.head;
    let limit = limit(head, PAGE, call.shared.limits.max_page)?;
    let not_issued = || wrong("after", "this continuation was not issued here");
    let after = parameter(head, "after").map(|text| place(text).ok_or_else(not_issued));
    let markup = head.flag("include_markup")?;
    let mut session = call.shared.store.read().await?;
    let (source, thread) = (call.source()?, call.named.other(0));
    // One more tells whether there are more.
    let mut comments =
        session.thread_page(&source.id, thread, after.transpose()?, limit + 1).await?;
    if comments.is_empty() && parameter(head, "after").is_none() {
        return Err(Refusal::not_found(format_args!("the thread `{thread}`")));
    }
    let has_more = comments.len() > limit;
    comments.truncate(limit);
    let mut reply = json!({ "comments": shown(&mut session, &comments, markup).await? });
    if let (Some(last), Some(map)) = (comments.last().filter(|_| has_more), reply.as_object_mut()) {
        let after = format!("after_{}_{}", last.at.timestamp_micros(), last.place);
        map.insert("continuation".to_owned(), after.into());
    }
    Ok(Reply::json(reply))
}

pub(crate) async fn threads(call: &Call<'_>) -> Result<Reply, Refusal> {
    let limit = limit(call.head, PAGE, call.shared.limits.max_page)?;
    let after = parameter(call.head, "after").unwrap_or_default();
    let source = call.source()?;
    let mut session = call.shared.store.read().await?;
    let mut threads = session.threads(&source.id, after, limit + 1).await?;
    let has_more = threads.len() > limit;
    threads.truncate(limit);
    let mut payload = Map::new();
    if let Some(last) = threads.last().filter(|_| has_more) {
        payload.insert("continuation".to_owned(), last.id.clone().into());
    }
    let shown =
        threads.iter().map(|own| json!({ "thread_id": own.id, "num_comments": own.comments }));
    payload.insert("threads".to_owned(), shown.collect());
    Ok(Reply::json(Value::Object(payload)))
}

/// Checks the id of a comment in a path.
pub(crate) fn named_id(call: &Call<'_>) -> Result<String, Refusal> {
    comment_shape::comment_id("comment_id", call.named.other(0).into())
}
