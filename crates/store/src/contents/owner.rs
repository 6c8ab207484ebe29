//! Whose contents a container has. Two platforms in one place would each remove what the other
//! needs, so the place has a mark with the name of its platform, and the platform knows it too.

use sqlx::Row;

use super::place::Trouble;
use crate::{Result, Session, Store, StoreError, Version, id::new_id};

/// The setting with the name that the mark has.
pub(crate) const OWNER: &str = "contents_owner";

impl Store {
    /// Sees whether contents are where they are looked for; a server also leaves its mark, and tries
    /// whether it can write.
    pub(crate) async fn claim_contents(&self, version: Version) -> Result<()> {
        let known = self.read().await?.known_owner().await?;
        if !self.contents.is_far() {
            let elsewhere = "the contents of this platform are in an object store";
            return match known {
                Some(_) => Err(self.unsuitable(elsewhere, "Give the same `--object-store` again.")),
                None => Ok(()),
            };
        }
        match self.contents.owner().await? {
            Some(found) if known.as_ref() == Some(&found) => {}
            Some(_) => return Err(self.belongs_to_another()),
            None => self.find_contents().await?,
        }
        if version != Version::Newest {
            return Ok(());
        }
        self.contents.check().await?;
        let mut session = self.write().await?;
        let owner = session.own_contents().await?;
        session.commit().await?;
        self.contents.set_owner(&owner).await?;
        match self.contents.owner().await? {
            Some(found) if found == owner => Ok(()),
            _ => Err(self.belongs_to_another()),
        }
    }

    /// Where there is no mark: the rows must not speak of contents that are elsewhere.
    async fn find_contents(&self) -> Result<()> {
        let mut session = self.read().await?;
        let query = "SELECT hash FROM contents WHERE body IS NULL ORDER BY hash LIMIT 1";
        let row = sqlx::query(query).fetch_optional(session.database()).await?;
        session.end().await?;
        let Some(row) = row else { return Ok(()) };
        if self.contents.has(&row.try_get::<String, _>(0)?).await? {
            return Ok(());
        }
        Err(self.unsuitable(
            "it has none of the contents of this platform",
            "Check `--object-store`. Contents move from one place to another with `tributary backup` \
             and `tributary restore`.",
        ))
    }

    fn belongs_to_another(&self) -> StoreError {
        self.unsuitable(
            "it has the contents of another platform, which would be removed",
            "Give each platform a container or a prefix of its own.",
        )
    }

    fn unsuitable(&self, why: &'static str, hint: &str) -> StoreError {
        StoreError::Contents {
            place: self.contents.place(),
            trouble: Trouble::Unsuitable,
            hint: Some(hint.to_owned()),
            cause: why.into(),
        }
    }
}

impl Session {
    async fn known_owner(&mut self) -> Result<Option<String>> {
        if !self.has_table("settings").await? {
            return Ok(None);
        }
        self.setting(OWNER).await
    }

    /// The name that the mark has to have; several processes agree on one.
    async fn own_contents(&mut self) -> Result<String> {
        let name = new_id()?;
        let sql =
            "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        sqlx::query(sql).bind(OWNER).bind(name.clone()).execute(self.database()).await?;
        Ok(self.setting(OWNER).await?.unwrap_or(name))
    }

    /// For a copy of a platform: what the original has is not its own.
    pub(crate) async fn own_anew(&mut self) -> Result<Option<String>> {
        if !self.has_table("settings").await? {
            return Ok(None);
        }
        let delete = sqlx::query("DELETE FROM settings WHERE name = $1").bind(OWNER);
        delete.execute(self.database()).await?;
        if !self.contents.is_far() {
            return Ok(None);
        }
        self.own_contents().await.map(Some)
    }
}
