//! A mailbox in memory, with the habits of a real server: cursors that expire, items that move,
//! fail, or vanish between listing and fetching. It can be read over two protocols: over one, an item
//! that moves gets a new id and marks are proof; over the other its id stays and marks are hints.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use record::{
    Body, Checkpoint, Email, Entry, Fetched, Folder, FolderId, ItemId, MailboxId, Metadata, Page,
    Position, Protocol, Scope, Source, SourceError, Survey, Uid,
};

/// The server's side of one mailbox, shared by the sources that read it and the test that
/// changes it.
#[derive(Clone)]
pub struct MemoryMailbox(Arc<Mutex<Inner>>);

struct Inner {
    mailbox: MailboxId,
    /// Number of the last change; every change has one.
    sequence: u64,
    /// Raised when all cursors are to become worthless.
    epoch: u64,
    folders: BTreeMap<FolderId, Vec<String>>,
    items: BTreeMap<ItemId, Item>,
    removals: BTreeMap<FolderId, u64>,
    next_item: u64,
    /// Uids of every email that was ever delivered and has not been deleted for good.
    truth: BTreeSet<Uid>,
    /// Items that are never handed out.
    corrupt: BTreeSet<Uid>,
    /// Items on which every request that names them fails without an answer.
    poison: BTreeSet<Uid>,
    /// Items on which a fetch panics, as a bug would.
    traps: BTreeSet<Uid>,
    /// Items that kill the program which fetches them.
    deadly: BTreeSet<Uid>,
    /// How often they did.
    kills: u64,
    /// Sizes as the server lists them, where they are not those of the bodies.
    sizes: BTreeMap<Uid, u64>,
    /// Items that are listed, but said not to be there.
    hidden: BTreeSet<Uid>,
    /// Folders that cannot be listed.
    sick: BTreeSet<FolderId>,
    /// The next survey is answered by a wish for a pause.
    throttle: Option<(Duration, Scope)>,
    /// What emails are created from now on, if the server dates that.
    now: Option<DateTime<Utc>>,
    /// Ids of one protocol can be told in terms of the other.
    translates: bool,
    /// How often each email was handed out.
    fetched: BTreeMap<Uid, u64>,
    panics: bool,
    surveys: u64,
    lists: u64,
}

#[derive(Clone)]
struct Item {
    folder: FolderId,
    uid: Uid,
    message_id: String,
    received: DateTime<Utc>,
    created: Option<DateTime<Utc>>,
    changed: u64,
    draft: bool,
    body: Bytes,
}

impl MemoryMailbox {
    pub fn new(mailbox: &str) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            mailbox: mailbox.parse().unwrap(),
            sequence: 0,
            epoch: 1,
            folders: BTreeMap::new(),
            items: BTreeMap::new(),
            removals: BTreeMap::new(),
            next_item: 0,
            truth: BTreeSet::new(),
            corrupt: BTreeSet::new(),
            poison: BTreeSet::new(),
            traps: BTreeSet::new(),
            deadly: BTreeSet::new(),
            kills: 0,
            sizes: BTreeMap::new(),
            hidden: BTreeSet::new(),
            sick: BTreeSet::new(),
            throttle: None,
            now: None,
            translates: true,
            fetched: BTreeMap::new(),
            panics: false,
            surveys: 0,
            lists: 0,
        })))
    }

    pub fn add_folder(&self, name: &str) -> FolderId {
        let mut inner = self.0.lock().unwrap();
        let id = FolderId(format!("folder-{}", inner.folders.len()));
        inner.folders.insert(id.clone(), vec![name.to_owned()]);
        id
    }

    /// Delivers an email received `minutes` after the start of 2026.
    pub fn deliver(&self, folder: &FolderId, minutes: i64) -> Uid {
        let received =
            DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(20_454) + TimeDelta::minutes(minutes);
        self.0.lock().unwrap().deliver(folder, received, false)
    }

    /// Delivers an email received then.
    pub fn receive(&self, folder: &FolderId, received: DateTime<Utc>) -> Uid {
        self.0.lock().unwrap().deliver(folder, received, false)
    }

    /// From now on the server tells when an item came into the mailbox, and it is this time.
    pub fn set_time(&self, now: DateTime<Utc>) {
        self.0.lock().unwrap().now = Some(now);
    }

    /// From now on ids of one protocol mean nothing to the other.
    pub fn refuse_to_translate(&self) {
        self.0.lock().unwrap().translates = false;
    }

    pub fn draft(&self, folder: &FolderId) -> Uid {
        let received = DateTime::<Utc>::UNIX_EPOCH;
        self.0.lock().unwrap().deliver(folder, received, true)
    }

    /// Moves an email: it gets a new item id, its uid stays.
    pub fn move_email(&self, uid: Uid, to: &FolderId) {
        let mut inner = self.0.lock().unwrap();
        let Some(mut item) = inner.take(uid) else { return };
        inner.remove_from(&item.folder.clone());
        item.folder = to.clone();
        inner.put(item);
    }

    /// Deletes an email for good; what is not delivered yet need not be any more.
    pub fn delete(&self, uid: Uid) {
        let mut inner = self.0.lock().unwrap();
        if let Some(item) = inner.take(uid) {
            inner.remove_from(&item.folder.clone());
            inner.truth.remove(&uid);
        }
    }

    pub fn rename_folder(&self, id: &FolderId, name: &str) {
        self.0.lock().unwrap().folders.insert(id.clone(), vec![name.to_owned()]);
    }

    /// Makes all cursors that were handed out so far worthless.
    pub fn expire_cursors(&self) {
        self.0.lock().unwrap().epoch += 1;
    }

    /// The server will refuse this item for ever.
    pub fn corrupt(&self, uid: Uid) {
        self.0.lock().unwrap().corrupt.insert(uid);
    }

    /// Every request that names this item gets no answer.
    pub fn poison(&self, uid: Uid) {
        self.0.lock().unwrap().poison.insert(uid);
    }

    /// Fetching this item panics, as a bug in a source would.
    pub fn trap(&self, uid: Uid) {
        self.0.lock().unwrap().traps.insert(uid);
    }

    /// Fetching this item kills the program: the call never comes back, and [`Self::kills`] tells.
    pub fn make_deadly(&self, uid: Uid) {
        self.0.lock().unwrap().deadly.insert(uid);
    }

    /// How often a fetch should have killed the program.
    pub fn kills(&self) -> u64 {
        self.0.lock().unwrap().kills
    }

    /// The server lists this item as `bytes` long.
    pub fn enlarge(&self, uid: Uid, bytes: u64) {
        self.0.lock().unwrap().sizes.insert(uid, bytes);
    }

    /// The item stays in the listing, but the server says that it is not there.
    pub fn hide(&self, uid: Uid) {
        self.0.lock().unwrap().hidden.insert(uid);
    }

    /// Listing this folder always fails, although the server is well.
    pub fn make_sick(&self, folder: &FolderId) {
        self.0.lock().unwrap().sick.insert(folder.clone());
    }

    /// The server asks for a pause, once.
    pub fn throttle(&self, pause: Duration, scope: Scope) {
        self.0.lock().unwrap().throttle = Some((pause, scope));
    }

    /// Listing any folder panics, as a bug in a source would.
    pub fn panic(&self) {
        self.0.lock().unwrap().panics = true;
    }

    pub fn heal(&self) {
        let mut inner = self.0.lock().unwrap();
        inner.hidden.clear();
        inner.sick.clear();
        inner.poison.clear();
        inner.corrupt.clear();
        inner.deadly.clear();
    }

    /// What an archive must hold in the end.
    pub fn truth(&self) -> BTreeSet<Uid> {
        self.0.lock().unwrap().truth.clone()
    }

    /// Emails that were handed out more than once, and how often that was.
    pub fn fetched_again(&self) -> u64 {
        self.0.lock().unwrap().fetched.values().map(|times| times - 1).sum()
    }

    /// Uids that `position` of `folder` covers and that are still there.
    pub fn covered(&self, folder: &FolderId, position: &Position) -> Vec<Uid> {
        let inner = self.0.lock().unwrap();
        let Some(upto) = inner.parse(position) else { return Vec::new() };
        inner
            .items
            .values()
            .filter(|item| names(folder, &item.folder) && item.changed <= upto && !item.draft)
            .map(|item| item.uid)
            .collect()
    }

    /// Requests for the folder list, and for listings, since the start.
    pub fn requests(&self) -> (u64, u64) {
        let inner = self.0.lock().unwrap();
        (inner.surveys, inner.lists)
    }

    pub fn source(&self) -> MemorySource {
        self.source_over(Protocol::Ews)
    }

    pub fn source_over(&self, protocol: Protocol) -> MemorySource {
        MemorySource { mailbox: self.clone(), protocol }
    }
}

/// What stands before ids and positions of the second protocol.
const LINK: &str = "https://graph.example.com/";

/// Whether an id of either protocol names the folder.
fn names(id: &FolderId, folder: &FolderId) -> bool {
    id.0.strip_prefix(LINK).unwrap_or(&id.0) == folder.0
}

impl Inner {
    fn deliver(&mut self, folder: &FolderId, received: DateTime<Utc>, draft: bool) -> Uid {
        let number = self.next_item;
        let message_id = format!("<{number}@example.org>");
        let uid = Uid::derive("memory", &self.mailbox, &number.to_be_bytes(), &message_id);
        let body = Bytes::from(format!("Message-ID: {message_id}\r\n\r\nBody {number}\r\n"));
        let (folder, created) = (folder.clone(), self.now);
        self.put(Item { folder, uid, message_id, received, created, changed: 0, draft, body });
        if !draft {
            self.truth.insert(uid);
        }
        uid
    }

    fn put(&mut self, mut item: Item) {
        self.sequence += 1;
        self.next_item += 1;
        item.changed = self.sequence;
        self.items.insert(ItemId(format!("item-{:06}", self.next_item)), item);
    }

    fn take(&mut self, uid: Uid) -> Option<Item> {
        let id = self.items.iter().find(|(_, item)| item.uid == uid)?.0.clone();
        self.items.remove(&id)
    }

    fn remove_from(&mut self, folder: &FolderId) {
        self.sequence += 1;
        *self.removals.entry(folder.clone()).or_default() += 1;
    }

    fn parse(&self, position: &Position) -> Option<u64> {
        let token = match position {
            Position::Cursor { token } => token,
            Position::Link { url } => url.strip_prefix(LINK)?,
        };
        let (epoch, sequence) = token.split_once(':')?;
        (epoch.parse() == Ok(self.epoch)).then(|| sequence.parse().ok())?
    }

    /// The item of this id of either protocol.
    fn item(&self, id: &ItemId) -> Option<&Item> {
        match id.0.strip_prefix(LINK) {
            None => self.items.get(id),
            Some(uid) => self.items.values().find(|item| uid.parse() == Ok(item.uid)),
        }
    }
}

/// Reads a [`MemoryMailbox`].
pub struct MemorySource {
    mailbox: MemoryMailbox,
    protocol: Protocol,
}

impl MemorySource {
    fn folder_id(&self, id: &FolderId) -> FolderId {
        match self.protocol {
            Protocol::Ews => id.clone(),
            Protocol::Graph => FolderId(format!("{LINK}{}", id.0)),
        }
    }

    fn item_id(&self, id: &ItemId, item: &Item) -> ItemId {
        match self.protocol {
            Protocol::Ews => id.clone(),
            Protocol::Graph => ItemId(format!("{LINK}{}", item.uid)),
        }
    }

    fn position(&self, token: String) -> Position {
        match self.protocol {
            Protocol::Ews => Position::Cursor { token },
            Protocol::Graph => Position::Link { url: format!("{LINK}{token}") },
        }
    }
}

#[async_trait]
impl Source for MemorySource {
    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn marks_are_proof(&self) -> bool {
        self.protocol == Protocol::Ews
    }

    async fn survey(&mut self, _: &Checkpoint, _: bool) -> Result<Survey, SourceError> {
        let mut inner = self.mailbox.0.lock().unwrap();
        inner.surveys += 1;
        if let Some((pause, scope)) = inner.throttle.take() {
            let (host, retry_after) = ("memory".to_owned(), Some(pause));
            return Err(SourceError::Throttled { host, scope, retry_after });
        }
        let folders = inner
            .folders
            .iter()
            .map(|(id, path)| {
                let items = || inner.items.values().filter(|item| item.folder == *id);
                let newest = items().map(|item| item.changed).max().unwrap_or(0);
                let removed = inner.removals.get(id).copied().unwrap_or(0);
                // A hint misses most changes.
                let newest = if self.marks_are_proof() { newest } else { newest / 4 };
                Folder {
                    id: self.folder_id(id),
                    path: path.clone(),
                    mark: Some(format!("{newest}/{removed}/{}", inner.epoch)),
                    total: Some(items().count() as u64),
                }
            })
            .collect();
        Ok(Survey { folders, hierarchy: None })
    }

    async fn list(
        &mut self,
        folder: &Folder,
        from: Option<&Position>,
        limit: usize,
    ) -> Result<Page, SourceError> {
        let mut inner = self.mailbox.0.lock().unwrap();
        inner.lists += 1;
        let known = inner.folders.keys().find(|known| self.folder_id(known) == folder.id);
        let Some(known) = known.cloned() else {
            return Err(SourceError::FolderGone { folder: folder.id.clone() });
        };
        assert!(!inner.panics, "a bug, put in on purpose");
        if inner.sick.contains(&known) {
            let code = "ErrorInternalServerError".to_owned();
            let host = "memory".to_owned();
            return Err(SourceError::Unavailable { host, code, scope: Scope::Mailbox });
        }
        let after = match from {
            None => 0,
            Some(position) => inner
                .parse(position)
                .ok_or_else(|| SourceError::CursorExpired { folder: folder.id.clone() })?,
        };
        let mut items: Vec<(&ItemId, &Item)> = inner
            .items
            .iter()
            .filter(|(_, item)| item.folder == known && item.changed > after)
            .collect();
        items.sort_by_key(|(_, item)| item.changed);
        let more = items.len() > limit;
        items.truncate(limit);
        let reached = match items.last() {
            Some((_, last)) if more => last.changed,
            _ => inner.sequence,
        };
        let entries = items
            .into_iter()
            .map(|(id, item)| Entry {
                item: self.item_id(id, item),
                uid: item.uid,
                message_id: Some(item.message_id.clone()),
                received: Some(item.received),
                created: item.created,
                size: Some(inner.sizes.get(&item.uid).copied().unwrap_or(item.body.len() as u64)),
                is_draft: item.draft,
            })
            .collect();
        let token = format!("{}:{reached}", inner.epoch);
        Ok(Page { entries, removed: 0, next: self.position(token), more })
    }

    async fn fetch(
        &mut self,
        folder: &Folder,
        entries: &[Entry],
    ) -> Result<Vec<Fetched>, SourceError> {
        let deadly = {
            let mut inner = self.mailbox.0.lock().unwrap();
            let deadly = entries.iter().any(|entry| inner.deadly.contains(&entry.uid));
            inner.kills += u64::from(deadly);
            deadly
        };
        if deadly {
            std::future::pending::<()>().await;
        }
        let traps = self.mailbox.0.lock().unwrap().traps.clone();
        assert!(!entries.iter().any(|entry| traps.contains(&entry.uid)), "a bug put in on purpose");
        let mut inner = self.mailbox.0.lock().unwrap();
        if entries.iter().any(|entry| inner.poison.contains(&entry.uid)) {
            let cause = "connection reset".into();
            return Err(SourceError::Unreachable { host: "memory".into(), cause });
        }
        let fetch = |entry: &Entry| match inner.item(&entry.item) {
            None => Fetched::Gone,
            Some(item) if inner.hidden.contains(&item.uid) => Fetched::Gone,
            Some(item) if inner.corrupt.contains(&item.uid) => Fetched::Refused {
                code: "ErrorItemCorrupt".to_owned(),
                detail: "the item is corrupt".to_owned(),
            },
            Some(item) => Fetched::Email(Box::new(Email {
                uid: item.uid,
                item: entry.item.clone(),
                message_id: Some(item.message_id.clone()),
                timestamp: item.received,
                metadata: Metadata { folder: folder.path.clone(), ..Metadata::default() },
                body: Body::Memory(item.body.clone()),
            })),
        };
        let results: Vec<Fetched> = entries.iter().map(fetch).collect();
        for result in &results {
            if let Fetched::Email(email) = result {
                *inner.fetched.entry(email.uid).or_default() += 1;
            }
        }
        Ok(results)
    }

    async fn translate(
        &mut self,
        from: Protocol,
        items: &[ItemId],
    ) -> Result<Vec<Option<ItemId>>, SourceError> {
        let inner = self.mailbox.0.lock().unwrap();
        let translate = |id: &ItemId| {
            let item = inner.item(id).filter(|_| inner.translates && from != self.protocol)?;
            // Back to ids that change with each move there is no way.
            (self.protocol == Protocol::Graph).then(|| self.item_id(id, item))
        };
        Ok(items.iter().map(translate).collect())
    }
}

/// How long a simulated call may take.
pub const SLOWEST_CALL: Duration = Duration::from_millis(80);
