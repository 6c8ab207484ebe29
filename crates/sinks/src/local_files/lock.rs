//! One process writes a folder at a time, and begins by cleaning up after the one before.

use std::{
    fs::{self, File, OpenOptions, ReadDir},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use record::SinkError;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::{
    durable::{at, remove_temps, unwritable},
    layout::Layout,
};

const LOCK_ATTEMPTS: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Takes the lock. The kernel drops it with the file, also after a crash.
///
/// The file stays open for reading only, so that the file system can be remounted read-only.
pub(super) fn take(path: &Path) -> Result<File, SinkError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = match File::open(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            options.open(path).and_then(|_| File::open(path))
        }
        other => other,
    };
    let file = file.map_err(at(path))?;
    match lock_soon(&file) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // Only a remark: the text may be from another machine or gone.
            (&file).take(32).read_to_string(&mut holder).unwrap_or_default();
            let holder = holder.trim();
            let cause = format!(
                "another process (id {holder}) has locked it; only one may write this folder"
            );
            return Err(unwritable(path, cause));
        }
        Err(err) => return Err(at(path)(err.into())),
    }
    let process = format!("{}\n", std::process::id());
    let note =
        options.truncate(true).open(path).and_then(|mut to| to.write_all(process.as_bytes()));
    // A full disk must not keep the process from starting: it may be what it waits for.
    if let Err(err) = note {
        tracing::debug!(error = %err, "Could not note the process id in the lock file");
    }
    Ok(file)
}

/// A command that only looks holds the lock for an instant: that is worth a moment's wait.
fn lock_soon(file: &File) -> Result<(), Errno> {
    let mut attempts = 0;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if attempts < LOCK_ATTEMPTS => attempts += 1,
            taken => return taken,
        }
        #[expect(clippy::disallowed_methods, reason = "opening is not asynchronous")]
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// Removes temporary files of earlier processes.
///
/// A directory of emails can be huge, so it is only read if it changed after its checkpoint:
/// whatever a crash left there was created later than that.
pub(super) fn clean(layout: &Layout) -> Result<(), SinkError> {
    for owner in subdirs(&layout.state())? {
        for bucket in subdirs(&owner)? {
            for state_dir in subdirs(&bucket)? {
                remove_temps(&state_dir).map_err(at(&state_dir))?;
            }
        }
    }
    for owner in subdirs(&layout.data())? {
        for bucket in subdirs(&owner)? {
            for data_dir in subdirs(&bucket)? {
                let below = data_dir.strip_prefix(layout.data()).unwrap_or(&data_dir);
                let checkpoint = layout.state().join(below).join("checkpoint.json");
                let settled = matches!((changed(&checkpoint), changed(&data_dir)),
                    (Ok(checkpoint), Ok(data)) if data < checkpoint);
                if !settled {
                    remove_temps(&data_dir).map_err(at(&data_dir))?;
                }
            }
        }
    }
    Ok(())
}

fn changed(path: &Path) -> io::Result<SystemTime> {
    fs::metadata(path)?.modified()
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
