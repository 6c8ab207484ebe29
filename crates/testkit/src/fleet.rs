//! Very many mailboxes in little memory, read over a protocol whose marks are hints, with a count
//! of the requests that each call would cost.
//!
//! The cost is that of Microsoft Graph: one request for the folder list, one for each page of a
//! folder, one for each email that is fetched, also within a batch. For paused time.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use record::{
    Body, BucketId, Checkpoint, Clock, Email, Entry, Fetched, Folder, FolderId, FolderState, Held,
    ItemId, Metadata, Page, Position, Protocol, Quarantined, Refusal, Route, Sink, SinkError,
    Source, SourceError, Survey, Uid,
};
use tokio::time::Instant;

/// Names of folders: the first ones of each mailbox.
const NAMES: [&str; 6] =
    ["Inbox", "Sent Items", "Archive", "Junk Email", "Drafts", "Deleted Items"];

/// What a fleet is made of.
#[derive(Clone, Copy, Debug)]
pub struct FleetSettings {
    pub mailboxes: usize,
    /// Folders of each mailbox.
    pub folders: usize,
    /// How long ago something happened in each mailbox, before the beginning.
    pub idle: Duration,
    /// A survey shows by its marks which folders have changed.
    pub hints: bool,
    /// How long the server takes for a request.
    pub latency: Duration,
}

/// The server's side of all mailboxes, and the sink that they flow into.
#[derive(Clone)]
pub struct Fleet(Arc<Inner>);

struct Inner {
    settings: FleetSettings,
    bucket: BucketId,
    zero: OnceLock<Instant>,
    mailboxes: Vec<Mutex<Mailbox>>,
    counted: Mutex<Counted>,
    saves: AtomicU64,
}

#[derive(Default)]
struct Counted {
    /// Requests of each second.
    seconds: Vec<u32>,
    latencies: Vec<Duration>,
}

/// One mailbox, and what is stored of it.
struct Mailbox {
    generation: u64,
    folders: Vec<Listed>,
    /// Folder, number and time of what is not delivered.
    waiting: Vec<(u32, u32, Duration)>,
}

/// A folder on the server and in the checkpoint.
#[derive(Clone, Copy, Default)]
struct Listed {
    emails: u32,
    /// The stored position.
    position: u32,
    /// In seconds since the beginning.
    read_at: i64,
    newest: i64,
}

impl Fleet {
    pub fn new(settings: FleetSettings) -> Self {
        let idle = i64::try_from(settings.idle.as_secs()).unwrap();
        let listed = Listed { newest: -idle, read_at: -idle, ..Listed::default() };
        let mailbox = || {
            let folders = vec![listed; settings.folders];
            Mutex::new(Mailbox { generation: 1, folders, waiting: Vec::new() })
        };
        Self(Arc::new(Inner {
            mailboxes: (0..settings.mailboxes).map(|_| mailbox()).collect(),
            settings,
            bucket: BucketId::new("project", "fleet").unwrap(),
            zero: OnceLock::new(),
            counted: Mutex::default(),
            saves: AtomicU64::new(0),
        }))
    }

    pub fn route(&self, index: usize) -> Route {
        let mailbox = format!("m{index}@example.com").parse().unwrap();
        Route { mailbox, bucket: self.0.bucket.clone() }
    }

    pub fn source(&self, index: usize) -> FleetSource {
        FleetSource { fleet: self.clone(), index }
    }

    pub fn sink(&self) -> FleetSink {
        FleetSink(self.clone())
    }

    /// An email comes now.
    pub fn deliver(&self, index: usize, folder: usize) {
        let now = self.passed();
        let mut mailbox = self.0.mailboxes[index].lock().unwrap();
        mailbox.folders[folder].emails += 1;
        let number = mailbox.folders[folder].emails;
        mailbox.waiting.push((u32::try_from(folder).unwrap(), number, now));
    }

    /// Time since the first call of whatever.
    pub fn passed(&self) -> Duration {
        self.0.zero.get_or_init(Instant::now).elapsed()
    }

    /// Requests of each second since the beginning.
    pub fn seconds(&self) -> Vec<u32> {
        let mut seconds = self.0.counted.lock().unwrap().seconds.clone();
        seconds.resize(usize::try_from(self.passed().as_secs()).unwrap(), 0);
        seconds
    }

    /// How long each email has waited that was delivered since this was asked last.
    pub fn latencies(&self) -> Vec<Duration> {
        std::mem::take(&mut self.0.counted.lock().unwrap().latencies)
    }

    /// Checkpoints saved since the beginning.
    pub fn saves(&self) -> u64 {
        self.0.saves.load(Ordering::Relaxed)
    }

    /// Emails that are not delivered, and the longest time that one of them has waited.
    pub fn waiting(&self) -> (usize, Duration) {
        let now = self.passed();
        let (mut count, mut longest) = (0, Duration::ZERO);
        for mailbox in &self.0.mailboxes {
            for (.., at) in &mailbox.lock().unwrap().waiting {
                count += 1;
                longest = longest.max(now - *at);
            }
        }
        (count, longest)
    }

    async fn pays(&self, requests: usize) {
        let second = usize::try_from(self.passed().as_secs()).unwrap();
        {
            let mut counted = self.0.counted.lock().unwrap();
            if counted.seconds.len() <= second {
                counted.seconds.resize(second + 1, 0);
            }
            counted.seconds[second] += u32::try_from(requests).unwrap();
        }
        if !self.0.settings.latency.is_zero() {
            tokio::time::sleep(self.0.settings.latency).await;
        }
    }

    fn index(&self, route: &Route) -> usize {
        let name = route.mailbox.as_str().strip_prefix('m').unwrap();
        name.split('@').next().unwrap().parse().unwrap()
    }
}

/// The clock of a fleet begins at a round time.
impl Clock for Fleet {
    fn now(&self) -> DateTime<Utc> {
        time(0) + TimeDelta::from_std(self.passed()).unwrap()
    }
}

fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn folder_id(folder: usize) -> FolderId {
    FolderId(format!("AAMkADk0ZmQ4LWZvbGRlci0{folder:04}AAAAAAEMAAA="))
}

fn path(folder: usize) -> Vec<String> {
    let name = NAMES.get(folder).map_or_else(|| format!("Project {folder}"), |n| (*n).to_owned());
    vec![name]
}

fn folder_number(id: &FolderId) -> usize {
    id.0[23..27].parse().unwrap()
}

/// Reads one mailbox of a [`Fleet`].
pub struct FleetSource {
    fleet: Fleet,
    index: usize,
}

impl FleetSource {
    fn mailbox(&self) -> std::sync::MutexGuard<'_, Mailbox> {
        self.fleet.0.mailboxes[self.index].lock().unwrap()
    }
}

#[async_trait]
impl Source for FleetSource {
    fn protocol(&self) -> Protocol {
        Protocol::Graph
    }

    fn marks_are_proof(&self) -> bool {
        false
    }

    async fn survey(&mut self, _: &Checkpoint, _: bool) -> Result<Survey, SourceError> {
        self.fleet.pays(1).await;
        let hints = self.fleet.0.settings.hints;
        let mailbox = self.mailbox();
        let folder = |(number, listed): (usize, &Listed)| Folder {
            id: folder_id(number),
            path: path(number),
            mark: Some(if hints { listed.emails.to_string() } else { "0".to_owned() }),
            total: Some(u64::from(listed.emails)),
        };
        let folders = mailbox.folders.iter().enumerate().map(folder).collect();
        Ok(Survey { folders, hierarchy: None })
    }

    async fn list(
        &mut self,
        folder: &Folder,
        from: Option<&Position>,
        limit: usize,
    ) -> Result<Page, SourceError> {
        self.fleet.pays(1).await;
        let after = match from {
            Some(Position::Link { url }) => url.parse().unwrap(),
            _ => 0,
        };
        let number = folder_number(&folder.id);
        let mailbox = self.mailbox();
        let last = mailbox.folders[number].emails;
        let reached = last.min(after + u32::try_from(limit).unwrap());
        let id = self.fleet.route(self.index).mailbox;
        let received = self.fleet.now();
        let entry = |email: u32| {
            let item = format!("{number}-{email}");
            Entry {
                uid: Uid::derive("fleet", &id, item.as_bytes(), ""),
                item: ItemId(item),
                message_id: None,
                received: Some(received),
                created: Some(received),
                size: Some(50_000),
                is_draft: false,
            }
        };
        let entries = (after + 1..=reached).map(entry).collect();
        let next = Position::Link { url: reached.to_string() };
        Ok(Page { entries, removed: 0, next, more: reached < last })
    }

    async fn fetch(
        &mut self,
        folder: &Folder,
        entries: &[Entry],
    ) -> Result<Vec<Fetched>, SourceError> {
        self.fleet.pays(entries.len()).await;
        let fetched = |entry: &Entry| {
            Fetched::Email(Box::new(Email {
                uid: entry.uid,
                item: entry.item.clone(),
                message_id: None,
                timestamp: entry.received.unwrap(),
                metadata: Metadata { folder: folder.path.clone(), ..Metadata::default() },
                body: Body::Memory(Bytes::from_static(b"Subject: x\r\n\r\nBody\r\n")),
            }))
        };
        Ok(entries.iter().map(fetched).collect())
    }
}

/// Keeps the checkpoints of a [`Fleet`], and notes when emails come.
pub struct FleetSink(Fleet);

#[async_trait]
impl Sink for FleetSink {
    fn knows_what_it_holds(&self) -> bool {
        true
    }

    async fn load_checkpoint(&self, route: &Route) -> Result<Checkpoint, SinkError> {
        let fleet = &self.0;
        let mailbox = fleet.0.mailboxes[fleet.index(route)].lock().unwrap();
        let hints = fleet.0.settings.hints;
        let state = |(number, listed): (usize, &Listed)| {
            let mark = if hints { listed.position.to_string() } else { "0".to_owned() };
            let state = FolderState {
                path: path(number),
                position: Some(Position::Link { url: listed.position.to_string() }),
                caught_up: true,
                mark: Some(mark),
                delivered: u64::from(listed.position),
                newest: Some(time(listed.newest)),
                read_at: Some(time(listed.read_at)),
                ..FolderState::default()
            };
            (folder_id(number), state)
        };
        let folders: BTreeMap<_, _> = mailbox.folders.iter().enumerate().map(state).collect();
        let (generation, protocol) = (mailbox.generation, Protocol::Graph);
        Ok(Checkpoint { generation, protocol, folders, ..Checkpoint::default() })
    }

    async fn find(&self, _: &Route, uids: &[Uid]) -> Result<Vec<Option<Held>>, SinkError> {
        // Nothing is listed twice here: no position is ever lost.
        Ok(vec![None; uids.len()])
    }

    async fn write(&self, route: &Route, emails: &[Email]) -> Result<Vec<Refusal>, SinkError> {
        let now = self.0.passed();
        let mut mailbox = self.0.0.mailboxes[self.0.index(route)].lock().unwrap();
        let mut counted = self.0.0.counted.lock().unwrap();
        for email in emails {
            let (folder, number) = email.item.0.split_once('-').unwrap();
            let (folder, number) = (folder.parse().unwrap(), number.parse().unwrap());
            let is_this = |waits: &(u32, u32, Duration)| (waits.0, waits.1) == (folder, number);
            let place = mailbox.waiting.iter().position(is_this).expect("delivered once");
            counted.latencies.push(now - mailbox.waiting.swap_remove(place).2);
        }
        Ok(Vec::new())
    }

    async fn relocate(&self, _: &Route, _: &[(Uid, Vec<String>)]) -> Result<(), SinkError> {
        Ok(())
    }

    async fn quarantine(&self, _: &Route, _: &[Quarantined]) -> Result<(), SinkError> {
        unreachable!("nothing is refused here")
    }

    async fn quarantined(&self, _: &Route) -> Result<Vec<Quarantined>, SinkError> {
        Ok(Vec::new())
    }

    async fn save_checkpoint(&self, route: &Route, new: &Checkpoint) -> Result<(), SinkError> {
        let mut mailbox = self.0.0.mailboxes[self.0.index(route)].lock().unwrap();
        assert_eq!(mailbox.generation + 1, new.generation);
        mailbox.generation = new.generation;
        self.0.0.saves.fetch_add(1, Ordering::Relaxed);
        for (id, state) in &new.folders {
            let listed = &mut mailbox.folders[folder_number(id)];
            let Some(Position::Link { url }) = &state.position else { continue };
            listed.position = url.parse().unwrap();
            let seconds = |at: DateTime<Utc>| (at - time(0)).num_seconds();
            listed.newest = state.newest.map_or(listed.newest, seconds);
            listed.read_at = state.read_at.map_or(listed.read_at, seconds);
        }
        Ok(())
    }
}
