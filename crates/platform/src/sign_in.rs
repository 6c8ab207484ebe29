//! Signing in with a password, and what every way in ends with: a session.

use hyper::{
    StatusCode,
    header::{SET_COOKIE, USER_AGENT},
};
use record::Secret;
use serde_json::{Map, Value, json};
use store::{NewWebSession, Session, User};

use crate::{
    access::{Caller, actor},
    attempts::Attempt,
    cookies::Cookie,
    passwords::MIN_LENGTH,
    public::Visit,
    refusal::Refusal,
    reply::Reply,
    request::{Head, Payload},
    schema::{text, top},
    server::Shared,
    users,
};

/// How a session says that its person came over the provider of OpenID Connect.
pub(crate) const METHOD_OIDC: &str = "oidc";

/// Characters of a browser's name that are kept.
const MAX_AGENT: usize = 256;

/// How one can come in.
pub(crate) async fn options(visit: &Visit<'_>) -> Result<Reply, Refusal> {
    let shared = visit.shared;
    let signed_in = match Cookie::Session.find(&shared.site, &visit.head.parts.headers) {
        None => false,
        Some(cookie) => {
            let mut session = shared.store.read().await?;
            let idle = shared.people.session_idle;
            session.grant_of_session(&cookie.into(), idle).await?.is_some()
        }
    };
    let oidc = shared.people.oidc.as_ref().map(|oidc| {
        json!({ "name": oidc.name, "start": format!("{}/auth/oidc/start", shared.site.path) })
    });
    Ok(Reply::json(json!({ "options": {
        "password": true,
        "oidc": oidc,
        "signed_in": signed_in,
        "min_password_length": MIN_LENGTH,
    }})))
}

/// One answer for every reason, which takes the same time for each.
fn wrong() -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "the user name or the password is wrong")
}

pub(crate) async fn sign_in(visit: &Visit<'_>, payload: Payload) -> Result<Reply, Refusal> {
    let mut fields = top(payload.json()?)?;
    let name = fields.required("username", text(1, 320))?;
    let password = Secret::from(fields.required("password", text(1, 1024))?);
    fields.finish()?;
    let shared = visit.shared;
    let attempt = shared.attempt(Some(&name), visit.address)?;
    let mut session = shared.store.read().await?;
    let user = find(&mut session, &name).await?;
    let hashed = match &user {
        Some(user) => session.password(&user.id).await?,
        None => None,
    };
    drop(session);
    let verdict = match shared.passwords.verify(password, hashed.clone()).await {
        Ok(verdict) => verdict,
        Err(refusal) => {
            attempt.withdrawn();
            return Err(refusal);
        }
    };
    let refused = match (&user, &hashed) {
        (None, _) => Some("unknown_user"),
        (Some(user), _) if user.disabled_at.is_some() => Some("disabled"),
        (Some(_), None) => Some("no_password"),
        (Some(_), Some(_)) => (!verdict.is_right).then_some("wrong_password"),
    };
    let user = match (user, refused) {
        (Some(user), None) => user,
        (user, reason) => {
            let mut whose = Map::new();
            if let Some(user) = user {
                whose.insert("user_id".to_owned(), user.id.into());
                whose.insert("username".to_owned(), user.username.into());
            }
            note_failure(visit, &attempt, whose, reason.unwrap_or_default()).await?;
            return Err(wrong());
        }
    };
    let entered = async {
        let mut session = shared.store.write().await?;
        if let Some(old) = &hashed {
            // It may have been changed while it was compared; then this was the old one.
            if !session.still_has_password(&user.id, old).await? {
                return Err(wrong());
            }
            if let Some(renewed) = &verdict.renewed {
                session.rehash_password(&user.id, old, renewed).await?;
            }
        }
        welcome(visit, session, &user, "password", "password").await
    };
    let entered = entered.await;
    match &entered {
        Ok(_) => attempt.succeeded(),
        // The password was right.
        Err(_) => attempt.withdrawn(),
    }
    entered
}

/// The user of that name or, since people type either, of that email address.
async fn find(session: &mut Session, name: &str) -> Result<Option<User>, Refusal> {
    if let Some(user) = session.user_named(name.trim()).await? {
        return Ok(Some(user));
    }
    let mut users = session.users_with_email(name.trim()).await?;
    Ok(if users.len() == 1 { users.pop() } else { None })
}

/// Writes down an attempt that failed, and whose it was, if that is known. What was typed is not
/// written down: it may be a password.
pub(crate) async fn note_failure(
    visit: &Visit<'_>,
    attempt: &Attempt<'_>,
    mut details: Map<String, Value>,
    reason: &str,
) -> Result<(), Refusal> {
    let mut session = visit.shared.store.write().await?;
    details.insert("reason".to_owned(), reason.into());
    let kind = if attempt.locks { "sign_in_locked" } else { "sign_in_failed" };
    session.audit(&visit.nobody(), kind, &[], details.into()).await?;
    session.commit().await?;
    Ok(())
}

/// Begins a session in the transaction `session` and commits it; the answer has the cookie. The
/// session that the browser had before ends, so that nobody is left with a known one.
pub(crate) async fn welcome(
    visit: &Visit<'_>,
    mut session: Session,
    user: &User,
    method: &'static str,
    how: &str,
) -> Result<Reply, Refusal> {
    let shared = visit.shared;
    let secret = begin(visit, &mut session, user, method, how).await?;
    let idle = shared.people.session_idle;
    let grant = session.grant_of_session(&secret, idle).await?.ok_or_else(wrong)?;
    let actor = actor(&grant.user, visit.address);
    let caller = Caller { grant, actor, address: visit.address };
    session.commit().await?;
    let shown = users::shown(&caller, &caller.grant.user);
    Ok(Reply::json(json!({ "user": shown })).with(SET_COOKIE, cookie(shared, &secret)))
}

/// The same without an answer and without an end of the transaction.
pub(crate) async fn begin(
    visit: &Visit<'_>,
    session: &mut Session,
    user: &User,
    method: &'static str,
    how: &str,
) -> Result<Secret, Refusal> {
    let shared = visit.shared;
    let idle = shared.people.session_idle;
    if let Some(old) = Cookie::Session.find(&shared.site, &visit.head.parts.headers)
        && let Some(old) = session.grant_of_session(&old.into(), idle).await?
    {
        session.end_web_session(&old.user.id, old.credential.id()).await?;
    }
    let new = new_session(shared, visit.head, user, method, visit.address.to_string());
    let (id, secret) = session.create_web_session(new).await?;
    let details = json!({ "session": id, "method": how });
    session.audit(&actor(user, visit.address), "sign_in", &[], details).await?;
    Ok(secret)
}

pub(crate) fn new_session(
    shared: &Shared,
    head: &Head,
    user: &User,
    method: &'static str,
    address: String,
) -> NewWebSession {
    let agent = head.header(USER_AGENT).unwrap_or_default();
    let printable = agent.chars().filter(|letter| !letter.is_control());
    NewWebSession {
        user_id: user.id.clone(),
        method,
        address,
        user_agent: printable.take(MAX_AGENT).collect(),
        lifetime: shared.people.session_lifetime,
    }
}

/// The value of `Set-Cookie` for a session.
pub(crate) fn cookie(shared: &Shared, secret: &Secret) -> String {
    let seconds = shared.people.session_lifetime.num_seconds();
    Cookie::Session.set(&shared.site, secret.reveal(), seconds)
}
