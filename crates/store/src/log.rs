//! The log of the embedded database, which holds what was committed until it is copied into the
//! database file.
//!
//! SQLite is told not to wait for the disk at each commit, and not to copy: both would keep the
//! next transaction waiting. [`Log::flushed`] waits instead, while others already write, so that
//! one wait serves all that were committed before it began. A page of the log counts only if all
//! before it do, so that what the power takes is always the newest of what nobody was told of.
//!
//! Spec: "Write-Ahead Logging", Checkpointing, and "WAL-mode File Format", SQLite documentation.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use record::Chain;
use sqlx::{Any, AnyPool, Executor, Row};
use tokio::sync::Mutex;
use tracing::{error, warn};

use crate::{Result, Store, StoreError, contents::on_disk};

/// Commits after which the log is copied: some megabytes of uploads.
const COMMITS: u64 = 16;
/// Pages of the log, 64 MiB, from which on writers wait until all of it is copied: it begins anew
/// only then.
const MOST_PAGES: i64 = 4096;
/// Pages of the log, 256 MiB, from which on it is worth waiting for those who read, too.
const FAR_TOO_MANY_PAGES: i64 = 4 * MOST_PAGES;

type Flush = Box<dyn Fn(&Path) -> io::Result<()> + Send + Sync>;

pub(crate) struct Log {
    path: PathBuf,
    flush: Flush,
    made: AtomicU64,
    /// Guards how many commits are on the disk for certain.
    durable: Mutex<u64>,
    /// Guards how many commits were there when the log was copied last.
    copied: Arc<Mutex<u64>>,
    /// Pages from which on a copy waits for those who read.
    patience: Arc<AtomicI64>,
    /// What the disk refused. From then on nobody knows what is on it.
    failure: OnceLock<String>,
}

impl Log {
    pub(crate) fn new(folder: &Path) -> Self {
        Self::with(folder, Box::new(flush))
    }

    fn with(folder: &Path, flush: Flush) -> Self {
        let path = folder.join("tributary.db-wal");
        let (made, durable, copied) = Default::default();
        let patience = Arc::new(AtomicI64::new(FAR_TOO_MANY_PAGES));
        Self { path, flush, made, durable, copied, patience, failure: OnceLock::new() }
    }

    /// Whether what is written now can become durable.
    pub(crate) fn usable(&self) -> Result<()> {
        match self.failure.get() {
            Some(failure) => {
                Err(StoreError::Stopped { path: self.path.clone(), detail: failure.clone() })
            }
            None => Ok(()),
        }
    }

    /// Returns when all that was committed before is on the disk.
    pub(crate) async fn flushed(self: &Arc<Self>) -> Result<()> {
        let own = self.made.fetch_add(1, Ordering::SeqCst) + 1;
        let mut durable = self.durable.lock().await;
        self.usable()?;
        if *durable >= own {
            return Ok(());
        }
        let all = self.made.load(Ordering::SeqCst);
        let log = Arc::clone(self);
        on_disk(move || {
            (log.flush)(&log.path).map_err(|cause| {
                error!(
                    "The disk did not take what was committed, and nothing is written any more \
                     until the program is started again: `{}`: {cause}",
                    log.path.display()
                );
                log.failure.get_or_init(|| cause.to_string());
                StoreError::File { path: log.path.clone(), cause }
            })
        })
        .await?;
        *durable = all;
        Ok(())
    }
}

/// By its name: the log is removed, and made again, when no connection is left for a moment. What
/// was in it is in the database then.
fn flush(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Ok(log) => log.sync_data(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

impl Store {
    /// Returns when all that was committed before is on the disk.
    pub(crate) async fn flushed(&self) -> Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        log.flushed().await?;
        self.copy_now_and_then(log);
        Ok(())
    }

    /// Notes a commit that nobody waits for: the next wait serves it, too.
    pub(crate) fn committed(&self) -> Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        log.usable()?;
        log.made.fetch_add(1, Ordering::SeqCst);
        self.copy_now_and_then(log);
        Ok(())
    }

    fn copy_now_and_then(&self, log: &Log) {
        let made = log.made.load(Ordering::SeqCst);
        if let Ok(mut copied) = Arc::clone(&log.copied).try_lock_owned()
            && made - *copied >= COMMITS
        {
            *copied = made;
            let (readers, writer) = (self.readers.clone(), self.writer.clone());
            let patience = Arc::clone(&log.patience);
            tokio::spawn(async move {
                let _one_at_a_time = copied;
                if let Err(error) = copy(&readers, &writer, &patience).await {
                    warn!("Could not copy the log into the database: {}", Chain(&error));
                }
            });
        }
    }
}

/// Copies the log into the database, beside whoever writes; before them if it has become long.
async fn copy(readers: &AnyPool, writer: &AnyPool, patience: &AtomicI64) -> Result<()> {
    // PASSIVE waits for nobody, and leaves what somebody reads.
    let beside = "PRAGMA wal_checkpoint(PASSIVE)";
    if copy_with(&mut *readers.acquire().await?, beside).await?.1 <= MOST_PAGES {
        return Ok(());
    }
    let mut writer = writer.acquire().await?;
    let (_, pages) = copy_with(&mut *writer, beside).await?;
    let most = patience.load(Ordering::Relaxed);
    if pages <= most {
        return Ok(());
    }
    // Searches that overlap would keep it from ever beginning anew: this one waits for those that
    // read, and writers for it. If one reads on and on, as a backup does, the next wait is far off.
    let (was_busy, _) = copy_with(&mut *writer, "PRAGMA wal_checkpoint(RESTART)").await?;
    let most = if was_busy { pages.saturating_mul(2) } else { FAR_TOO_MANY_PAGES };
    patience.store(most, Ordering::Relaxed);
    Ok(())
}

/// Returns whether somebody was in the way, and how many pages the log has.
async fn copy_with(
    database: impl Executor<'_, Database = Any>,
    how: &'static str,
) -> Result<(bool, i64)> {
    let row = database.fetch_one(how).await?;
    Ok((row.try_get::<i64, _>(0)? != 0, row.try_get(1)?))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::AtomicBool,
            mpsc::{Receiver, channel},
        },
        time::Duration,
    };

    use futures_util::FutureExt;
    use record::clock::SystemClock;

    use super::*;

    /// A log whose disk is ready when the test says so, and counts.
    fn slow() -> (Arc<Log>, Arc<AtomicU64>, std::sync::mpsc::Sender<()>) {
        let (ready, wait): (_, Receiver<()>) = channel();
        let (wait, count) = (std::sync::Mutex::new(wait), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&count);
        let flush = move |_: &Path| {
            wait.lock().unwrap().recv().unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        (Arc::new(Log::with(Path::new("/x"), Box::new(flush))), count, ready)
    }

    #[tokio::test]
    async fn one_wait_serves_all_that_were_committed_before_it_began() {
        let (log, count, ready) = slow();
        let mut first = Box::pin(log.flushed());
        assert!(first.as_mut().now_or_never().is_none(), "did not wait for the disk");
        // Committed while the disk is at work: that wait does not cover them.
        let mut second = Box::pin(log.flushed());
        let mut third = Box::pin(log.flushed());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        ready.send(()).unwrap();
        first.await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 1);
        assert!(third.as_mut().now_or_never().is_none(), "a wait that began before counted");
        ready.send(()).unwrap();
        second.await.unwrap();
        third.await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_the_others_their_wait() {
        let (log, count, ready) = slow();
        assert!(log.flushed().now_or_never().is_none());
        ready.send(()).unwrap();
        ready.send(()).unwrap();
        log.flushed().await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn what_the_disk_refused_is_acknowledged_to_nobody_and_nothing_is_written_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path(), Arc::new(SystemClock)).await.unwrap();
        let fails = Arc::new(AtomicBool::new(false));
        let broken = Arc::clone(&fails);
        let flush = move |_: &Path| match broken.load(Ordering::SeqCst) {
            true => Err(io::Error::from(io::ErrorKind::StorageFull)),
            false => Ok(()),
        };
        store.log = Some(Arc::new(Log::with(folder.path(), Box::new(flush))));
        let write = async |store: &Store| {
            let mut session = store.write().await?;
            session.set_setting("a", "b").await?;
            session.commit().await
        };
        write(&store).await.unwrap();
        fails.store(true, Ordering::SeqCst);
        let refused = write(&store).await.unwrap_err();
        assert!(matches!(refused, StoreError::File { .. }), "{refused:?}");
        // The disk may say yes now, and has not what it refused before.
        fails.store(false, Ordering::SeqCst);
        let refused = write(&store).await.unwrap_err();
        assert!(matches!(refused, StoreError::Stopped { .. }), "{refused:?}");
        assert!(store.committed().is_err(), "what nobody waits for is written nevertheless");
        assert!(refused.to_string().contains("tributary.db-wal"), "{refused}");
        store.read().await.unwrap();
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_seen_at_once_and_durable_with_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path(), Arc::new(SystemClock)).await.unwrap();
        let flushes = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&flushes);
        let flush = move |_: &Path| {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        store.log = Some(Arc::new(Log::with(folder.path(), Box::new(flush))));
        let mut session = store.write().await.unwrap();
        session.set_setting("a", "b").await.unwrap();
        session.commit_without_waiting().await.unwrap();
        assert_eq!(flushes.load(Ordering::SeqCst), 0);
        let seen = store.read().await.unwrap().setting("a").await.unwrap();
        assert_eq!(seen.as_deref(), Some("b"));
        store.write().await.unwrap().commit().await.unwrap();
        assert_eq!(flushes.load(Ordering::SeqCst), 1);
        // The row of a content is gone for certain before its file is.
        let mut session = store.write().await.unwrap();
        session.gone.push("0".repeat(64));
        session.commit_without_waiting().await.unwrap();
        assert!(flushes.load(Ordering::SeqCst) > 1);
    }

    #[tokio::test]
    async fn the_log_is_copied_and_begins_anew() {
        for is_waited_for in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path(), Arc::new(SystemClock)).await.unwrap();
            let value = "x".repeat(1 << 20);
            for round in 0..150 {
                let mut session = store.write().await.unwrap();
                session.set_setting("a", &format!("{round}{value}")).await.unwrap();
                match is_waited_for {
                    true => session.commit().await.unwrap(),
                    false => session.commit_without_waiting().await.unwrap(),
                }
            }
            let log = std::fs::metadata(folder.path().join("tributary.db-wal")).unwrap().len();
            assert!(log < 120 << 20, "150 MiB were written, and the log has {log} bytes");
            let database = std::fs::metadata(folder.path().join("tributary.db")).unwrap().len();
            assert!(database > 1 << 20, "nothing was copied");
        }
    }

    #[tokio::test]
    async fn a_log_that_somebody_always_reads_begins_anew_once_it_is_far_too_long() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Arc::new(SystemClock)).await.unwrap();
        let write = async |sql: &'static str| {
            sqlx::query(sql).execute(&store.writer).await.unwrap();
        };
        write("CREATE TABLE much (bytes BLOB)").await;
        write("INSERT INTO much VALUES (zeroblob(70000000))").await;
        let mut early = store.read().await.unwrap();
        early.projects().await.unwrap();
        write("INSERT INTO much VALUES (NULL)").await;
        // For whom the early one is in the way.
        let patience = AtomicI64::new(i64::MAX);
        copy(&store.readers, &store.writer, &patience).await.unwrap();
        write("INSERT INTO much VALUES (NULL)").await;
        let pages = async || {
            let how = "PRAGMA wal_checkpoint(PASSIVE)";
            copy_with(&mut *store.writer.acquire().await.unwrap(), how).await.unwrap().1
        };
        assert!(pages().await > MOST_PAGES);
        let patience = AtomicI64::new(0);
        let mut copying = Box::pin(copy(&store.readers, &store.writer, &patience));
        let waited = tokio::time::timeout(Duration::from_millis(200), &mut copying).await;
        assert!(waited.is_err(), "it is over although somebody still reads");
        drop(early);
        copying.await.unwrap();
        assert_eq!(patience.into_inner(), FAR_TOO_MANY_PAGES);
        write("INSERT INTO much VALUES (NULL)").await;
        assert!(pages().await < 10);
    }
}
