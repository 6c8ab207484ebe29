//! Messages and folders as JSON.

use base64_simd::STANDARD;
use openssl::sha::sha256;
use serde_json::{Map, Value, json};

use super::{
    super::{
        fault::{Fault, Forbidden, Place},
        folder::{Folder, Kind},
        id::change_key,
        item::{Item, element},
        mailbox::Mailbox,
        mime::{Part, Person, decode_words},
        render::{View, mapi},
        xml::time,
    },
    id::{of_item, rest_id},
    query::{Prefer, Property, Shape},
};

/// Contents larger than this are shown without their bodies.
const MAX_SHOWN: u64 = 4 * 1024 * 1024;
/// Characters of a preview.
const PREVIEW: usize = 255;
/// Stands for what JSON forbids until the text is written.
const FORBIDDEN: char = '\u{10fffd}';

/// Whether Graph shows an item as a message.
pub(crate) fn is_message(item: &Item) -> bool {
    let class = item.delivery.class.to_ascii_lowercase();
    let others = ["ipm.appointment", "ipm.contact", "ipm.distlist", "ipm.task", "ipm.stickynote"];
    !others.iter().any(|other| class.starts_with(other)) && !class.starts_with("ipm.activity")
}

/// The derived type of a message that is more than one.
fn derived(item: &Item) -> Option<&'static str> {
    match element(&item.delivery.class) {
        "t:MeetingRequest" => Some("#microsoft.graph.eventMessageRequest"),
        "t:MeetingResponse" => Some("#microsoft.graph.eventMessageResponse"),
        "t:MeetingCancellation" | "t:MeetingMessage" => Some("#microsoft.graph.eventMessage"),
        _ => None,
    }
}

/// The properties of one message. `basic` leaves out what `Mail.ReadBasic` does not open.
pub(crate) fn message(
    mailbox: &Mailbox,
    item: &Item,
    shape: &Shape,
    prefer: &Prefer,
    basic: bool,
    faults: &[Fault],
) -> Map<String, Value> {
    let delivery = &item.delivery;
    let view = View::new(item);
    let mut out = Map::new();
    if let Some(kind) = derived(item) {
        out.insert("@odata.type".to_owned(), json!(kind));
    }
    out.insert("@odata.etag".to_owned(), json!(etag(item.version)));
    out.insert("id".to_owned(), json!(of_item(mailbox, item.no, item.immutable, prefer.immutable)));
    let people = |name: &str| -> Value { view.people(name).iter().map(person).collect() };
    let first = |name: &str| view.people(name).first().map_or(Value::Null, person);
    for name in super::query::MESSAGE.iter().filter(|name| shape.shows(name)) {
        let value = match *name {
            "bccRecipients" => people("Bcc"),
            "ccRecipients" => people("Cc"),
            "toRecipients" => people("To"),
            "replyTo" => people("Reply-To"),
            "from" | "sender" => first("From"),
            "body" if !basic => body(&view, delivery.content.size(), prefer.text_body),
            "bodyPreview" if !basic => json!(preview(&view, delivery.content.size())),
            "categories" => json!(delivery.categories),
            "changeKey" => json!(change_key(item.version)),
            "conversationId" => {
                let hash = sha256(delivery.topic.as_bytes());
                let id = STANDARD.encode_to_string([b"conversation-".as_slice(), &hash].concat());
                json!(rest_id(&id))
            }
            "createdDateTime" => json!(time(item.created_at, 0)),
            "lastModifiedDateTime" => json!(time(item.modified_at, 0)),
            "receivedDateTime" => json!(delivery.received.map(|at| time(at, 0))),
            "sentDateTime" => json!(time(view.sent(), 0)),
            "hasAttachments" => json!(delivery.has_attachments),
            "importance" => json!(delivery.importance.to_ascii_lowercase()),
            "internetMessageId" => {
                json!(
                    delivery
                        .message_id
                        .as_ref()
                        .map(|id| { spoil(id, Place::InternetMessageId, faults) })
                )
            }
            "isDraft" => json!(delivery.is_draft),
            "isRead" => json!(delivery.is_read),
            "parentFolderId" => json!(rest_id(&mailbox.folder_id(item.folder))),
            "subject" => {
                let subject = decode_words(view.field("Subject").unwrap_or_default());
                json!(spoil(&subject, Place::Subject, faults))
            }
            _ => continue,
        };
        out.insert((*name).to_owned(), value);
    }
    let properties: Vec<_> =
        shape.expand.iter().filter_map(|property| extended(&view, item, property)).collect();
    if !properties.is_empty() {
        out.insert("singleValueExtendedProperties".to_owned(), Value::Array(properties));
    }
    out
}

pub(crate) fn etag(version: u32) -> String {
    format!("W/\"{}\"", change_key(version))
}

fn person(person: &Person) -> Value {
    let name = if person.name.is_empty() { &person.address } else { &person.name };
    json!({ "emailAddress": { "name": name, "address": person.address } })
}

fn body(view: &View<'_>, size: u64, as_text: bool) -> Value {
    if size > MAX_SHOWN {
        return json!({ "contentType": "text", "content": "" });
    }
    let html = view.body("text/html").filter(|_| !as_text);
    let kind = if html.is_some() { "html" } else { "text" };
    let text = html.or_else(|| view.body("text/plain")).map(Part::to_text).unwrap_or_default();
    json!({ "contentType": kind, "content": text })
}

fn preview(view: &View<'_>, size: u64) -> String {
    if size > MAX_SHOWN {
        return String::new();
    }
    let text = view.body("text/plain").map(Part::to_text).unwrap_or_default();
    text.chars().take(PREVIEW).collect()
}

/// A property that the item has in the type that was asked for.
fn extended(view: &View<'_>, item: &Item, property: &Property) -> Option<Value> {
    let kind = property.kind.as_str();
    let fits = match property.tag {
        0x300b => kind == "Binary",
        0x0e08 => matches!(kind, "Integer" | "Long"),
        0x0036 => kind == "Integer",
        0x0e06 | 0x0039 | 0x3007 | 0x3008 => kind == "SystemTime",
        _ => kind == "String",
    };
    let value = match property.tag {
        0x0036 => sensitivity(item).to_string(),
        tag => mapi(view, tag)?,
    };
    fits.then(|| json!({ "id": property.id(), "value": value }))
}

/// `PR_SENSITIVITY` (MS-OXCMSG §2.2.1.13).
fn sensitivity(item: &Item) -> u8 {
    match item.delivery.sensitivity {
        "Personal" => 1,
        "Private" => 2,
        "Confidential" => 3,
        _ => 0,
    }
}

/// Whether Graph shows a folder among those of mail.
pub(crate) fn is_mail_folder(folder: &Folder) -> bool {
    folder.kind == Kind::Search || folder.holds_mail()
}

/// The properties of one folder.
pub(crate) fn folder(
    mailbox: &Mailbox,
    folder: &Folder,
    shape: &Shape,
    faults: &[Fault],
) -> Map<String, Value> {
    let mut out = Map::new();
    if folder.kind == Kind::Search {
        out.insert("@odata.type".to_owned(), json!("#microsoft.graph.mailSearchFolder"));
    }
    out.insert("id".to_owned(), json!(rest_id(&mailbox.folder_id(folder.no))));
    for name in super::query::FOLDER.iter().filter(|name| shape.shows(name)) {
        let value = match *name {
            "childFolderCount" => {
                json!(mailbox.children(folder.no).filter(|child| is_mail_folder(child)).count())
            }
            "displayName" => json!(spoil(&folder.name, Place::DisplayName, faults)),
            "isHidden" => json!(folder.hidden),
            "parentFolderId" => {
                json!(folder.parent.map(|parent| rest_id(&mailbox.folder_id(parent))))
            }
            "totalItemCount" => json!(folder.items.len()),
            "unreadItemCount" => json!(folder.unread),
            _ => continue,
        };
        out.insert((*name).to_owned(), value);
    }
    let property = |property: &Property| {
        let value = match (property.tag, property.kind.as_str()) {
            (0x3613, "String") => folder.class.clone()?,
            (0x10f4, "Boolean") => folder.hidden.to_string(),
            (0x3001, "String") => folder.name.clone(),
            _ => return None,
        };
        Some(json!({ "id": property.id(), "value": value }))
    };
    let properties: Vec<_> = shape.expand.iter().filter_map(property).collect();
    if !properties.is_empty() {
        out.insert("singleValueExtendedProperties".to_owned(), Value::Array(properties));
    }
    out
}

/// `text` with a sign in its middle that [`write`] replaces, if a fault says so.
fn spoil(text: &str, place: Place, faults: &[Fault]) -> String {
    let struck = faults.iter().any(
        |fault| matches!(fault, Fault::ForbiddenCharacters { place: own, .. } if *own == place),
    );
    if !struck {
        return text.to_owned();
    }
    let mut cut = text.len() / 2;
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    let (start, end) = text.split_at(cut);
    format!("{start}{FORBIDDEN}{end}")
}

/// The JSON text, with what it must not contain if faults say so.
pub(crate) fn write(value: &Value, faults: &[Fault]) -> Vec<u8> {
    let text = value.to_string();
    let mut out = text.clone().into_bytes();
    if text.contains(FORBIDDEN) {
        let what = faults.iter().find_map(|fault| match fault {
            Fault::ForbiddenCharacters { what, .. } => Some(*what),
            _ => None,
        });
        let bytes = match what {
            Some(Forbidden::Reference(number)) => format!("\\u{number:04x}").into_bytes(),
            Some(Forbidden::Byte(byte)) => vec![byte],
            None => Vec::new(),
        };
        let parts: Vec<&[u8]> = text.split(FORBIDDEN).map(str::as_bytes).collect();
        out = parts.join(bytes.as_slice());
    }
    out
}
