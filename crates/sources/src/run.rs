//! The state of one fetch, whatever the protocol: what is still to be asked for, what came of it,
//! and which items are suspected.

use std::collections::VecDeque;

use record::{Entry, Fetched, Folder, ItemId, SourceError};

use crate::body::Limits;

/// Taken for an item whose size is not known.
const UNKNOWN_SIZE: u64 = 64 * 1024;

/// Replies of one fetch that may break off or be unreadable before it is given up for now. To find
/// the one item of a batch that spoils them takes six, to be sure of it two more.
const MAX_SPOILED: usize = 10;

/// What the answer for one item means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemVerdict {
    /// Deleted or moved.
    Gone,
    /// The server cannot make a message of it.
    Broken,
    /// Larger than the settings allow.
    TooLarge,
    /// The fault of the item or of the server: a second look must tell.
    Puzzling,
    /// No right to this item, or none to any: others must tell.
    Denied,
    /// The connection breaks while the server sends it.
    Cut,
}

/// What is wrong with an item that the server answered for.
#[derive(Clone, Debug)]
pub(crate) struct Suspect {
    pub(crate) code: String,
    pub(crate) detail: String,
    pub(crate) doubt: Doubt,
}

/// What else than the item could be the reason. While there is a doubt, an email is not rebuilt:
/// a later attempt can bring the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    None,
    /// The bytes came damaged.
    Transport,
    /// The server may not be well.
    Server,
    /// The right to read may be gone.
    Right,
    /// The connection breaks, perhaps for every item.
    Connection,
}

impl Suspect {
    pub(crate) fn new(code: &str, detail: &str, doubt: Doubt) -> Self {
        Self { code: code.to_owned(), detail: detail.to_owned(), doubt }
    }

    pub(crate) fn refused(self) -> Fetched {
        Fetched::Refused { code: self.code, detail: self.detail }
    }
}

/// What one item of a request came to.
pub(crate) enum Outcome {
    Done(Fetched),
    Suspect(Suspect),
    /// To be asked again, with fewer others.
    Again,
    /// Nothing further can be had now.
    Stop(SourceError),
}

/// How much is asked for at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portion {
    pub(crate) items: usize,
    /// By the sizes that the listing told.
    pub(crate) bytes: u64,
    /// An item larger than this is asked for alone.
    pub(crate) large: u64,
}

/// The state of one `fetch`.
pub(crate) struct Run<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) entries: &'a [Entry],
    pub(crate) results: Vec<Option<Fetched>>,
    pub(crate) suspects: Vec<(usize, Suspect)>,
    pub(crate) groups: VecDeque<Vec<usize>>,
    /// What bodies may still take of this machine.
    pub(crate) limits: Limits,
    /// Replies that broke off without any gain, or could not be read.
    spoiled: usize,
    /// The first failure of an item that could not be had even alone.
    failure: Option<SourceError>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        folder: &'a Folder,
        entries: &'a [Entry],
        portion: Portion,
        limits: Limits,
    ) -> Self {
        Self {
            folder,
            entries,
            results: entries.iter().map(|_| None).collect(),
            suspects: Vec::new(),
            groups: plan(entries, portion),
            limits,
            spoiled: 0,
            failure: None,
        }
    }

    /// What came of the entries, unless nothing did: then the reason.
    pub(crate) fn finish(
        self,
        stopped: Result<(), SourceError>,
    ) -> Result<Vec<Fetched>, SourceError> {
        match stopped.err().or(self.failure) {
            Some(err) if self.results.iter().all(Option::is_none) => Err(err),
            _ => Ok(self.results.into_iter().map(|done| done.unwrap_or(Fetched::Later)).collect()),
        }
    }

    pub(crate) fn settle(&mut self, index: usize, fetched: Fetched) {
        if let Some(result) = self.results.get_mut(index) {
            *result = Some(fetched);
        }
    }

    pub(crate) fn take(&mut self, index: usize, outcome: Outcome) {
        match outcome {
            Outcome::Done(fetched) => self.settle(index, fetched),
            Outcome::Suspect(suspect) => self.suspects.push((index, suspect)),
            Outcome::Again | Outcome::Stop(_) => {}
        }
    }

    /// Counts a reply that was of no use; `true` when it is time to give up for now.
    pub(crate) fn spoil(&mut self) -> bool {
        self.spoiled += 1;
        self.spoiled > MAX_SPOILED
    }

    /// Puts the halves of `group` in front; of a single item, `err` is the last word.
    pub(crate) fn less(&mut self, group: &[usize], err: SourceError) {
        match group {
            [_, _, ..] => self.halve(group),
            _ => self.failure = self.failure.take().or(Some(err)),
        }
    }

    pub(crate) fn halve(&mut self, group: &[usize]) {
        let (first, second) = group.split_at(group.len() / 2);
        self.groups.push_front(second.to_vec());
        self.groups.push_front(first.to_vec());
    }

    pub(crate) fn index_of(&self, group: &[usize], item: &ItemId) -> Option<usize> {
        group.iter().copied().find(|&i| self.entries.get(i).is_some_and(|e| e.item == *item))
    }

    /// An item so much larger than allowed that its MIME form cannot be smaller.
    pub(crate) fn refuse_unseen(&self, index: usize) -> Option<Fetched> {
        let size = self.entries.get(index)?.size?;
        let limit = self.limits.max_size;
        (size > limit.saturating_mul(2)).then(|| too_large(limit).refused())
    }

    /// An email came of some entry, so that the server and the way there are well.
    pub(crate) fn has_email(&self) -> bool {
        self.results.iter().flatten().any(|fetched| matches!(fetched, Fetched::Email(_)))
    }
}

pub(crate) fn too_large(limit: u64) -> Suspect {
    Suspect::new(
        "TooLarge",
        &format!("it is larger than {limit} bytes, the limit in the settings"),
        Doubt::None,
    )
}

pub(crate) fn outcome_of(what: ItemVerdict, code: String, detail: String) -> Outcome {
    let suspect = |doubt| Suspect { code, detail, doubt };
    match what {
        ItemVerdict::Gone => Outcome::Done(Fetched::Gone),
        ItemVerdict::TooLarge => Outcome::Done(suspect(Doubt::None).refused()),
        ItemVerdict::Broken => Outcome::Suspect(suspect(Doubt::None)),
        ItemVerdict::Puzzling => Outcome::Suspect(suspect(Doubt::Server)),
        ItemVerdict::Denied => Outcome::Suspect(suspect(Doubt::Right)),
        ItemVerdict::Cut => Outcome::Suspect(suspect(Doubt::Connection)),
    }
}

/// Forms the requests for `entries`, in their order.
fn plan(entries: &[Entry], portion: Portion) -> VecDeque<Vec<usize>> {
    let mut groups: VecDeque<Vec<usize>> = VecDeque::new();
    let mut bytes = 0;
    for (index, entry) in entries.iter().enumerate() {
        let size = entry.size.unwrap_or(UNKNOWN_SIZE);
        match groups.back_mut() {
            Some(group)
                if group.len() < portion.items
                    && bytes <= portion.bytes.saturating_sub(size)
                    && size <= portion.large =>
            {
                group.push(index);
                bytes += size;
            }
            _ => {
                groups.push_back(vec![index]);
                // Nothing joins a large item.
                bytes = if size > portion.large { portion.bytes + 1 } else { size };
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use record::Uid;

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
        let portion = Portion { items: 20, bytes: 8 << 20, large: 1 << 20 };
        plan(&entries(sizes), portion).iter().map(Vec::len).collect()
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
