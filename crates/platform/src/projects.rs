//! Projects.

use std::collections::BTreeSet;

use hyper::StatusCode;
use serde_json::{Value, json};
use store::{Holder, NewProject, Project};

use crate::{
    buckets,
    call::Call,
    permissions::OF_FOUNDERS,
    quotas,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    routes::Op,
    schema::{Fields, flag, is_name, list as array, show, text, top, wrong},
    sources,
};

/// Most members that a new project begins with.
const MAX_FOUNDERS: usize = 1024;

fn shown(project: &Project) -> Value {
    json!({
        "id": project.id,
        "name": project.name,
        "title": project.title,
        "description": project.description,
        "created_at": show(project.created_at),
        "updated_at": show(project.updated_at),
        "user_auto_join": project.user_auto_join,
    })
}

pub(crate) async fn list(call: &Call<'_>) -> Result<Reply, Refusal> {
    if call.route.op == Op::ListProjects {
        call.head.flag("cm_only")?;
    }
    let mut session = call.shared.store.read().await?;
    let projects = session.projects().await?;
    let seen = projects.iter().filter(|project| call.caller.sees_project(&project.name));
    let projects: Vec<Value> = match call.route.op {
        Op::ListProjects => seen.map(shown).collect(),
        _ => seen
            .map(|own| {
                json!({ "name": own.name, "title": own.title, "description": own.description })
            })
            .collect(),
    };
    Ok(Reply::json(json!({ "projects": projects })))
}

pub(crate) fn get(call: &Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::json(json!({ "project": shown(call.project()?) })))
}

pub(crate) async fn create(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let name = call.named.project.clone().unwrap_or_default();
    let mut body = top(payload.json()?)?;
    let mut new = body.required("project", |path, value| {
        let mut fields = Fields::of(path, value)?;
        let new = NewProject {
            name: String::new(),
            title: fields.optional("title", text(0, 1024))?.unwrap_or_default(),
            description: fields.optional("description", text(0, 4096))?.unwrap_or_default(),
            user_auto_join: fields.optional("user_auto_join", flag)?.unwrap_or_default(),
        };
        fields.finish()?;
        Ok(new)
    })?;
    let founders = body.optional("user_ids", array(text(1, 64)))?;
    let others = body.optional("uipath_user_ids", array(text(1, 1024)))?;
    body.finish()?;
    if others.is_some_and(|others| !others.is_empty()) {
        return Err(wrong("uipath_user_ids", "there are no such users here; use `user_ids`"));
    }
    if founders.as_ref().is_some_and(|list| !(1..=MAX_FOUNDERS).contains(&list.len())) {
        return Err(wrong("user_ids", format_args!("expected 1 to {MAX_FOUNDERS} ids")));
    }
    let founders = founders.unwrap_or_else(|| vec![call.caller.actor.user_id.clone()]);
    if !is_name(&name, true) {
        return Err(Refusal::invalid(format!("`{name}` is no name of a project")));
    }
    if new.title.is_empty() {
        new.title.clone_from(&name);
    }
    new.name = name;
    let mut session = call.shared.store.write().await?;
    quotas::check(&mut session, "projects").await?;
    let project = session.create_project(new).await?;
    let permissions: BTreeSet<String> = OF_FOUNDERS.iter().map(|&name| name.to_owned()).collect();
    for (number, id) in founders.iter().enumerate() {
        if session.user(id).await?.is_none() {
            let path = format!("user_ids[{number}]");
            return Err(wrong(&path, format_args!("the user `{id}` was not found")));
        }
        session.set_permissions(id, Holder::Project(&project.id), &permissions).await?;
    }
    let about = [(&*project.id, &*project.name)];
    let details = json!({ "user_ids": founders });
    session.audit(&call.caller.actor, "create_project", &about, details).await?;
    session.commit().await?;
    Ok(Reply::json(json!({ "project": shown(&project) })))
}

pub(crate) async fn update(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut body = top(payload.json()?)?;
    let (title, description) = body.required("project", |path, value| {
        let mut fields = Fields::of(path, value)?;
        let title = fields.optional("title", text(0, 1024))?;
        let description = fields.optional("description", text(0, 4096))?;
        fields.finish()?;
        Ok((title, description))
    })?;
    body.finish()?;
    let mut session = call.shared.store.write().await?;
    let mut project = call.project_again(&mut session).await?;
    if title.is_some() || description.is_some() {
        project.title = title.unwrap_or(project.title);
        project.description = description.unwrap_or(project.description);
        session.update_project(&mut project).await?;
        let about = [(&*project.id, &*project.name)];
        let details = json!({ "title": project.title, "description": project.description });
        session.audit(&call.caller.actor, "update_project", &about, details).await?;
        session.commit().await?;
    }
    Ok(Reply::json(json!({ "project": shown(&project) })))
}

pub(crate) async fn delete(call: &Call<'_>) -> Result<Reply, Refusal> {
    let force = call.head.flag("force")?;
    let mut session = call.shared.store.write().await?;
    let project = call.project_again(&mut session).await?;
    let count = session.count_buckets(&project.id).await?;
    let sources = session.count_sources(&project.id).await?;
    let children = [
        ("buckets", count),
        ("datasets", session.count_datasets(&project.id).await?),
        ("integrations", session.count_integrations(&project.id).await?),
        ("sources", sources),
    ];
    let children: Vec<String> = children
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| format!("\"{kind}\": {count}"))
        .collect();
    if !children.is_empty() && !force {
        // The official client knows these words.
        let message = format!(
            "Project contains child resources but force deletion was not requested: {{{}}}",
            children.join(", ")
        );
        return Err(Refusal::new(StatusCode::CONFLICT, message));
    }
    // Whoever hangs up now has removed a part, and the event tells.
    let about = [(&*project.id, &*project.name)];
    let details = json!({ "buckets": count, "sources": sources });
    session.audit(&call.caller.actor, "delete_project", &about, details).await?;
    session.commit().await?;
    let all = call.shared.store.read().await?.sources().await?;
    for source in all {
        if source.project_id == project.id {
            sources::empty(&call.shared.store, &source).await?;
        }
    }
    let all = call.shared.store.read().await?.buckets().await?;
    for bucket in all {
        if bucket.project_id == project.id {
            buckets::empty(&call.shared.store, &bucket).await?;
        }
    }
    let mut session = call.shared.store.write().await?;
    let project = call.project_again(&mut session).await?;
    for source in session.sources().await?.iter().filter(|own| own.project_id == project.id) {
        session.delete_source(&source.id).await?;
    }
    for bucket in session.buckets().await?.iter().filter(|own| own.project_id == project.id) {
        session.delete_bucket(&bucket.id).await?;
    }
    for own in session.integrations().await?.iter().filter(|own| own.project_id == project.id) {
        session.delete_integration(&own.id).await?;
    }
    for own in session.datasets().await?.iter().filter(|own| own.project_id == project.id) {
        session.delete_dataset(&own.id).await?;
    }
    session.delete_project(&project.id).await?;
    session.commit().await?;
    Ok(Reply::ok())
}

pub(crate) async fn count(call: &Call<'_>) -> Result<Reply, Refusal> {
    let project = call.project()?;
    let mut session = call.shared.store.read().await?;
    let buckets = session.count_buckets(&project.id).await?;
    let datasets = session.count_datasets(&project.id).await?;
    let integrations = session.count_integrations(&project.id).await?;
    let users = session.users().await?;
    let users = users.iter().filter(|user| user.projects.contains_key(&project.name)).count();
    let sources = session.count_sources(&project.id).await?;
    Ok(Reply::json(json!({
        "buckets": buckets, "datasets": datasets, "integrations": integrations,
        "sources": sources, "users_with_permissions": users,
    })))
}
