//! Which properties a request asks for, in the order in which a reply must give them.

use std::collections::BTreeSet;

use roxmltree::Node;

use super::{
    soap::Refusal,
    xml::{child, child_text, elements, name},
};

/// A property set that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    IdOnly,
    Default,
    All,
}

fn base<'a>(shape: Node<'a, 'a>) -> Base {
    match child_text(shape, "BaseShape") {
        Some("Default") => Base::Default,
        Some("AllProperties") => Base::All,
        _ => Base::IdOnly,
    }
}

/// A MAPI property, as the request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extended {
    pub(crate) tag: Option<u16>,
    /// The attributes, to be repeated in the reply.
    pub(crate) attributes: Vec<(String, String)>,
}

fn extended(node: Node<'_, '_>) -> Extended {
    let tag = node.attribute("PropertyTag").and_then(|tag| {
        let hex = tag.strip_prefix("0x").or_else(|| tag.strip_prefix("0X"));
        hex.map_or_else(|| tag.parse().ok(), |hex| u16::from_str_radix(hex, 16).ok())
    });
    let attributes =
        node.attributes().map(|a| (a.name().to_owned(), a.value().to_owned())).collect();
    Extended { tag, attributes }
}

/// Properties of an item, in the order of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ItemField {
    MimeContent,
    ParentFolderId,
    ItemClass,
    Subject,
    Sensitivity,
    Body,
    Attachments,
    DateTimeReceived,
    Size,
    Categories,
    Importance,
    InReplyTo,
    IsSubmitted,
    IsDraft,
    IsFromMe,
    IsResend,
    IsUnmodified,
    InternetMessageHeaders,
    DateTimeSent,
    DateTimeCreated,
    DisplayCc,
    DisplayTo,
    HasAttachments,
    Extended,
    EffectiveRights,
    LastModifiedTime,
    IsAssociated,
    ConversationId,
    TextBody,
    Sender,
    ToRecipients,
    CcRecipients,
    BccRecipients,
    ConversationTopic,
    From,
    InternetMessageId,
    IsRead,
    References,
    ReplyTo,
}

impl ItemField {
    const ALL: [(&'static str, Self); 38] = [
        ("item:MimeContent", Self::MimeContent),
        ("item:ParentFolderId", Self::ParentFolderId),
        ("item:ItemClass", Self::ItemClass),
        ("item:Subject", Self::Subject),
        ("item:Sensitivity", Self::Sensitivity),
        ("item:Body", Self::Body),
        ("item:Attachments", Self::Attachments),
        ("item:DateTimeReceived", Self::DateTimeReceived),
        ("item:Size", Self::Size),
        ("item:Categories", Self::Categories),
        ("item:Importance", Self::Importance),
        ("item:InReplyTo", Self::InReplyTo),
        ("item:IsSubmitted", Self::IsSubmitted),
        ("item:IsDraft", Self::IsDraft),
        ("item:IsFromMe", Self::IsFromMe),
        ("item:IsResend", Self::IsResend),
        ("item:IsUnmodified", Self::IsUnmodified),
        ("item:InternetMessageHeaders", Self::InternetMessageHeaders),
        ("item:DateTimeSent", Self::DateTimeSent),
        ("item:DateTimeCreated", Self::DateTimeCreated),
        ("item:DisplayCc", Self::DisplayCc),
        ("item:DisplayTo", Self::DisplayTo),
        ("item:HasAttachments", Self::HasAttachments),
        ("item:EffectiveRights", Self::EffectiveRights),
        ("item:LastModifiedTime", Self::LastModifiedTime),
        ("item:IsAssociated", Self::IsAssociated),
        ("item:ConversationId", Self::ConversationId),
        ("item:TextBody", Self::TextBody),
        ("message:Sender", Self::Sender),
        ("message:ToRecipients", Self::ToRecipients),
        ("message:CcRecipients", Self::CcRecipients),
        ("message:BccRecipients", Self::BccRecipients),
        ("message:ConversationTopic", Self::ConversationTopic),
        ("message:From", Self::From),
        ("message:InternetMessageId", Self::InternetMessageId),
        ("message:IsRead", Self::IsRead),
        ("message:References", Self::References),
        ("message:ReplyTo", Self::ReplyTo),
    ];

    /// The property called `uri`; `None` for one that no item here has.
    pub(crate) fn of(uri: &str) -> Option<Self> {
        Self::ALL.iter().find(|(own, _)| *own == uri).map(|(_, field)| *field)
    }

    /// Whether only `GetItem` may return it.
    fn is_heavy(self) -> bool {
        matches!(
            self,
            Self::MimeContent
                | Self::Body
                | Self::TextBody
                | Self::Attachments
                | Self::InternetMessageHeaders
                | Self::ToRecipients
                | Self::CcRecipients
                | Self::BccRecipients
                | Self::ReplyTo
        )
    }
}

/// What to tell of an item.
#[derive(Clone, Debug)]
pub(crate) struct ItemShape {
    pub(crate) fields: BTreeSet<ItemField>,
    pub(crate) extended: Vec<Extended>,
    /// The body is wanted as text, even if there is HTML.
    pub(crate) text_body: bool,
}

impl ItemShape {
    /// Reads the shape of a request; `listing` for the operations that return no contents.
    pub(crate) fn read<'a>(request: Node<'a, 'a>, listing: bool) -> Result<Self, Refusal> {
        let mut shape = Self { fields: BTreeSet::new(), extended: Vec::new(), text_body: false };
        let Some(node) = child(request, "ItemShape") else { return Ok(shape) };
        match base(node) {
            Base::IdOnly => {}
            Base::Default => shape.fields.extend([
                ItemField::Subject,
                ItemField::Sensitivity,
                ItemField::DateTimeReceived,
                ItemField::Size,
                ItemField::Importance,
                ItemField::DateTimeSent,
                ItemField::HasAttachments,
                ItemField::From,
                ItemField::IsRead,
            ]),
            Base::All => shape.fields.extend(
                ItemField::ALL
                    .iter()
                    .map(|(_, field)| *field)
                    .filter(|field| *field != ItemField::MimeContent)
                    .filter(|field| !(listing && field.is_heavy())),
            ),
        }
        if matches!(child_text(node, "IncludeMimeContent"), Some("true" | "1")) {
            shape.fields.insert(ItemField::MimeContent);
        }
        shape.text_body = child_text(node, "BodyType") == Some("Text");
        for property in child(node, "AdditionalProperties").into_iter().flat_map(elements) {
            match name(property) {
                "ExtendedFieldURI" => {
                    shape.fields.insert(ItemField::Extended);
                    shape.extended.push(extended(property));
                }
                "IndexedFieldURI" => {
                    shape.fields.insert(ItemField::InternetMessageHeaders);
                }
                _ => {
                    let uri = property.attribute("FieldURI").unwrap_or_default();
                    shape.fields.extend(ItemField::of(uri));
                }
            }
        }
        match shape.fields.iter().find(|field| listing && field.is_heavy()) {
            Some(field) => Err(Refusal::new(
                "ErrorInvalidPropertyForOperation",
                format!("Property {field:?} is not valid for this operation."),
            )),
            None => Ok(shape),
        }
    }
}

/// Properties of a folder, in the order of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FolderField {
    ParentFolderId,
    FolderClass,
    DisplayName,
    TotalCount,
    ChildFolderCount,
    Extended,
    EffectiveRights,
    DistinguishedFolderId,
    PermissionSet,
    UnreadCount,
}

impl FolderField {
    const ALL: [(&'static str, Self); 9] = [
        ("folder:ParentFolderId", Self::ParentFolderId),
        ("folder:FolderClass", Self::FolderClass),
        ("folder:DisplayName", Self::DisplayName),
        ("folder:TotalCount", Self::TotalCount),
        ("folder:ChildFolderCount", Self::ChildFolderCount),
        ("folder:EffectiveRights", Self::EffectiveRights),
        ("folder:DistinguishedFolderId", Self::DistinguishedFolderId),
        ("folder:PermissionSet", Self::PermissionSet),
        ("folder:UnreadCount", Self::UnreadCount),
    ];
}

/// What to tell of a folder.
#[derive(Clone, Debug)]
pub(crate) struct FolderShape {
    pub(crate) fields: BTreeSet<FolderField>,
    pub(crate) extended: Vec<Extended>,
}

impl FolderShape {
    pub(crate) fn read<'a>(request: Node<'a, 'a>) -> Self {
        let mut shape = Self { fields: BTreeSet::new(), extended: Vec::new() };
        let Some(node) = child(request, "FolderShape") else { return shape };
        match base(node) {
            Base::Default => shape.fields.extend([
                FolderField::DisplayName,
                FolderField::TotalCount,
                FolderField::ChildFolderCount,
                FolderField::UnreadCount,
            ]),
            Base::All => {
                shape.fields.extend(FolderField::ALL.iter().map(|(_, field)| *field));
            }
            Base::IdOnly => {}
        }
        for property in child(node, "AdditionalProperties").into_iter().flat_map(elements) {
            if name(property) == "ExtendedFieldURI" {
                shape.fields.insert(FolderField::Extended);
                shape.extended.push(extended(property));
            } else {
                let uri = property.attribute("FieldURI").unwrap_or_default();
                let known = FolderField::ALL.iter().find(|(own, _)| *own == uri);
                shape.fields.extend(known.map(|(_, field)| *field));
            }
        }
        shape
    }
}
