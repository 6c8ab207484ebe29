//! Keyed sync states: how far each mailbox and each folder is.

use serde_json::{Map, Value, json};

use super::{
    log::Op,
    ops::Call,
    refusal::Refusal,
    reply::Reply,
    schema::{any_text, is_hex, list, one_of, only, show, text, time, time_or_null, top, wrong},
    world::Bucket,
};

/// Does what a request about keyed states asks.
pub(crate) fn perform(bucket: &mut Bucket, call: &Call<'_>, body: Value) -> Result<Reply, Refusal> {
    let key = call.key();
    let missing = || Refusal::not_found(format_args!("the keyed sync state `{key}`"));
    match call.route.op {
        Op::ListKeyedSyncStates => {
            let mut states: Vec<_> = bucket.keyed_sync_states.values().cloned().collect();
            states.sort_by_cached_key(|state| {
                let path = state.get("folder_path").map(Value::to_string);
                (state.get("mailbox_name").map(Value::to_string), path)
            });
            Ok(Reply::json(json!({ "keyed_sync_states": states })))
        }
        Op::KeyedSyncStateIds => {
            let mut fields = top(body)?;
            let mailbox = fields.required("mailbox_name", text(1, 1024))?;
            fields.finish()?;
            let of = |state: &Value| state.get("mailbox_name") == Some(&Value::from(&*mailbox));
            let states = bucket.keyed_sync_states.iter().filter(|(_, state)| of(state));
            let ids: Vec<_> = states.map(|(key, _)| key).collect();
            Ok(Reply::json(json!({ "keyed_sync_state_ids": ids })))
        }
        Op::PutKeyedSyncState => {
            // The official client takes the keys for hex.
            if !is_hex(key, 1..=1024) {
                return Err(Refusal::invalid(
                    "the key of a keyed sync state must be lower-case hex",
                ));
            }
            let state = read(call, body)?;
            bucket.keyed_sync_states.insert(key.to_owned(), state);
            Ok(Reply::ok())
        }
        Op::DeleteKeyedSyncState => {
            bucket.keyed_sync_states.remove(key).ok_or_else(missing).map(|_| Reply::ok())
        }
        _ => {
            let state = bucket.keyed_sync_states.get(key).ok_or_else(missing)?;
            Ok(Reply::json(json!({ "keyed_sync_state": state })))
        }
    }
}

fn read(call: &Call<'_>, body: Value) -> Result<Value, Refusal> {
    let mut fields = only("keyed_sync_state", body)?;
    let mut state = Map::new();
    let mut set = |name: &str, value: Value| state.insert(name.to_owned(), value);
    set("mailbox_name", fields.required("mailbox_name", text(1, 1024))?.into());
    let id = fields.optional("folder_id", text(1, 4096))?;
    let path = fields.optional("folder_path", list(any_text))?;
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
    // Never missing in an answer.
    let synced = fields.optional("last_synced_at", time)?.unwrap_or(call.now);
    set("last_synced_at", show(synced).into());
    fields.finish()?;
    Ok(Value::Object(state))
}
