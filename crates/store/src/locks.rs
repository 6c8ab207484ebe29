//! Who waits for whom about the files of contents.
//!
//! SQLite has one writer, and who writes removes no file. PostgreSQL has several, in several
//! processes: who stores a file and who removes it take the lock of its hash. A backup holds
//! all files: what is removed meanwhile stays until a sweep finds it.

use std::fs::File;

use futures_util::{StreamExt, TryStreamExt, stream};
use rustix::fs::{FlockOperation, flock};
use sqlx::Row;

use crate::{Kind, Result, Session, Store, StoreError, contents::AT_ONCE};

/// The lock of all files on PostgreSQL: any number that nobody else takes.
const ALL_FILES: i64 = 0x7472_6962_6669_6c65;

/// As long as it is there, no file of a content is removed.
pub(crate) struct Hold {
    _file: Option<File>,
    _session: Option<Session>,
}

/// The right to remove files, until it is dropped.
pub(crate) struct Removal {
    _file: Option<File>,
}

/// The lock of one file on PostgreSQL.
fn key(hash: &str) -> i64 {
    let digits = hash.get(..16).unwrap_or_default();
    u64::from_str_radix(digits, 16).unwrap_or_default().cast_signed()
}

impl Store {
    fn lock_file(&self) -> Result<File> {
        let path = self.folder.join("contents.lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        file.map_err(StoreError::file(path))
    }

    /// Waits until nobody removes files, and keeps it so.
    pub(crate) async fn hold_files(&self) -> Result<Hold> {
        if self.kind == Kind::Postgres {
            let mut session = self.write().await?;
            let lock = sqlx::query("SELECT pg_advisory_xact_lock_shared($1)").bind(ALL_FILES);
            lock.execute(session.database()).await?;
            return Ok(Hold { _file: None, _session: Some(session) });
        }
        let file = self.lock_file()?;
        let path = self.folder.join("contents.lock");
        let held = crate::contents::on_disk(move || {
            let locked = flock(&file, FlockOperation::LockShared);
            locked.map_err(|error| StoreError::file(path)(error.into()))?;
            Ok(file)
        });
        Ok(Hold { _file: Some(held.await?), _session: None })
    }

    /// Removes the files of those contents that have no row any more.
    pub(crate) async fn remove_files(&self, hashes: &[String]) -> Result<u64> {
        // Writers wait meanwhile: not for many that are behind a network.
        let most = if self.contents.is_far() { AT_ONCE } else { hashes.len().max(1) };
        let mut removed = 0;
        for some in hashes.chunks(most) {
            removed += self.remove_some(some).await?;
        }
        Ok(removed)
    }

    async fn remove_some(&self, hashes: &[String]) -> Result<u64> {
        // Its own transaction: a file may only go while nobody can store it again.
        let mut session = self.write().await?;
        let Some(removal) = session.may_remove().await? else { return Ok(0) };
        let mut unnamed = Vec::new();
        for hash in hashes {
            session.guard_from_storing(hash).await?;
            if !session.has_content(hash).await? {
                unnamed.push(hash);
            }
        }
        // That their rows are gone must not be undone by a loss of power.
        self.flushed().await?;
        let removed = unnamed.len() as u64;
        let removals: Vec<_> = unnamed.into_iter().map(|hash| self.contents.remove(hash)).collect();
        stream::iter(removals).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        // In this order: nobody else removes before it is certain who did.
        session.end().await?;
        drop(removal);
        Ok(removed)
    }
}

impl Session {
    /// Ends a transaction that has written no row.
    pub(crate) async fn end(self) -> Result<()> {
        Ok(self.database.commit().await?)
    }

    /// For who stores the file of a content: nobody removes it before this transaction has ended.
    pub(crate) async fn guard_content(&mut self, hash: &str) -> Result<()> {
        self.lock("SELECT pg_advisory_xact_lock_shared($1)", hash).await
    }

    /// For who removes the file of a content: nobody is about to store it.
    pub(crate) async fn guard_from_storing(&mut self, hash: &str) -> Result<()> {
        self.lock("SELECT pg_advisory_xact_lock($1)", hash).await
    }

    async fn lock(&mut self, sql: &'static str, hash: &str) -> Result<()> {
        if self.store.kind == Kind::Postgres {
            sqlx::query(sql).bind(key(hash)).execute(self.database()).await?;
        }
        Ok(())
    }

    /// The right to remove files; nothing while somebody holds them.
    pub(crate) async fn may_remove(&mut self) -> Result<Option<Removal>> {
        if self.store.kind == Kind::Postgres {
            let lock = sqlx::query("SELECT pg_try_advisory_xact_lock($1)").bind(ALL_FILES);
            let row = lock.fetch_one(self.database()).await?;
            return Ok(row.try_get::<bool, _>(0)?.then_some(Removal { _file: None }));
        }
        let file = self.store.lock_file()?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Removal { _file: Some(file) })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => {
                Err(StoreError::file(self.store.folder.join("contents.lock"))(error.into()))
            }
        }
    }
}
