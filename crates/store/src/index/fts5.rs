//! A query in the language of FTS5.
//!
//! Spec: "SQLite FTS5 Extension", Full-text Query Syntax, SQLite documentation.

use std::collections::HashMap;

use search::{Field, Mark, Node, Phrase};

/// The words that begin with a prefix, where they are few enough to be named one by one. FTS5
/// itself would read the places of all of them before it shows the first.
pub(crate) type Words = HashMap<String, Vec<String>>;

/// Prefixes that are better replaced by their words.
pub(crate) fn prefixes(node: &Node) -> Vec<&str> {
    match node {
        Node::All(nodes) | Node::Any(nodes) => nodes.iter().flat_map(prefixes).collect(),
        Node::Not(node) => prefixes(node),
        Node::Mark(_) => Vec::new(),
        Node::Phrase(phrase) if phrase.is_prefix => {
            phrase.tokens.last().map(String::as_str).into_iter().collect()
        }
        Node::Phrase(_) => Vec::new(),
    }
}

/// The expression for a tree. It holds tokens in quotation marks, which have none themselves.
pub(crate) fn expression(node: &Node, words: &Words) -> String {
    match node {
        Node::All(nodes) => {
            let (negative, positive): (Vec<_>, Vec<_>) =
                nodes.iter().partition(|node| matches!(node, Node::Not(_)));
            let positive: Vec<String> =
                positive.into_iter().map(|node| expression(node, words)).collect();
            let mut whole = if positive.is_empty() { everything() } else { positive.join(" AND ") };
            for node in negative {
                if let Node::Not(node) = node {
                    whole = format!("({whole}) NOT {}", expression(node, words));
                }
            }
            format!("({whole})")
        }
        Node::Any(nodes) => {
            let nodes: Vec<String> = nodes.iter().map(|node| expression(node, words)).collect();
            format!("({})", nodes.join(" OR "))
        }
        Node::Not(node) => format!("({} NOT {})", everything(), expression(node, words)),
        Node::Mark(mark) => format!("\"{}\"", mark.as_str()),
        Node::Phrase(phrase) => self::phrase(phrase, words),
    }
}

fn everything() -> String {
    format!("\"{}\"", Mark::everything().as_str())
}

fn phrase(phrase: &Phrase, words: &Words) -> String {
    let column = match phrase.field {
        // No token of a text is among the marks.
        Field::Anywhere => "",
        Field::Subject => "subject : ",
        Field::From => "sender : ",
        Field::To => "recipients : ",
        Field::Body => "body : ",
        Field::Name => "marks : ",
    };
    let whole = phrase.tokens.join(" ");
    if !phrase.is_prefix {
        return format!("({column}\"{whole}\")");
    }
    let last = phrase.tokens.last().map(String::as_str).unwrap_or_default();
    match words.get(last).filter(|words| !words.is_empty()) {
        None => format!("({column}\"{whole}\" *)"),
        Some(words) => {
            let stem = whole.strip_suffix(last).unwrap_or_default();
            let each: Vec<String> =
                words.iter().map(|word| format!("{column}\"{stem}{word}\"")).collect();
            format!("({})", each.join(" OR "))
        }
    }
}
