//! A comment as the platform's API shows it, and what else a conversion yields.

use std::{collections::BTreeMap, fmt::Write};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{File, Note};

/// Grows with each release in which the same email can become another comment. Kept beside
/// stored comments, it tells which of them to convert again.
pub const FORMAT_VERSION: u32 = 1;

/// Whether the angle brackets of a `Message-ID` belong to what a comment id is the hex of. The
/// original platform does not document it; the ids in its buckets carry them.
const ID_WITH_BRACKETS: bool = true;

/// Characters of a text that a comment can hold.
pub(crate) const MAX_TEXT_CHARS: usize = 65_536;
/// Markup nodes of a text.
pub(crate) const MAX_NODES: usize = 4_096;
/// Addresses in one of `to`, `cc`, `bcc`.
pub(crate) const MAX_ADDRESSES: usize = 2_048;
/// Characters of an address.
pub(crate) const MAX_ADDRESS_CHARS: usize = 512;
/// Characters of the name of an attachment, and of its content type.
pub(crate) const MAX_NAME_CHARS: usize = 256;
/// Characters of a comment id; two for each byte of an email id.
pub(crate) const MAX_ID_CHARS: usize = 1_024;
/// Characters of a thread id.
pub(crate) const MAX_THREAD_ID_CHARS: usize = 2_056;
/// Characters of a link's target.
pub(crate) const MAX_HREF_CHARS: usize = 16_384;

/// The id of the comment that an email becomes: its email id in lower-case hex.
///
/// An id too long for that is replaced by its SHA-256, which is as unique.
pub fn comment_id(email_id: &str) -> String {
    let id = if ID_WITH_BRACKETS {
        email_id
    } else {
        email_id.trim_start_matches('<').trim_end_matches('>')
    };
    if id.len() * 2 > MAX_ID_CHARS {
        return crate::guard::content_key(id.as_bytes());
    }
    let mut hex = String::with_capacity(id.len() * 2);
    for byte in id.as_bytes() {
        // Writing to a `String` cannot fail.
        write!(hex, "{byte:02x}").unwrap_or_default();
    }
    hex
}

/// One comment; serialized, it is what the comment API takes and gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comment {
    pub id: String,
    pub timestamp: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    /// By `string:<name>` or `number:<name>`.
    pub user_properties: BTreeMap<String, Property>,
    /// Exactly one.
    pub messages: Vec<Message>,
    /// `plain` or `markdown`.
    pub text_format: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

/// Value of a user property.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Property {
    Text(String),
    Number(f64),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bcc: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Content>,
    pub body: Content,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Content>,
}

/// A text, with the markup over it where the text format asks for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Content {
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_markup: Option<Vec<Node>>,
}

/// One piece of markup over a text. Nodes are in the order of their starts, outer ones first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub span: Span,
    #[serde(flatten)]
    pub kind: NodeKind,
}

/// A range of a text, end exclusive, in both units that clients count in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub char_start: usize,
    pub char_end: usize,
    /// Two for each UTF-16 code unit.
    pub utf16_byte_start: usize,
    pub utf16_byte_end: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NodeKind {
    Paragraph,
    /// Its span is empty.
    Break {
        name: Break,
    },
    Link {
        href: String,
    },
    List {
        name: List,
    },
    Table,
    Style {
        name: Style,
    },
    /// Its span is empty: the text holds nothing of an image.
    Image {
        alt: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Break {
    Br,
    Hr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum List {
    Ul,
    Ol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    Bold,
    Italic,
    Underline,
    Strike,
    Code,
}

/// What a comment says about an attachment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub name: String,
    /// Decoded bytes.
    pub size: u64,
    pub content_type: String,
    /// Lower-case hex of the SHA-256 of the decoded content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
    #[serde(default)]
    pub inline: bool,
}

/// What an email became.
#[derive(Clone, Debug)]
pub struct Converted {
    pub comment: Comment,
    /// The quoted history that is not in the body, as text.
    pub quoted: String,
    /// Where the content of each attachment of the comment is, by the same index; empty when the
    /// attachments come from [`crate::Delivery::listed`].
    pub files: Vec<File>,
    /// What was left out or guessed, each once, in the order of [`Note`].
    pub notes: Vec<Note>,
}

impl Converted {
    /// What storing this over `before` changes.
    pub fn change_from(&self, before: &Comment) -> Change {
        self.comment.change_from(before)
    }
}

/// How one version of a comment differs from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Unchanged,
    /// Only user properties differ.
    PropertiesOnly,
    /// Something else than properties and text.
    Other,
    /// The text of a subject, a body or a signature.
    Text,
}

impl Comment {
    /// Compares with the version that is stored. Text changes are what such platforms bill.
    pub fn change_from(&self, before: &Self) -> Change {
        let texts = |comment: &Self| {
            comment
                .messages
                .iter()
                .map(|message| {
                    let text =
                        |content: &Option<Content>| content.as_ref().map(|it| it.text.clone());
                    (text(&message.subject), message.body.text.clone(), text(&message.signature))
                })
                .collect::<Vec<_>>()
        };
        if self == before {
            Change::Unchanged
        } else if texts(self) != texts(before) {
            Change::Text
        } else if (Self { user_properties: before.user_properties.clone(), ..self.clone() })
            == *before
        {
            Change::PropertiesOnly
        } else {
            Change::Other
        }
    }
}
