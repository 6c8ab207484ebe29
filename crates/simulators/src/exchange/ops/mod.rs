//! The operations of the service: a parsed request in, XML out.

mod change;
mod convert;
mod find;
mod folders;
mod items;
mod restriction;
mod sync;

use roxmltree::Node;

use super::{
    fault::{Fault, Faults, Forbidden, Occasion, Place},
    folder::Folder,
    id::{FolderNo, Id, ItemNo, Target},
    item::Item,
    log::Op,
    mailbox::Mailbox,
    options::{Options, REQUEST_VERSIONS, Rights},
    reply::Reply,
    soap::{self, Refusal},
    world::World,
    xml::{child, child_text, name},
};

/// Who asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    pub(crate) rights: Rights,
    /// The mailbox of the user who is signed in.
    pub(crate) own: Option<String>,
    /// Only an application signed in: it must say for whom it acts.
    pub(crate) app_only: bool,
    /// The mailbox that the request impersonates.
    pub(crate) impersonated: Option<String>,
}

impl Access {
    /// Whether the mailbox `address` may be opened.
    fn allows(&self, address: &str) -> bool {
        match &self.impersonated {
            Some(own) => own == address,
            None => self.rights.allow(address),
        }
    }
}

/// A request that is being answered.
pub(crate) struct Call<'a> {
    pub(crate) options: &'a Options,
    pub(crate) world: &'a mut World,
    pub(crate) faults: &'a Faults,
    pub(crate) op: Op,
    pub(crate) access: Access,
    /// The `RequestServerVersion`, as a place in the list of versions.
    pub(crate) version: Option<usize>,
    /// Faults of this request as a whole.
    pub(crate) struck: Vec<Fault>,
    pub(crate) reply: Reply,
    /// The first error code in the reply.
    pub(crate) code: Option<String>,
}

/// A folder, and the address of its mailbox.
type Located = (String, FolderNo);

impl<'a> Call<'a> {
    /// Writes the reply to `request`, the element of the operation.
    ///
    /// # Errors
    ///
    /// The request as a whole is refused: a SOAP fault.
    pub(crate) fn perform<'n>(&mut self, request: Node<'n, 'n>) -> Result<(), Refusal> {
        let operation = self.op.name();
        soap::open(&mut self.reply.xml, self.options.version, operation);
        match self.op {
            Op::ConvertId => self.convert_id(request),
            Op::GetFolder => self.get_folder(request),
            Op::FindFolder => self.find_folder(request),
            Op::SyncFolderHierarchy => self.sync_folder_hierarchy(request)?,
            Op::SyncFolderItems => self.sync_folder_items(request)?,
            Op::FindItem => self.find_item(request)?,
            Op::GetItem => self.get_item(request)?,
            Op::GetAttachment => self.get_attachment(request),
            Op::CreateItem => self.create_item(request),
            Op::UpdateItem => self.update_item(request),
            Op::MoveItem => self.transfer_item(request, false),
            Op::CopyItem => self.transfer_item(request, true),
            Op::DeleteItem => self.delete_item(request),
            Op::CreateFolder => self.create_folder(request),
            Op::UpdateFolder => self.update_folder(request),
            Op::MoveFolder => self.move_folder(request),
            Op::DeleteFolder => self.delete_folder(request),
            // The operations of Graph have no element.
            _ => {
                return Err(Refusal::new("ErrorInvalidRequest", "The request is invalid."));
            }
        }
        soap::close(&mut self.reply.xml, operation);
        Ok(())
    }

    /// Answers every thing that `request` asks for with the same refusal.
    pub(crate) fn refuse_all<'n>(&mut self, request: Node<'n, 'n>, refusal: &Refusal) {
        soap::open(&mut self.reply.xml, self.options.version, self.op.name());
        for _ in 0..asked(request).max(1) {
            self.refuse(refusal);
        }
        soap::close(&mut self.reply.xml, self.op.name());
    }

    /// Writes a response message that says no.
    fn refuse(&mut self, refusal: &Refusal) {
        let tail = match self.op {
            Op::GetItem | Op::CreateItem | Op::MoveItem | Op::CopyItem | Op::UpdateItem => {
                "<m:Items/>"
            }
            Op::GetFolder | Op::CreateFolder | Op::UpdateFolder | Op::MoveFolder => "<m:Folders/>",
            Op::GetAttachment => "<m:Attachments/>",
            Op::SyncFolderItems => {
                "<m:SyncState/><m:IncludesLastItemInRange>true</m:IncludesLastItemInRange>"
            }
            Op::SyncFolderHierarchy => {
                "<m:SyncState/><m:IncludesLastFolderInRange>true</m:IncludesLastFolderInRange>"
            }
            _ => "",
        };
        let spoil = self.spoiled_text();
        soap::refuse(&mut self.reply.xml, self.op.name(), refusal, tail, spoil);
        self.code.get_or_insert_with(|| refusal.code.clone());
    }

    /// What a fault puts into the texts beside error codes.
    pub(crate) fn spoiled_text(&self) -> Option<Forbidden> {
        self.struck.iter().find_map(|fault| match fault {
            Fault::ForbiddenCharacters { place: Place::MessageText, what } => Some(*what),
            _ => None,
        })
    }

    /// Whether the version that the client named is at least this one.
    fn speaks(&self, version: &str) -> bool {
        let wanted = REQUEST_VERSIONS.iter().position(|own| *own == version);
        self.version.is_none_or(|own| Some(own) >= wanted)
    }

    /// The mailbox at `address`, if it is there and the user may open it.
    fn open_mailbox(&self, address: &str) -> Result<&Mailbox, Refusal> {
        let address = address.to_ascii_lowercase();
        let Some(mailbox) = self.world.mailbox(&address) else {
            return Err(Refusal::code("ErrorNonExistentMailbox"));
        };
        if !self.access.allows(&address) {
            return Err(Refusal::code(&self.options.denial));
        }
        match &mailbox.out_of_service {
            Some(code) => Err(Refusal::code(code)),
            None => Ok(mailbox),
        }
    }

    /// The folder that an element `FolderId` or `DistinguishedFolderId` stands for.
    fn locate<'n>(&self, node: Node<'n, 'n>) -> Result<Located, Refusal> {
        let id = node.attribute("Id").unwrap_or_default();
        if name(node) != "DistinguishedFolderId" {
            let id = Id::decode(id).ok_or_else(|| Refusal::code("ErrorInvalidIdMalformed"))?;
            let Target::Folder(no) = id.target else {
                return Err(Refusal::code("ErrorInvalidIdMalformed"));
            };
            let mailbox = self.world.by_guid(id.mailbox).map(|mailbox| mailbox.address.clone());
            let mailbox = mailbox.ok_or_else(|| self.no_folder())?;
            let mailbox = self.open_mailbox(&mailbox)?;
            return match mailbox.folder(no) {
                Some(_) => Ok((mailbox.address.clone(), no)),
                None => Err(self.no_folder()),
            };
        }
        let explicit =
            child(node, "Mailbox").and_then(|mailbox| child_text(mailbox, "EmailAddress"));
        let address = explicit
            .map(str::to_owned)
            .or_else(|| self.access.impersonated.clone())
            .or_else(|| self.access.own.clone())
            .ok_or_else(|| Refusal::code("ErrorNonExistentMailbox"))?;
        let mailbox = self.open_mailbox(&address)?;
        match mailbox.distinguished(id) {
            Some(no) => Ok((mailbox.address.clone(), no)),
            None => Err(self.no_folder()),
        }
    }

    fn no_folder(&self) -> Refusal {
        Refusal::code(match self.op {
            Op::SyncFolderItems => "ErrorSyncFolderNotFound",
            _ => "ErrorFolderNotFound",
        })
    }

    /// The folder of the first id in the child element `list`.
    fn locate_in<'n>(&self, request: Node<'n, 'n>, list: &str) -> Result<Located, Refusal> {
        let node = child(request, list)
            .and_then(|list| list.first_element_child())
            .ok_or_else(|| Refusal::code("ErrorInvalidRequest"))?;
        self.locate(node)
    }

    fn folder(&self, place: &Located) -> Result<(&Mailbox, &Folder), Refusal> {
        self.world
            .mailbox(&place.0)
            .and_then(|mailbox| Some((mailbox, mailbox.folder(place.1)?)))
            .ok_or_else(|| self.no_folder())
    }

    /// The item that an id stands for.
    fn item(&self, id: &str) -> Result<(&Mailbox, &Item), Refusal> {
        if id.is_empty() {
            return Err(Refusal::code("ErrorInvalidIdEmpty"));
        }
        let id = Id::decode(id).ok_or_else(|| Refusal::code("ErrorInvalidIdMalformed"))?;
        let no: ItemNo = match id.target {
            Target::Item(no) | Target::Attachment(no, _) => no,
            Target::Folder(_) => return Err(Refusal::code("ErrorCannotUseFolderIdForItemId")),
        };
        let gone = || Refusal::code("ErrorItemNotFound");
        let mailbox = self.world.by_guid(id.mailbox).ok_or_else(gone)?;
        let mailbox = self.open_mailbox(&mailbox.address.clone())?;
        let item = mailbox.items.get(&no).ok_or_else(gone)?;
        Ok((mailbox, item))
    }

    /// Faults that concern the text of one item.
    fn text_faults(&self, mailbox: &Mailbox, item: &Item) -> Vec<Fault> {
        self.about(mailbox, item, Faults::strike_text)
    }

    /// Faults that concern one item that was asked for.
    fn item_faults(&self, mailbox: &Mailbox, item: &Item) -> Vec<Fault> {
        self.about(mailbox, item, Faults::strike_item)
    }

    fn about(
        &self,
        mailbox: &Mailbox,
        item: &Item,
        strike: impl Fn(&Faults, Occasion<'_>) -> Vec<Fault>,
    ) -> Vec<Fault> {
        if self.faults.is_empty() {
            return Vec::new();
        }
        let mut names = vec![mailbox.item_id(item.no)];
        names.extend(item.delivery.message_id.clone());
        let folder = mailbox.folders.get(&item.folder).map(|folder| folder.name.clone());
        let folders: Vec<_> = [mailbox.folder_id(item.folder)].into_iter().chain(folder).collect();
        let occasion = Occasion {
            op: self.op,
            mailbox: Some(&mailbox.address),
            items: &names,
            folders: &folders,
        };
        strike(self.faults, occasion)
    }

    /// Faults that concern the name of one folder.
    fn name_faults(&self, mailbox: &Mailbox, folder: &Folder) -> Vec<Fault> {
        self.about_folder(mailbox, folder, Faults::strike_name)
    }

    /// The error that a fault gives to a folder that was asked for.
    fn check_folder(&self, place: &Located) -> Result<(), Refusal> {
        let (mailbox, folder) = self.folder(place)?;
        let faults = self.about_folder(mailbox, folder, Faults::strike_folder);
        match faults.iter().find_map(|fault| match fault {
            Fault::FolderError { code } => Some(Refusal::code(code)),
            _ => None,
        }) {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        }
    }

    fn about_folder(
        &self,
        mailbox: &Mailbox,
        folder: &Folder,
        strike: impl Fn(&Faults, Occasion<'_>) -> Vec<Fault>,
    ) -> Vec<Fault> {
        if self.faults.is_empty() {
            return Vec::new();
        }
        let names = [mailbox.folder_id(folder.no), folder.name.clone()];
        let mailbox = Some(mailbox.address.as_str());
        strike(self.faults, Occasion { op: self.op, mailbox, items: &[], folders: &names })
    }
}

/// How many things a request asks for: each gets its response message.
pub(crate) fn asked<'n>(request: Node<'n, 'n>) -> usize {
    ["ItemIds", "FolderIds", "ParentFolderIds", "AttachmentIds", "SourceIds", "Items", "Folders"]
        .iter()
        .find_map(|list| child(request, list))
        .map_or(1, |list| list.children().filter(Node::is_element).count())
}

/// The ids of items that a request names.
pub(crate) fn item_ids<'n>(request: Node<'n, 'n>) -> Vec<&'n str> {
    let list = child(request, "ItemIds");
    list.into_iter()
        .flat_map(super::xml::elements)
        .map(|node| node.attribute("Id").unwrap_or_default())
        .collect()
}
