//! Users, and what they may do.

use std::collections::{BTreeMap, BTreeSet};

use hyper::StatusCode;
use serde_json::{Value, json};
use store::{Held, Holder, NewUser, User};

use crate::{
    access::Caller,
    call::Call,
    permissions::{
        ROOT, TENANT_ADMIN, TENANT_USERS_READ, is_global, is_of_projects,
        project::{USERS_READ, USERS_WRITE},
    },
    quotas,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    routes::Op,
    schema::{any_text, flag, list as array, only, show, text, top, wrong},
};

type Permissions = BTreeMap<String, BTreeSet<String>>;

/// A user, as far as `caller` may know.
pub(crate) fn shown(caller: &Caller, user: &User) -> Value {
    let own = user.id == caller.grant.user.id;
    let all = own || caller.may_everywhere(TENANT_USERS_READ);
    let visible = |of: &Permissions| -> Permissions {
        let seen = of
            .iter()
            .filter(|(name, _)| all || caller.may(name, USERS_READ))
            .filter(|(name, _)| !own || caller.is_member(name));
        seen.map(|(name, names)| (name.clone(), names.clone())).collect()
    };
    let (projects, from_groups) = (visible(&user.projects), visible(&user.group_projects));
    let global = if all { user.global.clone() } else { BTreeSet::new() };
    json!({
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "created": show(user.created_at),
        "last_login_at": user.last_seen_at.map(show),
        "global_permissions": global,
        "sso_global_permissions": if all { user.group_global.clone() } else { BTreeSet::new() },
        "sso_organisation_permissions": from_groups,
        "organisation_permissions": projects,
        "disabled": user.disabled_at.is_some(),
        "verified": true,
    })
}

pub(crate) fn current(call: &Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::json(json!({ "user": shown(call.caller, &call.caller.grant.user) })))
}

/// Permissions are read with every request, so that there is nothing to refresh.
pub(crate) fn refresh(payload: Payload) -> Result<Reply, Refusal> {
    top(payload.json()?)?.finish()?;
    Ok(Reply::json(json!({ "permissions_refreshed": true })))
}

pub(crate) async fn list(call: &Call<'_>) -> Result<Reply, Refusal> {
    let mut session = call.shared.store.read().await?;
    let users = session.users().await?;
    let seen = users.iter().filter(|user| call.caller.sees_user(user));
    let users: Vec<Value> = match call.route.op {
        Op::ListUserNames => seen
            .map(|user| {
                let last = user.last_seen_at.map(show);
                json!({ "username": user.username, "email": user.email, "last_login_at": last })
            })
            .collect(),
        _ => seen.map(|user| shown(call.caller, user)).collect(),
    };
    Ok(Reply::json(json!({ "users": users })))
}

pub(crate) fn get(call: &Call<'_>) -> Result<Reply, Refusal> {
    Ok(Reply::json(json!({ "user": shown(call.caller, call.user()?) })))
}

fn global(path: &str, value: Value) -> Result<BTreeSet<String>, Refusal> {
    let read = |path: &str, value| {
        let name = any_text(path, value)?;
        if is_global(&name) {
            return Ok(name);
        }
        Err(wrong(path, format_args!("`{name}` is no global permission")))
    };
    Ok(array(read)(path, value)?.into_iter().collect())
}

fn of_projects(path: &str, value: Value) -> Result<Permissions, Refusal> {
    let Value::Object(map) = value else { return Err(wrong(path, "expected an object")) };
    let mut permissions = Permissions::new();
    for (project, value) in map {
        let path = format!("{path}.{project}");
        let read = |path: &str, value| {
            let name = any_text(path, value)?;
            if is_of_projects(&name) {
                return Ok(name);
            }
            Err(wrong(path, format_args!("`{name}` is no permission in a project")))
        };
        let names = array(read)(&path, value)?.into_iter().collect();
        permissions.insert(project, names);
    }
    Ok(permissions)
}

/// Whether `caller` may give and take these: nobody gives more than is theirs to give.
fn may_change(
    caller: &Caller,
    old: &BTreeSet<String>,
    new: Option<&BTreeSet<String>>,
    projects: &Permissions,
) -> Result<(), Refusal> {
    if let Some(new) = new.filter(|new| *new != old) {
        if !caller.may_everywhere(TENANT_ADMIN) {
            return Err(Refusal::forbidden(TENANT_ADMIN));
        }
        if new.contains(ROOT) != old.contains(ROOT) && !caller.may_everywhere(ROOT) {
            return Err(Refusal::forbidden(ROOT));
        }
    }
    for project in projects.keys() {
        if !caller.may_everywhere(TENANT_ADMIN) && !caller.may(project, USERS_WRITE) {
            // Who is no member does not learn whether there is such a project.
            if !caller.is_member(project) {
                return Err(no_project(project));
            }
            return Err(Refusal::forbidden(USERS_WRITE));
        }
    }
    Ok(())
}

fn no_project(name: &str) -> Refusal {
    let path = format!("user.organisation_permissions.{name}");
    wrong(&path, format_args!("the project `{name}` was not found"))
}

/// Whether a user can have that name.
pub fn is_username(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    (1..=256).contains(&name.len()) && name.bytes().all(fits)
}

/// Whether a user can have that address.
pub fn is_email(text: &str) -> bool {
    let is_one = text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !domain.contains('@')
    });
    let plain = !text.chars().any(|c| c.is_control() || c.is_whitespace());
    is_one && plain && text.chars().count() <= 320
}

pub(crate) async fn create(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut fields = only("user", payload.json()?)?;
    let username = fields.required("username", |path, value| {
        let name = text(1, 256)(path, value)?;
        if is_username(&name) {
            return Ok(name);
        }
        Err(wrong(path, "expected letters, digits, `-`, `_`, `.` and `@`"))
    })?;
    let email = fields.required("email", |path, value| {
        let email = text(3, 320)(path, value)?;
        if is_email(&email) {
            return Ok(email);
        }
        Err(wrong(path, "expected an email address"))
    })?;
    let global = fields.optional("global_permissions", global)?.unwrap_or_default();
    let projects = fields.optional("organisation_permissions", of_projects)?.unwrap_or_default();
    fields.finish()?;
    may_change(call.caller, &BTreeSet::new(), Some(&global), &projects)?;
    let mut session = call.shared.store.write().await?;
    quotas::check(&mut session, "users").await?;
    let user = session.create_user(NewUser { username, email }).await?;
    apply(call, session, &user.id, Some(global), projects, "create_user").await
}

pub(crate) async fn update(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut fields = only("user", payload.json()?)?;
    let global = fields.optional("global_permissions", global)?;
    let projects = fields.optional("organisation_permissions", of_projects)?.unwrap_or_default();
    let disabled = fields.optional("disabled", flag)?;
    fields.finish()?;
    let mut session = call.shared.store.write().await?;
    session.hold(Held::People).await?;
    let id = &call.user()?.id;
    let missing = || Refusal::not_found(format_args!("the user `{id}`"));
    let user = session.user(id).await?.ok_or_else(missing)?;
    may_change(call.caller, &user.global, global.as_ref(), &projects)?;
    if let Some(disabled) = disabled {
        disable(call, &mut session, &user, disabled).await?;
    }
    apply(call, session, &user.id, global, projects, "update_user").await
}

/// Keeps somebody out, or lets them in again.
async fn disable(
    call: &Call<'_>,
    session: &mut store::Session,
    user: &User,
    disabled: bool,
) -> Result<(), Refusal> {
    if !call.caller.may_everywhere(TENANT_ADMIN) {
        return Err(Refusal::forbidden(TENANT_ADMIN));
    }
    if user.global.contains(ROOT) && !call.caller.may_everywhere(ROOT) {
        return Err(Refusal::forbidden(ROOT));
    }
    session.set_disabled(&user.id, disabled).await?;
    if disabled {
        session.end_web_sessions(&user.id, None).await?;
        session.drop_link(&user.id).await?;
        keep_a_root(session).await?;
    }
    let kind = if disabled { "disable_user" } else { "enable_user" };
    let details = json!({ "user_id": user.id, "username": user.username });
    Ok(session.audit(&call.caller.actor, kind, &[], details).await?)
}

/// Writes permissions, and answers with the user that has them.
async fn apply(
    call: &Call<'_>,
    mut session: store::Session,
    id: &str,
    global: Option<BTreeSet<String>>,
    projects: Permissions,
    kind: &str,
) -> Result<Reply, Refusal> {
    let missing = || Refusal::not_found(format_args!("the user `{id}`"));
    let before = session.user(id).await?.ok_or_else(missing)?;
    if let Some(global) = &global {
        session.set_permissions(id, Holder::Everywhere, global).await?;
    }
    let mut about = Vec::new();
    for (name, permissions) in &projects {
        let project = session.project(name).await?.ok_or_else(|| no_project(name))?;
        session.set_permissions(id, Holder::Project(&project.id), permissions).await?;
        about.push((project.id, project.name));
    }
    let after = session.user(id).await?.ok_or_else(missing)?;
    if before.global.contains(ROOT) && !after.global.contains(ROOT) {
        keep_a_root(&mut session).await?;
    }
    let about: Vec<_> = about.iter().map(|(id, name)| (&**id, &**name)).collect();
    let details = json!({
        "user_id": id, "username": after.username, "global_permissions": global,
        "organisation_permissions": projects,
    });
    session.audit(&call.caller.actor, kind, &about, details).await?;
    session.commit().await?;
    Ok(Reply::json(json!({ "user": shown(call.caller, &after) })))
}

/// Somebody must be left who can mend everything.
async fn keep_a_root(session: &mut store::Session) -> Result<(), Refusal> {
    let is_one = |user: &User| user.global.contains(ROOT) && user.disabled_at.is_none();
    if session.users().await?.iter().any(is_one) {
        return Ok(());
    }
    let message = "this is the last user with the permission `root`; give it to another one first";
    Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message))
}

pub(crate) async fn delete(call: &Call<'_>) -> Result<Reply, Refusal> {
    let id = call.named.other(0);
    let mut session = call.shared.store.write().await?;
    session.hold(Held::People).await?;
    let missing = || Refusal::not_found(format_args!("the user `{id}`"));
    let user = session.user(id).await?.ok_or_else(missing)?;
    if user.global.contains(ROOT) && !call.caller.may_everywhere(ROOT) {
        return Err(Refusal::forbidden(ROOT));
    }
    session.delete_user(id).await?;
    keep_a_root(&mut session).await?;
    let details = json!({ "user_id": id, "username": user.username });
    session.audit(&call.caller.actor, "delete_user", &[], details).await?;
    session.commit().await?;
    Ok(Reply::ok())
}
