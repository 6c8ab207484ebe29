//! The way of a browser to the provider and back.
//!
//! A state that came back is remembered until its cookie has ended.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use hyper::{
    StatusCode,
    header::{LOCATION, SET_COOKIE},
};
use openssl::sha::sha256;
use record::Chain;
use serde_json::{Map, Value};

use super::{
    admission::{Kept, MAX_EMAIL, admit},
    provider::{Exchange, OidcError, Provider},
    settings::Oidc,
    token::{Claims, Expected},
    trip::{LIFETIME, Trip},
};
use crate::{
    cookies::Cookie,
    public::Visit,
    refusal::Refusal,
    reply::Reply,
    request::Head,
    schema::wrong,
    sign_in::{self, METHOD_OIDC},
};

/// Longest path to which somebody returns, code, and state.
const MAX_RETURN: usize = 1024;
const MAX_CODE: usize = 8192;

/// Whether a path leads to a page of ours and nowhere else: browsers take `//` and `/\` for the
/// beginning of another host.
fn is_own_path(path: &str, base: &str) -> bool {
    let below = path.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'));
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    below && plain && !path.starts_with("//") && path.len() <= MAX_RETURN
}

/// A parameter of the address. One that is there twice is not to be trusted. Spec: RFC 6749 §3.1.
pub(super) fn lone<'a>(head: &'a Head, name: &str) -> Option<&'a str> {
    let mut values = head.parameters(name);
    let first = values.next();
    first.filter(|_| values.next().is_none())
}

pub(super) fn redirect(to: &str) -> Reply {
    Reply::new(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", Vec::new()).with(LOCATION, to)
}

/// Why somebody was not signed in, as the page of the sign-in knows it.
enum Failure {
    Denied,
    Expired,
    /// Whom the provider knows, with what it calls them.
    Kept(Kept, Map<String, Value>),
    Failed,
}

impl Failure {
    fn code(&self) -> &'static str {
        match self {
            Self::Denied => "oidc_denied",
            Self::Expired => "oidc_expired",
            Self::Kept(Kept::NotInvited, _) => "oidc_not_invited",
            Self::Kept(Kept::Unverified, _) => "oidc_unverified",
            Self::Kept(Kept::Disabled, _) => "oidc_disabled",
            Self::Failed => "oidc_failed",
        }
    }

    fn whose(self) -> Map<String, Value> {
        if let Self::Kept(_, whose) = self { whose } else { Map::new() }
    }
}

fn sign_in_page(visit: &Visit<'_>, failure: &Failure) -> Reply {
    redirect(&format!("{}/sign-in?error={}", visit.shared.site.path, failure.code()))
}

pub(super) fn provider<'a>(visit: &'a Visit<'_>) -> Result<&'a Provider, Refusal> {
    let none = || Refusal::not_found("a provider for OpenID Connect");
    visit.shared.oidc.as_ref().ok_or_else(none)
}

fn log(provider: &Provider, error: &OidcError) {
    tracing::warn!("A sign-in with `{}` failed: {}", provider.settings.issuer, Chain(error));
}

/// Sends the browser to the provider.
pub(crate) async fn start(visit: &Visit<'_>) -> Result<Reply, Refusal> {
    let (provider, site) = (provider(visit)?, &visit.shared.site);
    let home = format!("{}/", site.path);
    let return_to = visit.head.parameters("return_to").next().unwrap_or(&home);
    if !is_own_path(return_to, &site.path) {
        return Err(wrong("return_to", "expected a path of this platform"));
    }
    let metadata = match provider.metadata().await {
        Ok(metadata) => metadata,
        Err(error) => {
            log(provider, &error);
            return Ok(sign_in_page(visit, &Failure::Failed));
        }
    };
    let trip = Trip::begin(visit.shared.store.now(), return_to)
        .ok_or_else(|| Refusal::busy("no random numbers", 5))?;
    let settings = &provider.settings;
    let scopes = ["openid", "email", "profile"].into_iter();
    let scopes: Vec<&str> = scopes.chain(settings.scopes.iter().map(String::as_str)).collect();
    let mut url = metadata.authorization_endpoint.clone();
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &settings.client_id)
        .append_pair("redirect_uri", &redirect_uri(visit))
        .append_pair("scope", &scopes.join(" "))
        .append_pair("state", &trip.state())
        .append_pair("nonce", &trip.nonce())
        .append_pair("code_challenge_method", "S256")
        .append_pair("code_challenge", &challenge(&trip.verifier()));
    let cookie = Cookie::Oidc.set(site, &trip.write(), LIFETIME);
    Ok(redirect(url.as_str()).with(SET_COOKIE, cookie))
}

/// Spec: RFC 7636 §4.2.
fn challenge(verifier: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()))
}

fn redirect_uri(visit: &Visit<'_>) -> String {
    visit.shared.site.page("/auth/oidc/callback")
}

/// Signs in whoever comes back, or tells the page of the sign-in why not.
pub(crate) async fn finish(visit: &Visit<'_>) -> Result<Reply, Refusal> {
    let provider = provider(visit)?;
    // Without a trip, nothing was tried that could be guessed, and any page of the web can have
    // browsers come here: it would charge the address of whoever looks at it.
    let Some(trip) = ended_trip(visit) else {
        let reply = sign_in_page(visit, &Failure::Expired);
        return Ok(reply.with(SET_COOKIE, Cookie::Oidc.clear(&visit.shared.site)));
    };
    let attempt = visit.shared.attempt(None, visit.address)?;
    let outcome = match come_back(visit, provider, &trip).await {
        // No room for one more user, or their name is taken: a person is not shown JSON.
        Err(refusal) if refusal.status.is_client_error() => {
            tracing::warn!("Somebody whom the provider knows cannot become a user: {refusal}");
            Err(Failure::Failed)
        }
        outcome => outcome?,
    };
    let reply = match outcome {
        Ok(reply) => {
            attempt.withdrawn();
            reply
        }
        Err(failure) => {
            let page = sign_in_page(visit, &failure);
            let code = failure.code();
            sign_in::note_failure(visit, &attempt, failure.whose(), code).await?;
            page
        }
    };
    Ok(reply.with(SET_COOKIE, Cookie::Oidc.clear(&visit.shared.site)))
}

/// The trip of this browser, if it comes back with its own state and in time.
fn ended_trip(visit: &Visit<'_>) -> Option<Trip> {
    let (shared, head) = (visit.shared, visit.head);
    let trip = Trip::read(&Cookie::Oidc.find(&shared.site, &head.parts.headers)?)?;
    trip.ends_with(&trip.state(), lone(head, "state"), shared.store.now()).then_some(trip)
}

async fn come_back(
    visit: &Visit<'_>,
    provider: &Provider,
    trip: &Trip,
) -> Result<Result<Reply, Failure>, Refusal> {
    let (shared, head) = (visit.shared, visit.head);
    let one = |name: &str| lone(head, name);
    let now = shared.store.now();
    let mut session = shared.store.write().await?;
    let is_first = session.use_state(&trip.state(), TimeDelta::seconds(2 * LIFETIME)).await?;
    session.commit().await?;
    if !is_first {
        return Ok(Err(Failure::Expired));
    }
    // Another provider's answer, of a person who was led astray. Spec: RFC 9207.
    let metadata = match provider.metadata().await {
        Ok(metadata) => metadata,
        Err(error) => {
            log(provider, &error);
            return Ok(Err(Failure::Failed));
        }
    };
    let named = one("iss");
    if named.is_some_and(|named| named != provider.settings.issuer)
        || named.is_none() && metadata.names_itself
    {
        tracing::warn!("A sign-in came back with the name of another provider");
        return Ok(Err(Failure::Failed));
    }
    if let Some(error) = one("error") {
        let denied = matches!(error, "access_denied" | "login_required" | "consent_required");
        return Ok(Err(if denied { Failure::Denied } else { Failure::Failed }));
    }
    let Some(code) = one("code").filter(|code| !code.is_empty() && code.len() <= MAX_CODE) else {
        return Ok(Err(Failure::Failed));
    };
    let settings = &provider.settings;
    let (nonce, issuer) = (trip.nonce(), &settings.issuer);
    let expected = Expected { issuer, client_id: &settings.client_id, nonce: &nonce, now };
    let (verifier, redirect_uri) = (trip.verifier(), redirect_uri(visit));
    let exchange = Exchange { code, verifier: &verifier, redirect_uri: &redirect_uri, expected };
    let claims = match provider.exchange(&exchange).await {
        Ok(claims) => claims,
        Err(error) => {
            log(provider, &error);
            return Ok(Err(Failure::Failed));
        }
    };
    let mut session = shared.store.write().await?;
    let user = match admit(visit, &mut session, settings, &claims).await? {
        Ok(user) => user,
        Err(kept) => return Ok(Err(Failure::Kept(kept, who(settings, &claims)))),
    };
    let secret = sign_in::begin(visit, &mut session, &user, METHOD_OIDC, METHOD_OIDC).await?;
    session.commit().await?;
    let home = format!("{}/", shared.site.path);
    let return_to = Some(&trip.return_to).filter(|path| is_own_path(path, &shared.site.path));
    let reply = redirect(return_to.unwrap_or(&home));
    Ok(Ok(reply.with(SET_COOKIE, sign_in::cookie(shared, &secret))))
}

/// What the provider calls somebody, for those who are asked why they stay out.
fn who(settings: &Oidc, claims: &Claims) -> Map<String, Value> {
    let mut whose = Map::new();
    whose.insert("issuer".to_owned(), settings.issuer.clone().into());
    whose.insert("subject".to_owned(), claims.subject.clone().into());
    let email = claims.all.get("email").and_then(Value::as_str);
    if let Some(email) = email.filter(|own| own.len() <= MAX_EMAIL && !own.contains('\0')) {
        whose.insert("email".to_owned(), email.into());
    }
    whose
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_ours_leads_nowhere_else() {
        for path in ["/", "/buckets/a?b=c#d", "/%2f%2fevil.example"] {
            assert!(is_own_path(path, ""), "{path}");
        }
        for path in
            ["", "//evil.example", "/\\evil.example", "https://evil.example/", "/a\nb", "evil"]
        {
            assert!(!is_own_path(path, ""), "{path}");
        }
        assert!(is_own_path("/base/x", "/base"));
        for path in ["/based", "/other", "/base", "//base/x"] {
            assert!(!is_own_path(path, "/base"), "{path}");
        }
        assert!(!is_own_path(&format!("/{}", "a".repeat(2000)), ""));
    }

    #[test]
    fn the_challenge_is_that_of_the_specification() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
