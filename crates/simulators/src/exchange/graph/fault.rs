//! What goes wrong on purpose, in the terms of Graph.

use super::{
    super::{
        fault::{Fault, Faults, Occasion},
        folder::Folder,
        item::Item,
        log::Op,
        mailbox::Mailbox,
        server::Shared,
    },
    answer::{Call, find_folder},
    error::Refusal,
    id::{Known, immutable_id, rest_id},
    route::Route,
};

/// The faults of a request as a whole, or of the one thing that it asks for.
pub(super) fn strike(
    shared: &Shared,
    mailbox: Option<&Mailbox>,
    op: Op,
    address: &str,
    route: &Route,
) -> Vec<Fault> {
    if shared.faults.is_empty() {
        return Vec::new();
    }
    let (mut items, mut folders) = (Vec::new(), Vec::new());
    if let (Some(mailbox), Some(id)) = (mailbox, route.resource.item()) {
        items.push(id.to_owned());
        if let Some(item) = Known::decode(id).and_then(|known| known.item(mailbox)) {
            items.extend(names(mailbox, item));
        }
    }
    if let (Some(mailbox), Some(id)) = (mailbox, route.resource.folder()) {
        folders.push(id.to_owned());
        if let Ok(folder) = find_folder(mailbox, id) {
            folders.extend([mailbox.folder_id(folder.no), folder.name.clone()]);
        }
    }
    let occasion = Occasion { op, mailbox: Some(address), items: &items, folders: &folders };
    let mut struck = shared.faults.strike_request(occasion);
    if !items.is_empty() {
        struck.extend(shared.faults.strike_item(occasion));
    }
    if !folders.is_empty() {
        struck.extend(shared.faults.strike_folder(occasion));
    }
    struck
}

/// The error that one of these faults answers with.
pub(super) fn refusal(struck: &[Fault]) -> Option<Refusal> {
    struck.iter().find_map(answer)
}

fn answer(fault: &Fault) -> Option<Refusal> {
    Some(match fault {
        Fault::Http { status, retry_after } => Refusal::status(*status, *retry_after),
        Fault::Graph { status, code, retry_after } => {
            Refusal { retry_after: *retry_after, ..Refusal::code(*status, code) }
        }
        Fault::ServerBusy { back_off, .. } => Refusal::status(503, *back_off),
        Fault::Unauthorized => Refusal::status(401, None),
        Fault::MailboxMove => Refusal::code(503, "ErrorMailboxMoveInProgress"),
        Fault::ItemError { code } | Fault::FolderError { code } => Refusal::of_object(code),
        Fault::RequestError { code, .. } => Refusal::of_object(code),
        _ => return None,
    })
}

/// All names of an item that a rule may use.
fn names(mailbox: &Mailbox, item: &Item) -> Vec<String> {
    let id = mailbox.item_id(item.no);
    let rest = rest_id(&id);
    let immutable = immutable_id(mailbox.guid, item.immutable);
    [id, rest, immutable].into_iter().chain(item.delivery.message_id.clone()).collect()
}

impl Call<'_> {
    /// Faults that concern the texts of one item.
    pub(super) fn text_faults(&self, item: &Item) -> Vec<Fault> {
        if self.shared.faults.is_empty() {
            return Vec::new();
        }
        let folder = self.mailbox.folders.get(&item.folder).map(|folder| folder.name.clone());
        let folders: Vec<_> =
            [self.mailbox.folder_id(item.folder)].into_iter().chain(folder).collect();
        self.about(&names(self.mailbox, item), &folders, Faults::strike_text)
    }

    /// Faults that concern the name of one folder.
    pub(super) fn name_faults(&self, folder: &Folder) -> Vec<Fault> {
        if self.shared.faults.is_empty() {
            return Vec::new();
        }
        let names = [self.mailbox.folder_id(folder.no), folder.name.clone()];
        self.about(&[], &names, Faults::strike_name)
    }

    fn about(
        &self,
        items: &[String],
        folders: &[String],
        strike: impl Fn(&Faults, Occasion<'_>) -> Vec<Fault>,
    ) -> Vec<Fault> {
        let mailbox = Some(self.mailbox.address.as_str());
        strike(&self.shared.faults, Occasion { op: self.op, mailbox, items, folders })
    }
}
