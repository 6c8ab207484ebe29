//! Where in a text the words of a query stand.

use std::ops::ControlFlow;

use crate::{Field, Phrase, Query, tokens};

/// Ranges in one text.
const MAX_SPANS: usize = 256;
/// Characters around the place that a snippet shows.
const LEAD: usize = 60;

/// A range of a text, end exclusive, in both units that clients count in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub char_start: usize,
    pub char_end: usize,
    /// Two for each UTF-16 code unit.
    pub utf16_byte_start: usize,
    pub utf16_byte_end: usize,
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    pub text: String,
    /// Where it begins, in characters of the whole.
    pub char_start: usize,
    pub is_start: bool,
    pub is_end: bool,
    /// Within the piece.
    pub spans: Vec<Span>,
}

/// Where words and phrases of the query stand in a text of that field, in its order.
pub fn highlight(query: &Query, field: Field, text: &str) -> Vec<Span> {
    spans(text, &ranges(query, field, text))
}

/// About `most` characters around the best place of a body.
pub fn snippet(query: &Query, text: &str, most: usize) -> Snippet {
    let ranges = ranges(query, Field::Body, text);
    let total = text.chars().count();
    let start = match best(&ranges, most.saturating_sub(LEAD)) {
        Some(first) if total > most => {
            let start = first.saturating_sub(LEAD).min(total.saturating_sub(most));
            beginning(text, start, first)
        }
        _ => 0,
    };
    let end = ending(text, start, (start + most).min(total), total);
    let piece: String = text.chars().skip(start).take(end - start).collect();
    let inner: Vec<(usize, usize)> = ranges
        .iter()
        .filter(|(from, to)| *from < end && *to > start)
        .map(|(from, to)| (from.saturating_sub(start), (*to).min(end) - start))
        .collect();
    Snippet {
        spans: spans(&piece, &inner),
        text: piece,
        char_start: start,
        is_start: start == 0,
        is_end: end == total,
    }
}

/// The first range of the densest stretch of so many characters.
fn best(ranges: &[(usize, usize)], stretch: usize) -> Option<usize> {
    let weight = |first: usize| {
        ranges.iter().filter(|(from, to)| *from >= first && *to <= first + stretch).count()
    };
    // Of several, the first.
    let scored = ranges.iter().map(|(from, _)| (weight(*from), std::cmp::Reverse(*from)));
    scored.max().map(|(_, std::cmp::Reverse(first))| first)
}

/// Moves a beginning to that of a word, but not behind what it is shown for.
fn beginning(text: &str, start: usize, first: usize) -> usize {
    if start == 0 {
        return 0;
    }
    let mut characters = text.chars().enumerate().skip(start - 1).take(first - start + 1);
    let blank = characters.find(|(_, c)| c.is_whitespace());
    blank.map_or(start, |(at, _)| (at + 1).min(first))
}

/// Moves an end to that of a word, if one is near.
fn ending(text: &str, start: usize, end: usize, total: usize) -> usize {
    if end >= total {
        return total;
    }
    let from = end.saturating_sub(30).max(start);
    let mut blank = None;
    for (at, c) in text.chars().enumerate().skip(from).take(end - from) {
        if c.is_whitespace() {
            blank = Some(at);
        }
    }
    blank.filter(|at| *at > start).unwrap_or(end)
}

/// In characters, in order, none touching another.
fn ranges(query: &Query, field: Field, text: &str) -> Vec<(usize, usize)> {
    let phrases = query.phrases();
    let phrases: Vec<&Phrase> = phrases
        .into_iter()
        .filter(|phrase| phrase.field == field || phrase.field == Field::Anywhere)
        .collect();
    if phrases.is_empty() {
        return Vec::new();
    }
    let mut found: Vec<(usize, usize)> = Vec::new();
    // What of each phrase has been met: the number of tokens, and where it began.
    let mut open: Vec<(&Phrase, Vec<(usize, usize)>)> =
        phrases.into_iter().map(|phrase| (phrase, Vec::new())).collect();
    tokens(text, |token| {
        for (phrase, begun) in &mut open {
            begun.push((0, token.start));
            let mut next = Vec::new();
            for (met, start) in begun.drain(..) {
                let Some(wanted) = phrase.tokens.get(met) else { continue };
                let is_last = met + 1 == phrase.tokens.len();
                let meets = if is_last && phrase.is_prefix {
                    token.text.starts_with(wanted.as_str())
                } else {
                    token.text == wanted
                };
                if meets && is_last {
                    let end = match token.kind {
                        // A beginning of a pair is one character of it.
                        tokens::Kind::Pair if wanted.chars().count() == 1 => token.start + 1,
                        _ => token.end,
                    };
                    found.push((start, end));
                } else if meets {
                    next.push((met + 1, start));
                }
            }
            *begun = next;
        }
        if found.len() > 4 * MAX_SPANS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    found.sort_unstable();
    let mut merged: Vec<(usize, usize)> = Vec::new();
    for (start, end) in found {
        match merged.last_mut() {
            Some(last) if start < last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged.truncate(MAX_SPANS);
    merged
}

/// The same ranges in both units.
fn spans(text: &str, ranges: &[(usize, usize)]) -> Vec<Span> {
    let (mut spans, mut at, mut units) = (Vec::with_capacity(ranges.len()), 0, 0);
    let mut characters = text.chars();
    let mut units_at = |place: usize| {
        while at < place {
            let Some(c) = characters.next() else { break };
            units += c.len_utf16();
            at += 1;
        }
        units * 2
    };
    for (start, end) in ranges {
        let (utf16_byte_start, utf16_byte_end) = (units_at(*start), units_at(*end));
        let (char_start, char_end) = (*start, *end);
        spans.push(Span { char_start, char_end, utf16_byte_start, utf16_byte_end });
    }
    spans
}
