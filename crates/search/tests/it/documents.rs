//! What of a comment the index holds.

use search::{Document, Mark, Value};

fn document<'a>() -> Document<'a> {
    Document {
        project_id: "00000000000000bb",
        source_id: "00000000000000aa",
        thread_id: Some("thread"),
        subject: "Re: Invoice",
        body: "Dear Ann, 日本",
        from: "Bob Lee <Bob@mail.eu.example.com>",
        to: vec!["ann@example.org", "Carl"],
        properties: vec![
            ("string:Folder", Value::Text("Inbox/Claims")),
            ("number:Score", Value::Number(-0.0)),
        ],
        attachments: vec!["Annual Report.pdf", "b.txt"],
    }
}

#[test]
fn texts_become_tokens_and_the_rest_marks() {
    let entry = document().entry();
    assert_eq!(entry.subject, "re invoice");
    assert_eq!(entry.body, "dear ann 日本 本");
    assert_eq!(entry.from, "bob lee bob mail eu example com");
    assert_eq!(entry.to, "ann example org _b carl");
    assert!(entry.marks.starts_with("_nannual _nreport _npdf _b _nb _ntxt _b "), "{}", entry.marks);
    let marks: Vec<&str> = entry.marks.split(' ').collect();
    for mark in [
        Mark::everything(),
        Mark::source("00000000000000aa"),
        Mark::project("00000000000000bb"),
        Mark::thread("thread"),
        Mark::has_attachment(),
        Mark::from_address("bob@MAIL.eu.example.com"),
        Mark::from_domain("example.com"),
        Mark::from_domain("eu.example.com"),
        Mark::to_domain("example.org"),
        Mark::folder("inbox"),
        Mark::folder("Inbox/claims"),
        Mark::property("string:folder"),
        Mark::text_property("string:Folder", "inbox/claims"),
        Mark::number_property("number:Score", 0.0),
    ] {
        assert!(marks.contains(&mark.as_str()), "{mark:?}");
    }
    for mark in [Mark::from_domain("com"), Mark::to_domain("example.com"), Mark::thread("Thread")] {
        assert!(!marks.contains(&mark.as_str()), "{mark:?}");
    }
}

#[test]
fn no_comment_is_too_large_for_a_database() {
    let body: String = ('\u{20000}'..).take(65_536).collect();
    let address = format!("{}@{}.example.com", "\u{fdfa}".repeat(100), "x".repeat(200));
    let others: Vec<String> = (0..2_048).map(|number| format!("{number}{address}")).collect();
    let entry = Document {
        subject: &"\u{fdfa} ".repeat(10_000),
        body: &body,
        to: others.iter().map(String::as_str).collect(),
        attachments: others.iter().take(128).map(String::as_str).collect(),
        ..document()
    }
    .entry();
    let texts = [&entry.subject, &entry.from, &entry.to, &entry.body, &entry.marks];
    let mut tokens: Vec<&str> = texts.iter().flat_map(|text| text.split(' ')).collect();
    tokens.sort_unstable();
    tokens.dedup();
    // An entry, a count and four places of two bytes each, aligned.
    let size: usize = tokens.iter().map(|token| token.len() + 4 + 2 + 8 + 2).sum();
    assert!(tokens.len() > 20_000 && size < 1_000_000, "{} tokens, {size} bytes", tokens.len());
}
