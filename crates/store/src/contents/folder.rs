//! Contents as files: `ab/abcdef…`, which are never changed once they have their name.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream, stream::BoxStream};
use tempfile::NamedTempFile;

use super::{Contents, Listed};
use crate::{Result, StoreError, make_private};

/// Where damaged contents go.
const ASIDE: &str = "damaged";

/// A folder of contents.
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Makes the folder if it is not there.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn open(root: &Path) -> Result<Self> {
        make_private(root)?;
        Ok(Self { root: root.to_owned() })
    }
}

pub(crate) fn path_of(root: &Path, hash: &str) -> PathBuf {
    root.join(hash.get(..2).unwrap_or("00")).join(hash)
}

/// Makes the names in a folder durable.
fn sync(folder: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|opened| opened.sync_all());
    synced.map_err(StoreError::file(folder))
}

/// Runs work where it may take its time: with files, or on many texts.
pub(crate) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let stopped = || StoreError::Damaged { what: "work that was stopped".to_owned() };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(stopped()))
}

fn keep(root: &Path, path: &Path, file: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(root);
    let is_new = !folder.is_dir();
    make_private(folder)?;
    // A link, not a rename: another email of the request may have the same content.
    match fs::hard_link(file, path) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy(file, path, folder)?,
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(StoreError::file(path)(error));
        }
        _ => {}
    }
    sync(folder)?;
    if is_new { sync(root) } else { Ok(()) }
}

/// Brings a file from another disk: whole before it has its name.
fn copy(file: &Path, path: &Path, folder: &Path) -> Result<()> {
    let failed = || StoreError::file(path);
    let mut copied = NamedTempFile::new_in(folder).map_err(failed())?;
    io::copy(&mut File::open(file).map_err(failed())?, &mut copied).map_err(failed())?;
    copied.as_file().sync_all().map_err(failed())?;
    copied.persist(path).map_err(|error| failed()(error.error)).map(drop)
}

fn list(folder: &Path) -> Result<Vec<Listed>> {
    let failed = || StoreError::file(folder);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed())?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed())?;
        // It may have gone since the folder was read.
        let Ok(about) = entry.metadata() else { continue };
        if about.is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let place = entry.path().display().to_string();
            found.push(Listed { name, place, size: about.len() });
        }
    }
    Ok(found)
}

#[async_trait]
impl Contents for Folder {
    async fn put(&self, hash: &str, file: &Path) -> Result<()> {
        let (root, path, file) = (self.root.clone(), path_of(&self.root, hash), file.to_owned());
        on_disk(move || keep(&root, &path, &file)).await
    }

    async fn open(&self, hash: &str) -> Result<Option<Box<dyn Read + Send>>> {
        let path = path_of(&self.root, hash);
        match File::open(&path) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::file(path)(error)),
        }
    }

    async fn remove(&self, hash: &str) -> Result<()> {
        let path = path_of(&self.root, hash);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::file(path)(error))
            }
            _ => Ok(()),
        }
    }

    async fn set_aside(&self, hash: &str) -> Result<String> {
        let (path, folder) = (path_of(&self.root, hash), self.root.join(ASIDE));
        make_private(&folder)?;
        let target = folder.join(hash);
        fs::rename(&path, &target).map_err(StoreError::file(path))?;
        sync(&folder)?;
        Ok(target.display().to_string())
    }

    fn list(&self) -> BoxStream<'_, Result<Vec<Listed>>> {
        let part = |part: u8| {
            let folder = self.root.join(format!("{part:02x}"));
            on_disk(move || list(&folder))
        };
        stream::iter(0..=u8::MAX).then(part).boxed()
    }

    async fn has(&self, hash: &str) -> Result<bool> {
        let path = path_of(&self.root, hash);
        path.try_exists().map_err(StoreError::file(path))
    }

    fn place(&self) -> String {
        self.root.display().to_string()
    }
}
