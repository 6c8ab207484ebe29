//! HTML of a sender to HTML that may be shown: only what is on a list, written anew.
//!
//! Nothing of the input is copied. What comes out consists of tags of the listed elements with
//! listed attributes in double quotes, and of text, all escaped. No element on the list changes how
//! a browser splits text into tags (no `style`, `title`, `textarea`, `svg`, `math`, `template`), so a
//! browser finds the very tags that were written here, however it would have read the input. That
//! is why no tree is needed, why a difference between two parsers is harmless, and why the time is
//! in proportion to the input, whereas building trees of a sender's HTML takes minutes.
//!
//! Elements are closed in order, so that formatting that was left open is not made anew by the
//! browser in each paragraph that follows.

use super::{
    entities,
    tokens::{Attributes, Token, Tokens},
};

mod allowed;
mod style;
mod url;

use allowed::Kind;

/// Most bytes that are looked at; of more, the text is shown.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;
/// Most elements within each other.
const MAX_DEPTH: usize = 500;
/// Most elements. A browser needs some hundred bytes for each.
const MAX_ELEMENTS: usize = 100_000;

/// Why HTML is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMuch {
    /// More than a mebibyte, or than 100,000 elements.
    Large,
    /// More than 500 elements within each other.
    Deep,
}

/// HTML that may be shown, and what was found on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// What belongs between `<body>` and `</body>`.
    pub html: String,
    /// Pictures on other servers that are not shown.
    pub blocked: usize,
    pub links: usize,
    /// Pictures of the message itself that are shown.
    pub pictures: usize,
}

/// Cleans one text after the other into one page.
pub(crate) struct Cleaner<'a> {
    page: Page,
    open: Vec<&'static str>,
    elements: usize,
    /// Whether pictures may come from other servers.
    remote: bool,
    /// The `data:` URL for the picture of a `cid:` or `data:` URL.
    picture: &'a mut dyn FnMut(&str) -> Option<String>,
}

impl<'a> Cleaner<'a> {
    pub(crate) fn new(remote: bool, picture: &'a mut dyn FnMut(&str) -> Option<String>) -> Self {
        Self { page: Page::default(), open: Vec::new(), elements: 0, remote, picture }
    }

    /// Adds HTML.
    pub(crate) fn add(&mut self, html: &str) -> Result<(), TooMuch> {
        for token in Tokens::new(html) {
            match token {
                Token::Text(text) => escape(&entities::decode(text), &mut self.page.html),
                Token::Open { name, attributes } => self.open(name, attributes)?,
                Token::Close { name } => self.close(name),
            }
        }
        self.close_to(0);
        Ok(())
    }

    /// Adds text in which blanks and line breaks mean something.
    pub(crate) fn add_plain(&mut self, text: &str) {
        self.page.html.push_str("<div style=\"white-space:pre-wrap\">");
        escape(text, &mut self.page.html);
        self.page.html.push_str("</div>");
    }

    pub(crate) fn finish(self) -> Page {
        self.page
    }

    fn open(&mut self, name: &str, attributes: &str) -> Result<(), TooMuch> {
        let Some(element) = allowed::element(name) else { return Ok(()) };
        if !self.make_room(element.name, element.kind) {
            return Ok(());
        }
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err(TooMuch::Large);
        }
        let html = &mut self.page.html;
        html.push('<');
        html.push_str(element.name);
        self.write_attributes(element.name, attributes);
        self.page.html.push('>');
        if !element.is_void {
            if self.open.len() >= MAX_DEPTH {
                return Err(TooMuch::Deep);
            }
            self.open.push(element.name);
        }
        Ok(())
    }

    /// Closes what the element ends by its start; false if it has no place here.
    fn make_room(&mut self, name: &'static str, kind: Kind) -> bool {
        match kind {
            Kind::Table(parents) => {
                let Some(table) = self.innermost(&["table"], &[]) else { return false };
                let at = self.innermost(parents, &["table"]).unwrap_or(table);
                self.close_to(at + 1);
            }
            Kind::Item(lists) => {
                let boundary = [lists, &["table", "td", "th", "caption"]].concat();
                let same: &[&str] = if name == "li" { &["li"] } else { &["dt", "dd"] };
                if let Some(at) = self.innermost(same, &boundary) {
                    self.close_to(at);
                }
                self.close_paragraph();
            }
            Kind::Block => {
                // A table in a table, but in none of its cells, ends it.
                let cell = self.innermost(&["td", "th", "caption", "table"], &[]);
                let outer = cell.filter(|at| self.open.get(*at) == Some(&"table"));
                if let Some(at) = outer.filter(|_| name == "table") {
                    self.close_to(at);
                }
                self.close_paragraph();
            }
            Kind::Inline if name == "a" => {
                if let Some(at) = self.innermost(&["a"], &["table", "td", "th", "caption"]) {
                    self.close_to(at);
                }
            }
            Kind::Inline => {}
        }
        true
    }

    fn close_paragraph(&mut self) {
        if let Some(at) = self.innermost(&["p"], &["table", "td", "th", "caption"]) {
            self.close_to(at);
        }
    }

    fn close(&mut self, name: &str) {
        let Some(element) = allowed::element(name).filter(|it| !it.is_void) else { return };
        let boundary: &[&str] = match (element.name, element.kind) {
            ("table", _) => &[],
            (_, Kind::Table(_)) => &["table"],
            _ => &["table", "td", "th", "caption"],
        };
        if let Some(at) = self.innermost(&[element.name], boundary) {
            self.close_to(at);
        }
    }

    /// The innermost open element of those names, not looking out of `boundary`.
    fn innermost(&self, names: &[&str], boundary: &[&str]) -> Option<usize> {
        for (at, open) in self.open.iter().enumerate().rev() {
            if names.contains(open) {
                return Some(at);
            }
            if boundary.contains(open) {
                return None;
            }
        }
        None
    }

    /// Closes elements until so many are open.
    fn close_to(&mut self, count: usize) {
        for name in self.open.drain(count.min(self.open.len())..).rev() {
            self.page.html.push_str("</");
            self.page.html.push_str(name);
            self.page.html.push('>');
        }
    }

    fn write_attributes(&mut self, element: &'static str, attributes: &str) {
        let mut seen: Vec<&'static str> = Vec::new();
        let mut css = String::new();
        for (name, value) in Attributes::new(attributes) {
            let Some(name) = allowed::attribute(element, name) else { continue };
            // Of two with one name, the first counts.
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            match name {
                "style" => css.push_str(&style::clean(&value)),
                // What Outlook says in a style sheet, which is not kept.
                "class" if value.starts_with("Mso") => css.insert_str(0, "margin:0;"),
                "class" => {}
                // A message has a color behind all of it; only its elements have this attribute.
                "bgcolor" if element == "div" => {
                    css.push_str(&style::clean(&format!("background-color:{value}")));
                }
                "href" => self.write_link(&value),
                "src" => self.write_picture(&value),
                "colspan" | "rowspan" | "span" => {
                    let number = value.trim().parse::<u32>().unwrap_or(1).clamp(1, 1_000);
                    self.write(name, &number.to_string());
                }
                _ => self.write(name, cut(&value, allowed::MAX_VALUE)),
            }
        }
        if !css.is_empty() {
            self.write("style", &css);
        }
    }

    fn write(&mut self, name: &str, value: &str) {
        let html = &mut self.page.html;
        html.push(' ');
        html.push_str(name);
        html.push_str("=\"");
        escape(value, html);
        html.push('"');
    }

    fn write_link(&mut self, value: &str) {
        let Some(target) = url::link(value) else { return };
        self.page.links += 1;
        self.write("href", &target);
        self.write("target", "_blank");
        self.write("rel", "noopener noreferrer nofollow");
    }

    fn write_picture(&mut self, value: &str) {
        match url::picture(value) {
            Some(url::Picture::Own(own)) => {
                if let Some(data) = (self.picture)(&own) {
                    self.page.pictures += 1;
                    self.write("src", &data);
                }
            }
            Some(url::Picture::Remote(remote)) if self.remote => {
                self.write("src", &remote);
                self.write("referrerpolicy", "no-referrer");
                self.write("loading", "lazy");
            }
            Some(url::Picture::Remote(_)) => self.page.blocked += 1,
            None => {}
        }
    }
}

/// At most so many characters.
fn cut(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(at, _)| text.get(..at).unwrap_or(text))
}

/// Appends text so that it is nothing but text, inside of a tag's quotes as well.
pub fn escape(text: &str, into: &mut String) {
    for character in text.chars() {
        match character {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '"' => into.push_str("&quot;"),
            '\'' => into.push_str("&#39;"),
            // Some programs end an attribute at it.
            '`' => into.push_str("&#96;"),
            '\n' | '\t' => into.push(character),
            '\r' => into.push('\n'),
            it if it.is_control() => {}
            it => into.push(it),
        }
    }
}

#[cfg(test)]
mod tests;
