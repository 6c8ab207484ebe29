//! `SyncFolderHierarchy` and `SyncFolderItems`.

use std::collections::HashSet;

use roxmltree::Node;

use super::{
    super::{
        fault::Fault,
        folder::{Change, Kind},
        id::{FolderNo, Id, ItemNo, Target, change_key},
        mailbox::Mailbox,
        render,
        shape::{FolderShape, ItemShape},
        soap::{self, Refusal},
        sync_state::{Progress, SyncState},
        xml::{child, child_text, elements},
    },
    Call, Located,
};

/// Most changes that a client may ask for.
const MOST_CHANGES: usize = 512;

/// One element below `Changes`.
enum Shown {
    Create(ItemNo),
    Update(ItemNo),
    Delete(ItemNo, u32),
    Read(ItemNo),
}

impl Call<'_> {
    pub(super) fn sync_folder_items<'n>(&mut self, request: Node<'n, 'n>) -> Result<(), Refusal> {
        let most = child_text(request, "MaxChangesReturned").and_then(|most| most.parse().ok());
        let most: usize = most.unwrap_or(0);
        if !(1..=MOST_CHANGES).contains(&most) {
            return Err(Refusal::new(
                "ErrorSchemaValidation",
                "The request failed schema validation: MaxChangesReturned must be 1 to 512.",
            ));
        }
        if child(request, "SyncScope").is_some() && !self.speaks("Exchange2010") {
            return Err(Refusal::new(
                "ErrorSchemaValidation",
                "The request failed schema validation: SyncScope is unknown in this version.",
            ));
        }
        if let Err(refusal) = self.page_of_items(request, most) {
            self.refuse(&refusal);
        }
        Ok(())
    }

    fn page_of_items<'n>(&mut self, request: Node<'n, 'n>, most: usize) -> Result<(), Refusal> {
        let shape = ItemShape::read(request, true)?;
        let place = self.locate_in(request, "SyncFolderId")?;
        self.check_folder(&place)?;
        let (mailbox, folder) = self.folder(&place)?;
        if folder.kind == Kind::Search {
            return Err(Refusal::new(
                "ErrorInvalidOperation",
                "A search folder cannot be synchronized.",
            ));
        }
        let ignored: HashSet<ItemNo> = child(request, "Ignore")
            .into_iter()
            .flat_map(elements)
            .filter_map(|node| match Id::decode(node.attribute("Id")?)?.target {
                Target::Item(no) => Some(no),
                _ => None,
            })
            .collect();
        let progress = self.progress(request, mailbox, place.1, false)?;
        let (shown, next, more) = self.changes(mailbox, place.1, progress, most);
        let state = state(mailbox, place.1, false, next).encode();
        let phantom = self.struck.contains(&Fault::PhantomItem).then(|| {
            let id = Id { mailbox: mailbox.guid, target: Target::Item(u64::MAX - mailbox.high()) };
            id.encode()
        });
        self.write_items(&place.0, &shape, &state, !more, &shown, &ignored, phantom.as_deref());
        Ok(())
    }

    /// Where the client stands, by the state that it sent.
    fn progress<'n>(
        &self,
        request: Node<'n, 'n>,
        mailbox: &Mailbox,
        folder: FolderNo,
        hierarchy: bool,
    ) -> Result<Progress, Refusal> {
        let high = mailbox.high();
        let Some(text) = child_text(request, "SyncState").filter(|text| !text.is_empty()) else {
            let cursor = if self.options.newest_first && !hierarchy { high + 1 } else { 0 };
            return Ok(Progress::Listing { high, cursor });
        };
        let known = SyncState::decode(text, mailbox.guid).filter(|state| {
            let seen = match state.progress {
                Progress::Listing { high, .. } => high,
                Progress::Until(seq) => seq,
            };
            *state == self::state(mailbox, folder, hierarchy, state.progress) && seen <= high
        });
        known.map(|state| state.progress).ok_or_else(|| Refusal::code("ErrorInvalidSyncStateData"))
    }

    /// The next changes of a folder's items, the progress that they lead to, and whether there
    /// are more.
    fn changes(
        &self,
        mailbox: &Mailbox,
        folder: FolderNo,
        progress: Progress,
        most: usize,
    ) -> (Vec<Shown>, Progress, bool) {
        let Some(folder) = mailbox.folder(folder) else { return (Vec::new(), progress, false) };
        let mut shown = Vec::new();
        match progress {
            // In the order of arrival, which updates do not change: nothing can slip through.
            Progress::Listing { high, cursor } => {
                let mut last = cursor;
                let mut more = false;
                let mut take = |(seq, no): (&u64, &ItemNo)| {
                    more = shown.len() == most;
                    if !more {
                        shown.push(Shown::Create(*no));
                        last = *seq;
                    }
                    !more
                };
                if self.options.newest_first {
                    let upper = cursor.min(high + 1);
                    let _ = folder.items.range(..upper).rev().all(&mut take);
                } else {
                    let _ = folder.items.range(cursor + 1..high.max(cursor) + 1).all(&mut take);
                }
                if more {
                    return (shown, Progress::Listing { high, cursor: last }, true);
                }
                let later = folder.log.range(high + 1..).next().is_some();
                (shown, Progress::Until(high), later)
            }
            Progress::Until(seen) => {
                let mut last = seen;
                let is_new =
                    |no: &ItemNo| mailbox.items.get(no).is_some_and(|item| item.created > seen);
                for (seq, change) in folder.log.range(seen + 1..) {
                    if shown.len() == most {
                        return (shown, Progress::Until(last), true);
                    }
                    last = *seq;
                    shown.extend(match change {
                        Change::Present(no) | Change::Read(no) if is_new(no) => {
                            Some(Shown::Create(*no))
                        }
                        Change::Present(no) => Some(Shown::Update(*no)),
                        Change::Read(no) if self.speaks("Exchange2010_SP1") => {
                            Some(Shown::Read(*no))
                        }
                        Change::Read(no) => Some(Shown::Update(*no)),
                        Change::Gone { created, .. } if *created > seen => None,
                        Change::Gone { item, version, .. } => Some(Shown::Delete(*item, *version)),
                    });
                }
                (shown, Progress::Until(last), false)
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "everything that the one message consists of")]
    fn write_items(
        &mut self,
        address: &str,
        shape: &ItemShape,
        state: &str,
        ends: bool,
        shown: &[Shown],
        ignored: &HashSet<ItemNo>,
        phantom: Option<&str>,
    ) {
        let mut reply = std::mem::take(&mut self.reply);
        soap::accept(&mut reply.xml, "SyncFolderItems");
        reply.xml.element("m:SyncState", state);
        let ends = if ends { "true" } else { "false" };
        reply.xml.element("m:IncludesLastItemInRange", ends).raw("<m:Changes>");
        let Some(mailbox) = self.world.mailbox(address) else { return };
        for change in shown {
            match change {
                Shown::Create(no) | Shown::Update(no) => {
                    let Some(item) = mailbox.items.get(no) else { continue };
                    if ignored.contains(no) {
                        continue;
                    }
                    let name = match change {
                        Shown::Create(_) => "t:Create>",
                        _ => "t:Update>",
                    };
                    let faults = self.text_faults(mailbox, item);
                    reply.xml.raw("<").raw(name);
                    render::item(&mut reply, mailbox, item, shape, &faults);
                    reply.xml.raw("</").raw(name);
                }
                Shown::Delete(no, version) => {
                    reply.xml.raw("<t:Delete>");
                    render::item_id(&mut reply.xml, mailbox, *no, *version);
                    reply.xml.raw("</t:Delete>");
                }
                Shown::Read(no) => {
                    let Some(item) = mailbox.items.get(no) else { continue };
                    reply.xml.raw("<t:ReadFlagChange>");
                    render::item_id(&mut reply.xml, mailbox, *no, item.version);
                    let read = if item.delivery.is_read { "true" } else { "false" };
                    reply.xml.element("t:IsRead", read).raw("</t:ReadFlagChange>");
                }
            }
        }
        if let Some(id) = phantom {
            reply.xml.raw("<t:Create><t:Message><t:ItemId").attribute("Id", id);
            reply.xml.attribute("ChangeKey", &change_key(1));
            reply.xml.raw("/></t:Message></t:Create>");
        }
        reply.xml.raw("</m:Changes>");
        soap::end(&mut reply.xml, "SyncFolderItems");
        self.reply = reply;
    }

    pub(super) fn sync_folder_hierarchy<'n>(
        &mut self,
        request: Node<'n, 'n>,
    ) -> Result<(), Refusal> {
        let shape = FolderShape::read(request);
        // Without a folder, the whole mailbox: not the same as `msgfolderroot`.
        let place = match child(request, "SyncFolderId") {
            Some(_) => self.locate_in(request, "SyncFolderId"),
            None => self.whole_mailbox(),
        };
        if let Err(refusal) = place.and_then(|place| self.page_of_folders(request, &place, &shape))
        {
            self.refuse(&refusal);
        }
        Ok(())
    }

    fn whole_mailbox(&self) -> Result<Located, Refusal> {
        let own = self.access.impersonated.as_ref().or(self.access.own.as_ref());
        let address = own.ok_or_else(|| Refusal::code("ErrorNonExistentMailbox"))?;
        let mailbox = self.open_mailbox(address)?;
        let root = mailbox.distinguished("root").ok_or_else(|| self.no_folder())?;
        Ok((mailbox.address.clone(), root))
    }

    fn page_of_folders<'n>(
        &mut self,
        request: Node<'n, 'n>,
        place: &Located,
        shape: &FolderShape,
    ) -> Result<(), Refusal> {
        self.check_folder(place)?;
        let (mailbox, _) = self.folder(place)?;
        let progress = self.progress(request, mailbox, place.1, true)?;
        let most = self.options.hierarchy_page.max(1);
        let below = |no: &FolderNo| mailbox.is_below(*no, place.1);
        let mut shown: Vec<(&str, FolderNo)> = Vec::new();
        let (next, more) = match progress {
            Progress::Listing { high, cursor } => {
                let mut left = mailbox.folders.values().filter(|folder| {
                    folder.created > cursor && folder.created <= high && !folder.deleted
                });
                let mut last = cursor;
                for folder in left.by_ref().filter(|folder| below(&folder.no)).take(most) {
                    shown.push(("t:Create>", folder.no));
                    last = folder.created;
                }
                if left.any(|folder| below(&folder.no)) {
                    (Progress::Listing { high, cursor: last }, true)
                } else {
                    let later = mailbox.hierarchy.range(high + 1..).any(|(_, no)| below(no));
                    (Progress::Until(high), later)
                }
            }
            Progress::Until(seen) => {
                let mut changes = mailbox.hierarchy.range(seen + 1..).filter_map(|(seq, no)| {
                    let folder = mailbox.folders.get(no).filter(|folder| below(&folder.no))?;
                    match (folder.deleted, folder.created > seen) {
                        (true, true) => None,
                        (true, false) => Some((*seq, "t:Delete>", *no)),
                        (false, true) => Some((*seq, "t:Create>", *no)),
                        (false, false) => Some((*seq, "t:Update>", *no)),
                    }
                });
                let mut last = seen;
                for (seq, what, no) in changes.by_ref().take(most) {
                    shown.push((what, no));
                    last = seq;
                }
                (Progress::Until(last), changes.next().is_some())
            }
        };
        let state = state(mailbox, place.1, true, next).encode();
        self.write_folders(&place.0, shape, &state, !more, &shown);
        Ok(())
    }

    fn write_folders(
        &mut self,
        address: &str,
        shape: &FolderShape,
        state: &str,
        ends: bool,
        shown: &[(&str, FolderNo)],
    ) {
        soap::accept(&mut self.reply.xml, "SyncFolderHierarchy");
        self.reply.xml.element("m:SyncState", state);
        let ends = if ends { "true" } else { "false" };
        self.reply.xml.element("m:IncludesLastFolderInRange", ends).raw("<m:Changes>");
        for (what, no) in shown {
            let place = (address.to_owned(), *no);
            self.reply.xml.raw("<").raw(what);
            if *what == "t:Delete>" {
                if let Some(mailbox) = self.world.mailbox(address) {
                    let version = mailbox.folders.get(no).map_or(1, |folder| folder.version);
                    self.reply.xml.raw("<t:FolderId").attribute("Id", &mailbox.folder_id(*no));
                    self.reply.xml.attribute("ChangeKey", &change_key(version)).raw("/>");
                }
            } else {
                self.write_folder(&place, shape);
            }
            self.reply.xml.raw("</").raw(what);
        }
        self.reply.xml.raw("</m:Changes>");
        soap::end(&mut self.reply.xml, "SyncFolderHierarchy");
    }
}

fn state(mailbox: &Mailbox, folder: FolderNo, hierarchy: bool, progress: Progress) -> SyncState {
    SyncState { mailbox: mailbox.guid, folder, hierarchy, epoch: mailbox.epoch, progress }
}
