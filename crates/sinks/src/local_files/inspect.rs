//! Looking at what is there, without changing it: for `status`, `verify` and `export`.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use record::{Body, BucketId, Route, SinkError, Uid};
use sha2::{Digest, Sha256};

use super::{
    LocalFiles,
    durable::at,
    hex,
    layout::{self, route_of},
    ledger::{Ledger, LedgerLines},
    lock::{RouteLocks, any_place_is_taken, place_is_taken, place_name, subdirs},
    sidecar::Sidecar,
    state::{self, CHECKPOINT, QUARANTINE, corrupt},
    store::saved,
};

/// One email as it lies on the disk.
#[derive(Debug)]
pub struct Stored {
    pub uid: Uid,
    pub eml: PathBuf,
    /// What the file beside it says, if the two files are whole as far as a glance tells.
    pub sidecar: Result<Sidecar, Flaw>,
    /// The `.eml` file, if it can be read.
    file: Option<File>,
}

/// What is wrong with a stored email.
#[derive(Debug)]
pub enum Flaw {
    EmlMissing,
    SidecarMissing,
    /// The sidecar is not what we write, or is that of another email.
    SidecarUnreadable(io::Error),
    WrongSize {
        expected: u64,
        found: u64,
    },
    /// The bytes are not those that were written.
    WrongHash,
    EmlUnreadable(io::Error),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmlMissing => f.write_str("the `.eml` file is missing"),
            Self::SidecarMissing => f.write_str("the `.json` file is missing"),
            Self::SidecarUnreadable(err) => write!(f, "the `.json` file cannot be read: {err}"),
            Self::WrongSize { expected, found } => {
                write!(f, "the `.eml` file has {found} bytes instead of {expected}")
            }
            Self::WrongHash => f.write_str("the content of the `.eml` file has changed"),
            Self::EmlUnreadable(err) => write!(f, "the `.eml` file cannot be read: {err}"),
        }
    }
}

impl Stored {
    /// Looks up one email; `None` if neither of its files exists.
    pub(crate) fn open(data_dir: &Path, uid: Uid) -> Option<Self> {
        let eml = layout::eml(data_dir, uid);
        let found = File::open(&eml).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size, file) = match found {
            Ok((size, file)) => (Ok(size), Some(file)),
            Err(err) => (Err(err), None),
        };
        let sidecar = Sidecar::read(&layout::sidecar(data_dir, uid));
        let missing = |err: &io::Error| err.kind() == io::ErrorKind::NotFound;
        let sidecar = match (size, sidecar) {
            (Err(size), Err(sidecar)) if missing(&size) && missing(&sidecar) => return None,
            (Err(size), _) if missing(&size) => Err(Flaw::EmlMissing),
            (Err(size), _) => Err(Flaw::EmlUnreadable(size)),
            (Ok(_), Err(sidecar)) if missing(&sidecar) => Err(Flaw::SidecarMissing),
            (Ok(_), Err(sidecar)) => Err(Flaw::SidecarUnreadable(sidecar)),
            (Ok(_), Ok(sidecar)) if sidecar.uid != uid => {
                let cause = io::Error::new(io::ErrorKind::InvalidData, "it has another uid");
                Err(Flaw::SidecarUnreadable(cause))
            }
            (Ok(found), Ok(sidecar)) if sidecar.size != found => {
                Err(Flaw::WrongSize { expected: sidecar.size, found })
            }
            (Ok(_), Ok(sidecar)) => Ok(sidecar),
        };
        Some(Self { uid, eml, sidecar, file })
    }

    /// Reads the email whole, and compares it with its sidecar.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(self) -> Result<Sidecar, Flaw> {
        let sidecar = self.sidecar?;
        let mut file = self.file.ok_or(Flaw::EmlMissing)?;
        let hash = hash_of(&mut file).map_err(Flaw::EmlUnreadable)?;
        if hash == sidecar.sha256 { Ok(sidecar) } else { Err(Flaw::WrongHash) }
    }

    /// The same, and hands out the bytes that were compared: up to `in_memory` of them in memory,
    /// more as the open file.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(self, in_memory: u64) -> Result<(Sidecar, Body), Flaw> {
        let sidecar = self.sidecar?;
        let mut file = self.file.ok_or(Flaw::EmlMissing)?;
        let size = sidecar.size;
        let (hash, body) = if size <= in_memory {
            let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
            file.read_exact(&mut bytes).map_err(Flaw::EmlUnreadable)?;
            (hex(&Sha256::digest(&bytes)), Body::Memory(bytes.into()))
        } else {
            let hash = hash_of(&mut file).map_err(Flaw::EmlUnreadable)?;
            (hash, Body::Spool { file: Arc::new(file), size })
        };
        if hash == sidecar.sha256 { Ok((sidecar, body)) } else { Err(Flaw::WrongHash) }
    }
}

pub(crate) fn hash_file(path: &Path) -> io::Result<String> {
    hash_of(&mut File::open(path)?)
}

fn hash_of(file: &mut File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex(&hash.finalize())),
            read => hash.update(piece.get(..read).unwrap_or_default()),
        }
    }
}

/// The uids that files in `dir` are named after, sorted: 16 bytes of memory for each email. None if
/// there is no such directory.
pub(crate) fn stored_uids(dir: &Path) -> Result<Vec<Uid>, SinkError> {
    let entries = match fs::read_dir(dir) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(at(dir))?,
    };
    let mut uids = Vec::new();
    for entry in entries {
        let name = entry.map_err(at(dir))?.file_name();
        let stem = name
            .to_str()
            .and_then(|name| name.strip_suffix(".eml").or_else(|| name.strip_suffix(".json")));
        uids.extend(stem.and_then(|stem| stem.parse::<Uid>().ok()));
    }
    uids.sort_unstable();
    uids.dedup();
    Ok(uids)
}

impl LocalFiles {
    /// The routes that have state on disk, sorted.
    ///
    /// # Errors
    ///
    /// [`SinkError::Corrupt`] for a directory whose long name was shortened and none of whose
    /// files tells to whom it belongs.
    pub fn routes(&self) -> Result<Vec<Route>, SinkError> {
        let mut routes = Vec::new();
        for owner in subdirs(&self.store.layout.state())? {
            for bucket in subdirs(&owner)? {
                for dir in subdirs(&bucket)? {
                    let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
                    let names = (name(&owner), name(&bucket), name(&dir));
                    let by_name = match names {
                        (Some(owner), Some(bucket), Some(mailbox)) => {
                            route_of(&owner, &bucket, &mailbox)
                        }
                        _ => None,
                    };
                    let route = match by_name {
                        Some(route) => Some(route),
                        None => route_by_content(&dir)?,
                    };
                    routes.extend(route);
                }
            }
        }
        routes.sort_unstable();
        Ok(routes)
    }

    /// Whether a process runs as a shard of the appliance on this folder.
    pub fn is_running(&self) -> bool {
        any_place_is_taken(&self.store.layout.state()).unwrap_or_default()
    }

    /// Whether a process runs as shard `ordinal` of `total` on this folder.
    pub fn shard_runs(&self, ordinal: u32, total: u32) -> bool {
        let path = self.store.layout.state().join(place_name(ordinal, total));
        place_is_taken(&path).unwrap_or_default()
    }

    /// Those of `routes` that a process serves at the moment, this one included.
    ///
    /// # Errors
    ///
    /// [`SinkError::Unwritable`] if the locks cannot be asked for.
    pub fn served(&self, routes: &[Route]) -> Result<Vec<Route>, SinkError> {
        // With descriptors of their own, for which no lock is their own.
        let locks = RouteLocks::new(self.store.layout.routes());
        let mut served = Vec::new();
        for route in routes {
            if locks.is_held_elsewhere(route)? {
                served.push(route.clone());
            }
        }
        Ok(served)
    }

    /// The emails delivered to `route`, oldest first.
    ///
    /// # Errors
    ///
    /// [`SinkError::Corrupt`] if the checkpoint or the ledger is damaged.
    pub fn ledger(&self, route: &Route) -> Result<LedgerLines, SinkError> {
        let state_dir = self.store.layout.state_dir(route);
        let mark = saved(&state_dir, route)?.ledger_size;
        Ledger::new(&state_dir, &self.store.layout.data_dir(route)).lines(mark)
    }

    /// The emails of `route` on the disk, by uid. Holds one, and 16 bytes for each of the others.
    ///
    /// # Errors
    ///
    /// [`SinkError::Unwritable`] if the directory cannot be read.
    pub fn stored(
        &self,
        route: &Route,
    ) -> Result<impl Iterator<Item = Stored> + Send + 'static, SinkError> {
        let dir = self.store.layout.data_dir(route);
        let uids = stored_uids(&dir)?;
        Ok(uids.into_iter().filter_map(move |uid| Stored::open(&dir, uid)))
    }

    /// One email of `route` on the disk; `None` if neither of its files exists.
    pub fn stored_email(&self, route: &Route, uid: Uid) -> Option<Stored> {
        Stored::open(&self.store.layout.data_dir(route), uid)
    }
}

/// `None` for a directory without any state.
fn route_by_content(dir: &Path) -> Result<Option<Route>, SinkError> {
    let owner = match state::read_owner(dir, CHECKPOINT)? {
        Some(owner) => Some(owner),
        None => match state::read_owner(dir, QUARANTINE)? {
            Some(owner) => Some(owner),
            None => Ledger::new(dir, dir).owner()?,
        },
    };
    let Some((bucket, mailbox)) = owner else { return Ok(None) };
    let bad = || corrupt(dir, "its files name no bucket and mailbox");
    let (owner, name) = bucket.split_once('/').ok_or_else(bad)?;
    let bucket = BucketId::new(owner, name).map_err(|err| corrupt(dir, err))?;
    let mailbox = mailbox.parse().map_err(|err| corrupt(dir, err))?;
    Ok(Some(Route { mailbox, bucket }))
}
