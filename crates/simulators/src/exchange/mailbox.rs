//! One mailbox: folders, items, and the sequence numbers that order every change.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use openssl::sha::Sha256;

use super::{
    folder::{Change, Folder, FolderSet, Kind},
    id::{FolderNo, Guid, Id, ItemNo, Target},
    item::{Delivery, Item},
};

/// A mailbox and everything in it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(crate) address: String,
    pub(crate) guid: Guid,
    pub(crate) folders: BTreeMap<FolderNo, Folder>,
    pub(crate) items: HashMap<ItemNo, Item>,
    /// Folders by the sequence number of their latest change.
    pub(crate) hierarchy: BTreeMap<u64, FolderNo>,
    /// Raised when all sync states become worthless.
    pub(crate) epoch: u32,
    /// The code that every request for this mailbox gets, if any.
    pub(crate) out_of_service: Option<String>,
    /// Whether Graph serves the mailbox; EWS does in any case.
    pub(crate) in_cloud: bool,
    /// Items that moved within the mailbox, by their immutable number.
    moved: HashMap<ItemNo, ItemNo>,
    seq: u64,
    next_item: ItemNo,
}

impl Mailbox {
    pub(crate) fn new(address: &str, set: FolderSet, now: DateTime<Utc>) -> Self {
        let mut mailbox = Self {
            address: address.to_owned(),
            guid: Guid::of(address),
            folders: BTreeMap::new(),
            items: HashMap::new(),
            hierarchy: BTreeMap::new(),
            epoch: 1,
            out_of_service: None,
            in_cloud: true,
            moved: HashMap::new(),
            seq: 0,
            next_item: 1,
        };
        for (distinguished, parent, name, class, kind) in set.templates() {
            let parent = mailbox.distinguished(parent);
            let folder = mailbox.insert_folder(parent, name, *class, *kind, now);
            if let Some(folder) = mailbox.folders.get_mut(&folder) {
                folder.distinguished = Some(distinguished);
            }
        }
        mailbox
    }

    pub(crate) fn distinguished(&self, name: &str) -> Option<FolderNo> {
        self.folders
            .values()
            .find(|folder| {
                !folder.deleted
                    && folder.distinguished.is_some_and(|own| own.eq_ignore_ascii_case(name))
            })
            .map(|folder| folder.no)
    }

    /// A folder that exists.
    pub(crate) fn folder(&self, no: FolderNo) -> Option<&Folder> {
        self.folders.get(&no).filter(|folder| !folder.deleted)
    }

    /// The folder at `path` below the top of the mailbox.
    pub(crate) fn find_folder(&self, path: &[&str]) -> Option<FolderNo> {
        path.iter().try_fold(self.distinguished("msgfolderroot")?, |parent, name| {
            self.children(parent).find(|folder| folder.name == *name).map(|folder| folder.no)
        })
    }

    /// Names from the top of the mailbox down to `no`; empty for the top itself.
    pub(crate) fn path(&self, no: FolderNo) -> Vec<String> {
        let mut path = Vec::new();
        let mut at = self.folders.get(&no);
        // Longer than the longest chain: a loop of parents would not end otherwise.
        for _ in 0..=self.folders.len() {
            let Some(folder) = at else { break };
            if matches!(folder.distinguished, Some("msgfolderroot" | "root")) {
                break;
            }
            path.push(folder.name.clone());
            at = folder.parent.and_then(|parent| self.folders.get(&parent));
        }
        path.reverse();
        path
    }

    pub(crate) fn children(&self, parent: FolderNo) -> impl Iterator<Item = &Folder> {
        self.folders.values().filter(move |f| f.parent == Some(parent) && !f.deleted)
    }

    /// Whether `no` lies below `root`, at any depth.
    pub(crate) fn is_below(&self, no: FolderNo, root: FolderNo) -> bool {
        let mut at = self.folders.get(&no).and_then(|folder| folder.parent);
        for _ in 0..=self.folders.len() {
            match at {
                Some(parent) if parent == root => return true,
                Some(parent) => at = self.folders.get(&parent).and_then(|folder| folder.parent),
                None => return false,
            }
        }
        false
    }

    pub(crate) fn insert_folder(
        &mut self,
        parent: Option<FolderNo>,
        name: &str,
        class: Option<&str>,
        kind: Kind,
        now: DateTime<Utc>,
    ) -> FolderNo {
        let no = self.folders.keys().next_back().map_or(1, |last| last + 1);
        let seq = self.advance();
        let folder = Folder {
            no,
            parent,
            name: name.to_owned(),
            class: class.map(str::to_owned),
            kind,
            distinguished: None,
            version: 1,
            created: seq,
            logged: seq,
            deleted: false,
            hidden: false,
            items: BTreeMap::new(),
            by_date: std::collections::BTreeSet::new(),
            log: BTreeMap::new(),
            unread: 0,
            left: 0,
            committed: now,
        };
        self.folders.insert(no, folder);
        self.hierarchy.insert(seq, no);
        no
    }

    /// Changes name or parent of a folder, or both.
    pub(crate) fn change_folder(&mut self, no: FolderNo, name: Option<&str>, to: Option<FolderNo>) {
        self.log_folder(no);
        if let Some(folder) = self.folders.get_mut(&no) {
            if let Some(name) = name {
                name.clone_into(&mut folder.name);
            }
            folder.parent = to.or(folder.parent);
        }
    }

    /// Deletes a folder with everything in and below it.
    pub(crate) fn delete_folder(&mut self, no: FolderNo, now: DateTime<Utc>) {
        let below: Vec<_> =
            self.folders.keys().copied().filter(|each| self.is_below(*each, no)).collect();
        for no in below.into_iter().chain([no]) {
            let items: Vec<_> =
                self.folders.get(&no).map_or(vec![], |f| f.items.values().copied().collect());
            for item in items {
                self.remove(item, now);
            }
            self.log_folder(no);
            if let Some(folder) = self.folders.get_mut(&no) {
                folder.deleted = true;
            }
        }
    }

    fn log_folder(&mut self, no: FolderNo) {
        let seq = self.advance();
        if let Some(folder) = self.folders.get_mut(&no) {
            self.hierarchy.remove(&folder.logged);
            folder.logged = seq;
            folder.version += 1;
            self.hierarchy.insert(seq, no);
        }
    }

    /// Puts a message into a folder that exists.
    pub(crate) fn insert(&mut self, to: FolderNo, new: Delivery, now: DateTime<Utc>) -> ItemNo {
        let no = self.next_item;
        let seq = self.advance();
        let mut hash = Sha256::new();
        hash.update(self.address.as_bytes());
        hash.update(&no.to_be_bytes());
        let mut search_key = [0; 16];
        for (to, from) in search_key.iter_mut().zip(hash.finish()) {
            *to = from;
        }
        let item = Item {
            no,
            folder: to,
            created: seq,
            logged: seq,
            version: 1,
            search_key: new.search_key.unwrap_or(search_key),
            immutable: no,
            created_at: now,
            modified_at: now,
            delivery: new,
        };
        self.place(item, now);
        no
    }

    fn place(&mut self, item: Item, now: DateTime<Utc>) {
        self.next_item = self.next_item.max(item.no + 1);
        if let Some(folder) = self.folders.get_mut(&item.folder) {
            folder.items.insert(item.created, item.no);
            folder.by_date.insert((item.delivery.received, item.no));
            folder.log.insert(item.logged, Change::Present(item.no));
            folder.unread += usize::from(!item.delivery.is_read);
            folder.committed = now;
        }
        self.items.insert(item.no, item);
    }

    /// Takes an item out of its folder; the log keeps that it was there.
    pub(crate) fn remove(&mut self, no: ItemNo, now: DateTime<Utc>) -> Option<Item> {
        let seq = self.advance();
        let item = self.items.remove(&no)?;
        self.moved.remove(&item.immutable);
        if let Some(folder) = self.folders.get_mut(&item.folder) {
            folder.items.remove(&item.created);
            folder.by_date.remove(&(item.delivery.received, no));
            folder.log.remove(&item.logged);
            let gone = Change::Gone {
                item: no,
                immutable: item.immutable,
                created: item.created,
                version: item.version,
            };
            folder.log.insert(seq, gone);
            folder.unread -= usize::from(!item.delivery.is_read).min(folder.unread);
            folder.left = folder.left.wrapping_add(1);
            folder.committed = now;
        }
        Some(item)
    }

    /// Moves an item: it gets a new id and keeps its search key and everything else.
    pub(crate) fn relocate(
        &mut self,
        no: ItemNo,
        to: FolderNo,
        now: DateTime<Utc>,
    ) -> Option<ItemNo> {
        let item = self.remove(no, now)?;
        let immutable = item.immutable;
        let no = self.put_again(item, to, now);
        if let Some(item) = self.items.get_mut(&no) {
            item.immutable = immutable;
            self.moved.insert(immutable, no);
        }
        Some(no)
    }

    /// Copies an item: a new id, the same search key.
    pub(crate) fn copy(&mut self, no: ItemNo, to: FolderNo, now: DateTime<Utc>) -> Option<ItemNo> {
        let item = self.items.get(&no)?.clone();
        Some(self.put_again(item, to, now))
    }

    /// Puts an item that comes from elsewhere, also from another mailbox, into a folder.
    pub(crate) fn put_again(&mut self, item: Item, to: FolderNo, now: DateTime<Utc>) -> ItemNo {
        let no = self.next_item;
        let seq = self.advance();
        self.place(
            Item {
                no,
                folder: to,
                created: seq,
                logged: seq,
                immutable: no,
                modified_at: now,
                ..item
            },
            now,
        );
        no
    }

    /// The item that came into the mailbox as number `immutable`.
    pub(crate) fn by_immutable(&self, immutable: ItemNo) -> Option<&Item> {
        let no = self.moved.get(&immutable).copied().unwrap_or(immutable);
        self.items.get(&no).filter(|item| item.immutable == immutable)
    }

    /// Hides a folder, or shows it again.
    pub(crate) fn hide_folder(&mut self, no: FolderNo, hidden: bool) {
        self.log_folder(no);
        if let Some(folder) = self.folders.get_mut(&no) {
            folder.hidden = hidden;
        }
    }

    /// Changes an item and logs the change.
    pub(crate) fn update(
        &mut self,
        no: ItemNo,
        now: DateTime<Utc>,
        change: impl FnOnce(&mut Delivery),
    ) {
        let seq = self.advance();
        let Some(item) = self.items.get_mut(&no) else { return };
        let Some(folder) = self.folders.get_mut(&item.folder) else { return };
        folder.by_date.remove(&(item.delivery.received, no));
        folder.unread -= usize::from(!item.delivery.is_read).min(folder.unread);
        change(&mut item.delivery);
        folder.by_date.insert((item.delivery.received, no));
        folder.unread += usize::from(!item.delivery.is_read);
        folder.log.remove(&item.logged);
        folder.log.insert(seq, Change::Present(no));
        folder.committed = now;
        (item.logged, item.modified_at) = (seq, now);
        item.version += 1;
    }

    /// Marks an item as read or unread.
    pub(crate) fn set_read(&mut self, no: ItemNo, read: bool, now: DateTime<Utc>) {
        // An unseen change of more than the flag must not shrink to one of the flag.
        let only_flag = self.items.get(&no).is_some_and(|item| item.logged == item.created)
            || self.log_entry(no).is_some_and(|change| matches!(change, Change::Read(_)));
        self.update(no, now, |item| item.is_read = read);
        if let (true, Some(item)) = (only_flag, self.items.get(&no))
            && let Some(folder) = self.folders.get_mut(&item.folder)
        {
            folder.log.insert(item.logged, Change::Read(no));
        }
    }

    fn log_entry(&self, no: ItemNo) -> Option<Change> {
        let item = self.items.get(&no)?;
        self.folders.get(&item.folder)?.log.get(&item.logged).copied()
    }

    /// The last sequence number given out.
    pub(crate) fn high(&self) -> u64 {
        self.seq
    }

    fn advance(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    pub(crate) fn item_id(&self, no: ItemNo) -> String {
        Id { mailbox: self.guid, target: Target::Item(no) }.encode()
    }

    pub(crate) fn folder_id(&self, no: FolderNo) -> String {
        Id { mailbox: self.guid, target: Target::Folder(no) }.encode()
    }
}
