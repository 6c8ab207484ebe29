//! Messages that are made to break a parser: bounded memory, work in proportion, a named reason.

use comment::{Converted, Note};

use crate::convert_plainly;

/// Bytes allocated in total while converting: a measure of the work, which neither another load of
/// the machine changes nor another test of this process, since each thread is counted by itself.
fn allocated(raw: &[u8]) -> (Converted, usize) {
    let mut converted = None;
    let counted = allocation_counter::measure(|| converted = Some(convert_plainly(raw)));
    (converted.unwrap(), usize::try_from(counted.bytes_total).unwrap())
}

/// The message, of a size that grows with the number, costs at most `factor` times its bytes and
/// a fixed amount, and four times the message not much more than four times as much.
#[track_caller]
fn check(make: impl Fn(usize) -> Vec<u8>, size: usize, factor: usize, expected: &[Note]) {
    const FIXED: usize = 1 << 20;
    let (small, large) = (make(size / 4), make(size));
    let (_, work_small) = allocated(&small);
    let (converted, work) = allocated(&large);
    assert!(work <= factor * large.len() + FIXED, "{work} bytes for {}", large.len());
    assert!(work <= 6 * work_small + FIXED, "{work_small} grew to {work}");
    for note in expected {
        assert!(converted.notes.contains(note), "{note:?} is not in {:?}", converted.notes);
    }
}

fn repeat(head: &str, piece: impl Fn(usize) -> String, count: usize) -> Vec<u8> {
    let mut raw = head.to_owned();
    for index in 0..count {
        raw.push_str(&piece(index));
    }
    raw.into_bytes()
}

#[test]
fn nested_messages_are_one_attachment() {
    let make = |n| repeat("", |_| "Content-Type: message/rfc822\r\n\r\n".to_owned(), n);
    check(make, 50_000, 4, &[]);
    assert_eq!(convert_plainly(&make(50_000)).comment.attachments.len(), 1);
}

#[test]
fn nested_multiparts_end_at_the_limit() {
    let make = |n| {
        repeat("", |i| format!("Content-Type: multipart/mixed; boundary=b{i}\r\n\r\n--b{i}\r\n"), n)
    };
    check(make, 50_000, 4, &[Note::TooDeep]);
}

#[test]
fn a_million_parts_end_at_the_limit() {
    let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    check(|n| repeat(head, |_| "--b\r\n\r\n".to_owned(), n), 1_000_000, 4, &[Note::TooManyParts]);
}

#[test]
fn two_hundred_thousand_continuations_end_at_the_limit() {
    let make = |n| {
        let head = "Content-Type: text/plain";
        let mut raw = repeat(head, |i| format!(";\r\n name*{i}=x"), n);
        raw.extend_from_slice(b"\r\n\r\ntext");
        raw
    };
    check(make, 200_000, 4, &[Note::HeaderTooLarge]);
    check(make, 5_000, 40, &[Note::TooManyParameters]);
}

#[test]
fn huge_header_lines_and_many_headers_end_at_the_limit() {
    check(|n| repeat("Subject: ", |_| "x".to_owned(), n), 8_000_000, 4, &[Note::HeaderTooLarge]);
    let many = |n| repeat("", |i| format!("X-{i}: y\r\n"), n);
    check(many, 100_000, 4, &[Note::HeaderTooLarge]);
}

#[test]
fn encoded_words_that_never_end_stay_text() {
    check(|n| repeat("Subject: ", |_| "=?utf-8?Q?".to_owned(), n), 25_000, 40, &[]);
    check(|n| repeat("Subject: ", |_| "=?utf-8?Q?a?= ".to_owned(), n), 18_000, 60, &[]);
}

#[test]
fn a_hundred_thousand_recipients_end_at_the_limit() {
    let make = |n| repeat("To: ", |i| format!("a{i}@b.example,\r\n "), n);
    check(make, 100_000, 40, &[Note::HeaderTooLarge, Note::TooManyAddresses]);
    assert_eq!(convert_plainly(&make(100_000)).comment.messages[0].to.len(), 2_048);
}

#[test]
fn boundaries_that_begin_like_others_are_told_apart() {
    let raw = b"Content-Type: multipart/mixed; boundary=ab\r\n\r\n--abc\r\nno part\r\n--ab\r\n\r\n\
        one\r\n--abcd\r\nstill one\r\n--ab--x\r\nstill one too\r\n--ab--\r\nafter";
    let body = convert_plainly(raw).comment.messages.remove(0).body.text;
    assert_eq!(body, "one\n--abcd\nstill one\n--ab--x\nstill one too");
    let long = "x".repeat(60);
    let make = |n| {
        let head =
            format!("Content-Type: multipart/mixed; boundary={long}\r\n\r\n--{long}\r\n\r\n");
        repeat(&head, |_| format!("--{}\r\n", long.get(..59).unwrap()), n)
    };
    check(make, 100_000, 8, &[]);
}

#[test]
fn html_of_any_depth_is_flat_work() {
    let html = "Content-Type: text/html\r\n\r\n";
    for piece in [
        "<div>",
        "<table><tr><td>",
        "<b><i>",
        "</p>",
        "<a href=\"",
        "<!--",
        "<style>",
        "&",
        "<li>x",
        "<blockquote>a",
        "<p style='display:none'>",
        "<br>",
        "<ol start=4294967295><li>a",
    ] {
        check(|n| repeat(html, |_| piece.to_owned(), n), 40_000, 60, &[]);
    }
}

#[test]
fn lines_that_look_like_quotes_are_flat_work() {
    for piece in [
        "a wrote:\n",
        "From: a\n",
        "From: a,\n,\n,\n",
        "To: a;\u{b}From: b;\u{b}c;\u{b}",
        "> \n",
        ">",
        "-- \n",
        "On 1 May 2025 at 10:00 <a@b.c>\nx wrote:\n",
        "Best regards,\n\n",
        "\r",
        ":\n",
        "Tel 0123456789\n\n",
        "a\n\n",
    ] {
        check(|n| repeat("In-Reply-To: <x@y>\n\n", |_| piece.to_owned(), n), 20_000, 120, &[]);
    }
}

#[test]
fn zero_bytes_and_bytes_of_no_character_set_are_text() {
    let converted = convert_plainly(b"Subject: a\0b\xff\r\n\r\nHello\0 world\x01 \xff\xfe end");
    let message = &converted.comment.messages[0];
    assert!(message.body.text.starts_with("Hello world"), "{:?}", message.body.text);
    assert!(!message.body.text.contains('\0'));
    assert!(!message.subject.as_ref().unwrap().text.contains('\0'));
    assert!(converted.notes.contains(&Note::UnreadableCharacters));
}

#[test]
fn base64_that_was_cut_is_read_to_the_cut() {
    let converted = convert_plainly(
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nSGVsbG8gd29ybGQhIQ",
    );
    assert_eq!(converted.comment.messages[0].body.text, "Hello world!!");
}

#[test]
fn character_sets_that_lie_are_seen_through() {
    let utf8_as_latin = b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\nGr\xc3\xbc\xc3\x9fe";
    assert_eq!(convert_plainly(utf8_as_latin).comment.messages[0].body.text, "Gr\u{fc}\u{df}e");
    let latin_as_utf8 = b"Content-Type: text/plain; charset=utf-8\r\n\r\nviele Gr\xfc\xdfe";
    assert_eq!(
        convert_plainly(latin_as_utf8).comment.messages[0].body.text,
        "viele Gr\u{fc}\u{df}e"
    );
}

#[test]
fn an_empty_message_and_every_start_of_one_become_a_comment() {
    let raw = b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=\"x\"\r\n\r\n--x\r\n\
        Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>a=3D&amp;b\r\n\
        --x\r\nContent-Type: application/pdf; name*0*=utf-8''a%C3; name*1*=%A4\r\n\r\nJVBER\r\n--x--\r\n";
    for end in 0..=raw.len() {
        let converted = convert_plainly(raw.get(..end).unwrap());
        assert_eq!(converted.comment.messages.len(), 1);
    }
}

#[test]
fn attachments_end_at_the_limit() {
    let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    let raw =
        repeat(head, |i| format!("--b\r\nContent-Type: image/png; name={i}.png\r\n\r\nx\r\n"), 500);
    let converted = convert_plainly(&raw);
    assert_eq!(converted.comment.attachments.len(), 128);
    assert!(converted.notes.contains(&Note::TooManyAttachments));
}

#[test]
fn a_body_longer_than_a_comment_is_cut_and_says_so() {
    let raw = repeat("Subject: x\r\n\r\n", |i| format!("line {i} \u{1f600}\r\n"), 20_000);
    let converted = convert_plainly(&raw);
    assert_eq!(converted.comment.messages[0].body.text.chars().count(), 65_536);
    assert!(converted.notes.contains(&Note::BodyCut));
}

#[test]
fn text_of_too_many_lines_or_bytes_is_read_to_the_limit() {
    let lines = repeat("Subject: x\r\n\r\n", |_| "x\r\n".to_owned(), 60_000);
    assert!(convert_plainly(&lines).notes.contains(&Note::TextTooLong));
    let html = repeat("Content-Type: text/html\r\n\r\n", |_| "<p>word word".to_owned(), 120_000);
    assert!(convert_plainly(&html).notes.contains(&Note::TextTooLong));
}
