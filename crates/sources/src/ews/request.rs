//! Writes SOAP requests.
//!
//! They are strings: eight kinds of request do not pay for a model of the schema. Every value
//! passes through [`Escaped`]; the tests validate each request against Microsoft's schema.
//!
//! Spec: EWS operations in Exchange, <https://learn.microsoft.com/exchange/client-developer/web-service-reference/ews-operations-in-exchange>

use std::fmt::Write;

use record::FolderId;

use super::clean::is_xml_char;

/// Most changes that a server returns at once, by the schema.
pub const MAX_CHANGES: usize = 512;

/// The schema version that a request asks for, lowest first.
///
/// 2010 SP2 is the newest that we need, and the lowest version with a feature is the advised
/// one. What a version lacks is left out of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    Exchange2007Sp1,
    Exchange2010,
    Exchange2010Sp1,
    Exchange2010Sp2,
}

impl Version {
    pub const NEWEST: Self = Self::Exchange2010Sp2;

    /// The version with this name in the protocol. Later ones than we need count as the newest.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "Exchange2007_SP1" => Some(Self::Exchange2007Sp1),
            "Exchange2010" => Some(Self::Exchange2010),
            "Exchange2010_SP1" => Some(Self::Exchange2010Sp1),
            "Exchange2010_SP2" | "Exchange2013" | "Exchange2013_SP1" | "Exchange2016" => {
                Some(Self::NEWEST)
            }
            _ => None,
        }
    }

    /// The next lower version, for a server that refuses this one.
    pub fn lower(self) -> Option<Self> {
        match self {
            Self::Exchange2010Sp2 => Some(Self::Exchange2010Sp1),
            Self::Exchange2010Sp1 => Some(Self::Exchange2010),
            Self::Exchange2010 => Some(Self::Exchange2007Sp1),
            Self::Exchange2007Sp1 => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exchange2007Sp1 => "Exchange2007_SP1",
            Self::Exchange2010 => "Exchange2010",
            Self::Exchange2010Sp1 => "Exchange2010_SP1",
            Self::Exchange2010Sp2 => "Exchange2010_SP2",
        }
    }
}

/// How the service user reaches a mailbox that is not its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// With rights on the mailbox: each well-known folder is named together with its mailbox.
    Delegate,
    /// In the name of its owner, by a SOAP header.
    Impersonation,
}

/// What every request of one mailbox has in common.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    pub version: Version,
    pub access: Access,
    /// Primary SMTP address of the mailbox.
    pub mailbox: &'a str,
}

/// A folder in a request.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// The visible top of the mailbox.
    Root,
    Id(&'a str),
}

impl<'a> From<&'a FolderId> for Target<'a> {
    fn from(id: &'a FolderId) -> Self {
        Self::Id(&id.0)
    }
}

/// What is asked of an email when it is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemShape {
    /// Only what its identity is derived from.
    Keys,
    /// Its MIME content and its metadata.
    Mime,
    /// All of which a message can be built when the server has no MIME content for it.
    Parts,
}

const FOLDER_TREE: &[&str] = &[
    "folder:FolderId",
    "folder:ParentFolderId",
    "folder:FolderClass",
    "folder:DisplayName",
    "folder:TotalCount",
    "folder:ChildFolderCount",
];
const FOLDER_MARKS: &[&str] = &[
    "folder:ParentFolderId",
    "folder:DisplayName",
    "folder:TotalCount",
    "folder:ChildFolderCount",
];
/// `PR_LOCAL_COMMIT_TIME_MAX` and `PR_DELETED_COUNT_TOTAL`: together they change with
/// everything that happens to the items of a folder.
const MARK_PROPERTIES: &[(&str, &str)] = &[("0x670a", "SystemTime"), ("0x670b", "Integer")];
/// `PR_SEARCH_KEY`: stays with a message when it moves.
const SEARCH_KEY: &[(&str, &str)] = &[("0x300b", "Binary")];
const LISTED: &[&str] = &[
    "item:ItemClass",
    "item:DateTimeReceived",
    "item:Size",
    "item:IsDraft",
    "message:InternetMessageId",
];
const METADATA: &[&str] = &[
    "item:DateTimeReceived",
    "item:Size",
    "item:Categories",
    "item:Importance",
    "item:Sensitivity",
    "item:DateTimeSent",
    "item:DateTimeCreated",
    "item:HasAttachments",
    "message:IsRead",
    "message:InternetMessageId",
    "message:ConversationTopic",
];
const PARTS: &[&str] = &[
    "item:Subject",
    "item:Body",
    "item:Attachments",
    "item:InternetMessageHeaders",
    "message:Sender",
    "message:From",
    "message:ToRecipients",
    "message:CcRecipients",
];

impl Envelope<'_> {
    /// The changes of the folder tree below `msgfolderroot` since `state`.
    pub fn sync_folder_hierarchy(&self, state: Option<&str>) -> String {
        self.wrap(|out| {
            out.push_str("<m:SyncFolderHierarchy><m:FolderShape><t:BaseShape>IdOnly</t:BaseShape>");
            additional_properties(out, &[FOLDER_TREE], &[]);
            out.push_str("</m:FolderShape><m:SyncFolderId>");
            self.folder(out, Target::Root);
            out.push_str("</m:SyncFolderId>");
            if let Some(state) = state {
                element(out, "m:SyncState", state);
            }
            out.push_str("</m:SyncFolderHierarchy>");
        })
    }

    /// Names, counts and marks of `folders`.
    pub fn folder_marks<'a>(&self, folders: impl IntoIterator<Item = Target<'a>>) -> String {
        self.wrap(|out| {
            out.push_str("<m:GetFolder><m:FolderShape><t:BaseShape>IdOnly</t:BaseShape>");
            additional_properties(out, &[FOLDER_MARKS], MARK_PROPERTIES);
            out.push_str("</m:FolderShape><m:FolderIds>");
            for folder in folders {
                self.folder(out, folder);
            }
            out.push_str("</m:FolderIds></m:GetFolder>");
        })
    }

    /// At most `limit` changes of `folder` since `state`.
    ///
    /// Exchange documents that this operation hands out what `FindItem` does, so neither bodies
    /// nor attachments, but extended properties.
    pub fn sync_folder_items(
        &self,
        folder: &FolderId,
        state: Option<&str>,
        limit: usize,
    ) -> String {
        self.wrap(|out| {
            out.push_str("<m:SyncFolderItems><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>");
            additional_properties(out, &[LISTED], SEARCH_KEY);
            out.push_str("</m:ItemShape><m:SyncFolderId>");
            self.folder(out, folder.into());
            out.push_str("</m:SyncFolderId>");
            if let Some(state) = state {
                element(out, "m:SyncState", state);
            }
            element(out, "m:MaxChangesReturned", &limit.clamp(1, MAX_CHANGES).to_string());
            if self.version >= Version::Exchange2010 {
                element(out, "m:SyncScope", "NormalItems");
            }
            out.push_str("</m:SyncFolderItems>");
        })
    }

    /// The items `ids`, in the given shape.
    pub fn get_item<'a>(&self, ids: impl IntoIterator<Item = &'a str>, shape: ItemShape) -> String {
        self.wrap(|out| {
            out.push_str("<m:GetItem><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>");
            let conversation: &[&str] = match self.version {
                Version::Exchange2007Sp1 => &[],
                _ => &["item:ConversationId"],
            };
            match shape {
                ItemShape::Keys => {
                    additional_properties(out, &[&["message:InternetMessageId"]], SEARCH_KEY);
                }
                ItemShape::Mime => {
                    out.push_str("<t:IncludeMimeContent>true</t:IncludeMimeContent>");
                    additional_properties(out, &[METADATA, conversation], &[]);
                }
                ItemShape::Parts => {
                    out.push_str("<t:BodyType>Best</t:BodyType>");
                    additional_properties(out, &[METADATA, conversation, PARTS], &[]);
                }
            }
            out.push_str("</m:ItemShape><m:ItemIds>");
            for id in ids {
                let _infallible = write!(out, "<t:ItemId Id=\"{}\"/>", Escaped(id));
            }
            out.push_str("</m:ItemIds></m:GetItem>");
        })
    }

    /// One attachment; an attached item comes with its MIME content.
    pub fn get_attachment(&self, id: &str) -> String {
        self.wrap(|out| {
            out.push_str("<m:GetAttachment><m:AttachmentShape>");
            out.push_str("<t:IncludeMimeContent>true</t:IncludeMimeContent></m:AttachmentShape>");
            let _infallible = write!(
                out,
                "<m:AttachmentIds><t:AttachmentId Id=\"{}\"/></m:AttachmentIds></m:GetAttachment>",
                Escaped(id)
            );
        })
    }

    fn wrap(&self, body: impl FnOnce(&mut String)) -> String {
        let mut out = String::with_capacity(1024);
        out.push_str(concat!(
            r#"<?xml version="1.0" encoding="utf-8"?>"#,
            r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/""#,
            r#" xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages""#,
            r#" xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types">"#,
            r#"<s:Header><t:RequestServerVersion Version=""#,
        ));
        out.push_str(self.version.as_str());
        out.push_str("\"/>");
        if self.access == Access::Impersonation {
            out.push_str("<t:ExchangeImpersonation><t:ConnectingSID>");
            element(&mut out, "t:PrimarySmtpAddress", self.mailbox);
            out.push_str("</t:ConnectingSID></t:ExchangeImpersonation>");
        }
        out.push_str("</s:Header><s:Body>");
        body(&mut out);
        out.push_str("</s:Body></s:Envelope>");
        out
    }

    fn folder(&self, out: &mut String, target: Target<'_>) {
        match (target, self.access) {
            // An id that was returned for a mailbox carries it.
            (Target::Id(id), _) => {
                let _infallible = write!(out, "<t:FolderId Id=\"{}\"/>", Escaped(id));
            }
            (Target::Root, Access::Impersonation) => {
                out.push_str("<t:DistinguishedFolderId Id=\"msgfolderroot\"/>");
            }
            (Target::Root, Access::Delegate) => {
                out.push_str("<t:DistinguishedFolderId Id=\"msgfolderroot\"><t:Mailbox>");
                element(out, "t:EmailAddress", self.mailbox);
                out.push_str("</t:Mailbox></t:DistinguishedFolderId>");
            }
        }
    }
}

fn additional_properties(out: &mut String, fields: &[&[&str]], extended: &[(&str, &str)]) {
    out.push_str("<t:AdditionalProperties>");
    for field in fields.iter().copied().flatten() {
        let _infallible = write!(out, "<t:FieldURI FieldURI=\"{field}\"/>");
    }
    for (tag, kind) in extended {
        let _infallible =
            write!(out, "<t:ExtendedFieldURI PropertyTag=\"{tag}\" PropertyType=\"{kind}\"/>");
    }
    out.push_str("</t:AdditionalProperties>");
}

fn element(out: &mut String, name: &str, text: &str) {
    let _infallible = write!(out, "<{name}>{}</{name}>", Escaped(text));
}

/// Text for an element or an attribute. Characters that XML forbids become U+FFFD: an id that
/// holds one came out of a reply that we had to mend, and names nothing anyhow.
pub struct Escaped<'a>(pub &'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                // Written as they are, these would be normalized to a blank or a line feed.
                '\t' | '\n' | '\r' => write!(f, "&#{};", u32::from(c))?,
                c if is_xml_char(c) => f.write_char(c)?,
                _ => f.write_char(char::REPLACEMENT_CHARACTER)?,
            }
        }
        Ok(())
    }
}
