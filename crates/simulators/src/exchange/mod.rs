//! A simulated Exchange server: Exchange Web Services and Microsoft Graph over the same
//! mailboxes, good enough for strangers.
//!
//! ```text
//! server ─▶ auth ─▶ answer ─▶ ops ─▶ render ─▶ reply
//!  TLS      who?    faults    what   elements  base64 while it is sent
//!    └────▶ graph: the same for requests below /v1.0, see there
//! ```
//!
//! Invariants:
//!
//! - Every change of a mailbox takes the next sequence number, and a folder's log holds one entry
//!   for each item: its latest change. A page of changes costs what it shows.
//! - A first listing follows the order of arrival, which no later change disturbs: whoever follows
//!   it to the end and goes on from there has seen every item.
//! - An item gets a new id whenever it moves, and keeps its search key; a copy shares it.
//! - A content is never in a reply as a whole: it is read and encoded piece by piece.

mod answer;
mod auth;
mod claims;
mod content;
mod fault;
mod folder;
mod graph;
mod id;
mod item;
mod log;
mod mailbox;
mod mailboxes;
mod mime;
mod oauth;
mod ops;
mod options;
mod render;
mod reply;
mod server;
mod shape;
mod soap;
mod sync_state;
mod truth;
mod world;
mod xml;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use tokio::{net::TcpListener, task::JoinHandle};

pub use content::{Content, Large};
pub use fault::{Fault, FaultRule, Forbidden, Place, Shape};
pub use folder::FolderSet;
pub use graph::{GraphAppUsage, GraphOptions, GraphUsage};
pub use item::Delivery;
pub use log::{Logged, Op};
pub use options::{App, Auth, ChannelBinding, Options, Rights, User, Version};
pub use truth::TrueItem;

pub use crate::tls::Transport;

use oauth::Authority;
use server::Shared;

use crate::{listener, tls};

/// A running server. It stops when this is dropped.
pub struct Exchange {
    shared: Arc<Shared>,
    address: SocketAddr,
    origin: String,
    pem: Vec<u8>,
    directory: tempfile::TempDir,
    task: JoinHandle<()>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Exchange {
    /// Starts a server. It runs on the runtime that this is called on.
    ///
    /// # Errors
    ///
    /// The address is taken, or a file of the certificate cannot be read.
    pub async fn start(options: Options) -> Result<Self> {
        let identity = tls::identity(&options.transport)?;
        let listener = TcpListener::bind(options.bind)
            .await
            .with_context(|| format!("could not listen on `{}`", options.bind))?;
        let address = listener.local_addr()?;
        let scheme = if identity.is_some() { "https" } else { "http" };
        let origin = format!("{scheme}://localhost:{}", address.port());
        let authority = Authority::new(&options, &origin)?;
        let directory = tempfile::Builder::new().prefix("simulated-exchange-").tempdir()?;
        let (acceptor, pem, der) = match identity {
            Some(identity) => (Some(identity.acceptor), identity.pem, Some(identity.der)),
            None => (None, Vec::new(), None),
        };
        std::fs::write(directory.path().join("ca.pem"), &pem)?;
        let shared = Arc::new(Shared::new(options, authority, der));
        let task = tokio::spawn(listener::serve(listener, acceptor, Arc::clone(&shared)));
        Ok(Self { shared, address, origin, pem, directory, task })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://localhost:PORT`
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// `https://localhost:PORT/EWS/Exchange.asmx`
    pub fn ews_url(&self) -> String {
        format!("{}/EWS/Exchange.asmx", self.origin)
    }

    /// `https://localhost:PORT/v1.0`: Microsoft Graph over the same mailboxes.
    pub fn graph_url(&self) -> String {
        format!("{}/v1.0", self.origin)
    }

    /// What each app did to each mailbox over Graph.
    pub fn graph_usage(&self) -> Vec<GraphUsage> {
        self.shared.throttle.usage()
    }

    /// What each app did over Graph, in all mailboxes.
    pub fn graph_app_usage(&self) -> Vec<GraphAppUsage> {
        self.shared.throttle.app_usage()
    }

    /// What the appliance calls `auth_oauth_authority`: `https://localhost:PORT/TENANT/`.
    pub fn authority_url(&self) -> String {
        format!("{}/{}/", self.origin, self.shared.options.tenant)
    }

    /// The `aud` that assertions must have.
    pub fn token_url(&self) -> &str {
        &self.shared.authority.token_url
    }

    /// The certificate to trust; empty without TLS.
    pub fn ca_pem(&self) -> &[u8] {
        &self.pem
    }

    /// A file with [`Self::ca_pem`], which lives as long as the server.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// A directory of the server's own, which lives as long as it does.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The time by the server's clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.shared.options.clock.now()
    }

    /// Puts a fault, or a rule for one, into force.
    pub fn fault(&self, rule: impl Into<FaultRule>) {
        self.shared.faults.add(rule.into());
    }

    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// Strikes that are still to come from rules with an end.
    pub fn outstanding_faults(&self) -> usize {
        self.shared.faults.outstanding()
    }

    /// The requests so far, oldest first; of a great many, the latest.
    pub fn requests(&self) -> Vec<Logged> {
        self.shared.log().entries()
    }

    /// Forgets the requests so far; [`Self::request_count`] goes on.
    pub fn clear_requests(&self) {
        self.shared.log().clear();
    }

    pub fn request_count(&self) -> u64 {
        self.shared.log().total()
    }

    /// Connections accepted so far.
    pub fn connection_count(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Tokens issued so far.
    pub fn token_count(&self) -> u64 {
        self.shared.authority.count()
    }

    /// Ends all tokens that were issued so far: 401 with `x-ms-diagnostics: 2000002`.
    pub fn revoke_tokens(&self) {
        self.shared.authority.revoke_all();
    }

    /// Refuses every token with this `x-ms-diagnostics`, such as `2000003;reason="…"`; `None`
    /// accepts them again.
    pub fn refuse_tokens(&self, diagnostics: Option<&'static str>) {
        self.shared.authority.refuse_tokens(diagnostics);
    }
}

/// An id of EWS as Graph writes it.
pub fn rest_id(id: &str) -> String {
    graph::rest_id(id)
}

/// The fields of a message's header in order, unfolded, as text.
pub(crate) fn header_fields(head: &[u8]) -> Vec<(String, String)> {
    mime::fields(head)
}
