//! Contents: what emails consist of, once for each SHA-256, compressed.
//!
//! Zstandard at its first level packs mail smaller than Deflate at its own, at a third of the time.
//!
//! A content that is small when compressed is a value in the database, so that an upload is
//! durable with one write to the log; a larger one is a file. "Internal Versus External BLOBs",
//! SQLite documentation, finds the border near 100 KB.

mod ahead;
mod coding;
pub(crate) mod folder;
mod owner;
mod place;

use std::{
    collections::HashMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use openssl::sha::Sha256;
use sqlx::{AssertSqlSafe, Row, any::AnyRow};

pub(crate) use self::{ahead::AT_ONCE, folder::on_disk};
use self::{
    ahead::Waiting,
    coding::{CODING, Coder, Decoder, Input, Packer, Target, is_known},
};
pub use self::{
    folder::Folder,
    place::{Contents, Listed, Trouble, is_hash},
};
use crate::{
    Result, Session, StoreError,
    id::{hex, micros},
    session::places,
    tables,
};

/// Largest compressed content that the database holds itself.
pub(crate) const MAX_INLINE: usize = 128 * 1024;
/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;
/// Most bytes of memory that are taken for a content before any of it was read.
const AHEAD: u64 = 256 * 1024 * 1024;
/// Contents that one statement opens.
const OPENED: usize = 64;
/// Bytes of compressed contents that one staging keeps in memory; more go into files.
const MAX_STAGED: usize = 16 * 1024 * 1024;
pub(crate) fn temporary(contents: &Path) -> PathBuf {
    contents.join("tmp")
}

/// Removes what a process that was killed has left among staged contents.
pub(crate) fn sweep_staged(contents: &Path) -> Result<u64> {
    let temporary = temporary(contents);
    crate::make_private(&temporary)?;
    let failed = || StoreError::file(&temporary);
    let mut removed = 0;
    for entry in fs::read_dir(&temporary).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        // Another process of this machine may be staging; its files are younger.
        let old = entry.metadata().and_then(|about| about.modified()).is_ok_and(|at| {
            at.elapsed().is_ok_and(|age| age > std::time::Duration::from_secs(24 * 3600))
        });
        if old {
            fs::remove_file(entry.path()).map_err(failed())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// A place where contents of one request wait to be stored.
pub struct Staging {
    contents: Arc<PathBuf>,
    left: usize,
    /// For contents that are small, one after the other.
    packer: Option<Packer>,
}

impl Staging {
    pub(crate) fn new(contents: Arc<PathBuf>) -> Self {
        Self { contents, left: MAX_STAGED, packer: None }
    }

    /// Begins a content, which is then written piece by piece.
    pub fn begin(&mut self) -> ContentWriter<'_> {
        let target = Target::new(MAX_INLINE.min(self.left), temporary(&self.contents));
        ContentWriter { staging: self, coder: Coder::new(target), hash: Sha256::new(), size: 0 }
    }
}

/// A content that is being written.
pub struct ContentWriter<'a> {
    staging: &'a mut Staging,
    coder: Coder,
    hash: Sha256,
    size: u64,
}

impl ContentWriter<'_> {
    /// Adds a piece.
    ///
    /// # Errors
    ///
    /// The disk is full, or fails.
    pub fn write(&mut self, piece: &[u8]) -> Result<()> {
        self.hash.update(piece);
        self.size += piece.len() as u64;
        let folder = &self.staging.contents;
        self.coder.write(piece).map_err(StoreError::file(temporary(folder)))
    }

    /// Ends the content.
    ///
    /// # Errors
    ///
    /// The disk is full, or fails.
    pub fn finish(self) -> Result<Staged> {
        let folder = temporary(&self.staging.contents);
        let target =
            self.coder.finish(&mut self.staging.packer).map_err(StoreError::file(&folder))?;
        let (stored_size, place) = match target.file {
            None => {
                self.staging.left = self.staging.left.saturating_sub(target.memory.len());
                (target.memory.len() as u64, Place::Memory(target.memory))
            }
            Some(file) => {
                // Durable before the row that says that it is there.
                let about = file.as_file().sync_all().and_then(|()| file.as_file().metadata());
                let size = about.map_err(StoreError::file(&folder))?.len();
                (size, Place::File(Arc::new(Waiting::new(file.into_temp_path()))))
            }
        };
        let hash = hex(&self.hash.finish());
        Ok(Staged { hash, size: self.size, stored_size, place })
    }
}

/// A content that waits to be stored.
#[derive(Clone, Debug)]
pub struct Staged {
    pub(crate) hash: String,
    size: u64,
    stored_size: u64,
    place: Place,
}

impl Staged {
    /// SHA-256 in lower-case hex.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Takes the content, and leaves what is known of it.
    pub(crate) fn take(&mut self) -> Self {
        let place = std::mem::replace(&mut self.place, Place::Memory(Vec::new()));
        Self { place, hash: self.hash.clone(), ..*self }
    }
}

#[derive(Clone, Debug)]
enum Place {
    Memory(Vec<u8>),
    File(Arc<Waiting>),
}

/// Reads a content piece by piece, and finds out whether it is the one that was stored.
pub struct ContentReader {
    hash: String,
    size: u64,
    decoder: Decoder,
    read: Sha256,
    count: u64,
    from_file: bool,
}

impl ContentReader {
    /// Reads what is kept under `hash`, from where it is kept.
    fn new(hash: &str, size: u64, input: Input) -> Self {
        let from_file = matches!(input, Input::File(_));
        let (decoder, read) = (Decoder::new(input), Sha256::new());
        Self { hash: hash.to_owned(), size, decoder, read, count: 0, from_file }
    }

    pub(crate) fn from_file(hash: &str, size: u64, file: Box<dyn Read + Send>) -> Self {
        Self::new(hash, size, Input::File(file))
    }

    /// Reads to the end, and finds out whether it is what was stored.
    pub(crate) fn verify(mut self) -> Result<()> {
        let mut piece = vec![0; 64 * 1024];
        while self.read(&mut piece)? > 0 {}
        Ok(())
    }

    /// Reads all of it, from the beginning.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if this is not what was stored.
    pub fn read_whole(mut self) -> Result<Vec<u8>> {
        if let Some(whole) = self.decoder.whole(self.size) {
            let whole = whole.map_err(|_| damaged(&self.hash))?;
            self.read.update(&whole);
            let is_whole = hex(&self.read.finish()) == self.hash;
            return if is_whole { Ok(whole) } else { Err(damaged(&self.hash)) };
        }
        let mut whole = Vec::with_capacity(usize::try_from(self.size.min(AHEAD)).unwrap_or(0));
        let mut piece = vec![0; PIECE];
        loop {
            match self.read(&mut piece)? {
                0 => return Ok(whole),
                read => whole.extend_from_slice(piece.get(..read).unwrap_or_default()),
            }
        }
    }

    /// Bytes of the whole content.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether reading may have to wait for a disk.
    pub fn is_slow(&self) -> bool {
        self.from_file
    }

    /// Fills `into`; 0 at the end.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`], at the end at the latest, if this is not what was stored.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let damaged = || damaged(&self.hash);
        let count = self.decoder.read(into).map_err(|cause| match cause.raw_os_error() {
            // The system could not read it, which says nothing about what is there.
            Some(_) => StoreError::File { path: PathBuf::from(&self.hash), cause },
            None => damaged(),
        })?;
        self.read.update(into.get(..count).unwrap_or_default());
        self.count += count as u64;
        if self.count > self.size {
            return Err(damaged());
        }
        if count == 0 && !into.is_empty() {
            let read = std::mem::replace(&mut self.read, Sha256::new()).finish();
            if hex(&read) != self.hash || self.count != self.size {
                return Err(damaged());
            }
        }
        Ok(count)
    }
}

fn damaged(hash: &str) -> StoreError {
    StoreError::Damaged { what: format!("the content `{hash}`") }
}

impl Session {
    /// Stores contents, unless they are there.
    pub(crate) async fn put_contents(&mut self, all: Vec<Staged>) -> Result<()> {
        if all.is_empty() {
            return Ok(());
        }
        self.keep_files(&all).await?;
        let now = micros(self.now);
        let sql = format!(
            "INSERT INTO contents (coding, created_at, hash, size, stored_size, body) VALUES {} \
             ON CONFLICT (hash) DO NOTHING",
            places(self.kind(), 6, all.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for staged in all {
            let body = match staged.place {
                Place::Memory(bytes) => Some(bytes),
                Place::File(_) => None,
            };
            query = query
                .bind(CODING)
                .bind(now)
                .bind(staged.hash)
                .bind(i64::try_from(staged.size).unwrap_or(i64::MAX))
                .bind(i64::try_from(staged.stored_size).unwrap_or(i64::MAX))
                .bind(body);
        }
        query.execute(self.database()).await?;
        Ok(())
    }

    pub(crate) async fn has_content(&mut self, hash: &str) -> Result<bool> {
        let query = sqlx::query("SELECT 1 FROM contents WHERE hash = $1").bind(hash.to_owned());
        Ok(query.fetch_optional(self.database()).await?.is_some())
    }

    /// Opens a content.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] if it is not there, although it was stored.
    pub async fn content(&mut self, hash: &str) -> Result<ContentReader> {
        let sql = "SELECT hash, size, coding, body FROM contents WHERE hash = $1";
        let query = sqlx::query(sql).bind(hash.to_owned());
        match query.fetch_optional(self.database()).await? {
            Some(row) => self.opened(&row).await,
            None => Err(damaged(hash)),
        }
    }

    /// Opens contents with few statements, and tells for each that is there what came of it. When
    /// one could not be had from where large ones are kept, no other is asked for there.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn contents(
        &mut self,
        hashes: &[&str],
    ) -> Result<HashMap<String, Result<ContentReader>>> {
        let (mut opened, mut is_cut_off) = (HashMap::new(), false);
        for some in hashes.chunks(OPENED) {
            let list: Vec<String> = (1..=some.len()).map(|place| format!("${place}")).collect();
            let sql = format!(
                "SELECT hash, size, coding, body, \
                 CASE WHEN body IS NULL THEN 1 ELSE 0 END FROM contents WHERE hash IN ({})",
                list.join(", ")
            );
            let query = sqlx::query(AssertSqlSafe(sql));
            let query = some.iter().fold(query, |query, hash| query.bind((*hash).to_owned()));
            for row in query.fetch_all(self.database()).await? {
                if is_cut_off && row.try_get::<i64, _>(4)? != 0 {
                    continue;
                }
                let content = self.opened(&row).await;
                is_cut_off |= matches!(content, Err(StoreError::Contents { .. }));
                opened.insert(row.try_get(0)?, content);
            }
        }
        Ok(opened)
    }

    async fn opened(&mut self, row: &AnyRow) -> Result<ContentReader> {
        let hash: String = row.try_get(0)?;
        let size = u64::try_from(row.try_get::<i64, _>(1)?).unwrap_or_default();
        if !is_known(row.try_get(2)?) {
            return Err(damaged(&hash));
        }
        let input = match row.try_get(3)? {
            Some(body) => Input::Memory(body),
            None => Input::File(self.contents.open(&hash).await?.ok_or_else(|| damaged(&hash))?),
        };
        Ok(ContentReader::new(&hash, size, input))
    }

    /// Removes those of the contents that nothing needs any more.
    pub(crate) async fn drop_unused(&mut self, mut hashes: Vec<String>) -> Result<()> {
        hashes.sort_unstable();
        hashes.dedup();
        if hashes.is_empty() {
            return Ok(());
        }
        let sql = format!("DELETE FROM contents WHERE hash = $1 AND {}", tables::unused("$1"));
        for hash in hashes {
            let dropped = sqlx::query(AssertSqlSafe(sql.clone()))
                .bind(hash.clone())
                .execute(self.database())
                .await?;
            if dropped.rows_affected() > 0 {
                self.gone.push(hash);
            }
        }
        Ok(())
    }
}
