//! What tests and programs do to the mailboxes of a running server.

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};

use super::{
    Content, Delivery, Exchange, TrueItem,
    folder::Kind,
    graph,
    id::{FolderNo, Id, ItemNo, Target},
    mailbox::Mailbox,
    truth,
};

impl Exchange {
    /// Adds a mailbox with its standard folders. One that is there stays as it is.
    pub fn add_mailbox(&self, address: &str) {
        let (set, now) = (self.shared.options.folders, self.now());
        self.shared.world().add(address, set, now);
    }

    /// Addresses of all mailboxes, in alphabetical order.
    pub fn mailboxes(&self) -> Vec<String> {
        self.shared.world().addresses()
    }

    /// Removes a mailbox: `ErrorNonExistentMailbox` from now on.
    pub fn remove_mailbox(&self, address: &str) {
        self.shared.world().remove(address);
    }

    /// Answers every request for a mailbox with `code` (`ErrorMailboxMoveInProgress`,
    /// `ErrorAccountDisabled`), or serves it again.
    pub fn disable_mailbox(&self, address: &str, code: Option<&str>) {
        if let Some(mailbox) = self.shared.world().mailbox_mut(address) {
            mailbox.out_of_service = code.map(str::to_owned);
        }
    }

    /// Takes a mailbox off Graph as one that is on premises or has no license: 404
    /// `MailboxNotEnabledForRESTAPI`. EWS serves it as before.
    pub fn set_rest_enabled(&self, address: &str, enabled: bool) {
        if let Some(mailbox) = self.shared.world().mailbox_mut(address) {
            mailbox.in_cloud = enabled;
        }
    }

    /// Makes every sync state and delta link of a mailbox worthless:
    /// `ErrorInvalidSyncStateData` on EWS, 410 on Graph.
    pub fn invalidate_sync_states(&self, address: &str) {
        if let Some(mailbox) = self.shared.world().mailbox_mut(address) {
            mailbox.epoch += 1;
        }
    }

    /// Adds the folder at `path` (`&["Inbox", "Claims/2026"]`) with those above it, and returns
    /// its id. `class` is `IPF.Note`, `IPF.Appointment`, …; one that is there stays as it is.
    ///
    /// # Errors
    ///
    /// There is no such mailbox.
    pub fn add_folder(&self, address: &str, path: &[&str], class: &str) -> Result<String> {
        self.make_folder(address, path, Some(class), Kind::of_class(class))
    }

    /// Adds a search folder: it shows items that are elsewhere, and cannot be synchronized.
    ///
    /// # Errors
    ///
    /// There is no such mailbox.
    pub fn add_search_folder(&self, address: &str, path: &[&str]) -> Result<String> {
        self.make_folder(address, path, Some("IPF.Note"), Kind::Search)
    }

    /// Adds a folder that has no class, as some programs do.
    ///
    /// # Errors
    ///
    /// There is no such mailbox.
    pub fn add_folder_without_class(&self, address: &str, path: &[&str]) -> Result<String> {
        self.make_folder(address, path, None, Kind::Mail)
    }

    fn make_folder(
        &self,
        address: &str,
        path: &[&str],
        class: Option<&str>,
        kind: Kind,
    ) -> Result<String> {
        let now = self.now();
        self.change(address, |mailbox| {
            let mut at =
                mailbox.distinguished("msgfolderroot").context("the mailbox has no top")?;
            for (depth, name) in path.iter().enumerate() {
                let there = mailbox
                    .children(at)
                    .find(|folder| folder.name == *name)
                    .map(|folder| folder.no);
                let (class, kind) = match path.len() - depth {
                    1 => (class, kind),
                    _ => (Some("IPF.Note"), Kind::Mail),
                };
                at = there
                    .unwrap_or_else(|| mailbox.insert_folder(Some(at), name, class, kind, now));
            }
            Ok(mailbox.folder_id(at))
        })
    }

    pub fn has_folder(&self, address: &str, path: &[&str]) -> bool {
        let world = self.shared.world();
        world.mailbox(address).is_some_and(|mailbox| mailbox.find_folder(path).is_some())
    }

    /// Gives the folder at `path` another name.
    ///
    /// # Errors
    ///
    /// There is no such mailbox or folder.
    pub fn rename_folder(&self, address: &str, path: &[&str], name: &str) -> Result<()> {
        self.change(address, |mailbox| {
            let no = folder_at(mailbox, path)?;
            mailbox.change_folder(no, Some(name), None);
            Ok(())
        })
    }

    /// Moves the folder at `path` below `to`.
    ///
    /// # Errors
    ///
    /// There is no such mailbox or folder.
    pub fn move_folder(&self, address: &str, path: &[&str], to: &[&str]) -> Result<()> {
        self.change(address, |mailbox| {
            let (no, to) = (folder_at(mailbox, path)?, folder_at(mailbox, to)?);
            anyhow::ensure!(no != to && !mailbox.is_below(to, no), "a folder cannot be in itself");
            mailbox.change_folder(no, None, Some(to));
            Ok(())
        })
    }

    /// Hides the folder at `path`, or shows it again.
    ///
    /// # Errors
    ///
    /// There is no such mailbox or folder.
    pub fn hide_folder(&self, address: &str, path: &[&str], hidden: bool) -> Result<()> {
        self.change(address, |mailbox| {
            let no = folder_at(mailbox, path)?;
            mailbox.hide_folder(no, hidden);
            Ok(())
        })
    }

    /// Deletes the folder at `path` with everything in it.
    ///
    /// # Errors
    ///
    /// There is no such mailbox or folder.
    pub fn delete_folder(&self, address: &str, path: &[&str]) -> Result<()> {
        let now = self.now();
        self.change(address, |mailbox| {
            let no = folder_at(mailbox, path)?;
            mailbox.delete_folder(no, now);
            Ok(())
        })
    }

    /// Delivers a message into the folder at `path`, and returns its item id.
    ///
    /// # Errors
    ///
    /// There is no such mailbox or folder.
    pub fn deliver(
        &self,
        address: &str,
        path: &[&str],
        content: impl Into<Content>,
        received: DateTime<Utc>,
    ) -> Result<String> {
        self.deliver_as(address, path, Delivery::new(content, received))
    }

    /// Delivers a message of which more is said than what its header tells.
    ///
    /// # Errors
    ///
    /// There is no such mailbox or folder.
    pub fn deliver_as(&self, address: &str, path: &[&str], delivery: Delivery) -> Result<String> {
        let now = self.now();
        self.change(address, |mailbox| {
            let folder = folder_at(mailbox, path)?;
            let no = mailbox.insert(folder, delivery, now);
            Ok(mailbox.item_id(no))
        })
    }

    /// The immutable id of an item, as Graph shows it.
    ///
    /// # Errors
    ///
    /// There is no such item.
    pub fn immutable_id(&self, id: &str) -> Result<String> {
        self.change_item(id, |mailbox, no| {
            let item = mailbox.items.get(&no).context("no such item")?;
            Ok(graph::immutable_id(mailbox.guid, item.immutable))
        })
    }

    /// Moves an item to the folder at `path` of its mailbox, and returns its new id.
    ///
    /// # Errors
    ///
    /// There is no such item or folder.
    pub fn move_item(&self, id: &str, path: &[&str]) -> Result<String> {
        self.transfer(id, path, false)
    }

    /// Copies an item, and returns the id of the copy; both have the same search key.
    ///
    /// # Errors
    ///
    /// There is no such item or folder.
    pub fn copy_item(&self, id: &str, path: &[&str]) -> Result<String> {
        self.transfer(id, path, true)
    }

    fn transfer(&self, id: &str, path: &[&str], keep: bool) -> Result<String> {
        let now = self.now();
        self.change_item(id, |mailbox, no| {
            let to = folder_at(mailbox, path)?;
            let no = if keep { mailbox.copy(no, to, now) } else { mailbox.relocate(no, to, now) };
            Ok(mailbox.item_id(no.context("no such item")?))
        })
    }

    /// Deletes an item for good.
    ///
    /// # Errors
    ///
    /// There is no such item.
    pub fn delete_item(&self, id: &str) -> Result<()> {
        let now = self.now();
        self.change_item(id, |mailbox, no| {
            mailbox.remove(no, now).context("no such item").map(drop)
        })
    }

    /// Marks an item as read or unread: a `ReadFlagChange` for clients that have seen it.
    ///
    /// # Errors
    ///
    /// There is no such item.
    pub fn set_read(&self, id: &str, read: bool) -> Result<()> {
        let now = self.now();
        self.change_item(id, |mailbox, no| {
            mailbox.set_read(no, read, now);
            Ok(())
        })
    }

    /// Changes an item, for instance its content or its categories: an `Update`.
    ///
    /// # Errors
    ///
    /// There is no such item.
    pub fn update_item(&self, id: &str, change: impl FnOnce(&mut Delivery)) -> Result<()> {
        let now = self.now();
        self.change_item(id, |mailbox, no| {
            mailbox.update(no, now, change);
            Ok(())
        })
    }

    fn change<T>(
        &self,
        address: &str,
        change: impl FnOnce(&mut Mailbox) -> Result<T>,
    ) -> Result<T> {
        let mut world = self.shared.world();
        let mailbox = world.mailbox_mut(address);
        change(mailbox.with_context(|| format!("there is no mailbox `{address}`"))?)
    }

    fn change_item<T>(
        &self,
        id: &str,
        change: impl FnOnce(&mut Mailbox, ItemNo) -> Result<T>,
    ) -> Result<T> {
        let parsed = Id::decode(id).context("not an id of this server")?;
        let Target::Item(no) = parsed.target else { anyhow::bail!("not the id of an item") };
        let mut world = self.shared.world();
        let address = world.by_guid(parsed.mailbox).map(|mailbox| mailbox.address.clone());
        let mailbox = address.and_then(|address| world.mailbox_mut(&address));
        let mailbox = mailbox.context("the mailbox of this item is gone")?;
        anyhow::ensure!(mailbox.items.contains_key(&no), "the item is gone");
        change(mailbox, no)
    }

    /// Everything that a mailbox holds, folder by folder, in the order of arrival.
    ///
    /// # Errors
    ///
    /// There is no such mailbox, or a mail file cannot be read.
    pub fn truth(&self, address: &str) -> Result<Vec<TrueItem>> {
        let items = {
            let world = self.shared.world();
            let mailbox = world.mailbox(address);
            truth::outline(mailbox.with_context(|| format!("there is no mailbox `{address}`"))?)
        };
        // Hashing takes its time, so the mailboxes are not held meanwhile.
        items.into_iter().map(truth::Outline::complete).collect()
    }

    /// The content of an item.
    ///
    /// # Errors
    ///
    /// There is no such item, or its file cannot be read.
    pub fn content(&self, id: &str) -> Result<bytes::Bytes> {
        let content = self.change_item(id, |mailbox, no| {
            let item = mailbox.items.get(&no).context("the item is gone")?;
            Ok(item.delivery.content.clone())
        })?;
        content.to_bytes().context("could not read a mail file")
    }

    /// How many items a mailbox holds that a copy of its mail should have.
    pub fn mail_count(&self, address: &str) -> usize {
        let world = self.shared.world();
        world.mailbox(address).map_or(0, |mailbox| {
            truth::outline(mailbox).iter().filter(|item| item.is_mail()).count()
        })
    }
}

fn folder_at(mailbox: &Mailbox, path: &[&str]) -> Result<FolderNo> {
    mailbox.find_folder(path).with_context(|| {
        format!("mailbox `{}` has no folder `{}`", mailbox.address, path.join(" › "))
    })
}
