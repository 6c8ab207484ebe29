//! Fetches emails: plans requests, and isolates the items that cannot be had.
//!
//! ```text
//! groups of ≤ 20 items, ≤ 8 MB ─▶ emails, gone
//!     a group is too much, or its reply unreadable ─▶ its halves, down to one
//!     an item is broken ─▶ once more, alone ─▶ rebuilt from its properties ─▶ refused
//! ```

use std::collections::VecDeque;

use record::{Body, Email, Entry, Fetched, Folder, SourceError};

use super::{
    body::{BodyFault, Limits},
    failure::{ItemVerdict, Subject, Verdict},
    mailbox::{Answer, EwsMailbox, Question},
    reply::{self, Fault, ItemContent},
    request::{ItemShape, Target},
    stream::Bodies,
};

/// Most items in one request. Exchange's documentation advises about ten; the time limit of a
/// request is checked after each item, and a batch that hits it is halved.
const MAX_ITEMS: usize = 20;
/// Most bytes in one request, by the sizes that the listing told.
const MAX_BYTES: u64 = 8 * 1024 * 1024;
/// An item larger than this is asked for alone.
const LARGE: u64 = 1024 * 1024;
/// Taken for an item whose size is not known.
const UNKNOWN_SIZE: u64 = 64 * 1024;

/// What is wrong with an item that the server answered for.
#[derive(Clone, Debug)]
pub(super) struct Suspect {
    pub(super) code: String,
    pub(super) detail: String,
    /// It may be the server that is not well.
    puzzling: bool,
}

impl Suspect {
    fn new(code: &str, detail: &str) -> Self {
        Self { code: code.to_owned(), detail: detail.to_owned(), puzzling: false }
    }

    pub(super) fn refused(self) -> Fetched {
        Fetched::Refused { code: self.code, detail: self.detail }
    }
}

/// What one item of a request came to.
enum Outcome {
    Done(Fetched),
    Suspect(Suspect),
    /// To be asked again, with fewer others.
    Again,
    /// Nothing further can be had now.
    Stop(SourceError),
}

/// The state of one `fetch`.
struct Run<'a> {
    folder: &'a Folder,
    entries: &'a [Entry],
    results: Vec<Option<Fetched>>,
    suspects: Vec<(usize, Suspect)>,
    groups: VecDeque<Vec<usize>>,
    /// What bodies may still take of this machine.
    limits: Limits,
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
                    (
                        Verdict::Error(SourceError::TooMuch { .. } | SourceError::BadReply { .. }),
                        [_, _, ..],
                    ) => run.halve(&group),
                    (
                        Verdict::Error(
                            err @ (SourceError::TooMuch { .. } | SourceError::BadReply { .. }),
                        ),
                        _,
                    ) => run.failure = run.failure.take().or(Some(err)),
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

    async fn get_group(
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
    fn sort(
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
        match (again.len(), broken) {
            (0, _) => Ok(()),
            (left, Some(err)) if left == group.len() => Err(SourceError::Unreachable {
                host: self.service.host().to_owned(),
                cause: err.into(),
            }),
            (left, None) if left == group.len() => match group {
                [_] => {
                    let code = "ErrorBatchProcessingStopped".to_owned();
                    let host = self.service.host().to_owned();
                    run.failure = run.failure.take().or(Some(SourceError::TooMuch { host, code }));
                    Ok(())
                }
                _ => {
                    run.halve(group);
                    Ok(())
                }
            },
            _ => {
                again.sort_unstable();
                run.groups.push_front(again);
                Ok(())
            }
        }
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
                Outcome::Suspect(Suspect::new("BadBase64", &fault.to_string()))
            }
            Some(Ok(_)) | None => {
                Outcome::Suspect(Suspect::new("NoMimeContent", "the server sent no MIME content"))
            }
        }
    }

    /// Asks for each suspect once more, alone, then builds it from its properties.
    async fn examine_suspects(&mut self, run: &mut Run<'_>) -> Result<(), SourceError> {
        for (index, _) in std::mem::take(&mut run.suspects) {
            let answer = match self.get_group(run, &[index]).await {
                Ok(answer) => answer,
                Err(Verdict::Item { what, code, detail }) => {
                    run.take(index, outcome_of(what, code, detail));
                    continue;
                }
                Err(verdict) => return Err(self.error(verdict, "GetItem")),
            };
            self.sort(run, &[index], answer)?;
        }
        for (index, suspect) in std::mem::take(&mut run.suspects) {
            let Some(entry) = run.entries.get(index) else { continue };
            let rebuilt = self.rebuild(run.folder, entry, &suspect, &mut run.limits).await?;
            let fetched = match rebuilt {
                Some(fetched) => fetched,
                None => {
                    let server_is_well = run.results.iter().flatten().any(is_email);
                    if suspect.puzzling && !server_is_well {
                        self.probe().await?;
                    }
                    suspect.refused()
                }
            };
            run.settle(index, fetched);
        }
        Ok(())
    }

    /// Asks something that every mailbox can answer, to learn whether the server is well.
    async fn probe(&mut self) -> Result<(), SourceError> {
        let question = Question {
            operation: "GetFolder",
            subject: Subject::Mailbox,
            bodies: Bodies::Mime,
            limits: self.limits(),
            write: &|envelope| envelope.folder_marks([Target::Root]),
            read: reply::folder_marks,
        };
        match self.ask(question).await {
            Ok(answer) => match answer.value.into_iter().next() {
                Some(Err(fault)) => {
                    let verdict = self.judge(&fault, "GetFolder", Subject::Mailbox);
                    Err(self.error(verdict, "GetFolder"))
                }
                _ => Ok(()),
            },
            Err(verdict) => Err(self.error(verdict, "GetFolder")),
        }
    }
}

impl Run<'_> {
    fn settle(&mut self, index: usize, fetched: Fetched) {
        if let Some(result) = self.results.get_mut(index) {
            *result = Some(fetched);
        }
    }

    fn take(&mut self, index: usize, outcome: Outcome) {
        match outcome {
            Outcome::Done(fetched) => self.settle(index, fetched),
            Outcome::Suspect(suspect) => self.suspects.push((index, suspect)),
            Outcome::Again | Outcome::Stop(_) => {}
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

pub(super) fn too_large(limit: u64) -> Suspect {
    Suspect::new("TooLarge", &format!("it is larger than {limit} bytes, the limit in the settings"))
}

fn outcome_of(what: ItemVerdict, code: String, detail: String) -> Outcome {
    let suspect = Suspect { code, detail, puzzling: what == ItemVerdict::Puzzling };
    match what {
        ItemVerdict::Gone => Outcome::Done(Fetched::Gone),
        ItemVerdict::TooLarge => Outcome::Done(suspect.refused()),
        ItemVerdict::Broken | ItemVerdict::Puzzling => Outcome::Suspect(suspect),
    }
}

fn is_email(fetched: &Fetched) -> bool {
    matches!(fetched, Fetched::Email(_))
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
