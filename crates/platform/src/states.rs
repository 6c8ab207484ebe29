//! How far appliances are: the sync state of a bucket, and the keyed ones.

use hyper::{
    StatusCode,
    header::{ETAG, IF_MATCH, IF_NONE_MATCH},
};
use serde_json::{Map, Value, json};
use store::{Expected, SyncState};

use crate::{
    call::Call,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    schema::{
        any_text, is_hex, list as array, one_of, only, show, text, time, time_or_null, top, wrong,
    },
};

/// The tag of a state. The bucket is in it: one that is made anew begins to count anew.
/// Spec: RFC 9110 §8.8.3.
fn tag(bucket_id: &str, version: i64) -> String {
    format!("\"{bucket_id}-{version}\"")
}

pub(crate) async fn get(call: &Call<'_>) -> Result<Reply, Refusal> {
    let bucket = call.bucket()?;
    let mut session = call.shared.store.read().await?;
    let missing = || Refusal::not_found("a sync state of this bucket");
    let state = session.sync_state(&bucket.id).await?.ok_or_else(missing)?;
    let reply = Reply::json(json!({ "bucket_sync_state": {
        "sync_state": state.state,
        "progress_timestamp": state.progress_at.map(show),
        "last_synced_at": state.synced_at.map(show),
    }}));
    Ok(reply.with(ETAG, tag(&bucket.id, state.version)))
}

pub(crate) async fn put(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut fields = only("bucket_sync_state", payload.json()?)?;
    let state = fields.required("sync_state", |path, value| {
        let state = any_text(path, value)?;
        if state.contains('\0') {
            return Err(wrong(path, "the character U+0000 is not allowed"));
        }
        Ok(state)
    })?;
    let progress_at = fields.optional("progress_timestamp", time_or_null)?.flatten();
    let synced_at = fields.optional("last_synced_at", time_or_null)?.flatten();
    fields.finish()?;
    let mut session = call.shared.store.write().await?;
    let bucket = call.bucket_again(&mut session).await?;
    let held = session.sync_state(&bucket.id).await?.map(|held| held.version);
    let expected = expected(call, &bucket.id, held)?;
    let new = SyncState { state, progress_at, synced_at, version: 0 };
    let version = session.put_sync_state(&bucket.id, new, expected).await?;
    session.commit().await?;
    Ok(Reply::ok().with(ETAG, tag(&bucket.id, version)))
}

/// What `If-Match` and `If-None-Match` allow to be replaced. Spec: RFC 9110 §13.1.1, §13.1.2.
fn expected(call: &Call<'_>, bucket_id: &str, held: Option<i64>) -> Result<Expected, Refusal> {
    let changed = || {
        let message = "the sync state is not the one that the request expects";
        Refusal::new(StatusCode::PRECONDITION_FAILED, message)
    };
    let lists = |header: &str| {
        let held = held.map(|version| tag(bucket_id, version));
        header.trim() == "*" && held.is_some()
            || held.is_some_and(|held| header.split(',').any(|own| own.trim() == held))
    };
    let mut expected = Expected::Anything;
    if let Some(header) = call.head.header(IF_MATCH) {
        expected = match held {
            Some(version) if lists(header) => Expected::Version(version),
            _ => return Err(changed()),
        };
    }
    match call.head.header(IF_NONE_MATCH) {
        Some(header) if lists(header) => Err(changed()),
        Some(_) if held.is_none() => Ok(Expected::Nothing),
        _ => Ok(expected),
    }
}

fn parse(state: &str) -> Value {
    serde_json::from_str(state).unwrap_or(Value::Null)
}

pub(crate) async fn list_keyed(call: &Call<'_>) -> Result<Reply, Refusal> {
    let mut session = call.shared.store.read().await?;
    let states = session.keyed_sync_states(&call.bucket()?.id).await?;
    let states: Vec<_> = states.iter().map(|state| parse(state)).collect();
    Ok(Reply::json(json!({ "keyed_sync_states": states })))
}

fn missing(key: &str) -> Refusal {
    Refusal::not_found(format_args!("the keyed sync state `{key}`"))
}

pub(crate) async fn get_keyed(call: &Call<'_>) -> Result<Reply, Refusal> {
    let key = call.named.other(0);
    let mut session = call.shared.store.read().await?;
    let state = session.keyed_sync_state(&call.bucket()?.id, key).await?;
    let state = state.ok_or_else(|| missing(key))?;
    Ok(Reply::json(json!({ "keyed_sync_state": parse(&state) })))
}

pub(crate) async fn put_keyed(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let key = call.named.other(0);
    // The official client takes the keys for hex.
    if !is_hex(key, 1..=1024) {
        return Err(Refusal::invalid("the key of a keyed sync state must be lower-case hex"));
    }
    let mut fields = only("keyed_sync_state", payload.json()?)?;
    let mut state = Map::new();
    let mut set = |name: &str, value: Value| state.insert(name.to_owned(), value);
    let mailbox = fields.required("mailbox_name", text(1, 1024))?;
    set("mailbox_name", mailbox.clone().into());
    let id = fields.optional("folder_id", text(1, 4096))?;
    let path = fields.optional("folder_path", array(any_text))?;
    // Sorts like the list of names.
    let sorted_by = path.as_ref().map(|path| path.join("\u{1}")).unwrap_or_default();
    match (id, path) {
        (None, None) => {}
        (Some(id), Some(path)) => {
            set("folder_id", id.into());
            set("folder_path", path.into());
        }
        (Some(_), None) => return Err(wrong("keyed_sync_state.folder_path", "is required")),
        (None, Some(_)) => return Err(wrong("keyed_sync_state.folder_id", "is required")),
    }
    let status = fields.required("status", one_of(&["IN_PROGRESS", "UP_TO_DATE"]))?;
    set("status", status.into());
    for name in ["synced_until", "fingerprint"] {
        if let Some(time) = fields.optional(name, time_or_null)? {
            set(name, time.map(show).into());
        }
    }
    let synced = fields.optional("last_synced_at", time)?;
    fields.finish()?;
    let mut session = call.shared.store.write().await?;
    let bucket = call.bucket_again(&mut session).await?;
    // Never missing in an answer.
    set("last_synced_at", show(synced.unwrap_or_else(|| session.now())).into());
    let state = Value::Object(state).to_string();
    if [&mailbox, &sorted_by, &state].iter().any(|text| text.contains('\0')) {
        return Err(wrong("keyed_sync_state", "the character U+0000 is not allowed"));
    }
    session.put_keyed_sync_state(&bucket.id, key, &mailbox, &sorted_by, &state).await?;
    session.commit().await?;
    Ok(Reply::ok())
}

pub(crate) async fn delete_keyed(call: &Call<'_>) -> Result<Reply, Refusal> {
    let key = call.named.other(0);
    let mut session = call.shared.store.write().await?;
    let bucket = call.bucket_again(&mut session).await?;
    if !session.delete_keyed_sync_state(&bucket.id, key).await? {
        return Err(missing(key));
    }
    let about = [(&*bucket.project_id, &*bucket.owner)];
    let details = json!({ "bucket": bucket.name, "key": key });
    session.audit(&call.caller.actor, "delete_keyed_sync_state", &about, details).await?;
    session.commit().await?;
    Ok(Reply::ok())
}

pub(crate) async fn keys(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut fields = top(payload.json()?)?;
    let mailbox = fields.required("mailbox_name", text(1, 1024))?;
    fields.finish()?;
    let mut session = call.shared.store.read().await?;
    let keys = session.keyed_sync_state_keys(&call.bucket()?.id, &mailbox).await?;
    Ok(Reply::json(json!({ "keyed_sync_state_ids": keys })))
}
