//! Finds the quoted history.

use super::{
    Context, Label, Line,
    attribution::{self, Strength},
    header, phrases, shape,
};
use crate::text::Hint;

/// Labels the quotes; returns where the sender's own words end: the length, or the first line of
/// a message that is forwarded, which is kept as it is.
pub(super) fn mark(lines: &[Line<'_>], context: &Context<'_>, labels: &mut [Label]) -> usize {
    let attributions = attributions(lines);
    let mut attributed = false;
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let text = line.text.trim();
        if text.is_empty() {
            at += 1;
            continue;
        }
        let own = has_own_words(lines, labels, at);
        if !is_quoted(line) || !attributed {
            match boundary_at(lines, at, context) {
                Some(Boundary::Forward) => return at,
                Some(Boundary::History) if context.forward && !attributed => return at,
                // A letter that begins with such a block and says nothing else is the message.
                Some(Boundary::History) if own || context.reply == Some(true) => {
                    let first = separator_before(lines, at);
                    set(labels, first, lines.len(), Label::Quote);
                    return lines.len();
                }
                Some(Boundary::History) | None => {}
            }
        }
        if let Some((last, strength)) = attribution_from(lines, &attributions, at) {
            let quoted_next = next_filled(lines, last + 1)
                .is_some_and(|it| is_quoted(it) || it.hint == Hint::WeakQuote);
            if quoted_next || line.hint == Hint::Attribution {
                if context.forward && !attributed && line.hint == Hint::Attribution && !quoted_next
                {
                    return at;
                }
                set(labels, at, last + 1, Label::Quote);
                attributed = true;
                at = mark_run(lines, last + 1, labels);
                continue;
            }
            let likely = context.reply != Some(false) && strength == Strength::Strong;
            if likely
                && next_filled(lines, last + 1).is_some()
                && (own || context.reply == Some(true))
            {
                set(labels, at, lines.len(), Label::Quote);
                return lines.len();
            }
        }
        if is_quoted(line) {
            let end = run_end(lines, at);
            let marked = line.hint == Hint::Quote;
            // Without an attribution, signs at the start of lines can be a poem or a comparison.
            let long = end - at >= 2 || context.reply == Some(true) && !own;
            let likely = marked && !context.forward
                || attributed
                || context.reply == Some(true) && long
                || context.reply.is_none() && long;
            if likely {
                at = mark_run(lines, at, labels);
                attributed |= marked;
                continue;
            }
            at = end;
            continue;
        }
        at += 1;
    }
    lines.len()
}

enum Boundary {
    /// The message below is forwarded.
    Forward,
    /// The message below, to the end of the text, is answered.
    History,
}

fn boundary_at(lines: &[Line<'_>], at: usize, context: &Context<'_>) -> Option<Boundary> {
    let line = lines.get(at)?;
    let text = line.text.trim();
    let dashed = text.starts_with("--") || text.starts_with("__") || text.starts_with("==");
    if dashed || text.ends_with([':', '：']) {
        let normal = shape::normal(text);
        let inner = normal.trim_matches(|it: char| !it.is_alphanumeric());
        if phrases::FORWARDED.iter().any(|it| inner.starts_with(it)) {
            return Some(Boundary::Forward);
        }
        if dashed && phrases::ORIGINAL.iter().any(|it| inner.starts_with(it)) {
            return Some(Boundary::History);
        }
    }
    if attribution::is_framed(text) {
        return Some(Boundary::History);
    }
    if line.hint == Hint::Divider {
        // Nothing above it: it divides nothing.
        let above = lines.get(..at).unwrap_or_default().iter().any(|it| !it.text.trim().is_empty());
        if above || context.reply == Some(true) {
            return Some(Boundary::History);
        }
    }
    header::begins_at(lines, at).then_some(Boundary::History)
}

/// The line above a quote.
struct Attribution {
    first: usize,
    last: usize,
    strength: Strength,
}

/// All attributions that the words of the lines tell, by their first lines.
fn attributions(lines: &[Line<'_>]) -> Vec<Attribution> {
    /// Looking at one takes a while; no conversation has so many on the outermost level.
    const MAX: usize = 2_000;
    let mut found: Vec<Attribution> = (0..lines.len())
        .filter(|it| lines.get(*it).is_some_and(|it| it.text.trim_end().ends_with([':', '：'])))
        .take(MAX)
        .filter_map(|last| {
            let (first, strength) = attribution::ending_at(lines, last)?;
            Some(Attribution { first, last, strength })
        })
        .collect();
    found.sort_by_key(|it| it.first);
    found
}

/// The last line of an attribution that begins at `first`.
fn attribution_from(
    lines: &[Line<'_>],
    attributions: &[Attribution],
    first: usize,
) -> Option<(usize, Strength)> {
    let line = lines.get(first)?;
    if line.hint == Hint::Attribution {
        let more = lines.iter().skip(first).take(6).take_while(|it| it.hint == Hint::Attribution);
        return Some((first + more.count().max(1) - 1, Strength::Strong));
    }
    let index = attributions.partition_point(|it| it.first < first);
    let one = attributions.get(index).filter(|it| it.first == first)?;
    Some((one.last, one.strength))
}

fn is_quoted(line: &Line<'_>) -> bool {
    line.hint == Hint::Quote || line.text.trim_start().starts_with('>')
}

/// Labels the quoted lines from `first`; returns the line after them.
fn mark_run(lines: &[Line<'_>], first: usize, labels: &mut [Label]) -> usize {
    let weak = next_filled(lines, first).is_some_and(|it| it.hint == Hint::WeakQuote);
    let mut at = first;
    let mut end = first;
    while let Some(line) = lines.get(at) {
        let quoted = is_quoted(line) || weak && line.hint == Hint::WeakQuote;
        if quoted || is_wrapped_rest(lines, at) {
            end = at + 1;
        } else if !line.text.trim().is_empty() {
            break;
        }
        at += 1;
    }
    set(labels, first, end, Label::Quote);
    end.max(first)
}

/// The end of the lines that are quoted from `first` on, blank ones between them included.
fn run_end(lines: &[Line<'_>], first: usize) -> usize {
    let quoted = lines.iter().skip(first).take_while(|it| is_quoted(it)).count();
    first + quoted.max(1)
}

/// The rest of a quoted line that a mail server wrapped: it has lost its sign.
fn is_wrapped_rest(lines: &[Line<'_>], at: usize) -> bool {
    let neighbor = |index: Option<usize>| index.and_then(|it| lines.get(it)).map(|it| it.text);
    let (Some(before), Some(after)) = (neighbor(at.checked_sub(1)), neighbor(Some(at + 1))) else {
        return false;
    };
    let line = neighbor(Some(at)).unwrap_or_default().trim();
    before.starts_with('>')
        && after.starts_with('>')
        && before.chars().count() >= 68
        && !before.trim_end().ends_with(['.', '?', '!', ':'])
        && line.chars().next().is_some_and(|it| it.is_lowercase() || it.is_numeric())
        && shape::words(line) <= 4
}

/// The first line of the dashes or the title that stand above a block of fields.
fn separator_before(lines: &[Line<'_>], at: usize) -> usize {
    let mut first = at;
    for index in (0..at).rev().take(3) {
        let text = lines.get(index).map(|it| it.text.trim()).unwrap_or_default();
        let ruled =
            text.len() >= 2 && text.chars().all(|it| matches!(it, '-' | '_' | '=' | '*' | '—'));
        let titled = text.starts_with("--") && text.ends_with("--");
        if ruled || titled {
            first = index;
        } else if !text.is_empty() {
            break;
        }
    }
    first
}

fn has_own_words(lines: &[Line<'_>], labels: &[Label], end: usize) -> bool {
    // Looking at the start is enough, and keeps this from being quadratic.
    lines
        .iter()
        .zip(labels)
        .take(end.min(40))
        .any(|(line, label)| *label == Label::Body && line.text.chars().any(char::is_alphanumeric))
}

fn next_filled<'a, 'b>(lines: &'a [Line<'b>], from: usize) -> Option<&'a Line<'b>> {
    lines.iter().skip(from).take(4).find(|it| !it.text.trim().is_empty())
}

fn set(labels: &mut [Label], from: usize, to: usize, label: Label) {
    if let Some(labels) = labels.get_mut(from..to) {
        labels.fill(label);
    }
}
