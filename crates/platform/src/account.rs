//! Somebody's own account: password and sessions.

use hyper::{StatusCode, header::SET_COOKIE};
use record::Secret;
use serde_json::{Value, json};
use store::{Credential, WebSession};

use crate::{
    call::Call,
    cookies::Cookie,
    oidc::sign_out::departure,
    passwords,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    schema::{show, text, top},
    sign_in::{cookie, new_session},
    users,
};

/// Refuses tokens that are worth less than their user: one that leaked from an appliance must not
/// lock its owner out, nor become more than it is.
pub(crate) fn whole(call: &Call<'_>) -> Result<(), Refusal> {
    if call.caller.is_whole() {
        return Ok(());
    }
    let message = "this needs a session, or a token without limits of project and permissions";
    Err(Refusal::new(StatusCode::FORBIDDEN, message))
}

/// The id of the session that the request came with.
fn own_session<'a>(call: &'a Call<'_>) -> Option<&'a str> {
    match &call.caller.grant.credential {
        Credential::Session(id) => Some(id),
        Credential::Token(_) => None,
    }
}

pub(crate) async fn sign_out(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    top(payload.json()?)?.finish()?;
    let Some(id) = own_session(call) else {
        let message = "a token has no session to end; revoke the token instead";
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    };
    let (shared, user_id) = (call.shared, &call.caller.grant.user.id);
    let mut session = shared.store.write().await?;
    let sessions = session.web_sessions(user_id, shared.people.session_idle).await?;
    let method = sessions.into_iter().find(|own| own.id == id).map(|own| own.method);
    session.end_web_session(user_id, id).await?;
    session.audit(&call.caller.actor, "sign_out", &[], json!({ "session": id })).await?;
    session.commit().await?;
    let departure = departure(shared, method.as_deref().unwrap_or_default()).await;
    let url = departure.as_ref().map(|own| &own.url);
    let reply = Reply::json(json!({ "continue_at": url }));
    let reply = reply.with(SET_COOKIE, Cookie::Session.clear(&shared.site));
    Ok(match departure {
        Some(own) => reply.with(SET_COOKIE, own.cookie),
        None => reply,
    })
}

pub(crate) async fn get(call: &Call<'_>) -> Result<Reply, Refusal> {
    let user = &call.caller.grant.user;
    let mut session = call.shared.store.read().await?;
    let has_password = session.password(&user.id).await?.is_some();
    let identities = session.identities(&user.id).await?;
    let identities: Vec<Value> = identities
        .iter()
        .map(|own| {
            json!({
                "issuer": own.issuer,
                "created_at": show(own.created_at),
                "last_used_at": show(own.last_used_at),
            })
        })
        .collect();
    let credential = &call.caller.grant.credential;
    let kind = match credential {
        Credential::Token(_) => "token",
        Credential::Session(_) => "session",
    };
    Ok(Reply::json(json!({ "account": {
        "user": users::shown(call.caller, user),
        "has_password": has_password,
        "identities": identities,
        "credential": { "kind": kind, "id": credential.id() },
    }})))
}

/// Replaces the password. Who has only the session does not know the old one; whoever else is
/// signed in is not any more.
pub(crate) async fn change_password(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    whole(call)?;
    let mut fields = top(payload.json()?)?;
    let current = Secret::from(fields.required("current_password", text(1, 1024))?);
    let new = Secret::from(fields.required("new_password", text(1, 1024))?);
    fields.finish()?;
    let (shared, user) = (call.shared, &call.caller.grant.user);
    let Some(old) = shared.store.read().await?.password(&user.id).await? else {
        let message = "there is no password yet; an administrator can make a link for one";
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    };
    passwords::check("new_password", new.reveal(), user)?;
    let attempt = shared.attempt(Some(&user.username), call.caller.address)?;
    let verdict = match shared.passwords.verify(current, Some(old.clone())).await {
        Ok(verdict) => verdict,
        Err(refusal) => {
            attempt.withdrawn();
            return Err(refusal);
        }
    };
    let actor = &call.caller.actor;
    if !verdict.is_right {
        let mut session = shared.store.write().await?;
        let details = json!({ "reason": "wrong_password", "locked": attempt.locks });
        session.audit(actor, "set_password_failed", &[], details).await?;
        session.commit().await?;
        let message = "`current_password`: this is not the password";
        return Err(Refusal::new(StatusCode::FORBIDDEN, message));
    }
    attempt.succeeded();
    let hashed = shared.passwords.hash(new).await?;
    let mut session = shared.store.write().await?;
    let own = own_session(call);
    let is_in = match own {
        Some(own) => session.end_web_session(&user.id, own).await?,
        None => true,
    };
    // Somebody may have used a link meanwhile, to keep out who has learned the old password.
    if !is_in || !session.still_has_password(&user.id, &old).await? {
        let message = "the password was changed meanwhile; sign in with the new one";
        return Err(Refusal::new(StatusCode::CONFLICT, message));
    }
    session.set_password(&user.id, &hashed).await?;
    session.drop_link(&user.id).await?;
    let ended = session.end_web_sessions(&user.id, own).await?;
    session.audit(actor, "set_password", &[], json!({ "ended_sessions": ended })).await?;
    let mut reply = Reply::json(json!({ "ended_sessions": ended }));
    if own.is_some() {
        // Who has seen the old cookie has nothing of it.
        let new = new_session(shared, call.head, user, "password", actor.address.clone());
        let (_, secret) = session.create_web_session(new).await?;
        reply = reply.with(SET_COOKIE, cookie(shared, &secret));
    }
    session.commit().await?;
    Ok(reply)
}

fn shown(session: &WebSession, own: Option<&str>) -> Value {
    json!({
        "id": session.id,
        "current": own == Some(session.id.as_str()),
        "method": session.method,
        "address": session.address,
        "user_agent": session.user_agent,
        "created_at": show(session.created_at),
        "last_used_at": show(session.last_used_at),
        "expires_at": show(session.expires_at),
    })
}

pub(crate) async fn list_sessions(call: &Call<'_>) -> Result<Reply, Refusal> {
    whole(call)?;
    let mut session = call.shared.store.read().await?;
    let idle = call.shared.people.session_idle;
    let sessions = session.web_sessions(&call.caller.grant.user.id, idle).await?;
    let own = own_session(call);
    let sessions: Vec<Value> = sessions.iter().map(|session| shown(session, own)).collect();
    Ok(Reply::json(json!({ "sessions": sessions })))
}

pub(crate) async fn end_sessions(call: &Call<'_>) -> Result<Reply, Refusal> {
    whole(call)?;
    let mut session = call.shared.store.write().await?;
    let ended = session.end_web_sessions(&call.caller.grant.user.id, own_session(call)).await?;
    let details = json!({ "ended_sessions": ended });
    session.audit(&call.caller.actor, "end_sessions", &[], details).await?;
    session.commit().await?;
    Ok(Reply::json(json!({ "ended_sessions": ended })))
}

pub(crate) async fn end_session(call: &Call<'_>) -> Result<Reply, Refusal> {
    whole(call)?;
    let id = call.named.other(0);
    let mut session = call.shared.store.write().await?;
    if !session.end_web_session(&call.caller.grant.user.id, id).await? {
        return Err(Refusal::not_found(format_args!("the session `{id}`")));
    }
    session.audit(&call.caller.actor, "end_sessions", &[], json!({ "session": id })).await?;
    session.commit().await?;
    let reply = Reply::ok();
    Ok(if own_session(call) == Some(id) {
        reply.with(SET_COOKIE, Cookie::Session.clear(&call.shared.site))
    } else {
        reply
    })
}
