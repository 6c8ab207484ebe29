//! One item of a mailbox, and what a test can say about it when it delivers it.

use chrono::{DateTime, Utc};
use memchr::memmem;

use super::{
    content::Content,
    id::{FolderNo, ItemNo},
    mime,
};
use crate::generate::Recipe;

/// A message to be put into a folder. What is known of it is taken from its header, and can
/// be changed before it is delivered.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub content: Content,
    /// `None`: the item has no `DateTimeReceived`.
    pub received: Option<DateTime<Utc>>,
    /// `None`: the server knows no Message-ID, whatever the header says.
    pub message_id: Option<String>,
    /// Subject without `Re:` and the like.
    pub topic: String,
    /// `IPM.Note`, `IPM.Schedule.Meeting.Request`, `REPORT.IPM.Note.NDR`, …
    pub class: String,
    pub is_read: bool,
    pub is_draft: bool,
    pub has_attachments: bool,
    pub categories: Vec<String>,
    /// `Low`, `Normal` or `High`.
    pub importance: &'static str,
    /// `Normal`, `Personal`, `Private` or `Confidential`.
    pub sensitivity: &'static str,
    /// `None`: a new one. Copies share theirs.
    pub search_key: Option<[u8; 16]>,
    /// Digits after the second in the dates of this item.
    pub date_digits: usize,
}

impl Delivery {
    pub fn new(content: impl Into<Content>, received: DateTime<Utc>) -> Self {
        let content = content.into();
        let start = content.start().unwrap_or_default();
        Self::described(content, &start, received)
    }

    /// A generated message.
    pub fn recipe(recipe: Recipe, received: DateTime<Utc>) -> Self {
        let message = recipe.write();
        let content = Content::Mail { recipe, size: message.len() as u64 };
        Self::described(content, &message, received)
    }

    /// `start` is what is needed of the content to describe it.
    fn described(content: Content, start: &[u8], received: DateTime<Utc>) -> Self {
        let head = start.get(..mime::head_length(start).unwrap_or(start.len()));
        let fields = mime::fields(head.unwrap_or_default());
        let field = |name: &str| mime::find(&fields, name).unwrap_or_default();
        let message_id = field("Message-ID").to_owned();
        let importance = match field("Importance").to_ascii_lowercase().as_str() {
            "high" => "High",
            "low" => "Low",
            _ => "Normal",
        };
        let sensitivity = match field("Sensitivity").to_ascii_lowercase().as_str() {
            "personal" => "Personal",
            "private" => "Private",
            "company-confidential" => "Confidential",
            _ => "Normal",
        };
        Self {
            received: Some(received),
            message_id: (!message_id.is_empty()).then_some(message_id),
            topic: topic(&mime::decode_words(field("Subject"))).to_owned(),
            class: class(field("Content-Type")).to_owned(),
            is_read: false,
            is_draft: false,
            has_attachments: memmem::find(start, b"Content-Disposition: attachment").is_some(),
            categories: Vec::new(),
            importance,
            sensitivity,
            search_key: None,
            date_digits: 0,
            content,
        }
    }

    #[must_use]
    pub fn class(mut self, class: &str) -> Self {
        class.clone_into(&mut self.class);
        self
    }

    #[must_use]
    pub fn without_received(mut self) -> Self {
        self.received = None;
        self
    }

    #[must_use]
    pub fn without_message_id(mut self) -> Self {
        self.message_id = None;
        self
    }

    #[must_use]
    pub fn date_digits(mut self, digits: usize) -> Self {
        self.date_digits = digits;
        self
    }

    #[must_use]
    pub fn draft(mut self) -> Self {
        self.is_draft = true;
        self
    }

    #[must_use]
    pub fn read(mut self) -> Self {
        self.is_read = true;
        self
    }

    #[must_use]
    pub fn category(mut self, name: &str) -> Self {
        self.categories.push(name.to_owned());
        self
    }
}

/// An item as the mailbox keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) no: ItemNo,
    pub(crate) folder: FolderNo,
    /// Sequence number of its arrival in the folder.
    pub(crate) created: u64,
    /// Sequence number of its entry in the folder's log.
    pub(crate) logged: u64,
    pub(crate) version: u32,
    pub(crate) search_key: [u8; 16],
    /// The number that it had when it came into the mailbox; moves within it keep this one.
    pub(crate) immutable: ItemNo,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) modified_at: DateTime<Utc>,
    pub(crate) delivery: Delivery,
}

/// The element that stands for an item of `class`.
pub(crate) fn element(class: &str) -> &'static str {
    let starts = |with: &str| {
        class.len() >= with.len()
            && class.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    if starts("IPM.Schedule.Meeting.Request") {
        "t:MeetingRequest"
    } else if starts("IPM.Schedule.Meeting.Resp") {
        "t:MeetingResponse"
    } else if starts("IPM.Schedule.Meeting.Canceled") {
        "t:MeetingCancellation"
    } else if starts("IPM.Schedule") {
        "t:MeetingMessage"
    } else if starts("IPM.Appointment") {
        "t:CalendarItem"
    } else if starts("IPM.Contact") {
        "t:Contact"
    } else if starts("IPM.Task") {
        "t:Task"
    } else if starts("IPM.Post") {
        "t:PostItem"
    } else if starts("IPM.Sharing") {
        "t:SharingMessage"
    } else if starts("IPM.Note") || starts("REPORT") || starts("IPM.Outlook.Recall") {
        "t:Message"
    } else {
        "t:Item"
    }
}

/// The class that a message has by its content type.
fn class(content_type: &str) -> &'static str {
    let lower = content_type.to_ascii_lowercase();
    if lower.starts_with("multipart/report") && lower.contains("delivery-status") {
        "REPORT.IPM.Note.NDR"
    } else if lower.starts_with("multipart/report") && lower.contains("disposition-notification") {
        "REPORT.IPM.Note.IPNRN"
    } else if lower.starts_with("text/calendar") && lower.contains("method=request") {
        "IPM.Schedule.Meeting.Request"
    } else {
        "IPM.Note"
    }
}

/// `subject` without the marks of replies and forwards.
fn topic(subject: &str) -> &str {
    let mut topic = subject.trim();
    while let Some((mark, rest)) = topic.split_once(':') {
        if !matches!(mark.to_ascii_lowercase().as_str(), "re" | "fw" | "fwd" | "aw" | "wg" | "tr") {
            break;
        }
        topic = rest.trim();
    }
    topic
}
