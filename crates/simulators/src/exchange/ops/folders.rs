//! `GetFolder` and `FindFolder`.

use roxmltree::Node;

use super::{
    super::{
        folder::Folder,
        id::FolderNo,
        mailbox::Mailbox,
        render,
        shape::FolderShape,
        soap::{self, Refusal},
        xml::{child, elements},
    },
    Call, Located,
};

/// A page of a list, as `IndexedPageFolderView` and `IndexedPageItemView` ask for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) offset: usize,
    pub(super) most: usize,
}

impl View {
    /// `cap` is what the server gives at most.
    pub(super) fn read<'n>(request: Node<'n, 'n>, element: &str, cap: usize, total: usize) -> Self {
        let Some(view) = child(request, element) else { return Self { offset: 0, most: cap } };
        let number =
            |name: &str| view.attribute(name).and_then(|value| value.parse::<usize>().ok());
        let offset = number("Offset").unwrap_or(0);
        let offset = match view.attribute("BasePoint") {
            Some("End") => total.saturating_sub(offset),
            _ => offset,
        };
        Self { offset, most: number("MaxEntriesReturned").unwrap_or(cap).min(cap) }
    }
}

/// Most folders in one reply to `FindFolder`.
const FIND_FOLDER_CAP: usize = 1000;

impl Call<'_> {
    pub(super) fn get_folder<'n>(&mut self, request: Node<'n, 'n>) {
        let shape = FolderShape::read(request);
        for node in child(request, "FolderIds").into_iter().flat_map(elements) {
            match self.locate(node) {
                Ok(place) => self.show_folder(&place, &shape),
                Err(refusal) => self.refuse(&refusal),
            }
        }
    }

    /// Answers with one folder.
    pub(super) fn show_folder(&mut self, place: &Located, shape: &FolderShape) {
        if let Err(refusal) = self.check_folder(place) {
            return self.refuse(&refusal);
        }
        let operation = self.op.name();
        soap::accept(&mut self.reply.xml, operation);
        self.reply.xml.raw("<m:Folders>");
        self.write_folder(place, shape);
        self.reply.xml.raw("</m:Folders>");
        soap::end(&mut self.reply.xml, operation);
    }

    pub(super) fn write_folder(&mut self, place: &Located, shape: &FolderShape) {
        let digits = self.options.commit_time_digits;
        let mut xml = std::mem::take(&mut self.reply.xml);
        if let Some(mailbox) = self.world.mailbox(&place.0)
            && let Some(folder) = mailbox.folder(place.1)
        {
            let faults = self.name_faults(mailbox, folder);
            render::folder(&mut xml, mailbox, folder, shape, &faults, digits);
        }
        self.reply.xml = xml;
    }

    pub(super) fn find_folder<'n>(&mut self, request: Node<'n, 'n>) {
        let shape = FolderShape::read(request);
        let deep = request.attribute("Traversal") == Some("Deep");
        if child(request, "Restriction").is_some() {
            return self.refuse(&Refusal::new(
                "ErrorUnsupportedPathForQuery",
                "This server searches no folders.",
            ));
        }
        for node in child(request, "ParentFolderIds").into_iter().flat_map(elements) {
            match self.locate(node).and_then(|place| self.check_folder(&place).map(|()| place)) {
                Ok(place) => self.list_folders(request, &place, deep, &shape),
                Err(refusal) => self.refuse(&refusal),
            }
        }
    }

    fn list_folders<'n>(
        &mut self,
        request: Node<'n, 'n>,
        place: &Located,
        deep: bool,
        shape: &FolderShape,
    ) {
        let Some(mailbox) = self.world.mailbox(&place.0) else { return };
        let mut found = Vec::new();
        collect(mailbox, place.1, deep, &mut found);
        let view = View::read(request, "IndexedPageFolderView", FIND_FOLDER_CAP, found.len());
        let total = found.len();
        let end = view.offset.saturating_add(view.most).min(total);
        let page = found.get(view.offset.min(end)..end).unwrap_or_default().to_vec();
        soap::accept(&mut self.reply.xml, "FindFolder");
        self.reply.xml.raw(&format!(
            "<m:RootFolder IndexedPagingOffset=\"{end}\" TotalItemsInView=\"{total}\" \
             IncludesLastItemInRange=\"{}\"><t:Folders>",
            end == total
        ));
        for no in page {
            self.write_folder(&(place.0.clone(), no), shape);
        }
        self.reply.xml.raw("</t:Folders></m:RootFolder>");
        soap::end(&mut self.reply.xml, "FindFolder");
    }
}

fn collect(mailbox: &Mailbox, parent: FolderNo, deep: bool, found: &mut Vec<FolderNo>) {
    let mut children: Vec<&Folder> = mailbox.children(parent).collect();
    children.sort_by(|a, b| a.name.cmp(&b.name));
    for folder in children {
        found.push(folder.no);
        if deep {
            collect(mailbox, folder.no, deep, found);
        }
    }
}
