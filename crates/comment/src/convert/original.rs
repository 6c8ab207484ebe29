//! An email as its sender made it, in a form that is safe to show.

use std::{borrow::Cow, collections::HashMap};

use super::{attachments, bodies, bodies::Source, readable};
use crate::{
    Transform,
    comment::Attachment,
    guard::{Limits, Note, Notes},
    html::{
        clean::{Cleaner, MAX_BYTES, Page, TooMuch},
        picture,
    },
    mime::{Fields, File, transfer, walk, words},
};

/// Header fields that are shown, and characters of each.
const MAX_HEADERS: usize = 500;
const MAX_VALUE: usize = 8_192;
/// Attachments that are listed.
const MAX_FILES: usize = 1_000;
/// Decoded bytes of one picture in the text, and of all of them together.
const MAX_PICTURE: usize = 2 * 1024 * 1024;
const MAX_PICTURES: usize = 8 * 1024 * 1024;

/// Whether pictures may be loaded from other servers, which tells them who reads what and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Remote {
    #[default]
    Blocked,
    Pictures,
}

/// An email to be shown.
#[derive(Clone, Debug)]
pub struct Original {
    /// Names and values of the header fields, decoded, in their order.
    pub headers: Vec<(String, String)>,
    /// From the plain text, or else from the HTML. Nothing of it is cut as a quote.
    pub text: String,
    pub text_is_cut: bool,
    /// `None`: there is no HTML.
    pub html: Option<Html>,
    pub attachments: Vec<Attachment>,
    /// Where their contents are, by the same index.
    pub files: Vec<File>,
    /// The types of those that are pictures by their content, by the same index.
    pub pictures: Vec<Option<&'static str>>,
    pub notes: Vec<Note>,
}

/// The HTML of an email.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Html {
    Shown(Page),
    /// More than a mebibyte, or than 100,000 elements: the text is shown instead.
    TooLarge,
    /// More than 500 elements within each other: the text is shown instead.
    TooDeep,
}

/// Reads an email.
///
/// Takes time and memory in proportion to the message. The page holds no script, no style sheet
/// and nothing that a browser loads by itself, except pictures of `https:` with
/// [`Remote::Pictures`].
pub fn original(raw: &[u8], remote: Remote) -> Original {
    let limits = Limits { attachments: MAX_FILES, ..Limits::default() };
    let mut notes = Notes::default();
    let message = readable(raw, &limits, &mut notes);
    let mut parts = walk::walk(&message, &limits, &mut notes);
    let headers = parts.first().map(|root| headers(root.fields, &mut notes)).unwrap_or_default();
    let unwrapped = bodies::unwrap(&message, &parts);
    let (content, wrapper): (&[u8], _) = match &unwrapped {
        Some((inner, wrapper)) => {
            notes.add(Note::Unwrapped);
            parts = walk::walk(inner, &limits, &mut notes);
            (inner, Some(wrapper.clone()))
        }
        None => (&message, None),
    };
    let found = attachments::find(content, &parts, wrapper.as_ref(), &limits, &mut notes);
    let (attachments, files): (Vec<_>, Vec<File>) = found.into_iter().unzip();
    let text = bodies::text(content, &parts, &Transform::default(), &limits, &mut notes).text;
    let sources = bodies::sources(content, &parts, &limits, &mut notes);
    let html = sources.iter().any(|it| matches!(it, Source::Html(_)));
    let html = html.then(|| clean(&sources, remote, &mut Inline::new(content, &files)));
    let pictures = files.iter().map(|file| kind(content, file)).collect();
    let text_is_cut = notes.has(Note::TextTooLong);
    let notes = notes.into_sorted();
    Original { headers, text, text_is_cut, html, attachments, files, pictures, notes }
}

fn headers(fields: Fields<'_>, notes: &mut Notes) -> Vec<(String, String)> {
    let mut shown = Vec::new();
    for field in fields.iter() {
        if shown.len() >= MAX_HEADERS {
            notes.add(Note::HeaderTooLarge);
            break;
        }
        // A character has four bytes at most; more than that need not be decoded.
        let value = field.value.get(..MAX_VALUE * 4).unwrap_or(field.value);
        let value = words::decode(value);
        let cut: String = value.chars().take(MAX_VALUE).collect();
        if cut.len() < value.len() || field.value.len() > MAX_VALUE * 4 {
            notes.add(Note::FieldCut);
        }
        let name = String::from_utf8_lossy(field.name).chars().take(256).collect();
        shown.push((name, cut));
    }
    shown
}

fn clean(sources: &[Source<'_>], remote: Remote, inline: &mut Inline<'_>) -> Html {
    let size = |source: &Source<'_>| match source {
        Source::Html(text) | Source::Plain(text) => text.len(),
    };
    if sources.iter().map(size).sum::<usize>() > MAX_BYTES {
        return Html::TooLarge;
    }
    let mut find = |url: &str| inline.picture(url);
    let mut cleaner = Cleaner::new(remote == Remote::Pictures, &mut find);
    for source in sources {
        match source {
            Source::Plain(text) => cleaner.add_plain(text),
            Source::Html(html) => match cleaner.add(html) {
                Ok(()) => {}
                Err(TooMuch::Large) => return Html::TooLarge,
                Err(TooMuch::Deep) => return Html::TooDeep,
            },
        }
    }
    Html::Shown(cleaner.finish())
}

/// The type of an attachment that is a picture.
fn kind(content: &[u8], file: &File) -> Option<&'static str> {
    let mut start = Vec::new();
    let mut decoder = file.at.decoder(content);
    while start.len() < picture::START && decoder.decode_piece(&mut start) {}
    picture::kind(&start).filter(|_| !picture::is_huge(&start))
}

/// Pictures that come with the message.
struct Inline<'a> {
    content: &'a [u8],
    by_id: HashMap<String, &'a File>,
    /// What became of each; a text can name one ten thousand times.
    made: HashMap<String, Option<String>>,
    left: usize,
}

impl<'a> Inline<'a> {
    fn new(content: &'a [u8], files: &'a [File]) -> Self {
        let mut by_id = HashMap::new();
        for file in files {
            if let Some(id) = file.content_id.as_deref() {
                by_id.entry(id.to_ascii_lowercase()).or_insert(file);
            }
        }
        Self { content, by_id, made: HashMap::new(), left: MAX_PICTURES }
    }

    fn picture(&mut self, url: &str) -> Option<String> {
        let Some(id) = url.strip_prefix("cid:") else {
            let bytes = picture::from_data_url(url, MAX_PICTURE)?;
            let made = picture::data_url(&bytes)?;
            self.left = self.left.checked_sub(made.len())?;
            return Some(made);
        };
        let id = id.to_ascii_lowercase();
        if !self.made.contains_key(&id) {
            let made = self.by_id.get(&id).and_then(|file| self.read(file));
            self.made.insert(id.clone(), made);
        }
        let made = self.made.get(&id)?.as_ref()?;
        // Before it is copied: what does not fit may be named again and again.
        self.left = self.left.checked_sub(made.len())?;
        Some(made.clone())
    }

    fn read(&self, file: &File) -> Option<String> {
        kind(self.content, file)?;
        let encoded: Cow<'_, [u8]> = self.content.get(file.at.range.clone())?.into();
        let bytes = transfer::decode(&encoded, file.at.encoding, MAX_PICTURE + 1);
        if bytes.len() > MAX_PICTURE { None } else { picture::data_url(&bytes) }
    }
}
