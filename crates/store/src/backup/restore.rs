//! Makes a store from a backup: whole, or not at all.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use record::Clock;
use sqlx::AssertSqlSafe;

use super::{
    Manifest, Progress, Watcher, load,
    manifest::{damaged, find},
};
use crate::{
    Contents, DatabaseUrl, Kind, Opening, Result, Session, Store, StoreError, Version,
    contents::on_disk, id::micros, migrate, tables,
};

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    pub folder: PathBuf,
    pub manifest: Manifest,
    pub rows: u64,
}

/// Where a backup goes.
pub struct Place<'a> {
    /// Must not be there, or be empty.
    pub folder: &'a Path,
    /// Must have no tables of ours.
    pub database: Option<&'a DatabaseUrl>,
    pub contents: Option<Arc<dyn Contents>>,
    pub clock: Arc<dyn Clock>,
}

/// Restores the backup in `from`, or the newest in it.
///
/// # Errors
///
/// [`StoreError::BadBackup`] names what is damaged; [`StoreError::Occupied`] if something is there
/// already. Nothing is there then that was not there before.
pub async fn restore(from: &Path, place: Place<'_>, watcher: Watcher<'_>) -> Result<Restored> {
    let folder = find(from)?;
    let manifest = Manifest::read(&folder)?;
    let manifest = on_disk({
        let folder = folder.clone();
        move || load::verify(&folder, &manifest).map(|()| manifest)
    })
    .await?;
    if let Some(contents) = &place.contents
        && contents.owner().await?.is_some()
    {
        // They may be those of a platform that is alive.
        return Err(StoreError::Occupied { what: format!("`{}`", contents.place()) });
    }
    let building = building(place.folder)?;
    let clock = Arc::clone(&place.clock);
    let store = Store::with(Opening {
        database: place.database,
        folder: &building,
        contents: place.contents,
        clock: place.clock,
        version: Version::Exactly(0),
    })
    .await?;
    let filled = fill(&store, &folder, &manifest, micros(clock.now()), watcher).await;
    let (session, owner) = match filled {
        Ok(filled) => filled,
        Err(error) => {
            store.close().await;
            // What is left is taken away by the next attempt, if it cannot be now.
            fs::remove_dir_all(&building).unwrap_or_default();
            return Err(error);
        }
    };
    let contents = Arc::clone(&store.contents);
    // Contents before rows: the folder first where the database is elsewhere.
    if store.kind == Kind::Postgres {
        put_in_place(&building, place.folder)?;
        session.commit().await?;
        store.close().await;
    } else {
        session.commit().await?;
        store.close().await;
        put_in_place(&building, place.folder)?;
    }
    if let Some(owner) = owner {
        contents.set_owner(&owner).await?;
    }
    let rows = manifest.tables.iter().map(|file| file.rows).sum();
    Ok(Restored { folder, manifest, rows })
}

/// The folder that becomes the data folder in the end.
fn building(target: &Path) -> Result<PathBuf> {
    let is_free = match fs::read_dir(target) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(StoreError::file(target)(error)),
    };
    if !is_free {
        return Err(StoreError::Occupied { what: format!("`{}`", target.display()) });
    }
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let building = target.with_file_name(format!(".{name}.restoring"));
    match fs::remove_dir_all(&building) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::file(building)(error))
        }
        _ => Ok(building),
    }
}

fn put_in_place(building: &Path, target: &Path) -> Result<()> {
    match fs::remove_dir(target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StoreError::file(target)(error));
        }
        _ => {}
    }
    fs::rename(building, target).map_err(StoreError::file(target))?;
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let synced = File::open(parent).and_then(|parent| parent.sync_all());
    synced.map_err(StoreError::file(parent))
}

/// Makes the tables as they were, and puts everything into them. Nothing is there before the
/// session is committed. Also tells the mark that its contents are to have.
async fn fill(
    store: &Store,
    folder: &Path,
    manifest: &Manifest,
    now: i64,
    watcher: Watcher<'_>,
) -> Result<(Session, Option<String>)> {
    let mut session = store.write().await?;
    if migrate::version(session.database()).await? > 0 {
        return Err(StoreError::Occupied { what: "the database".to_owned() });
    }
    let kind = store.kind;
    migrate::migrate(session.database(), kind, now, manifest.schema).await?;
    // Migrations put rows into some.
    for file in manifest.tables.iter().rev() {
        let sql = format!("DELETE FROM {}", file.name);
        sqlx::query(AssertSqlSafe(sql)).execute(session.database()).await?;
    }
    for table in tables::TABLES {
        let Some(file) = manifest.tables.iter().find(|file| file.name == table.name) else {
            continue;
        };
        let mut told = |done| watcher(Progress { what: table.name, done, total: file.rows });
        session.load(folder, manifest, file, &mut told).await?;
    }
    if let Some(event) = session.first_forged_event().await? {
        let what = format!("its audit events were changed, `{event}` first");
        return Err(damaged(folder, what));
    }
    let owner = session.own_anew().await?;
    Ok((session, owner))
}
