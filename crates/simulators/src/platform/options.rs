//! How the simulated platform presents itself.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use record::{Clock, Secret, clock::SystemClock};

use crate::tls::Transport;

/// Settings of the simulated platform.
#[derive(Clone)]
pub struct Options {
    pub bind: SocketAddr,
    pub transport: Transport,
    /// Path before every route, such as `/organization/tenant/reinfer_`; empty for none.
    pub base_path: String,
    pub tokens: Vec<Token>,
    /// Buckets that there are at the start, as `owner/name`; their projects come with them.
    pub buckets: Vec<String>,
    pub limits: Limits,
    /// Keep the content of emails in memory; otherwise their hash and size only, and they cannot
    /// be read back.
    pub keep_bodies: bool,
    /// Take `Content-Encoding: gzip`, and say so in every answer. Spec: RFC 9110 §12.5.3.
    pub accepts_gzip: bool,
    /// Answer `bucket-sync-state` with an `ETag` and honor `If-Match` and `If-None-Match`. The
    /// original does not, as far as is known.
    pub conditional_writes: bool,
    /// Show these tags as weak ones, as what compresses on the way makes them. Spec: RFC 9110
    /// §8.8.1.
    pub weak_tags: bool,
    /// Texts beside the tokens that must not be in a request: a password of another server.
    pub watched: Vec<Secret>,
    /// Number from which the chances of faults follow.
    pub seed: u64,
    /// Pause before each reply.
    pub latency: Duration,
    pub clock: Arc<dyn Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            transport: Transport::Plain,
            base_path: String::new(),
            tokens: vec![Token::new(Self::TOKEN)],
            buckets: vec![Self::BUCKET.to_owned()],
            limits: Limits::default(),
            keep_bodies: true,
            accepts_gzip: false,
            conditional_writes: false,
            weak_tags: false,
            watched: Vec::new(),
            seed: 1,
            latency: Duration::ZERO,
            clock: Arc::new(SystemClock),
        }
    }
}

impl Options {
    /// The token that there is unless others are given; it may do everything.
    pub const TOKEN: &str = "simulated-platform-token";
    /// The bucket that there is unless others are given.
    pub const BUCKET: &str = "example/mail";
}

/// How much is taken at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a body after decompression; more is answered with 413.
    pub max_body: u64,
    /// Most emails in one upload; more is answered with 400.
    pub max_emails: usize,
    /// Most emails in one page; more is answered with 400.
    pub max_page: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // The numbers of the original are not published. An appliance sends at most 1,000 emails
        // at once; the official client asks for pages of at most 256.
        Self { max_body: 512 * 1024 * 1024, max_emails: 1000, max_page: 256 }
    }
}

/// An API token, and what its owner may do.
#[derive(Clone, Debug)]
pub struct Token {
    pub secret: Secret,
    /// Permissions in every project, such as `buckets-append`; `None`: everything.
    pub permissions: Option<BTreeSet<String>>,
}

impl Token {
    /// A token that may do everything.
    pub fn new(secret: &str) -> Self {
        Self { secret: secret.into(), permissions: None }
    }

    #[must_use]
    pub fn only(mut self, permissions: &[&str]) -> Self {
        self.permissions = Some(permissions.iter().map(|&name| name.to_owned()).collect());
        self
    }

    pub(crate) fn allows(&self, permission: &str) -> bool {
        self.permissions.as_ref().is_none_or(|own| own.contains(permission))
    }
}
