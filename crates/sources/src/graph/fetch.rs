//! Fetches emails: plans requests, and isolates the items that cannot be had.
//!
//! ```text
//! groups of ≤ 20 items, ≤ 4 MB in one $batch, large ones by $value ─▶ emails, gone
//!     a group is too much, or its answer unreadable ─▶ its halves, down to one
//!     an item is broken ─▶ once more, alone ─▶ refused
//!     an item is in doubt ─▶ twice more, alone ─▶ is the server well? ─▶ refused
//! ```

use std::collections::{HashMap, VecDeque};

use net::{NetError, Response, header};
use record::{Body, Email, Entry, Fetched, Folder, ItemId, SourceError};
use serde::Serialize;

use super::{
    batch::{BatchError, Splitter},
    failure::{Signal, Status, Subject, Verdict, denied},
    mailbox::{GraphMailbox, Refused},
    service::Ask,
    wire::{self, BatchAnswer, BatchReply, Message, MessageRow},
};
use crate::{
    answer::pause,
    body::{BodyFault, BodyWriter},
    run::{Doubt, ItemVerdict, Outcome, Portion, Run, Suspect, outcome_of, too_large},
};

/// Most bytes in one batch, by the sizes that the listing told.
const BATCH_BYTES: u64 = 4 * 1024 * 1024;
/// An item larger than this is asked for alone: base64 would make it a third larger.
const LARGE: u64 = 1024 * 1024;
/// How often a question about an item is repeated that has no clear answer.
const MAX_ATTEMPTS: u32 = 2;

/// A request within a batch.
#[derive(Serialize)]
struct Part {
    id: String,
    method: &'static str,
    url: String,
    headers: PartHeaders,
}

#[derive(Serialize)]
struct PartHeaders {
    #[serde(rename = "Prefer")]
    prefer: &'static str,
}

#[derive(Serialize)]
struct Parts {
    requests: Vec<Part>,
}

/// The answers of a batch, in the order in which they came.
struct Answers {
    answers: Vec<BatchAnswer>,
    bodies: Vec<Result<Body, BodyFault>>,
    broken: Option<NetError>,
}

impl GraphMailbox {
    pub(super) async fn fetch_entries(
        &mut self,
        folder: &Folder,
        entries: &[Entry],
    ) -> Result<Vec<Fetched>, SourceError> {
        let portion = Portion { items: self.batch_of_emails(), bytes: BATCH_BYTES, large: LARGE };
        let mut run = Run::new(folder, entries, portion, self.limits());
        let mut known = self.service.recall(&self.id, entries.iter().map(|entry| &entry.item));
        let unknown: Vec<ItemId> = entries
            .iter()
            .map(|entry| &entry.item)
            .filter(|id| !known.contains_key(*id))
            .cloned()
            .collect();
        if !unknown.is_empty() {
            known.extend(self.details(&unknown).await?);
        }
        let stopped = match self.fetch_groups(&mut run, &known).await {
            Ok(()) => self.examine_suspects(&mut run, &known).await,
            stopped => stopped,
        };
        run.finish(stopped)
    }

    fn batch_of_emails(&self) -> usize {
        let abilities = &self.service.abilities;
        if abilities.batched_emails() { abilities.batch() } else { 1 }
    }

    /// Asks for all groups. An error ends the fetch; what is done stays done.
    async fn fetch_groups(
        &mut self,
        run: &mut Run<'_>,
        known: &HashMap<ItemId, Message>,
    ) -> Result<(), SourceError> {
        while let Some(group) = run.groups.pop_front() {
            match *group {
                [] => {}
                [only] => match run.refuse_unseen(only) {
                    Some(refused) => run.settle(only, refused),
                    None => self.fetch_one(run, known, only).await?,
                },
                _ if group.len() > self.batch_of_emails() => run.halve(&group),
                _ => self.fetch_group(run, known, &group).await?,
            }
        }
        Ok(())
    }

    /// Fetches one item by its `$value`.
    async fn fetch_one(
        &mut self,
        run: &mut Run<'_>,
        known: &HashMap<ItemId, Message>,
        index: usize,
    ) -> Result<(), SourceError> {
        let Some(entry) = run.entries.get(index) else { return Ok(()) };
        let target = self.target(&["messages", &entry.item.0, "$value"]);
        let answer = self.open(&Ask::get("$value", target)).await;
        let body = match answer {
            Ok(response) if !has_an_end(&response) => {
                let cause = "where its content ends cannot be told from where it breaks off";
                Err(Refused::Signal(Signal::Unreadable(cause.into())))
            }
            Ok(mut response) => {
                let mut writer = BodyWriter::default();
                loop {
                    match response.body.chunk().await {
                        Ok(Some(chunk)) => {
                            if let Err(cause) = writer.write(&chunk, &run.limits) {
                                return Err(SourceError::Spool { cause });
                            }
                            if writer.size() > run.limits.max_size {
                                break Ok(writer.finish(&mut run.limits));
                            }
                        }
                        Ok(None) => break Ok(writer.finish(&mut run.limits)),
                        // What the settings allow has not arrived yet: it swells beyond reason.
                        Err(err @ (NetError::BadReply { .. } | NetError::TooLarge { .. })) => {
                            break Err(Refused::Signal(Signal::Unreadable(Box::new(err))));
                        }
                        Err(err) => break Err(Refused::Signal(Signal::Cut(err))),
                    }
                }
            }
            Err(refused) => Err(refused),
        };
        let refused = match body {
            Ok(body) => {
                let outcome = self.email(run, index, known, Some(body));
                run.take(index, outcome);
                return Ok(());
            }
            Err(refused) => refused,
        };
        match self.verdict(refused, "$value", Subject::Items(1)) {
            Verdict::Item { what, code, detail } => {
                if what == ItemVerdict::Cut && run.spoil() {
                    return Err(self.unreachable(detail));
                }
                run.take(index, outcome_of(what, code, detail));
            }
            Verdict::Error(err @ SourceError::BadReply { .. }) => {
                if run.spoil() {
                    return Err(err);
                }
                run.less(&[index], err);
            }
            Verdict::Error(err) => return Err(err),
        }
        Ok(())
    }

    /// Fetches several items in one batch. Those that the server did not answer for are asked for
    /// again if it answered for any.
    async fn fetch_group(
        &mut self,
        run: &mut Run<'_>,
        known: &HashMap<ItemId, Message>,
        group: &[usize],
    ) -> Result<(), SourceError> {
        let urls = group.iter().filter_map(|&index| {
            let item = &run.entries.get(index)?.item;
            Some(self.path(&["messages", &item.0, "$value"]))
        });
        let urls: Vec<String> = urls.collect();
        let Answers { answers, mut bodies, broken } = match self.batch(urls, run).await {
            Ok(answers) => answers,
            Err(refused) => {
                match self.verdict(refused, "$batch", Subject::Items(group.len())) {
                    Verdict::Item { what: ItemVerdict::Cut, detail, .. } => {
                        if run.spoil() {
                            return Err(self.unreachable(detail));
                        }
                        run.halve(group);
                    }
                    Verdict::Error(err @ SourceError::TooMuch { .. }) => run.less(group, err),
                    Verdict::Error(err @ SourceError::BadReply { .. }) => {
                        if run.spoil() {
                            return Err(err);
                        }
                        run.less(group, err);
                    }
                    verdict => return Err(self.error_of(verdict)),
                }
                return Ok(());
            }
        };
        let mut again: Vec<usize> = group.to_vec();
        let mut stopped: Option<SourceError> = None;
        let mut damaged = 0;
        for answer in answers {
            let place = answer.id.parse::<usize>().ok();
            let Some(&index) = place.and_then(|place| group.get(place)) else { continue };
            if !again.contains(&index) {
                continue;
            }
            let outcome = if answer.status == 200 {
                let body = answer.body.as_str().and_then(|body| body.parse::<usize>().ok());
                // A second answer that names the same body finds it damaged.
                let taken = body
                    .and_then(|body| bodies.get_mut(body))
                    .map(|body| std::mem::replace(body, Err(BodyFault::BadBase64)));
                damaged += usize::from(matches!(taken, Some(Err(BodyFault::BadBase64))));
                self.email(run, index, known, taken)
            } else {
                self.refused_answer(&answer, group.len())
            };
            match outcome {
                Outcome::Again => {}
                Outcome::Stop(err) => {
                    again.retain(|&other| other != index);
                    stopped = Some(later_of(stopped, err));
                }
                outcome => {
                    again.retain(|&other| other != index);
                    run.take(index, outcome);
                }
            }
        }
        if damaged == group.len() {
            // Not base64 at all: the server writes emails into batches in a form of its own.
            self.service.abilities.without_batched_emails(self.service.host());
        }
        if let Some(err) = stopped {
            return Err(self.heed(err));
        }
        if again.is_empty() {
            return Ok(());
        }
        if again.len() < group.len() {
            run.groups.push_front(again);
            return Ok(());
        }
        // Nothing was gained, so less must be asked for.
        match broken {
            Some(err) if run.spoil() => return Err(self.unreachable(err.to_string())),
            Some(_) => run.halve(group),
            None => {
                let (host, code) = (self.service.host().to_owned(), "no answers".to_owned());
                run.less(group, SourceError::TooMuch { host, code });
            }
        }
        Ok(())
    }

    /// What an answer within a batch of `count` means that brings no email.
    pub(super) fn refused_answer(&self, answer: &BatchAnswer, count: usize) -> Outcome {
        let status = status_of(answer);
        if status.is_concurrency() && count > 1 {
            self.service.abilities.smaller_batches(self.service.host());
        }
        // A token that ended meanwhile is replaced with the next request.
        if matches!(status.status, 401 | 408 | 413 | 502 | 504) {
            return Outcome::Again;
        }
        match self.item_verdict(&status, "$value") {
            Verdict::Item { what, code, detail } => outcome_of(what, code, detail),
            Verdict::Error(err) => Outcome::Stop(err),
        }
    }

    /// Sends `urls` as one batch of GET requests, and takes the answer apart while it arrives.
    async fn batch(&mut self, urls: Vec<String>, run: &mut Run<'_>) -> Result<Answers, Refused> {
        let ask = self.batch_ask(urls, "$batch").map_err(Refused::Signal)?;
        let mut response = self.open(&ask).await?;
        let mut splitter = Splitter::new(run.limits.clone());
        let broken = loop {
            let chunk = match response.body.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break None,
                Err(err) => break Some(err),
            };
            splitter.push(&chunk).map_err(|err| Refused::Signal(signal(err)))?;
        };
        let reply = match (splitter.finish(), broken) {
            (Ok(reply), broken) => (reply, broken),
            (Err(_), Some(err)) => return Err(Refused::Signal(Signal::Cut(err))),
            (Err(err), None) => return Err(Refused::Signal(signal(err))),
        };
        let (reply, broken) = reply;
        let parsed: BatchReply = wire::parse(&reply.skeleton)
            .map_err(|err| Refused::Signal(Signal::Unreadable(Box::new(err))))?;
        run.limits = reply.limits;
        Ok(Answers { answers: parsed.responses, bodies: reply.bodies, broken })
    }

    fn batch_ask(&self, urls: Vec<String>, operation: &'static str) -> Result<Ask, Signal> {
        let part = |(place, url): (usize, String)| Part {
            id: place.to_string(),
            method: "GET",
            url,
            headers: PartHeaders { prefer: "IdType=\"ImmutableId\"" },
        };
        let weight = u32::try_from(urls.len()).unwrap_or(u32::MAX);
        let parts = Parts { requests: urls.into_iter().enumerate().map(part).collect() };
        let json = serde_json::to_vec(&parts).map_err(|err| Signal::Unreadable(Box::new(err)))?;
        let target = self.service.base.target("/$batch");
        Ok(Ask { weight, ..Ask::post(operation, target, json) })
    }

    /// What the server knows of `items` beside their bytes. Those that it does not have, or cannot
    /// tell of, are missing in the result.
    ///
    /// # Errors
    ///
    /// What concerns more than single items: the same call can succeed later. Half an answer would
    /// give the rest another identity for ever.
    pub(super) async fn details(
        &mut self,
        items: &[ItemId],
    ) -> Result<HashMap<ItemId, Message>, SourceError> {
        let mut found = HashMap::with_capacity(items.len());
        let mut rest: VecDeque<(ItemId, u32)> = items.iter().map(|id| (id.clone(), 0)).collect();
        while !rest.is_empty() {
            let most = rest.len().min(self.service.abilities.batch());
            let group: Vec<(ItemId, u32)> = rest.drain(..most).collect();
            let mut answers = self.details_of(&group).await?;
            for (place, (id, attempts)) in group.into_iter().enumerate() {
                let outcome = match answers.remove(&place.to_string()) {
                    Some(answer) if answer.status == 200 => {
                        let row = <MessageRow as serde::Deserialize>::deserialize(&answer.body);
                        found.extend(row.ok().map(|row| (id, row.message())));
                        continue;
                    }
                    // The server knows no such question, so that it has no answer either.
                    Some(answer) if matches!(answer.status, 400 | 501) => continue,
                    Some(answer) => self.refused_answer(&answer, most),
                    None => Outcome::Again,
                };
                match outcome {
                    Outcome::Stop(err) => return Err(self.heed(err)),
                    Outcome::Again | Outcome::Suspect(Suspect { doubt: Doubt::Server, .. }) => {
                        if attempts < MAX_ATTEMPTS {
                            rest.push_back((id, attempts + 1));
                        } else if found.is_empty() {
                            self.probe().await?;
                        }
                    }
                    Outcome::Done(_) | Outcome::Suspect(_) => {}
                }
            }
        }
        Ok(found)
    }

    /// Asks for the details of `group` in one batch; the answers by the place of their item.
    async fn details_of(
        &mut self,
        group: &[(ItemId, u32)],
    ) -> Result<HashMap<String, BatchAnswer>, SourceError> {
        let query = format!("?{}&{}", wire::MESSAGE_SELECT, wire::MESSAGE_EXPAND);
        let urls = group.iter().map(|(id, _)| self.path(&["messages", &id.0]) + &query).collect();
        self.ask_batch(urls, "message").await
    }

    /// Sends `urls` as one batch of GET requests whose answers are JSON; the answers by their place.
    pub(super) async fn ask_batch(
        &mut self,
        urls: Vec<String>,
        operation: &'static str,
    ) -> Result<HashMap<String, BatchAnswer>, SourceError> {
        let reply = match self.batch_ask(urls, operation) {
            Ok(ask) => self.ask::<BatchReply>(&ask).await,
            Err(signal) => Err(Refused::Signal(signal)),
        };
        match reply {
            Ok(reply) => {
                Ok(reply.responses.into_iter().map(|answer| (answer.id.clone(), answer)).collect())
            }
            Err(refused) => Err(self.error(refused, operation, Subject::Mailbox)),
        }
    }

    /// An email of the bytes that the server sent.
    fn email(
        &self,
        run: &Run<'_>,
        index: usize,
        known: &HashMap<ItemId, Message>,
        body: Option<Result<Body, BodyFault>>,
    ) -> Outcome {
        match body {
            Some(Ok(body)) if body.size() > 0 => match run.entries.get(index) {
                Some(entry) => {
                    let message = known.get(&entry.item).cloned().unwrap_or_default();
                    let email = email_of(run.folder, entry, message, body);
                    Outcome::Done(Fetched::Email(Box::new(email)))
                }
                None => Outcome::Again,
            },
            Some(Err(BodyFault::TooLarge)) => {
                Outcome::Done(too_large(run.limits.max_size).refused())
            }
            Some(Err(fault @ BodyFault::BadBase64)) => {
                Outcome::Suspect(Suspect::new("BadBase64", &fault.to_string(), Doubt::Transport))
            }
            Some(Ok(_)) | None => Outcome::Suspect(Suspect::new(
                "NoMimeContent",
                "the server sent no MIME content",
                Doubt::None,
            )),
        }
    }

    /// Asks for each suspect again, alone: once if the server says that it is broken, twice if
    /// there is a doubt. What then remains is refused.
    async fn examine_suspects(
        &mut self,
        run: &mut Run<'_>,
        known: &HashMap<ItemId, Message>,
    ) -> Result<(), SourceError> {
        for round in 0..2 {
            for (index, suspect) in std::mem::take(&mut run.suspects) {
                if round == 0 || suspect.doubt != Doubt::None {
                    self.fetch_one(run, known, index).await?;
                } else {
                    run.suspects.push((index, suspect));
                }
            }
        }
        for (index, suspect) in std::mem::take(&mut run.suspects) {
            match suspect.doubt {
                Doubt::Server if !run.has_email() => self.probe().await?,
                Doubt::Connection if !run.has_email() => {
                    return Err(self.unreachable(suspect.detail));
                }
                // Nothing tells a right to this item from the right to any.
                Doubt::Right if !run.has_email() => return Err(denied(suspect.code)),
                _ => {}
            }
            run.settle(index, suspect.refused());
        }
        Ok(())
    }
}

/// Whether a body that breaks off can be told from one that has ended. Spec: RFC 9112 §6.3.
fn has_an_end(response: &Response<'_>) -> bool {
    let has = |name| response.headers.contains_key(name);
    has(header::CONTENT_LENGTH) || has(header::TRANSFER_ENCODING) || has(header::CONTENT_ENCODING)
}

/// Of several pauses, the longest counts; of other failures, the first.
fn later_of(first: Option<SourceError>, second: SourceError) -> SourceError {
    let pause = |err: &SourceError| match err {
        SourceError::Throttled { retry_after, .. } => retry_after.unwrap_or_default(),
        _ => std::time::Duration::MAX,
    };
    match first {
        Some(first) if pause(&first) >= pause(&second) => first,
        _ => second,
    }
}

fn status_of(answer: &BatchAnswer) -> Status {
    let wanted = answer.header("retry-after");
    Status {
        status: answer.status,
        fault: wire::fault_in(&answer.body),
        retry_after: wanted.and_then(|wanted| pause(wanted, answer.header("date"))),
        throttle_scope: answer.header("x-ms-throttle-scope").map(str::to_owned),
        location: None,
        is_html: false,
    }
}

fn signal(err: BatchError) -> Signal {
    match err {
        BatchError::Spool(cause) => Signal::Spool(cause),
        BatchError::TooLarge => Signal::TooLarge,
        err => Signal::Unreadable(Box::new(err)),
    }
}

/// Puts an email together. `message` brings everything but the body.
fn email_of(folder: &Folder, entry: &Entry, message: Message, body: Body) -> Email {
    let mut message = message;
    message.metadata.folder = folder.path.clone();
    message.metadata.received_at = message.metadata.received_at.or(entry.received);
    message.metadata.size = message.metadata.size.or(entry.size);
    Email {
        uid: entry.uid,
        item: entry.item.clone(),
        timestamp: message.timestamp(),
        message_id: message.message_id.or_else(|| entry.message_id.clone()),
        metadata: message.metadata,
        body,
    }
}
