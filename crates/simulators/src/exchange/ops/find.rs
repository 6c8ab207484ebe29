//! `FindItem`: a page of a folder's items.

use roxmltree::Node;

use super::{
    super::{
        folder::Kind,
        id::ItemNo,
        render,
        shape::ItemShape,
        soap::{self, Refusal},
        xml::{child, elements},
    },
    Call, Located,
    folders::View,
    restriction::{Filter, Order},
};

/// Most items in one reply (`EWSFindCountLimit`), and with a restriction.
const CAP: usize = 1000;
const RESTRICTED_CAP: usize = 250;

impl Call<'_> {
    pub(super) fn find_item<'n>(&mut self, request: Node<'n, 'n>) -> Result<(), Refusal> {
        if let Some(query) = child(request, "QueryString") {
            let wanted = query.text().unwrap_or_default();
            self.refuse(&Refusal::new(
                "ErrorInvalidOperation",
                format!("This server does not search for `{wanted}`."),
            ));
            return Ok(());
        }
        for node in child(request, "ParentFolderIds").into_iter().flat_map(elements) {
            let shown = self.locate(node).and_then(|place| self.list_items(request, &place));
            if let Err(refusal) = shown {
                self.refuse(&refusal);
            }
        }
        Ok(())
    }

    fn list_items<'n>(&mut self, request: Node<'n, 'n>, place: &Located) -> Result<(), Refusal> {
        let shape = ItemShape::read(request, true)?;
        let filter = child(request, "Restriction").map(Filter::read).transpose()?;
        let order = child(request, "SortOrder").map(Order::read).transpose()?;
        self.check_folder(place)?;
        let (mailbox, folder) = self.folder(place)?;
        // A search folder shows what is elsewhere: here, everything in the inbox.
        let source = match folder.kind {
            Kind::Search => mailbox.distinguished("inbox").and_then(|inbox| mailbox.folder(inbox)),
            _ => Some(folder),
        };
        let Some(source) = source else { return Err(self.no_folder()) };
        let keep = |no: &ItemNo| {
            filter
                .as_ref()
                .is_none_or(|filter| mailbox.items.get(no).is_some_and(|item| filter.matches(item)))
        };
        let cap = if filter.is_some() { RESTRICTED_CAP } else { CAP };
        let (all, total): (Box<dyn Iterator<Item = ItemNo>>, usize) = match &filter {
            None => {
                let total = source.items.len();
                let all: Box<dyn Iterator<Item = ItemNo>> = match &order {
                    None => Box::new(source.items.values().rev().copied()),
                    Some(Order::Received { ascending: true }) => {
                        Box::new(source.by_date.iter().map(|(_, no)| *no))
                    }
                    Some(Order::Received { ascending: false }) => {
                        Box::new(source.by_date.iter().rev().map(|(_, no)| *no))
                    }
                    Some(other) => Box::new(other.sort(mailbox, source).into_iter()),
                };
                (all, total)
            }
            Some(_) => {
                let sorted = match &order {
                    None => source.items.values().rev().copied().collect(),
                    Some(order) => order.sort(mailbox, source),
                };
                let kept: Vec<_> = sorted.into_iter().filter(keep).collect();
                let total = kept.len();
                (Box::new(kept.into_iter()), total)
            }
        };
        let view = View::read(request, "IndexedPageItemView", cap, total);
        let page: Vec<ItemNo> = all.skip(view.offset).take(view.most).collect();
        let end = view.offset.min(total) + page.len();
        self.write_found(&place.0, &shape, &page, end, total);
        Ok(())
    }

    fn write_found(
        &mut self,
        address: &str,
        shape: &ItemShape,
        page: &[ItemNo],
        end: usize,
        total: usize,
    ) {
        let mut reply = std::mem::take(&mut self.reply);
        soap::accept(&mut reply.xml, "FindItem");
        reply.xml.raw(&format!(
            "<m:RootFolder IndexedPagingOffset=\"{end}\" TotalItemsInView=\"{total}\" \
             IncludesLastItemInRange=\"{}\"><t:Items>",
            end >= total
        ));
        if let Some(mailbox) = self.world.mailbox(address) {
            for item in page.iter().filter_map(|no| mailbox.items.get(no)) {
                let faults = self.text_faults(mailbox, item);
                render::item(&mut reply, mailbox, item, shape, &faults);
            }
        }
        reply.xml.raw("</t:Items></m:RootFolder>");
        soap::end(&mut reply.xml, "FindItem");
        self.reply = reply;
    }
}
