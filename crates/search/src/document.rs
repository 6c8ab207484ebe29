//! A comment as the index holds it.

use std::ops::ControlFlow;

use crate::{
    Mark,
    mark::{BREAK, address, domain, domains, name_token},
    tokens::tokens,
};

/// Bytes of the tokens of each text. All of them together, and what a database keeps beside each
/// token, are less than the MiB that PostgreSQL lets a `tsvector` have.
const MAX_SUBJECT: usize = 16 * 1024;
const MAX_FROM: usize = 4 * 1024;
const MAX_TO: usize = 96 * 1024;
const MAX_BODY: usize = 320 * 1024;
/// Tokens of a body: those of its longest, when it is in a language with blanks between words.
const MAX_BODY_TOKENS: usize = 32 * 1024;
/// Marks of a comment, and bytes of the words in the names of its files.
const MAX_MARKS: usize = 4 * 1024;
const MAX_NAMES: usize = 32 * 1024;
/// Numbers of a comment that ranges find: each has many marks.
const MAX_NUMBERS: usize = 64;

/// What of a comment can be found.
#[derive(Clone, Debug, Default)]
pub struct Document<'a> {
    pub project_id: &'a str,
    pub source_id: &'a str,
    pub thread_id: Option<&'a str>,
    pub subject: &'a str,
    pub body: &'a str,
    pub from: &'a str,
    /// Everybody it went to, openly or not.
    pub to: Vec<&'a str>,
    /// By name with its kind: `string:Folder`.
    pub properties: Vec<(&'a str, Value<'a>)>,
    /// Names of attachments that are no part of the text.
    pub attachments: Vec<&'a str>,
}

/// Value of a user property.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Text(&'a str),
    Number(f64),
}

/// A comment in the index: tokens with one blank between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub subject: String,
    pub from: String,
    pub to: String,
    pub body: String,
    pub marks: String,
}

impl Document<'_> {
    pub fn entry(&self) -> Entry {
        let mut entry = Entry::default();
        append(&mut entry.subject, self.subject, MAX_SUBJECT, usize::MAX);
        append(&mut entry.from, self.from, MAX_FROM, usize::MAX);
        for address in &self.to {
            if !entry.to.is_empty() {
                push(&mut entry.to, BREAK);
            }
            append(&mut entry.to, address, MAX_TO, usize::MAX);
        }
        append(&mut entry.body, self.body, MAX_BODY, MAX_BODY_TOKENS);
        self.names(&mut entry.marks);
        let mut marks = self.marks();
        marks.sort_unstable();
        marks.dedup();
        marks.iter().for_each(|mark| push(&mut entry.marks, mark.as_str()));
        entry
    }

    fn names(&self, marks: &mut String) {
        for name in &self.attachments {
            if !marks.is_empty() {
                push(marks, BREAK);
            }
            tokens(name, |token| {
                if marks.len() > MAX_NAMES {
                    return ControlFlow::Break(());
                }
                push(marks, &name_token(token.text));
                ControlFlow::Continue(())
            });
        }
        if !marks.is_empty() {
            push(marks, BREAK);
        }
    }

    fn marks(&self) -> Vec<Mark> {
        let mut marks =
            vec![Mark::everything(), Mark::project(self.project_id), Mark::source(self.source_id)];
        marks.extend(self.thread_id.map(Mark::thread));
        if !self.attachments.is_empty() {
            marks.push(Mark::has_attachment());
        }
        let mut numbers = 0;
        for (name, value) in &self.properties {
            marks.push(Mark::property(name));
            match value {
                Value::Text(text) => marks.push(Mark::text_property(name, text)),
                Value::Number(number) => {
                    marks.push(Mark::number_property(name, *number));
                    numbers += 1;
                    if numbers <= MAX_NUMBERS {
                        marks.extend(Mark::number_digits(name, *number));
                    }
                }
            }
            if let (&"string:Folder", Value::Text(path)) = (name, value) {
                let ends = path.char_indices().filter(|(_, c)| *c == '/').map(|(end, _)| end);
                for end in ends.chain([path.len()]) {
                    marks.push(Mark::folder(path.get(..end).unwrap_or_default()));
                }
            }
        }
        if let Some(address) = address(self.from) {
            marks.push(Mark::from_address(address));
            marks.extend(domain(address).into_iter().flat_map(domains).map(Mark::from_domain));
        }
        for address in self.to.iter().filter_map(|text| address(text)) {
            marks.push(Mark::to_address(address));
            marks.extend(domain(address).into_iter().flat_map(domains).map(Mark::to_domain));
            if marks.len() > MAX_MARKS {
                break;
            }
        }
        marks.truncate(MAX_MARKS);
        marks
    }
}

/// Appends the tokens of a text until the whole has so many bytes, or the text gave so many.
fn append(into: &mut String, text: &str, most: usize, most_tokens: usize) {
    let mut left = most_tokens;
    tokens(text, |token| {
        if into.len() + token.text.len() >= most || left == 0 {
            return ControlFlow::Break(());
        }
        left -= 1;
        push(into, token.text);
        ControlFlow::Continue(())
    });
}

fn push(into: &mut String, token: &str) {
    if !into.is_empty() {
        into.push(' ');
    }
    into.push_str(token);
}
