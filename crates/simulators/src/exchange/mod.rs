//! A simulated Exchange server: Exchange Web Services over HTTPS, good enough for strangers.

mod answer;
mod auth;
mod content;
mod fault;
mod folder;
mod id;
mod item;
mod log;
mod mailbox;
mod mime;
mod oauth;
mod ops;
mod options;
mod render;
mod reply;
mod server;
mod shape;
mod soap;
mod sync_state;
mod tls;
mod truth;
mod world;
mod xml;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use tokio::{net::TcpListener, task::JoinHandle};

pub use content::{Content, Large};
pub use fault::{Fault, FaultRule, Forbidden, Place, Shape};
pub use folder::FolderSet;
pub use item::Delivery;
pub use log::{Logged, Op};
pub use options::{App, Auth, ChannelBinding, Options, Rights, Transport, User, Version};
pub use truth::TrueItem;

use folder::Kind;
use id::{FolderNo, Id, ItemNo, Target};
use oauth::Authority;
use server::Shared;
use soap::Refusal;

/// A running server. It stops when this is dropped.
pub struct Exchange {
    shared: Arc<Shared>,
    address: SocketAddr,
    origin: String,
    pem: Vec<u8>,
    directory: tempfile::TempDir,
    task: JoinHandle<()>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Exchange {
    /// Starts a server. It runs on the runtime that this is called on.
    ///
    /// # Errors
    ///
    /// The address is taken, or a file of the certificate cannot be read.
    pub async fn start(options: Options) -> Result<Self> {
        let identity = tls::identity(&options.transport)?;
        let listener = TcpListener::bind(options.bind)
            .await
            .with_context(|| format!("could not listen on `{}`", options.bind))?;
        let address = listener.local_addr()?;
        let scheme = if identity.is_some() { "https" } else { "http" };
        let origin = format!("{scheme}://localhost:{}", address.port());
        let authority = Authority::new(&options, &origin)?;
        let directory = tempfile::Builder::new().prefix("simulated-exchange-").tempdir()?;
        let (acceptor, pem, der) = match identity {
            Some(identity) => (Some(identity.acceptor), identity.pem, Some(identity.der)),
            None => (None, Vec::new(), None),
        };
        std::fs::write(directory.path().join("ca.pem"), &pem)?;
        let shared = Arc::new(Shared::new(options, authority, der));
        let task = tokio::spawn(server::serve(listener, acceptor, Arc::clone(&shared)));
        Ok(Self { shared, address, origin, pem, directory, task })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://localhost:PORT`
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// `https://localhost:PORT/EWS/Exchange.asmx`
    pub fn ews_url(&self) -> String {
        format!("{}/EWS/Exchange.asmx", self.origin)
    }

    /// What the appliance calls `auth_oauth_authority`: `https://localhost:PORT/TENANT/`.
    pub fn authority_url(&self) -> String {
        format!("{}/{}/", self.origin, self.shared.options.tenant)
    }

    /// The `aud` that assertions must have.
    pub fn token_url(&self) -> &str {
        &self.shared.authority.token_url
    }

    /// The certificate to trust; empty without TLS.
    pub fn ca_pem(&self) -> &[u8] {
        &self.pem
    }

    /// A file with [`Self::ca_pem`], which lives as long as the server.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// A directory of the server's own, which lives as long as it does.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The time by the server's clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.shared.options.clock.now()
    }

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

    /// Makes every sync state of a mailbox worthless: `ErrorInvalidSyncStateData`.
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
        change: impl FnOnce(&mut mailbox::Mailbox) -> Result<T>,
    ) -> Result<T> {
        let mut world = self.shared.world();
        let mailbox = world.mailbox_mut(address);
        change(mailbox.with_context(|| format!("there is no mailbox `{address}`"))?)
    }

    fn change_item<T>(
        &self,
        id: &str,
        change: impl FnOnce(&mut mailbox::Mailbox, ItemNo) -> Result<T>,
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

    /// How many items a mailbox holds that a copy of its mail should have.
    pub fn mail_count(&self, address: &str) -> usize {
        let world = self.shared.world();
        world.mailbox(address).map_or(0, |mailbox| {
            truth::outline(mailbox).iter().filter(|item| item.is_mail()).count()
        })
    }

    /// Puts a fault, or a rule for one, into force.
    pub fn fault(&self, rule: impl Into<FaultRule>) {
        self.shared.faults.add(rule.into());
    }

    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// Strikes that are still to come from rules with an end.
    pub fn outstanding_faults(&self) -> usize {
        self.shared.faults.outstanding()
    }

    /// The requests so far, oldest first; of a great many, the latest.
    pub fn requests(&self) -> Vec<Logged> {
        self.shared.log().entries()
    }

    /// Forgets the requests so far; [`Self::request_count`] goes on.
    pub fn clear_requests(&self) {
        self.shared.log().clear();
    }

    pub fn request_count(&self) -> u64 {
        self.shared.log().total()
    }

    /// Connections accepted so far.
    pub fn connection_count(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Tokens issued so far.
    pub fn token_count(&self) -> u64 {
        self.shared.authority.count()
    }

    /// Ends all tokens that were issued so far: 401 with `x-ms-diagnostics: 2000002`.
    pub fn revoke_tokens(&self) {
        self.shared.authority.revoke_all();
    }

    /// Refuses every token with this `x-ms-diagnostics`, such as `2000003;reason="…"`; `None`
    /// accepts them again.
    pub fn refuse_tokens(&self, diagnostics: Option<&'static str>) {
        self.shared.authority.refuse_tokens(diagnostics);
    }
}

fn folder_at(mailbox: &mailbox::Mailbox, path: &[&str]) -> Result<FolderNo> {
    mailbox.find_folder(path).with_context(|| {
        format!("mailbox `{}` has no folder `{}`", mailbox.address, path.join(" › "))
    })
}

/// The fields of a message's header in order, unfolded, as text.
pub(crate) fn header_fields(head: &[u8]) -> Vec<(String, String)> {
    mime::fields(head)
}
