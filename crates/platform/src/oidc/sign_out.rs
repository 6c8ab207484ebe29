//! The way of a browser to the provider when somebody signs out, and back: with the provider's own
//! session, the next person at that browser would come in without a password.
//!
//! Who we are is told by `client_id`. No ID token goes along as `id_token_hint`: it would have to be
//! kept as long as its session, and in an address it would leave name, email address and groups in
//! the logs of the provider, of proxies and of the browser. Without one, a provider asks the person
//! whether to sign out. One that insists on it needs `Oidc::local_sign_out`.
//!
//! Spec: "OpenID Connect RP-Initiated Logout 1.0", §2 and §3.

use std::{sync::Arc, time::Duration};

use hyper::header::SET_COOKIE;
use tokio::time::timeout;

use super::{
    flow::{lone, provider, redirect},
    trip::{LIFETIME, Trip},
};
use crate::{
    cookies::Cookie, public::Visit, refusal::Refusal, reply::Reply, server::Shared,
    sign_in::METHOD_OIDC,
};

/// How long a sign-out waits for what the provider says of itself, which is known most of the time.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where a browser goes that has no session here any more.
pub(crate) struct Departure {
    pub(crate) url: String,
    /// The value of `Set-Cookie`.
    pub(crate) cookie: String,
}

/// The way to the provider for somebody who came in by `method`, if there is one. A provider that is
/// away keeps nobody from signing out here.
pub(crate) async fn departure(shared: &Arc<Shared>, method: &str) -> Option<Departure> {
    let provider = shared.oidc.as_ref().filter(|_| method == METHOD_OIDC)?;
    if provider.settings.local_sign_out {
        return None;
    }
    let metadata = match timeout(PATIENCE, provider.metadata()).await {
        Ok(Ok(metadata)) => metadata,
        Ok(Err(_)) | Err(_) => {
            let issuer = &provider.settings.issuer;
            tracing::warn!(
                "`{issuer}` does not answer: somebody is signed out here, and not there"
            );
            return None;
        }
    };
    let mut url = metadata.end_session_endpoint.clone()?;
    let site = &shared.site;
    let trip = Trip::begin(shared.store.now(), "")?;
    url.query_pairs_mut()
        .append_pair("client_id", &provider.settings.client_id)
        .append_pair("post_logout_redirect_uri", &site.page("/auth/oidc/signed-out"))
        .append_pair("state", &trip.sign_out_state());
    let cookie = Cookie::Oidc.set(site, &trip.write(), LIFETIME);
    Some(Departure { url: url.into(), cookie })
}

/// Leads whoever comes back to the page of the sign-in, which says so only to those who set out.
pub(crate) fn signed_out(visit: &Visit<'_>) -> Result<Reply, Refusal> {
    provider(visit)?;
    let (shared, head) = (visit.shared, visit.head);
    let site = &shared.site;
    let trip = Cookie::Oidc.find(site, &head.parts.headers).and_then(|text| Trip::read(&text));
    let now = shared.store.now();
    let given = lone(head, "state");
    let set_out = trip.is_some_and(|trip| trip.ends_with(&trip.sign_out_state(), given, now));
    if !set_out {
        return Ok(redirect(&format!("{}/sign-in", site.path)));
    }
    let reply = redirect(&format!("{}/sign-in?signed_out=oidc", site.path));
    Ok(reply.with(SET_COOKIE, Cookie::Oidc.clear(site)))
}
