//! HTML to lines of text, with hints and markup.

use crate::{
    comment::{Break, MAX_HREF_CHARS, MAX_NODES, NodeKind, Style},
    guard::{Limits, Note, Notes},
    html::{
        elements::{Tag, Told},
        entities,
        tokens::{Token, Tokens},
    },
    text::{Hint, LineAt, Mark, Text},
};

/// Elements that are open at a time; deeper ones break lines, but mean nothing else.
const MAX_OPEN: usize = 500;
/// How far back the element is looked for that an end tag closes.
const MAX_CLOSED: usize = 64;
/// A mark whose text has not begun.
const NOT_BEGUN: usize = usize::MAX;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) markup: bool,
}

/// The text of an HTML body.
pub(crate) fn render(html: &str, options: Options, limits: &Limits, notes: &mut Notes) -> Text {
    let mut render = Render {
        text: Text::default(),
        open: Vec::new(),
        hidden: 0,
        pre: 0,
        breaks: 0,
        at_start: true,
        space: false,
        cell: false,
        divider: false,
        prefix: None,
        unbegun: Vec::new(),
        options,
    };
    for token in Tokens::new(html) {
        match token {
            Token::Text(text) => render.text(text),
            Token::Open { name, attributes } => render.open(name, attributes),
            Token::Close { name } => render.close(name),
        }
        let text = &render.text;
        if text.text.len() >= limits.uncut_bytes || text.lines.len() >= limits.lines {
            notes.add(Note::TextTooLong);
            break;
        }
    }
    render.finish(limits, notes)
}

struct Element {
    tag: Tag,
    /// In force inside of it, from itself or from around it.
    hint: Hint,
    hidden: bool,
    tight: bool,
    /// Number of the next item of a list.
    item: Option<u32>,
    mark: Option<usize>,
}

struct Render {
    text: Text,
    open: Vec<Element>,
    /// Open elements that are hidden, and that keep blanks.
    hidden: usize,
    pre: usize,
    /// Line breaks to write before the next visible character.
    breaks: usize,
    /// Nothing visible is on the line.
    at_start: bool,
    /// A blank, or the end of a table cell, to write before the next visible character.
    space: bool,
    cell: bool,
    /// The next line is the first of another message.
    divider: bool,
    /// Bullet or number to write before the next visible character.
    prefix: Option<String>,
    /// Marks that wait for their first character.
    unbegun: Vec<usize>,
    options: Options,
}

impl Render {
    fn open(&mut self, name: &str, attributes: &str) {
        let Some(tag) = Tag::from_name(name) else { return };
        let told = Told::read(tag, attributes);
        self.divider |= told.divides && self.hidden == 0;
        match tag {
            Tag::Br => {
                self.add_break(Break::Br);
                self.breaks = (self.breaks + 1).min(2);
                self.at_start = true;
                return;
            }
            Tag::Hr => {
                self.need_breaks(1);
                self.add_break(Break::Hr);
                return;
            }
            Tag::Image => {
                self.add_image(told.alt.as_deref().unwrap_or_default());
                return;
            }
            Tag::Paragraph => {
                self.close_implied(tag, &[Tag::Cell, Tag::Item, Tag::Block, Tag::Blockquote])
            }
            Tag::Item => self.close_implied(tag, &[]),
            Tag::Cell | Tag::Row => self.close_implied(tag, &[Tag::Table]),
            _ => {}
        }
        let tight = told.tight;
        self.break_around(tag, tight);
        let outer = self.open.last().map(|it| it.hint).unwrap_or_default();
        let hint = match (outer, told.hint) {
            (Hint::Quote, _) | (_, None) => outer,
            (_, Some(hint)) => hint,
        };
        if tag == Tag::Item {
            self.prefix = Some(self.next_bullet());
        }
        if self.open.len() >= MAX_OPEN {
            return;
        }
        let mark = self.begin_mark(tag, told.href);
        self.hidden += usize::from(told.hidden);
        self.pre += usize::from(tag == Tag::Pre);
        let item = matches!(tag, Tag::List(_)).then(|| told.start.unwrap_or(1));
        self.open.push(Element { tag, hint, hidden: told.hidden, tight, item, mark });
    }

    fn close(&mut self, name: &str) {
        let Some(tag) = Tag::from_name(name) else { return };
        if tag.is_void() {
            if tag == Tag::Br {
                self.breaks = (self.breaks + 1).min(2);
            }
            return;
        }
        let same = |it: &Element| match (it.tag, tag) {
            (Tag::List(_), Tag::List(_)) => true,
            (one, other) => one == other,
        };
        let above = self.open.iter().rev().take(MAX_CLOSED).position(same);
        match above {
            Some(above) => self.close_to(self.open.len() - 1 - above),
            None => self.break_around(tag, true),
        }
    }

    /// Closes the open elements from `length` on.
    fn close_to(&mut self, length: usize) {
        while self.open.len() > length {
            let Some(element) = self.open.pop() else { break };
            self.hidden -= usize::from(element.hidden);
            self.pre -= usize::from(element.tag == Tag::Pre);
            self.break_around(element.tag, element.tight);
            if element.tag == Tag::Cell {
                self.cell = true;
            }
            if let Some(mark) = element.mark.and_then(|it| self.text.marks.get_mut(it)) {
                mark.end = self.text.text.len();
            }
        }
    }

    /// Closes an open element that the same element ends: `<li>` after `<li>`.
    fn close_implied(&mut self, tag: Tag, barriers: &[Tag]) {
        for (above, element) in self.open.iter().rev().take(8).enumerate() {
            if element.tag == tag {
                self.close_to(self.open.len() - 1 - above);
                return;
            }
            let list = tag == Tag::Item && matches!(element.tag, Tag::List(_));
            if list || barriers.contains(&element.tag) {
                return;
            }
        }
    }

    fn break_around(&mut self, tag: Tag, tight: bool) {
        match tag {
            Tag::Paragraph if !tight => self.need_breaks(2),
            Tag::Heading => self.need_breaks(2),
            _ if tag.is_block() => self.need_breaks(1),
            _ => {}
        }
    }

    fn need_breaks(&mut self, count: usize) {
        self.breaks = self.breaks.max(count);
        self.at_start = true;
        self.space = false;
        self.cell = false;
    }

    fn next_bullet(&mut self) -> String {
        let list = self.open.iter_mut().rev().take(MAX_CLOSED).find(|it| it.item.is_some());
        match list {
            Some(Element {
                tag: Tag::List(crate::comment::List::Ol), item: Some(number), ..
            }) => {
                let bullet = format!("{number}. ");
                *number = number.saturating_add(1);
                bullet
            }
            _ => "- ".to_owned(),
        }
    }

    fn text(&mut self, raw: &str) {
        if self.hidden > 0 {
            return;
        }
        let decoded = entities::decode(raw);
        if self.pre > 0 {
            for (index, line) in decoded.split('\n').enumerate() {
                if index > 0 {
                    self.breaks = (self.breaks + 1).min(2);
                    self.at_start = true;
                }
                self.words(line.trim_end(), true);
            }
        } else {
            self.words(&decoded, false);
        }
    }

    /// Writes text; runs of blanks become one, unless `keep`.
    fn words(&mut self, text: &str, keep: bool) {
        let mut blank_seen = false;
        let mut run = 0;
        for (at, character) in text.char_indices() {
            let blank = character == '\u{a0}' || character.is_whitespace();
            let nothing = matches!(character, '\u{200b}' | '\u{feff}' | '\u{ad}' | '\u{34f}')
                || character.is_control() && !blank
                || self.at_start && matches!(character, '\u{200c}' | '\u{200d}' | '\u{200e}');
            if !blank && !nothing {
                if self.at_start || self.space || self.cell {
                    self.write(text.get(run..at).unwrap_or_default());
                    self.begin_character(blank_seen && keep);
                    run = at;
                }
                continue;
            }
            self.write(text.get(run..at).unwrap_or_default());
            run = at + character.len_utf8();
            blank_seen |= blank;
            if blank && !self.at_start {
                if keep {
                    self.text.text.push(' ');
                } else {
                    self.space = true;
                }
            } else if character == '\u{a0}' {
                // A line of nothing but this blank is how editors write an empty line.
                self.breaks = 2;
            }
        }
        self.write(text.get(run..).unwrap_or_default());
    }

    fn write(&mut self, text: &str) {
        self.text.text.push_str(text);
    }

    /// Brings the text to where the next visible character belongs.
    fn begin_character(&mut self, indented: bool) {
        if self.at_start {
            self.begin_line();
            if indented && self.prefix.is_none() {
                self.text.text.push_str("  ");
            }
        } else if self.cell {
            self.text.text.push('\t');
        } else if self.space {
            self.text.text.push(' ');
        }
        self.at_start = false;
        self.space = false;
        self.cell = false;
        self.begin_marks();
        if let Some(prefix) = self.prefix.take() {
            self.text.text.push_str(&prefix);
        }
    }

    fn begin_line(&mut self) {
        let hint = match self.open.last().map(|it| it.hint).unwrap_or_default() {
            Hint::None | Hint::WeakQuote if self.divider => Hint::Divider,
            hint => hint,
        };
        if !self.text.lines.is_empty() {
            self.end_line();
            for _ in 1..self.breaks.min(2) {
                self.text.text.push('\n');
                let at = self.text.text.len();
                self.text.lines.push(LineAt { start: at, end: at, hint: Hint::None });
            }
            self.text.text.push('\n');
        }
        self.divider = false;
        self.breaks = 0;
        let at = self.text.text.len();
        self.text.lines.push(LineAt { start: at, end: at, hint });
    }

    fn end_line(&mut self) {
        let length = self.text.text.trim_end_matches([' ', '\t']).len();
        if let Some(line) = self.text.lines.last_mut() {
            // `-- ` keeps its blank: it is the separator of a signature.
            self.text.text.truncate(length.max(line.start));
            line.end = self.text.text.len();
        }
    }

    fn begin_mark(&mut self, tag: Tag, href: Option<String>) -> Option<usize> {
        let kind = match tag {
            _ if !self.options.markup => return None,
            Tag::Anchor => NodeKind::Link {
                href: href.filter(|it| it.len() <= MAX_HREF_CHARS && !it.starts_with('#'))?,
            },
            Tag::Styled(name) => NodeKind::Style { name },
            Tag::Heading => NodeKind::Style { name: Style::Bold },
            Tag::Paragraph => NodeKind::Paragraph,
            Tag::List(name) => NodeKind::List { name },
            Tag::Table => NodeKind::Table,
            _ => return None,
        };
        self.add_mark(kind, NOT_BEGUN)
    }

    fn add_mark(&mut self, kind: NodeKind, start: usize) -> Option<usize> {
        // More than a comment can hold, since quotes are still to be cut.
        if self.text.marks.len() >= 4 * MAX_NODES {
            return None;
        }
        let index = self.text.marks.len();
        self.text.marks.push(Mark { start, end: start, kind });
        if start == NOT_BEGUN {
            self.unbegun.push(index);
        }
        Some(index)
    }

    fn begin_marks(&mut self) {
        let start = self.text.text.len();
        for index in self.unbegun.drain(..) {
            // One that was closed without text has an end, and stays empty.
            if let Some(mark) = self.text.marks.get_mut(index).filter(|it| it.end == NOT_BEGUN) {
                mark.start = start;
            }
        }
    }

    fn add_break(&mut self, name: Break) {
        if self.options.markup && self.hidden == 0 {
            self.add_mark(NodeKind::Break { name }, self.text.text.len());
        }
    }

    fn add_image(&mut self, alt: &str) {
        if self.options.markup && self.hidden == 0 {
            let alt = alt.chars().filter(|it| !it.is_control()).take(1_000).collect();
            self.add_mark(NodeKind::Image { alt }, self.text.text.len());
        }
    }

    fn finish(mut self, limits: &Limits, notes: &mut Notes) -> Text {
        self.close_to(0);
        if self.text.text.len() > limits.uncut_bytes {
            notes.add(Note::TextTooLong);
            let length = self.text.text.floor_char_boundary(limits.uncut_bytes);
            self.text.text.truncate(length);
            self.text.lines.retain(|it| it.start <= length);
        }
        self.end_line();
        let length = self.text.text.len();
        self.text.marks.retain(|it| it.start <= length && it.end <= length);
        self.text
    }
}
