//! `tributary backup` and `tributary restore`.

use std::{path::PathBuf, sync::Arc};

use appliance::exit::{Ending, Exit};
use clap::Args;
use record::clock::SystemClock;
use serde_json::json;
use store::{Place, TableFile, Version, restore};

use crate::{
    commands::{show, show_json},
    serve::runtime,
    storage::{Storage, stored},
    watch::Watch,
};

#[derive(Args)]
pub(crate) struct Backup {
    /// Folder of backups: each becomes a folder in it, named after its time. What the one before
    /// has is linked rather than copied.
    folder: PathBuf,
    #[command(flatten)]
    storage: Storage,
    /// Prints JSON instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Restore {
    /// A backup, or a folder of them, of which the newest is taken.
    folder: PathBuf,
    #[command(flatten)]
    storage: Storage,
    /// Prints JSON instead of text.
    #[arg(long)]
    json: bool,
}

impl Backup {
    pub(crate) fn run(self) -> Result<Exit, Ending> {
        runtime()?.block_on(Box::pin(self.make()))
    }

    async fn make(self) -> Result<Exit, Ending> {
        // Also of tables of an earlier version: it is made before an upgrade.
        let store = self.storage.open(Version::AnyKnown).await?;
        let watch = Watch::new();
        let made = store.back_up(&self.folder, &|progress| watch.show(progress)).await;
        watch.end();
        store.close().await;
        let made = made.map_err(|err| stored(&err))?;
        let place = made.folder.display();
        if self.json {
            let damaged: Vec<_> = made
                .damaged
                .iter()
                .map(|(hash, by)| json!({ "hash": hash, "emails": by.emails, "comments": by.comments }))
                .collect();
            show_json(&json!({
                "folder": place.to_string(), "rows": made.rows, "copied": made.copied,
                "linked": made.linked, "damaged": damaged,
            }))?;
        } else {
            show(&format!(
                "`{place}` holds {} rows and {} contents, {} of them from earlier backups.\n",
                made.rows,
                made.copied + made.linked,
                made.linked
            ))?;
            for (hash, needed_by) in &made.damaged {
                show(&format!("damaged, and not in it: {hash}\n"))?;
                for name in needed_by.names() {
                    show(&format!("    {name}\n"))?;
                }
            }
            if !made.damaged.is_empty() {
                show("Run `tributary fsck`.\n")?;
            }
        }
        Ok(if made.damaged.is_empty() { Exit::Success } else { Exit::Difference })
    }
}

impl Restore {
    pub(crate) fn run(self) -> Result<Exit, Ending> {
        runtime()?.block_on(Box::pin(self.bring_back()))
    }

    async fn bring_back(self) -> Result<Exit, Ending> {
        let database = self.storage.database()?;
        let place = Place {
            folder: &self.storage.data,
            database: database.as_ref(),
            contents: self.storage.contents()?,
            clock: Arc::new(SystemClock),
        };
        let watch = Watch::new();
        let restored = restore(&self.folder, place, &|progress| watch.show(progress)).await;
        watch.end();
        let restored = restored.map_err(|err| stored(&err))?;
        let (from, into) = (restored.folder.display(), self.storage.place()?);
        let manifest = &restored.manifest;
        let is_sealed = |table: &TableFile| table.name == "integrations" && table.rows > 0;
        let needs_key = manifest.tables.iter().any(is_sealed);
        if self.json {
            show_json(&json!({
                "from": from.to_string(), "created_at": manifest.created_at,
                "rows": restored.rows, "contents": manifest.contents,
                "damaged": manifest.damaged, "vault_key_needed": needs_key,
            }))?;
        } else {
            show(&format!(
                "`{from}` of {} is in `{into}` now: {} rows and {} contents.\n",
                manifest.created_at, restored.rows, manifest.contents
            ))?;
            for hash in &manifest.damaged {
                show(&format!("damaged already when the backup was made: {hash}\n"))?;
            }
            if needs_key {
                show(&format!(
                    "Credentials of integrations are sealed, and no backup has their key: copy \
                     `vault.key` of the platform that was backed up to `{}` before you start \
                     `tributary serve`, or name it with `--vault-key-file`.\n",
                    self.storage.data.join("vault.key").display()
                ))?;
            }
        }
        Ok(if manifest.damaged.is_empty() { Exit::Success } else { Exit::Difference })
    }
}
