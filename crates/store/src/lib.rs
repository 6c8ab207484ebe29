//! Everything that the platform keeps: tables, migrations and contents. The only crate that knows
//! SQL.
//!
//! ```text
//! Store ─▶ read()  ─▶ Session   a snapshot
//!       ─▶ write() ─▶ Session   one writer at a time; nothing is there before commit()
//! ```
//!
//! Invariants:
//!
//! - What [`Session::commit`] has returned for is on the disk.
//! - A content is stored once, under its SHA-256, and is never shown when it no longer has it.
//! - A migration that was released is never edited.

mod audit;
mod buckets;
mod comment_pages;
mod comments;
mod configs;
mod contents;
mod conversions;
mod datasets;
mod emails;
mod error;
mod id;
mod integrations;
mod migrate;
mod outbox;
mod projects;
mod quotas;
mod session;
mod sources;
mod states;
mod streams;
mod tokens;
mod users;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, Mutex, Once},
    time::Duration,
};

use chrono::{DateTime, Utc};
use record::Clock;
use sqlx::{
    Any, AnyPool,
    any::{AnyConnectOptions, AnyPoolOptions},
    pool::PoolOptions,
};

pub use audit::{Actor, AuditEvent, AuditQuery};
pub use buckets::Bucket;
pub use comment_pages::{AUDIO, CommentQuery, Thread};
pub use comments::{Comment, CommentWrite, NewComment};
pub use configs::{Config, ConfigVersion};
pub use contents::{ContentReader, ContentWriter, Staged, Staging};
pub use conversions::{Claim, Claimant, Conversion, Quarantined};
pub use datasets::{Annotation, Dataset};
pub use emails::{Email, EmailQuery, NewEmail};
pub use error::{Result, StoreError};
pub use integrations::{Integration, IntegrationError};
pub use outbox::{NewMail, WaitingMail};
pub use projects::{NewProject, Project};
pub use quotas::Quota;
pub use session::Session;
pub use sources::{Source, SourceDetails};
pub use states::{Expected, SyncState};
pub use streams::{ChangePlace, Stream, changes_before};
pub use tokens::{Grant, NewToken, Token};
pub use users::{Holder, NewUser, User};

/// Most connections that read at the same time.
const READERS: u32 = 8;
/// How long a request waits for a connection: writers wait for one another.
const PATIENCE: Duration = Duration::from_secs(30);

/// The two databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// The database and the folder beside it.
#[derive(Clone)]
pub struct Store {
    readers: AnyPool,
    writer: AnyPool,
    pub(crate) kind: Kind,
    contents: Arc<PathBuf>,
    clock: Arc<dyn Clock>,
    /// Guards the last place that was given to a comment of each of some times.
    pub(crate) places: Arc<Mutex<HashMap<i64, i64>>>,
}

impl Store {
    /// Opens the data folder with its embedded database, and makes what is missing.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooNew`] and [`StoreError::File`] are for the operator.
    pub async fn open(folder: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        make_private(folder)?;
        let path = folder.join("tributary.db");
        let escaped = path.display().to_string().replace('%', "%25").replace('?', "%3f");
        Self::connect(&format!("sqlite://{escaped}?mode=rwc"), folder, clock).await
    }

    /// Opens the database at `url`, with contents in `folder` that are too large for it.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub async fn connect(url: &str, folder: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);
        let kind = if url.starts_with("sqlite:") { Kind::Sqlite } else { Kind::Postgres };
        let contents = folder.join("contents");
        contents::prepare(&contents)?;
        let options = AnyConnectOptions::from_str(url)?;
        // SQLite has one writer: who waits here waits in order, and not for a lock.
        let writers = if kind == Kind::Sqlite { 1 } else { READERS };
        let writer = pool(kind, false).max_connections(writers).connect_with(options.clone());
        let writer = writer.await?;
        let mut database = writer.begin_with(begin(kind, true)).await?;
        migrate::migrate(&mut database, kind, id::micros(clock.now())).await?;
        database.commit().await?;
        let readers = pool(kind, true).max_connections(READERS).connect_with(options).await?;
        Ok(Self {
            readers,
            writer,
            kind,
            contents: Arc::new(contents),
            clock,
            places: Arc::default(),
        })
    }

    /// A snapshot to read from.
    ///
    /// # Errors
    ///
    /// No connection came free in time.
    pub async fn read(&self) -> Result<Session> {
        let database = self.readers.begin_with(begin(self.kind, false)).await?;
        Ok(Session::new(database, self))
    }

    /// A transaction that writes. It is undone unless it is committed.
    ///
    /// # Errors
    ///
    /// No connection came free in time.
    pub async fn write(&self) -> Result<Session> {
        let database = self.writer.begin_with(begin(self.kind, true)).await?;
        Ok(Session::new(database, self))
    }

    /// The time that a transaction which began now would write.
    pub fn now(&self) -> DateTime<Utc> {
        id::time(id::micros(self.clock.now()))
    }

    /// Where contents are staged before they are stored.
    pub fn staging(&self) -> Staging {
        Staging::new(Arc::clone(&self.contents))
    }

    /// A folder for bodies that are being received.
    pub fn temporary_folder(&self) -> PathBuf {
        contents::temporary(&self.contents)
    }

    /// Waits for what is under way, and brings everything into the database file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn begin(kind: Kind, writes: bool) -> &'static str {
    match (kind, writes) {
        // The lock is taken at once: a transaction that has read something cannot get it later.
        (Kind::Sqlite, true) => "BEGIN IMMEDIATE",
        (Kind::Sqlite, false) => "BEGIN",
        (Kind::Postgres, true) => "BEGIN",
        (Kind::Postgres, false) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    }
}

fn pool(kind: Kind, reads: bool) -> PoolOptions<Any> {
    let options = AnyPoolOptions::new().acquire_timeout(PATIENCE).test_before_acquire(false);
    if kind == Kind::Postgres {
        return options;
    }
    options.idle_timeout(None).max_lifetime(None).after_connect(move |connection, _| {
        Box::pin(async move {
            // FULL: a commit is on the disk when it returns. Spec: "Write-Ahead Logging",
            // Performance Considerations, and "PRAGMA synchronous", SQLite documentation.
            for pragma in [
                "PRAGMA busy_timeout = 10000",
                // Of a new database only. A compressed email fills one page rather than four, and
                // each page is a call of the system.
                "PRAGMA page_size = 16384",
                "PRAGMA journal_mode = WAL",
                "PRAGMA synchronous = FULL",
                "PRAGMA foreign_keys = ON",
                "PRAGMA journal_size_limit = 67108864",
                "PRAGMA cache_size = -16384",
            ] {
                sqlx::query(pragma).execute(&mut *connection).await?;
            }
            let queries = if reads { "PRAGMA query_only = ON" } else { "PRAGMA query_only = OFF" };
            sqlx::query(queries).execute(&mut *connection).await?;
            Ok(())
        })
    })
}

/// Makes a folder that nobody else can read: it holds mail.
fn make_private(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(StoreError::file(folder))
}
