//! Files that appear whole or not at all, and are still there after a power cut.
//!
//! Every file is written under a temporary name, brought to the disk, renamed, and its directory
//! is brought to the disk too. Only then does anybody rely on it. A file whose way to the disk
//! failed is thrown away and written anew: after a failed `fsync` the kernel marks the pages as
//! clean, so that a second call on the same file reports a success that never was.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use record::{Cause, SinkError};

const TEMP_PREFIX: &str = ".tributary-";
const TEMP_SUFFIX: &str = ".tmp";
/// How many temporary names are tried. Only leftovers of a process with our id can be in the
/// way, and those are removed at the start.
const TEMP_ATTEMPTS: usize = 10_000;

static TEMP_NUMBER: AtomicU64 = AtomicU64::new(0);

pub(crate) fn unwritable(place: &Path, cause: impl Into<Cause>) -> SinkError {
    SinkError::Unwritable { place: place.display().to_string(), cause: cause.into() }
}

/// `map_err` with the place at hand.
pub(crate) fn at(place: &Path) -> impl FnOnce(io::Error) -> SinkError {
    move |cause| unwritable(place, cause)
}

pub(crate) fn is_temp(name: &str) -> bool {
    name.starts_with(TEMP_PREFIX) && name.ends_with(TEMP_SUFFIX)
}

/// A file under its temporary name; removed when dropped before it is published.
#[derive(Debug)]
pub(crate) struct Temp {
    path: PathBuf,
    published: bool,
}

impl Temp {
    /// Creates an empty file in `dir`, readable by its owner only.
    pub(crate) fn create(dir: &Path) -> io::Result<(Self, File)> {
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..TEMP_ATTEMPTS {
            let number = TEMP_NUMBER.fetch_add(1, Ordering::Relaxed);
            let process = std::process::id();
            let path = dir.join(format!("{TEMP_PREFIX}{process}-{number:x}{TEMP_SUFFIX}"));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok((Self { path, published: false }, file)),
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists => last = err,
                Err(err) => return Err(err),
            }
        }
        Err(last)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its final name. Durable once the directory is.
    pub(crate) fn publish(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.published {
            // If this fails too, the cleaning at the next start has another go.
            if let Err(err) = fs::remove_file(&self.path) {
                tracing::debug!(file.path = %self.path.display(), error = %err,
                    "Could not remove a temporary file");
            }
        }
    }
}

/// Replaces `to` by `content`: after this returns, and after a crash at any time, it holds the
/// old content or the new one.
pub(crate) fn replace_file(dir: &Path, to: &Path, content: &[u8]) -> io::Result<()> {
    let (temp, mut file) = Temp::create(dir)?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    temp.publish(to)?;
    sync_dir(dir)
}

pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Creates `dir` and what is missing above it, durably, for the owner only.
pub(crate) fn create_dirs(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_dirs(parent)?;
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        other => other?,
    }
    sync_dir(parent)
}

/// Removes temporary files that an earlier process left in `dir`. `false`: there is no `dir`.
pub(crate) fn remove_temps(dir: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(err) => return Err(err),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_temp) {
            match fs::remove_file(entry.path()) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
                _ => {}
            }
        }
    }
    Ok(true)
}

/// `true` if one `syncfs` on a descriptor of `dir` brings everything written there since the
/// descriptor was opened to the disk, and reports what went wrong on the way.
///
/// That needs Linux 5.8 (syncfs(2), "ERRORS") and a file system that writes back by itself:
/// overlay, network and FUSE file systems pass errors on in some versions and not in others.
pub(crate) fn whole_sync_is_safe(dir: &File) -> bool {
    const EXT4: i64 = 0xef53;
    const XFS: i64 = 0x5846_5342;
    const BTRFS: i64 = 0x9123_683e;
    static KERNEL: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| {
        kernel_reports_errors(&rustix::system::uname().release().to_string_lossy())
    });
    #[expect(clippy::unnecessary_cast, reason = "the type differs between architectures")]
    let kind = rustix::fs::fstatfs(dir).map(|stat| stat.f_type as i64);
    *KERNEL && matches!(kind, Ok(EXT4 | XFS | BTRFS))
}

fn kernel_reports_errors(release: &str) -> bool {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()) >= (5, 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_file_that_is_not_published_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(Temp::create(dir.path()).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn cleaning_removes_our_temporary_files_only() {
        let dir = tempfile::tempdir().unwrap();
        let (mut temp, _) = Temp::create(dir.path()).unwrap();
        temp.published = true;
        fs::write(dir.path().join(".keep.tmp"), "").unwrap();
        assert!(remove_temps(dir.path()).unwrap());
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [".keep.tmp"]);
    }

    #[test]
    fn old_kernels_are_not_trusted_with_errors() {
        for (release, expected) in
            [("5.7.19-generic", false), ("5.8.0", true), ("6.1.0-13-amd64", true), ("4.19", false)]
        {
            assert_eq!(kernel_reports_errors(release), expected, "{release}");
        }
        assert!(!kernel_reports_errors("unknown"));
    }
}
