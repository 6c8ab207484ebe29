//! Who signs in, and the guard against locking the account out.
//!
//! Directories lock an account after a few wrong passwords, and then nobody can use it. So all
//! sessions of one [`Login`] share what is known of it: until it has worked once, one session
//! tries while the others wait, and after two refusals in a row nobody tries any more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::{StatusCode, header::HeaderValue};
use record::Secret;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{Endpoint, NetError, TokenSource};

/// Refused sign-ins in a row after which none is tried any more.
const MAX_REFUSALS: u8 = 2;

/// NTLM sign-ins at the same time of a login that has worked before. If its password is changed,
/// so many are refused at once; policies rarely lock an account before the fifth. Basic sends
/// the password with every request, so there it is as many as are under way.
const CONCURRENT: u32 = 4;

/// How a session makes itself known. Clones share tokens and the guard against lock-out.
#[derive(Clone, Debug)]
pub enum Identity {
    Anonymous,
    Password(Arc<Login>),
    Token(Arc<TokenSource>),
}

/// Whether NTLM ties a sign-in to its TLS connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// It does. If the very first sign-in is refused, the next goes without: a TLS bridge with a
    /// certificate of its own makes every binding a wrong one.
    #[default]
    Auto,
    Off,
}

/// A user with a password.
#[derive(Debug)]
pub struct Login {
    pub(crate) scheme: Scheme,
    pub(crate) user: String,
    pub(crate) password: Secret,
    gate: Semaphore,
    /// Guards what is known of the login; held for a look or an update.
    standing: Mutex<Standing>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Ntlm,
    Basic,
}

#[derive(Debug)]
struct Standing {
    /// It worked at least once.
    proven: bool,
    /// Refusals since it last worked.
    refusals: u8,
    binding: bool,
    locked_out: bool,
}

impl Login {
    /// Signs in with `NTLMv2`. `user` is `DOMAIN\user` or `user@example.com`.
    pub fn ntlm(user: impl Into<String>, password: Secret, binding: ChannelBinding) -> Arc<Self> {
        Self::new(Scheme::Ntlm, user.into(), password, binding == ChannelBinding::Auto)
    }

    /// Sends user and password with each request. `user` holds no colon (RFC 7617 §2).
    pub fn basic(user: impl Into<String>, password: Secret) -> Arc<Self> {
        Self::new(Scheme::Basic, user.into(), password, false)
    }

    fn new(scheme: Scheme, user: String, password: Secret, binding: bool) -> Arc<Self> {
        let standing = Standing { proven: false, refusals: 0, binding, locked_out: false };
        let gate = Semaphore::new(CONCURRENT as usize);
        Arc::new(Self { scheme, user, password, gate, standing: Mutex::new(standing) })
    }

    pub(crate) fn basic_header(&self) -> Option<HeaderValue> {
        let pair = Secret::from(format!("{}:{}", self.user, self.password.reveal()));
        let encoded = Secret::from(BASE64_STANDARD.encode(pair.reveal()));
        sensitive("Basic", encoded.reveal())
    }

    /// Whether the next request over a connection proves the identity anew. Basic does so with
    /// every request.
    pub(crate) fn must_sign_in(&self, signed_in: bool) -> bool {
        match self.scheme {
            Scheme::Ntlm => !signed_in,
            Scheme::Basic => true,
        }
    }

    /// Waits until this session may sign in. It keeps the permit until the server has answered.
    ///
    /// # Errors
    ///
    /// [`NetError::Unauthorized`] if the login was refused for good meanwhile.
    pub(crate) async fn admit(&self, host: &str) -> Result<Admission<'_>, NetError> {
        loop {
            let alone = self.standing().doubtful();
            let seats = match self.scheme {
                _ if alone => CONCURRENT,
                Scheme::Ntlm => 1,
                Scheme::Basic => 0,
            };
            // Closing is the only reason to fail, and nobody closes it.
            let permit = self.gate.acquire_many(seats).await.ok();
            let standing = self.standing();
            if standing.refusals >= MAX_REFUSALS {
                let detail = Some("refused before, not tried again".to_owned());
                let locked_out = standing.locked_out;
                return Err(NetError::Unauthorized { host: host.to_owned(), detail, locked_out });
            }
            // Doubt may have come up while this one waited.
            if alone || !standing.doubtful() {
                let binding = standing.binding;
                return Ok(Admission { login: self, binding, _permit: permit });
            }
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        // Each update is a single assignment or two, so a panic leaves nothing half done.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn doubtful(&self) -> bool {
        !self.proven || self.refusals > 0
    }
}

/// The permission to sign in once.
#[derive(Debug)]
pub(crate) struct Admission<'l> {
    login: &'l Login,
    /// Whether this sign-in sends a channel binding.
    pub(crate) binding: bool,
    _permit: Option<SemaphorePermit<'l>>,
}

impl Admission<'_> {
    /// The server answered the sign-in with something else than 401.
    pub(crate) fn answered(&self, status: StatusCode) {
        // A balancer that is out of servers says nothing about the password.
        if status.is_success() || status == StatusCode::INTERNAL_SERVER_ERROR {
            let mut standing = self.login.standing();
            standing.proven = true;
            standing.refusals = 0;
        }
    }

    /// The server refused the sign-in. Tells whether another is worth it.
    pub(crate) fn refused(&self, endpoint: &Endpoint, locked_out: bool) -> bool {
        let mut standing = self.login.standing();
        standing.refusals = standing.refusals.saturating_add(1);
        if locked_out {
            standing.refusals = MAX_REFUSALS;
            standing.locked_out = true;
        }
        let again = standing.refusals < MAX_REFUSALS;
        // A binding that worked once is right; then the refusal has another reason.
        if again && self.binding && endpoint.secure() && !standing.proven {
            standing.binding = false;
            let host = endpoint.name();
            tracing::warn!(
                host,
                "`{host}` refused a sign-in with channel binding; trying once without"
            );
        }
        again
    }
}

/// `<scheme> <credentials>` as a header value that no log prints.
pub(crate) fn sensitive(scheme: &str, credentials: &str) -> Option<HeaderValue> {
    let text = Secret::from(format!("{scheme} {credentials}"));
    let mut value = HeaderValue::from_str(text.reveal()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, time::Duration};

    use record::clock::SystemClock;
    use tokio::time::timeout;

    use super::*;
    use crate::{Limits, PlainHttp, Tls, TlsSettings, Transport};

    fn endpoint() -> Endpoint {
        let transport = Transport {
            tls: Tls::new(&TlsSettings::default()).unwrap(),
            egress: Arc::default(),
            plain_http: PlainHttp::LoopbackOnly,
            limits: Limits::default(),
            clock: Arc::new(SystemClock),
        };
        Endpoint::new("https://mail.example.com/", transport).unwrap()
    }

    #[test]
    fn header_is_not_printed() {
        let login = Login::basic("ana", Secret::from("hunter2"));
        let header = login.basic_header().unwrap();
        assert_eq!(header, "Basic YW5hOmh1bnRlcjI=");
        assert_eq!(format!("{header:?}"), "Sensitive");
    }

    #[tokio::test]
    async fn who_waits_while_doubt_comes_up_goes_alone() {
        let login = Login::ntlm("ana", Secret::from("hunter2"), ChannelBinding::Auto);
        login.admit("x").await.unwrap().answered(StatusCode::OK);
        let mut under_way = Vec::new();
        for _ in 0..CONCURRENT {
            under_way.push(login.admit("x").await.unwrap());
        }
        let mut waiting = pin!(login.admit("x"));
        assert!(timeout(Duration::ZERO, &mut waiting).await.is_err());
        assert!(under_way.remove(0).refused(&endpoint(), false));
        assert!(timeout(Duration::ZERO, &mut waiting).await.is_err(), "others are under way");
        drop(under_way);
        assert!(waiting.await.unwrap().binding);
    }
}
