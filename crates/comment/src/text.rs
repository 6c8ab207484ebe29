//! Text in lines, with what the markup of an email says about each line.

use std::borrow::Cow;

use crate::{
    comment::NodeKind,
    guard::{Limits, Note, Notes},
};

/// What the markup of an email says about a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hint {
    #[default]
    None,
    /// Inside of what a mail program marked as a quote.
    Quote,
    /// Inside of a quote that anybody can have made.
    WeakQuote,
    /// The first line of the message that is answered or forwarded.
    Divider,
    /// Says who wrote what follows.
    Attribution,
    /// Inside of what a mail program marked as a signature.
    Signature,
}

/// Markup over a range of bytes.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: NodeKind,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct LineAt {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) hint: Hint,
}

/// Lines are separated by one `\n`; none ends in blanks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) lines: Vec<LineAt>,
    pub(crate) marks: Vec<Mark>,
}

impl Text {
    pub(crate) fn line(&self, at: LineAt) -> &str {
        self.text.get(at.start..at.end).unwrap_or_default()
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Adds a line.
    pub(crate) fn push(&mut self, line: &str, hint: Hint) {
        if !self.lines.is_empty() {
            self.text.push('\n');
        }
        let start = self.text.len();
        self.text.push_str(line);
        self.lines.push(LineAt { start, end: self.text.len(), hint });
    }

    /// Adds another text after a blank line.
    pub(crate) fn append(&mut self, other: Self) {
        if self.lines.is_empty() {
            *self = other;
            return;
        }
        self.push("", Hint::None);
        let offset = self.text.len() + 1;
        self.text.push('\n');
        self.text.push_str(&other.text);
        self.lines.extend(other.lines.into_iter().map(|it| LineAt {
            start: it.start + offset,
            end: it.end + offset,
            hint: it.hint,
        }));
        self.marks.extend(other.marks.into_iter().map(|it| Mark {
            start: it.start + offset,
            end: it.end + offset,
            kind: it.kind,
        }));
    }
}

/// How the lines of a plain text are to be put together (RFC 3676).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flow {
    pub(crate) flowed: bool,
    /// The blank at the end of a flowed line is not part of the text.
    pub(crate) delete_space: bool,
}

/// Reads plain text: any line breaks, no control characters, flowed lines joined.
pub(crate) fn from_plain(plain: &str, flow: Flow, limits: &Limits, notes: &mut Notes) -> Text {
    let mut text = Text::default();
    text.text.reserve(plain.len().min(limits.uncut_bytes));
    let mut joined: Option<(usize, String)> = None;
    let plain = &*with_plain_breaks(plain);
    for raw in split_lines(plain) {
        if text.lines.len() >= limits.lines || text.text.len() >= limits.uncut_bytes {
            notes.add(Note::TextTooLong);
            break;
        }
        if !flow.flowed {
            let room = limits.uncut_bytes.saturating_sub(text.text.len());
            push_plain(&mut text, clip(raw, room, notes));
            continue;
        }
        let quotes = raw.bytes().take_while(|it| *it == b'>').count();
        let content = raw.get(quotes..).unwrap_or_default();
        let content = content.strip_prefix(' ').unwrap_or(content);
        // The separator of a signature ends in a blank, but is not flowed (RFC 3676 §4.3).
        let is_flowed = content.ends_with(' ') && content != "-- ";
        let kept = if is_flowed && flow.delete_space {
            content.get(..content.len() - 1).unwrap_or_default()
        } else {
            content
        };
        match joined.take() {
            Some((depth, mut line)) if depth == quotes && content != "-- " => {
                line.push_str(kept);
                joined = Some((depth, line));
            }
            other => {
                push_flowed(&mut text, other);
                joined = Some((quotes, kept.to_owned()));
            }
        }
        let too_long = joined.as_ref().is_some_and(|it| it.1.len() >= limits.uncut_bytes);
        if !is_flowed || too_long {
            push_flowed(&mut text, joined.take());
        }
    }
    push_flowed(&mut text, joined);
    text
}

fn push_flowed(text: &mut Text, line: Option<(usize, String)>) {
    if let Some((quotes, line)) = line {
        match quotes {
            0 => push_plain(text, &line),
            _ => push_plain(text, &format!("{} {line}", ">".repeat(quotes.min(50)))),
        }
    }
}

fn push_plain(text: &mut Text, line: &str) {
    // The separator of a signature is known by its blank.
    let line = if line == "-- " { line } else { line.trim_end() };
    let clean = |it: char| !it.is_control() && !matches!(it, '\u{feff}' | '\u{200b}');
    if line.chars().all(clean) {
        text.push(line, Hint::None);
    } else {
        let kept: String = line
            .chars()
            .map(|it| if it == '\t' { ' ' } else { it })
            .filter(|it| clean(*it))
            .collect();
        text.push(&kept, Hint::None);
    }
}

/// Word ends lines within a paragraph with vertical tabs, some programs with separators of Unicode.
fn with_plain_breaks(text: &str) -> Cow<'_, str> {
    // Looked for one by one, since hardly any text has one, and this is quicker.
    let bytes = text.as_bytes();
    let has = |needle: &str| memchr::memmem::find(bytes, needle.as_bytes()).is_some();
    if memchr::memchr(b'\x0b', bytes).is_none() && !has("\u{2028}") && !has("\u{2029}") {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace(['\u{b}', '\u{2028}', '\u{2029}'], "\n"))
}

/// Splits at `\r\n`, `\n` and `\r`.
fn split_lines(text: &str) -> impl Iterator<Item = &str> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// The start of a text, at most `max` bytes.
fn clip<'a>(text: &'a str, max: usize, notes: &mut Notes) -> &'a str {
    if text.len() <= max {
        return text;
    }
    notes.add(Note::TextTooLong);
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}
