//! What people have said about comments: kept and given back, comment by comment.

use serde_json::{Map, Value, json};
use store::{Annotation, Dataset, Held, Session};

use super::{definition::Definition, entities::About, set};
use crate::{
    call::Call,
    comment_pages,
    permissions::project::DATASETS_READ,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    schema::{Fields, any_text, list as array, one_of, text, top, wrong},
};

const PAGE: usize = 64;
const MAX_PAGE: usize = 1024;
/// Most labels, entities or forms of one comment.
const MAX_ENTRIES: usize = 1024;

/// A comment's uid: id of the source, a dot, id of the comment.
fn parts(uid: &str) -> Option<(&str, &str)> {
    uid.split_once('.').filter(|(source, comment)| !source.is_empty() && !comment.is_empty())
}

/// The comment with what was said about it, as the official client reads it.
pub(super) async fn shown(
    session: &mut Session,
    dataset: &Dataset,
    own: &Annotation,
) -> Result<Option<Value>, Refusal> {
    let comment = session.comment(&own.source_id, &own.comment_id).await?;
    let Some(comment) = comment.filter(|_| dataset.source_ids.contains(&own.source_id)) else {
        return Ok(None);
    };
    let said: Map<String, Value> = serde_json::from_str(&own.content).unwrap_or_default();
    let mut comment =
        comment_pages::shown(session, &[comment], true).await?.pop().unwrap_or_default();
    set(&mut comment, "has_annotations", says_something(&own.content).into());
    let mut shown = json!({ "comment": comment, "labelling": [], "entities": null });
    for (name, value) in said {
        set(&mut shown, &name, value);
    }
    Ok(Some(shown))
}

/// Whether an annotation has anything in it; what was taken back leaves empty lists.
pub(crate) fn says_something(content: &str) -> bool {
    fn is_filled(value: &Value) -> bool {
        match value {
            Value::Array(list) => !list.is_empty(),
            Value::Object(map) => map.values().any(is_filled),
            _ => false,
        }
    }
    serde_json::from_str(content).is_ok_and(|said| is_filled(&said))
}

/// `GET …/labellings`: of named comments, or of all that something was said about.
pub(crate) async fn annotations(call: &Call<'_>) -> Result<Reply, Refusal> {
    let dataset = call.dataset()?;
    let ids: Vec<&str> = call.head.parameters("id").collect();
    call.head.flag("return_predictions")?;
    let limit = comment_pages::limit(call.head, PAGE, MAX_PAGE)?;
    let mut session = call.shared.store.read().await?;
    let mut results = Vec::new();
    if !ids.is_empty() {
        if ids.len() > MAX_PAGE {
            return Err(wrong("id", format_args!("expected at most {MAX_PAGE} ids")));
        }
        for uid in ids {
            let (source, comment) = parts(uid).ok_or_else(|| wrong("id", "this is no uid"))?;
            let content = session.annotation(&dataset.id, source, comment).await?;
            let own = Annotation {
                source_id: source.to_owned(),
                comment_id: comment.to_owned(),
                content: content.unwrap_or_else(|| "{}".to_owned()),
            };
            results.extend(shown(&mut session, dataset, &own).await?);
        }
        return Ok(Reply::json(json!({ "results": results })));
    }
    let source = call.head.parameters("source_id").next();
    let after = call.head.parameters("after").next().unwrap_or_default();
    // The first page begins at the source, if there is one.
    let begin = source.map(|source| (source, "")).unwrap_or_default();
    let after = if after.is_empty() {
        begin
    } else {
        parts(after).ok_or_else(|| wrong("after", "this was not issued here"))?
    };
    let page = session.annotations(&dataset.id, after, limit).await?;
    let of_source: Vec<_> =
        page.iter().filter(|own| source.is_none_or(|source| source == own.source_id)).collect();
    for own in &of_source {
        results.extend(shown(&mut session, dataset, own).await?);
    }
    let mut payload = json!({ "results": results });
    // The official client goes on until a page is empty, and wants to be led on by all others.
    if let Some(last) = of_source.last() {
        set(&mut payload, "after", format!("{}.{}", last.source_id, last.comment_id).into());
    }
    Ok(Reply::json(payload))
}

/// `POST …/labellings/{uid}`: what is named replaces what was said, group by group.
pub(crate) async fn annotate(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let uid = call.named.other(0);
    let missing = || Refusal::not_found(format_args!("the comment `{uid}`"));
    let (source, comment) = parts(uid).ok_or_else(missing)?;
    let mut body = top(payload.json()?)?;
    let labelling = body.optional("labelling", bounded(labelling))?;
    let mut session = call.shared.store.write().await?;
    // What others say meanwhile is added to, and the comment stays.
    session.hold(Held::Dataset(&call.dataset()?.id)).await?;
    session.hold(Held::Source(source)).await?;
    let dataset = call.dataset_again(&mut session).await?;
    let stored = session.comment(source, comment).await?;
    let stored = stored.filter(|_| dataset.source_ids.iter().any(|id| id == source));
    let text = serde_json::from_str(&stored.ok_or_else(missing)?.body).unwrap_or_default();
    let about = About { comment: &text, dataset: &Definition::of(&dataset.definition) };
    let entity = |path: &str, value: Value| about.entity(path, value);
    let entities = body.optional("entities", |path, value| {
        let mut own = Fields::of(path, value)?;
        let assigned = own.optional("assigned", bounded(entity))?.unwrap_or_default();
        let dismissed = own.optional("dismissed", bounded(entity))?.unwrap_or_default();
        own.finish()?;
        Ok(json!({ "assigned": assigned, "dismissed": dismissed }))
    })?;
    let form = |path: &str, value: Value| about.form(path, value);
    let forms = body.optional("moon_forms", bounded(form))?;
    body.finish()?;
    let held = session.annotation(&dataset.id, source, comment).await?.unwrap_or_default();
    let mut said: Map<String, Value> = serde_json::from_str(&held).unwrap_or_default();
    if let Some(new) = labelling {
        let old = said.get("labelling").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut groups: Vec<Value> = old
            .into_iter()
            .filter(|old| !new.iter().any(|new| new["group"] == old["group"]))
            .collect();
        let says =
            |own: &Value| ["assigned", "dismissed"].iter().any(|name| own[*name] != json!([]));
        groups.extend(new.into_iter().filter(says));
        said.insert("labelling".to_owned(), groups.into());
    }
    if let Some(entities) = entities {
        said.insert("entities".to_owned(), entities);
    }
    if let Some(forms) = forms {
        said.insert("moon_forms".to_owned(), forms.into());
    }
    let own = Annotation {
        source_id: source.to_owned(),
        comment_id: comment.to_owned(),
        content: Value::Object(said).to_string(),
    };
    session.put_annotation(&dataset.id, &own).await?;
    let about = [(&*dataset.project_id, &*dataset.owner)];
    let details = json!({ "dataset": dataset.name, "id": dataset.id, "title": dataset.title, "comment": uid });
    session.audit(&call.caller.actor, "annotate_comment", &about, details).await?;
    let shown = shown(&mut session, &dataset, &own).await?.ok_or_else(missing)?;
    session.commit().await?;
    Ok(Reply::json(shown))
}

fn labelling(path: &str, value: Value) -> Result<Value, Refusal> {
    let mut own = Fields::of(path, value)?;
    let group = own.required("group", text(1, 256))?;
    let mut shown = json!({ "group": group });
    for name in ["assigned", "dismissed"] {
        let labels = own.optional(name, |path, value| {
            if value.is_null() { Ok(Vec::new()) } else { bounded(label)(path, value) }
        })?;
        set(&mut shown, name, labels.unwrap_or_default().into());
    }
    own.finish()?;
    Ok(shown)
}

pub(super) fn label(path: &str, value: Value) -> Result<Value, Refusal> {
    let mut own = Fields::of(path, value)?;
    let mut shown = json!({ "name": own.required("name", any_text)? });
    let sentiment = own.optional("sentiment", one_of(&["positive", "negative"]))?;
    set(&mut shown, "sentiment", sentiment.unwrap_or_else(|| "positive".to_owned()).into());
    if let Some(metadata) = own.optional("metadata", object)? {
        set(&mut shown, "metadata", metadata);
    }
    own.finish()?;
    Ok(shown)
}

fn object(path: &str, value: Value) -> Result<Value, Refusal> {
    if value.is_object() { Ok(value) } else { Err(wrong(path, "expected an object")) }
}

fn bounded<T>(
    read: impl Fn(&str, Value) -> Result<T, Refusal>,
) -> impl FnOnce(&str, Value) -> Result<Vec<T>, Refusal> {
    move |path, value| {
        let entries = array(read)(path, value)?;
        if entries.len() <= MAX_ENTRIES {
            return Ok(entries);
        }
        Err(wrong(path, format_args!("expected at most {MAX_ENTRIES} entries")))
    }
}

/// Takes over what was said in another dataset about comments that both have.
pub(super) async fn copy(
    call: &Call<'_>,
    session: &mut Session,
    from: &str,
    to: &Dataset,
) -> Result<(), Refusal> {
    let other = session.dataset_by_id(from).await?;
    let other = other.filter(|own| call.caller.may(&own.owner, DATASETS_READ));
    let other = other.ok_or_else(|| {
        let why = format_args!("the dataset `{from}` was not found").to_string();
        wrong("dataset.copy_annotations_from", why)
    })?;
    let mut after = (String::new(), String::new());
    loop {
        let page = session.annotations(&other.id, (&after.0, &after.1), MAX_PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.source_id.clone(), last.comment_id.clone());
        for own in page.iter().filter(|own| to.source_ids.contains(&own.source_id)) {
            session.put_annotation(&to.id, own).await?;
        }
    }
}
