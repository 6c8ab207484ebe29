//! Replies that tell of items.

use chrono::{DateTime, Utc};
use record::{ItemId, Metadata};
use roxmltree::{Document, Node};

use super::{Fault, Malformed, Rejected, child, extended, failure, flag, id, messages, number};
use super::{owned, single, text, time};
use crate::answer::is_mail_item;

/// An item as a folder listing names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemRow {
    pub id: ItemId,
    pub is_mail: bool,
    pub message_id: Option<String>,
    pub received: Option<DateTime<Utc>>,
    pub size: Option<u64>,
    pub is_draft: bool,
    /// `PR_SEARCH_KEY`.
    pub search_key: Option<Vec<u8>>,
}

/// A part of the changes of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemsPage {
    /// Created and updated items.
    pub rows: Vec<ItemRow>,
    pub removed: usize,
    /// Items that the server names without an id, so that nobody can ask for them.
    pub nameless: usize,
    pub state: String,
    pub last: bool,
}

/// Reads the reply to SyncFolderItems.
///
/// # Errors
///
/// [`Rejected`] with the server's fault, or with what is wrong about the reply.
pub fn items_page(document: &Document<'_>) -> Result<ItemsPage, Rejected> {
    let message = single(document)?;
    let state = owned(message, "SyncState").ok_or(Malformed::Missing("SyncState"))?;
    let mut page = ItemsPage { rows: Vec::new(), removed: 0, nameless: 0, state, last: false };
    let mut empty = true;
    let changes = child(message, "Changes");
    for change in changes.iter().flat_map(Node::children).filter(Node::is_element) {
        empty = false;
        match change.tag_name().name() {
            "Create" | "Update" => match change.first_element_child().and_then(item_row) {
                Some(row) => page.rows.push(row),
                None => page.nameless += 1,
            },
            "Delete" => page.removed += 1,
            // A changed read flag is no reason to fetch an email again.
            _ => {}
        }
    }
    // Without the element, only an empty page tells that there is no more.
    page.last = flag(message, "IncludesLastItemInRange").unwrap_or(empty);
    Ok(page)
}

/// An item that was fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemContent {
    pub id: Option<ItemId>,
    pub message_id: Option<String>,
    pub search_key: Option<Vec<u8>>,
    /// Index of its MIME content among the bodies of the reply.
    pub mime: Option<usize>,
    pub sent: Option<DateTime<Utc>>,
    pub created: Option<DateTime<Utc>>,
    /// Without the folder, which the caller knows.
    pub metadata: Metadata,
}

impl ItemContent {
    /// When the mailbox received the item, else when it was sent or created. An item without
    /// any date gets the start of 1970: a constant, so that every attempt yields the same.
    pub fn timestamp(&self) -> DateTime<Utc> {
        self.metadata.received_at.or(self.sent).or(self.created).unwrap_or_default()
    }
}

/// Reads the reply to GetItem: one result for each item asked for, in that order.
///
/// # Errors
///
/// As [`items_page`].
pub fn get_items(document: &Document<'_>) -> Result<Vec<Result<ItemContent, Fault>>, Rejected> {
    messages(document)?.map(|message| Ok(item(message)?.map(item_content))).collect()
}

/// The item of a response message.
pub(super) fn item<'a, 'i>(message: Node<'a, 'i>) -> Result<Result<Node<'a, 'i>, Fault>, Rejected> {
    let item = child(message, "Items").and_then(|items| items.first_element_child());
    match (failure(message), item) {
        (None, Some(item)) => Ok(Ok(item)),
        (None, None) => Err(Malformed::Missing("item").into()),
        (Some(fault), _) => Ok(Err(fault)),
    }
}

pub(super) fn item_content(item: Node<'_, '_>) -> ItemContent {
    let categories = child(item, "Categories");
    ItemContent {
        id: id(item, "ItemId").map(ItemId),
        message_id: owned(item, "InternetMessageId"),
        search_key: search_key(item),
        mime: text(item, "MimeContent").and_then(|index| index.parse().ok()),
        sent: time(item, "DateTimeSent"),
        created: time(item, "DateTimeCreated"),
        metadata: Metadata {
            folder: Vec::new(),
            received_at: time(item, "DateTimeReceived"),
            size: number(item, "Size"),
            categories: categories
                .iter()
                .flat_map(Node::children)
                .filter_map(|category| Some(category.text()?.trim().to_owned()))
                .filter(|category| !category.is_empty())
                .collect(),
            importance: owned(item, "Importance"),
            sensitivity: owned(item, "Sensitivity"),
            has_attachments: flag(item, "HasAttachments"),
            is_read: flag(item, "IsRead"),
            conversation_id: id(item, "ConversationId"),
            conversation_topic: owned(item, "ConversationTopic"),
        },
    }
}

fn item_row(item: Node<'_, '_>) -> Option<ItemRow> {
    Some(ItemRow {
        id: ItemId(id(item, "ItemId")?),
        is_mail: is_mail(item.tag_name().name(), text(item, "ItemClass").unwrap_or_default()),
        message_id: owned(item, "InternetMessageId"),
        received: time(item, "DateTimeReceived"),
        size: number(item, "Size"),
        is_draft: flag(item, "IsDraft").unwrap_or(false),
        search_key: search_key(item),
    })
}

fn search_key(item: Node<'_, '_>) -> Option<Vec<u8>> {
    let key = extended(item, "0x300b")?;
    base64_simd::STANDARD.decode_to_vec(key).ok().filter(|key| !key.is_empty())
}

/// Whether an item is mail. What is unknown is: rather one item too many than one lost.
fn is_mail(element: &str, class: &str) -> bool {
    match element {
        "CalendarItem" | "Contact" | "DistributionList" | "Task" | "RoleMember" | "Network"
        | "Person" => false,
        // The schema has no element for this kind of item; its class tells.
        "Item" => is_mail_item(class),
        _ => true,
    }
}
