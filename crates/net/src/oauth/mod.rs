//! OAuth 2.0 client credentials: one token for many sessions.

mod assertion;
mod reply;

#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    HeaderMap, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use record::Secret;
use tokio::{sync::Mutex, time::Instant};
use url::{Url, form_urlencoded};

pub use assertion::{BadSigningKey, SigningKey};

use crate::{
    BadEndpoint, Endpoint, NetError, Response, Stage, Transport,
    body::{Coding, Holder},
    connection::Connection,
    request,
};

/// A token is renewed this long before it ends.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// For this long, a failed request stands for those that wait behind it.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Likewise if the endpoint refused: only a person can change that.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_secs(60);
/// Largest reply of a token endpoint, in bytes.
const MAX_REPLY: usize = 256 * 1024;

/// What identifies the program to the authority.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// With the tenant: `https://login.microsoftonline.com/<tenant>/`.
    pub authority: String,
    pub client_id: String,
    pub proof: Proof,
    /// What the token is for: `https://outlook.office365.com/.default`.
    pub scope: String,
}

/// How the program proves that it is the client.
#[derive(Clone, Debug)]
pub enum Proof {
    Secret(Secret),
    Certificate(SigningKey),
    /// A signed statement that somebody else keeps up to date: the token that Kubernetes gives to
    /// a service account. Read for each request. Spec: RFC 7523 §2.2.
    AssertionFile(PathBuf),
}

/// Hands out access tokens, and asks for a new one before the old one ends.
///
/// Its life is counted on the clock that only goes forward, so that a correction of the time of
/// day neither kills a good token nor keeps a dead one. That clock may stand still while a
/// machine sleeps; the server then refuses the token, and [`TokenSource::renew`] replaces it.
#[derive(Debug)]
pub struct TokenSource {
    endpoint: Endpoint,
    client_id: String,
    proof: Proof,
    scope: String,
    /// Locked while a token is asked for, so that there is one request however many wait.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Token>,
    /// The last request failed so; it is not repeated before the time given.
    failure: Option<(NetError, Instant)>,
}

#[derive(Debug)]
struct Token {
    value: Secret,
    renew_at: Instant,
    ends_at: Instant,
}

impl TokenSource {
    /// Prepares to ask `credentials.authority`. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// The authority is no usable URL or names no tenant.
    pub fn new(
        credentials: ClientCredentials,
        transport: Transport,
    ) -> Result<Arc<Self>, BadEndpoint> {
        let url = token_url(&credentials.authority)?;
        Ok(Arc::new(Self {
            endpoint: Endpoint::new(&url, transport)?,
            client_id: credentials.client_id,
            proof: credentials.proof,
            scope: credentials.scope,
            state: Mutex::default(),
        }))
    }

    /// A token that is good for some minutes at least, asking for one if need be.
    ///
    /// # Errors
    ///
    /// [`NetError::TokenRefused`] if a person has to act, [`NetError::TokenUnavailable`] if it
    /// is worth trying later, or that the endpoint could not be reached.
    pub async fn token(&self) -> Result<Secret, NetError> {
        let mut state = self.state.lock().await;
        self.current(&mut state).await
    }

    /// A token other than `refused`, which the server did not take.
    ///
    /// # Errors
    ///
    /// See [`Self::token`].
    pub async fn renew(&self, refused: &Secret) -> Result<Secret, NetError> {
        let mut state = self.state.lock().await;
        // Another session may have renewed it already.
        state.token.take_if(|token| token.value == *refused);
        self.current(&mut state).await
    }

    async fn current(&self, state: &mut State) -> Result<Secret, NetError> {
        let now = Instant::now();
        if let Some(token) = state.token.as_ref().filter(|token| now < token.renew_at) {
            return Ok(token.value.clone());
        }
        state.failure.take_if(|(_, until)| now >= *until);
        let err = match &state.failure {
            Some((err, _)) => err.clone(),
            None => match self.request().await {
                Ok(token) => {
                    let value = token.value.clone();
                    state.token = Some(token);
                    return Ok(value);
                }
                Err(err) => {
                    state.failure = Some((err.clone(), Instant::now() + pause_after(&err)));
                    err
                }
            },
        };
        // The margin is there for an authority that is down for some minutes.
        match state.token.as_ref().filter(|token| Instant::now() < token.ends_at) {
            Some(token) => Ok(token.value.clone()),
            None => Err(err),
        }
    }

    async fn request(&self) -> Result<Token, NetError> {
        let name = self.endpoint.name();
        let mut headers = HeaderMap::new();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let body = Bytes::from(self.form()?);
        let content =
            request::Content { headers: &headers, cookies: None, authorization: None, body };
        let request =
            request::post(&self.endpoint, content).map_err(|err| NetError::crypto(name, err))?;

        let asked_at = Instant::now();
        let mut connection = Connection::open(&self.endpoint).await?;
        let reply = connection.send(&self.endpoint, request, Stage::Answer).await;
        let reply = reply.map_err(|lost| lost.error)?;
        let mut connection = Some(connection);
        let holder = Holder::Session(&mut connection);
        let mut reply = Response::new(&self.endpoint, reply, holder, Coding::Gzip)?;
        let body = reply.body.collect(MAX_REPLY).await?;
        if reply.status != StatusCode::OK {
            return Err(reply::failure(name, reply.status, retry_after(&reply.headers), &body));
        }
        let (value, life) = reply::token(&body).map_err(|err| NetError::bad_reply(name, err))?;
        let margin = MARGIN.min(life / 2);
        let ends_at = asked_at + life;
        Ok(Token { value, renew_at: ends_at - margin, ends_at })
    }

    fn form(&self) -> Result<String, NetError> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        form.append_pair("client_id", &self.client_id);
        form.append_pair("scope", &self.scope);
        match &self.proof {
            Proof::Secret(secret) => {
                form.append_pair("client_secret", secret.reveal());
            }
            Proof::Certificate(key) => {
                let now = self.endpoint.transport().clock.now();
                let assertion = key
                    .assertion(&self.client_id, &self.endpoint.url(), now)
                    .map_err(|err| NetError::crypto(self.endpoint.name(), err))?;
                form.append_pair("client_assertion_type", assertion::TYPE);
                form.append_pair("client_assertion", assertion.reveal());
            }
            Proof::AssertionFile(path) => {
                let assertion = assertion::read(path)
                    .map_err(|err| NetError::unreachable(self.endpoint.name(), err))?;
                form.append_pair("client_assertion_type", assertion::TYPE);
                form.append_pair("client_assertion", assertion.reveal());
            }
        }
        Ok(form.finish())
    }
}

/// The token endpoint of an authority: `…/<tenant>/` and `…/<tenant>` become
/// `…/<tenant>/oauth2/v2.0/token`; the full URL stays as it is.
fn token_url(authority: &str) -> Result<String, BadEndpoint> {
    let mut url = Url::parse(authority.trim())?;
    let path = url.path().trim_matches('/').to_owned();
    if path.is_empty() {
        return Err(BadEndpoint::NoTenant);
    }
    let path = match path.strip_suffix("/oauth2/v2.0").unwrap_or(&path) {
        full if full.ends_with("/token") => full.to_owned(),
        tenant => format!("{tenant}/oauth2/v2.0/token"),
    };
    url.set_path(&path);
    Ok(url.into())
}

fn pause_after(err: &NetError) -> Duration {
    match err {
        NetError::TokenRefused { .. } => PAUSE_AFTER_REFUSAL,
        NetError::TokenUnavailable { retry_after: Some(pause), .. } => {
            (*pause).min(PAUSE_AFTER_REFUSAL)
        }
        _ => PAUSE_AFTER_FAILURE,
    }
}

/// Seconds only: token endpoints do not send the form with a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
