//! What each operation does, once its request has been read and let in.

use hyper::{
    StatusCode,
    header::{ETAG, IF_MATCH, IF_NONE_MATCH},
};
use serde_json::{Value, json};

use super::{
    config,
    email::{NewEmail, Query},
    log::Op,
    options::Limits,
    refusal::Refusal,
    reply::{Reply, Segment},
    request::Envelope,
    route::{BucketName, Route},
    schema::{
        Fields, any_text, flag, is_name, list, natural, one_of, only, show, text, time_or_null,
        top, wrong,
    },
    states,
    world::{SyncState, World, exists},
};

/// The body of a request, as far as its operation knows it.
#[derive(Debug)]
pub(crate) enum Payload {
    /// The operation has no body; what came was not looked at.
    None,
    Json(Value),
    Emails(Vec<NewEmail>),
    Raw(Vec<u8>),
}

impl Payload {
    fn json(self) -> Result<Value, Refusal> {
        match self {
            Self::Json(value) => Ok(value),
            Self::None | Self::Emails(_) | Self::Raw(_) => {
                Err(Refusal::invalid("the body must be a JSON object"))
            }
        }
    }
}

/// A request that was let in.
pub(crate) struct Call<'a> {
    pub(crate) route: &'a Route,
    pub(crate) envelope: &'a Envelope,
    pub(crate) limits: Limits,
    pub(crate) conditional_writes: bool,
    pub(crate) weak_tags: bool,
    pub(crate) now: chrono::DateTime<chrono::Utc>,
    /// What `GET /auth/user` tells of whoever asks.
    pub(crate) user: Value,
}

impl Call<'_> {
    fn bucket(&self) -> Result<&BucketName, Refusal> {
        self.route.bucket.as_ref().ok_or_else(|| Refusal::invalid("the path names no bucket"))
    }

    pub(crate) fn owner(&self) -> &str {
        self.route.owner.as_deref().unwrap_or_default()
    }

    pub(crate) fn key(&self) -> &str {
        self.route.key.as_deref().unwrap_or_default()
    }

    fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.envelope.parameter(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(wrong(name, "expected true or false")),
        }
    }
}

/// Does what the request asks.
pub(crate) fn perform(
    world: &mut World,
    call: &Call<'_>,
    payload: Payload,
) -> Result<Reply, Refusal> {
    match call.route.op {
        Op::CurrentUser => Ok(Reply::json(json!({ "user": call.user }))),
        Op::RefreshPermissions => {
            top(payload.json()?)?.finish()?;
            Ok(Reply::json(json!({ "permissions_refreshed": true })))
        }
        Op::ListProjects
        | Op::GetProject
        | Op::CreateProject
        | Op::UpdateProject
        | Op::DeleteProject => projects(world, call, payload),
        Op::ListBuckets => {
            let of = |owner: &str| call.route.owner.as_deref().is_none_or(|own| own == owner);
            let buckets = world.buckets.values().filter(|bucket| of(&bucket.owner));
            let buckets: Vec<_> = buckets.map(super::world::Bucket::show).collect();
            Ok(Reply::json(json!({ "buckets": buckets })))
        }
        Op::CreateBucket => create_bucket(world, call, payload),
        Op::GetBucket => Ok(Reply::json(json!({ "bucket": world.bucket(call.bucket()?)?.show() }))),
        Op::UpdateBucket => update_bucket(world, call, payload),
        Op::DeleteBucket => {
            let full_name = world.full_name(call.bucket()?)?;
            world.buckets.remove(&full_name);
            Ok(Reply::ok())
        }
        Op::BucketStatistics => {
            let count = world.bucket(call.bucket()?)?.emails.len();
            let count = json!({ "kind": "exact", "value": count });
            Ok(Reply::json(json!({ "statistics": { "count": count } })))
        }
        Op::PutEmails => put_emails(world, call, payload),
        Op::ListEmails | Op::QueryEmails => list_emails(world, call, payload),
        Op::GetEmail => {
            let id = call.envelope.parameter("id");
            let id = id.ok_or_else(|| wrong("id", "this query parameter is required"))?;
            let email = world.bucket(call.bucket()?)?.emails.one(id);
            show_emails(email.into_iter(), json!({}))
        }
        Op::DeleteEmails => {
            let ids: Vec<_> = call.envelope.parameters("id").collect();
            if ids.is_empty() {
                return Err(wrong("id", "this query parameter is required"));
            }
            let bucket = world.bucket(call.bucket()?)?;
            ids.into_iter().for_each(|id| bucket.emails.remove(id));
            Ok(Reply::ok())
        }
        Op::GetSyncState => {
            let bucket = world.bucket(call.bucket()?)?;
            let missing = || Refusal::not_found("a sync state of this bucket");
            let state = bucket.sync_state.as_ref().ok_or_else(missing)?;
            let reply = Reply::json(json!({ "bucket_sync_state": state.fields }));
            Ok(with_etag(reply, call, state))
        }
        Op::PutSyncState => put_sync_state(world, call, payload),
        Op::ListKeyedSyncStates
        | Op::GetKeyedSyncState
        | Op::PutKeyedSyncState
        | Op::DeleteKeyedSyncState
        | Op::KeyedSyncStateIds => {
            let body = match payload {
                Payload::Json(value) => value,
                Payload::None | Payload::Emails(_) | Payload::Raw(_) => Value::Null,
            };
            states::perform(world.bucket(call.bucket()?)?, call, body)
        }
        Op::GetConfig => config::get(world, call),
        Op::PutConfig => match payload {
            Payload::Raw(body) => config::put(world, call, body),
            Payload::None | Payload::Json(_) | Payload::Emails(_) => {
                Err(Refusal::invalid("the configuration is missing"))
            }
        },
        Op::Other => Err(Refusal::not_found("this path")),
    }
}

fn projects(world: &mut World, call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let name = call.owner();
    match call.route.op {
        Op::ListProjects => {
            let projects: Vec<_> =
                world.projects.values().map(super::world::Project::show).collect();
            return Ok(Reply::json(json!({ "projects": projects })));
        }
        Op::CreateProject | Op::UpdateProject => {
            let creates = call.route.op == Op::CreateProject;
            let mut body = top(payload.json()?)?;
            let (title, description) = body.required("project", |path, value| {
                let mut fields = Fields::of(path, value)?;
                let title = fields.optional("title", text(0, 1024))?;
                let description = fields.optional("description", text(0, 4096))?;
                if creates {
                    fields.optional("user_auto_join", flag)?;
                }
                fields.finish()?;
                Ok((title, description))
            })?;
            if creates {
                body.optional("user_ids", list(any_text))?;
                body.optional("uipath_user_ids", list(any_text))?;
            }
            body.finish()?;
            if creates {
                if !is_name(name, true) {
                    return Err(Refusal::invalid(format!("`{name}` is no name of a project")));
                }
                if world.projects.contains_key(name) {
                    return Err(exists(format_args!("the project `{name}`")));
                }
                world.add_project(name, call.now);
            }
            let project = world.project(name)?;
            project.title = title.unwrap_or_else(|| project.title.clone());
            project.description = description.unwrap_or_else(|| project.description.clone());
            project.updated_at = call.now;
        }
        Op::DeleteProject => {
            world.project(name)?;
            let children = world.buckets.values().filter(|bucket| bucket.owner == name).count();
            if children > 0 && !call.flag("force")? {
                return Err(Refusal::new(
                    StatusCode::CONFLICT,
                    format!(
                        "Project contains child resources but force deletion was not requested: \
                         {{\"buckets\": {children}}}"
                    ),
                ));
            }
            world.buckets.retain(|_, bucket| bucket.owner != name);
            world.projects.remove(name);
            return Ok(Reply::ok());
        }
        _ => {}
    }
    Ok(Reply::json(json!({ "project": world.project(name)?.show() })))
}

fn create_bucket(world: &mut World, call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut fields = only("bucket", payload.json()?)?;
    fields.required("bucket_type", one_of(&["emails"]))?;
    let title = fields.optional("title", text(0, 128))?;
    fields.finish()?;
    let BucketName::Full(full_name) = call.bucket()? else {
        return Err(Refusal::invalid("a bucket is made by its name, not by an id"));
    };
    let (owner, name) = full_name.split_once('/').unwrap_or_default();
    if !is_name(name, false) {
        return Err(Refusal::invalid(format!("`{name}` is no name of a bucket")));
    }
    world.project(owner)?;
    if world.buckets.contains_key(full_name) {
        return Err(exists(format_args!("the bucket `{full_name}`")));
    }
    let bucket = world.add_bucket(owner, name, call.now);
    bucket.title = title.unwrap_or_else(|| bucket.title.clone());
    Ok(Reply::json(json!({ "bucket": bucket.show() })))
}

fn update_bucket(world: &mut World, call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
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
    let bucket = world.bucket(call.bucket()?)?;
    bucket.title = title.unwrap_or_else(|| bucket.title.clone());
    bucket.last_updated_by = by.or_else(|| bucket.last_updated_by.take());
    bucket.updated_at = call.now;
    Ok(Reply::json(json!({ "bucket": bucket.show() })))
}

fn put_emails(world: &mut World, call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let no_charge = call.flag("no_charge")?;
    let bucket = world.bucket(call.bucket()?)?;
    let Payload::Emails(emails) = payload else {
        return Err(wrong("emails", "this field is required"));
    };
    emails.into_iter().for_each(|email| bucket.emails.put(email, no_charge, call.now));
    Ok(Reply::ok())
}

fn list_emails(world: &mut World, call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let filters = call.route.op == Op::QueryEmails;
    let query = Query::read(payload.json()?, filters, call.limits)?;
    let bucket = world.bucket(call.bucket()?)?;
    let (emails, continuation) = bucket.emails.page(&query);
    let mut more = json!({});
    if let Some(map) = more.as_object_mut() {
        if filters {
            map.insert("more_results".to_owned(), continuation.is_some().into());
        }
        map.extend(continuation.map(|text| ("continuation".to_owned(), text.into())));
    }
    show_emails(emails.into_iter(), more)
}

/// An answer with emails and the fields of `more`.
fn show_emails<'a>(
    emails: impl Iterator<Item = &'a super::email::Email>,
    more: Value,
) -> Result<Reply, Refusal> {
    let mut reply = Reply::json(more);
    let Some(Segment::Text(head)) = reply.body.first_mut() else { return Ok(reply) };
    // The brace at the end comes after the emails.
    head.pop();
    head.extend_from_slice(b",\"emails\":[");
    for (number, email) in emails.enumerate() {
        if number > 0 {
            reply.body.push(Segment::Text(b",".to_vec()));
        }
        email.show(&mut reply.body)?;
    }
    reply.body.push(Segment::Text(b"]}".to_vec()));
    Ok(reply)
}

fn put_sync_state(world: &mut World, call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut fields = only("bucket_sync_state", payload.json()?)?;
    let state = fields.required("sync_state", any_text)?;
    let progress = fields.optional("progress_timestamp", time_or_null)?.flatten();
    let synced = fields.optional("last_synced_at", time_or_null)?.flatten();
    fields.finish()?;
    let bucket = world.bucket(call.bucket()?)?;
    let held = bucket.sync_state.as_ref();
    if call.conditional_writes && !precondition(call, held.map(SyncState::etag).as_deref()) {
        let message = "the sync state is not the one that the request expects";
        return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, message));
    }
    let state = SyncState {
        fields: json!({
            "sync_state": state,
            "progress_timestamp": progress.map(show),
            "last_synced_at": synced.map(show),
        }),
        version: held.map_or(0, |held| held.version) + 1,
    };
    let reply = with_etag(Reply::ok(), call, &state);
    bucket.sync_state = Some(state);
    Ok(reply)
}

/// Whether `If-Match` and `If-None-Match` allow a write. Spec: RFC 9110 §13.1.1, §13.1.2.
fn precondition(call: &Call<'_>, held: Option<&str>) -> bool {
    let lists = |header: &str, tag: &str| header.split(',').any(|own| own.trim() == tag);
    let is_met =
        |name, wanted: &dyn Fn(&str) -> bool| call.envelope.header(name).is_none_or(wanted);
    is_met(IF_MATCH, &|header| held.is_some_and(|held| header.trim() == "*" || lists(header, held)))
        && is_met(IF_NONE_MATCH, &|header| {
            held.is_none_or(|held| header.trim() != "*" && !lists(header, held))
        })
}

fn with_etag(reply: Reply, call: &Call<'_>, state: &SyncState) -> Reply {
    let weak = if call.weak_tags { "W/" } else { "" };
    match call.conditional_writes {
        true => reply.with(ETAG, format!("{weak}{}", state.etag())),
        false => reply,
    }
}
