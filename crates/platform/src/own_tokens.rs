//! Somebody's own tokens.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use hyper::StatusCode;
use serde_json::{Value, json};
use store::{Credential, NewToken, Token};

use crate::{
    account::whole,
    call::Call,
    permissions::{is_global, is_of_projects},
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    schema::{any_text, list as array, natural, only, show, text, wrong},
};

/// Most good tokens of one user, and most that a list shows.
const MAX_TOKENS: i64 = 200;
const MAX_LISTED: usize = 1000;
/// Most days that a token lasts, if it does not last for ever.
const MAX_DAYS: u64 = 3650;

fn state(token: &Token, now: DateTime<Utc>) -> &'static str {
    match token {
        Token { revoked_at: Some(_), .. } => "revoked",
        Token { expires_at: Some(at), .. } if *at <= now => "expired",
        _ => "valid",
    }
}

fn shown(token: &Token, call: &Call<'_>, now: DateTime<Utc>) -> Value {
    let own = &call.caller.grant.credential;
    json!({
        "id": token.id,
        "name": token.name,
        "shown": token.shown,
        "permissions": token.permissions,
        "project": token.project,
        "state": state(token, now),
        "created_at": show(token.created_at),
        "expires_at": token.expires_at.map(show),
        "last_used_at": token.last_used_at.map(show),
        "revoked_at": token.revoked_at.map(show),
        "current": *own == Credential::Token(token.id.clone()),
    })
}

pub(crate) async fn list(call: &Call<'_>) -> Result<Reply, Refusal> {
    whole(call)?;
    let mut session = call.shared.store.read().await?;
    let tokens = session.tokens_of(&call.caller.grant.user.id, MAX_LISTED).await?;
    let now = session.now();
    let tokens: Vec<Value> = tokens.iter().map(|token| shown(token, call, now)).collect();
    Ok(Reply::json(json!({ "tokens": tokens })))
}

fn permission(path: &str, value: Value) -> Result<String, Refusal> {
    let name = any_text(path, value)?;
    if is_of_projects(&name) || is_global(&name) {
        return Ok(name);
    }
    Err(wrong(path, format_args!("`{name}` is no permission")))
}

fn days(path: &str, value: Value) -> Result<TimeDelta, Refusal> {
    let days = natural(path, value)?;
    let lifetime = i64::try_from(days).ok().and_then(TimeDelta::try_days);
    let lifetime = lifetime.filter(|_| (1..=MAX_DAYS).contains(&days));
    lifetime.ok_or_else(|| wrong(path, format_args!("expected 1 to {MAX_DAYS} days")))
}

pub(crate) async fn create(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    whole(call)?;
    let mut fields = only("token", payload.json()?)?;
    let name = fields.required("name", text(1, 256))?;
    let permissions = fields.optional("permissions", array(permission))?;
    let project = fields.optional("project", text(1, 1024))?;
    let lifetime = fields.optional("expires_in_days", days)?;
    fields.finish()?;
    let permissions: Option<BTreeSet<String>> = permissions.map(|own| own.into_iter().collect());
    if permissions.as_ref().is_some_and(BTreeSet::is_empty) {
        return Err(wrong("token.permissions", "without any, the token would be worth nothing"));
    }
    let mut session = call.shared.store.write().await?;
    let grant = &call.caller.grant;
    let expires_at = lifetime.map(|lifetime| session.now() + lifetime);
    if let (Credential::Token(_), Some(own)) = (&grant.credential, grant.expires_at)
        && expires_at.is_none_or(|at| at > own)
    {
        let why = "a token does not make tokens that last longer than itself";
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, why));
    }
    if session.count_valid_tokens(&grant.user.id).await? >= MAX_TOKENS {
        let why = format!("there are {MAX_TOKENS} tokens that are good; revoke one of them first");
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, why));
    }
    let project = match project {
        None => None,
        Some(name) => {
            let found = session.project(&name).await?.filter(|_| call.caller.is_member(&name));
            let missing = || wrong("token.project", format_args!("`{name}` was not found"));
            Some(found.ok_or_else(missing)?)
        }
    };
    let new = NewToken {
        user_id: grant.user.id.clone(),
        name,
        permissions: permissions.clone(),
        project_id: project.as_ref().map(|project| project.id.clone()),
        expires_at,
    };
    let (id, secret) = session.create_token(new).await?;
    let about: Vec<_> = project.iter().map(|own| (&*own.id, &*own.name)).collect();
    let details = json!({ "token": id, "user": grant.user.username, "permissions": permissions });
    session.audit(&call.caller.actor, "create_token", &about, details).await?;
    let tokens = session.tokens_of(&grant.user.id, MAX_LISTED).await?;
    let now = session.now();
    let token = tokens.iter().find(|token| token.id == id).map(|token| shown(token, call, now));
    session.commit().await?;
    Ok(Reply::json(json!({ "token": token, "text": secret.reveal() })))
}

pub(crate) async fn revoke(call: &Call<'_>) -> Result<Reply, Refusal> {
    whole(call)?;
    let id = call.named.other(0);
    let mut session = call.shared.store.write().await?;
    if !session.revoke_token_of(&call.caller.grant.user.id, id).await? {
        return Err(Refusal::not_found(format_args!("a good token `{id}` of yours")));
    }
    session.audit(&call.caller.actor, "revoke_token", &[], json!({ "token": id })).await?;
    session.commit().await?;
    Ok(Reply::ok())
}
