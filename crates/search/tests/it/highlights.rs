//! Which ranges of a text a query shows.

use search::{Field, highlight, snippet};

use crate::parse;

/// The text with brackets around what is shown.
fn shown(query: &str, field: Field, text: &str) -> String {
    let spans = highlight(&parse(query).unwrap(), field, text);
    let units: Vec<u16> = text.encode_utf16().collect();
    let mut whole = String::new();
    for (at, c) in text.chars().enumerate() {
        for span in &spans {
            if span.char_start == at {
                let own = &units[span.utf16_byte_start / 2..span.utf16_byte_end / 2];
                let by_characters: String =
                    text.chars().skip(at).take(span.char_end - at).collect();
                assert_eq!(String::from_utf16(own).unwrap(), by_characters);
                whole.push('[');
            }
        }
        whole.push(c);
        whole.push_str(if spans.iter().any(|span| span.char_end == at + 1) { "]" } else { "" });
    }
    whole
}

#[test]
fn words_phrases_and_prefixes_are_shown_in_the_original() {
    for (query, text, expected) in [
        ("cafe", "A Café, a cafe\u{301}!", "A [Café], a [cafe\u{301}]!"),
        ("\"due date\"", "due, due date; due\nDATE date", "due, [due date]; [due\nDATE] date"),
        ("inv*", "Invoice inversion in", "[Invoice] [inversion] in"),
        ("\"a b\" b", "😀 a b b", "😀 [a b] [b]"),
        ("\"a a b\"", "a a a b", "a [a a b]"),
        ("本", "日本語 本", "日[本]語 [本]"),
        ("日本語", "これは日本語です", "これは[日本語]です"),
        ("x -y", "x y", "[x] y"),
        ("subject:x body:y", "x y", "x [y]"),
        ("ann@example.com", "to ann@example.com.", "to [ann@example.com]."),
        ("strasse", "Die Straße", "Die [Straße]"),
        ("", "x", "x"),
    ] {
        assert_eq!(shown(query, Field::Body, text), expected, "{query}");
    }
}

#[test]
fn a_snippet_shows_the_densest_place() {
    let query = parse("alpha beta").unwrap();
    let text = format!("alpha {} alpha beta {} end", "filler ".repeat(100), "after ".repeat(100));
    let piece = snippet(&query, &text, 120);
    assert!(piece.text.contains("alpha beta") && piece.text.starts_with("filler"), "{piece:?}");
    assert!(!piece.is_start && !piece.is_end && piece.text.chars().count() <= 120);
    let whole: String =
        text.chars().skip(piece.char_start).take(piece.text.chars().count()).collect();
    assert_eq!(whole, piece.text);
    let marked: Vec<String> = piece
        .spans
        .iter()
        .map(|own| {
            piece.text.chars().skip(own.char_start).take(own.char_end - own.char_start).collect()
        })
        .collect();
    assert_eq!(marked, ["alpha", "beta"]);
    let short = snippet(&query, "an alpha", 120);
    assert_eq!((short.text.as_str(), short.is_start, short.is_end), ("an alpha", true, true));
    let none = snippet(&parse("subject:x").unwrap(), &text, 100);
    assert!(none.is_start && none.spans.is_empty() && none.text.starts_with("alpha filler"));
}
