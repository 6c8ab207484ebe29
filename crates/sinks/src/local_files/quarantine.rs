//! The list of what is in quarantine: a snapshot, and the changes since.
//!
//! ```text
//! quarantine.json           the list, in the envelope of all state
//! quarantine-changes.jsonl  only of a long list: what was added and removed since
//! ```
//!
//! A short list is replaced whole with each change. Of a long one that would be slow, so changes
//! are appended to a log, a line for each call, until the log is as long as the list; then
//! the list is written anew. The log names the generation of the list that it follows, so that a
//! log which a crash left behind counts for nothing. A list that is followed by a log has
//! version 2: a program that knows no log refuses it instead of reading half of it.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use record::{Quarantined, Route, SinkError, Uid};
use serde::{Deserialize, Serialize};

use super::{
    durable::{at, replace_file},
    line,
    state::{self, QUARANTINE, SetAside, VERSION, corrupt},
};

/// Up to this size, in bytes, the list is replaced whole: some 150 entries.
const SHORT: usize = 64 << 10;
/// The log may always grow to this size before the list is written anew.
const SHORTEST_LOG: u64 = 1 << 20;
/// Attempts at a list that somebody else keeps replacing.
const ATTEMPTS: u32 = 5;

#[derive(Serialize, Deserialize)]
struct Header {
    kind: String,
    version: u64,
    bucket: String,
    mailbox: String,
    /// Generation of the list that the lines change.
    follows: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Add(Vec<Quarantined>),
    Remove(Vec<Uid>),
}

/// A list in the making: an entry with a known uid takes the place of the old one.
#[derive(Default)]
struct Items {
    items: Vec<Option<Quarantined>>,
    places: HashMap<Uid, usize>,
}

impl Items {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Add(items) => items.into_iter().for_each(|item| self.add(item)),
            Change::Remove(uids) => uids.iter().for_each(|uid| self.remove(uid)),
        }
    }

    fn add(&mut self, item: Quarantined) {
        self.remove(&item.uid);
        self.places.insert(item.uid, self.items.len());
        self.items.push(Some(item));
    }

    fn remove(&mut self, uid: &Uid) {
        if let Some(place) = self.places.remove(uid).and_then(|at| self.items.get_mut(at)) {
            *place = None;
        }
    }

    fn into_vec(self) -> Vec<Quarantined> {
        self.items.into_iter().flatten().collect()
    }
}

/// What was read.
struct Read {
    generation: u64,
    items: Items,
    /// Length of what counts of the log that follows this list, and of the file; `None` without.
    log: Option<(u64, u64)>,
}

/// What this process knows of the list of a route that it serves.
pub(super) struct List {
    uids: HashSet<Uid>,
    generation: u64,
    /// Length of the log; `None`: the list has to be written anew.
    log: Option<u64>,
    /// Length at which the list is written anew.
    longest_log: u64,
}

fn list_path(dir: &Path) -> PathBuf {
    dir.join("quarantine.json")
}

fn log_path(dir: &Path) -> PathBuf {
    dir.join("quarantine-changes.jsonl")
}

/// The files of the list.
pub(super) fn files(dir: &Path) -> [PathBuf; 2] {
    // The log means nothing without the list.
    [log_path(dir), list_path(dir)]
}

/// The list of `route`, whoever may be changing it.
pub(super) fn items(dir: &Path, route: &Route) -> Result<Vec<Quarantined>, SinkError> {
    Ok(read(dir, route)?.items.into_vec())
}

fn read(dir: &Path, route: &Route) -> Result<Read, SinkError> {
    let path = log_path(dir);
    let mut attempts = 0;
    loop {
        attempts += 1;
        let list = state::read::<SetAside>(dir, QUARANTINE, route)?;
        let (generation, list) = list.unwrap_or_default();
        let mut read = Read { generation, items: Items::default(), log: None };
        read.items.apply(Change::Add(list.items));
        let Some(log) = state::read_bytes(&path)? else { return Ok(read) };
        let (header, rest) = header(&path, &log, route)?;
        if header.follows < generation {
            return Ok(read);
        }
        if header.follows == generation {
            let counts = apply(&path, rest, &mut read.items)?;
            let size = log.len() as u64;
            read.log = Some((size - (rest.len() - counts) as u64, size));
            return Ok(read);
        }
        // Both may have been replaced between the two reads.
        if attempts == ATTEMPTS {
            return Err(corrupt(&path, "it follows a newer list than the one that is there"));
        }
    }
}

fn header<'a>(path: &Path, log: &'a [u8], route: &Route) -> Result<(Header, &'a [u8]), SinkError> {
    let end = log.iter().position(|byte| *byte == b'\n').map_or(log.len(), |at| at + 1);
    let (first, rest) = log.split_at(end);
    let header = line::parse::<Header>(first).filter(|header| header.kind == "quarantine-changes");
    let header = header.ok_or_else(|| corrupt(path, "its first line is damaged"))?;
    if header.version > VERSION {
        let place = path.display().to_string();
        return Err(SinkError::TooNew { place, found: header.version, known: VERSION });
    }
    let ours = (route.bucket.to_string(), route.mailbox.to_string());
    if (header.bucket.as_str(), header.mailbox.as_str()) != (ours.0.as_str(), ours.1.as_str()) {
        return Err(corrupt(path, "it belongs to another mailbox or bucket"));
    }
    Ok((header, rest))
}

/// Applies the lines in `log`; returns how many bytes count.
///
/// A crash can leave the last line torn: without its end, or with zeros where a block did not
/// reach the disk. That line was never acknowledged. Anything else that is wrong is damage.
fn apply(path: &Path, log: &[u8], items: &mut Items) -> Result<usize, SinkError> {
    let mut counts = 0;
    for (number, raw) in log.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if let Some(change) = line::parse(raw) {
            items.apply(change);
            counts += raw.len();
            continue;
        }
        let torn = !raw.ends_with(b"\n") || raw.contains(&0);
        if torn && counts + raw.len() == log.len() {
            break;
        }
        return Err(corrupt(path, format!("line {} is damaged", number + 2)));
    }
    Ok(counts)
}

impl List {
    /// Reads the list before it is changed for the first time, and removes what a crash left.
    pub(super) fn open(dir: &Path, route: &Route) -> Result<Self, SinkError> {
        let Read { generation, items, log } = read(dir, route)?;
        let path = log_path(dir);
        if let Some((counts, size)) = log
            && counts < size
        {
            let file = OpenOptions::new().write(true).open(&path).map_err(at(&path))?;
            file.set_len(counts).and_then(|()| file.sync_all()).map_err(at(&path))?;
        }
        let list = fs::metadata(list_path(dir)).map_or(0, |found| found.len());
        let uids = items.places.into_keys().collect();
        let longest_log = list.max(SHORTEST_LOG);
        Ok(Self { uids, generation, log: log.map(|(counts, _)| counts), longest_log })
    }

    pub(super) fn uids(&self) -> impl Iterator<Item = Uid> {
        self.uids.iter().copied()
    }

    /// Does not trust what is there: a call failed half-way. A second `fsync` of the log would
    /// report a success that never was, so the list is written anew.
    pub(super) fn distrust(&mut self) {
        self.log = None;
    }

    pub(super) fn add(
        &mut self,
        dir: &Path,
        route: &Route,
        items: Vec<Quarantined>,
    ) -> Result<(), SinkError> {
        if items.is_empty() {
            return Ok(());
        }
        let uids: Vec<Uid> = items.iter().map(|item| item.uid).collect();
        self.change(dir, route, Change::Add(items))?;
        self.uids.extend(uids);
        Ok(())
    }

    /// Removes those of `uids` that are in the list; returns how many that were.
    pub(super) fn remove(
        &mut self,
        dir: &Path,
        route: &Route,
        uids: &[Uid],
    ) -> Result<usize, SinkError> {
        let known: HashSet<Uid> =
            uids.iter().copied().filter(|uid| self.uids.contains(uid)).collect();
        if known.is_empty() {
            return Ok(0);
        }
        self.change(dir, route, Change::Remove(known.iter().copied().collect()))?;
        self.uids.retain(|uid| !known.contains(uid));
        Ok(known.len())
    }

    fn change(&mut self, dir: &Path, route: &Route, change: Change) -> Result<(), SinkError> {
        let path = log_path(dir);
        let changed = match self.log {
            Some(size) if size < self.longest_log => {
                append(&path, &change).map_err(at(&path)).map(|more| self.log = Some(size + more))
            }
            _ => self.write_anew(dir, route, change),
        };
        if changed.is_err() {
            self.distrust();
        }
        changed
    }

    fn write_anew(&mut self, dir: &Path, route: &Route, change: Change) -> Result<(), SinkError> {
        let Read { generation, mut items, .. } = read(dir, route)?;
        items.apply(change);
        let list = SetAside { items: items.into_vec() };
        let next = generation.max(self.generation) + 1;
        let size = serde_json::to_vec(&list).map_err(|err| at(&list_path(dir))(err.into()))?.len();
        let short = size <= SHORT;
        let version = if short { VERSION } else { state::QUARANTINE_VERSION };
        state::write_version(dir, QUARANTINE, version, route, next, &list)?;
        self.generation = next;
        self.longest_log = SHORTEST_LOG.max(size as u64);
        let path = log_path(dir);
        if short {
            self.log = None;
            // It counts for nothing any more.
            match fs::remove_file(&path) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(at(&path)(err)),
                _ => return Ok(()),
            }
        }
        let header = Header {
            kind: "quarantine-changes".to_owned(),
            version: VERSION,
            bucket: route.bucket.to_string(),
            mailbox: route.mailbox.to_string(),
            follows: next,
        };
        let header = line::seal(&header).map_err(at(&path))?;
        replace_file(dir, &path, &header).map_err(at(&path))?;
        self.log = Some(header.len() as u64);
        Ok(())
    }
}

/// Appends a line, durably; returns its length.
fn append(path: &Path, change: &Change) -> io::Result<u64> {
    let line = line::seal(change)?;
    let mut file = OpenOptions::new().append(true).open(path)?;
    file.write_all(&line)?;
    file.sync_data()?;
    Ok(line.len() as u64)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use record::{BucketId, FolderId, ItemId};

    use super::*;

    fn set_aside(n: u8) -> Quarantined {
        let mailbox = "abc@example.com".parse().unwrap();
        Quarantined {
            uid: Uid::derive("test", &mailbox, &[n], ""),
            protocol: record::Protocol::Ews,
            item: ItemId(format!("item-{n}")),
            folder: FolderId("f".into()),
            folder_path: vec!["Inbox".into()],
            message_id: None,
            received: None,
            size: None,
            code: "TooLarge".into(),
            detail: "larger than allowed".into(),
            since: DateTime::UNIX_EPOCH,
            attempts: 1,
        }
    }

    /// Both files must stay readable. A new shape is a new file.
    #[test]
    fn a_list_with_a_log_keeps_its_shape() {
        let dir = tempfile::tempdir().unwrap();
        let (dir, mailbox) = (dir.path(), "abc@example.com".parse().unwrap());
        let route = &Route { mailbox, bucket: BucketId::new("owner", "bucket").unwrap() };
        let mut list = List::open(dir, route).unwrap();
        list.add(dir, route, (1..=3).map(set_aside).collect()).unwrap();
        let header = Header {
            kind: "quarantine-changes".into(),
            version: VERSION,
            bucket: "owner/bucket".into(),
            mailbox: "abc@example.com".into(),
            follows: 2,
        };
        let (_, items) = state::read::<SetAside>(dir, QUARANTINE, route).unwrap().unwrap();
        state::write_version(dir, QUARANTINE, 2, route, 2, &items).unwrap();
        fs::write(log_path(dir), line::seal(&header).unwrap()).unwrap();
        let mut list = List::open(dir, route).unwrap();
        list.add(dir, route, vec![set_aside(4), set_aside(1)]).unwrap();
        list.remove(dir, route, &[set_aside(2).uid]).unwrap();
        let golden = format!("{}/testdata/version-2", env!("CARGO_MANIFEST_DIR"));
        for path in [list_path(dir), log_path(dir)] {
            let name = path.file_name().unwrap().to_str().unwrap();
            expect_test::expect_file![format!("{golden}/{name}")]
                .assert_eq(&fs::read_to_string(&path).unwrap());
        }
        let read = super::items(Path::new(&golden), route).unwrap();
        assert_eq!(read, [3, 4, 1].map(set_aside));
    }
}
