//! One mailbox as a [`Source`].

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use net::{NetError, Response};
use record::{
    Checkpoint, Entry, Fetched, Folder, ItemId, MailboxId, Page, Peer, Position, Protocol, Scope,
    Source, SourceError, Survey,
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{
    budget::Window,
    failure::{Context, Signal, Status, Subject, Verdict, judge, judge_status},
    service::{Ask, Graph, remaining},
    wire,
};
use crate::{
    body::{Limits, MEMORY_PER_BODY},
    run::ItemVerdict,
};

/// Most memory that the bodies of one `fetch` take; what comes after them goes to files.
const MEMORY_PER_FETCH: usize = 16 * MEMORY_PER_BODY;
/// Most bytes of an answer that is read as a whole.
const MAX_JSON: usize = 8 * 1024 * 1024;

/// Reads one mailbox.
///
/// Between calls it keeps how many requests it has made lately, and nothing that the results
/// depend on.
#[derive(Debug)]
pub struct GraphMailbox {
    pub(super) service: Arc<Graph>,
    pub(super) id: MailboxId,
    /// Number of its application.
    app: u32,
    /// Its server refused extended properties in listings.
    pub(super) plain_listings: bool,
    paused_until: Option<Instant>,
    since: Instant,
    spent: Window,
}

impl GraphMailbox {
    pub(super) fn new(service: Arc<Graph>, id: MailboxId, app: usize) -> Self {
        Self {
            service,
            id,
            app: u32::try_from(app).unwrap_or(0),
            plain_listings: false,
            paused_until: None,
            since: Instant::now(),
            spent: Window::default(),
        }
    }

    fn app(&self) -> usize {
        usize::try_from(self.app).unwrap_or(0)
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            spool_dir: self.service.settings.spool_dir.clone(),
            max_size: self.service.settings.max_email_size,
            memory: MEMORY_PER_FETCH,
        }
    }

    /// The path of something in this mailbox, below the base: `/users/…/messages/…`.
    pub(super) fn path(&self, segments: &[&str]) -> String {
        let mut all = vec!["users", self.id.as_str()];
        all.extend_from_slice(segments);
        super::address::path(&all)
    }

    /// Its whole path.
    pub(super) fn target(&self, segments: &[&str]) -> String {
        self.service.base.target(&self.path(segments))
    }

    /// Asks, unless the server or the budget want a pause, and hands out the answer as it comes. A
    /// token that is refused is replaced once.
    pub(super) async fn open(&mut self, ask: &Ask) -> Result<Response<'static>, Refused> {
        let mut refused = None;
        loop {
            if let Some(err) = self.pause() {
                return Err(Refused::Pause(err));
            }
            let allowance = self.service.settings.mailbox_allowance;
            if let Err(wait) = self.spent.take(allowance, self.since.elapsed(), ask.weight) {
                tracing::info!(mailbox.id = %self.id, "`{}` has used up its requests", self.id);
                return Err(Refused::Pause(self.throttled(Scope::Mailbox, wait)));
            }
            let began = Instant::now();
            let mut token = None;
            let answer = match self.service.token(self.app(), refused.as_ref()).await {
                Ok(some) => {
                    token = some;
                    self.service.send(self.app(), ask, token.as_ref()).await
                }
                Err(signal) => Err(signal),
            };
            let code = match &answer {
                Ok(_) => "200".to_owned(),
                Err(signal) => signal.code(),
            };
            let meter = &self.service.settings.meter;
            meter.request(Peer::Source, ask.operation, &code, began.elapsed());
            match (answer, token) {
                (Err(Signal::Status(status)), Some(token))
                    if status.status == 401 && refused.is_none() =>
                {
                    tracing::debug!(mailbox.id = %self.id, "A token was refused, it is replaced");
                    refused = Some(token);
                }
                (answer, _) => return answer.map_err(Refused::Signal),
            }
        }
    }

    /// Asks, and reads the answer as a whole.
    pub(super) async fn ask<T: DeserializeOwned>(&mut self, ask: &Ask) -> Result<T, Refused> {
        let mut response = self.open(ask).await?;
        let json = response.body.collect(MAX_JSON).await.map_err(|err| match err {
            NetError::TooLarge { .. } => Refused::Signal(Signal::TooLarge),
            err => Refused::Signal(Signal::Cut(err)),
        })?;
        wire::parse(&json).map_err(|err| {
            let status = Status::new(200, &response.headers, &json);
            Refused::Signal(if status.is_html {
                Signal::Status(Box::new(status))
            } else {
                Signal::Unreadable(Box::new(err))
            })
        })
    }

    fn context<'a>(&'a self, operation: &'static str, subject: Subject<'a>) -> Context<'a> {
        Context { host: self.service.host(), operation, subject }
    }

    /// What a failed call means; a pause that the server asks for is remembered.
    pub(super) fn verdict(
        &mut self,
        refused: Refused,
        operation: &'static str,
        subject: Subject<'_>,
    ) -> Verdict {
        let verdict = match refused {
            Refused::Pause(err) => return Verdict::Error(err),
            Refused::Signal(signal) => judge(signal, self.context(operation, subject)),
        };
        match verdict {
            Verdict::Error(err) => Verdict::Error(self.heed(err)),
            item => item,
        }
    }

    /// What the answer for one item of a batch means.
    pub(super) fn item_verdict(&self, status: &Status, operation: &'static str) -> Verdict {
        judge_status(status, self.context(operation, Subject::Items(1)))
    }

    /// The error of a failed call that concerns more than one item.
    pub(super) fn error(
        &mut self,
        refused: Refused,
        operation: &'static str,
        subject: Subject<'_>,
    ) -> SourceError {
        let verdict = self.verdict(refused, operation, subject);
        self.error_of(verdict)
    }

    pub(super) fn error_of(&self, verdict: Verdict) -> SourceError {
        match verdict {
            Verdict::Error(err) => err,
            Verdict::Item { what: ItemVerdict::Cut, detail, .. } => self.unreachable(detail),
            Verdict::Item { code, .. } => SourceError::Unavailable {
                host: self.service.host().to_owned(),
                code,
                scope: Scope::Mailbox,
            },
        }
    }

    pub(super) fn unreachable(&self, detail: String) -> SourceError {
        SourceError::Unreachable { host: self.service.host().to_owned(), cause: detail.into() }
    }

    fn throttled(&self, scope: Scope, pause: Duration) -> SourceError {
        SourceError::Throttled {
            host: self.service.host().to_owned(),
            scope,
            retry_after: Some(pause),
        }
    }

    /// The pause that the server asked for, if it is not over. Asking again before its end would
    /// prolong it.
    fn pause(&self) -> Option<SourceError> {
        if let Some(left) = self.service.pause(self.app()) {
            return Some(self.narrowed(self.throttled(Scope::Service, left)));
        }
        Some(self.throttled(Scope::Mailbox, remaining(self.paused_until)?))
    }

    /// Remembers how long the server wants to be left alone.
    pub(super) fn heed(&mut self, err: SourceError) -> SourceError {
        if let SourceError::Throttled { scope, retry_after: Some(pause), .. } = &err {
            match scope {
                Scope::Service => self.service.pause_for(self.app(), *pause),
                Scope::Mailbox => self.paused_until = Some(Instant::now() + *pause),
            }
        }
        self.narrowed(err)
    }

    /// What concerns one application is no reason to stop the mailboxes of the others.
    fn narrowed(&self, mut err: SourceError) -> SourceError {
        if !self.service.is_shared() {
            return err;
        }
        match &mut err {
            SourceError::Throttled { scope, .. }
            | SourceError::Unavailable { scope, .. }
            | SourceError::Denied { scope, .. } => *scope = Scope::Mailbox,
            SourceError::Unauthorized { .. } => {
                let application = self.service.application_of(&self.id);
                let name = application.map(|app| app.name.as_str()).unwrap_or_default();
                let hint = format!(
                    "Check the secret or certificate of the app registration `{name}`, which reads \
                     this mailbox."
                );
                return SourceError::Denied {
                    code: format!("credentials: {}", record::Chain(&err)),
                    scope: Scope::Mailbox,
                    hint: Some(hint),
                };
            }
            _ => {}
        }
        err
    }

    /// Asks something that every mailbox can answer, to learn whether the server is well.
    pub(super) async fn probe(&mut self) -> Result<(), SourceError> {
        let target = self.target(&["mailFolders", "inbox"]) + "?$select=id";
        match self.ask::<wire::FolderRow>(&Ask::get("mailFolders", target)).await {
            Ok(_) => Ok(()),
            Err(refused) => Err(self.error(refused, "mailFolders", Subject::Mailbox)),
        }
    }
}

/// A call without an answer that could be read.
#[derive(Debug)]
pub(super) enum Refused {
    /// It was not made: a pause is in force.
    Pause(SourceError),
    Signal(Signal),
}

impl Refused {
    /// The status with which the server refused.
    pub(super) fn status(&self) -> Option<&Status> {
        match self {
            Self::Signal(Signal::Status(status)) => Some(status),
            _ => None,
        }
    }
}

#[async_trait]
impl Source for GraphMailbox {
    fn protocol(&self) -> Protocol {
        Protocol::Graph
    }

    fn marks_are_proof(&self) -> bool {
        false
    }

    async fn survey(&mut self, known: &Checkpoint, thorough: bool) -> Result<Survey, SourceError> {
        self.look_around(known, thorough).await
    }

    async fn list(
        &mut self,
        folder: &Folder,
        from: Option<&Position>,
        limit: usize,
    ) -> Result<Page, SourceError> {
        self.list_page(folder, from, limit).await
    }

    async fn fetch(
        &mut self,
        folder: &Folder,
        entries: &[Entry],
    ) -> Result<Vec<Fetched>, SourceError> {
        self.fetch_entries(folder, entries).await
    }

    async fn translate(
        &mut self,
        from: Protocol,
        items: &[ItemId],
    ) -> Result<Vec<Option<ItemId>>, SourceError> {
        self.translate_ids(from, items).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_mailbox_is_small() {
        assert!(size_of::<GraphMailbox>() < 256, "{}", size_of::<GraphMailbox>());
    }
}
