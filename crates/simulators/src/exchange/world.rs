//! All mailboxes of the server.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};

use super::{
    folder::FolderSet,
    id::{FolderNo, Guid, ItemNo},
    item::Item,
    mailbox::Mailbox,
};

/// The mailboxes, by address and by the part of ids that names them.
#[derive(Debug, Default)]
pub(crate) struct World {
    mailboxes: BTreeMap<String, Mailbox>,
    by_guid: HashMap<Guid, String>,
}

impl World {
    /// Adds a mailbox unless there is one with this address.
    pub(crate) fn add(
        &mut self,
        address: &str,
        set: FolderSet,
        now: DateTime<Utc>,
    ) -> &mut Mailbox {
        let address = address.to_ascii_lowercase();
        self.by_guid.insert(Guid::of(&address), address.clone());
        self.mailboxes.entry(address).or_insert_with_key(|address| Mailbox::new(address, set, now))
    }

    pub(crate) fn remove(&mut self, address: &str) {
        if let Some(mailbox) = self.mailboxes.remove(&address.to_ascii_lowercase()) {
            self.by_guid.remove(&mailbox.guid);
        }
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        self.mailboxes.keys().cloned().collect()
    }

    /// `address` in any case.
    pub(crate) fn mailbox(&self, address: &str) -> Option<&Mailbox> {
        self.mailboxes.get(address).or_else(|| self.mailboxes.get(&address.to_ascii_lowercase()))
    }

    pub(crate) fn mailbox_mut(&mut self, address: &str) -> Option<&mut Mailbox> {
        self.mailboxes.get_mut(&address.to_ascii_lowercase())
    }

    pub(crate) fn by_guid(&self, guid: Guid) -> Option<&Mailbox> {
        self.mailboxes.get(self.by_guid.get(&guid)?)
    }

    /// Moves or copies an item, also into another mailbox.
    pub(crate) fn transfer(
        &mut self,
        from: (&str, ItemNo),
        to: (&str, FolderNo),
        keep: bool,
        now: DateTime<Utc>,
    ) -> Option<ItemNo> {
        let source = self.mailbox_mut(from.0)?;
        if from.0 == to.0 {
            return if keep {
                source.copy(from.1, to.1, now)
            } else {
                source.relocate(from.1, to.1, now)
            };
        }
        let item: Item =
            if keep { source.items.get(&from.1)?.clone() } else { source.remove(from.1, now)? };
        Some(self.mailbox_mut(to.0)?.put_again(item, to.1, now))
    }
}
