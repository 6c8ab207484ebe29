//! The line above a quote that says who wrote it: "On … Jane Doe wrote:".

use super::{Line, phrases, shape};

/// Lines over which a mail program may wrap it.
const MAX_LINES: usize = 4;
const MAX_CHARS: usize = 400;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Strength {
    /// Only if a quote follows: people write such lines too.
    Weak,
    /// Says who and when, as programs do.
    Strong,
}

/// The attribution that ends at line `last`: its first line.
pub(super) fn ending_at(lines: &[Line<'_>], last: usize) -> Option<(usize, Strength)> {
    let text = lines.get(last)?.text.trim_end();
    if !text.ends_with([':', '：']) {
        return None;
    }
    let mut joined = String::new();
    let mut found: Option<(usize, Strength)> = None;
    for count in 0..MAX_LINES {
        let Some(first) = last.checked_sub(count) else { break };
        let Some(line) = lines.get(first) else { break };
        let piece = line.text.trim();
        if piece.is_empty() || piece.starts_with('>') || joined.len() + piece.len() > MAX_CHARS {
            break;
        }
        // A sentence before it is not a part of it.
        if count > 0 && piece.ends_with(['.', '!', '?', ':']) && !shape::has_date(piece) {
            break;
        }
        joined = if joined.is_empty() { piece.to_owned() } else { format!("{piece} {joined}") };
        let normal = shape::normal(&joined);
        let opens = phrases::OPENERS.iter().any(|it| normal.starts_with(it));
        let Some(strength) = judge(&normal, opens) else { continue };
        let first_tells =
            shape::has_date(piece) || shape::has_time(piece) || piece.contains(char::is_numeric);
        match found {
            None => found = Some((first, strength)),
            Some((_, Strength::Weak)) if strength == Strength::Strong => {
                found = Some((first, strength));
            }
            Some(_) if opens && first_tells => found = Some((first, strength)),
            Some(_) => {}
        }
    }
    found
}

fn judge(normal: &str, opens: bool) -> Option<Strength> {
    let verb = phrases::ANY_VERB.finds_word(normal);
    let address = shape::has_address(normal) || normal.contains("<mailto:") || normal.contains('<');
    let date = shape::has_date(normal);
    let time = shape::has_time(normal);
    let words = shape::words(normal);
    if words > 40 {
        return None;
    }
    let strong = if verb {
        (date && time)
            || (address && (date || time || opens))
            || (opens && date && words <= 16)
            || (address && words <= 12)
    } else {
        address && (date || time) && words <= 20 || opens && address && words <= 8
    };
    if strong {
        return Some(Strength::Strong);
    }
    (verb && words <= 14).then_some(Strength::Weak)
}

/// Says between dashes who wrote what follows: `---- Jane Doe wrote ----`.
pub(super) fn is_framed(line: &str) -> bool {
    let text = line.trim();
    let inner = text.trim_matches('-');
    text.starts_with("--")
        && text.ends_with("--")
        && phrases::VERBS.iter().any(|it| shape::normal(inner).trim().ends_with(it))
}
