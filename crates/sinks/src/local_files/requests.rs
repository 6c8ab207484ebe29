//! What operators ask of the process that serves a route: files that it looks for.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use record::{Quarantined, Route, SinkError, Uid};
use serde::{Deserialize, Serialize};

use super::{
    LocalFiles,
    durable::{Temp, at, sync_dir},
    line, quarantine, state,
    state::corrupt,
    store::Work,
};

const RETRY: &str = "retry-quarantine";
const DROP: &str = "drop-quarantine";
const DROPPED: &str = "quarantine-dropped.jsonl";

/// Entries of the quarantine list that somebody wants to be forgotten.
#[derive(Serialize, Deserialize)]
struct Drop {
    asked_at: DateTime<Utc>,
    uids: Vec<Uid>,
}

/// An entry of the quarantine list that an operator dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    pub dropped_at: DateTime<Utc>,
    #[serde(flatten)]
    pub item: Quarantined,
}

impl LocalFiles {
    /// Asks the process that serves `route` to try its quarantine again, durably. Works without
    /// the lock, so that a command can ask a running process.
    ///
    /// # Errors
    ///
    /// [`SinkError::Unwritable`], also if the route has no state yet.
    pub fn request_quarantine_retry(&self, route: &Route) -> Result<(), SinkError> {
        let dir = self.store.layout.state_dir(route);
        let path = dir.join(RETRY);
        File::create(&path).and_then(|file| file.sync_all()).map_err(at(&path))?;
        sync_dir(&dir).map_err(at(&dir))
    }

    /// Tells whether somebody has asked for the quarantine of `route` to be tried again, and
    /// forgets the request. Entries that somebody wants to be dropped are dropped here.
    ///
    /// # Errors
    ///
    /// [`SinkError::Unwritable`] if the request is there and cannot be removed or carried out.
    pub fn take_retry_request(&self, route: &Route) -> Result<bool, SinkError> {
        let dir = self.store.layout.state_dir(route);
        self.obey_drop_request(route, &dir.join(DROP))?;
        let path = dir.join(RETRY);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(err) => Err(at(&path)(err)),
        }
    }

    /// Removes entries from the quarantine list of `route`, and notes which; returns how many.
    ///
    /// # Errors
    ///
    /// [`SinkError::Busy`] while another process serves the route:
    /// [ask](Self::request_quarantine_drop) that one.
    pub fn drop_from_quarantine(
        &self,
        route: &Route,
        uids: &[Uid],
        now: DateTime<Utc>,
    ) -> Result<usize, SinkError> {
        let request = Drop { asked_at: now, uids: uids.to_vec() };
        self.store.with(route, |work| work.drop_from_quarantine(route, &request))
    }

    /// Asks the process that serves `route` to remove entries from its quarantine list, durably.
    ///
    /// # Errors
    ///
    /// [`SinkError::Busy`] if an earlier request was not carried out yet.
    pub fn request_quarantine_drop(
        &self,
        route: &Route,
        uids: &[Uid],
        now: DateTime<Utc>,
    ) -> Result<(), SinkError> {
        let dir = self.store.layout.state_dir(route);
        let path = dir.join(DROP);
        let request = Drop { asked_at: now, uids: uids.to_vec() };
        // Appears whole, and never in place of another one.
        let asked = line::seal(&request).and_then(|line| {
            let (temp, mut file) = Temp::create(&dir)?;
            file.write_all(&line)?;
            file.sync_all()?;
            fs::hard_link(temp.path(), &path)?;
            sync_dir(&dir)
        });
        match asked {
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
                Err(SinkError::Busy { place: path.display().to_string() })
            }
            asked => asked.map_err(at(&path)),
        }
    }

    /// The entries of the quarantine list of `route` that were dropped, oldest first. The note of
    /// them decides nothing, so a line that cannot be read is passed over.
    ///
    /// # Errors
    ///
    /// [`SinkError::Unwritable`] if the note cannot be read.
    pub fn dropped(&self, route: &Route) -> Result<Vec<Dropped>, SinkError> {
        let path = self.store.layout.state_dir(route).join(DROPPED);
        let Some(text) = state::read_bytes(&path)? else { return Ok(Vec::new()) };
        Ok(text.split_inclusive(|byte| *byte == b'\n').filter_map(line::parse).collect())
    }

    fn obey_drop_request(&self, route: &Route, path: &Path) -> Result<(), SinkError> {
        let Some(raw) = state::read_bytes(path)? else { return Ok(()) };
        let Some(request) = line::parse::<Drop>(&raw) else {
            // Told once: a request that nobody can read is of no use.
            remove(path)?;
            return Err(corrupt(path, "it is no list of entries to drop"));
        };
        let dropped = self.store.try_with(route, |work| work.drop_from_quarantine(route, &request));
        match dropped {
            Ok(Some(count)) => {
                tracing::info!(mailbox.id = %route.mailbox, records = count,
                    "Dropped {count} entries from the quarantine of `{}`", route.mailbox);
                remove(path)
            }
            // At the next look.
            Ok(None) | Err(SinkError::Busy { .. }) => Ok(()),
            Err(err) => Err(err),
        }
    }
}

fn remove(path: &Path) -> Result<(), SinkError> {
    match fs::remove_file(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(at(path)(err)),
        _ => Ok(()),
    }
}

impl Work<'_> {
    /// The note comes first, so that no entry vanishes without a trace.
    fn drop_from_quarantine(&mut self, route: &Route, request: &Drop) -> Result<usize, SinkError> {
        let mut items = quarantine::items(&self.state_dir, route)?;
        items.retain(|item| request.uids.contains(&item.uid));
        if items.is_empty() {
            return Ok(0);
        }
        let path = self.state_dir.join(DROPPED);
        note(&path, items, request.asked_at).map_err(at(&path))?;
        sync_dir(&self.state_dir).map_err(at(&self.state_dir))?;
        self.release_from_quarantine(&request.uids)
    }
}

fn note(path: &PathBuf, items: Vec<Quarantined>, dropped_at: DateTime<Utc>) -> io::Result<()> {
    let torn = fs::read(path).is_ok_and(|text| !text.is_empty() && !text.ends_with(b"\n"));
    let mut lines = if torn { vec![b'\n'] } else { Vec::new() };
    for item in items {
        lines.extend_from_slice(&line::seal(&Dropped { dropped_at, item })?);
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.write_all(&lines)?;
    file.sync_data()
}
