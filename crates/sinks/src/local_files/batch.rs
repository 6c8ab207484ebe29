//! One batch of emails on its way to the disk.
//!
//! # How a batch gets durable
//!
//! Measured on 2 cores (virtual disk, ext4 of its own, batches of 80 emails of 20 KB with their
//! sidecars, all renames and one directory `fsync` included):
//!
//! | way | emails/s | CPU ms/email |
//! |---|---|---|
//! | `fsync` of one file after the other | 500–900 | 0.20–0.25 |
//! | `fsync` from 8 threads | 2,300–3,100 | 0.19–0.23 |
//! | one `syncfs` for all of them | 4,400–6,100 | 0.09–0.11 |
//!
//! So one `syncfs` it is, where the kernel and the file system report its errors
//! ([`whole_sync_is_safe`]). The descriptor is opened before the first file is written, and the
//! kernel then reports every error in writing back since. On a disk that others keep busy,
//! `syncfs` waits for their data too, and with one ext4 journal for all so does `fsync`; on such a
//! disk the figures were too noisy to rank the ways. A batch of a few files, for which that wait is not worth it, and
//! every other file system get an `fsync` for each file, from several threads.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use record::{Email, Route, SinkError, Uid};
use sha2::{Digest, Sha256};

use super::{
    durable::{Temp, at, sync_dir, unwritable, whole_sync_is_safe},
    hex, layout,
    ledger::{Ledger, LedgerEntry},
    sidecar::{Sidecar, held},
    store::saved,
};

/// Size of the pieces in which a body passes through memory.
const PIECE: usize = 64 << 10;
/// Up to this many emails, each file is synchronized on its own.
const FEW: usize = 2;
/// Threads that write and synchronize files for one batch.
const THREADS: usize = 8;
/// Such threads in the whole process, beside the one that each batch has anyway.
static SPARE_THREADS: AtomicUsize = AtomicUsize::new(24);

/// A batch for one route, and where it goes.
pub(super) struct Batch<'a> {
    pub(super) route: &'a Route,
    pub(super) data_dir: &'a Path,
    pub(super) state_dir: &'a Path,
    /// Emails whose files may be visible without being durable: they do not count as held.
    pub(super) suspect: &'a HashSet<Uid>,
}

/// Files of one email under their temporary names.
pub(super) struct Staged {
    uid: Uid,
    eml: Option<Temp>,
    sidecar: Option<Temp>,
    line: Option<LedgerEntry>,
}

/// How one batch gets durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    EachFile,
    WholeFilesystem,
}

/// A change to one email.
pub(super) enum Change<'a> {
    Store(&'a Email),
    Relocate(Uid, &'a [String]),
}

impl Change<'_> {
    pub(super) fn uid(&self) -> Uid {
        match self {
            Self::Store(email) => email.uid,
            Self::Relocate(uid, _) => *uid,
        }
    }
}

impl Batch<'_> {
    /// Writes all files under temporary names. Nothing is visible yet; on an error, nothing is
    /// left.
    ///
    /// Returns what is still to be published, once it is durable.
    pub(super) fn stage(&self, changes: &[Change<'_>]) -> Result<Vec<Staged>, SinkError> {
        // Opened before anything is written: the kernel reports errors from here on.
        let dir = File::open(self.data_dir).map_err(at(self.data_dir))?;
        let way = if changes.len() > FEW && whole_sync_is_safe(&dir) {
            Way::WholeFilesystem
        } else {
            Way::EachFile
        };
        let staged = match way {
            Way::WholeFilesystem => {
                changes.iter().map(|change| self.stage_one(change, way)).collect()
            }
            Way::EachFile => in_parallel(changes, |change| self.stage_one(change, way)),
        };
        let staged: Vec<Staged> = staged?.into_iter().flatten().collect();
        self.append_to_ledger(&staged, &dir, way)?;
        Ok(staged)
    }

    fn append_to_ledger(&self, staged: &[Staged], data: &File, way: Way) -> Result<(), SinkError> {
        let ledger = Ledger::new(self.state_dir, self.data_dir);
        let mut lines: Vec<LedgerEntry> = staged.iter().filter_map(|s| s.line.clone()).collect();
        if !self.suspect.is_empty() {
            let mark = saved(self.state_dir, self.route)?.ledger_size;
            let known = ledger.unsettled(mark)?;
            lines.retain(|line| !known.contains(line));
        }
        let file = match lines.is_empty() {
            true => None,
            false => Some(ledger.append(self.route, &lines).map_err(at(ledger.path()))?),
        };
        if way == Way::WholeFilesystem && !staged.is_empty() {
            rustix::fs::syncfs(data).map_err(|err| at(self.data_dir)(err.into()))?;
        }
        if let Some(file) = file {
            let device = |file: &File| file.metadata().map(|found| found.dev()).ok();
            if way == Way::EachFile || device(&file) != device(data) {
                file.sync_data().map_err(at(ledger.path()))?;
            }
        }
        Ok(())
    }

    /// Gives the files their names, durably.
    pub(super) fn publish(&self, staged: Vec<Staged>) -> Result<(), SinkError> {
        if staged.is_empty() {
            return Ok(());
        }
        self.remove_old_sidecars(&staged)?;
        let mut sidecars = Vec::with_capacity(staged.len());
        // The sidecar comes last: with it, the email counts as held.
        for Staged { uid, eml, sidecar, .. } in staged {
            if let Some(eml) = eml {
                let path = layout::eml(self.data_dir, uid);
                eml.publish(&path).map_err(at(&path))?;
            }
            sidecars.extend(sidecar.map(|sidecar| (uid, sidecar)));
        }
        for (uid, sidecar) in sidecars {
            let path = layout::sidecar(self.data_dir, uid);
            sidecar.publish(&path).map_err(at(&path))?;
        }
        sync_dir(self.data_dir).map_err(at(self.data_dir))
    }

    /// A sidecar without its email, or with one that is cut, must not come to describe a new one.
    fn remove_old_sidecars(&self, staged: &[Staged]) -> Result<(), SinkError> {
        let mut removed = false;
        for Staged { uid, eml, .. } in staged {
            let path = layout::sidecar(self.data_dir, *uid);
            if eml.is_none() || !path.exists() {
                continue;
            }
            fs::remove_file(&path).map_err(at(&path))?;
            removed = true;
        }
        if removed { sync_dir(self.data_dir).map_err(at(self.data_dir)) } else { Ok(()) }
    }

    fn stage_one(&self, change: &Change<'_>, way: Way) -> Result<Option<Staged>, SinkError> {
        let uid = change.uid();
        let held = held(self.data_dir, uid).filter(|_| !self.suspect.contains(&uid));
        let path = || layout::eml(self.data_dir, uid);
        match (change, held) {
            (Change::Store(email), None) => {
                let (eml, sha256, size) = self.stage_body(email, way)?;
                let line = LedgerEntry {
                    uid,
                    item: email.item.clone(),
                    sha256: sha256.clone(),
                    size,
                    timestamp: email.timestamp,
                };
                let sidecar = Sidecar::new(self.route, email, sha256, size);
                let sidecar = self.stage_sidecar(&sidecar, way).map_err(at(&path()))?;
                Ok(Some(Staged { uid, eml: Some(eml), sidecar: Some(sidecar), line: Some(line) }))
            }
            (Change::Relocate(..), None) => Ok(None),
            (change, Some(old)) => {
                let mut new = old.clone();
                match change {
                    // The copy that is there stays: a server may build other bytes each time.
                    Change::Store(email) => {
                        new = Sidecar::new(self.route, email, old.sha256.clone(), old.size);
                    }
                    Change::Relocate(_, folder) => new.metadata.folder = folder.to_vec(),
                }
                if new == old {
                    return Ok(None);
                }
                let sidecar = self.stage_sidecar(&new, way).map_err(at(&path()))?;
                Ok(Some(Staged { uid, eml: None, sidecar: Some(sidecar), line: None }))
            }
        }
    }

    fn stage_body(&self, email: &Email, way: Way) -> Result<(Temp, String, u64), SinkError> {
        let path: PathBuf = layout::eml(self.data_dir, email.uid);
        let (temp, mut file) = Temp::create(self.data_dir).map_err(at(&path))?;
        let mut body = email.body.reader();
        let mut hash = Sha256::new();
        let mut size = 0;
        let mut piece = vec![0; PIECE.min(usize::try_from(email.body.size()).unwrap_or(PIECE) + 1)];
        loop {
            let read = match body.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => read,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                Err(err) => {
                    let cause = format!("could not read the spooled email: {err}");
                    return Err(unwritable(&path, cause));
                }
            };
            let piece = piece.get(..read).unwrap_or_default();
            hash.update(piece);
            file.write_all(piece).map_err(at(&path))?;
            size += read as u64;
        }
        if size != email.body.size() {
            return Err(unwritable(&path, "the spooled email does not have its full length"));
        }
        if way == Way::EachFile {
            file.sync_all().map_err(at(&path))?;
        }
        Ok((temp, hex(&hash.finalize()), size))
    }

    fn stage_sidecar(&self, sidecar: &Sidecar, way: Way) -> io::Result<Temp> {
        let (temp, mut file) = Temp::create(self.data_dir)?;
        file.write_all(&sidecar.to_json()?)?;
        if way == Way::EachFile {
            file.sync_all()?;
        }
        Ok(temp)
    }
}

/// Threads taken out of the common stock, put back when dropped.
struct Threads(usize);

impl Threads {
    fn take(wanted: usize) -> Self {
        let mut spare = SPARE_THREADS.load(Ordering::Acquire);
        loop {
            let taken = wanted.min(spare);
            let left = spare - taken;
            match SPARE_THREADS.compare_exchange(spare, left, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Self(taken),
                Err(now) => spare = now,
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        SPARE_THREADS.fetch_add(self.0, Ordering::AcqRel);
    }
}

/// Applies `work` to all `items` from several threads; the results are in order. After a failure,
/// nothing new is begun.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, SinkError> + Sync,
) -> Result<Vec<R>, SinkError> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    let failure = Mutex::new(None);
    let run = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            match work(item) {
                Ok(result) => {
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
                }
                Err(err) => {
                    next.store(items.len(), Ordering::Relaxed);
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(err);
                }
            }
        }
    };
    let threads = Threads::take(THREADS.min(items.len()).saturating_sub(1));
    std::thread::scope(|scope| {
        for _ in 0..threads.0 {
            // If the machine has no thread left, those that run do the work.
            if std::thread::Builder::new().spawn_scoped(scope, run).is_err() {
                break;
            }
        }
        run();
    });
    if let Some(err) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(err);
    }
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(at, _)| *at);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}
