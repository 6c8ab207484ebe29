//! Removes what a crash or a backup has left behind: staged files of processes that are gone, rows
//! of contents that nothing needs, and files without rows. Safe while others write.

use std::collections::HashSet;

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Row};

use crate::{Listed, Result, Session, Store, contents, is_hash, tables};

/// Contents that are looked at in one transaction.
const PORTION: usize = 200;

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Staged files of uploads that never ended.
    pub staged: u64,
    /// Contents that nothing needed.
    pub contents: u64,
    /// Files without rows, and their bytes.
    pub files: u64,
    pub bytes: u64,
}

impl Store {
    /// Removes what nothing needs.
    ///
    /// # Errors
    ///
    /// The database or the disk failed; what was removed until then is gone.
    pub async fn sweep(&self) -> Result<Swept> {
        let mut swept = Swept {
            staged: contents::sweep_staged(&self.folder.join("contents"))?,
            ..Swept::default()
        };
        let mut session = self.write().await?;
        session.forget_old_conversions().await?;
        session.forget_lost_conversions().await?;
        session.commit().await?;
        let mut after = String::new();
        loop {
            let unused = self.read().await?.unused_contents(&after, PORTION).await?;
            let Some(last) = unused.last() else { break };
            after.clone_from(last);
            let mut session = self.write().await?;
            session.drop_unused(unused).await?;
            swept.contents += session.gone.len() as u64;
            session.commit().await?;
        }
        let mut all = self.contents.list();
        while let Some(listed) = all.try_next().await? {
            let orphans = self.orphans(listed).await?;
            for portion in orphans.chunks(PORTION) {
                let names: Vec<_> = portion.iter().map(|(name, _)| name.clone()).collect();
                let removed = self.remove_files(&names).await?;
                swept.files += removed;
                if removed == portion.len() as u64 {
                    swept.bytes += portion.iter().map(|(_, size)| size).sum::<u64>();
                }
            }
        }
        Ok(swept)
    }

    /// Files without rows, of those that are listed.
    pub(crate) async fn orphans(&self, mut listed: Vec<Listed>) -> Result<Vec<(String, u64)>> {
        listed.retain(|file| is_hash(&file.name));
        let mut orphans = Vec::new();
        for portion in listed.chunks(PORTION) {
            let names: Vec<&str> = portion.iter().map(|file| &*file.name).collect();
            let known = self.read().await?.known_contents(&names).await?;
            let missing = portion.iter().filter(|file| !known.contains(&file.name));
            orphans.extend(missing.map(|file| (file.name.clone(), file.size)));
        }
        Ok(orphans)
    }
}

impl Session {
    /// Contents that nothing needs, by hash, behind `after`.
    pub(crate) async fn unused_contents(
        &mut self,
        after: &str,
        most: usize,
    ) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT hash FROM contents WHERE hash > $1 AND {} ORDER BY hash LIMIT $2",
            tables::unused("contents.hash")
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(after.to_owned());
        let query = query.bind(i64::try_from(most).unwrap_or(i64::MAX));
        let rows = query.fetch_all(self.database()).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Those of the hashes that have rows.
    async fn known_contents(&mut self, hashes: &[&str]) -> Result<HashSet<String>> {
        let places: Vec<_> = (1..=hashes.len()).map(|place| format!("${place}")).collect();
        let sql = format!("SELECT hash FROM contents WHERE hash IN ({})", places.join(", "));
        let query = sqlx::query(AssertSqlSafe(sql));
        let query = hashes.iter().fold(query, |query, hash| query.bind((*hash).to_owned()));
        let rows = query.fetch_all(self.database()).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}
