//! Settings of how people come in, and how much each gets.

use chrono::TimeDelta;
use net::egress::Network;
use record::Secret;

use crate::{oidc::settings::Oidc, rate::RateLimit, site::PublicUrl};

/// How people come in.
#[derive(Clone)]
pub struct People {
    /// The address that people type, where it is not the one that the server listens on.
    pub public_url: Option<PublicUrl>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// A session ends when it was not used for so long.
    pub session_idle: TimeDelta,
    /// It ends after this time however much it is used.
    pub session_lifetime: TimeDelta,
    /// What each token and each session gets.
    pub rate: RateLimit,
    pub oidc: Option<Oidc>,
}

impl Default for People {
    fn default() -> Self {
        Self {
            public_url: None,
            trusted_proxies: Vec::new(),
            // A working day without signing in twice; a week without a password.
            session_idle: TimeDelta::hours(12),
            session_lifetime: TimeDelta::days(7),
            rate: RateLimit::default(),
            oidc: None,
        }
    }
}

/// The address of a page that uses a one-time link. The secret is in the fragment, which browsers
/// send to nobody, so that it is in no log of a proxy.
pub fn link_url(public_url: &str, link: &Secret) -> String {
    format!("{}/link#{}", public_url.trim_end_matches('/'), link.reveal())
}
