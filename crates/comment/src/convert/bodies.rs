//! Chooses the parts that are the text of an email, and reads them.

use std::borrow::Cow;

use crate::{
    TextFormat, Transform, charset,
    guard::{Limits, Note, Notes},
    html,
    mime::{
        self, Location,
        transfer::{self, Encoding},
        walk::Part,
    },
    text::{self, Flow, Text},
};

/// The signed message inside of an opaque S/MIME signature, if the email is one.
pub(super) fn unwrap(message: &[u8], parts: &[Part<'_>]) -> Option<(Vec<u8>, Location)> {
    let root = parts.first()?;
    let is_smime =
        matches!(root.kind.value.as_str(), "application/pkcs7-mime" | "application/x-pkcs7-mime");
    let location = Location { range: root.body.clone(), encoding: root.encoding };
    let content = is_smime.then(|| mime::unwrap(message, &location)).flatten()?;
    Some((content, location))
}

/// Whether a part is text that is shown, not an attachment.
pub(super) fn is_body(part: &Part<'_>, first: bool) -> bool {
    let kind = part.kind.value.as_str();
    let text = matches!(kind, "text/plain" | "text/html" | "text/enriched" | "text/richtext")
        || first && matches!(kind, "message/partial" | "text/unknown" | "text/x-unknown");
    if part.open || !text {
        return false;
    }
    let disposition = part.fields.value("Content-Disposition").unwrap_or_default();
    let attached = disposition.trim_ascii_start().get(..10);
    if attached.is_some_and(|it| it.eq_ignore_ascii_case(b"attachment")) {
        return false;
    }
    // A text with a name is a file that the mail program shows, unless it is all there is.
    let named = part.kind.bytes("name").is_some()
        || disposition.to_ascii_lowercase().windows(9).any(|it| it == b"filename=");
    first || !named
}

/// Texts that say the same in different forms; else one text.
#[derive(Default)]
struct Choice {
    alternative: Option<usize>,
    plain: Vec<usize>,
    html: Vec<usize>,
}

/// The text of a message.
pub(super) fn text(
    message: &[u8],
    parts: &[Part<'_>],
    transform: &Transform,
    limits: &Limits,
    notes: &mut Notes,
) -> Text {
    let mut whole = Text::default();
    for choice in choices(parts) {
        if whole.text.len() >= limits.uncut_bytes {
            notes.add(Note::TextTooLong);
            break;
        }
        let one = read_choice(message, parts, &choice, transform, limits, notes);
        if !one.is_blank() {
            whole.append(one);
        }
    }
    if whole.is_blank()
        && let Some(event) = parts.iter().find(|it| it.kind.value == "text/calendar")
    {
        whole = super::attachments::event_text(message, event, limits);
    }
    if whole.is_blank() {
        notes.add(Note::NoText);
    }
    whole
}

fn choices(parts: &[Part<'_>]) -> Vec<Choice> {
    /// Texts that are put together to one.
    const MAX: usize = 200;
    let mut choices: Vec<Choice> = Vec::new();
    let mut first = true;
    for (index, part) in parts.iter().enumerate() {
        if !is_body(part, first) {
            continue;
        }
        first = false;
        let alternative = alternative_around(parts, index);
        let same =
            choices.last().is_some_and(|it| alternative.is_some() && it.alternative == alternative);
        if !same {
            if choices.len() >= MAX {
                break;
            }
            choices.push(Choice { alternative, ..Choice::default() });
        }
        if let Some(choice) = choices.last_mut() {
            let list = if is_markup(part) { &mut choice.html } else { &mut choice.plain };
            if list.len() < MAX {
                list.push(index);
            }
        }
    }
    choices
}

fn is_markup(part: &Part<'_>) -> bool {
    part.kind.value != "text/plain" && part.kind.value.starts_with("text/")
}

/// The outermost `multipart/alternative` around a part.
fn alternative_around(parts: &[Part<'_>], index: usize) -> Option<usize> {
    let mut found = None;
    let mut at = parts.get(index)?.parent;
    while let Some(parent) = at {
        let part = parts.get(parent)?;
        if part.kind.value == "multipart/alternative" {
            found = Some(parent);
        }
        at = part.parent;
    }
    found
}

fn read_choice(
    message: &[u8],
    parts: &[Part<'_>],
    choice: &Choice,
    transform: &Transform,
    limits: &Limits,
    notes: &mut Notes,
) -> Text {
    let all = |list: &[usize], notes: &mut Notes| {
        let mut text = Text::default();
        for part in list.iter().filter_map(|it| parts.get(*it)) {
            if text.text.len() < limits.uncut_bytes {
                text.append(read(message, part, transform, limits, notes));
            }
        }
        text
    };
    let size = |list: &[usize]| -> usize {
        list.iter().filter_map(|it| parts.get(*it)).map(|it| it.body.len()).sum()
    };
    let html_size = size(&choice.html);
    let html_first = transform.text_format == TextFormat::Markup && html_size <= limits.html_bytes;
    if choice.plain.is_empty() || html_first && !choice.html.is_empty() {
        let html = all(&choice.html, notes);
        return if html.is_blank() { all(&choice.plain, notes) } else { html };
    }
    let plain = all(&choice.plain, notes);
    if choice.html.is_empty() || !is_stub(&plain, html_size) {
        return plain;
    }
    let html = all(&choice.html, notes);
    if html.text.trim().len() > plain.text.trim().len() * 2 { html } else { plain }
}

/// Whether a plain text may be only an excuse for the HTML beside it.
fn is_stub(plain: &Text, html_size: usize) -> bool {
    let length = plain.text.trim().len();
    length == 0 || length < 300 && html_size > 20 * length
}

/// Of two forms of the same text, the better one. For a message that comes in pieces.
pub(super) fn choose(
    plain: Option<&str>,
    html: Option<&str>,
    transform: &Transform,
    limits: &Limits,
    notes: &mut Notes,
) -> Text {
    let from_html = |html: &str, notes: &mut Notes| {
        let cut = html.get(..html.floor_char_boundary(limits.html_bytes)).unwrap_or(html);
        if cut.len() < html.len() {
            notes.add(Note::TextTooLong);
        }
        render(cut, transform, limits, notes)
    };
    let markup = transform.text_format == TextFormat::Markup;
    let text = match (plain, html) {
        (Some(plain), Some(html)) if !markup || html.len() > limits.html_bytes => {
            let text = text::from_plain(plain, Flow::default(), limits, notes);
            if is_stub(&text, html.len()) {
                let other = from_html(html, notes);
                if other.text.trim().len() > text.text.trim().len() * 2 { other } else { text }
            } else {
                text
            }
        }
        (_, Some(html)) => from_html(html, notes),
        (Some(plain), None) => text::from_plain(plain, Flow::default(), limits, notes),
        (None, None) => Text::default(),
    };
    if text.is_blank() {
        notes.add(Note::NoText);
    }
    text
}

/// Reads what is said to be HTML. Some deliverers say so of every text: one without any markup
/// keeps its lines, and its addresses in angle brackets.
fn render(text: &str, transform: &Transform, limits: &Limits, notes: &mut Notes) -> Text {
    if !html::has_markup(text) {
        return text::from_plain(text, Flow::default(), limits, notes);
    }
    let options = html::Options { markup: transform.text_format == TextFormat::Markup };
    html::render(text, options, limits, notes)
}

/// The texts of a message as they came, if one of them is HTML.
pub(super) enum Source<'a> {
    Html(Cow<'a, str>),
    Plain(Cow<'a, str>),
}

/// What a mail program shows: of each text its HTML, or else its plain form.
pub(super) fn sources<'a>(
    message: &'a [u8],
    parts: &[Part<'_>],
    limits: &Limits,
    notes: &mut Notes,
) -> Vec<Source<'a>> {
    let mut found = Vec::new();
    let mut size = 0;
    for choice in choices(parts) {
        let list = if choice.html.is_empty() { &choice.plain } else { &choice.html };
        for part in list.iter().filter_map(|it| parts.get(*it)) {
            // One more than is shown tells that there is more.
            if size > limits.html_bytes {
                return found;
            }
            let text = decode(message, part, limits, notes);
            size += text.len();
            let html = is_markup(part) || looks_like_html(&text);
            found.push(if html { Source::Html(text) } else { Source::Plain(text) });
        }
    }
    found
}

fn looks_like_html(text: &str) -> bool {
    let start = text.trim_start().get(..15).unwrap_or_default().to_ascii_lowercase();
    start.starts_with("<html") || start.starts_with("<!doctype html")
}

/// Reads one text part.
fn read(
    message: &[u8],
    part: &Part<'_>,
    transform: &Transform,
    limits: &Limits,
    notes: &mut Notes,
) -> Text {
    let text = decode(message, part, limits, notes);
    if is_markup(part) || looks_like_html(&text) {
        return render(&text, transform, limits, notes);
    }
    let start = text.trim_start().get(..15).unwrap_or_default().to_ascii_lowercase();
    if start.starts_with("-----begin pgp ") && text.contains("BEGIN PGP MESSAGE") {
        notes.add(Note::Encrypted);
    }
    let parameter = |name: &str, value: &[u8]| {
        part.kind.bytes(name).is_some_and(|it| it.eq_ignore_ascii_case(value))
    };
    let flow =
        Flow { flowed: parameter("format", b"flowed"), delete_space: parameter("delsp", b"yes") };
    text::from_plain(&text, flow, limits, notes)
}

/// The characters of one text part, as many as are looked at.
fn decode<'a>(
    message: &'a [u8],
    part: &Part<'_>,
    limits: &Limits,
    notes: &mut Notes,
) -> Cow<'a, str> {
    let encoded = message.get(part.body.clone()).unwrap_or_default();
    let markup = is_markup(part);
    let max = if markup { limits.html_bytes } else { limits.text_bytes };
    let bytes: Cow<'_, [u8]> = if part.encoding == Encoding::Identity {
        Cow::Borrowed(encoded.get(..max).unwrap_or(encoded))
    } else {
        Cow::Owned(transfer::decode(encoded, part.encoding, max))
    };
    if bytes.len() >= max {
        notes.add(Note::TextTooLong);
    }
    let label = part.kind.bytes("charset");
    let label = label.or_else(|| if markup { charset_in_html(&bytes) } else { None });
    let decoded = match &bytes {
        // Borrowed from the message, so that nothing need be copied.
        Cow::Borrowed(bytes) => charset::decode(bytes, label),
        Cow::Owned(bytes) => {
            let decoded = charset::decode(bytes, label);
            let text = Cow::Owned(decoded.text.into_owned());
            charset::Decoded { text, guessed: decoded.guessed }
        }
    };
    if decoded.guessed {
        notes.add(Note::UnreadableCharacters);
    }
    decoded.text
}

/// The character set that an HTML text names in its head.
fn charset_in_html(html: &[u8]) -> Option<&[u8]> {
    const HEAD: usize = 2_048;
    let head = html.get(..HEAD).unwrap_or(html);
    let at = memchr::memmem::find(&head.to_ascii_lowercase(), b"charset=")?;
    let value = head.get(at + 8..)?;
    let value = value.strip_prefix(b"\"").or_else(|| value.strip_prefix(b"'")).unwrap_or(value);
    let length = value
        .iter()
        .take_while(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b':' | b'.'))
        .count();
    value.get(..length).filter(|it| !it.is_empty())
}
