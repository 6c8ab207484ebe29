//! Which user somebody is whom the provider knows, and whether they may come in.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use store::{Actor, Holder, NewUser, Session, User};

use super::{
    settings::{NewUsers, Oidc},
    token::Claims,
};
use crate::{access::actor, public::Visit, quotas, refusal::Refusal};

/// The longest address. Spec: RFC 5321 §4.5.3.1, with the `@` between the two parts.
pub(super) const MAX_EMAIL: usize = 320;

/// Why somebody stays out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    NotInvited,
    Unverified,
    Disabled,
}

/// The email address, if the provider vouches for it.
fn verified_email<'a>(settings: &Oidc, claims: &'a Claims) -> Option<&'a str> {
    let email = claims.all.get("email").and_then(Value::as_str)?;
    let vouched = match claims.all.get("email_verified") {
        Some(Value::Bool(verified)) => *verified,
        // Some providers write it so.
        Some(Value::String(text)) => text == "true",
        _ => settings.trust_email,
    };
    let plain = email.len() <= MAX_EMAIL && email.bytes().all(|byte| byte.is_ascii_graphic());
    let (local, domain) = email.split_once('@')?;
    let whole = !local.is_empty() && !domain.is_empty() && !domain.contains('@');
    (vouched && plain && whole).then_some(email)
}

fn is_allowed(settings: &Oidc, email: Option<&str>) -> bool {
    let domain = email.and_then(|email| email.split_once('@')).map(|(_, domain)| domain);
    settings.allowed_domains.is_empty()
        || domain.is_some_and(|domain| {
            settings.allowed_domains.iter().any(|own| own.eq_ignore_ascii_case(domain))
        })
}

/// Finds the user, or makes one, and gives them what their groups give.
pub(super) async fn admit(
    visit: &Visit<'_>,
    session: &mut Session,
    settings: &Oidc,
    claims: &Claims,
) -> Result<Result<User, Kept>, Refusal> {
    let email = verified_email(settings, claims);
    if !is_allowed(settings, email) {
        let why = if email.is_none() { Kept::Unverified } else { Kept::NotInvited };
        return Ok(Err(why));
    }
    let known = session.user_with_identity(&settings.issuer, &claims.subject).await?;
    let user = match (known, email) {
        (Some(user), _) => user,
        (None, None) => return Ok(Err(Kept::Unverified)),
        (None, Some(email)) => match by_email(visit, session, settings, email).await? {
            Ok(user) => user,
            Err(kept) => return Ok(Err(kept)),
        },
    };
    if user.disabled_at.is_some() {
        return Ok(Err(Kept::Disabled));
    }
    let is_new =
        session.identities(&user.id).await?.iter().all(|own| own.issuer != settings.issuer);
    session.note_identity(&user.id, &settings.issuer, &claims.subject).await?;
    let actor = actor(&user, visit.address);
    if is_new {
        let details = json!({ "issuer": settings.issuer });
        session.audit(&actor, "link_identity", &[], details).await?;
    }
    give_roles(session, settings, claims, &user, &actor).await?;
    Ok(Ok(user))
}

/// The user with that address who has no identity there yet, or a new one.
async fn by_email(
    visit: &Visit<'_>,
    session: &mut Session,
    settings: &Oidc,
    email: &str,
) -> Result<Result<User, Kept>, Refusal> {
    let mut users = session.users_with_email(email).await?;
    let Some(user) = users.pop() else {
        let NewUsers::Created { role } = &settings.new_users else {
            return Ok(Err(Kept::NotInvited));
        };
        return Ok(Ok(create(visit, session, email, role).await?));
    };
    // Addresses are given to other people when somebody leaves.
    let taken = session.identities(&user.id).await?.iter().any(|own| own.issuer == settings.issuer);
    Ok(if taken || !users.is_empty() { Err(Kept::NotInvited) } else { Ok(user) })
}

async fn create(
    visit: &Visit<'_>,
    session: &mut Session,
    email: &str,
    role: &str,
) -> Result<User, Refusal> {
    quotas::check(session, "users").await?;
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.@".contains(letter);
    let username = email.chars().map(|letter| if fits(letter) { letter } else { '-' });
    let username: String = username.take(256).collect();
    let user = session.create_user(NewUser { username, email: email.to_owned() }).await?;
    let roles = BTreeSet::from([role.to_owned()]);
    let mut joined = Vec::new();
    for project in session.projects().await? {
        if project.user_auto_join {
            session.set_permissions(&user.id, Holder::Project(&project.id), &roles).await?;
            joined.push((project.id, project.name));
        }
    }
    let about: Vec<_> = joined.iter().map(|(id, name)| (&**id, &**name)).collect();
    let details = json!({
        "user_id": user.id, "username": user.username, "by": "oidc", "role": role,
    });
    session.audit(&actor(&user, visit.address), "create_user", &about, details).await?;
    Ok(user)
}

/// Gives a user what their groups give now, and takes what those gave before.
async fn give_roles(
    session: &mut Session,
    settings: &Oidc,
    claims: &Claims,
    user: &User,
    actor: &Actor,
) -> Result<(), Refusal> {
    let claim = claims.all.get(&settings.groups_claim);
    let elsewhere =
        claims.all.get("_claim_names").and_then(|names| names.get(&settings.groups_claim));
    if claim.is_none() && elsewhere.is_some() {
        // Entra ID names a place to ask when somebody is in more groups than a token holds.
        tracing::warn!(
            "The provider left out the groups of the user `{}`, who is in too many; what they gave \
             before stays. Let it send only the groups that are assigned to the application",
            user.id
        );
        return Ok(());
    }
    let groups: BTreeSet<&str> = match claim {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => BTreeSet::from([one.as_str()]),
        _ => BTreeSet::new(),
    };
    let given = settings.group_roles.iter().filter(|own| groups.contains(own.group.as_str()));
    let roles = given.map(|own| (own.project.clone(), own.role.clone())).collect();
    if session.set_group_roles(&user.id, &roles).await? {
        let details = json!({
            "user_id": user.id, "username": user.username, "group_roles": roles,
        });
        session.audit(actor, "update_user", &[], details).await?;
    }
    Ok(())
}
