//! Can the folder of the destination be written, durably, and how fast?

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use async_trait::async_trait;

use crate::monitor::room;

use super::{CheckResult, SinkProbe};

/// What an `fsync` may take on a disk that is well.
const SLOW: Duration = Duration::from_millis(200);

/// Free part of a disk below which it is warned of.
const LITTLE: f64 = 0.1;

const CONTENT: &[u8] = b"written by `tributary doctor`, may be removed\n";

/// Tries a folder of this machine.
pub struct LocalProbe(PathBuf);

impl LocalProbe {
    /// `prefix` is the folder that receives the emails.
    pub fn new(prefix: &Path) -> Self {
        Self(prefix.to_owned())
    }
}

#[async_trait]
impl SinkProbe for LocalProbe {
    async fn probe(&self) -> Vec<CheckResult> {
        let prefix = self.0.clone();
        let tried = tokio::task::spawn_blocking(move || examine(&prefix)).await;
        tried.unwrap_or_else(|err| {
            vec![CheckResult::fail("folder", err.to_string(), "Report this as a bug.")]
        })
    }
}

fn examine(prefix: &Path) -> Vec<CheckResult> {
    if prefix.exists() && !prefix.is_dir() {
        let detail = format!("`{}` is not a folder", prefix.display());
        return vec![CheckResult::fail("folder", detail, "Correct the path.")];
    }
    // The appliance would create it.
    let Some(dir) = prefix.ancestors().find(|dir| dir.is_dir()) else {
        let detail = format!("`{}` does not exist", prefix.display());
        return vec![CheckResult::fail("folder", detail, "Create it, or correct the path.")];
    };
    let mut checks = Vec::new();
    if dir != prefix {
        let detail = format!("`{}` does not exist yet, `{}` does", prefix.display(), dir.display());
        let advice = "The appliance will create it; see that the path is meant so.";
        checks.push(CheckResult::warn("folder", detail, advice));
    }
    checks.push(match write(dir) {
        Ok(fsync) if fsync > SLOW => CheckResult::warn(
            "folder write",
            format!("`{}` can be written; an fsync takes {} ms", dir.display(), fsync.as_millis()),
            "Each portion of emails waits for the disk: a faster one makes a faster copy.",
        ),
        Ok(fsync) => CheckResult::ok(
            "folder write",
            format!(
                "`{}` can be written, and on a condition; an fsync takes {:.1} ms",
                dir.display(),
                fsync.as_secs_f64() * 1000.0
            ),
        ),
        Err(err) => CheckResult::fail(
            "folder write",
            format!("`{}`: {err}", dir.display()),
            "Give the user of the appliance the right to write there, and see that the disk is \
             neither full nor read-only.",
        ),
    });
    checks.extend(room(dir).map(|room| {
        let part = if room.total == 0 { 1.0 } else { room.free as f64 / room.total as f64 };
        let detail = format!("{} MiB free, {:.0} %", room.free >> 20, part * 100.0);
        if room.is_full() {
            CheckResult::fail("disk", detail, "Free some room; until then no email is stored.")
        } else if part < LITTLE {
            CheckResult::warn("disk", detail, "Free some room before the disk is full.")
        } else {
            CheckResult::ok("disk", detail)
        }
    }));
    checks
}

/// Goes the way of an email: written under a temporary name, brought to the disk, renamed, read
/// again. Returns the time that the disk took.
fn write(dir: &Path) -> io::Result<Duration> {
    let temporary = Litter(dir.join(format!(".doctor-{}.new", std::process::id())));
    let name = Litter(dir.join(format!(".doctor-{}", std::process::id())));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary.0)?;
    // The condition that a second writer must fail on.
    match OpenOptions::new().write(true).create_new(true).open(&temporary.0) {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
        Err(err) => return Err(err),
        Ok(_) => return Err(io::Error::other("it creates a file that is there already")),
    }
    file.write_all(CONTENT)?;
    let began = Instant::now();
    file.sync_all()?;
    let took = began.elapsed();
    fs::rename(&temporary.0, &name.0)?;
    File::open(dir)?.sync_all()?;
    let mut read = Vec::new();
    File::open(&name.0)?.take(CONTENT.len() as u64 + 1).read_to_end(&mut read)?;
    if read != CONTENT {
        return Err(io::Error::other("it gives back other bytes than were written"));
    }
    Ok(took)
}

/// A file that is removed however the test ends.
struct Litter(PathBuf);

impl Drop for Litter {
    fn drop(&mut self) {
        match fs::remove_file(&self.0) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("Could not remove `{}`: {err}", self.0.display());
            }
            _ => {}
        }
    }
}
