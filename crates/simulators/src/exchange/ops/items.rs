//! `GetItem` and `GetAttachment`.

use roxmltree::Node;

use super::{
    super::{
        fault::Fault,
        id::{Id, Target},
        mime, render,
        shape::ItemShape,
        soap::{self, Refusal},
        xml::{child, elements},
    },
    Call, item_ids,
};

impl Call<'_> {
    pub(super) fn get_item<'n>(&mut self, request: Node<'n, 'n>) -> Result<(), Refusal> {
        let shape = ItemShape::read(request, false)?;
        let budget = self.struck.iter().find_map(|fault| match fault {
            Fault::BatchTimeout { after } => Some(*after),
            _ => None,
        });
        for (at, id) in item_ids(request).into_iter().enumerate() {
            if budget.is_some_and(|budget| at >= budget) {
                let stopped = Refusal::code("ErrorBatchProcessingStopped");
                self.refuse(&Refusal { warning: true, ..stopped });
            } else {
                self.show_item(id, &shape);
            }
        }
        Ok(())
    }

    /// Answers with one item.
    pub(super) fn show_item(&mut self, id: &str, shape: &ItemShape) {
        let mut reply = std::mem::take(&mut self.reply);
        let refused = match self.item(id) {
            Ok((mailbox, item)) => {
                let mut faults = self.item_faults(mailbox, item);
                let error = faults.iter().find_map(|fault| match fault {
                    Fault::ItemError { code } => Some(Refusal::code(code)),
                    _ => None,
                });
                if error.is_none() {
                    faults.extend(self.text_faults(mailbox, item));
                    soap::accept(&mut reply.xml, self.op.name());
                    reply.xml.raw("<m:Items>");
                    render::item(&mut reply, mailbox, item, shape, &faults);
                    reply.xml.raw("</m:Items>");
                    soap::end(&mut reply.xml, self.op.name());
                }
                error
            }
            Err(refusal) => Some(refusal),
        };
        self.reply = reply;
        if let Some(refusal) = refused {
            self.refuse(&refusal);
        }
    }

    pub(super) fn get_attachment<'n>(&mut self, request: Node<'n, 'n>) {
        for node in child(request, "AttachmentIds").into_iter().flat_map(elements) {
            let id = node.attribute("Id").unwrap_or_default();
            if let Err(refusal) = self.show_attachment(id) {
                self.refuse(&refusal);
            }
        }
    }

    fn show_attachment(&mut self, id: &str) -> Result<(), Refusal> {
        let malformed = || Refusal::code("ErrorInvalidIdMalformed");
        let Target::Attachment(_, place) = Id::decode(id).ok_or_else(malformed)?.target else {
            return Err(malformed());
        };
        let mut reply = std::mem::take(&mut self.reply);
        let shown = self.item(id).and_then(|(mailbox, item)| {
            let faults = self.item_faults(mailbox, item);
            if let Some(code) = faults.iter().find_map(|fault| match fault {
                Fault::ItemError { code } => Some(code),
                _ => None,
            }) {
                return Err(Refusal::code(code));
            }
            let whole = item
                .delivery
                .content
                .to_bytes()
                .map_err(|_| Refusal::code("ErrorCannotOpenFileAttachment"))?;
            let part = mime::parts(&whole)
                .into_iter()
                .filter(|part| part.is_attachment)
                .nth(usize::try_from(place).unwrap_or(usize::MAX))
                .ok_or_else(|| Refusal::code("ErrorInvalidAttachmentId"))?;
            soap::accept(&mut reply.xml, "GetAttachment");
            reply.xml.raw("<m:Attachments><t:FileAttachment>");
            render::attachment(&mut reply.xml, id, &part, item);
            reply.xml.raw("<t:Content>");
            reply.base64(part.bytes.into(), None);
            reply.xml.raw("</t:Content></t:FileAttachment></m:Attachments>");
            soap::end(&mut reply.xml, "GetAttachment");
            Ok(())
        });
        self.reply = reply;
        shown
    }
}
