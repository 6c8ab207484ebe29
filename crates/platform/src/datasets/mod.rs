//! Datasets: sources that are looked at together, with their labels. Nothing is predicted here:
//! what people and tools have said is kept and given back.

mod annotations;
mod definition;
mod entities;
mod models;
mod query;
mod streams;
mod summary;

use serde_json::{Value, json};
use store::{Dataset, Held, Session};

use crate::{
    attribute_filter,
    call::Call,
    comment_filter,
    permissions::project::{DATASETS_READ, SOURCES_READ},
    quotas,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    routes::ItemName,
    schema::{Fields, flag, is_hex, is_name, list as array, one_of, only, show, text, wrong},
};

pub(crate) use annotations::{annotate, annotations, says_something};
use definition::Definition;
pub(crate) use models::{list as models, none as no_model};
pub(crate) use query::query;
pub(crate) use streams::{
    advance, delete_stream, exceptions, fetch, get_stream, list_streams, put_stream, reset, results,
};
pub(crate) use summary::summary;

const FAMILIES: &[&str] = &["english", "multilingual"];
/// Most sources of a dataset.
const MAX_SOURCES: usize = 1024;

/// Sets a field of an object that is made here.
fn set(shown: &mut Value, name: &str, value: Value) {
    if let Some(fields) = shown.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

fn shown(own: &Dataset) -> Value {
    let mut shown = Definition::of(&own.definition).0;
    let mut set = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    set("id", own.id.clone().into());
    set("owner", own.owner.clone().into());
    set("name", own.name.clone().into());
    set("title", own.title.clone().into());
    set("description", own.description.clone().into());
    set("created", show(own.created_at).into());
    set("last_modified", show(own.updated_at).into());
    set("model_family", own.model_family.clone().into());
    set("source_ids", own.source_ids.clone().into());
    set("has_sentiment", own.has_sentiment.into());
    Value::Object(shown)
}

pub(crate) async fn list(call: &Call<'_>) -> Result<Reply, Refusal> {
    let mut session = call.shared.store.read().await?;
    let datasets = session.datasets().await?;
    let owner = call.named.project.as_ref();
    let seen = datasets.iter().filter(|own| {
        owner.is_none_or(|owner| *owner == own.owner) && call.caller.may(&own.owner, DATASETS_READ)
    });
    Ok(Reply::json(json!({ "datasets": seen.map(shown).collect::<Vec<_>>() })))
}

pub(crate) fn get(call: &Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::json(json!({ "dataset": shown(call.dataset()?) })))
}

/// Ids of sources, each once, that the caller may read.
async fn sources(
    call: &Call<'_>,
    session: &mut Session,
    ids: Vec<String>,
) -> Result<Vec<String>, Refusal> {
    let mut known: Vec<String> = Vec::new();
    if ids.len() > MAX_SOURCES {
        let why = format_args!("expected at most {MAX_SOURCES} ids").to_string();
        return Err(wrong("dataset.source_ids", why));
    }
    for (number, id) in ids.into_iter().enumerate() {
        let source = session.source_by_id(&id).await?;
        let source = source.filter(|own| call.caller.may(&own.owner, SOURCES_READ));
        if source.is_none() {
            let path = format!("dataset.source_ids[{number}]");
            return Err(wrong(&path, format_args!("the source `{id}` was not found")));
        }
        if !known.contains(&id) {
            known.push(id);
        }
    }
    quotas::check_size(session, "sources_per_dataset", known.len()).await?;
    Ok(known)
}

async fn check_sizes(session: &mut Session, own: &Definition) -> Result<(), Refusal> {
    quotas::check_size(session, "labels_per_dataset", own.labels()).await?;
    quotas::check_size(session, "entities_per_dataset", own.entities()).await
}

fn source_ids(fields: &mut Fields) -> Result<Option<Vec<String>>, Refusal> {
    fields.optional(
        "source_ids",
        array(|path: &str, value| {
            let id = text(1, 64)(path, value)?;
            if is_hex(&id, 16..=16) { Ok(id) } else { Err(wrong(path, "expected 16 hex digits")) }
        }),
    )
}

pub(crate) async fn create(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut fields = only("dataset", payload.json()?)?;
    let ids = source_ids(&mut fields)?;
    let ids = ids.ok_or_else(|| wrong("dataset.source_ids", "this field is required"))?;
    let title = fields.optional("title", text(0, 1024))?;
    let description = fields.optional("description", text(0, 16_384))?;
    let has_sentiment = fields.optional("has_sentiment", flag)?;
    let family = fields.optional("model_family", one_of(FAMILIES))?;
    let copied = fields.optional("copy_annotations_from", text(1, 64))?;
    let mut definition = Definition::default();
    definition.take(&mut fields)?;
    fields.finish()?;
    let Some(ItemName::Full { owner, name }) = &call.named.item else {
        return Err(Refusal::invalid("a dataset is made by its name, not by an id"));
    };
    if !is_name(name, false) {
        return Err(Refusal::invalid(format!("`{name}` is no name of a dataset")));
    }
    let mut session = call.shared.store.write().await?;
    let project = call.project_again(&mut session).await?;
    quotas::check(&mut session, "datasets").await?;
    check_sizes(&mut session, &definition).await?;
    let source_ids = sources(call, &mut session, ids).await?;
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let new = Dataset {
        project_id: project.id.clone(),
        owner: owner.clone(),
        name: name.clone(),
        title: title.unwrap_or_else(|| name.clone()),
        description: description.unwrap_or_default(),
        model_family: family.unwrap_or_else(|| "english".to_owned()),
        has_sentiment: has_sentiment.unwrap_or_default(),
        labels: count(definition.labels()),
        entities: count(definition.entities()),
        definition: Value::Object(definition.0).to_string(),
        source_ids,
        ..Dataset::default()
    };
    let own = session.create_dataset(new).await?;
    if let Some(id) = copied {
        annotations::copy(call, &mut session, &id, &own).await?;
    }
    audit(call, &mut session, "create_dataset", &own).await?;
    session.commit().await?;
    Ok(Reply::json(json!({ "dataset": shown(&own) })))
}

pub(crate) async fn update(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut fields = only("dataset", payload.json()?)?;
    let ids = source_ids(&mut fields)?;
    let title = fields.optional("title", text(0, 1024))?;
    let description = fields.optional("description", text(0, 16_384))?;
    let mut session = call.shared.store.write().await?;
    session.hold(Held::Dataset(&call.dataset()?.id)).await?;
    let mut own = call.dataset_again(&mut session).await?;
    let mut definition = Definition::of(&own.definition);
    definition.take(&mut fields)?;
    fields.finish()?;
    check_sizes(&mut session, &definition).await?;
    if let Some(ids) = ids {
        own.source_ids = sources(call, &mut session, ids).await?;
    }
    own.title = title.unwrap_or(own.title);
    own.description = description.unwrap_or(own.description);
    keep(&mut own, definition);
    session.update_dataset(&mut own).await?;
    audit(call, &mut session, "update_dataset", &own).await?;
    session.commit().await?;
    Ok(Reply::json(json!({ "dataset": shown(&own) })))
}

fn keep(own: &mut Dataset, definition: Definition) {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    own.labels = count(definition.labels());
    own.entities = count(definition.entities());
    own.definition = Value::Object(definition.0).to_string();
}

/// `PUT …/labels/{group}`: adds labels, and replaces those of the same name.
pub(crate) async fn put_labels(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let labels = definition::labels(payload.json()?)?;
    let group = &text(1, 256)("group", call.named.other(0).into())?;
    let mut session = call.shared.store.write().await?;
    session.hold(Held::Dataset(&call.dataset()?.id)).await?;
    let mut own = call.dataset_again(&mut session).await?;
    let mut definition = Definition::of(&own.definition);
    definition.put_labels(group, labels, false);
    check_sizes(&mut session, &definition).await?;
    keep(&mut own, definition);
    session.update_dataset(&mut own).await?;
    audit(call, &mut session, "update_dataset", &own).await?;
    session.commit().await?;
    Ok(Reply::ok())
}

/// The audit query makes its table of datasets from these details.
async fn audit(
    call: &Call<'_>,
    session: &mut Session,
    kind: &str,
    own: &Dataset,
) -> Result<(), Refusal> {
    let about = [(&*own.project_id, &*own.owner)];
    let details = json!({ "dataset": own.name, "id": own.id, "title": own.title });
    Ok(session.audit(&call.caller.actor, kind, &about, details).await?)
}

pub(crate) async fn delete(call: &Call<'_>) -> Result<Reply, Refusal> {
    let mut session = call.shared.store.write().await?;
    let own = call.dataset_again(&mut session).await?;
    session.delete_dataset(&own.id).await?;
    audit(call, &mut session, "delete_dataset", &own).await?;
    session.commit().await?;
    Ok(Reply::ok())
}

/// `POST …/statistics`: how many comments of the dataset's sources fit a filter.
pub(crate) async fn statistics(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut body = payload.json()?;
    let mut attributes = None;
    if let Some(map) = body.as_object_mut() {
        // What is asked for besides is about predictions, of which there are none.
        for name in ["label_property_timeseries", "label_timeseries", "time_resolution"] {
            map.remove(name);
        }
        attributes = map.remove("attribute_filters");
    }
    let attributes = attribute_filter::read("attribute_filters", attributes)?;
    let dataset = call.dataset()?;
    let filter = comment_filter::read(body)?.within(&dataset.id, attributes);
    let _place = call.shared.places.scans.enter().await?;
    let mut session = call.shared.store.read().await?;
    let mut count = 0;
    for id in &dataset.source_ids {
        count += filter.count(&mut session, id).await?;
    }
    Ok(Reply::json(json!({
        "statistics": { "num_comments": count, "label_counts": {}, "label_timeseries": [] },
    })))
}
