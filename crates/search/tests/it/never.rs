//! What no input brings about.

use proptest::prelude::*;
use search::{Document, Field, Node, highlight, snippet};

use crate::parse;

/// Text with everything in it that means something here or in a database.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-c]{1,3}",
        Just(" ".to_owned()),
        Just("\"".to_owned()),
        Just("subject:".to_owned()),
        Just("from:".to_owned()),
        Just("prop:".to_owned()),
        Just("=".to_owned()),
        Just(" OR ".to_owned()),
        Just(" NOT ".to_owned()),
        Just("after:2026 ".to_owned()),
        "[-()*:&|!<>'\\\\_^{}+,;%$@\u{0}\u{ad}\u{fdfa}日本カ\u{3099}é😀]",
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn is_token(token: &str) -> bool {
    let rest = token.strip_prefix('_').unwrap_or(token);
    !rest.is_empty()
        && rest.chars().all(|c| {
            c.is_ascii_alphanumeric() && !c.is_ascii_uppercase()
                || !c.is_ascii() && !c.is_whitespace()
        })
}

fn tokens(node: &Node) -> Vec<&str> {
    match node {
        Node::All(nodes) | Node::Any(nodes) => nodes.iter().flat_map(tokens).collect(),
        Node::Not(node) => tokens(node),
        Node::Mark(mark) => vec![mark.as_str()],
        Node::Phrase(phrase) => phrase.tokens.iter().map(String::as_str).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_query_holds_tokens_only_and_a_mistake_has_its_place(text in text()) {
        match parse(&text) {
            Ok(query) => for token in query.node.iter().flat_map(tokens) {
                prop_assert!(is_token(token), "{token:?}");
            },
            Err(error) => {
                let length = text.chars().count();
                prop_assert!(error.start + error.length <= length, "{error:?}");
                prop_assert!(!error.message.is_empty());
            }
        }
    }

    #[test]
    fn an_entry_holds_tokens_only_and_none_of_a_text_is_a_mark(text in text()) {
        let document = Document {
            subject: &text, body: &text, from: &text, to: vec![&text, &text],
            attachments: vec![&text], thread_id: Some(&text), source_id: &text,
            properties: vec![("string:Folder", search::Value::Text(&text))],
            ..Document::default()
        };
        let entry = document.entry();
        for text in [&entry.subject, &entry.body, &entry.from] {
            for token in text.split(' ').filter(|token| !token.is_empty()) {
                prop_assert!(is_token(token) && !token.starts_with('_'), "{token:?}");
            }
        }
        for token in entry.marks.split(' ') {
            prop_assert!(is_token(token) && token.starts_with('_'), "{token:?}");
        }
    }

    #[test]
    fn what_is_shown_is_within_the_text(query in text(), text in text()) {
        let Ok(query) = parse(&query) else { return Ok(()) };
        let length = text.chars().count();
        let mut last = 0;
        for span in highlight(&query, Field::Body, &text) {
            prop_assert!(last <= span.char_start && span.char_start < span.char_end);
            last = span.char_end;
        }
        prop_assert!(last <= length);
        let piece = snippet(&query, &text, 10);
        prop_assert!(piece.spans.iter().all(|own| own.char_end <= piece.text.chars().count()));
    }

    /// What somebody copies out of a text finds it.
    #[test]
    fn the_words_of_a_text_are_found_in_it(text in "[a-zé日本ｶ\u{3099} .'ß-]{1,30}") {
        let Ok(query) = parse(&format!("\"{text}\"")) else { return Ok(()) };
        prop_assert!(!highlight(&query, Field::Body, &text).is_empty(), "{query:?}");
    }
}
