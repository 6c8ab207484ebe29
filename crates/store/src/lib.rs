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
mod backup;
mod buckets;
mod check;
mod comment_pages;
mod comments;
mod configs;
mod contents;
mod conversion_status;
mod conversions;
mod converting;
mod database;
mod datasets;
mod emails;
mod error;
mod id;
mod identities;
mod index;
mod integrations;
mod links;
mod locks;
mod log;
mod migrate;
mod named;
mod outbox;
mod passwords;
mod projects;
mod quotas;
mod session;
mod settings;
mod sources;
mod states;
mod streams;
mod sweep;
mod tables;
mod tokens;
mod uploads;
mod users;
mod volume;
mod web_sessions;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Once},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use record::Clock;
use sqlx::{Any, AnyPool, any::AnyPoolOptions, pool::PoolOptions};

pub use audit::{Actor, AuditEvent, AuditQuery};
pub use backup::{Made, Manifest, Place, Progress, Restored, TableFile, Watcher, find, restore};
pub use buckets::Bucket;
pub use check::{Finding, Kind as FindingKind, Repair, Report};
pub use comment_pages::{AUDIO, CommentQuery, Thread};
pub use comments::{Comment, CommentWrite, NewComment};
pub use configs::{Config, ConfigVersion};
pub use contents::{
    ContentReader, ContentWriter, Contents, Folder, Listed, Staged, Staging, Trouble, is_hash,
};
pub use conversion_status::{Conversion, Quarantined};
pub use conversions::{Claim, Claimant, Wanted};
pub use database::{BadUrl, DatabaseUrl};
pub use datasets::{Annotation, Dataset};
pub use emails::{Email, EmailQuery, NewEmail};
pub use error::{Result, StoreError};
pub use identities::Identity;
pub use index::{Count, Search, SearchProgress, SearchVolume, ThreadHit, ThreadPage};
pub use integrations::{Integration, IntegrationError};
pub use links::{Link, LinkKind};
use log::Log;
pub use named::NeededBy;
pub use outbox::{NewMail, WaitingMail};
pub use projects::{NewProject, Project};
pub use quotas::Quota;
pub use session::{Held, Session};
pub use sources::{Source, SourceDetails};
pub use states::{Expected, SyncState};
pub use streams::{ChangePlace, Stream, changes_before};
pub use sweep::Swept;
pub use tokens::{Credential, Grant, NewToken, Token};
pub use users::{Holder, NewUser, User};
pub use volume::Volume;
pub use web_sessions::{NewWebSession, WebSession};

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
    contents: Arc<dyn Contents>,
    folder: Arc<PathBuf>,
    clock: Arc<dyn Clock>,
    /// Of the embedded database.
    log: Option<Arc<Log>>,
    /// Guards the last place that was given to a comment of each of some times.
    pub(crate) places: Arc<Mutex<HashMap<i64, i64>>>,
}

/// Which database, and where contents are.
pub struct Opening<'a> {
    /// Without one, the database is a file in the folder.
    pub database: Option<&'a DatabaseUrl>,
    pub folder: &'a Path,
    /// Without any, contents that are too large for the database are files in the folder.
    pub contents: Option<Arc<dyn Contents>>,
    pub clock: Arc<dyn Clock>,
    pub version: Version,
}

/// Which version the tables are to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// That of this program: they are brought forward, or made.
    Newest,
    /// That of this program, and nothing is changed for it.
    AsItIs,
    /// That of this program or an earlier one, and nothing is changed for it.
    AnyKnown,
    /// They are made with this one, as it was then.
    Exactly(i64),
}

impl Store {
    /// Opens the data folder with its embedded database, and makes what is missing.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooNew`] and [`StoreError::File`] are for the operator.
    pub async fn open(folder: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let (contents, version) = (None, Version::Newest);
        Self::with(Opening { database: None, folder, contents, clock, version }).await
    }

    /// Opens a database and a folder.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], and what is wrong with the way to a server.
    pub async fn with(opening: Opening<'_>) -> Result<Self> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);
        let Opening { database, folder, contents, clock, version } = opening;
        make_private(folder)?;
        let inside = folder.join("contents");
        contents::sweep_staged(&inside)?;
        let contents = match contents {
            Some(contents) => contents,
            None => Arc::new(Folder::open(&inside)?),
        };
        let kind = if database.is_some() { Kind::Postgres } else { Kind::Sqlite };
        let options = match database {
            Some(url) => database::connect(url).await?,
            None => database::file(folder)?,
        };
        // SQLite has one writer: who waits here waits in order, and not for a lock.
        let writers = if kind == Kind::Sqlite { 1 } else { READERS };
        let writer = pool(kind, false).max_connections(writers).connect_with(options.clone());
        let writer = writer.await?;
        let mut transaction = writer.begin_with(begin(kind, true)).await?;
        migrate::bring(&mut transaction, kind, id::micros(clock.now()), version).await?;
        transaction.commit().await?;
        let readers = pool(kind, true).max_connections(READERS).connect_with(options).await?;
        let log = (kind == Kind::Sqlite).then(|| Arc::new(Log::new(folder)));
        let (folder, places) = (Arc::new(folder.to_owned()), Arc::default());
        let store = Self { readers, writer, kind, contents, folder, clock, log, places };
        if !matches!(version, Version::Exactly(_)) {
            store.claim_contents(version).await?;
        }
        if version == Version::Newest {
            let mut session = store.write().await?;
            session.begin_search().await?;
            session.commit().await?;
        }
        Ok(store)
    }

    /// Opens the database at `url`, with contents in `folder` that are too large for it.
    ///
    /// # Errors
    ///
    /// As [`Self::with`]; [`StoreError::Unsuitable`] for what is no URL.
    pub async fn connect(url: &str, folder: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let url = DatabaseUrl::parse(url)?;
        let (contents, version) = (None, Version::Newest);
        Self::with(Opening { database: Some(&url), folder, contents, clock, version }).await
    }

    /// Whether others may write at the same time, so that a write can fail for that alone.
    pub fn has_several_writers(&self) -> bool {
        self.kind == Kind::Postgres
    }

    /// Where contents are that are too large for the database.
    pub fn contents(&self) -> &Arc<dyn Contents> {
        &self.contents
    }

    /// A snapshot to read from.
    ///
    /// # Errors
    ///
    /// No connection came free in time.
    pub async fn read(&self) -> Result<Session> {
        let database = database::begin(&self.readers, self.kind, begin(self.kind, false)).await?;
        Ok(Session::new(database, self))
    }

    /// A transaction that writes. It is undone unless it is committed.
    ///
    /// # Errors
    ///
    /// No connection came free in time.
    pub async fn write(&self) -> Result<Session> {
        if let Some(log) = &self.log {
            log.usable()?;
        }
        let database = database::begin(&self.writer, self.kind, begin(self.kind, true)).await?;
        Ok(Session::new(database, self))
    }

    /// The time that a transaction which began now would write.
    pub fn now(&self) -> DateTime<Utc> {
        id::time(id::micros(self.clock.now()))
    }

    /// A time that only goes forward.
    pub fn instant(&self) -> Instant {
        self.clock.instant()
    }

    /// Where contents are staged before they are stored.
    pub fn staging(&self) -> Staging {
        Staging::new(Arc::new(self.folder.join("contents")))
    }

    /// A folder for bodies that are being received.
    pub fn temporary_folder(&self) -> PathBuf {
        contents::temporary(&self.folder.join("contents"))
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
    let options = AnyPoolOptions::new()
        .acquire_timeout(PATIENCE)
        // Under load a writer waits for its turn, which is nothing to warn of.
        .acquire_slow_threshold(PATIENCE)
        .test_before_acquire(false);
    if kind == Kind::Postgres {
        return options;
    }
    options.idle_timeout(None).max_lifetime(None).after_connect(move |connection, _| {
        Box::pin(async move {
            for pragma in [
                "PRAGMA busy_timeout = 10000",
                // Of a new database only. A compressed email fills one page rather than four, and
                // each page is a call of the system.
                "PRAGMA page_size = 16384",
                "PRAGMA journal_mode = WAL",
                // The `log` module waits for the disk, and copies the log.
                "PRAGMA synchronous = NORMAL",
                "PRAGMA wal_autocheckpoint = 0",
                "PRAGMA foreign_keys = ON",
                "PRAGMA journal_size_limit = 67108864",
                "PRAGMA cache_size = -16384",
            ] {
                sqlx::query(pragma).execute(&mut *connection).await?;
            }
            let own: &'static [&'static str] = match reads {
                true => &["PRAGMA query_only = ON"],
                // What a statement changes is kept until it has succeeded as a whole; as a file,
                // that were as many writes as those to the log. Spec: "Temporary Files Used By
                // SQLite", Statement Journal Files, SQLite documentation.
                false => &["PRAGMA query_only = OFF", "PRAGMA temp_store = MEMORY"],
            };
            for pragma in own {
                sqlx::query(*pragma).execute(&mut *connection).await?;
            }
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
