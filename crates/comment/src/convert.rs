//! From the bytes of an email to a comment.

use std::{borrow::Cow, collections::BTreeMap};

use chrono::{DateTime, Utc};

use crate::{
    Context, Label, Line, MailboxProperty, TextFormat, Transform,
    comment::{
        Attachment, Comment, Content, Converted, MAX_TEXT_CHARS, MAX_THREAD_ID_CHARS, Message,
        Property, comment_id,
    },
    cut,
    guard::{Limits, Note, Notes},
    markup,
    mime::{self, Fields, date, end_of_fields, walk, words},
    people::{self, Person},
    text::Text,
};

mod attachments;
mod bodies;
mod original;

pub use original::{Html, Original, Remote, original};

/// What a bucket knows of an email beside its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The id of the email in its bucket: the `Message-ID` with brackets.
    pub email_id: &'a str,
    /// As delivered: an address, or the name of a file.
    pub mailbox: &'a str,
    /// When the email was received, as far as the deliverer knew.
    pub timestamp: DateTime<Utc>,
    pub metadata: &'a record::Metadata,
    /// Attachments that were delivered beside the message; taken if there are none in it.
    pub listed: &'a [Attachment],
}

/// A message that is delivered in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pieces<'a> {
    /// The header block. Fields about the content (`Content-Type`) are passed over.
    pub headers: &'a [u8],
    pub plain: Option<&'a str>,
    pub html: Option<&'a str>,
}

/// The id of an email by its header: the `Message-ID` with its brackets.
pub fn email_id(headers: &[u8]) -> Option<String> {
    let mut notes = Notes::default();
    let limits = Limits::default();
    let end = end_of_fields(headers, 0, &mut notes);
    let block = headers.get(..end.fields).unwrap_or_default();
    let value = Fields::new(block, &limits, &mut notes).value("Message-ID").map(words::decode)?;
    let id = match message_ids(&value).next() {
        Some(id) => id.to_owned(),
        None => value.trim().to_owned(),
    };
    (!id.is_empty()).then_some(id)
}

/// Makes the comment of an email.
///
/// The same bytes, delivery and transform make the same comment. Takes time and memory in
/// proportion to the message, a few times its size at most.
pub fn convert(raw: &[u8], delivery: &Delivery<'_>, transform: &Transform) -> Converted {
    let limits = Limits::default();
    let mut notes = Notes::default();
    let message = readable(raw, &limits, &mut notes);
    let mut parts = walk::walk(&message, &limits, &mut notes);
    let Some(root) = parts.first().map(|it| it.fields) else {
        return assemble(
            Fields::new(&[], &limits, &mut notes),
            Found::default(),
            delivery,
            transform,
            &limits,
            notes,
        );
    };
    let unwrapped = bodies::unwrap(&message, &parts);
    let (content, wrapper): (&[u8], _) = match &unwrapped {
        Some((inner, wrapper)) => {
            notes.add(Note::Unwrapped);
            parts = walk::walk(inner, &limits, &mut notes);
            (inner, Some(wrapper.clone()))
        }
        None => (&message, None),
    };
    let text = bodies::text(content, &parts, transform, &limits, &mut notes);
    let files = attachments::find(content, &parts, wrapper.as_ref(), &limits, &mut notes);
    assemble(root, Found { text, files }, delivery, transform, &limits, notes)
}

/// Makes the comment of a message that is delivered in pieces.
pub fn convert_pieces(
    pieces: &Pieces<'_>,
    delivery: &Delivery<'_>,
    transform: &Transform,
) -> Converted {
    let limits = Limits::default();
    let mut notes = Notes::default();
    let end = end_of_fields(pieces.headers, 0, &mut notes);
    let block = pieces.headers.get(..end.fields).unwrap_or_default();
    let fields = Fields::new(block, &limits, &mut notes);
    let text = bodies::choose(pieces.plain, pieces.html, transform, &limits, &mut notes);
    assemble(fields, Found { text, files: Vec::new() }, delivery, transform, &limits, notes)
}

/// Text and attachments, wherever they came from.
#[derive(Default)]
struct Found {
    text: Text,
    files: Vec<(Attachment, mime::File)>,
}

fn readable<'a>(raw: &'a [u8], limits: &Limits, notes: &mut Notes) -> Cow<'a, [u8]> {
    let cut = raw.get(..limits.message_bytes).unwrap_or(raw);
    if cut.len() < raw.len() {
        notes.add(Note::MessageTooLarge);
    }
    // Old Macintosh programs end lines so. One byte for another: all ranges stay right.
    if memchr::memchr(b'\n', cut).is_none() && memchr::memchr(b'\r', cut).is_some() {
        let lines = cut.iter().map(|it| if *it == b'\r' { b'\n' } else { *it });
        return Cow::Owned(lines.collect());
    }
    Cow::Borrowed(cut)
}

fn assemble(
    fields: Fields<'_>,
    found: Found,
    delivery: &Delivery<'_>,
    transform: &Transform,
    limits: &Limits,
    mut notes: Notes,
) -> Converted {
    let notes = &mut notes;
    let heads = Heads::read(fields, limits, notes);
    let from = heads.people(&["From"], limits, notes);
    let from = if from.is_empty() { heads.people(&["Sender"], limits, notes) } else { from };
    let to = heads.people(&["To"], limits, notes);
    let cc = heads.people(&["Cc"], limits, notes);
    let bcc = heads.people(&["Bcc"], limits, notes);
    let subject = heads.text("Subject");
    let sent_at = heads.value("Date").and_then(date::parse);
    if sent_at.is_none() {
        notes.add(Note::NoDate);
    }
    let received = delivery.metadata.received_at.unwrap_or(delivery.timestamp);
    let sender = from.first().map(|it| it.name.as_str()).unwrap_or_default();
    let parts = split(&found.text, &heads, &subject, sender, transform, notes);
    let domain_of = |people: &[Person]| people.iter().find_map(Person::domain);
    let recipient = domain_of(&to).or_else(|| domain_of(&cc)).or_else(|| domain_of(&bcc));
    let user_properties = properties(delivery, transform, domain_of(&from), recipient);
    let mut display =
        |people: &[Person]| people.iter().map(|it| it.display(notes)).collect::<Vec<_>>();
    let message = Message {
        from: display(&from).into_iter().next(),
        to: display(&to),
        cc: display(&cc),
        bcc: display(&bcc),
        sent_at,
        subject: (!subject.is_empty()).then(|| Content {
            text: subject.chars().take(MAX_TEXT_CHARS).collect(),
            text_markup: None,
        }),
        body: parts.body,
        signature: (!parts.signature.text.is_empty()).then_some(parts.signature),
    };
    let (attachments, files) = if found.files.is_empty() {
        (delivery.listed.iter().take(limits.attachments).cloned().collect(), Vec::new())
    } else {
        found.files.into_iter().unzip()
    };
    let comment = Comment {
        id: comment_id(delivery.email_id),
        timestamp: timestamp(sent_at, received),
        thread_id: Some(thread_id(&heads, delivery)),
        user_properties,
        messages: vec![message],
        text_format: match transform.text_format {
            TextFormat::Plain => "plain".to_owned(),
            TextFormat::Markup => "markdown".to_owned(),
        },
        attachments,
    };
    let notes = std::mem::take(notes).into_sorted();
    Converted { comment, quoted: parts.quoted, files, notes }
}

/// The fields that a comment is made of, found in one pass.
struct Heads<'a> {
    fields: Vec<(&'static str, &'a [u8])>,
}

impl<'a> Heads<'a> {
    const NAMES: [&'static str; 9] =
        ["From", "Sender", "To", "Cc", "Bcc", "Subject", "Date", "References", "In-Reply-To"];

    fn read(fields: Fields<'a>, limits: &Limits, notes: &mut Notes) -> Self {
        let mut kept = Vec::with_capacity(16);
        for field in fields.iter() {
            let name = Self::NAMES.iter().find(|it| field.name.eq_ignore_ascii_case(it.as_bytes()));
            if let Some(name) = name {
                kept.push((*name, field.value));
            }
        }
        if fields.iter().count() >= limits.headers {
            notes.add(Note::HeaderTooLarge);
        }
        Self { fields: kept }
    }

    fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.fields.iter().find(|it| it.0 == name).map(|it| it.1)
    }

    fn text(&self, name: &str) -> String {
        self.value(name).map(words::decode).unwrap_or_default()
    }

    fn people(&self, names: &[&str], limits: &Limits, notes: &mut Notes) -> Vec<Person> {
        let values = self.fields.iter().filter(|it| names.contains(&it.0)).map(|it| it.1);
        people::parse(values, limits, notes)
    }
}

/// When the email was sent, unless its date cannot be true.
fn timestamp(sent_at: Option<DateTime<Utc>>, received: DateTime<Utc>) -> DateTime<Utc> {
    // A clock may be wrong by a day, or in the wrong zone.
    let latest = received + chrono::TimeDelta::days(1);
    sent_at.filter(|it| *it <= latest).unwrap_or(received)
}

/// What ties the emails of a conversation together.
fn thread_id(heads: &Heads<'_>, delivery: &Delivery<'_>) -> String {
    // No database and no header has such characters in an id.
    let plain = |id: &str| id.chars().filter(|c| !c.is_control()).collect::<String>();
    let conversation = delivery.metadata.conversation_id.as_deref().map(plain).unwrap_or_default();
    let conversation = conversation.trim();
    if !conversation.is_empty() && conversation.len() <= MAX_THREAD_ID_CHARS {
        return conversation.to_owned();
    }
    let root = ["References", "In-Reply-To"].iter().find_map(|name| {
        let value = heads.text(name);
        message_ids(&value).next().map(str::to_owned)
    });
    // The first email of a conversation has no other id than its own.
    comment_id(&plain(root.as_deref().unwrap_or(delivery.email_id)))
}

/// The ids with angle brackets in a value.
fn message_ids(value: &str) -> impl Iterator<Item = &str> {
    value.split_inclusive('>').filter_map(|piece| {
        let id = piece.get(piece.rfind('<')?..)?;
        (id.len() > 2 && id.ends_with('>') && !id.contains(char::is_whitespace)).then_some(id)
    })
}

fn properties(
    delivery: &Delivery<'_>,
    transform: &Transform,
    sender: Option<String>,
    recipient: Option<String>,
) -> BTreeMap<String, Property> {
    let mailbox = match transform.mailbox_property {
        MailboxProperty::Absent => None,
        MailboxProperty::AsWritten => Some(delivery.mailbox.to_owned()),
        MailboxProperty::Normalized => Some(delivery.mailbox.to_lowercase()),
    };
    let folder = delivery.metadata.folder.join("/");
    [
        ("string:Folder", Some(folder)),
        ("string:Mailbox ID", mailbox),
        ("string:Sender Domain", sender),
        ("string:Recipient Domain", recipient),
    ]
    .into_iter()
    .filter_map(|(name, value)| {
        // A blank property says nothing, and clients drop it.
        let value = value.filter(|it| !it.trim().is_empty())?;
        Some((name.to_owned(), Property::Text(value)))
    })
    .collect()
}

struct Split {
    body: Content,
    signature: Content,
    quoted: String,
}

/// Separates the sender's words from quotes and signature.
fn split(
    text: &Text,
    heads: &Heads<'_>,
    subject: &str,
    sender: &str,
    transform: &Transform,
    notes: &mut Notes,
) -> Split {
    let lines: Vec<Line<'_>> =
        text.lines.iter().map(|at| Line { text: text.line(*at), hint: at.hint }).collect();
    let labels = if transform.cut_quotes || transform.separate_signature {
        let answers = heads.value("In-Reply-To").is_some() || heads.value("References").is_some();
        let (reply, forward) = cut::prefixes(subject);
        let context = Context { sender, reply: Some((answers || reply) && !forward), forward };
        cut::label(&lines, &context)
    } else {
        vec![Label::Body; lines.len()]
    };
    let label = |index: usize| match labels.get(index) {
        Some(Label::Quote) if transform.cut_quotes => Label::Quote,
        Some(Label::Signature) if transform.separate_signature => Label::Signature,
        _ => Label::Body,
    };
    let markup = transform.text_format == TextFormat::Markup;
    let mut pick = |wanted: Label, markup: bool, note: Note| {
        markup::pick(text, |index| label(index) == wanted, markup, note, notes)
    };
    Split {
        body: pick(Label::Body, markup, Note::BodyCut),
        signature: pick(Label::Signature, markup, Note::SignatureCut),
        quoted: pick(Label::Quote, false, Note::TextTooLong).text,
    }
}
