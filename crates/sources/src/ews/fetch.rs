//! Fetches emails: plans requests, and isolates the items that cannot be had.
//!
//! ```text
//! groups of ≤ 20 items, ≤ 8 MB ─▶ emails, gone
//!     a group is too much, or its reply unreadable ─▶ its halves, down to one
//!     an item is broken ─▶ once more, alone ─▶ rebuilt from its properties ─▶ refused
//!     an item is in doubt ─▶ twice more, alone ─▶ is the server well? ─▶ refused
//! ```

use std::collections::VecDeque;

use record::{Body, Email, Entry, Fetched, Folder, SourceError};

use super::{
    body::{BodyFault, Limits},
    failure::{ItemVerdict, Subject, Verdict},
    mailbox::{Answer, EwsMailbox, Question},
    reply::{self, Fault, ItemContent},
    request::ItemShape,
    stream::Bodies,
    suspect::{Doubt, Suspect, outcome_of, too_large},
};

/// Most items in one request. Exchange's documentation advises about ten; the time limit of a
/// request is checked after each item, and a batch that hits it is halved.
const MAX_ITEMS: usize = 20;
/// Most bytes in one request, by the sizes that the listing told.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// An item larger than this is asked for alone.
const LARGE: u64 = 1024 * 1024;
/// Replies of one fetch that may break off or be unreadable before it is given up for now. To find
/// the one item of a batch that spoils them takes six, to be sure of it two more.
const MAX_SPOILED: usize = 10;
/// Taken for an item whose size is not known.
const UNKNOWN_SIZE: u64 = 64 * 1024;

/// What one item of a request came to.
pub(super) enum Outcome {
    Done(Fetched),
    Suspect(Suspect),
    /// To be asked again, with fewer others.
    Again,
    /// Nothing further can be had now.
    Stop(SourceError),
}

/// The state of one `fetch`.
pub(super) struct Run<'a> {
    pub(super) folder: &'a Folder,
    pub(super) entries: &'a [Entry],
    pub(super) results: Vec<Option<Fetched>>,
    pub(super) suspects: Vec<(usize, Suspect)>,
    groups: VecDeque<Vec<usize>>,
    /// What bodies may still take of this machine.
    pub(super) limits: Limits,
    /// Replies that broke off without any gain, or could not be read.
    spoiled: usize,
    /// The first failure of an item that could not be had even alone.
    failure: Option<SourceError>,
}

impl EwsMailbox {
    pub(super) async fn fetch_entries(
        &mut self,
        folder: &Folder,
        entries: &[Entry],
    ) -> Result<Vec<Fetched>, SourceError> {
        let mut run = Run {
            folder,
            entries,
            results: entries.iter().map(|_| None).collect(),
            suspects: Vec::new(),
            groups: plan(entries),
            limits: self.limits(),
            spoiled: 0,
            failure: None,
        };
        let stopped = match self.fetch_groups(&mut run).await {
            Ok(()) => self.examine_suspects(&mut run).await,
            stopped => stopped,
        };
        let failure = stopped.err().or(run.failure);
        match failure {
            Some(err) if run.results.iter().all(Option::is_none) => Err(err),
            _ => Ok(run.results.into_iter().map(|done| done.unwrap_or(Fetched::Later)).collect()),
        }
    }

    /// Asks for all groups. An error ends the fetch; what is done stays done.
    async fn fetch_groups(&mut self, run: &mut Run<'_>) -> Result<(), SourceError> {
        while let Some(group) = run.groups.pop_front() {
            if let [only] = *group
                && let Some(refused) = self.refuse_unseen(run, only)
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
                        run.spoiled += 1;
                        if run.spoiled > MAX_SPOILED {
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

    /// An item so much larger than allowed that its MIME form cannot be smaller.
    fn refuse_unseen(&self, run: &Run<'_>, index: usize) -> Option<Fetched> {
        let size = run.entries.get(index)?.size?;
        let limit = self.service.settings.max_email_size;
        (size > limit.saturating_mul(2)).then(|| too_large(limit).refused())
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
                    let index = run.index_of(group, &item).unwrap_or(asked);
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
        run.spoiled += 1;
        if run.spoiled > MAX_SPOILED {
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

impl Run<'_> {
    pub(super) fn settle(&mut self, index: usize, fetched: Fetched) {
        if let Some(result) = self.results.get_mut(index) {
            *result = Some(fetched);
        }
    }

    pub(super) fn take(&mut self, index: usize, outcome: Outcome) {
        match outcome {
            Outcome::Done(fetched) => self.settle(index, fetched),
            Outcome::Suspect(suspect) => self.suspects.push((index, suspect)),
            Outcome::Again | Outcome::Stop(_) => {}
        }
    }

    /// Puts the halves of `group` in front; of a single item, `err` is the last word.
    fn less(&mut self, group: &[usize], err: SourceError) {
        match group {
            [_, _, ..] => self.halve(group),
            _ => self.failure = self.failure.take().or(Some(err)),
        }
    }

    fn halve(&mut self, group: &[usize]) {
        let (first, second) = group.split_at(group.len() / 2);
        self.groups.push_front(second.to_vec());
        self.groups.push_front(first.to_vec());
    }

    fn index_of(&self, group: &[usize], item: &ItemContent) -> Option<usize> {
        let id = item.id.as_ref()?;
        group.iter().copied().find(|&i| self.entries.get(i).is_some_and(|e| e.item == *id))
    }
}

/// Forms the requests for `entries`, in their order.
fn plan(entries: &[Entry]) -> VecDeque<Vec<usize>> {
    let mut groups: VecDeque<Vec<usize>> = VecDeque::new();
    let mut bytes = 0;
    for (index, entry) in entries.iter().enumerate() {
        let size = entry.size.unwrap_or(UNKNOWN_SIZE);
        match groups.back_mut() {
            Some(group)
                if group.len() < MAX_ITEMS
                    && bytes <= MAX_BYTES.saturating_sub(size)
                    && size <= LARGE =>
            {
                group.push(index);
                bytes += size;
            }
            _ => {
                groups.push_back(vec![index]);
                // Nothing joins a large item.
                bytes = if size > LARGE { MAX_BYTES + 1 } else { size };
            }
        }
    }
    groups
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

#[cfg(test)]
mod tests {
    use record::{ItemId, Uid};

    use super::*;

    fn entries(sizes: &[Option<u64>]) -> Vec<Entry> {
        let mailbox = "abc@example.com".parse().unwrap();
        let entry = |&size| Entry {
            item: ItemId("i".to_owned()),
            uid: Uid::derive("exchange", &mailbox, b"", ""),
            message_id: None,
            received: None,
            created: None,
            size,
            is_draft: false,
        };
        sizes.iter().map(entry).collect()
    }

    fn group_sizes(sizes: &[Option<u64>]) -> Vec<usize> {
        plan(&entries(sizes)).iter().map(Vec::len).collect()
    }

    #[test]
    fn requests_are_small_and_large_items_travel_alone() {
        let kib = 1024;
        assert_eq!(group_sizes(&[]), [0; 0]);
        assert_eq!(group_sizes(&[Some(20 * kib); 45]), [20, 20, 5]);
        assert_eq!(group_sizes(&[None; 21]), [20, 1]);
        assert_eq!(group_sizes(&[Some(1024 * kib); 17]), [8, 8, 1]);
        let large = Some(1024 * kib + 1);
        assert_eq!(group_sizes(&[Some(1), large, Some(1), Some(1), large, large]), [1, 1, 2, 1, 1]);
        assert_eq!(group_sizes(&[Some(u64::MAX), Some(1)]), [1, 1]);
    }
}
