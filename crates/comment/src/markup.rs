//! Picks lines out of a text and counts the markup over them in the units of a comment.

use std::ops::Range;

use crate::{
    comment::{Content, MAX_NODES, MAX_TEXT_CHARS, Node, NodeKind, Span},
    guard::{Note, Notes},
    text::{Mark, Text},
};

/// The text of the lines for which `keep` is true; runs of blank lines become one, and there are
/// none at the ends.
pub(crate) fn pick(
    text: &Text,
    keep: impl Fn(usize) -> bool,
    markup: bool,
    too_long: Note,
    notes: &mut Notes,
) -> Content {
    let mut out = String::new();
    let mut kept: Vec<Kept> = Vec::new();
    let mut blank = false;
    for (index, at) in text.lines.iter().enumerate() {
        let line = text.line(*at);
        if !keep(index) {
            continue;
        }
        if line.trim().is_empty() {
            blank = true;
            continue;
        }
        if !out.is_empty() {
            out.push_str(if blank { "\n\n" } else { "\n" });
        }
        blank = false;
        // What is blank at the start of the first line is no indentation.
        let line = if out.is_empty() { line.trim_start() } else { line };
        kept.push(Kept { from: at.end - line.len()..at.end, to: out.len() });
        out.push_str(line);
    }
    out.truncate(out.trim_end().len());
    if let Some((end, _)) = out.char_indices().nth(MAX_TEXT_CHARS) {
        out.truncate(end);
        notes.add(too_long);
    }
    let text_markup = markup.then(|| nodes(&out, &text.marks, &kept, notes));
    Content { text: out, text_markup }
}

/// A piece of the text before, and where it is in the text after.
struct Kept {
    from: Range<usize>,
    to: usize,
}

fn nodes(text: &str, marks: &[Mark], kept: &[Kept], notes: &mut Notes) -> Vec<Node> {
    let mut placed: Vec<(usize, usize, &NodeKind)> =
        marks.iter().filter_map(|mark| place(mark, text.len(), kept)).collect();
    // Outer ones first.
    placed.sort_by_key(|(start, end, _)| (*start, std::cmp::Reverse(*end)));
    if placed.len() > MAX_NODES {
        notes.add(Note::MarkupCut);
        placed.truncate(MAX_NODES);
    }
    let mut ends: Vec<usize> = placed.iter().flat_map(|it| [it.0, it.1]).collect();
    ends.sort_unstable();
    ends.dedup();
    let counted = count(text, &ends);
    let at = |byte: usize| {
        let found = ends.binary_search(&byte).ok().and_then(|index| counted.get(index));
        found.copied().unwrap_or_default()
    };
    placed
        .into_iter()
        .map(|(start, end, kind)| {
            let ((char_start, unit_start), (char_end, unit_end)) = (at(start), at(end));
            Node {
                span: Span {
                    char_start,
                    char_end,
                    utf16_byte_start: unit_start * 2,
                    utf16_byte_end: unit_end * 2,
                },
                kind: kind.clone(),
            }
        })
        .collect()
}

/// Where a mark is after the picking: from its first to its last character that was picked.
fn place<'a>(mark: &'a Mark, length: usize, kept: &[Kept]) -> Option<(usize, usize, &'a NodeKind)> {
    let empty = matches!(mark.kind, NodeKind::Break { .. } | NodeKind::Image { .. });
    if empty {
        let next = kept.partition_point(|it| it.from.end < mark.start);
        let piece = kept.get(next).or_else(|| kept.last())?;
        let at = piece.to + mark.start.clamp(piece.from.start, piece.from.end) - piece.from.start;
        // One in what was cut belongs to no line that is left.
        let inside = mark.start + 2 >= piece.from.start && mark.start <= piece.from.end + 2;
        return (inside && at <= length).then_some((at, at, &mark.kind));
    }
    let first = kept.get(kept.partition_point(|it| it.from.end <= mark.start))?;
    let last = kept.get(kept.partition_point(|it| it.from.start < mark.end).checked_sub(1)?)?;
    if mark.end <= first.from.start {
        return None;
    }
    let start = first.to + mark.start.saturating_sub(first.from.start);
    let end = last.to + mark.end.min(last.from.end) - last.from.start;
    let end = end.min(length);
    (start < end).then_some((start, end, &mark.kind))
}

/// Characters and UTF-16 code units before each of the byte positions, which ascend.
fn count(text: &str, ends: &[usize]) -> Vec<(usize, usize)> {
    let (mut chars, mut units, mut done) = (0, 0, 0);
    ends.iter()
        .map(|end| {
            let piece = text.get(done..*end).unwrap_or_default();
            chars += piece.chars().count();
            units += piece.encode_utf16().count();
            done = *end;
            (chars, units)
        })
        .collect()
}
