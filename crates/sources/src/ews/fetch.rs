//! Fetches emails: plans requests, and isolates the items that cannot be had.
//!
//! ```text
//! groups of ≤ 20 items, ≤ 8 MB ─▶ emails, gone
//!     a group is too much, or its reply unreadable ─▶ its halves, down to one
//!     an item is broken ─▶ once more, alone ─▶ rebuilt from its properties ─▶ refused
//!     an item is in doubt ─▶ twice more, alone ─▶ is the server well? ─▶ refused
//! ```

use record::{Body, Email, Entry, Fetched, Folder, SourceError};

use super::{
    failure::{Subject, Verdict},
    mailbox::{Answer, EwsMailbox, Question},
    reply::{self, Fault, ItemContent},
    request::ItemShape,
    stream::Bodies,
};
use crate::{
    body::BodyFault,
    run::{Doubt, ItemVerdict, Outcome, Portion, Run, Suspect, outcome_of, too_large},
};

/// Exchange's documentation advises about ten items; the time limit of a request is checked after
/// each item, and a batch that hits it is halved.
const PORTION: Portion = Portion { items: 20, bytes: 8 * 1024 * 1024, large: 1024 * 1024 };

impl EwsMailbox {
    pub(super) async fn fetch_entries(
        &mut self,
        folder: &Folder,
        entries: &[Entry],
    ) -> Result<Vec<Fetched>, SourceError> {
        let mut run = Run::new(folder, entries, PORTION, self.limits());
        let stopped = match self.fetch_groups(&mut run).await {
            Ok(()) => self.examine_suspects(&mut run).await,
            stopped => stopped,
        };
        run.finish(stopped)
    }

    /// Asks for all groups. An error ends the fetch; what is done stays done.
    async fn fetch_groups(&mut self, run: &mut Run<'_>) -> Result<(), SourceError> {
        while let Some(group) = run.groups.pop_front() {
            if let [only] = *group
                && let Some(refused) = run.refuse_unseen(only)
            {
                run.settle(only, refused);
                continue;
            }
            match self.get_group(run, &group).await {
                Ok(answer) => self.sort(run, &group, answer)?,
                Err(verdict) => match (verdict, group.as_slice()) {
                    (Verdict::Error(err @ SourceError::TooMuch { .. }), _) => {
                        run.less(&group, err);
                    }
                    (Verdict::Error(err @ SourceError::BadReply { .. }), _) => {
                        if run.spoil() {
                            return Err(err);
                        }
                        run.less(&group, err);
                    }
                    (Verdict::Item { what: ItemVerdict::Cut, detail, .. }, _) => {
                        self.cut(run, &group, detail)?;
                    }
                    (Verdict::Item { what, code, detail }, &[only]) => {
                        run.take(only, outcome_of(what, code, detail));
                    }
                    (verdict, _) => return Err(self.error(verdict, "GetItem")),
                },
            }
        }
        Ok(())
    }

    pub(super) async fn get_group(
        &mut self,
        run: &Run<'_>,
        group: &[usize],
    ) -> Result<Answer<Vec<Result<ItemContent, Fault>>>, Verdict> {
        let ids: Vec<&str> =
            group.iter().filter_map(|&i| Some(run.entries.get(i)?.item.0.as_str())).collect();
        let question = Question {
            operation: "GetItem",
            subject: Subject::Items(ids.len()),
            bodies: Bodies::Mime,
            limits: run.limits.clone(),
            write: &|envelope| envelope.get_item(ids.iter().copied(), ItemShape::Mime),
            read: reply::get_items,
        };
        self.ask(question).await
    }

    /// Takes the answers for a group. Those that the server did not give are asked for again if
    /// it gave any.
    pub(super) fn sort(
        &mut self,
        run: &mut Run<'_>,
        group: &[usize],
        answer: Answer<Vec<Result<ItemContent, Fault>>>,
    ) -> Result<(), SourceError> {
        let Answer { value: items, mut bodies, limits, broken } = answer;
        run.limits = limits;
        let mut again: Vec<usize> = group.iter().skip(items.len()).copied().collect();
        let mut stopped = None;
        for (&asked, item) in group.iter().zip(items) {
            let (index, outcome) = match item {
                Ok(item) => {
                    // Exchange answers in the order of the request. Bytes under the wrong
                    // identity would be worse than none, so ids are compared where they can be.
                    let found = item.id.as_ref().and_then(|id| run.index_of(group, id));
                    let index = found.unwrap_or(asked);
                    (index, self.email(run, index, item, &mut bodies))
                }
                Err(fault) => (asked, self.fault(&fault)),
            };
            match outcome {
                Outcome::Again => again.push(index),
                Outcome::Stop(err) => stopped = stopped.or(Some(err)),
                outcome => run.take(index, outcome),
            }
        }
        if let Some(err) = stopped {
            self.heed(&err);
            return Err(err);
        }
        if again.is_empty() {
            return Ok(());
        }
        if again.len() < group.len() {
            again.sort_unstable();
            run.groups.push_front(again);
            return Ok(());
        }
        // Nothing was gained, so less must be asked for.
        match (group, broken) {
            (_, Some(err)) => self.cut(run, group, err.to_string()),
            (_, None) => {
                let code = "ErrorBatchProcessingStopped".to_owned();
                let host = self.service.host().to_owned();
                run.less(group, SourceError::TooMuch { host, code });
                Ok(())
            }
        }
    }

    /// The reply for `group` broke off without any gain.
    pub(super) fn cut(
        &self,
        run: &mut Run<'_>,
        group: &[usize],
        detail: String,
    ) -> Result<(), SourceError> {
        if run.spoil() {
            return Err(self.unreachable(detail));
        }
        match *group {
            [only] => {
                run.take(only, outcome_of(ItemVerdict::Cut, "ConnectionCut".to_owned(), detail))
            }
            _ => run.halve(group),
        }
        Ok(())
    }

    fn fault(&self, fault: &Fault) -> Outcome {
        match self.judge_item(fault) {
            Verdict::Item { what, code, detail } => outcome_of(what, code, detail),
            Verdict::Error(SourceError::TooMuch { .. }) | Verdict::FewerConnections => {
                Outcome::Again
            }
            verdict => Outcome::Stop(self.error(verdict, "GetItem")),
        }
    }

    fn email(
        &self,
        run: &Run<'_>,
        index: usize,
        item: ItemContent,
        bodies: &mut [Result<Body, BodyFault>],
    ) -> Outcome {
        let taken = item.mime.and_then(|mime| bodies.get_mut(mime)).map(|body| {
            // A second item that names the same body finds it damaged.
            std::mem::replace(body, Err(BodyFault::BadBase64))
        });
        match taken {
            Some(Ok(body)) if body.size() > 0 => match run.entries.get(index) {
                Some(entry) => {
                    Outcome::Done(Fetched::Email(Box::new(email(run.folder, entry, item, body))))
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
}

/// Puts an email together. `item` brings everything but the body.
pub(super) fn email(folder: &Folder, entry: &Entry, item: ItemContent, body: Body) -> Email {
    let mut item = item;
    item.metadata.folder = folder.path.clone();
    item.metadata.received_at = item.metadata.received_at.or(entry.received);
    item.metadata.size = item.metadata.size.or(entry.size);
    Email {
        uid: entry.uid,
        item: entry.item.clone(),
        message_id: item.message_id.take().or_else(|| entry.message_id.clone()),
        timestamp: item.timestamp(),
        metadata: item.metadata,
        body,
    }
}
