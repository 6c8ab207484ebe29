//! What Graph is asked for, and its answers as values. No I/O.
//!
//! Spec: "message resource type", "mailFolder resource type", "Get incremental changes to messages
//! in a folder", Microsoft Graph REST API v1.0.

use std::borrow::Cow;

use base64_simd::STANDARD;
use chrono::{DateTime, Utc};
use record::{FolderId, ItemId, Metadata};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};

use super::mend::mend;
use crate::{answer::is_mail_item, ews::clean::is_xml_char};

/// What is asked of a message: all that decides about it, and the metadata that is kept with it.
pub(super) const MESSAGE_SELECT: &str = "$select=id,internetMessageId,receivedDateTime,\
    createdDateTime,lastModifiedDateTime,sentDateTime,isDraft,isRead,hasAttachments,importance,categories,\
    conversationId";
/// `PR_SEARCH_KEY`, `PR_MESSAGE_SIZE`, `PR_MESSAGE_CLASS`, `PR_SENSITIVITY`,
/// `PR_CONVERSATION_TOPIC`.
pub(super) const MESSAGE_EXPAND: &str = "$expand=singleValueExtendedProperties($filter=\
    id%20eq%20'Binary%200x300B'%20or%20id%20eq%20'Integer%200x0E08'%20or%20\
    id%20eq%20'String%200x001A'%20or%20id%20eq%20'Integer%200x0036'%20or%20id%20eq%20'String%200x0070')";
pub(super) const FOLDER_SELECT: &str = "$select=id,displayName,parentFolderId,childFolderCount,\
    totalItemCount,unreadItemCount,isHidden";
/// `PR_CONTAINER_CLASS`.
pub(super) const FOLDER_EXPAND: &str =
    "$expand=singleValueExtendedProperties($filter=id%20eq%20'String%200x3613')";

/// A page of a collection.
#[derive(Debug, Deserialize)]
pub(super) struct Collection<T> {
    pub(super) value: Vec<T>,
    #[serde(rename = "@odata.nextLink")]
    pub(super) next: Option<String>,
    #[serde(rename = "@odata.deltaLink")]
    pub(super) delta: Option<String>,
}

/// A message in a listing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct MessageRow {
    id: Option<String>,
    #[serde(rename = "@removed")]
    pub(super) removed: Option<IgnoredAny>,
    internet_message_id: Option<String>,
    received_date_time: Option<String>,
    created_date_time: Option<String>,
    last_modified_date_time: Option<String>,
    sent_date_time: Option<String>,
    is_draft: Option<bool>,
    is_read: Option<bool>,
    has_attachments: Option<bool>,
    importance: Option<String>,
    categories: Option<Vec<String>>,
    conversation_id: Option<String>,
    single_value_extended_properties: Option<Vec<Property>>,
}

#[derive(Debug, Deserialize)]
struct Property {
    id: String,
    value: Option<String>,
}

/// What is known of a message beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// `PR_SEARCH_KEY`.
    pub(super) search_key: Option<Vec<u8>>,
    pub(super) message_id: Option<String>,
    pub(super) is_draft: bool,
    /// Not a contact, an appointment or the like that somebody has put into a mail folder.
    pub(super) is_mail: bool,
    pub(super) sent: Option<DateTime<Utc>>,
    pub(super) created: Option<DateTime<Utc>>,
    pub(super) modified: Option<DateTime<Utc>>,
    /// Without the folder, which the caller knows.
    pub(super) metadata: Metadata,
}

impl MessageRow {
    pub(super) fn id(&self) -> Option<ItemId> {
        self.id.as_ref().filter(|id| !id.is_empty()).map(|id| ItemId(id.clone()))
    }

    pub(super) fn message(&self) -> Message {
        let property = |tag| extended(&self.single_value_extended_properties, tag);
        let number = |tag| property(tag)?.trim().parse::<u64>().ok();
        let search_key = property(0x300B)
            .and_then(|key| STANDARD.decode_to_vec(key.trim()).ok())
            .filter(|key| !key.is_empty());
        let categories = self.categories.iter().flatten();
        Message {
            search_key,
            message_id: text(&self.internet_message_id),
            is_draft: self.is_draft.unwrap_or(false),
            is_mail: property(0x001A).is_none_or(|class| is_mail_item(class.trim())),
            sent: time(&self.sent_date_time),
            created: time(&self.created_date_time),
            modified: time(&self.last_modified_date_time),
            metadata: Metadata {
                folder: Vec::new(),
                received_at: time(&self.received_date_time),
                size: number(0x0E08),
                categories: categories.filter_map(|name| tidy(name)).collect(),
                importance: text(&self.importance).map(capitalized),
                sensitivity: number(0x0036).and_then(sensitivity).map(str::to_owned),
                has_attachments: self.has_attachments,
                is_read: self.is_read,
                conversation_id: text(&self.conversation_id),
                conversation_topic: property(0x0070).and_then(tidy),
            },
        }
    }
}

impl Message {
    /// When the mailbox received the message, else when it was sent or created. One without any
    /// date gets the start of 1970: a constant, so that every attempt yields the same.
    pub(super) fn timestamp(&self) -> DateTime<Utc> {
        self.metadata.received_at.or(self.sent).or(self.created).unwrap_or_default()
    }
}

/// A folder in a listing. After the first round, the listing names what changed only.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct FolderRow {
    id: Option<String>,
    #[serde(rename = "@removed")]
    pub(super) removed: Option<IgnoredAny>,
    #[serde(rename = "@odata.type")]
    kind: Option<String>,
    pub(super) display_name: Option<String>,
    pub(super) parent_folder_id: Option<String>,
    pub(super) child_folder_count: Option<u64>,
    pub(super) total_item_count: Option<u64>,
    pub(super) unread_item_count: Option<u64>,
    pub(super) is_hidden: Option<bool>,
    single_value_extended_properties: Option<Vec<Property>>,
}

impl FolderRow {
    pub(super) fn id(&self) -> Option<FolderId> {
        self.id.as_ref().filter(|id| !id.is_empty()).map(|id| FolderId(id.clone()))
    }

    /// A saved search looks like a folder and holds what others hold.
    pub(super) fn is_search(&self) -> bool {
        self.kind.as_ref().is_some_and(|kind| kind.ends_with("mailSearchFolder"))
    }

    /// `IPF.Note` and its like.
    pub(super) fn class(&self) -> Option<String> {
        extended(&self.single_value_extended_properties, 0x3613).and_then(tidy)
    }
}

/// One answer within a batch. A text body stands elsewhere: see [`super::batch`].
#[derive(Debug, Deserialize)]
pub(super) struct BatchAnswer {
    pub(super) id: String,
    pub(super) status: u16,
    #[serde(default)]
    pub(super) headers: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    pub(super) body: serde_json::Value,
}

impl BatchAnswer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct BatchReply {
    pub(super) responses: Vec<BatchAnswer>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Translated {
    pub(super) source_id: Option<String>,
    pub(super) target_id: Option<String>,
}

/// What Graph says about a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: String,
    pub(super) message: String,
}

#[derive(Deserialize)]
struct ErrorReply {
    error: ErrorBody,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct ErrorBody {
    code: Option<String>,
    message: Option<String>,
    inner_error: Option<InnerError>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct InnerError {
    code: Option<String>,
}

/// Longest text of a server that is kept of a failure.
const MAX_SAID: usize = 500;

/// Reads the error that comes with a failure status; `None` if there is none.
pub(super) fn fault(json: &[u8]) -> Option<Fault> {
    fault_of(parse::<ErrorReply>(json).ok()?)
}

/// The same of an answer within a batch.
pub(super) fn fault_in(body: &serde_json::Value) -> Option<Fault> {
    fault_of(ErrorReply::deserialize(body).ok()?)
}

fn fault_of(ErrorReply { error }: ErrorReply) -> Option<Fault> {
    let short = |text: String| text.chars().take(MAX_SAID).collect::<String>();
    let outer = error.code.filter(|code| !code.is_empty());
    let inner = error.inner_error.and_then(|inner| inner.code);
    // Some services say the telling code inside only.
    let code = match (outer, inner) {
        (Some(outer), Some(inner)) if is_vague(&outer) && inner.starts_with("Error") => inner,
        (Some(outer), _) => outer,
        (None, inner) => inner?,
    };
    Some(Fault { code: short(code), message: short(error.message.unwrap_or_default()) })
}

fn is_vague(code: &str) -> bool {
    ["UnknownError", "generalException", "ErrorInternalServerError"]
        .iter()
        .any(|vague| code.eq_ignore_ascii_case(vague))
}

/// Reads JSON, mended if it is not quite what RFC 8259 wants.
///
/// # Errors
///
/// What is wrong with it, without quoting it.
pub(super) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    match serde_json::from_slice(json) {
        Ok(value) => Ok(value),
        Err(err) => match mend(json) {
            Cow::Owned(mended) => serde_json::from_slice(&mended),
            Cow::Borrowed(_) => Err(err),
        },
    }
}

/// The value of the extended property `tag`. Servers write the tag in words of their own:
/// `Integer 0x0E08` comes back as `Integer 0xe08`.
fn extended(properties: &Option<Vec<Property>>, tag: u32) -> Option<&str> {
    let is_wanted = |property: &&Property| {
        let name = property.id.rsplit(' ').next().unwrap_or_default();
        let digits = name.strip_prefix("0x").or_else(|| name.strip_prefix("0X"));
        digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) == Some(tag)
    };
    properties.iter().flatten().find(is_wanted)?.value.as_deref()
}

fn text(text: &Option<String>) -> Option<String> {
    text.as_deref().and_then(tidy)
}

/// Text as EWS shows it, where it goes through XML: without blanks around it, and without the
/// characters that XML forbids. Half of an email's identity is such a text, and it has to be the
/// same over both.
fn tidy(text: &str) -> Option<String> {
    let text = text.trim();
    let mended = |c| if is_xml_char(c) { c } else { char::REPLACEMENT_CHARACTER };
    (!text.is_empty()).then(|| text.chars().map(mended).collect())
}

fn time(text: &Option<String>) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text.as_deref()?.trim()).ok()?;
    Some(time.with_timezone(&Utc))
}

/// `normal` as EWS writes it: `Normal`.
fn capitalized(word: String) -> String {
    let mut chars = word.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => word,
    }
}

/// Spec: MS-OXCMSG §2.2.1.13, `PidTagSensitivity`.
fn sensitivity(value: u64) -> Option<&'static str> {
    ["Normal", "Personal", "Private", "Confidential"].get(usize::try_from(value).ok()?).copied()
}
