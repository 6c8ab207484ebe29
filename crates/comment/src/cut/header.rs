//! The block of fields above a message that is answered or forwarded: "From: … Sent: …".

use super::{Line, phrases, shape};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    From,
    Sent,
    To,
    Subject,
    Other,
}

/// Lines of a block, without those on which a value goes on.
const MAX_LINES: usize = 14;
/// All lines of a block: one can name a hundred people.
const MAX_ALL: usize = 120;
/// Characters of the longest name of a field, with blanks and emphasis.
const MAX_NAME: usize = 24;

/// What was seen of a block.
#[derive(Default)]
struct Block {
    seen: Vec<Field>,
    address: bool,
    dated: bool,
    /// The last value goes on in the next line: it was empty, or a list that has not ended.
    open: bool,
}

impl Block {
    fn note(&mut self, value: &str) {
        self.address |= value.contains('@') || value.contains('<');
        self.dated |= self.seen.last() == Some(&Field::Sent)
            && (shape::has_date(value)
                || shape::has_time(value)
                || value.contains(char::is_numeric));
        self.open = value.trim_end().ends_with([';', ',']);
    }

    /// Whether a line that is no field belongs to the value before it.
    fn goes_on(&self, line: &str) -> bool {
        !self.seen.is_empty() && (self.open || line.starts_with(['<', '[']))
    }

    fn has(&self, field: Field) -> bool {
        self.seen.contains(&field)
    }

    fn is_header(&self) -> bool {
        let main = [Field::From, Field::Sent, Field::To, Field::Subject];
        let count = main.iter().filter(|it| self.has(**it)).count();
        let early = self.seen.iter().take(4).any(|it| *it == Field::From);
        // Travel plans have a "From" and a "To" too: only letters have subjects, or addresses.
        let is_letter = self.has(Field::Subject) || self.address;
        let tells = self.dated || self.has(Field::To) && self.address;
        early && (count == main.len() || count >= 3 && is_letter && tells)
    }
}

/// Whether a block of fields begins at line `first`.
pub(super) fn begins_at(lines: &[Line<'_>], first: usize) -> bool {
    let Some((start, _)) = lines.get(first).and_then(|it| field(it.text)) else { return false };
    if start == Field::Other {
        return false;
    }
    let mut block = Block::default();
    let mut strange = 0;
    let mut room = MAX_LINES;
    for line in lines.iter().skip(first).take(MAX_ALL) {
        let text = line.text.trim();
        let found = field(text);
        if found.is_none() && !text.is_empty() && block.goes_on(text) {
            block.note(text);
            continue;
        }
        if room == 0 {
            break;
        }
        room -= 1;
        match found {
            Some((field, value)) => {
                // A second message begins.
                if field != Field::Other && block.has(field) {
                    break;
                }
                block.seen.push(field);
                block.note(value);
                block.open |= value.trim().is_empty();
                strange = 0;
            }
            None if text.is_empty() => {
                // HTML can leave a blank line between the fields, but not two.
                if block.seen.len() >= 3 || strange > 0 {
                    break;
                }
                strange += 1;
            }
            None => {
                strange += 1;
                if strange > 3 {
                    break;
                }
            }
        }
    }
    block.is_header()
}

fn field(line: &str) -> Option<(Field, &str)> {
    let line = line.trim().trim_start_matches(['*', '_']);
    let (colon, _) = line.char_indices().take(MAX_NAME).find(|it| matches!(it.1, ':' | '：'))?;
    let name = shape::normal(line.get(..colon)?);
    let name = name.trim().trim_end_matches('*').trim();
    let value = line.get(colon..)?.trim_start_matches([':', '：', '*', ' ']);
    let field = if phrases::FROM.contains(&name) {
        Field::From
    } else if phrases::SENT.contains(&name) {
        Field::Sent
    } else if phrases::TO.contains(&name) {
        Field::To
    } else if phrases::SUBJECT.contains(&name) {
        Field::Subject
    } else if phrases::OTHER_FIELDS.contains(&name) {
        Field::Other
    } else {
        return None;
    };
    Some((field, value))
}
