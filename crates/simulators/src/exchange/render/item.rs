//! Items, and what is read from their contents.

use std::cell::OnceCell;

use base64_simd::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use openssl::sha::sha256;

use super::{
    super::{
        fault::{Fault, Place},
        id::{Id, Target},
        item::{Item, element},
        mailbox::Mailbox,
        mime::{self, Part, Person},
        reply::Reply,
        shape::{ItemField, ItemShape},
        xml::{Xml, time},
    },
    RIGHTS, extended, item_id, open_id, spoiled,
};

/// An item with what is read from its content, once and only if it is asked for.
pub(crate) struct View<'a> {
    item: &'a Item,
    whole: OnceCell<Bytes>,
    fields: OnceCell<Vec<(String, String)>>,
    parts: OnceCell<Vec<Part>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(item: &'a Item) -> Self {
        Self { item, whole: OnceCell::new(), fields: OnceCell::new(), parts: OnceCell::new() }
    }

    fn fields(&self) -> &[(String, String)] {
        self.fields
            .get_or_init(|| mime::fields(&self.item.delivery.content.head().unwrap_or_default()))
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        mime::find(self.fields(), name)
    }

    pub(crate) fn people(&self, name: &str) -> Vec<Person> {
        self.field(name).map(mime::people).unwrap_or_default()
    }

    fn parts(&self) -> &[Part] {
        let whole =
            || self.whole.get_or_init(|| self.item.delivery.content.to_bytes().unwrap_or_default());
        self.parts.get_or_init(|| mime::parts(whole()))
    }

    pub(crate) fn body(&self, kind: &str) -> Option<&Part> {
        self.parts().iter().find(|part| part.kind == kind && !part.is_attachment)
    }

    pub(crate) fn sent(&self) -> DateTime<Utc> {
        self.field("Date")
            .and_then(|date| DateTime::parse_from_rfc2822(date).ok())
            .map(|date| date.to_utc())
            .or(self.item.delivery.received)
            .unwrap_or(self.item.created_at)
    }
}

/// Writes one item.
pub(crate) fn item(
    reply: &mut Reply,
    mailbox: &Mailbox,
    item: &Item,
    shape: &ItemShape,
    faults: &[Fault],
) {
    let delivery = &item.delivery;
    let name = element(&delivery.class);
    let is_message = !matches!(name, "t:Item" | "t:CalendarItem" | "t:Contact" | "t:Task");
    let view = View::new(item);
    reply.xml.raw("<").raw(name).raw(">");
    if shape.fields.contains(&ItemField::MimeContent) {
        reply.xml.raw("<t:MimeContent CharacterSet=\"UTF-8\">");
        let cut = faults.contains(&Fault::TruncatedBase64);
        let digits = delivery.content.size().div_ceil(3) * 4;
        // Not a multiple of four, so that no decoder can take it for the end.
        let limit = cut.then_some((digits / 2) | 1);
        reply.base64(delivery.content.clone(), limit);
        reply.xml.raw("</t:MimeContent>");
    }
    item_id(&mut reply.xml, mailbox, item.no, item.version);
    for field in &shape.fields {
        if *field == ItemField::Extended {
            for property in &shape.extended {
                if let Some(value) = property.tag.and_then(|tag| mapi(&view, tag)) {
                    extended(&mut reply.xml, property, &value);
                }
            }
        } else if *field < ItemField::Sender {
            write_item_field(&mut reply.xml, mailbox, &view, *field, shape, faults);
        } else if name == "t:PostItem" {
            // A post has some of a message's properties, in another order.
            if matches!(field, ItemField::InternetMessageId | ItemField::IsRead) {
                write_message_field(&mut reply.xml, &view, *field, faults);
            }
        } else if is_message {
            write_message_field(&mut reply.xml, &view, *field, faults);
        }
    }
    reply.xml.raw("</").raw(name).raw(">");
}

/// The value of a MAPI property, as text.
pub(crate) fn mapi(view: &View<'_>, tag: u16) -> Option<String> {
    let delivery = &view.item.delivery;
    Some(match tag {
        0x300b => STANDARD.encode_to_string(view.item.search_key),
        0x0e06 => time(delivery.received?, delivery.date_digits),
        0x0039 => time(view.sent(), delivery.date_digits),
        0x3007 => time(view.item.created_at, delivery.date_digits),
        0x3008 => time(view.item.modified_at, delivery.date_digits),
        0x0e08 => delivery.content.size().to_string(),
        0x001a => delivery.class.clone(),
        0x0037 => mime::decode_words(view.field("Subject")?),
        0x0070 => delivery.topic.clone(),
        0x1035 => delivery.message_id.clone()?,
        0x007d => String::from_utf8_lossy(&delivery.content.head().ok()?).into_owned(),
        _ => return None,
    })
}

fn write_item_field(
    xml: &mut Xml,
    mailbox: &Mailbox,
    view: &View<'_>,
    field: ItemField,
    shape: &ItemShape,
    faults: &[Fault],
) {
    let (item, delivery) = (view.item, &view.item.delivery);
    let flag = |value: bool| if value { "true" } else { "false" };
    let date = |at| time(at, delivery.date_digits);
    match field {
        ItemField::ParentFolderId => {
            let version = mailbox.folders.get(&item.folder).map_or(1, |folder| folder.version);
            open_id(xml, "t:ParentFolderId", &mailbox.folder_id(item.folder), version);
        }
        ItemField::ItemClass => {
            xml.element("t:ItemClass", &delivery.class);
        }
        ItemField::Subject => {
            let subject = mime::decode_words(view.field("Subject").unwrap_or_default());
            spoiled(xml, "t:Subject", &subject, Place::Subject, faults);
        }
        ItemField::Sensitivity => {
            xml.element("t:Sensitivity", delivery.sensitivity);
        }
        ItemField::Body => {
            let html = view.body("text/html").filter(|_| !shape.text_body);
            let kind = if html.is_some() { "HTML" } else { "Text" };
            let text = html.or_else(|| view.body("text/plain")).map(Part::to_text);
            xml.raw("<t:Body BodyType=\"").raw(kind).raw("\">");
            xml.text(&text.unwrap_or_default()).raw("</t:Body>");
        }
        ItemField::TextBody => {
            let text = view.body("text/plain").map(Part::to_text).unwrap_or_default();
            xml.raw("<t:TextBody BodyType=\"Text\">").text(&text).raw("</t:TextBody>");
        }
        ItemField::Attachments if view.parts().iter().any(|part| part.is_attachment) => {
            xml.raw("<t:Attachments>");
            for (at, part) in view.parts().iter().filter(|part| part.is_attachment).enumerate() {
                let no = u32::try_from(at).unwrap_or(u32::MAX);
                let id = Id { mailbox: mailbox.guid, target: Target::Attachment(item.no, no) };
                xml.raw("<t:FileAttachment>");
                attachment(xml, &id.encode(), part, item);
                xml.raw("</t:FileAttachment>");
            }
            xml.raw("</t:Attachments>");
        }
        ItemField::DateTimeReceived => {
            if let Some(received) = delivery.received {
                xml.element("t:DateTimeReceived", &date(received));
            }
        }
        ItemField::Size => {
            let size = delivery.content.size().min(i32::MAX as u64);
            xml.element("t:Size", &size.to_string());
        }
        ItemField::Categories if !delivery.categories.is_empty() => {
            xml.raw("<t:Categories>");
            for category in &delivery.categories {
                xml.element("t:String", category);
            }
            xml.raw("</t:Categories>");
        }
        ItemField::Importance => {
            xml.element("t:Importance", delivery.importance);
        }
        ItemField::InReplyTo => {
            if let Some(id) = view.field("In-Reply-To") {
                xml.element("t:InReplyTo", id);
            }
        }
        ItemField::IsDraft => {
            xml.element("t:IsDraft", flag(delivery.is_draft));
        }
        ItemField::IsUnmodified => {
            xml.element("t:IsUnmodified", flag(item.version == 1));
        }
        ItemField::IsSubmitted => {
            xml.element("t:IsSubmitted", "false");
        }
        ItemField::IsFromMe => {
            xml.element("t:IsFromMe", "false");
        }
        ItemField::IsResend => {
            xml.element("t:IsResend", "false");
        }
        ItemField::IsAssociated => {
            xml.element("t:IsAssociated", "false");
        }
        ItemField::InternetMessageHeaders if !view.fields().is_empty() => {
            xml.raw("<t:InternetMessageHeaders>");
            for (name, value) in view.fields() {
                xml.raw("<t:InternetMessageHeader").attribute("HeaderName", name).raw(">");
                xml.text(value).raw("</t:InternetMessageHeader>");
            }
            xml.raw("</t:InternetMessageHeaders>");
        }
        ItemField::DateTimeSent => {
            xml.element("t:DateTimeSent", &date(view.sent()));
        }
        ItemField::DateTimeCreated => {
            xml.element("t:DateTimeCreated", &date(item.created_at));
        }
        ItemField::DisplayCc | ItemField::DisplayTo => {
            let (name, element) = match field {
                ItemField::DisplayCc => ("Cc", "t:DisplayCc"),
                _ => ("To", "t:DisplayTo"),
            };
            let names: Vec<_> = view
                .people(name)
                .into_iter()
                .map(|person| if person.name.is_empty() { person.address } else { person.name })
                .collect();
            xml.element(element, &names.join("; "));
        }
        ItemField::HasAttachments => {
            xml.element("t:HasAttachments", flag(delivery.has_attachments));
        }
        ItemField::EffectiveRights => {
            xml.raw(RIGHTS);
        }
        ItemField::LastModifiedTime => {
            xml.element("t:LastModifiedTime", &date(item.modified_at));
        }
        ItemField::ConversationId => {
            let hash = sha256(delivery.topic.as_bytes());
            let id = STANDARD.encode_to_string([b"conversation-".as_slice(), &hash].concat());
            xml.raw("<t:ConversationId").attribute("Id", &id).raw("/>");
        }
        // Written elsewhere.
        _ => {}
    }
}

fn write_message_field(xml: &mut Xml, view: &View<'_>, field: ItemField, faults: &[Fault]) {
    let delivery = &view.item.delivery;
    let list = match field {
        ItemField::Sender => Some(("t:Sender", "From", true)),
        ItemField::From => Some(("t:From", "From", true)),
        ItemField::ToRecipients => Some(("t:ToRecipients", "To", false)),
        ItemField::CcRecipients => Some(("t:CcRecipients", "Cc", false)),
        ItemField::BccRecipients => Some(("t:BccRecipients", "Bcc", false)),
        ItemField::ReplyTo => Some(("t:ReplyTo", "Reply-To", false)),
        _ => None,
    };
    if let Some((element, name, single)) = list {
        let mut people = view.people(name);
        if single {
            people.truncate(1);
        }
        if !people.is_empty() {
            xml.raw("<").raw(element).raw(">");
            for person in people {
                xml.raw("<t:Mailbox>").element("t:Name", &person.name);
                xml.element("t:EmailAddress", &person.address);
                xml.raw("<t:RoutingType>SMTP</t:RoutingType></t:Mailbox>");
            }
            xml.raw("</").raw(element).raw(">");
        }
        return;
    }
    match field {
        ItemField::ConversationTopic => {
            xml.element("t:ConversationTopic", &delivery.topic);
        }
        ItemField::InternetMessageId => {
            if let Some(id) = &delivery.message_id {
                spoiled(xml, "t:InternetMessageId", id, Place::InternetMessageId, faults);
            }
        }
        ItemField::IsRead => {
            xml.element("t:IsRead", if delivery.is_read { "true" } else { "false" });
        }
        ItemField::References => {
            if let Some(ids) = view.field("References") {
                xml.element("t:References", ids);
            }
        }
        // Written elsewhere.
        _ => {}
    }
}

/// Writes what is known of an attachment, without its content.
pub(crate) fn attachment(xml: &mut Xml, id: &str, part: &Part, item: &Item) {
    xml.raw("<t:AttachmentId").attribute("Id", id).raw("/>");
    xml.element("t:Name", part.name.as_deref().unwrap_or("attachment"));
    xml.element("t:ContentType", &part.kind);
    if let Some(id) = &part.content_id {
        xml.element("t:ContentId", id);
    }
    xml.element("t:Size", &part.bytes.len().to_string());
    xml.element("t:LastModifiedTime", &time(item.created_at, 0));
    let inline = if part.content_id.is_some() { "true" } else { "false" };
    xml.element("t:IsInline", inline);
}
