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
mod account;
mod again;
mod attempts;
mod attribute_filter;
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
mod cookies;
mod cross_site;
mod csv_upload;
mod datasets;
mod emails;
mod first_start;
mod form;
mod integrations;
mod json;
mod links;
mod mail;
mod metrics;
mod oidc;
mod openapi;
mod original;
mod own_tokens;
mod passwords;
mod permissions;
mod places;
mod projects;
mod public;
mod quotas;
mod rate;
mod raw_emails;
mod raw_upload;
mod refusal;
mod reply;
mod request;
mod role_table;
mod roles;
mod routes;
mod schema;
mod search;
mod search_reply;
mod search_volume;
mod server;
mod settings;
mod sign_in;
mod site;
mod sources;
mod states;
mod sweep;
mod throttle;
mod tls;
mod ui;
mod uploads;
mod user_access;
mod users;
mod volume;
mod watched;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use openssl::ssl::SslAcceptor;
use record::Secret;
use vault::Vault;

pub use configs::ENDPOINTS as CONFIG_ENDPOINTS;
pub use conversion::{Convert, Raw};
pub use first_start::{FirstStart, first_start};
pub use links::{link_kind, link_lifetime};
pub use net::egress::Network;
pub use oidc::settings::{GroupRole, NewUsers, Oidc};
pub use openapi::{openapi, openapi_text};
pub use permissions::{is_global, is_of_projects};
pub use rate::RateLimit;
pub use role_table::{ROLES, Role, Scope, role_named};
pub use routes::routes;
pub use server::Server;
pub use settings::{People, link_url};
pub use site::{BadPublicUrl, PublicUrl};
pub use tls::{BadCertificate, acceptor};
pub use users::{is_email, is_username};

/// Id and name of the one tenant.
const TENANT: (&str, &str) = ("0000000000000001", "tributary");

/// Name of the setting in which a server leaves its address to the commands.
pub const PUBLIC_URL: &str = "public_url";

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
    pub people: People,
    /// Seals credentials; none are kept without it.
    pub vault: Option<Arc<Vault>>,
    /// Tries credentials; none are tried without it.
    pub exchange: Option<Arc<dyn Exchange>>,
    /// What makes comments of emails; `None`: [`Raw::convert`].
    pub convert: Option<Convert>,
    /// How long one email may take to be read; one that takes longer is set aside.
    pub convert_time: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            base_path: String::new(),
            limits: Limits::default(),
            check_config: None,
            people: People::default(),
            vault: None,
            exchange: None,
            convert: None,
            convert_time: conversion::TIME,
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
