//! The service that all mailboxes share: applications with their budgets, connections, one call.

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroUsize,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use net::{
    Call, Client, Endpoint, HeaderMap, HeaderValue, Method, NetError, Payload, Response,
    TokenSource, header,
};
use record::{ItemId, MailboxId, Meter, Secret};
use tokio::time::Instant;

use super::{
    address::Base,
    budget::{Allowance, Budget},
    failure::{Signal, Status},
    mailbox::GraphMailbox,
    wire::Message,
};

/// Most bytes that are read of an answer that reports a failure.
const MAX_FAILURE: usize = 64 * 1024;
/// Most requests in one batch. Spec: "Combine multiple HTTP requests using JSON batching".
const BATCH: usize = 20;
/// Requests that Graph works on at the same time in one mailbox: a service that refuses the fifth
/// of a batch is sent batches of four.
const CONCURRENT: usize = 4;

/// How mailboxes are read. Plain values: where they come from is the caller's business.
#[derive(Clone, Debug)]
pub struct GraphSettings {
    /// Connections kept open to the server, shared by all mailboxes. The number of mailboxes that
    /// are worked on at the same time is a good one.
    pub connections: NonZeroUsize,
    /// Requests of one application in one mailbox.
    pub mailbox_allowance: Allowance,
    /// The cloud has delta queries. Where it refuses them, they are not used either.
    pub delta: bool,
    /// Hosts beside that of the endpoint which the links of the server may name, as they stand in
    /// a URL. They are followed at the endpoint: no token goes to another host.
    pub link_hosts: Vec<String>,
    /// Largest email that is kept, in bytes of its MIME form.
    pub max_email_size: u64,
    /// Where bodies beyond 256 KiB wait, as files without a name.
    pub spool_dir: PathBuf,
    /// Is told of each request.
    pub meter: Arc<dyn Meter>,
}

/// One app registration.
#[derive(Clone, Debug)]
pub struct Application {
    /// For messages: the client id.
    pub name: String,
    /// `None` for a server without sign-in.
    pub token: Option<Arc<TokenSource>>,
    /// Requests for all mailboxes together.
    pub allowance: Allowance,
}

/// Microsoft Graph as one fleet of mailboxes sees it.
#[derive(Debug)]
pub struct Graph {
    pub(super) settings: GraphSettings,
    pub(super) base: Base,
    client: Client,
    applications: Vec<Registered>,
    /// What this service turned out not to do. Learned once, for all mailboxes.
    pub(super) abilities: Abilities,
    /// Pages that were listed last, newest at the end.
    remembered: Mutex<VecDeque<Remembered>>,
}

#[derive(Debug)]
struct Registered {
    application: Application,
    budget: Budget,
    /// The server asked the application to be quiet until then.
    paused_until: Mutex<Option<Instant>>,
}

#[derive(Debug)]
pub(super) struct Abilities {
    /// Delta queries.
    delta: AtomicBool,
    /// Extended properties in listings of messages.
    message_properties: AtomicBool,
    /// Extended properties and a choice of properties in listings of folders.
    folder_properties: AtomicBool,
    /// Emails in batches, in a form that can be read.
    batched_emails: AtomicBool,
    /// Requests of one mailbox in one batch.
    batch: AtomicUsize,
}

/// What a mailbox's latest page told of its messages.
#[derive(Debug)]
struct Remembered {
    mailbox: MailboxId,
    page: HashMap<ItemId, Message>,
}

/// A question.
pub(super) struct Ask {
    pub(super) operation: &'static str,
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    /// Largest page, in entries.
    pub(super) page: Option<usize>,
    pub(super) json: Option<Bytes>,
    /// Requests that it counts for.
    pub(super) weight: u32,
}

impl Ask {
    pub(super) fn get(operation: &'static str, target: String) -> Self {
        Self { operation, method: Method::GET, target, page: None, json: None, weight: 1 }
    }

    pub(super) fn post(operation: &'static str, target: String, json: Vec<u8>) -> Self {
        let json = Some(Bytes::from(json));
        Self { operation, method: Method::POST, target, page: None, json, weight: 1 }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        // Ids that survive a move within the mailbox. Asked for each time: a link does not
        // remember it. Spec: "Obtain immutable identifiers for Outlook resources".
        let prefer = match self.page {
            Some(page) => format!("IdType=\"ImmutableId\", odata.maxpagesize={page}"),
            None => "IdType=\"ImmutableId\"".to_owned(),
        };
        headers.extend(HeaderValue::try_from(prefer).ok().map(|value| (PREFER, value)));
        if self.json.is_some() {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
        }
        headers
    }
}

/// RFC 7240 §2.
const PREFER: net::HeaderName = net::HeaderName::from_static("prefer");

impl Graph {
    /// `endpoint` is the base of all addresses, with the version:
    /// `https://graph.microsoft.com/v1.0`. Each mailbox belongs to one of `applications`, the same
    /// one as long as their number is.
    pub fn new(
        endpoint: Endpoint,
        applications: Vec<Application>,
        settings: GraphSettings,
    ) -> Arc<Self> {
        let registered = |application: Application| Registered {
            budget: Budget::new(application.allowance),
            application,
            paused_until: Mutex::default(),
        };
        let applications: Vec<Registered> = applications.into_iter().map(registered).collect();
        let smallest = applications.iter().map(|app| app.budget.allowance().at_once()).min();
        let batch = smallest.unwrap_or(BATCH).min(settings.mailbox_allowance.at_once()).min(BATCH);
        Arc::new(Self {
            base: Base::new(&endpoint, &settings.link_hosts),
            client: Client::new(endpoint, settings.connections),
            applications,
            abilities: Abilities {
                delta: AtomicBool::new(settings.delta),
                message_properties: AtomicBool::new(true),
                folder_properties: AtomicBool::new(true),
                batched_emails: AtomicBool::new(true),
                batch: AtomicUsize::new(batch),
            },
            remembered: Mutex::default(),
            settings,
        })
    }

    /// A reader for one mailbox. Makes no request.
    pub fn mailbox(self: &Arc<Self>, id: &MailboxId) -> GraphMailbox {
        GraphMailbox::new(Arc::clone(self), id.clone(), self.number_of(id))
    }

    /// The application that reads a mailbox.
    pub fn application_of(&self, mailbox: &MailboxId) -> Option<&Application> {
        self.applications.get(self.number_of(mailbox)).map(|app| &app.application)
    }

    fn number_of(&self, mailbox: &MailboxId) -> usize {
        let count = u64::try_from(self.applications.len()).unwrap_or(1).max(1);
        usize::try_from(fnv(mailbox.as_str().as_bytes()) % count).unwrap_or(0)
    }

    pub(super) fn host(&self) -> &str {
        self.client.endpoint().name()
    }

    /// There are mailboxes of other applications.
    pub(super) fn is_shared(&self) -> bool {
        self.applications.len() > 1
    }

    /// How long the server wants application number `app` to be quiet.
    pub(super) fn pause(&self, app: usize) -> Option<Duration> {
        let paused_until = &self.applications.get(app)?.paused_until;
        remaining(*paused_until.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn pause_for(&self, app: usize, pause: Duration) {
        let Some(app) = self.applications.get(app) else { return };
        let mut until = app.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        // Of several answers on their way, the longest pause counts.
        *until = (*until).max(Some(Instant::now() + pause));
    }

    /// A token for application number `app`, another one than `refused`; `None` for a server
    /// without sign-in.
    ///
    /// # Errors
    ///
    /// There is none to be had, or no application.
    pub(super) async fn token(
        &self,
        app: usize,
        refused: Option<&Secret>,
    ) -> Result<Option<Secret>, Signal> {
        let Some(Registered { application, .. }) = self.applications.get(app) else {
            return Err(Signal::Net(NetError::TokenRefused {
                host: self.host().to_owned(),
                code: "no application".to_owned(),
                hint: Some("Configure the app registration that reads the mailboxes."),
            }));
        };
        let Some(source) = &application.token else { return Ok(None) };
        let token = match refused {
            Some(refused) => source.renew(refused).await,
            None => source.token().await,
        };
        token.map(Some).map_err(Signal::Net)
    }

    /// Sends a question for application number `app`, within its budget.
    ///
    /// # Errors
    ///
    /// Any answer but a success.
    pub(super) async fn send(
        &self,
        app: usize,
        ask: &Ask,
        token: Option<&Secret>,
    ) -> Result<Response<'static>, Signal> {
        let mut headers = ask.headers();
        if let Some(token) = token {
            let bearer = net::bearer(token).ok_or_else(|| {
                Signal::Unreadable("the token holds characters that no header may have".into())
            })?;
            headers.insert(header::AUTHORIZATION, bearer);
        }
        if let Some(app) = self.applications.get(app) {
            app.budget.spend(ask.weight).await;
        }
        self.answer(self.call(ask, headers).await).await
    }

    async fn call(&self, ask: &Ask, headers: HeaderMap) -> Result<Response<'static>, NetError> {
        let mut call = Call::new(ask.method.clone(), ask.target.clone());
        call.headers = headers;
        call.gzip = true;
        if let Some(json) = &ask.json {
            call.payload = Payload::Bytes(json.clone());
        }
        self.client.send(call).await
    }

    async fn answer(
        &self,
        response: Result<Response<'static>, NetError>,
    ) -> Result<Response<'static>, Signal> {
        let mut response = response.map_err(Signal::Net)?;
        if response.status.as_u16() == 200 {
            return Ok(response);
        }
        tracing::debug!(
            http.status = response.status.as_u16(),
            "Graph refused a request: {}",
            response.diagnostics(),
        );
        let body = response.body.collect(MAX_FAILURE).await.unwrap_or_default();
        let status = Status::new(response.status.as_u16(), &response.headers, &body);
        Err(Signal::Status(Box::new(status)))
    }

    /// Keeps what a page told of its messages until they are fetched. The pages of as many
    /// mailboxes are kept as are worked on at the same time.
    pub(super) fn remember(&self, mailbox: &MailboxId, page: HashMap<ItemId, Message>) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.retain(|known| known.mailbox != *mailbox);
        if page.is_empty() {
            return;
        }
        if remembered.len() >= self.settings.connections.get() {
            remembered.pop_front();
        }
        remembered.push_back(Remembered { mailbox: mailbox.clone(), page });
    }

    /// What is remembered of `items`.
    pub(super) fn recall<'i>(
        &self,
        mailbox: &MailboxId,
        items: impl Iterator<Item = &'i ItemId>,
    ) -> HashMap<ItemId, Message> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = remembered.iter().find(|known| known.mailbox == *mailbox) else {
            return HashMap::new();
        };
        items.filter_map(|id| Some((id.clone(), known.page.get(id)?.clone()))).collect()
    }
}

impl Abilities {
    pub(super) fn delta(&self) -> bool {
        self.delta.load(Ordering::Relaxed)
    }

    pub(super) fn message_properties(&self) -> bool {
        self.message_properties.load(Ordering::Relaxed)
    }

    pub(super) fn folder_properties(&self) -> bool {
        self.folder_properties.load(Ordering::Relaxed)
    }

    pub(super) fn batched_emails(&self) -> bool {
        self.batched_emails.load(Ordering::Relaxed)
    }

    pub(super) fn batch(&self) -> usize {
        self.batch.load(Ordering::Relaxed)
    }

    pub(super) fn without_delta(&self, host: &str) {
        if self.delta.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                "`{host}` has no delta queries: folders are polled by the time of receipt, and \
                 read as a whole now and then"
            );
        }
    }

    pub(super) fn without_message_properties(&self, host: &str) {
        if self.message_properties.swap(false, Ordering::Relaxed) {
            tracing::info!("`{host}` lists no extended properties, they are asked for by message");
        }
    }

    pub(super) fn without_folder_properties(&self, host: &str) {
        if self.folder_properties.swap(false, Ordering::Relaxed) {
            tracing::info!("`{host}` lists no extended properties of folders");
        }
    }

    pub(super) fn without_batched_emails(&self, host: &str) {
        if self.batched_emails.swap(false, Ordering::Relaxed) {
            tracing::info!(
                "`{host}` sends no readable emails in batches, they are asked for singly"
            );
        }
    }

    pub(super) fn smaller_batches(&self, host: &str) {
        if self.batch.fetch_min(CONCURRENT, Ordering::Relaxed) > CONCURRENT {
            tracing::info!("`{host}` refuses long batches, they hold {CONCURRENT} requests now");
        }
    }
}

/// What is left of a pause.
pub(super) fn remaining(until: Option<Instant>) -> Option<Duration> {
    let left = until?.saturating_duration_since(Instant::now());
    (!left.is_zero()).then_some(left)
}

/// FNV-1a, 64 bits: spreads mailboxes over applications, and shortens ids. A change would give
/// mailboxes to other applications.
pub(super) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // A change would move every mailbox to another app registration.
    #[test]
    fn the_hash_never_changes() {
        assert_eq!(fnv(b""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(fnv(b"foobar"), 0x8594_4171_F739_67E8);
    }
}
