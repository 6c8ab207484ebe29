//! Finds the signature at the end of the sender's own words.

use std::ops::Range;

use super::{Context, Label, Line, footer, shape};
use crate::text::Hint;

/// Lines after a separator that can be a signature.
const MAX_SEPARATED: usize = 30;
/// Lines of a signature without a separator.
const MAX_LINES: usize = 60;
/// Paragraphs of it.
const MAX_PARAGRAPHS: usize = 14;

/// Labels the signature in `lines` up to `end`.
pub(super) fn mark(lines: &[Line<'_>], context: &Context<'_>, end: usize, labels: &mut [Label]) {
    mark_hinted(lines, end, labels);
    mark_armor(lines, end, labels);
    // From the last run of own words upward: what follows a quote can be the footer of a list.
    let mut last = end;
    for _ in 0..8 {
        let Some(run) = last_run(lines, labels, last) else { break };
        let start = find(lines, run.clone(), context);
        if let Some(start) = start {
            set(labels, start..run.end);
        }
        if start != Some(run.start) {
            return;
        }
        last = run.start;
    }
    keep_thanks(lines, end, labels);
}

/// "Thanks!" alone is an answer: a comment is not left empty when its email says something.
fn keep_thanks(lines: &[Line<'_>], end: usize, labels: &mut [Label]) {
    let filled = |it: &(&Line<'_>, &mut Label)| !it.0.text.trim().is_empty();
    let mut own = lines.iter().zip(labels.iter_mut()).take(end).filter(filled);
    let first = own.next();
    if let Some((line, label @ Label::Signature)) = first
        && line.hint != Hint::Signature
        && shape::is_closing(line.text)
        && !own.any(|(_, label)| *label == Label::Body)
    {
        *label = Label::Body;
    }
}

/// What mail programs marked.
fn mark_hinted(lines: &[Line<'_>], end: usize, labels: &mut [Label]) {
    for (line, label) in lines.iter().zip(labels.iter_mut()).take(end) {
        if line.hint == Hint::Signature && *label == Label::Body {
            *label = Label::Signature;
        }
    }
}

/// What PGP put around the text (RFC 4880 §7).
fn mark_armor(lines: &[Line<'_>], end: usize, labels: &mut [Label]) {
    let mut inside = false;
    for (line, label) in lines.iter().zip(labels.iter_mut()).take(end) {
        let text = line.text.trim_end();
        inside |= text == "-----BEGIN PGP SIGNATURE-----";
        if inside || text == "-----BEGIN PGP SIGNED MESSAGE-----" || text.starts_with("Hash: SHA") {
            *label = Label::Signature;
        }
        inside &= text != "-----END PGP SIGNATURE-----";
    }
}

/// The last lines before `end` that are body, without blank ones around them.
fn last_run(lines: &[Line<'_>], labels: &[Label], end: usize) -> Option<Range<usize>> {
    let filled = |at: usize| lines.get(at).is_some_and(|it| !it.text.trim().is_empty());
    let is_body = |at: usize| labels.get(at) == Some(&Label::Body);
    let last = (0..end).rev().find(|at| filled(*at) && is_body(*at))?;
    let mut first = last;
    for at in (0..last).rev() {
        if !is_body(at) {
            break;
        }
        if filled(at) {
            first = at;
        }
    }
    Some(first..last + 1)
}

/// The first line of the signature in a run of own words.
fn find(lines: &[Line<'_>], run: Range<usize>, context: &Context<'_>) -> Option<usize> {
    let end = without_postscript(lines, run.clone());
    let run = run.start..end;
    let separated = separator(lines, run.clone());
    let peeled = peel(lines, run.start..separated.unwrap_or(run.end), context, separated.is_some());
    peeled.or(separated)
}

/// `-- ` and what follows it (RFC 3676 §4.3), or a line of dashes above somebody's numbers.
fn separator(lines: &[Line<'_>], run: Range<usize>) -> Option<usize> {
    run.clone().find(|at| {
        let text = lines.get(*at).map(|it| it.text).unwrap_or_default();
        let exact =
            text == "-- " || matches!(text.trim(), "--" | "—" | "––" | "- --" | "-- \u{a0}");
        if !exact && !text.trim().starts_with("---") {
            return false;
        }
        let following = lines.get(at + 1..run.end).unwrap_or_default();
        let filled = || following.iter().filter(|it| !it.text.trim().is_empty());
        // Counting stops early: else many separators would be quadratic.
        if filled().take(MAX_SEPARATED + 1).count() > MAX_SEPARATED {
            return false;
        }
        let ruled = text.trim().chars().all(|it| it == '-')
            && filled().all(|it| is_short(it.text))
            && filled().any(|it| has_contact(it.text));
        exact || ruled
    })
}

/// Ends the run before a last paragraph that begins with "PS": it is the sender's own.
fn without_postscript(lines: &[Line<'_>], run: Range<usize>) -> usize {
    let start = paragraph_before(lines, run.start, run.end);
    let first = lines.get(start).map(|it| shape::normal(it.text)).unwrap_or_default();
    let postscript = ["ps:", "p.s.", "ps ", "p.s ", "pd:", "p.d.", "p.-s.", "ps."];
    if start > run.start && postscript.iter().any(|it| first.starts_with(it)) {
        return (run.start..start)
            .rev()
            .find(|at| lines.get(*at).is_some_and(|it| !it.text.trim().is_empty()))
            .map_or(start, |at| at + 1);
    }
    run.end
}

/// The first line of the paragraph that ends before `end`.
fn paragraph_before(lines: &[Line<'_>], start: usize, end: usize) -> usize {
    let blank = |at: &usize| lines.get(*at).is_none_or(|it| it.text.trim().is_empty());
    (start..end).rev().find(blank).map_or(start, |at| at + 1)
}

enum Found {
    /// All of the paragraph belongs to the signature, and more can be above it.
    Part,
    /// The signature begins at this line.
    Start(usize),
    No,
}

/// Takes paragraphs off the end while they are part of a signature.
fn peel(
    lines: &[Line<'_>],
    run: Range<usize>,
    context: &Context<'_>,
    separated: bool,
) -> Option<usize> {
    let mut start = None;
    let mut end = run.end;
    let mut below = separated;
    for _ in 0..MAX_PARAGRAPHS {
        while end > run.start && lines.get(end - 1).is_none_or(|it| it.text.trim().is_empty()) {
            end -= 1;
        }
        if end <= run.start || run.end - end > MAX_LINES {
            break;
        }
        let first = paragraph_before(lines, run.start, end);
        let paragraph = lines.get(first..end).unwrap_or_default();
        let above = above(lines, run.start, first);
        match classify(paragraph, above, below, context) {
            Found::Part => start = Some(first),
            Found::Start(at) => return Some(first + at),
            Found::No => break,
        }
        below |= !footer::is_footer(paragraph);
        end = first;
    }
    start
}

/// The last line with text before `first`.
fn above<'a>(lines: &'a [Line<'_>], start: usize, first: usize) -> &'a str {
    let above = lines.get(start..first).unwrap_or_default();
    above.iter().rev().find(|it| !it.text.trim().is_empty()).map_or("", |it| it.text)
}

fn classify(paragraph: &[Line<'_>], above: &str, below: bool, context: &Context<'_>) -> Found {
    let closing = closing_in(paragraph).or_else(|| unknown_closing(paragraph, context));
    if let Some(at) = closing {
        return Found::Start(at);
    }
    if below && is_unknown_closing(paragraph) {
        return Found::Start(0);
    }
    if footer::is_footer(paragraph) || has_footer_at_end(paragraph) == Some(0) {
        return Found::Part;
    }
    if is_contact_block(paragraph, above, below, context)
        || is_name_block(paragraph, above, below, context)
    {
        return Found::Part;
    }
    if let Some(at) = contact_at_end(paragraph, context) {
        return Found::Start(at);
    }
    match has_footer_at_end(paragraph) {
        Some(at) => Found::Start(at),
        None => Found::No,
    }
}

/// The line of a paragraph with which a letter ends, if only a name and the like follow it.
fn closing_in(paragraph: &[Line<'_>]) -> Option<usize> {
    const MAX_AFTER: usize = 12;
    let from = paragraph.len().saturating_sub(MAX_AFTER + 1);
    let closings = (from..paragraph.len())
        .filter(|at| paragraph.get(*at).is_some_and(|it| shape::is_closing(it.text)));
    // The first of several: "Thanks," and "Kind regards," are one closing.
    let mut found: Option<usize> = None;
    for at in closings {
        let rest = paragraph.get(at + 1..).unwrap_or_default();
        if rest.iter().all(|it| is_short(it.text) || shape::is_closing(it.text)) && found.is_none()
        {
            found = Some(at);
        }
    }
    found
}

/// A few words with a comma, right above the name of the sender: a closing in words not known.
fn unknown_closing(paragraph: &[Line<'_>], context: &Context<'_>) -> Option<usize> {
    const MAX_AFTER: usize = 10;
    let from = paragraph.len().saturating_sub(MAX_AFTER).max(1);
    let name = (from..paragraph.len()).find(|at| {
        let line = paragraph.get(*at).map(|it| it.text).unwrap_or_default();
        shape::is_name(line) && shape::is_sender(line, context.sender)
    })?;
    let rest = paragraph.get(name..)?;
    let above = paragraph.get(name - 1..name)?;
    (is_unknown_closing(above) && rest.iter().all(|it| is_short(it.text))).then_some(name - 1)
}

/// One line of at most five words that ends in a comma.
fn is_unknown_closing(paragraph: &[Line<'_>]) -> bool {
    let [line] = paragraph else { return false };
    let text = line.text.trim();
    text.ends_with(',')
        && shape::words(text) <= 5
        && !shape::is_name(text)
        && !text.chars().any(|it| it.is_ascii_digit())
        && text.chars().next().is_some_and(char::is_uppercase)
}

/// Could stand in a signature: no sentence, not long.
fn is_short(line: &str) -> bool {
    line.chars().count() <= 100 && !shape::is_sentence(line)
}

fn has_contact(line: &str) -> bool {
    let normal = shape::normal(line);
    shape::has_phone(line)
        || shape::has_address(line)
        || shape::has_link(line)
        || shape::has_phone_label(&normal) && line.chars().any(|it| it.is_ascii_digit())
}

/// Lines with numbers and addresses of the sender.
fn is_contact_block(
    paragraph: &[Line<'_>],
    above: &str,
    below: bool,
    context: &Context<'_>,
) -> bool {
    if paragraph.len() > 12
        || above.trim_end().ends_with(':')
        || !paragraph.iter().all(|it| is_short(it.text))
        || is_list(paragraph)
        || !paragraph.iter().any(|it| has_contact(it.text))
    {
        return false;
    }
    let first = paragraph.first().map(|it| it.text).unwrap_or_default();
    let named = shape::is_sender(first, context.sender)
        || shape::is_name(first) && shape::words(first) >= 2 && paragraph.len() >= 2;
    named
        || below
        || shape::is_closing(above)
        || shape::is_sender(above, context.sender)
        || above_is_title(above, context)
}

/// Name, title and company above the numbers stand in a paragraph of their own.
fn above_is_title(above: &str, context: &Context<'_>) -> bool {
    shape::is_name(above) && (shape::is_sender(above, context.sender) || shape::words(above) >= 2)
}

/// A name, or a name with a title and a company.
fn is_name_block(paragraph: &[Line<'_>], above: &str, below: bool, context: &Context<'_>) -> bool {
    let Some(first) = paragraph.first().map(|it| it.text) else { return false };
    if paragraph.len() > 6 || !paragraph.iter().all(|it| is_short(it.text)) || is_list(paragraph) {
        return false;
    }
    let bare = first.trim().trim_start_matches(['-', '–', '—', '/', '~', ' ']);
    if shape::is_sender(bare, context.sender) {
        // "Jane, can you …" calls the sender only if somebody else wrote it.
        return !above.is_empty() || paragraph.len() > 1;
    }
    let short = paragraph.iter().all(|it| it.text.chars().count() <= 60);
    if shape::is_closing(above) && short && shape::is_name(first) {
        return true;
    }
    let several = shape::words(bare) >= 2 && shape::is_name(bare);
    let unknown = context.sender.is_empty();
    if below && short && (several || unknown && shape::is_name(bare)) && !above.is_empty() {
        return true;
    }
    unknown
        && paragraph.len() == 1
        && shape::is_name(bare)
        && shape::words(bare) <= 3
        && !above.is_empty()
        && !first.trim_end().ends_with([',', '.', '!'])
}

/// A signature that follows the text without a blank line: it begins at the sender's name.
fn contact_at_end(paragraph: &[Line<'_>], context: &Context<'_>) -> Option<usize> {
    const MAX: usize = 10;
    let from = paragraph.len().saturating_sub(MAX).max(1);
    (from..paragraph.len()).find(|at| {
        let rest = paragraph.get(*at..).unwrap_or_default();
        let first = rest.first().map(|it| it.text).unwrap_or_default();
        // The cheapest first: most lines are running text, and end here.
        shape::is_name(first)
            && shape::is_sender(first, context.sender)
            && (rest.len() == 1 || rest.iter().skip(1).any(|it| has_contact(it.text)))
            && rest.iter().all(|it| is_short(it.text))
            && !is_list(rest)
    })
}

/// The last line is the footer of a device, without a blank line above it.
fn has_footer_at_end(paragraph: &[Line<'_>]) -> Option<usize> {
    let last = paragraph.len().checked_sub(1)?;
    footer::is_footer(paragraph.get(last..)?).then_some(last)
}

/// Items: lines that begin with a dash, a bullet or a number.
fn is_list(paragraph: &[Line<'_>]) -> bool {
    let items = paragraph.iter().filter(|line| {
        let text = line.text.trim_start();
        let number = text.trim_start_matches(|it: char| it.is_ascii_digit());
        text.starts_with("- ")
            || text.starts_with("* ")
            || text.starts_with("• ")
            || number.len() < text.len()
                && number.len() + 2 >= text.len()
                && (number.starts_with(". ") || number.starts_with(") "))
    });
    items.count() >= 2
}

fn set(labels: &mut [Label], range: Range<usize>) {
    for label in labels.get_mut(range).unwrap_or_default() {
        if *label == Label::Body {
            *label = Label::Signature;
        }
    }
}
