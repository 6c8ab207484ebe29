//! An authenticated conversation with one endpoint: one connection, one request at a time.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, StatusCode,
    body::Incoming,
    header::{HeaderValue, WWW_AUTHENTICATE},
};
use openssl::rand::rand_bytes;
use record::Secret;
use tokio::time::timeout;

use crate::{
    Endpoint, Identity, Login, NetError, Response, Stage,
    body::{Coding, Holder},
    connection::{Connection, Lost},
    cookies::Cookies,
    diagnostics::{diagnostics, oauth_code},
    error::Reason,
    login::{Admission, Scheme, sensitive},
    ntlm,
    request::{Content, post},
};

/// Refused sign-ins of one request after which it fails.
const MAX_REFUSALS: u8 = 2;

/// Longest part of a refusal's body that is read, in bytes.
const MAX_REFUSAL: usize = 16 * 1024;

/// How much is repeated of what a server offers instead of NTLM.
const MAX_SCHEME: usize = 20;
const MAX_SCHEMES: usize = 6;

/// What Exchange writes into the body when the account is locked.
const LOCKED_OUT: &[u8] = b"currently locked out";

/// One endpoint, one identity, at most one connection.
///
/// NTLM authenticates a connection, not a request. So a session keeps its connection, and when
/// the server has closed it, opens another and signs in anew without the caller noticing.
/// Cookies stay in the session: use one for each mailbox.
#[derive(Debug)]
pub struct Session {
    endpoint: Endpoint,
    identity: Identity,
    connection: Option<Connection>,
    cookies: Cookies,
}

/// What one request has used up.
#[derive(Default)]
struct Spent {
    /// An idle connection turned out to be dead.
    redialed: bool,
    /// The server forgot who was on the connection.
    signed_in_again: bool,
    renewed_token: bool,
    refusals: u8,
}

/// How a request went out.
struct Sent {
    reply: hyper::Response<Incoming>,
    /// The reply belongs to the caller's request, not to a leg of the handshake.
    signed_in: bool,
    token: Option<Secret>,
}

impl Session {
    /// Makes a session. Nothing is connected before the first request.
    pub fn new(endpoint: Endpoint, identity: Identity) -> Self {
        Self { endpoint, identity, connection: None, cookies: Cookies::default() }
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Posts `body`, signing in if need be, and returns the reply, whatever its status is apart
    /// from 401. Redirects are not followed.
    ///
    /// The request must be harmless to repeat: it is sent once more on a new connection when the
    /// kept one turns out to be closed before an answer began.
    ///
    /// # Errors
    ///
    /// [`NetError::Unauthorized`] after two refused handshakes, or a token that is not taken
    /// even when it is new; the other errors as they say.
    pub async fn send(
        &mut self,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<'_>, NetError> {
        let reply = self.exchange(headers, &body).await?;
        let holder = Holder::Session(&mut self.connection);
        Response::new(&self.endpoint, reply, holder, Coding::Gzip)
    }

    /// Closes the connection. The next request opens another.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Repeats the request until it has a reply or a reason to give up; each reason to repeat
    /// counts once.
    async fn exchange(
        &mut self,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<hyper::Response<Incoming>, NetError> {
        let mut spent = Spent::default();
        let identity = self.identity.clone();
        loop {
            let mut connection = self.connect().await?;
            let kept = connection.used;
            let admission = match &identity {
                Identity::Password(login) if login.must_sign_in(connection.signed_in) => {
                    Some(login.admit(self.endpoint.name()).await?)
                }
                _ => None,
            };
            let sent =
                self.attempt(&mut connection, &identity, admission.as_ref(), headers, body).await;
            let sent = match sent {
                Err(lost) if lost.hung_up && kept && !spent.redialed => {
                    spent.redialed = true;
                    continue;
                }
                Err(lost) => return Err(lost.error),
                Ok(sent) => sent,
            };
            self.cookies.store(sent.reply.headers());
            if sent.reply.status() != StatusCode::UNAUTHORIZED {
                if let (Some(admission), true) = (&admission, sent.signed_in) {
                    admission.answered(sent.reply.status());
                }
                connection.signed_in |= sent.signed_in;
                self.connection = Some(connection);
                return Ok(sent.reply);
            }
            let refusal = Refusal::read(&self.endpoint, sent.reply).await;
            drop(connection);
            self.judge(&refusal, &identity, admission, sent.token, &mut spent).await?;
        }
    }

    /// The kept connection if it still takes a request, else a new one.
    async fn connect(&mut self) -> Result<Connection, NetError> {
        if let Some(mut connection) = self.connection.take()
            && connection.ready().await
        {
            return Ok(connection);
        }
        Connection::open(&self.endpoint).await
    }

    /// Sends the request over `connection`, after the legs of a handshake that come before it.
    async fn attempt(
        &mut self,
        connection: &mut Connection,
        identity: &Identity,
        admission: Option<&Admission<'_>>,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Sent, Lost> {
        let mut token = None;
        let authorization = match identity {
            Identity::Anonymous => None,
            Identity::Token(source) => {
                let fresh = source.token().await?;
                let header = sensitive("Bearer", fresh.reveal());
                token = Some(fresh);
                header
            }
            Identity::Password(login) => match (login.scheme, admission) {
                (Scheme::Basic, _) => login.basic_header(),
                (Scheme::Ntlm, None) => None,
                (Scheme::Ntlm, Some(admission)) => {
                    match self.shake_hands(connection, login, admission, headers).await? {
                        Handshake::Proof(proof) => proof,
                        Handshake::NotAsked => None,
                        Handshake::Over(reply) => {
                            return Ok(Sent { reply, signed_in: false, token });
                        }
                    }
                }
            },
        };
        let reply = self.post(connection, authorization, headers, body, Stage::Answer).await?;
        Ok(Sent { reply, signed_in: admission.is_some(), token })
    }

    async fn post(
        &self,
        connection: &mut Connection,
        authorization: Option<HeaderValue>,
        headers: &HeaderMap,
        body: &Bytes,
        stage: Stage,
    ) -> Result<hyper::Response<Incoming>, Lost> {
        let content =
            Content { headers, cookies: Some(&self.cookies), authorization, body: body.clone() };
        let request = post(&self.endpoint, content)
            .map_err(|err| NetError::crypto(self.endpoint.name(), err))?;
        connection.send(&self.endpoint, request, stage).await
    }

    /// The first two legs of an NTLM handshake. The first has an empty body, which saves sending
    /// the request twice, but all its headers: a balancer looks at them.
    async fn shake_hands(
        &mut self,
        connection: &mut Connection,
        login: &Login,
        admission: &Admission<'_>,
        headers: &HeaderMap,
    ) -> Result<Handshake, Lost> {
        let hello = sensitive("NTLM", &BASE64_STANDARD.encode(ntlm::negotiate()));
        let reply = self.post(connection, hello, headers, &Bytes::new(), Stage::SignIn).await?;
        if reply.status() != StatusCode::UNAUTHORIZED && !reply.status().is_success() {
            return Ok(Handshake::Over(reply));
        }
        let (head, body) = reply.into_parts();
        self.cookies.store(&head.headers);
        let name = self.endpoint.name();
        // The connection is still needed, so the rest of the reply must leave it.
        if read_short(&self.endpoint, body).await.is_none() || !connection.ready().await {
            let reason = Reason("the connection was closed in the middle of the NTLM handshake");
            return Err(NetError::unreachable(name, reason).into());
        }
        if head.status.is_success() {
            return Ok(Handshake::NotAsked);
        }
        let challenge = self.find_challenge(&head.headers)?;

        let crypto = |err| NetError::crypto(name, err);
        let mut nonce = [0; 8];
        rand_bytes(&mut nonce).map_err(crypto)?;
        let credentials = ntlm::Credentials {
            user: &login.user,
            password: &login.password,
            target: &format!("HTTP/{}", self.endpoint.host()),
            binding: connection.binding.filter(|_| admission.binding),
        };
        let now = ntlm::file_time(self.endpoint.transport().clock.now());
        let proof =
            ntlm::authenticate(&challenge, &credentials, nonce, now).map_err(|err| match err {
                ntlm::NtlmError::Crypto(err) => crypto(err),
                err => NetError::bad_reply(name, err),
            })?;
        Ok(Handshake::Proof(sensitive("NTLM", &BASE64_STANDARD.encode(proof))))
    }

    fn find_challenge(&self, headers: &HeaderMap) -> Result<Vec<u8>, NetError> {
        let name = self.endpoint.name();
        let offers: Vec<&str> = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|offer| offer.to_str().ok())
            .collect();
        let word = |offer: &&str| -> String {
            offer.split(' ').next().unwrap_or_default().chars().take(MAX_SCHEME).collect()
        };
        let Some(offer) = offers.iter().find(|offer| word(offer).eq_ignore_ascii_case("NTLM"))
        else {
            let offered = offers.iter().take(MAX_SCHEMES).map(word).collect::<Vec<_>>().join(", ");
            return Err(NetError::NotOffered { host: name.to_owned(), wanted: "NTLM", offered });
        };
        let challenge = offer.split_once(' ').map_or("", |(_, challenge)| challenge.trim());
        BASE64_STANDARD
            .decode(challenge)
            .ok()
            .filter(|challenge| !challenge.is_empty())
            .ok_or_else(|| NetError::bad_reply(name, Reason("it answers NTLM without a challenge")))
    }

    /// Decides what follows from a 401: `Ok` to try again.
    async fn judge(
        &self,
        refusal: &Refusal,
        identity: &Identity,
        admission: Option<Admission<'_>>,
        token: Option<Secret>,
        spent: &mut Spent,
    ) -> Result<(), NetError> {
        let name = self.endpoint.name();
        let again = match (identity, admission, token) {
            (Identity::Token(source), _, Some(token)) if refusal.blames_age() => {
                let first = !std::mem::replace(&mut spent.renewed_token, true);
                if first {
                    source.renew(&token).await?;
                }
                first
            }
            // It was signed in, and the server forgot: seen under load. Only a refused
            // handshake says something about the password.
            (Identity::Password(_), None, _) => {
                !std::mem::replace(&mut spent.signed_in_again, true)
            }
            (Identity::Password(_), Some(admission), _) => {
                spent.refusals += 1;
                admission.refused(&self.endpoint, refusal.locked_out)
                    && spent.refusals < MAX_REFUSALS
            }
            _ => false,
        };
        if again { Ok(()) } else { Err(refusal.error(name)) }
    }
}

/// Where the first legs of a handshake led.
enum Handshake {
    /// What proves the identity.
    Proof(Option<HeaderValue>),
    /// The server does not ask who we are.
    NotAsked,
    /// Neither a challenge nor a welcome: a redirect, a fault, a server that is too busy.
    Over(hyper::Response<Incoming>),
}

/// What is in a 401.
struct Refusal {
    detail: Option<String>,
    oauth_code: Option<u32>,
    locked_out: bool,
}

impl Refusal {
    async fn read(endpoint: &Endpoint, reply: hyper::Response<Incoming>) -> Self {
        let (head, body) = reply.into_parts();
        let detail = diagnostics(&head.headers);
        let body = read_short(endpoint, body).await.unwrap_or_default();
        Self {
            detail: (!detail.is_empty()).then_some(detail),
            oauth_code: oauth_code(&head.headers),
            locked_out: body.windows(LOCKED_OUT.len()).any(|part| part == LOCKED_OUT),
        }
    }

    /// A new token may help: 2000003 to 2000008 blame audience, tenant, user, client or grant,
    /// which a new one would have in common with the old.
    fn blames_age(&self) -> bool {
        !matches!(self.oauth_code, Some(2_000_003..=2_000_008))
    }

    fn error(&self, host: &str) -> NetError {
        NetError::Unauthorized {
            host: host.to_owned(),
            detail: self.detail.clone(),
            locked_out: self.locked_out,
        }
    }
}

/// Reads a body that should be short; `None` if it is not, or is cut.
async fn read_short(endpoint: &Endpoint, mut body: Incoming) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    let reading = async {
        while let Some(frame) = body.frame().await {
            all.extend_from_slice(frame.ok()?.data_ref().map_or(&[][..], |data| data));
            (all.len() <= MAX_REFUSAL).then_some(())?;
        }
        Some(())
    };
    timeout(endpoint.limits().connect, reading).await.ok()??;
    Some(all)
}
