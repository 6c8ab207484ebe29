//! Replies with the parts of a message that has no MIME content.

use roxmltree::{Document, Node};

use super::items::{item, item_content};
use super::{ItemContent, Malformed, Rejected, child, flag, id, messages, owned, single, text};

/// The properties that a message is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    pub subject: Option<String>,
    /// Transport headers in their order; none if the message never was in transport.
    pub headers: Vec<(String, String)>,
    pub from: Option<Address>,
    pub sender: Option<Address>,
    pub to: Vec<Address>,
    pub cc: Vec<Address>,
    pub body: Option<String>,
    pub body_is_html: bool,
    pub attachments: Vec<Attachment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub name: Option<String>,
    pub email: Option<String>,
}

/// An attachment as its message names it, without content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub id: String,
    pub name: Option<String>,
    pub content_type: Option<String>,
    pub content_id: Option<String>,
    pub is_inline: bool,
    pub kind: AttachmentKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachmentKind {
    File,
    /// A message or another item inside the message.
    Item,
    /// A link to a file elsewhere.
    Reference,
}

/// Where the content of an attachment is, among the bodies of its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    File(usize),
    /// The MIME content of an attached item.
    Message(usize),
}

/// Reads the reply to GetItem in the shape for parts.
///
/// # Errors
///
/// [`Rejected`] with the server's fault, or with what is wrong about the reply.
pub fn get_parts(document: &Document<'_>) -> Result<(ItemContent, Parts), Rejected> {
    let message = messages(document)?.next().ok_or(Malformed::Missing("response message"))?;
    let item = item(message)?.map_err(Rejected::Fault)?;
    Ok((item_content(item), parts(item)))
}

/// Reads the reply to `GetAttachment` for one attachment; `None` if it has no content.
///
/// # Errors
///
/// As [`get_parts`].
pub fn attachment(document: &Document<'_>) -> Result<Option<Content>, Rejected> {
    let message = single(document)?;
    let found = child(message, "Attachments").and_then(|list| list.first_element_child());
    let Some(found) = found else { return Ok(None) };
    let index = |node, name| text(node, name).and_then(|index| index.parse::<usize>().ok());
    if let Some(file) = index(found, "Content") {
        return Ok(Some(Content::File(file)));
    }
    let attached = found.children().find_map(|item| index(item, "MimeContent"));
    Ok(attached.map(Content::Message))
}

fn parts(item: Node<'_, '_>) -> Parts {
    let body = child(item, "Body");
    let elements = |name| child(item, name).into_iter().flat_map(|list| list.children());
    Parts {
        subject: owned(item, "Subject"),
        headers: elements("InternetMessageHeaders")
            .filter_map(|header| {
                let name = header.attribute("HeaderName")?.to_owned();
                Some((name, header.text().unwrap_or_default().to_owned()))
            })
            .collect(),
        from: child(item, "From").and_then(mailbox),
        sender: child(item, "Sender").and_then(mailbox),
        to: elements("ToRecipients").filter_map(address).collect(),
        cc: elements("CcRecipients").filter_map(address).collect(),
        body: body.map(|body| body.text().unwrap_or_default().to_owned()),
        body_is_html: body.and_then(|body| body.attribute("BodyType")) == Some("HTML"),
        attachments: elements("Attachments").filter_map(attachment_row).collect(),
    }
}

/// The `Mailbox` inside `From` or `Sender`.
fn mailbox(holder: Node<'_, '_>) -> Option<Address> {
    address(child(holder, "Mailbox")?)
}

fn address(mailbox: Node<'_, '_>) -> Option<Address> {
    let address = Address { name: owned(mailbox, "Name"), email: owned(mailbox, "EmailAddress") };
    (address.name.is_some() || address.email.is_some()).then_some(address)
}

fn attachment_row(attachment: Node<'_, '_>) -> Option<Attachment> {
    Some(Attachment {
        kind: match attachment.tag_name().name() {
            "FileAttachment" => AttachmentKind::File,
            "ItemAttachment" => AttachmentKind::Item,
            "ReferenceAttachment" => AttachmentKind::Reference,
            _ => return None,
        },
        id: id(attachment, "AttachmentId")?,
        name: owned(attachment, "Name"),
        content_type: owned(attachment, "ContentType"),
        content_id: owned(attachment, "ContentId"),
        is_inline: flag(attachment, "IsInline").unwrap_or(false),
    })
}
