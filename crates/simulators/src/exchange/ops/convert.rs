//! `ConvertId`: the first question of clients that want to know the server's version.

use roxmltree::Node;

use super::{
    super::{
        id::Id,
        soap::{self, Refusal},
        xml::{child, elements},
    },
    Call,
};

impl Call<'_> {
    pub(super) fn convert_id<'n>(&mut self, request: Node<'n, 'n>) {
        let format = request.attribute("DestinationFormat").unwrap_or("EwsId");
        for source in child(request, "SourceIds").into_iter().flat_map(elements) {
            let id = source.attribute("Id").unwrap_or_default();
            let address = Id::decode(id).and_then(|id| self.world.by_guid(id.mailbox));
            let Some(address) = address.map(|mailbox| mailbox.address.clone()) else {
                self.refuse(&Refusal::code("ErrorInvalidIdMalformed"));
                continue;
            };
            let xml = &mut self.reply.xml;
            soap::accept(xml, "ConvertId");
            xml.raw("<m:AlternateId xsi:type=\"t:AlternateIdType\"").attribute("Format", format);
            xml.attribute("Id", id).attribute("Mailbox", &address).raw("/>");
            soap::end(xml, "ConvertId");
        }
    }
}
