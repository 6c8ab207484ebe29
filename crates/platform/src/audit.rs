//! What was done, by whom and when.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use store::{AuditEvent, AuditQuery};

use crate::{
    TENANT,
    call::Call,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    schema::{Fields, any_text, natural, show, time_range, top, wrong},
};

const PAGE: usize = 128;
const MAX_PAGE: usize = 1024;

pub(crate) async fn query(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let wanted = read(payload.json()?)?;
    let mut session = call.shared.store.read().await?;
    let more = AuditQuery { limit: wanted.limit + 1, ..wanted };
    let mut events = session.audit_events(&more).await?;
    let has_more = events.len() > wanted.limit;
    events.truncate(wanted.limit);
    // The official client ends when an event names somebody who is not in these.
    let (mut users, mut projects) = (BTreeMap::new(), BTreeMap::new());
    let (mut datasets, mut sources) = (BTreeMap::new(), BTreeMap::new());
    let shown: Vec<Value> = events
        .iter()
        .map(|event| {
            let actor = &event.actor;
            users.insert(
                &actor.user_id,
                json!({
                    "id": actor.user_id, "tenant_id": TENANT.0, "username": actor.username,
                    "email": actor.email, "display_name": actor.username,
                }),
            );
            for (id, name) in &event.projects {
                projects.insert(id, json!({ "id": id, "tenant_id": TENANT.0, "name": name }));
            }
            let of = |kind: &str| about(event, kind);
            let (dataset, source) = (of("dataset"), of("source"));
            for (own, table) in [(&dataset, &mut datasets), (&source, &mut sources)] {
                if let Some((id, row)) = own {
                    table.insert(id.clone(), row.clone());
                }
            }
            let id = |own: Option<(String, Value)>| own.map(|(id, _)| id).into_iter().collect();
            let (dataset_ids, source_ids): (Vec<_>, Vec<_>) = (id(dataset), id(source));
            let ids: Vec<_> = event.projects.iter().map(|(id, _)| id).collect();
            json!({
                "event_id": event.id,
                "event_type": event.kind,
                "timestamp": show(event.at),
                "actor_user_id": actor.user_id,
                "actor_tenant_id": TENANT.0,
                "tenant_ids": [TENANT.0],
                "project_ids": ids,
                "dataset_ids": dataset_ids,
                "source_ids": source_ids,
            })
        })
        .collect();
    let mut payload = Map::new();
    let mut set = |name: &str, value: Value| payload.insert(name.to_owned(), value);
    set("audit_events", shown.into());
    set("tenants", json!([{ "id": TENANT.0, "name": TENANT.1 }]));
    set("users", users.into_values().collect());
    set("projects", projects.into_values().collect());
    set("datasets", datasets.into_values().collect());
    set("sources", sources.into_values().collect());
    set("triggers", json!([]));
    if let Some(last) = events.last().filter(|_| has_more) {
        set("continuation", format!("{:016x}", last.number).into());
    }
    Ok(Reply::json(Value::Object(payload)))
}

/// The dataset or the source that an event is about, as its details name it: they are copied, since
/// both can go.
fn about(event: &AuditEvent, kind: &str) -> Option<(String, Value)> {
    let text = |name: &str| event.details.get(name).and_then(Value::as_str);
    let (name, id) = (text(kind)?, text("id")?);
    let project = event.projects.first().map(|(id, _)| id.as_str());
    let row = json!({
        "id": id, "name": name, "project_id": project.unwrap_or_default(),
        "title": text("title").unwrap_or(name),
    });
    Some((id.to_owned(), row))
}

fn read(body: Value) -> Result<AuditQuery, Refusal> {
    let mut body = top(body)?;
    let (from, to) = body.required("filter", |path, value| {
        let mut filter = Fields::of(path, value)?;
        let range = filter.optional("timestamp", time_range)?;
        filter.finish()?;
        Ok(range.unwrap_or_default())
    })?;
    let limit = body.optional("limit", |path, value| {
        let limit = usize::try_from(natural(path, value)?).unwrap_or(usize::MAX);
        if (1..=MAX_PAGE).contains(&limit) {
            return Ok(limit);
        }
        Err(wrong(path, format_args!("expected a number from 1 to {MAX_PAGE}")))
    })?;
    let after = body.optional("continuation", |path, value| {
        let text = any_text(path, value)?;
        let number = i64::from_str_radix(&text, 16).ok().filter(|_| text.len() == 16);
        number.ok_or_else(|| wrong(path, "this continuation was not issued here"))
    })?;
    body.finish()?;
    Ok(AuditQuery { from, to, after, limit: limit.unwrap_or(PAGE) })
}
