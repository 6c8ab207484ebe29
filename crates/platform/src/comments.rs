//! Comments: how clients write and remove them.

use std::collections::HashMap;

use hyper::StatusCode;
use serde_json::{Map, Value, json};
use store::{Comment, CommentWrite, NewComment, Session};

use crate::{
    call::Call,
    comment_change::{Change, Counts, change},
    comment_shape::Written,
    raw_emails::RawEmails,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    schema::wrong,
    uploads,
};

/// Most comments that one request deletes.
const MAX_DELETED: usize = 1000;

/// What is there under an id, while a request is worked through.
struct Slot {
    stored: Option<Comment>,
    /// The last body that the request gives it, if that is another one.
    next: Option<(Written, Value)>,
    changes_text: bool,
}

impl Slot {
    /// The body that the next one replaces.
    fn body(&self) -> Option<Value> {
        match (&self.next, &self.stored) {
            (Some((_, body)), _) => Some(body.clone()),
            (None, Some(stored)) => serde_json::from_str(&stored.body).ok(),
            (None, None) => None,
        }
    }
}

/// The token that a comment is overwritten with.
pub(crate) fn context(comment: &Comment) -> String {
    format!("{:016x}", comment.version)
}

/// Stores comments; of several with one id, the last counts. `strict`: what is there is replaced
/// only by those who show that they have seen it.
async fn store(
    session: &mut Session,
    source_id: &str,
    comments: Vec<Written>,
    no_charge: bool,
    strict: bool,
) -> Result<Counts, Refusal> {
    let gone = || Refusal::not_found(format_args!("the source `id:{source_id}`"));
    if !session.begin_comments(source_id).await? {
        return Err(gone());
    }
    let ids: Vec<String> = comments.iter().map(|comment| comment.id.clone()).collect();
    let mut held = session.comments_by_id(source_id, &ids).await?;
    let mut slots: HashMap<String, Slot> = HashMap::new();
    let mut order = Vec::new();
    let mut counts = Counts::default();
    for (number, written) in comments.into_iter().enumerate() {
        let id = written.id.clone();
        let slot = slots.entry(id.clone()).or_insert_with(|| {
            order.push(id.clone());
            Slot { stored: held.remove(&id), next: None, changes_text: false }
        });
        let change = match slot.body() {
            None => Change::New,
            Some(before) => change(&before, &written.body),
        };
        counts.add(change);
        if change == Change::Unchanged {
            continue;
        }
        if strict && change != Change::New {
            let newest = slot.stored.as_ref().filter(|_| slot.next.is_none()).map(context);
            if newest.is_none() || written.context != newest {
                let message = format!(
                    "`comments[{number}].id`: the comment `{id}` is there already and differs; \
                     to replace it, send the `context` that it was read with last, or use `sync`"
                );
                return Err(Refusal::new(StatusCode::CONFLICT, message));
            }
        }
        slot.changes_text |= change == Change::Text;
        let body = written.body.clone();
        slot.next = Some((written, body));
    }
    let mut writes = Vec::new();
    for id in order {
        let Some(Slot { stored, next: Some((written, body)), changes_text }) = slots.remove(&id)
        else {
            continue;
        };
        let new = NewComment {
            id,
            at: written.at,
            thread_id: written.thread_id,
            body: body.to_string(),
            email: None,
            generation: 0,
            changes_text: changes_text && stored.is_some(),
            no_charge,
        };
        writes.push(CommentWrite { new, old: stored });
    }
    session.put_comments(source_id, writes).await?;
    Ok(counts)
}

async fn take(call: &Call<'_>, comments: Vec<Written>, strict: bool) -> Result<Counts, Refusal> {
    let no_charge = call.head.flag("no_charge")?;
    let mut session = call.shared.store.write().await?;
    // It may be gone since it was looked for.
    let source = call.source_again(&mut session).await?;
    let counts = store(&mut session, &source.id, comments, no_charge, strict).await?;
    uploads::note_source(call, &mut session, &source).await?;
    session.commit().await?;
    call.shared.metrics.commented(counts.new + counts.updated);
    Ok(counts)
}

fn comments(payload: Payload) -> Result<Vec<Written>, Refusal> {
    match payload {
        Payload::Comments(comments) => Ok(comments),
        _ => Err(wrong("comments", "this field is required")),
    }
}

pub(crate) async fn put(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    take(call, comments(payload)?, true).await?;
    // One more field, and the official client takes it for a failure.
    Ok(Reply::ok())
}

/// Stores comments of which the last with an id counts.
pub(crate) async fn sync_all(call: &Call<'_>, comments: Vec<Written>) -> Result<Counts, Refusal> {
    take(call, comments, false).await
}

pub(crate) fn shown(counts: &Counts) -> Map<String, Value> {
    let mut map = Map::new();
    for (name, count) in [
        ("new", counts.new),
        ("updated", counts.updated),
        ("unchanged", counts.unchanged),
        ("updated_properties_only", counts.properties_only),
        ("updated_text_changed", counts.text_changed),
    ] {
        map.insert(name.to_owned(), count.into());
    }
    map
}

pub(crate) async fn sync(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let counts = take(call, comments(payload)?, false).await?;
    Ok(Reply::json(Value::Object(shown(&counts))))
}

pub(crate) async fn sync_raw(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let Payload::RawEmails(RawEmails { comments, include_comments }) = payload else {
        return Err(wrong("documents", "this field is required"));
    };
    let bodies: Vec<Value> = match include_comments {
        true => comments.iter().map(|comment| comment.body.clone()).collect(),
        false => Vec::new(),
    };
    let counts = take(call, comments, false).await?;
    let mut payload = shown(&counts);
    if include_comments {
        payload.insert("comments".to_owned(), bodies.into());
    }
    Ok(Reply::json(Value::Object(payload)))
}

pub(crate) async fn delete(call: &Call<'_>) -> Result<Reply, Refusal> {
    let mut ids: Vec<String> = call.head.parameters("id").map(str::to_owned).collect();
    let lists = call.head.parameters("ids").flat_map(|list| list.split(','));
    ids.extend(lists.filter(|id| !id.is_empty()).map(str::to_owned));
    if ids.is_empty() {
        return Err(wrong("id", "this query parameter is required"));
    }
    if ids.len() > MAX_DELETED {
        return Err(wrong("id", format_args!("expected at most {MAX_DELETED} ids")));
    }
    ids.sort_unstable();
    ids.dedup();
    let mut session = call.shared.store.write().await?;
    let source = call.source_again(&mut session).await?;
    session.begin_comments(&source.id).await?;
    let removed = session.delete_comments(&source.id, &ids).await?.len();
    if removed > 0 {
        let about = [(&*source.project_id, &*source.owner)];
        let details = json!({ "source": source.name, "id": source.id, "count": removed });
        session.audit(&call.caller.actor, "delete_comments", &about, details).await?;
    }
    session.commit().await?;
    Ok(Reply::ok())
}
