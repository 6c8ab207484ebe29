//! What can go wrong between this machine and a server.

use std::{error::Error, fmt, net::IpAddr, sync::Arc, time::Duration};

/// The reason behind an error. Shared, because one failed token request fails many sessions.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// No usable answer came back.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NetError {
    /// HTTP 401 on two fresh handshakes, or a token that the server will not take.
    ///
    /// Final for the identity: its sessions make no further attempt, so that the account is not
    /// locked. `detail` holds what the server said in its diagnostic headers.
    #[error("`{host}` refused the credentials{}", Detail(detail))]
    Unauthorized { host: String, detail: Option<String>, locked_out: bool },
    /// The server has no sign-in of the kind that is configured.
    #[error("`{host}` offers no {wanted} sign-in, only: {offered}")]
    NotOffered { host: String, wanted: &'static str, offered: String },
    /// The token endpoint knows the request and says no.
    #[error("`{host}` refused to issue a token ({code})")]
    TokenRefused { host: String, code: String, hint: Option<&'static str> },
    /// The token endpoint cannot answer at the moment.
    #[error("`{host}` cannot issue a token now ({code})")]
    TokenUnavailable { host: String, code: String, retry_after: Option<Duration> },
    /// DNS, TCP, or a connection cut short.
    #[error("could not reach `{host}`")]
    Unreachable {
        host: String,
        #[source]
        cause: Cause,
    },
    #[error("`{host}` took longer than {} s to {stage}", .limit.as_secs_f32())]
    Timeout { host: String, stage: Stage, limit: Duration },
    /// The certificate is not trusted, or the two sides have no version or cipher in common.
    #[error("could not set up TLS with `{host}`")]
    Tls {
        host: String,
        hint: &'static str,
        #[source]
        cause: Cause,
    },
    /// The egress policy forbids the address to which the name resolved.
    #[error("the address `{address}` of `{host}` is blocked by the egress policy")]
    Blocked { host: String, address: IpAddr },
    /// The answer is not HTTP, or its content is not what its headers promise.
    #[error("could not read the reply of `{host}`")]
    BadReply {
        host: String,
        #[source]
        cause: Cause,
    },
    #[error("the reply of `{host}` is larger than {limit} bytes")]
    TooLarge { host: String, limit: u64 },
    /// OpenSSL on this machine refused an operation that sign-in needs.
    #[error("this machine could not compute the sign-in for `{host}`")]
    Crypto {
        host: String,
        #[source]
        cause: Cause,
    },
}

/// What a server was given time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Name resolution, TCP and TLS together.
    Connect,
    /// The first leg of an NTLM handshake.
    SignIn,
    /// The next part of the request.
    Send,
    /// The head of the reply.
    Answer,
    /// The next part of a body.
    Body,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "accept a connection",
            Self::SignIn => "start the sign-in",
            Self::Send => "take more of the request",
            Self::Answer => "answer",
            Self::Body => "send more of its reply",
        })
    }
}

impl NetError {
    /// What the operator can do, as a complete sentence, if we know.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unauthorized { locked_out: true, .. } => {
                Some("The account is locked out; have it unlocked, or wait for some hours.")
            }
            Self::Unauthorized { .. } => Some(
                "Check user and password, or the client id with its secret or certificate. \
                 No further attempt is made, so that the account is not locked.",
            ),
            Self::NotOffered { .. } => {
                Some("Configure one of the sign-ins that the server offers.")
            }
            Self::TokenRefused { hint, .. } => *hint,
            Self::Tls { hint, .. } => Some(hint),
            Self::Blocked { .. } => Some(
                "Link-local and cloud metadata addresses are never mail servers; check the host \
                 name and what it resolves to.",
            ),
            Self::Crypto { .. } => Some(
                "NTLM needs MD5, which OpenSSL refuses in FIPS mode; certificate sign-in needs \
                 RSA with SHA-256.",
            ),
            Self::TokenUnavailable { .. }
            | Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::BadReply { .. }
            | Self::TooLarge { .. } => None,
        }
    }

    pub(crate) fn unreachable(host: &str, cause: impl Error + Send + Sync + 'static) -> Self {
        Self::Unreachable { host: host.to_owned(), cause: Arc::new(cause) }
    }

    /// The request could not even be put together.
    pub(crate) fn bad_request(host: &str, cause: impl Error + Send + Sync + 'static) -> Self {
        Self::Unreachable { host: host.to_owned(), cause: Arc::new(cause) }
    }

    pub(crate) fn bad_reply(host: &str, cause: impl Error + Send + Sync + 'static) -> Self {
        Self::BadReply { host: host.to_owned(), cause: Arc::new(cause) }
    }

    pub(crate) fn crypto(host: &str, cause: impl Error + Send + Sync + 'static) -> Self {
        Self::Crypto { host: host.to_owned(), cause: Arc::new(cause) }
    }
}

/// A cause that has no error type of its own.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Reason(pub &'static str);

struct Detail<'a>(&'a Option<String>);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        }
    }
}
