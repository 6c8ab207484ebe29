//! The operations that change a mailbox: for tests, and for people who play with it.

use base64_simd::STANDARD;
use roxmltree::Node;

use super::{
    super::{
        folder::Kind,
        id::change_key,
        item::Delivery,
        log::Op,
        shape::FolderShape,
        soap::{self, Refusal},
        xml::{child, child_text, elements, name},
    },
    Call, Located, item_ids,
};

impl Call<'_> {
    pub(super) fn create_item<'n>(&mut self, request: Node<'n, 'n>) {
        let place = match child(request, "SavedItemFolderId") {
            Some(_) => self.locate_in(request, "SavedItemFolderId"),
            None => self.default_folder("drafts"),
        };
        for node in child(request, "Items").into_iter().flat_map(elements) {
            match place.clone().and_then(|place| self.store(&place, node)) {
                Ok(id) => self.show_id(&id),
                Err(refusal) => self.refuse(&refusal),
            }
        }
    }

    fn default_folder(&self, folder: &str) -> Result<Located, Refusal> {
        let own = self.access.impersonated.as_ref().or(self.access.own.as_ref());
        let address = own.ok_or_else(|| Refusal::code("ErrorNonExistentMailbox"))?;
        let mailbox = self.open_mailbox(address)?;
        let no = mailbox.distinguished(folder).ok_or_else(|| self.no_folder())?;
        Ok((mailbox.address.clone(), no))
    }

    /// Stores the item of an element such as `Message`, and returns its id.
    fn store<'n>(&mut self, place: &Located, node: Node<'n, 'n>) -> Result<String, Refusal> {
        let mime = child_text(node, "MimeContent").ok_or_else(|| {
            Refusal::new("ErrorInvalidRequest", "This server creates items from MimeContent only.")
        })?;
        let digits: Vec<u8> = mime.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let mime = STANDARD
            .decode_to_vec(&digits)
            .map_err(|_| Refusal::code("ErrorMimeContentInvalidBase64String"))?;
        let now = self.options.clock.now();
        let mut delivery = Delivery::new(mime, now);
        if let Some(class) = child_text(node, "ItemClass") {
            class.clone_into(&mut delivery.class);
        }
        delivery.is_read = child_text(node, "IsRead") == Some("true");
        let mailbox = self.world.mailbox_mut(&place.0).ok_or_else(gone)?;
        delivery.is_draft = mailbox.distinguished("drafts") == Some(place.1);
        let no = mailbox.insert(place.1, delivery, now);
        Ok(mailbox.item_id(no))
    }

    /// Answers with the id of an item.
    fn show_id(&mut self, id: &str) {
        let element = match self.item(id) {
            Ok((_, item)) => super::super::item::element(&item.delivery.class),
            Err(_) => "t:Message",
        };
        let operation = self.op.name();
        let xml = &mut self.reply.xml;
        soap::accept(xml, operation);
        xml.raw("<m:Items><").raw(element).raw("><t:ItemId").attribute("Id", id);
        xml.attribute("ChangeKey", &change_key(1)).raw("/></").raw(element).raw("></m:Items>");
        if self.op == Op::UpdateItem {
            xml.raw("<m:ConflictResults><t:Count>0</t:Count></m:ConflictResults>");
        }
        soap::end(xml, operation);
    }

    /// Marks items as read or unread; other changes are refused.
    pub(super) fn update_item<'n>(&mut self, request: Node<'n, 'n>) {
        for change in child(request, "ItemChanges").into_iter().flat_map(elements) {
            match self.update(change) {
                Ok(id) => self.show_id(&id),
                Err(refusal) => self.refuse(&refusal),
            }
        }
    }

    fn update<'n>(&mut self, change: Node<'n, 'n>) -> Result<String, Refusal> {
        let id = child(change, "ItemId").and_then(|id| id.attribute("Id")).unwrap_or_default();
        let (mailbox, item) = self.item(id)?;
        let (address, no) = (mailbox.address.clone(), item.no);
        let now = self.options.clock.now();
        for update in child(change, "Updates").into_iter().flat_map(elements) {
            let uri = child(update, "FieldURI").and_then(|field| field.attribute("FieldURI"));
            let read = elements(update).find_map(|node| child_text(node, "IsRead"));
            match (uri, read, self.world.mailbox_mut(&address)) {
                (Some("message:IsRead"), Some(read), Some(mailbox)) => {
                    mailbox.set_read(no, read == "true", now);
                }
                _ => {
                    return Err(Refusal::new(
                        "ErrorInvalidPropertySet",
                        "This server changes `message:IsRead` only.",
                    ));
                }
            }
        }
        Ok(id.to_owned())
    }

    /// `MoveItem` and `CopyItem`.
    pub(super) fn transfer_item<'n>(&mut self, request: Node<'n, 'n>, keep: bool) {
        let to = self.locate_in(request, "ToFolderId");
        for id in item_ids(request) {
            match to.clone().and_then(|to| self.transfer(id, &to, keep)) {
                Ok(id) => self.show_id(&id),
                Err(refusal) => self.refuse(&refusal),
            }
        }
    }

    fn transfer(&mut self, id: &str, to: &Located, keep: bool) -> Result<String, Refusal> {
        let (mailbox, item) = self.item(id)?;
        let from = (mailbox.address.clone(), item.no);
        let now = self.options.clock.now();
        let no = self.world.transfer((&from.0, from.1), (&to.0, to.1), keep, now);
        let no = no.ok_or_else(gone)?;
        Ok(self.world.mailbox(&to.0).ok_or_else(gone)?.item_id(no))
    }

    pub(super) fn delete_item<'n>(&mut self, request: Node<'n, 'n>) {
        let to_trash = request.attribute("DeleteType") == Some("MoveToDeletedItems");
        for id in item_ids(request) {
            let now = self.options.clock.now();
            let found = self.item(id).map(|(mailbox, item)| (mailbox.address.clone(), item.no));
            match found {
                Ok((address, no)) => {
                    if let Some(mailbox) = self.world.mailbox_mut(&address) {
                        match mailbox.distinguished("deleteditems").filter(|_| to_trash) {
                            Some(trash) => mailbox.relocate(no, trash, now).map(drop),
                            None => mailbox.remove(no, now).map(drop),
                        };
                    }
                    self.confirm();
                }
                Err(refusal) => self.refuse(&refusal),
            }
        }
    }

    /// Answers yes, with nothing more to say.
    fn confirm(&mut self) {
        let operation = self.op.name();
        soap::accept(&mut self.reply.xml, operation);
        soap::end(&mut self.reply.xml, operation);
    }

    pub(super) fn create_folder<'n>(&mut self, request: Node<'n, 'n>) {
        let parent = self.locate_in(request, "ParentFolderId");
        for node in child(request, "Folders").into_iter().flat_map(elements) {
            match parent.clone().and_then(|parent| self.make_folder(&parent, node)) {
                Ok(place) => self.show_folder(&place, &FolderShape::read(request)),
                Err(refusal) => self.refuse(&refusal),
            }
        }
    }

    fn make_folder<'n>(
        &mut self,
        parent: &Located,
        node: Node<'n, 'n>,
    ) -> Result<Located, Refusal> {
        let called = child_text(node, "DisplayName").unwrap_or_default();
        let class = child_text(node, "FolderClass").unwrap_or(match name(node) {
            "CalendarFolder" => "IPF.Appointment",
            "ContactsFolder" => "IPF.Contact",
            "TasksFolder" => "IPF.Task",
            _ => "IPF.Note",
        });
        let now = self.options.clock.now();
        let mailbox = self.world.mailbox_mut(&parent.0).ok_or_else(gone)?;
        if mailbox.children(parent.1).any(|folder| folder.name == called) {
            return Err(Refusal::new(
                "ErrorFolderExists",
                "A folder with the specified name already exists.",
            ));
        }
        let kind = match name(node) {
            "SearchFolder" => Kind::Search,
            _ => Kind::of_class(class),
        };
        Ok((
            parent.0.clone(),
            mailbox.insert_folder(Some(parent.1), called, Some(class), kind, now),
        ))
    }

    /// Renames folders.
    pub(super) fn update_folder<'n>(&mut self, request: Node<'n, 'n>) {
        for change in child(request, "FolderChanges").into_iter().flat_map(elements) {
            let called = child(change, "Updates")
                .into_iter()
                .flat_map(elements)
                .flat_map(elements)
                .find_map(|node| child_text(node, "DisplayName"));
            let place =
                change.first_element_child().ok_or_else(gone).and_then(|node| self.locate(node));
            match place {
                Ok(place) => {
                    if let Some(mailbox) = self.world.mailbox_mut(&place.0) {
                        mailbox.change_folder(place.1, called, None);
                    }
                    self.show_folder(&place, &FolderShape::read(request));
                }
                Err(refusal) => self.refuse(&refusal),
            }
        }
    }

    pub(super) fn move_folder<'n>(&mut self, request: Node<'n, 'n>) {
        let to = self.locate_in(request, "ToFolderId");
        for node in child(request, "FolderIds").into_iter().flat_map(elements) {
            let moved = to.clone().and_then(|to| {
                let place = self.locate(node)?;
                let mailbox = self.world.mailbox_mut(&place.0).ok_or_else(gone)?;
                if to.0 != place.0 || to.1 == place.1 || mailbox.is_below(to.1, place.1) {
                    return Err(Refusal::code("ErrorMoveCopyFailed"));
                }
                mailbox.change_folder(place.1, None, Some(to.1));
                Ok(place)
            });
            match moved {
                Ok(place) => self.show_folder(&place, &FolderShape::read(request)),
                Err(refusal) => self.refuse(&refusal),
            }
        }
    }

    pub(super) fn delete_folder<'n>(&mut self, request: Node<'n, 'n>) {
        let to_trash = request.attribute("DeleteType") == Some("MoveToDeletedItems");
        for node in child(request, "FolderIds").into_iter().flat_map(elements) {
            let now = self.options.clock.now();
            let deleted = self.locate(node).and_then(|place| {
                let mailbox = self.world.mailbox_mut(&place.0).ok_or_else(gone)?;
                let own = mailbox.folder(place.1).and_then(|folder| folder.distinguished);
                if own.is_some() {
                    return Err(Refusal::code("ErrorDeleteDistinguishedFolder"));
                }
                match mailbox.distinguished("deleteditems").filter(|_| to_trash) {
                    Some(trash) => mailbox.change_folder(place.1, None, Some(trash)),
                    None => mailbox.delete_folder(place.1, now),
                }
                Ok(())
            });
            match deleted {
                Ok(()) => self.confirm(),
                Err(refusal) => self.refuse(&refusal),
            }
        }
    }
}

fn gone() -> Refusal {
    Refusal::code("ErrorItemNotFound")
}
