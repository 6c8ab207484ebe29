//! One-time links: setting a password without having one.

use chrono::{DateTime, TimeDelta, Utc};
use hyper::StatusCode;
use record::Secret;
use serde_json::{Value, json};
use store::{Link, LinkKind, Session};

use crate::{
    access::actor,
    passwords,
    public::Visit,
    refusal::Refusal,
    reply::Reply,
    request::Payload,
    schema::{Fields, show, text, top},
    sign_in::welcome,
};

/// How long a link is good. A reset is asked for by somebody who waits for it; an invitation may
/// lie in a mailbox over a holiday.
pub fn link_lifetime(kind: LinkKind) -> TimeDelta {
    match kind {
        LinkKind::Reset => TimeDelta::hours(24),
        LinkKind::Invitation | LinkKind::FirstAdmin => TimeDelta::days(7),
    }
}

/// What a link for that user is: an invitation until they have a password.
///
/// # Errors
///
/// The database failed.
pub async fn link_kind(session: &mut Session, user_id: &str) -> store::Result<LinkKind> {
    let has_password = session.password(user_id).await?.is_some();
    Ok(if has_password { LinkKind::Reset } else { LinkKind::Invitation })
}

fn missing() -> Refusal {
    let message = "the link is unknown, was used or is too old; ask for a new one";
    Refusal::new(StatusCode::NOT_FOUND, message)
}

fn secret(fields: &mut Fields) -> Result<Secret, Refusal> {
    Ok(Secret::from(fields.required("link", text(1, 256))?))
}

fn shown(link: &Link) -> Value {
    json!({
        "kind": link.kind.name(),
        "username": link.user.username,
        "email": link.user.email,
        "expires_at": show(link.expires_at),
    })
}

pub(crate) async fn inspect(visit: &Visit<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut fields = top(payload.json()?)?;
    let secret = secret(&mut fields)?;
    fields.finish()?;
    let attempt = visit.shared.attempt(None, visit.address)?;
    let link = visit.shared.store.read().await?.link(&secret).await?.ok_or_else(missing)?;
    attempt.withdrawn();
    Ok(Reply::json(json!({ "link": shown(&link) })))
}

/// Sets the password of the link's user, ends what was signed in with the old one, and signs in.
pub(crate) async fn redeem(visit: &Visit<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut fields = top(payload.json()?)?;
    let secret = secret(&mut fields)?;
    let password = Secret::from(fields.required("password", text(1, 1024))?);
    fields.finish()?;
    let shared = visit.shared;
    let attempt = shared.attempt(None, visit.address)?;
    let link = shared.store.read().await?.link(&secret).await?.ok_or_else(missing)?;
    attempt.withdrawn();
    passwords::check("password", password.reveal(), &link.user)?;
    let hashed = shared.passwords.hash(password).await?;
    let mut session = shared.store.write().await?;
    // Somebody else may have been faster.
    let link = session.use_link(&secret).await?.ok_or_else(missing)?;
    session.set_password(&link.user.id, &hashed).await?;
    let ended = session.end_web_sessions(&link.user.id, None).await?;
    let details = json!({ "kind": link.kind.name(), "ended_sessions": ended });
    session.audit(&actor(&link.user, visit.address), "use_link", &[], details).await?;
    welcome(visit, session, &link.user, "link", "link").await
}

/// What whoever made a link gets to see.
pub(crate) fn made(url: String, kind: LinkKind, expires_at: DateTime<Utc>) -> Value {
    json!({ "url": url, "kind": kind.name(), "expires_at": show(expires_at) })
}
