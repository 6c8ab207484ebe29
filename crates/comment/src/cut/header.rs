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

/// Lines of a block, continued ones included.
const MAX_LINES: usize = 14;
/// Characters of the longest name of a field, with blanks and emphasis.
const MAX_NAME: usize = 24;

/// Whether a block of fields begins at line `first`.
pub(super) fn begins_at(lines: &[Line<'_>], first: usize) -> bool {
    let Some((start, _)) = lines.get(first).and_then(|it| field(it.text)) else { return false };
    if start == Field::Other {
        return false;
    }
    let mut seen: Vec<Field> = Vec::new();
    let mut address = false;
    let mut dated = false;
    let mut strange = 0;
    for line in lines.iter().skip(first).take(MAX_LINES) {
        match field(line.text) {
            Some((field, value)) => {
                // A second message begins.
                if field != Field::Other && seen.contains(&field) {
                    break;
                }
                address |= value.contains('@') || value.contains('<');
                dated |= field == Field::Sent
                    && (shape::has_date(value)
                        || shape::has_time(value)
                        || value.contains(char::is_numeric));
                seen.push(field);
                strange = 0;
            }
            None if line.text.trim().is_empty() => {
                // HTML can leave a blank line between the fields, but not two.
                if seen.len() >= 3 || strange > 0 {
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
    let has = |field: Field| seen.contains(&field);
    let main = [Field::From, Field::Sent, Field::To, Field::Subject];
    let count = main.iter().filter(|it| has(**it)).count();
    let early = seen.iter().take(4).any(|it| *it == Field::From);
    // Travel plans have a "From" and a "To" too: only letters have subjects, or addresses.
    early && count >= 3 && (has(Field::Subject) || address) && (dated || has(Field::To) && address)
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
