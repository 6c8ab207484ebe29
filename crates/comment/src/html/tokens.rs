//! Splits HTML into tags and text, as browsers do where it matters for mail (WHATWG HTML,
//! "Tokenization"). Takes time in proportion to the text, also for tags that never end.

use std::borrow::Cow;

use memchr::{memchr, memmem};

use super::entities;

#[derive(Clone, Copy, Debug)]
pub(super) enum Token<'a> {
    /// With its character references.
    Text(&'a str),
    Open {
        name: &'a str,
        attributes: &'a str,
    },
    Close {
        name: &'a str,
    },
}

pub(super) struct Tokens<'a> {
    rest: &'a str,
    /// A quote was opened in a tag and never closed: quotes mean nothing from here on. Else each
    /// such tag would be searched to the end of the text.
    ignore_quotes: bool,
    /// Text of this element comes next, which holds no tags.
    raw: Option<&'a str>,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(html: &'a str) -> Self {
        Self { rest: html, ignore_quotes: false, raw: None }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// The length of the tag at the start of the rest, its `>` included.
    fn tag_length(&mut self) -> usize {
        let bytes = self.rest.as_bytes();
        if !self.ignore_quotes {
            let mut quote = None;
            let mut after_equals = false;
            for (at, byte) in bytes.iter().enumerate() {
                match quote {
                    Some(open) if *byte == open => quote = None,
                    Some(_) => {}
                    None => match byte {
                        b'>' => return at + 1,
                        // A quote elsewhere than at the start of a value is a typing error.
                        b'"' | b'\'' if after_equals => quote = Some(*byte),
                        _ => {}
                    },
                }
                after_equals = *byte == b'=' || (after_equals && byte.is_ascii_whitespace());
            }
            self.ignore_quotes = true;
        }
        memchr(b'>', bytes).map_or(bytes.len(), |at| at + 1)
    }

    /// Passes over the text of an element like `style`, up to its end tag.
    fn skip_raw(&mut self, name: &str) {
        let bytes = self.rest.as_bytes();
        let end = memmem::find_iter(bytes, b"</").find(|at| {
            let tag = bytes.get(at + 2..at + 2 + name.len());
            tag.is_some_and(|it| it.eq_ignore_ascii_case(name.as_bytes()))
        });
        self.take(end.unwrap_or(bytes.len()));
    }

    fn skip_comment(&mut self) {
        let bytes = self.rest.as_bytes();
        let length = if bytes.starts_with(b"<!-->") {
            5
        } else if bytes.starts_with(b"<!--") {
            memmem::find(bytes, b"-->").map_or(bytes.len(), |at| at + 3)
        } else {
            memchr(b'>', bytes).map_or(bytes.len(), |at| at + 1)
        };
        self.take(length);
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if let Some(name) = self.raw.take() {
            self.skip_raw(name);
        }
        loop {
            let bytes = self.rest.as_bytes();
            if bytes.is_empty() {
                return None;
            }
            match (bytes.first(), bytes.get(1)) {
                (Some(b'<'), Some(b'!' | b'?')) => self.skip_comment(),
                (Some(b'<'), Some(b'/')) if bytes.get(2).is_some_and(u8::is_ascii_alphabetic) => {
                    let length = self.tag_length();
                    let tag = self.take(length);
                    return Some(Token::Close { name: name_of(tag.get(2..).unwrap_or_default()) });
                }
                (Some(b'<'), Some(b'/')) => self.skip_comment(),
                (Some(b'<'), Some(letter)) if letter.is_ascii_alphabetic() => {
                    let length = self.tag_length();
                    let tag = self.take(length);
                    let tag = tag.get(1..).unwrap_or_default();
                    let name = name_of(tag);
                    let attributes = tag.get(name.len()..).unwrap_or_default();
                    let attributes = attributes.strip_suffix('>').unwrap_or(attributes);
                    let raw = ["script", "style", "title", "textarea", "noframes"];
                    self.raw = raw.iter().any(|it| name.eq_ignore_ascii_case(it)).then_some(name);
                    return Some(Token::Open { name, attributes });
                }
                _ => {
                    let next = memchr(b'<', bytes.get(1..).unwrap_or_default());
                    return Some(Token::Text(self.take(next.map_or(bytes.len(), |at| at + 1))));
                }
            }
        }
    }
}

fn name_of(tag: &str) -> &str {
    let end = tag.find(|it: char| it.is_ascii_whitespace() || matches!(it, '/' | '>'));
    tag.get(..end.unwrap_or(tag.len())).unwrap_or_default()
}

/// Names and values of the attributes of a tag.
pub(super) struct Attributes<'a> {
    rest: &'a str,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(attributes: &'a str) -> Self {
        Self { rest: attributes }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a str, Cow<'a, str>);

    fn next(&mut self) -> Option<Self::Item> {
        let between = |it: char| it.is_ascii_whitespace() || it == '/';
        self.rest = self.rest.trim_start_matches(between);
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.find(|it: char| it == '=' || between(it)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end.max(1).min(self.rest.len()));
        let rest = rest.trim_start();
        let Some(rest) = rest.strip_prefix('=') else {
            self.rest = rest;
            return Some((name, Cow::Borrowed("")));
        };
        let rest = rest.trim_start();
        let (value, rest) = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let inner = rest.get(1..).unwrap_or_default();
                let end = inner.find(quote).unwrap_or(inner.len());
                let (value, after) = inner.split_at(end);
                (value, after.get(1..).unwrap_or_default())
            }
            _ => {
                rest.split_at(rest.find(|it: char| it.is_ascii_whitespace()).unwrap_or(rest.len()))
            }
        };
        self.rest = rest;
        Some((name, entities::decode(value)))
    }
}
