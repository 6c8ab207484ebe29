//! A simulated platform: the HTTP API of Communications Mining for raw emails, as strict as its
//! published description, good enough for the official client.
//!
//! ```text
//! server ─▶ route ─▶ request, body ─▶ json, schema ─▶ ops ─▶ world ─▶ reply
//!  token    what?    faults           every field     what    stored   faults
//! ```
//!
//! Invariants:
//!
//! - A request is read and checked as a whole before anything of it is stored.
//! - A content is never in memory while it is read or sent, except as the one copy that is kept.
//! - An unknown field, a wrong type or a missing field is refused, and the message names it.

mod body;
mod config;
mod email;
mod fault;
mod json;
mod log;
mod ops;
mod options;
mod refusal;
mod reply;
mod request;
mod route;
mod schema;
mod server;
mod states;
mod world;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

pub use email::Email;
pub use fault::{Fault, FaultRule};
pub use log::{Logged, Op};
pub use options::{Limits, Options, Token};

pub use crate::tls::Transport;

use route::BucketName;
use server::Shared;
use world::{Bucket, SyncState};

use crate::{listener, tls};

/// A running platform. It stops when this is dropped.
///
/// Buckets are named `owner/name`. Where a bucket is given that there is not, it is made with its
/// project by what stores something, and is empty for what reads.
pub struct Platform {
    shared: Arc<Shared>,
    address: SocketAddr,
    origin: String,
    pem: Vec<u8>,
    directory: tempfile::TempDir,
    task: JoinHandle<()>,
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Platform {
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
        let (origin, acceptor, pem) = match identity {
            Some(identity) => {
                let origin = format!("https://localhost:{}", address.port());
                (origin, Some(identity.acceptor), identity.pem)
            }
            None => (format!("http://{address}"), None, Vec::new()),
        };
        let directory = tempfile::Builder::new().prefix("simulated-platform-").tempdir()?;
        std::fs::write(directory.path().join("ca.pem"), &pem)?;
        let buckets = options.buckets.clone();
        let shared = Arc::new(Shared::new(options));
        let task = tokio::spawn(listener::serve(listener, acceptor, Arc::clone(&shared)));
        let server = Self { shared, address, origin, pem, directory, task };
        buckets.iter().for_each(|full_name| server.add_bucket(full_name));
        Ok(server)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT` or `https://localhost:PORT`, with the base path: what the official
    /// client calls the endpoint.
    pub fn url(&self) -> String {
        format!("{}{}", self.origin, self.shared.options.base_path.trim_end_matches('/'))
    }

    /// What the appliance calls the endpoint: [`Self::url`] and `/api/`.
    pub fn endpoint(&self) -> String {
        format!("{}/api/", self.url())
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

    /// Adds a bucket and its project unless they are there.
    pub fn add_bucket(&self, full_name: &str) {
        self.change(full_name, |_| ());
    }

    /// Deletes a bucket and makes it again: empty, under another id.
    pub fn make_bucket_anew(&self, full_name: &str) {
        self.shared.world().buckets.remove(full_name);
        self.add_bucket(full_name);
    }

    /// The emails of a bucket in the order of their first arrival.
    pub fn emails(&self, bucket: &str) -> Vec<Email> {
        self.read(bucket, |bucket| bucket.emails.all()).unwrap_or_default()
    }

    pub fn email(&self, bucket: &str, id: &str) -> Option<Email> {
        self.read(bucket, |bucket| bucket.emails.one(id).cloned()).flatten()
    }

    pub fn email_count(&self, bucket: &str) -> usize {
        self.read(bucket, |bucket| bucket.emails.len()).unwrap_or_default()
    }

    /// A bucket as clients see it.
    pub fn bucket(&self, bucket: &str) -> Option<Value> {
        self.read(bucket, Bucket::show)
    }

    /// The sync state of a bucket as clients see it.
    pub fn sync_state(&self, bucket: &str) -> Option<Value> {
        self.read(bucket, |bucket| Some(bucket.sync_state.as_ref()?.fields.clone())).flatten()
    }

    /// Replaces the text of a bucket's sync state, as another appliance would.
    pub fn set_sync_state(&self, bucket: &str, text: &str) {
        self.change(bucket, |bucket| {
            let version = bucket.sync_state.as_ref().map_or(0, |state| state.version) + 1;
            let fields =
                json!({ "sync_state": text, "progress_timestamp": null, "last_synced_at": null });
            bucket.sync_state = Some(SyncState { fields, version });
        });
    }

    /// The keyed sync states of a bucket by their keys.
    pub fn keyed_sync_states(&self, bucket: &str) -> BTreeMap<String, Value> {
        self.read(bucket, |bucket| bucket.keyed_sync_states.clone()).unwrap_or_default()
    }

    /// Stores a configuration of appliances; its content is not checked.
    pub fn set_config(&self, owner: &str, key: &str, content: impl Into<Bytes>) {
        let mut world = self.shared.world();
        world.add_project(owner, self.shared.options.clock.now());
        world.configs.insert((owner.to_owned(), key.to_owned()), content.into());
    }

    pub fn config(&self, owner: &str, key: &str) -> Option<Bytes> {
        self.shared.world().configs.get(&(owner.to_owned(), key.to_owned())).cloned()
    }

    pub fn remove_config(&self, owner: &str, key: &str) {
        self.shared.world().configs.remove(&(owner.to_owned(), key.to_owned()));
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

    /// Replaces the tokens; those that are gone are revoked.
    pub fn set_tokens(&self, tokens: Vec<Token>) {
        self.shared.set_tokens(tokens);
    }

    pub fn set_limits(&self, limits: Limits) {
        self.shared.settings().limits = limits;
    }

    pub fn set_conditional_writes(&self, on: bool) {
        self.shared.settings().conditional_writes = on;
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

    /// How many requests there were for one operation.
    pub fn count(&self, op: Op) -> u64 {
        self.shared.log().count(op)
    }

    /// The requests that show a token or a watched text elsewhere than in `Authorization`.
    pub fn leaks(&self) -> Vec<Logged> {
        self.requests().into_iter().filter(|request| request.leaked).collect()
    }

    /// Connections accepted so far.
    pub fn connection_count(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// The most uploads of emails that were in progress at the same time.
    pub fn peak_uploads(&self) -> usize {
        self.shared.peak_uploads.load(Ordering::Relaxed)
    }

    fn read<T>(&self, bucket: &str, read: impl FnOnce(&Bucket) -> T) -> Option<T> {
        let mut world = self.shared.world();
        world.bucket(&BucketName::Full(bucket.to_owned())).ok().map(|bucket| read(bucket))
    }

    fn change(&self, full_name: &str, change: impl FnOnce(&mut Bucket)) {
        let (owner, name) = full_name.split_once('/').unwrap_or((full_name, "mail"));
        let now = self.shared.options.clock.now();
        let mut world = self.shared.world();
        world.add_project(owner, now);
        change(world.add_bucket(owner, name, now));
    }
}
