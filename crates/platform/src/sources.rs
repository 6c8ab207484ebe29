//! Sources of comments.

use comment::{TextFormat, Transform};
use hyper::StatusCode;
use serde_json::{Value, json};
use store::{Held, Session, Source, SourceDetails, Store};

use crate::{
    call::Call,
    comment_filter,
    permissions::project::{BUCKETS_ITEMS_READ, SOURCES_READ},
    quotas,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    routes::BucketName,
    schema::{any_text, flag, is_name, list as array, natural, one_of, only, show, text, wrong},
};

const KINDS: &[&str] = &["call", "chat", "unknown", "ixp_design", "ixp_runtime"];
/// `xlm` stands for "any language".
const LANGUAGES: &[&str] = &["en", "de", "xlm"];
const MAX_SENSITIVE: usize = 4096;
const MAX_VERSION: u64 = 1024;

fn shown(source: &Source) -> Value {
    let own = &source.details;
    let sensitive = serde_json::from_str(&own.sensitive_properties).unwrap_or_else(|_| json!([]));
    let mut shown = json!({
        "id": source.id,
        "owner": source.owner,
        "name": source.name,
        "title": own.title,
        "description": own.description,
        "language": own.language,
        "should_translate": own.should_translate,
        "sensitive_properties": sensitive,
        "_kind": own.kind,
        "created_at": show(source.created_at),
        "updated_at": show(source.updated_at),
        "last_modified": show(source.last_modified.max(source.updated_at)),
    });
    if let Some(map) = shown.as_object_mut() {
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                map.insert(name.to_owned(), value);
            }
        };
        set("bucket_id", own.bucket_id.clone().map(Value::from));
        set("email_transform_tag", own.transform_tag.clone().map(Value::from));
        set("email_transform_version", own.transform_version.map(Value::from));
    }
    shown
}

pub(crate) async fn list(call: &Call<'_>) -> Result<Reply, Refusal> {
    let mut session = call.shared.store.read().await?;
    let sources = session.sources().await?;
    let owner = call.named.project.as_ref();
    let seen = sources.iter().filter(|source| {
        owner.is_none_or(|owner| *owner == source.owner)
            && call.caller.may(&source.owner, SOURCES_READ)
    });
    Ok(Reply::json(json!({ "sources": seen.map(shown).collect::<Vec<_>>() })))
}

pub(crate) fn get(call: &Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::json(json!({ "source": shown(call.source()?) })))
}

/// The refusal of a tag that does not exist, in the words that the official client knows.
pub(crate) fn unknown_tag(tag: &str) -> Refusal {
    let message = format!("The value '{tag}' is not a valid transform tag.");
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message)
}

/// Reads the fields that are there over `details`.
fn read(body: Value, details: &mut SourceDetails) -> Result<(), Refusal> {
    let mut fields = only("source", body)?;
    let title = fields.optional("title", text(0, 128))?;
    let description = fields.optional("description", text(0, 16_384))?;
    let language = fields.optional("language", one_of(LANGUAGES))?;
    let should_translate = fields.optional("should_translate", flag)?;
    let kind = fields.optional("_kind", one_of(KINDS))?;
    let sensitive = fields.optional("sensitive_properties", |path, value| {
        let names = array(text(1, 128))(path, value)?;
        if names.len() > MAX_SENSITIVE {
            return Err(wrong(path, format_args!("expected at most {MAX_SENSITIVE} names")));
        }
        Ok(Value::from(names).to_string())
    })?;
    let nullable = |path: &str, value: Value| {
        if value.is_null() { Ok(None) } else { any_text(path, value).map(Some) }
    };
    let bucket_id = fields.optional("bucket_id", nullable)?;
    let tag = fields.optional("email_transform_tag", nullable)?;
    let version = fields.optional("email_transform_version", |path, value| {
        if value.is_null() {
            return Ok(None);
        }
        let version = natural(path, value)?;
        if version > MAX_VERSION {
            return Err(wrong(path, format_args!("expected a number from 0 to {MAX_VERSION}")));
        }
        Ok(i64::try_from(version).ok())
    })?;
    fields.finish()?;
    if let Some(Some(tag)) = tag
        .as_ref()
        .filter(|tag| tag.as_deref().is_some_and(|tag| Transform::from_tag(tag).is_none()))
    {
        return Err(unknown_tag(tag));
    }
    let old = std::mem::take(details);
    *details = SourceDetails {
        title: title.unwrap_or(old.title),
        description: description.unwrap_or(old.description),
        language: language.unwrap_or(old.language),
        should_translate: should_translate.unwrap_or(old.should_translate),
        sensitive_properties: sensitive.unwrap_or(old.sensitive_properties),
        kind: kind.unwrap_or(old.kind),
        bucket_id: bucket_id.unwrap_or(old.bucket_id),
        transform_tag: tag.unwrap_or(old.transform_tag),
        transform_version: version.unwrap_or(old.transform_version),
    };
    Ok(())
}

/// Comments show what is in emails: whoever attaches a bucket must be allowed to read it.
async fn check_bucket(call: &Call<'_>, session: &mut Session, id: &str) -> Result<(), Refusal> {
    let path = "source.bucket_id";
    let missing = || wrong(path, format_args!("the bucket `id:{id}` was not found"));
    if id.contains('\0') {
        return Err(missing());
    }
    let bucket = session.bucket_by_id(id).await?.ok_or_else(missing)?;
    if !call.caller.is_member(&bucket.owner) {
        return Err(missing());
    }
    if !call.caller.may(&bucket.owner, BUCKETS_ITEMS_READ) {
        return Err(Refusal::forbidden(BUCKETS_ITEMS_READ));
    }
    Ok(())
}

pub(crate) async fn create(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let Some(BucketName::Full { owner, name }) = &call.named.source else {
        return Err(Refusal::invalid("a source is made by its name, not by an id"));
    };
    let mut details = SourceDetails {
        title: name.clone(),
        language: "en".to_owned(),
        sensitive_properties: "[]".to_owned(),
        kind: "unknown".to_owned(),
        ..SourceDetails::default()
    };
    read(payload.json()?, &mut details)?;
    if !is_name(name, false) {
        return Err(Refusal::invalid(format!("`{name}` is no name of a source")));
    }
    let mut session = call.shared.store.write().await?;
    let project = call.project_again(&mut session).await?;
    quotas::check(&mut session, "sources").await?;
    if let Some(bucket) = details.bucket_id.clone() {
        check_bucket(call, &mut session, &bucket).await?;
    }
    let source = session.create_source(owner, name, details).await?;
    let about = [(&*project.id, &*project.name)];
    let told =
        json!({ "source": source.name, "id": source.id, "bucket_id": source.details.bucket_id });
    session.audit(&call.caller.actor, "create_source", &about, told).await?;
    session.commit().await?;
    call.shared.converter.wake();
    Ok(Reply::json(json!({ "source": shown(&source) })))
}

pub(crate) async fn update(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let body = payload.json()?;
    let mut session = call.shared.store.write().await?;
    session.hold(Held::Source(&call.source()?.id)).await?;
    let mut source = call.source_again(&mut session).await?;
    let before = source.details.clone();
    read(body, &mut source.details)?;
    if source.details == before {
        return Ok(Reply::json(json!({ "source": shown(&source) })));
    }
    if let Some(bucket) = &source.details.bucket_id
        && source.details.bucket_id != before.bucket_id
    {
        check_bucket(call, &mut session, bucket).await?;
    }
    session.update_source(&mut source).await?;
    let about = [(&*source.project_id, &*source.owner)];
    let own = &source.details;
    let told = json!({
        "source": source.name, "id": source.id, "title": own.title, "bucket_id": own.bucket_id,
        "email_transform_tag": own.transform_tag,
        "email_transform_version": own.transform_version,
    });
    session.audit(&call.caller.actor, "update_source", &about, told).await?;
    session.commit().await?;
    call.shared.converter.wake();
    Ok(Reply::json(json!({ "source": shown(&source) })))
}

/// Comments that one transaction removes, so that uploads to other sources need not wait long.
const REMOVED_AT_ONCE: usize = 500;

/// Empties a source in portions, and tells how many comments there were.
pub(crate) async fn empty(store: &Store, source: &Source) -> Result<u64, Refusal> {
    let count = store.read().await?.count_comments(&source.id, None, None).await?;
    // Not longer, though somebody may still be filling it.
    for _ in 0..count.div_ceil(REMOVED_AT_ONCE as u64) {
        let mut session = store.write().await?;
        let removed = session.delete_oldest_comments(&source.id, REMOVED_AT_ONCE).await?;
        session.commit().await?;
        if !removed {
            break;
        }
    }
    Ok(count)
}

pub(crate) async fn delete(call: &Call<'_>) -> Result<Reply, Refusal> {
    let mut session = call.shared.store.write().await?;
    let source = call.source_again(&mut session).await?;
    let comments = session.count_comments(&source.id, None, None).await?;
    let about = [(&*source.project_id, &*source.owner)];
    let told = json!({ "source": source.name, "id": source.id, "comments": comments });
    session.audit(&call.caller.actor, "delete_source", &about, told).await?;
    if comments > 0 {
        // Whoever hangs up now has emptied a part, and the event tells.
        session.commit().await?;
        empty(&call.shared.store, &source).await?;
        session = call.shared.store.write().await?;
    }
    session.delete_source(&source.id).await?;
    session.commit().await?;
    Ok(Reply::ok())
}

pub(crate) async fn statistics(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let filter = comment_filter::read(payload.json()?)?;
    let source = call.source()?;
    let _place = call.shared.places.scans.enter().await?;
    let mut session = call.shared.store.read().await?;
    let count = filter.count(&mut session, &source.id).await?;
    Ok(Reply::json(json!({ "statistics": { "num_comments": count } })))
}

pub(crate) fn transform_tags() -> Reply {
    let tags = Transform::TAGS.iter().filter_map(|(tag, _)| {
        let mut info = tag_info(tag).ok()?;
        info.as_object_mut()?.insert("tag".to_owned(), (*tag).into());
        Some(info)
    });
    Reply::json(json!({ "email_transform_tags": tags.collect::<Vec<_>>() }))
}

pub(crate) fn transform_tag(call: &Call<'_>) -> Result<Reply, Refusal> {
    let name = call.named.other(0);
    let info = tag_info(name.strip_prefix("tag:").unwrap_or(name))?;
    Ok(Reply::json(json!({ "email_transform_tag_info": info })))
}

fn tag_info(tag: &str) -> Result<Value, Refusal> {
    let transform = Transform::from_tag(tag).ok_or_else(|| unknown_tag(tag))?;
    let format = match transform.text_format {
        TextFormat::Plain => "plain",
        TextFormat::Markup => "markdown",
    };
    let mut info = json!({ "text_format": format });
    let upgrade = Transform::TAGS.iter().find(|(own, _)| *own == tag).and_then(|(_, more)| *more);
    if let (Some(map), Some(upgrade)) = (info.as_object_mut(), upgrade) {
        map.insert("rich_text_upgrade_tag".to_owned(), upgrade.into());
    }
    Ok(info)
}
