//! Makes a backup while others read and write.

use std::{
    io::{Cursor, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::future::join_all;
use sqlx::Row;

use super::{
    CONTENTS, Manifest, Progress, TABLES, Watcher,
    manifest::{FORMAT, TableFile},
    target::Target,
};
use crate::{
    Contents, NeededBy, Result, Session, Store, StoreError,
    contents::{AT_ONCE, on_disk},
    migrate, tables,
};

/// Contents that are looked for in earlier backups at once.
const PAGE: usize = 256;
/// Rows between two words about progress.
const ROWS: u64 = 1000;

/// A backup that is whole.
#[derive(Clone, Debug)]
pub struct Made {
    pub folder: PathBuf,
    pub rows: u64,
    /// Contents that were copied, and those that an earlier backup had.
    pub copied: u64,
    pub linked: u64,
    /// What is damaged in the store itself, and so not in the backup: hashes, with who needs them.
    pub damaged: Vec<(String, NeededBy)>,
}

struct Content {
    hash: String,
    size: u64,
}

impl Store {
    /// Makes a backup in a folder of `home`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] if another one is under way there; otherwise the database or a disk
    /// failed, and what was begun is no backup.
    pub async fn back_up(&self, home: &Path, watcher: Watcher<'_>) -> Result<Made> {
        // Before the snapshot: what is removed after it must stay until it is copied.
        let hold = self.hold_files().await?;
        let now = self.clock.now();
        let name = now.format("%Y-%m-%dT%H%M%SZ").to_string();
        let home = home.to_owned();
        let target = Arc::new(on_disk(move || Target::open(&home, &name)).await?);
        let mut session = self.read().await?;
        let schema = migrate::version(session.database()).await?;
        let files = export(&mut session, &target, watcher).await?;
        let rows = files.iter().map(|file| file.rows).sum();
        let contents = files.iter().find(|file| file.name == CONTENTS);
        let total = contents.map_or(0, |file| file.rows);
        let (mut copied, mut linked, mut damaged) = (0, 0, Vec::new());
        let mut after = String::new();
        loop {
            let page = session.page_of_contents(&after).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.hash);
            let (known, missing) = link(&target, page).await?;
            linked += known;
            for some in missing.chunks(AT_ONCE) {
                for (row, result) in session.copy(&target, some).await? {
                    match result {
                        Ok(()) => copied += 1,
                        Err(StoreError::Damaged { .. }) => {
                            let needed_by = session.needed_by(&row.hash).await?;
                            damaged.push((row.hash.clone(), needed_by));
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
            let done = copied + linked + damaged.len() as u64;
            watcher(Progress { what: CONTENTS, done, total });
        }
        session.end().await?;
        drop(hold);
        let manifest = Manifest {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            schema,
            created_at: now.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
            tables: files,
            contents: copied + linked,
            damaged: damaged.iter().map(|(hash, _)| hash.clone()).collect(),
        };
        let folder = on_disk(move || {
            manifest.write(&target.folder)?;
            let target = Arc::into_inner(target);
            let gone = || StoreError::Damaged { what: "the lock of the backup".to_owned() };
            target.ok_or_else(gone)?.finish()
        });
        Ok(Made { folder: folder.await?, rows, copied, linked, damaged })
    }
}

/// Writes the rows of all tables that are kept.
async fn export(
    session: &mut Session,
    target: &Target,
    watcher: Watcher<'_>,
) -> Result<Vec<TableFile>> {
    let mut files = Vec::new();
    for table in tables::TABLES.iter().filter(|table| !table.is_derived) {
        // Tables of an earlier version do not have all of them yet.
        if session.columns(table.name).await?.is_empty() {
            continue;
        }
        let path = target.folder.join(TABLES).join(format!("{}.jsonl.gz", table.name));
        let mut told = |rows| {
            if rows % ROWS == 0 {
                watcher(Progress { what: table.name, done: rows, total: 0 });
            }
        };
        files.push(session.export(table, &path, &mut told).await?);
    }
    Ok(files)
}

/// Takes what earlier backups have; how many they were, and the others.
async fn link(target: &Arc<Target>, page: Vec<Content>) -> Result<(u64, Vec<Content>)> {
    let target = Arc::clone(target);
    on_disk(move || {
        let (mut known, mut missing) = (0, Vec::new());
        for row in page {
            if target.link(&row.hash, row.size)? {
                known += 1;
            } else {
                missing.push(row);
            }
        }
        Ok((known, missing))
    })
    .await
}

impl Session {
    async fn page_of_contents(&mut self, after: &str) -> Result<Vec<Content>> {
        let sql = "SELECT hash, size FROM contents WHERE hash > $1 ORDER BY hash LIMIT $2";
        let query = sqlx::query(sql).bind(after.to_owned());
        let query = query.bind(i64::try_from(PAGE).unwrap_or(i64::MAX));
        let rows = query.fetch_all(self.database()).await?;
        let row = |row: &sqlx::any::AnyRow| {
            let size = u64::try_from(row.try_get::<i64, _>(1)?).unwrap_or_default();
            Ok(Content { hash: row.try_get(0)?, size })
        };
        rows.iter().map(row).collect()
    }

    /// Copies contents of this snapshot, as they are kept.
    async fn copy<'a>(
        &mut self,
        target: &Arc<Target>,
        rows: &'a [Content],
    ) -> Result<Vec<(&'a Content, Result<()>)>> {
        let mut copies = Vec::with_capacity(rows.len());
        for row in rows {
            let query = sqlx::query("SELECT body FROM contents WHERE hash = $1");
            let found = query.bind(row.hash.clone()).fetch_one(self.database()).await?;
            let body = found.try_get::<Option<Vec<u8>>, _>(0)?;
            copies.push(copy(Arc::clone(target), Arc::clone(&self.contents), row, body));
        }
        Ok(join_all(copies).await)
    }
}

async fn copy(
    target: Arc<Target>,
    contents: Arc<dyn Contents>,
    row: &Content,
    body: Option<Vec<u8>>,
) -> (&Content, Result<()>) {
    let work = async {
        let damaged = || StoreError::Damaged { what: format!("the content `{}`", row.hash) };
        let input: Box<dyn Read + Send> = match body {
            Some(body) => Box::new(Cursor::new(body)),
            None => contents.open(&row.hash).await?.ok_or_else(damaged)?,
        };
        let (hash, size) = (row.hash.clone(), row.size);
        on_disk(move || target.copy(&hash, size, input)).await
    };
    (row, work.await)
}
