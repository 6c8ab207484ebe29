//! The folder that a backup is made in, and the contents in it.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock, syncfs};

use super::{CONTENTS, TABLES, UNFINISHED, manifest};
use crate::{ContentReader, Result, StoreError, contents::folder::path_of, make_private};

/// A new file for its owner alone.
pub(super) fn create(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// A backup that is being made.
pub(super) struct Target {
    home: PathBuf,
    name: String,
    /// Where it is until it is whole.
    pub(super) folder: PathBuf,
    /// Where its contents may be already: the newest whole backup, and those that were cut short.
    earlier: Vec<PathBuf>,
    leftovers: Vec<PathBuf>,
    _lock: File,
}

impl Target {
    pub(super) fn open(home: &Path, name: &str) -> Result<Self> {
        make_private(home)?;
        let lock = home.join(".lock");
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&lock);
        let file = file.map_err(StoreError::file(&lock))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let what = format!("another backup into `{}`", home.display());
                return Err(StoreError::Exists { what });
            }
            Err(error) => return Err(StoreError::file(lock)(error.into())),
        }
        let (mut whole, leftovers) = manifest::list(home)?;
        let mut earlier: Vec<_> = whole.pop().into_iter().collect();
        earlier.extend(leftovers.iter().cloned());
        let mut names = (2..).map(|number| format!("{name}-{number}"));
        let mut name = name.to_owned();
        while home.join(&name).exists() || home.join(format!("{UNFINISHED}{name}")).exists() {
            name = names.next().unwrap_or_default();
        }
        let folder = home.join(format!("{UNFINISHED}{name}"));
        for part in ["", TABLES, CONTENTS] {
            make_private(&folder.join(part))?;
        }
        Ok(Self { home: home.to_owned(), name, folder, earlier, leftovers, _lock: file })
    }

    pub(super) fn path_of(&self, hash: &str) -> PathBuf {
        path_of(&self.folder.join(CONTENTS), hash)
    }

    /// Takes a content from an earlier backup, if one has it and it is good there.
    pub(super) fn link(&self, hash: &str, size: u64) -> Result<bool> {
        let path = self.path_of(hash);
        for earlier in &self.earlier {
            let held = path_of(&earlier.join(CONTENTS), hash);
            // A damaged copy is not passed on.
            if !held.exists() || verify(&held, hash, size).is_err() {
                continue;
            }
            make_private(path.parent().unwrap_or(&self.folder))?;
            if fs::hard_link(&held, &path).is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Copies a content and sees that it is what it should be; otherwise leaves no copy.
    pub(super) fn copy(
        &self,
        hash: &str,
        size: u64,
        mut input: Box<dyn Read + Send>,
    ) -> Result<()> {
        let path = self.path_of(hash);
        make_private(path.parent().unwrap_or(&self.folder))?;
        let mut file = create(&path).map_err(StoreError::file(&path))?;
        io::copy(&mut input, &mut file).map_err(StoreError::file(&path))?;
        drop(file);
        if let Err(error) = verify(&path, hash, size) {
            fs::remove_file(&path).map_err(StoreError::file(&path))?;
            return Err(error);
        }
        Ok(())
    }

    /// Gives the backup its name, once everything in it is on the disk.
    pub(super) fn finish(self) -> Result<PathBuf> {
        let whole = self.home.join(&self.name);
        // One call for everything, rather than one for each of a million files.
        let open = |path: &Path| File::open(path).map_err(StoreError::file(path));
        syncfs(open(&self.folder)?)
            .map_err(|error| StoreError::file(&self.folder)(error.into()))?;
        fs::rename(&self.folder, &whole).map_err(StoreError::file(&whole))?;
        open(&self.home)?.sync_all().map_err(StoreError::file(&self.home))?;
        for leftover in &self.leftovers {
            fs::remove_dir_all(leftover).map_err(StoreError::file(leftover))?;
        }
        Ok(whole)
    }
}

/// Sees whether a file is the content that its name says.
pub(super) fn verify(path: &Path, hash: &str, size: u64) -> Result<()> {
    let file = File::open(path).map_err(StoreError::file(path))?;
    ContentReader::from_file(hash, size, Box::new(file)).verify()
}
