//! Puts a content back from a backup: it has the same name there, so nothing can be mistaken.

use std::path::{Path, PathBuf};

use super::{Kind, Known, Repair};
use crate::{
    ContentReader, Result, Store, StoreError,
    contents::{MAX_INLINE, folder::path_of, on_disk},
};

impl Store {
    /// Does what can be done about a content, and tells what that was.
    pub(super) async fn repair(
        &self,
        known: &Known,
        kind: Kind,
        repair: Repair<'_>,
    ) -> Result<Option<String>> {
        if !repair.wanted {
            return Ok(None);
        }
        let good = match repair.from {
            Some(backup) => self.good_copy(known, backup).await?,
            None => None,
        };
        let mut session = self.write().await?;
        session.guard_from_storing(&known.hash).await?;
        let is_file = session.is_in_a_file(&known.hash).await?;
        if kind == Kind::DamagedContent && is_file {
            let place = self.contents.set_aside(&known.hash).await?;
            tracing::warn!("The damaged content `{}` is in `{place}` now", known.hash);
        }
        let Some(copy) = good else {
            session.end().await?;
            return Ok(None);
        };
        let size = copy.as_file().metadata().map_err(StoreError::file(copy.path()))?.len();
        if size > MAX_INLINE as u64 {
            self.contents.put(&known.hash, copy.path()).await?;
            session.set_body(&known.hash, None).await?;
        } else {
            let bytes = std::fs::read(copy.path()).map_err(StoreError::file(copy.path()))?;
            session.set_body(&known.hash, Some(bytes)).await?;
        }
        session.commit().await?;
        Ok(Some("restored from the backup".to_owned()))
    }

    /// A copy of the content that is what it should be.
    async fn good_copy(
        &self,
        known: &Known,
        backup: &Path,
    ) -> Result<Option<tempfile::NamedTempFile>> {
        let path: PathBuf = path_of(&backup.join("contents"), &known.hash);
        let (folder, hash, size) = (self.temporary_folder(), known.hash.clone(), known.size);
        on_disk(move || {
            let Ok(mut from) = std::fs::File::open(&path) else { return Ok(None) };
            let failed = || StoreError::file(&folder);
            let mut copy = tempfile::NamedTempFile::new_in(&folder).map_err(failed())?;
            std::io::copy(&mut from, &mut copy).map_err(failed())?;
            copy.as_file().sync_all().map_err(failed())?;
            let again = std::fs::File::open(copy.path()).map_err(failed())?;
            let is_good = ContentReader::from_file(&hash, size, Box::new(again)).verify().is_ok();
            Ok(is_good.then_some(copy))
        })
        .await
    }
}

impl crate::Session {
    async fn is_in_a_file(&mut self, hash: &str) -> Result<bool> {
        let query = sqlx::query("SELECT 1 FROM contents WHERE hash = $1 AND body IS NULL");
        let query = query.bind(hash.to_owned());
        Ok(query.fetch_optional(self.database()).await?.is_some())
    }

    async fn set_body(&mut self, hash: &str, body: Option<Vec<u8>>) -> Result<()> {
        let query = sqlx::query("UPDATE contents SET body = $1 WHERE hash = $2");
        let query = query.bind(body).bind(hash.to_owned());
        query.execute(self.database()).await?;
        Ok(())
    }
}
