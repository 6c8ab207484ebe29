//! What administrators do about how others come in.

use hyper::StatusCode;
use serde_json::json;
use store::{Session, User};

use crate::{
    call::Call,
    links::{link_kind, link_lifetime, made},
    permissions::ROOT,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    schema::top,
    settings::link_url,
};

/// The user that the path names. Whoever may do everything is not for others to take over.
async fn target(call: &Call<'_>, session: &mut Session) -> Result<User, Refusal> {
    let id = call.named.other(0);
    let missing = || Refusal::not_found(format_args!("the user `{id}`"));
    let user = session.user(id).await?.ok_or_else(missing)?;
    if user.global.contains(ROOT) && !call.caller.may_everywhere(ROOT) {
        return Err(Refusal::forbidden(ROOT));
    }
    Ok(user)
}

pub(crate) async fn make_link(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    top(payload.json()?)?.finish()?;
    let mut session = call.shared.store.write().await?;
    let user = target(call, &mut session).await?;
    if user.disabled_at.is_some() {
        let message = "the user is disabled; let them in again first";
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    }
    let kind = link_kind(&mut session, &user.id).await?;
    let (secret, expires_at) = session.make_link(&user.id, kind, link_lifetime(kind)).await?;
    let details = json!({ "user_id": user.id, "username": user.username, "kind": kind.name() });
    session.audit(&call.caller.actor, "make_link", &[], details).await?;
    session.commit().await?;
    let url = link_url(&call.shared.site.page(""), &secret);
    Ok(Reply::json(json!({ "link": made(url, kind, expires_at) })))
}

/// Makes everything worthless with which a user comes in, but for the password.
pub(crate) async fn revoke(call: &Call<'_>, payload: Payload) -> Result<Reply, Refusal> {
    top(payload.json()?)?.finish()?;
    let mut session = call.shared.store.write().await?;
    let user = target(call, &mut session).await?;
    let tokens = session.revoke_tokens_of(&user.id).await?;
    let sessions = session.end_web_sessions(&user.id, None).await?;
    let link = session.drop_link(&user.id).await?;
    let details = json!({
        "user_id": user.id, "username": user.username, "revoked_tokens": tokens,
        "ended_sessions": sessions, "dropped_link": link,
    });
    session.audit(&call.caller.actor, "revoke_access", &[], details).await?;
    session.commit().await?;
    Ok(Reply::json(json!({ "revoked_tokens": tokens, "ended_sessions": sessions })))
}
