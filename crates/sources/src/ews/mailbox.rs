//! One mailbox as a [`Source`].

use std::sync::Arc;

use async_trait::async_trait;
use record::{
    Checkpoint, Entry, Fetched, Folder, FolderId, ItemId, MailboxId, Page, Peer, Position,
    Protocol, Scope, Source, SourceError, Survey, Uid,
};
use roxmltree::Document;
use tokio::time::Instant;

use super::{
    clean::clean,
    failure::{Context, Signal, Subject, Verdict, judge},
    reply::{self, Fault, ItemRow, Rejected},
    request::{Envelope, ItemShape, MAX_CHANGES, Version},
    service::{Ews, Failed, Received, or_web_page, remaining},
    stream::{Bodies, Malformed},
};
use crate::{
    body::{BodyFault, Limits, MEMORY_PER_BODY},
    run::ItemVerdict,
};

/// Most memory that the bodies of one `fetch` take; what comes after them goes to files.
const MEMORY_PER_FETCH: usize = 16 * MEMORY_PER_BODY;
/// Items that are asked for their keys at once.
const KEYS_AT_ONCE: usize = 100;
/// How often a call is repeated because the server had no connection left for it.
const MAX_SQUEEZES: u32 = 3;

/// Reads one mailbox.
///
/// Between calls it keeps what saves requests, and nothing that the results depend on: the
/// version that the server understands, and its primary address.
#[derive(Debug)]
pub struct EwsMailbox {
    pub(super) service: Arc<Ews>,
    pub(super) id: MailboxId,
    version: Version,
    /// The primary address, if the configured one is another.
    primary: Option<Box<str>>,
    paused_until: Option<Instant>,
    /// Folders that the server shows but does not let us read, and since when.
    pub(super) closed_folders: Vec<(FolderId, Instant)>,
}

/// A question to the server.
pub(super) struct Question<'a, T> {
    pub(super) operation: &'static str,
    pub(super) subject: Subject<'a>,
    pub(super) bodies: Bodies,
    pub(super) limits: Limits,
    pub(super) write: &'a (dyn Fn(Envelope<'_>) -> String + Send + Sync),
    pub(super) read: fn(&Document<'_>) -> Result<T, Rejected>,
}

/// What the server answered.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) value: T,
    pub(super) bodies: Vec<Result<record::Body, BodyFault>>,
    /// What is left of them.
    pub(super) limits: Limits,
    /// The connection broke after what is in `value`.
    pub(super) broken: Option<net::NetError>,
}

impl EwsMailbox {
    pub(super) fn new(service: Arc<Ews>, id: MailboxId) -> Self {
        let version = service.settings.version;
        Self { service, id, version, primary: None, paused_until: None, closed_folders: Vec::new() }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            spool_dir: self.service.settings.spool_dir.clone(),
            max_size: self.service.settings.max_email_size,
            memory: MEMORY_PER_FETCH,
        }
    }

    /// Asks a question, in words that the server understands: with a lower version or the
    /// primary address if it says so.
    pub(super) async fn ask<T>(&mut self, question: Question<'_, T>) -> Result<Answer<T>, Verdict> {
        let service = Arc::clone(&self.service);
        let configured = (self.version, self.primary.clone());
        let mut squeezes = 0;
        loop {
            if let Some(err) = self.pause() {
                return Err(Verdict::Error(err));
            }
            let mailbox = self.primary.as_deref().unwrap_or(self.id.as_str());
            let access = service.settings.access;
            let request = (question.write)(Envelope { version: self.version, access, mailbox });
            let context = Context {
                host: service.host(),
                operation: question.operation,
                access,
                subject: question.subject,
            };
            let limits = question.limits.clone();
            let began = Instant::now();
            let received = service.call(mailbox, request, question.bodies, limits).await;
            let answer = received.and_then(|received| read(received, &question));
            let code = match &answer {
                Ok(answer) if answer.broken.is_some() => "cut".into(),
                Ok(_) => "NoError".into(),
                Err(failed) => failed.code(),
            };
            let meter = &service.settings.meter;
            meter.request(Peer::Source, question.operation, &code, began.elapsed());
            let verdict = match answer {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed.verdict(context),
            };
            match verdict {
                Verdict::LowerVersion { code } => match self.version.lower() {
                    Some(lower) => {
                        tracing::debug!(
                            mailbox.id = %self.id,
                            "`{}` refused {} ({code}), trying {}",
                            service.host(), self.version.as_str(), lower.as_str(),
                        );
                        self.version = lower;
                    }
                    None => {
                        self.version = configured.0;
                        return Err(Verdict::Error(SourceError::NoMailbox {
                            code,
                            hint: Some("The server understands no version of our requests.".into()),
                        }));
                    }
                },
                Verdict::Readdress { primary }
                    if self.primary.is_none() && !primary.eq_ignore_ascii_case(mailbox) =>
                {
                    tracing::info!(mailbox.id = %self.id, "The primary address of `{}` is `{primary}`", self.id);
                    self.primary = Some(primary.into());
                }
                Verdict::Readdress { .. } => {
                    self.primary = configured.1;
                    return Err(Verdict::Error(SourceError::NoMailbox {
                        code: "ErrorNonPrimarySmtpAddress".to_owned(),
                        hint: Some("Configure the mailbox by its primary SMTP address.".into()),
                    }));
                }
                Verdict::FewerConnections if squeezes < MAX_SQUEEZES => {
                    squeezes += 1;
                    if service.use_fewer_connections() {
                        tracing::warn!(
                            "`{}` has no room for so many connections, using one fewer",
                            service.host()
                        );
                    }
                }
                Verdict::FewerConnections => {
                    return Err(Verdict::Error(SourceError::Throttled {
                        host: service.host().to_owned(),
                        scope: Scope::Service,
                        retry_after: None,
                    }));
                }
                verdict => {
                    if let Verdict::Error(err) = &verdict {
                        self.heed(err);
                    }
                    return Err(verdict);
                }
            }
        }
    }

    /// The pause that the server asked for, if it is not over. Asking again before its end would
    /// prolong it.
    fn pause(&self) -> Option<SourceError> {
        let throttled = |scope, left| SourceError::Throttled {
            host: self.service.host().to_owned(),
            scope,
            retry_after: Some(left),
        };
        let of_mailbox = || Some(throttled(Scope::Mailbox, remaining(self.paused_until)?));
        let of_service = || Some(throttled(Scope::Service, self.service.pause()?));
        of_service().or_else(of_mailbox)
    }

    /// Remembers how long the server wants to be left alone.
    pub(super) fn heed(&mut self, err: &SourceError) {
        match err {
            SourceError::Throttled { scope: Scope::Mailbox, retry_after: Some(pause), .. } => {
                self.paused_until = Some(Instant::now() + *pause);
            }
            SourceError::Throttled { scope: Scope::Service, retry_after: Some(pause), .. } => {
                self.service.pause_for(*pause);
            }
            _ => {}
        }
    }

    /// What a fault of one item means.
    pub(super) fn judge_item(&self, fault: &Fault) -> Verdict {
        self.judge(fault, "GetItem", Subject::Items(1))
    }

    pub(super) fn judge(
        &self,
        fault: &Fault,
        operation: &'static str,
        subject: Subject<'_>,
    ) -> Verdict {
        let access = self.service.settings.access;
        judge(
            Signal::Fault(fault),
            Context { host: self.service.host(), operation, access, subject },
        )
    }

    /// The error of a verdict that can be nothing else at this place.
    pub(super) fn error(&self, verdict: Verdict, operation: &'static str) -> SourceError {
        match verdict {
            Verdict::Error(err) => err,
            Verdict::Item { what: ItemVerdict::Cut, detail, .. } => self.unreachable(detail),
            Verdict::Item { what: ItemVerdict::Puzzling, code, .. } => SourceError::Unavailable {
                host: self.service.host().to_owned(),
                code,
                scope: Scope::Mailbox,
            },
            other => SourceError::BadReply {
                host: self.service.host().to_owned(),
                operation,
                cause: format!("the server's answer does not fit the question: {other:?}").into(),
            },
        }
    }

    pub(super) fn unreachable(&self, detail: String) -> SourceError {
        SourceError::Unreachable { host: self.service.host().to_owned(), cause: detail.into() }
    }

    /// A page of the listing; asks for less when the server cannot do as much.
    async fn items_page(
        &mut self,
        folder: &Folder,
        state: Option<&str>,
        limit: usize,
    ) -> Result<reply::ItemsPage, SourceError> {
        let mut limit = limit.clamp(1, MAX_CHANGES);
        loop {
            let question = Question {
                operation: "SyncFolderItems",
                subject: Subject::Folder { id: &folder.id, divisible: limit > 1 },
                bodies: Bodies::Mime,
                limits: self.limits(),
                write: &|envelope| envelope.sync_folder_items(&folder.id, state, limit),
                read: reply::items_page,
            };
            match self.ask(question).await {
                Ok(answer) => return Ok(answer.value),
                Err(Verdict::Error(SourceError::TooMuch { .. } | SourceError::BadReply { .. }))
                    if limit > 1 =>
                {
                    limit /= 2;
                }
                Err(Verdict::SkipFolder { code }) => {
                    tracing::warn!(
                        mailbox.id = %self.id,
                        folder.path = ?folder.path,
                        "No right to read a folder of `{}` ({code}), it is left out", self.id,
                    );
                    self.closed_folders.push((folder.id.clone(), Instant::now()));
                    return Err(SourceError::FolderGone { folder: folder.id.clone() });
                }
                Err(verdict) => return Err(self.error(verdict, "SyncFolderItems")),
            }
        }
    }

    /// Asks for the search keys that the listing did not bring. Exchange brings them; other
    /// servers may bring them only with the item itself. What has no key then has none.
    async fn complete_keys(&mut self, rows: &mut [ItemRow]) -> Result<(), SourceError> {
        let mut missing: Vec<&mut ItemRow> =
            rows.iter_mut().filter(|row| row.is_mail && row.search_key.is_none()).collect();
        for group in missing.chunks_mut(KEYS_AT_ONCE) {
            let ids: Vec<ItemId> = group.iter().map(|row| row.id.clone()).collect();
            let question = Question {
                operation: "GetItem",
                subject: Subject::Items(ids.len()),
                bodies: Bodies::Mime,
                limits: self.limits(),
                write: &|envelope| {
                    envelope.get_item(ids.iter().map(|id| id.0.as_str()), ItemShape::Keys)
                },
                read: reply::get_items,
            };
            let found = match self.ask(question).await {
                // Half an answer would give the rest another identity for ever.
                Ok(Answer { broken: Some(err), .. }) => {
                    let host = self.service.host().to_owned();
                    return Err(SourceError::Unreachable { host, cause: Box::new(err) });
                }
                Ok(answer) => answer.value,
                // The whole page would be asked for again: without its key an email is only in
                // danger of being copied twice.
                Err(Verdict::Item { what: ItemVerdict::Gone | ItemVerdict::Broken, .. }) => {
                    continue;
                }
                Err(verdict) => return Err(self.error(verdict, "GetItem")),
            };
            for (row, item) in group.iter_mut().zip(found) {
                match item {
                    Ok(item) => {
                        row.search_key = item.search_key;
                        row.message_id = row.message_id.take().or(item.message_id);
                    }
                    Err(fault) => match self.judge_item(&fault) {
                        Verdict::Item { .. } => {}
                        verdict => return Err(self.error(verdict, "GetItem")),
                    },
                }
            }
        }
        Ok(())
    }

    fn entry(&self, row: ItemRow) -> Entry {
        let key = row.search_key.as_deref().unwrap_or(row.id.0.as_bytes());
        let message_id = row.message_id.as_deref().unwrap_or_default();
        Entry {
            // A draft has an identity of its own: when it is sent, both keys may stay, and the
            // message that was sent must not count as held already.
            uid: Uid::derive(
                if row.is_draft { "exchange-draft" } else { "exchange" },
                &self.id,
                key,
                message_id,
            ),
            item: row.id,
            message_id: row.message_id,
            received: row.received,
            created: None,
            size: row.size,
            is_draft: row.is_draft,
        }
    }
}

/// Reads a reply as `question` expects it.
fn read<T>(received: Received, question: &Question<'_, T>) -> Result<Answer<T>, Failed> {
    let Received { reply, broken, headers, head } = received;
    // Of a list of items, what arrived is of use. Half a folder tree is none.
    if let (false, Subject::Mailbox | Subject::Folder { .. }) =
        (reply.complete && broken.is_none(), question.subject)
    {
        return Err(match broken {
            Some(err) => Failed::Net(err),
            None => Failed::Split(Malformed::Incomplete.into()),
        });
    }
    let cleaned = clean(&reply.skeleton);
    if cleaned.replaced > 0 {
        tracing::debug!(
            characters = cleaned.replaced,
            "Mended the reply to {}: it held characters that XML forbids",
            question.operation,
        );
    }
    let rejected = match reply::parse(&cleaned.text) {
        Ok(document) => match (question.read)(&document) {
            Ok(value) => {
                let (bodies, limits) = (reply.bodies, reply.limits);
                return Ok(Answer { value, bodies, limits, broken });
            }
            Err(rejected) => rejected,
        },
        Err(malformed) => Rejected::Malformed(malformed),
    };
    Err(match rejected {
        Rejected::Fault(fault) => Failed::Fault(fault),
        Rejected::Malformed(malformed) => or_web_page(malformed.into(), 200, headers, head),
    })
}

#[async_trait]
impl Source for EwsMailbox {
    fn protocol(&self) -> Protocol {
        Protocol::Ews
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
        let state = match from {
            Some(Position::Cursor { token }) => Some(token.as_str()),
            None => None,
            Some(Position::Link { .. }) => {
                return Err(SourceError::CursorExpired { folder: folder.id.clone() });
            }
        };
        let mut page = self.items_page(folder, state, limit).await?;
        if page.nameless > 0 {
            tracing::warn!(
                mailbox.id = %self.id, folder.path = ?folder.path, items = page.nameless,
                "`{}` lists items without an id, they cannot be read", self.service.host(),
            );
        }
        self.complete_keys(&mut page.rows).await?;
        let mail = page.rows.into_iter().filter(|row| row.is_mail);
        Ok(Page {
            entries: mail.map(|row| self.entry(row)).collect(),
            removed: page.removed,
            next: Position::Cursor { token: page.state },
            more: !page.last,
        })
    }

    async fn fetch(
        &mut self,
        folder: &Folder,
        entries: &[Entry],
    ) -> Result<Vec<Fetched>, SourceError> {
        self.fetch_entries(folder, entries).await
    }
}
