//! Buckets.

use serde_json::{Value, json};
use store::{Bucket, Project, Session, Store};

use crate::{
    call::Call,
    permissions::project::BUCKETS_READ,
    quotas,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    routes::BucketName,
    schema::{Fields, any_text, is_name, natural, one_of, only, show, text, wrong},
};

fn shown(bucket: &Bucket) -> Value {
    let mut shown = json!({
        "id": bucket.id,
        "owner": bucket.owner,
        "name": bucket.name,
        "title": bucket.title,
        "created_at": show(bucket.created_at),
        "updated_at": show(bucket.updated_at),
    });
    let by = bucket.last_updated_by.as_deref().and_then(|by| serde_json::from_str(by).ok());
    if let (Some(map), Some(by)) = (shown.as_object_mut(), by) {
        map.insert("last_updated_by".to_owned(), by);
    }
    shown
}

pub(crate) async fn list(call: &Call<'_>) -> Result<Reply, Refusal> {
    let mut session = call.shared.store.read().await?;
    let buckets = session.buckets().await?;
    let owner = call.named.project.as_ref();
    let seen = buckets.iter().filter(|bucket| {
        owner.is_none_or(|owner| *owner == bucket.owner)
            && call.caller.may(&bucket.owner, BUCKETS_READ)
    });
    Ok(Reply::json(json!({ "buckets": seen.map(shown).collect::<Vec<_>>() })))
}

pub(crate) fn get(call: &Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::json(json!({ "bucket": shown(call.bucket()?) })))
}

pub(crate) async fn create(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut fields = only("bucket", payload.json()?)?;
    fields.required("bucket_type", one_of(&["emails"]))?;
    let title = fields.optional("title", text(0, 128))?;
    fields.finish()?;
    let Some(BucketName::Full { name, .. }) = &call.named.bucket else {
        return Err(Refusal::invalid("a bucket is made by its name, not by an id"));
    };
    if !is_name(name, false) {
        return Err(Refusal::invalid(format!("`{name}` is no name of a bucket")));
    }
    let mut session = call.shared.store.write().await?;
    let project = call.project_again(&mut session).await?;
    let title = title.as_deref().unwrap_or(name);
    let bucket = make_bucket(call, &mut session, &project, name, title).await?;
    session.commit().await?;
    Ok(Reply::json(json!({ "bucket": shown(&bucket) })))
}

/// Makes a bucket within a transaction.
pub(crate) async fn make_bucket(
    call: &Call<'_>,
    session: &mut Session,
    project: &Project,
    name: &str,
    title: &str,
) -> Result<Bucket, Refusal> {
    quotas::check(session, "buckets").await?;
    let bucket = session.create_bucket(&project.name, name, title).await?;
    let about = [(&*project.id, &*project.name)];
    let details = json!({ "bucket": bucket.name, "id": bucket.id });
    session.audit(&call.caller.actor, "create_bucket", &about, details).await?;
    Ok(bucket)
}

pub(crate) async fn update(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut fields = only("bucket", payload.json()?)?;
    let title = fields.optional("title", text(0, 128))?;
    let by = fields.optional("last_updated_by", |path, value| {
        let mut fields = Fields::of(path, value.clone())?;
        fields.required("config_owner", any_text)?;
        fields.required("config_key", any_text)?;
        let shard = fields.required("shard_index", natural)?;
        let shards = fields.required("num_shards", natural)?;
        fields.finish()?;
        if shard < shards { Ok(value) } else { Err(wrong(path, "there is no such shard")) }
    })?;
    fields.finish()?;
    let mut session = call.shared.store.write().await?;
    let mut bucket = call.bucket_again(&mut session).await?;
    let renames = title.as_ref().is_some_and(|title| *title != bucket.title);
    bucket.title = title.unwrap_or(bucket.title);
    bucket.last_updated_by = by.map(|by| by.to_string()).or(bucket.last_updated_by);
    session.update_bucket(&mut bucket).await?;
    // An appliance says at each start that it is there: that is no event.
    if renames {
        let about = [(&*bucket.project_id, &*bucket.owner)];
        let details = json!({ "bucket": bucket.name, "title": bucket.title });
        session.audit(&call.caller.actor, "update_bucket", &about, details).await?;
    }
    session.commit().await?;
    Ok(Reply::json(json!({ "bucket": shown(&bucket) })))
}

/// Emails that one transaction removes, so that uploads to other buckets need not wait long.
const REMOVED_AT_ONCE: usize = 500;

/// Empties a bucket in portions, and tells how many emails there were. One that is interrupted
/// has removed a part, and goes on when it is asked again.
pub(crate) async fn empty(store: &Store, bucket: &Bucket) -> Result<u64, Refusal> {
    let count = store.read().await?.count_emails(&bucket.id).await?;
    // Not longer, though somebody may still be filling it.
    for _ in 0..count.div_ceil(REMOVED_AT_ONCE as u64) {
        let mut session = store.write().await?;
        let removed = session.delete_oldest_emails(&bucket.id, REMOVED_AT_ONCE).await?;
        session.commit().await?;
        if !removed {
            break;
        }
    }
    Ok(count)
}

pub(crate) async fn delete(call: &Call<'_>) -> Result<Reply, Refusal> {
    let mut session = call.shared.store.write().await?;
    let bucket = call.bucket_again(&mut session).await?;
    let emails = session.count_emails(&bucket.id).await?;
    let about = [(&*bucket.project_id, &*bucket.owner)];
    let details = json!({ "bucket": bucket.name, "id": bucket.id, "emails": emails });
    session.audit(&call.caller.actor, "delete_bucket", &about, details).await?;
    if emails > 0 {
        // Whoever hangs up now has emptied a part, and the event tells.
        session.commit().await?;
        empty(&call.shared.store, &bucket).await?;
        session = call.shared.store.write().await?;
    }
    session.delete_bucket(&bucket.id).await?;
    session.commit().await?;
    Ok(Reply::ok())
}

pub(crate) async fn statistics(call: &Call<'_>) -> Result<Reply, Refusal> {
    let mut session = call.shared.store.read().await?;
    let count = session.count_emails(&call.bucket()?.id).await?;
    let count = json!({ "kind": "exact", "value": count });
    Ok(Reply::json(json!({ "statistics": { "count": count } })))
}
