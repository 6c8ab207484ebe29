//! The platform's HTTP API: routes that mirror its URLs, and who may use them.
//!
//! ```text
//! server ─▶ routes ─▶ access ─▶ request, body ─▶ json, schema ─▶ projects, buckets, emails, … ─▶ store
//!           what?     who may?  received whole   every field      one transaction
//! ```
//!
//! Invariants:
//!
//! - What has no row in `routes` is not served, and a row says who may have it.
//! - A request is read and checked as a whole before anything of it is stored, and it is stored
//!   as a whole or not at all.
//! - An unknown field, a wrong type or a missing field is refused, and the message names it.
//! - A success means that what was sent is on the disk.

mod access;
mod again;
mod audit;
mod body;
mod buckets;
mod call;
mod comment_change;
mod comment_files;
mod comment_filter;
mod comment_pages;
mod comment_shape;
mod comments;
mod configs;
mod conversion;
mod datasets;
mod emails;
mod first_start;
mod form;
mod integrations;
mod json;
mod mail;
mod metrics;
mod openapi;
mod original;
mod permissions;
mod projects;
mod quotas;
mod raw_emails;
mod refusal;
mod reply;
mod request;
mod routes;
mod schema;
mod server;
mod sources;
mod states;
mod sweep;
mod tls;
mod ui;
mod users;
mod volume;

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use openssl::ssl::SslAcceptor;
use record::Secret;
use vault::Vault;

pub use conversion::Convert;
pub use first_start::first_token;
pub use openapi::{openapi, openapi_text};
pub use permissions::{is_global, is_of_projects};
pub use routes::routes;
pub use server::Server;
pub use tls::{BadCertificate, acceptor};

/// Id and name of the one tenant.
const TENANT: (&str, &str) = ("0000000000000001", "tributary");

/// Tells what is wrong with the configuration of an appliance.
pub type CheckConfig = Arc<dyn Fn(&[u8]) -> Result<(), String> + Send + Sync>;

/// One step of the way to a mailbox.
pub struct Step {
    /// A few words: `server tls`.
    pub check: String,
    /// `ok`, `warn` or `fail`.
    pub outcome: &'static str,
    pub detail: String,
    /// What to do, as a complete sentence.
    pub advice: Option<String>,
}

/// Whoever can read mailboxes: this crate knows no protocol.
#[async_trait]
pub trait Exchange: Send + Sync {
    /// Goes the way that mail would come, step by step, with the configuration of an appliance;
    /// nothing is fetched and nothing is written. The error is what is wrong with the
    /// configuration.
    async fn try_out(&self, config: Secret) -> Result<Vec<Step>, String>;
}

/// Settings of the server.
#[derive(Clone)]
pub struct Options {
    pub bind: SocketAddr,
    /// `None`: no TLS.
    pub tls: Option<SslAcceptor>,
    /// Path before every route, such as `/mail`; empty for none.
    pub base_path: String,
    pub limits: Limits,
    pub check_config: Option<CheckConfig>,
    /// Seals credentials; none are kept without it.
    pub vault: Option<Arc<Vault>>,
    /// Tries credentials; none are tried without it.
    pub exchange: Option<Arc<dyn Exchange>>,
    /// What makes comments of emails; `None`: [`comment::convert`].
    pub convert: Option<Convert>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            base_path: String::new(),
            limits: Limits::default(),
            check_config: None,
            vault: None,
            exchange: None,
            convert: None,
        }
    }
}

/// How much is taken at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a body after decompression; more is answered with 413.
    pub max_body: u64,
    /// Most emails in one upload.
    pub max_emails: usize,
    /// Most emails in one page.
    pub max_page: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // An appliance sends at most 1,000 emails at once, and an email can have 150 MB; the
        // official client asks for pages of at most 256.
        Self { max_body: 512 * 1024 * 1024, max_emails: 1000, max_page: 256 }
    }
}
