//! Who may write what: one process for each route at a time, and a place for each shard.
//!
//! Several processes can share a folder. Each route that one of them serves is locked by a byte of
//! a file in `state/.routes`, so that a hundred thousand mailboxes need no more descriptors than
//! there are such files. The kernel drops the locks of a process that dies; a frozen one keeps
//! them, so that nobody can overtake it.
//!
//! A second file, `state/.lock` or `state/.lock-3-of-8`, belongs to the process that runs as this
//! shard. It keeps nobody out: a second one waits for the routes of the first, as the new pod of a
//! roll-out must. But it lets the second one say so, and `status` know who runs.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs::{self, File, OpenOptions, ReadDir},
    hash::{BuildHasher, RandomState},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
};
use record::{Route, SinkError};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use sha2::{Digest, Sha256};

use super::durable::at;

/// Files that routes are spread over. The kernel walks through all locks of a file for each call:
/// 10,000 locks in one file took 6 s, in 64 files they take 0.2 s.
const FILES: u64 = 64;
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// A file to lock, created if necessary.
///
/// It stays open for reading only, so that the file system can be remounted read-only.
fn open(path: &Path) -> io::Result<File> {
    match File::open(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            creating().open(path).and_then(|_| File::open(path))
        }
        other => other,
    }
}

fn creating() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options
}

#[expect(clippy::disallowed_methods, reason = "locks are taken on threads for blocking work")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// The locks of the routes that this process serves.
pub(super) struct RouteLocks {
    dir: PathBuf,
    /// Guards the files that were needed so far. Who closes one loses the locks in it.
    files: Mutex<HashMap<u64, Arc<File>>>,
}

impl RouteLocks {
    /// `dir` must exist before a lock is taken.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, files: Mutex::default() }
    }

    /// Takes the lock of `route`; `false` if another process has it.
    ///
    /// A lock that excludes others needs a descriptor that can write, which would keep the file
    /// system from being remounted read-only. So each process takes a lock that can be shared, and
    /// then asks whether it is alone. Of two that do so at once, at least one sees the other.
    pub(super) fn take(&self, route: &Route) -> Result<bool, SinkError> {
        let (path, file) = self.file(route)?;
        let failed = |err: nix::Error| at(&path)(err.into());
        for _ in 0..ATTEMPTS {
            // Whoever has it is not disturbed, and others who try are not misled.
            if is_held_elsewhere(&file, route).map_err(failed)? {
                return Ok(false);
            }
            match set(&file, route, libc::F_RDLCK) {
                Err(nix::Error::EAGAIN | nix::Error::EACCES) => return Ok(false),
                other => other.map_err(failed)?,
            }
            if !is_held_elsewhere(&file, route).map_err(failed)? {
                return Ok(true);
            }
            set(&file, route, libc::F_UNLCK).map_err(failed)?;
            // Two that met must not meet again.
            let dice = RandomState::new().hash_one(route) % 16;
            pause(Duration::from_millis(1 + dice));
        }
        Ok(false)
    }

    pub(super) fn release(&self, route: &Route) -> Result<(), SinkError> {
        let (path, file) = self.file(route)?;
        set(&file, route, libc::F_UNLCK).map_err(|err| at(&path)(err.into()))
    }

    /// Whether another process, or another opened folder of this one, has the lock of `route`.
    pub(super) fn is_held_elsewhere(&self, route: &Route) -> Result<bool, SinkError> {
        if !self.path(route).exists() {
            return Ok(false);
        }
        let (path, file) = self.file(route)?;
        is_held_elsewhere(&file, route).map_err(|err| at(&path)(err.into()))
    }

    fn path(&self, route: &Route) -> PathBuf {
        self.dir.join(format!("{:02x}", number(route) % FILES))
    }

    fn file(&self, route: &Route) -> Result<(PathBuf, Arc<File>), SinkError> {
        let path = self.path(route);
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match files.entry(number(route) % FILES) {
            Entry::Occupied(found) => Arc::clone(found.get()),
            Entry::Vacant(free) => {
                Arc::clone(free.insert(Arc::new(open(&path).map_err(at(&path))?)))
            }
        };
        Ok((path, file))
    }
}

/// A process that is just about to become another program has all files of this one, for an instant,
/// and with them their locks: closing the files would not be enough.
impl Drop for RouteLocks {
    fn drop(&mut self) {
        let files = self.files.get_mut().unwrap_or_else(PoisonError::into_inner);
        for file in files.values() {
            // To the end of the file.
            let all = libc::flock { l_len: 0, ..byte(0, libc::F_UNLCK) };
            if let Err(error) = fcntl(file, FcntlArg::F_OFD_SETLK(&all)) {
                tracing::debug!(%error, "Could not release the locks of mailboxes before their file");
            }
        }
    }
}

fn is_held_elsewhere(file: &File, route: &Route) -> nix::Result<bool> {
    let mut found = range(route, libc::F_WRLCK);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut found))?;
    Ok(i32::from(found.l_type) != libc::F_UNLCK)
}

fn set(file: &File, route: &Route, kind: i32) -> nix::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&range(route, kind))).map(drop)
}

/// The file and the byte that stand for `route` follow from this number of 62 bits: the byte after
/// the last one must have an offset too. Every version must use the same.
fn number(route: &Route) -> u64 {
    let hash = Sha256::digest(format!("{}\n{}", route.bucket, route.mailbox));
    hash.iter().take(8).fold(0, |number: u64, byte| number << 8 | u64::from(*byte)) >> 2
}

fn range(route: &Route, kind: i32) -> libc::flock {
    byte(i64::try_from(number(route)).unwrap_or_default(), kind)
}

fn byte(place: i64, kind: i32) -> libc::flock {
    libc::flock {
        // The constants fit: they are 0, 1 and 2.
        l_type: i16::try_from(kind).unwrap_or_default(),
        l_whence: 0,
        l_start: place,
        l_len: 1,
        l_pid: 0,
    }
}

/// The place of one shard of the appliance.
pub(super) struct Place {
    path: PathBuf,
    /// Guards the lock, which is `None` while another process has it.
    held: Mutex<Option<File>>,
}

impl Place {
    /// Takes the place if it is free, after a moment's wait: a command that only looks holds it
    /// for an instant.
    pub(super) fn open(path: PathBuf) -> Result<Self, SinkError> {
        let place = Self { path, held: Mutex::default() };
        for _ in 0..ATTEMPTS {
            if place.take()? {
                break;
            }
            pause(PAUSE);
        }
        Ok(place)
    }

    /// Whether this process has the place, now or already.
    pub(super) fn take(&self) -> Result<bool, SinkError> {
        let mut held = self.lock();
        if held.is_some() {
            return Ok(true);
        }
        let file = open(&self.path).map_err(at(&self.path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(err) => return Err(at(&self.path)(err.into())),
        }
        let process = format!("{}\n", std::process::id());
        let note = creating().truncate(true).open(&self.path);
        // A full disk must not keep the process from starting: it may be what it waits for.
        if let Err(err) = note.and_then(|mut to| to.write_all(process.as_bytes())) {
            tracing::debug!(error = %err, "Could not note the process id in the lock file");
        }
        *held = Some(file);
        Ok(true)
    }

    /// What the process that has the place calls itself; `None` if this one has it.
    pub(super) fn other(&self) -> Option<String> {
        if self.lock().is_some() {
            return None;
        }
        let mut holder = String::new();
        // Only a remark: the text may be from another machine or gone.
        let read =
            File::open(&self.path).and_then(|file| file.take(32).read_to_string(&mut holder));
        if let Err(err) = read {
            tracing::debug!(error = %err, "Could not read the process id in the lock file");
        }
        Some(holder.trim().to_owned())
    }

    fn lock(&self) -> MutexGuard<'_, Option<File>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As that of [`RouteLocks`].
impl Drop for Place {
    fn drop(&mut self) {
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = held {
            release(file);
        }
    }
}

fn release(file: &File) {
    if let Err(error) = flock(file, FlockOperation::Unlock) {
        tracing::debug!(%error, "Could not release a lock before its file");
    }
}

/// Whether a process runs as any shard.
pub(super) fn any_place_is_taken(state: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(state)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_place = name == LOCK || name.starts_with(&format!("{LOCK}-"));
        if is_place && place_is_taken(&entry.path())? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a process runs as the shard of this place. Asked with a lock that can be shared, so that
/// two who ask do not see each other.
pub(super) fn place_is_taken(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => return Ok(true),
        other => other?,
    }
    release(&file);
    Ok(false)
}

const LOCK: &str = ".lock";

/// The file that stands for one of `total` shards.
pub(super) fn place_name(ordinal: u32, total: u32) -> String {
    if total <= 1 { LOCK.to_owned() } else { format!("{LOCK}-{ordinal}-of-{total}") }
}

/// The directories in `dir`; none if it does not exist.
pub(crate) fn subdirs(dir: &Path) -> Result<Vec<PathBuf>, SinkError> {
    let entries: ReadDir = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(err) => return Err(at(dir)(err)),
    };
    let mut dirs = Vec::new();
    for entry in entries {
        let path = entry.map_err(at(dir))?.path();
        if path.is_dir() {
            dirs.push(path);
        }
    }
    dirs.sort_unstable();
    Ok(dirs)
}

#[cfg(test)]
mod tests {
    use record::BucketId;

    use super::*;

    fn route(mailbox: &str) -> Route {
        let bucket = BucketId::new("owner", "bucket").unwrap();
        Route { mailbox: mailbox.parse().unwrap(), bucket }
    }

    fn locks(dir: &tempfile::TempDir) -> RouteLocks {
        RouteLocks::new(dir.path().to_owned())
    }

    // Two versions of the program that disagree would both write.
    #[test]
    fn the_byte_of_a_route_never_changes() {
        assert_eq!(number(&route("abc@example.com")), 1_557_336_602_088_665_489);
    }

    #[test]
    fn a_route_is_locked_until_it_is_released() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (locks(&dir), locks(&dir));
        let (a, b) = (route("a@example.com"), route("b@example.com"));
        assert!(first.take(&a).unwrap() && first.take(&a).unwrap());
        assert!(!second.take(&a).unwrap());
        assert!(second.is_held_elsewhere(&a).unwrap());
        assert!(!first.is_held_elsewhere(&a).unwrap());
        assert!(second.take(&b).unwrap());
        first.release(&a).unwrap();
        assert!(second.take(&a).unwrap());
        drop(second);
        assert!(first.take(&a).unwrap() && first.take(&b).unwrap());
    }

    // As a process has it that was forked and has not become another program yet.
    #[test]
    fn what_is_given_up_is_free_though_a_copy_of_the_file_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (locks(&dir), locks(&dir));
        let route = route("a@example.com");
        assert!(first.take(&route).unwrap());
        let copies: Vec<File> =
            first.files.lock().unwrap().values().map(|file| file.try_clone().unwrap()).collect();
        drop(first);
        assert!(second.take(&route).unwrap());

        let path = dir.path().join(place_name(0, 1));
        let (first, second) = (Place::open(path.clone()).unwrap(), Place::open(path).unwrap());
        let copy = first.held.lock().unwrap().as_ref().unwrap().try_clone().unwrap();
        drop(first);
        assert!(second.take().unwrap());
        drop((copies, copy));
    }

    #[test]
    fn of_many_who_want_a_route_at_once_one_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..50 {
            let route = route(&format!("{round}@example.com"));
            let all: Vec<_> = (0..6).map(|_| locks(&dir)).collect();
            let got: Vec<bool> = std::thread::scope(|scope| {
                let tries: Vec<_> =
                    all.iter().map(|locks| scope.spawn(|| locks.take(&route).unwrap())).collect();
                tries.into_iter().map(|each| each.join().unwrap()).collect()
            });
            assert!(got.iter().filter(|got| **got).count() <= 1, "round {round}: {got:?}");
        }
    }

    #[test]
    fn ten_thousand_routes_are_locked_in_a_moment() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (locks(&dir), locks(&dir));
        let began = std::time::Instant::now();
        for n in 0..10_000 {
            assert!(first.take(&route(&format!("{n}@example.com"))).unwrap());
        }
        assert!(!second.take(&route("9999@example.com")).unwrap());
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(first.files.lock().unwrap().len() as u64 <= FILES);
    }

    #[test]
    fn a_place_is_handed_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(place_name(0, 1));
        assert!(!any_place_is_taken(dir.path()).unwrap());
        let first = Place::open(path.clone()).unwrap();
        assert!(any_place_is_taken(dir.path()).unwrap());
        let second = Place::open(path).unwrap();
        assert_eq!(second.other(), Some(std::process::id().to_string()));
        drop(first);
        assert!(second.take().unwrap() && second.other().is_none());
    }
}
