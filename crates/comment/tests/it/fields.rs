//! Field by field: what of an email is where in its comment.

use std::io::Read;

use comment::{
    Attachment, Change, Delivery, MailboxProperty, Note, Pieces, Transform, comment_id, convert,
    convert_pieces, email_id,
};
use expect_test::{Expect, expect};
use record::Metadata;

use crate::{convert_plainly, convert_with};

#[track_caller]
fn check_body(raw: &[u8], expected: Expect) {
    expected.assert_eq(&convert_plainly(raw).comment.messages[0].body.text);
}

#[test]
fn each_field_has_its_source() {
    let raw = "From: =?utf-8?B?SsO8cmdlbg==?= <J@Example.COM>\r\nTo: a@example.org, \"Doe, Jane\" <b@example.net>\r\n\
        Cc: c@example.org\r\nSubject: =?iso-8859-1?Q?Gr=FC=DFe?=\r\n =?iso-8859-1?Q?_aus?= Bremen\r\n\
        Date: Mon, 3 Mar 2025 10:15:00 +0100\r\nMessage-ID: <2@example.com>\r\n\
        References: <1@example.com> <1b@example.com>\r\n\r\nHallo,\r\n\r\ndas ist es.\r\n";
    let metadata =
        Metadata { folder: vec!["Inbox".to_owned(), "Claims".to_owned()], ..Metadata::default() };
    let delivery = Delivery {
        email_id: "<2@example.com>",
        mailbox: "Claims@Example.com",
        timestamp: "2025-03-03T10:00:00Z".parse().unwrap(),
        metadata: &metadata,
        listed: &[],
    };
    let transform =
        Transform { mailbox_property: MailboxProperty::Normalized, ..Transform::default() };
    let converted = convert(raw.as_bytes(), &delivery, &transform);
    expect![[r#"
        {
          "id": "3c32406578616d706c652e636f6d3e",
          "timestamp": "2025-03-03T09:15:00Z",
          "thread_id": "3c31406578616d706c652e636f6d3e",
          "user_properties": {
            "string:Folder": "Inbox/Claims",
            "string:Mailbox ID": "claims@example.com",
            "string:Recipient Domain": "example.org",
            "string:Sender Domain": "example.com"
          },
          "messages": [
            {
              "from": "Jürgen <J@Example.COM>",
              "to": [
                "a@example.org",
                "\"Doe, Jane\" <b@example.net>"
              ],
              "cc": [
                "c@example.org"
              ],
              "sent_at": "2025-03-03T09:15:00Z",
              "subject": {
                "text": "Grüße aus Bremen"
              },
              "body": {
                "text": "Hallo,\n\ndas ist es."
              }
            }
          ],
          "text_format": "plain"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&converted.comment).unwrap());
    let back: comment::Comment =
        serde_json::from_str(&serde_json::to_string(&converted.comment).unwrap()).unwrap();
    assert_eq!(back, converted.comment);
}

#[test]
fn ids_are_hex_with_brackets() {
    assert_eq!(comment_id("<a@b>"), "3c6140623e");
    assert_eq!(comment_id(&"x".repeat(600)).len(), 64);
    assert_eq!(email_id(b"message-id:\r\n <a@b>\r\n\r\n"), Some("<a@b>".to_owned()));
}

#[test]
fn a_date_in_the_future_is_not_the_time_of_the_comment() {
    let converted = convert_plainly(b"Date: Mon, 3 Mar 2098 10:15:00 +0000\r\n\r\nx");
    assert_eq!(converted.comment.timestamp.to_rfc3339(), "2024-10-04T00:00:00+00:00");
    assert!(converted.comment.messages[0].sent_at.is_some());
}

#[test]
fn character_sets_are_read() {
    let with = |charset: &str, body: &[u8]| {
        [format!("Content-Type: text/plain; charset={charset}\r\n\r\n").as_bytes(), body].concat()
    };
    check_body(&with("windows-1251", b"\xcf\xf0\xe8\xe2\xe5\xf2"), expect!["Привет"]);
    check_body(&with("koi8-r", b"\xf0\xd2\xc9\xd7\xc5\xd4"), expect!["Привет"]);
    check_body(&with("gb2312_charset", b"\xc4\xe3\xba\xc3"), expect!["你好"]);
    check_body(&with("iso-2022-jp", b"\x1b$B$3$s\x1b(B"), expect!["こん"]);
    check_body(&with("utf-7", b"Hi +AOk-t+AOk- 1+-1"), expect!["Hi été 1+1"]);
    check_body(&with("unknown-8bit", b"caf\xe9"), expect!["café"]);
    check_body(&with("cp1252", b"\x80 5"), expect!["€ 5"]);
    check_body(&with("utf-16", b"\xfe\xff\0H\0i"), expect!["Hi"]);
}

#[test]
fn broken_structure_still_gives_the_text() {
    check_body(
        b"Subject: x\r\nno blank line follows here\r\nbut text does\r\nand more\r\n",
        expect![[r#"
        no blank line follows here
        but text does
        and more"#]],
    );
    check_body(
        b"Content-Type: multipart/mixed\r\n\r\n--zz\r\nContent-Type: text/plain\r\n\r\nfound\r\n--zz--\r\n",
        expect!["found"],
    );
    check_body(
        b"Content-Type: multipart/mixed; boundary=no\r\n\r\njust text\r\n",
        expect!["just text"],
    );
    check_body(b"Subject: mac\rX: y\r\rone\rtwo\r", expect!["one\ntwo"]);
    check_body(
        b"Subject: x\nContent-Transfer-Encoding: x-uuencode\n\nbegin 644 a\n#0V%T\n`\nend\n",
        expect!["Cat"],
    );
}

#[test]
fn flowed_lines_are_joined() {
    check_body(
        b"Content-Type: text/plain; format=flowed; delsp=yes\r\n\r\nOne \r\ntwo\r\n three \r\nfour\r\n",
        expect!["Onetwo\nthreefour"],
    );
}

#[test]
fn html_becomes_text() {
    let html =
        |body: &str| format!("Content-Type: text/html; charset=utf-8\r\n\r\n{body}").into_bytes();
    check_body(
        &html(
            "<title>no</title><style>p{}</style><p>A&nbsp;&eacute;&#8364;&copy b</p><p>second<br>line</p><ul><li>one<li>two</ul><ol start=3><li>three</ol>",
        ),
        expect![[r#"
            A é€© b

            second
            line

            - one
            - two
            3. three"#]],
    );
    check_body(
        &html(
            "<table><tr><td>Name</td><td>Jane</td></tr><tr><td>Age<td>7</table><div style='display: none'>hidden</div><!-- c --><![if !mso]>shown<![endif]>",
        ),
        expect!["Name\tJane\nAge\t7\nshown"],
    );
    check_body(
        &html("a < b and c <3 <a href='x>y'>link</a> end"),
        expect!["a < b and c <3 link end"],
    );
}

#[test]
fn the_better_alternative_is_taken() {
    let both = |plain: &str, html: &str| {
        format!("Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n{plain}\r\n--b\r\nContent-Type: text/html\r\n\r\n{html}\r\n--b--\r\n").into_bytes()
    };
    check_body(&both("Plain text", "<p>HTML text</p>"), expect!["Plain text"]);
    check_body(&both("", "<p>HTML text</p>"), expect!["HTML text"]);
    let long = format!("<p>{}</p>", "word ".repeat(300));
    let text = convert_plainly(&both("Your mail program shows no HTML.", &long));
    assert!(text.comment.messages[0].body.text.starts_with("word word"));
}

#[test]
fn markup_counts_in_characters_and_in_utf16_bytes() {
    let raw = "Content-Type: text/html; charset=utf-8\r\n\r\n<p>\u{1f600} <b>bold</b> <a href=\"https://example.com/?a=1&amp;b=2\">link</a><br>x</p><img alt=logo>";
    let transform = Transform::from_tag("generic-markup.0.CONVKER5").unwrap();
    let comment = convert_with(raw.as_bytes(), &transform).comment;
    assert_eq!(comment.text_format, "markdown");
    expect![[r#"{"text":"😀 bold link\nx","text_markup":[{"span":{"char_start":0,"char_end":13,"utf16_byte_start":0,"utf16_byte_end":28},"kind":"paragraph"},{"span":{"char_start":2,"char_end":6,"utf16_byte_start":6,"utf16_byte_end":14},"kind":"style","name":"bold"},{"span":{"char_start":7,"char_end":11,"utf16_byte_start":16,"utf16_byte_end":24},"kind":"link","href":"https://example.com/?a=1&b=2"},{"span":{"char_start":11,"char_end":11,"utf16_byte_start":24,"utf16_byte_end":24},"kind":"break","name":"br"},{"span":{"char_start":13,"char_end":13,"utf16_byte_start":28,"utf16_byte_end":28},"kind":"image","alt":"logo"}]}"#]]
    .assert_eq(&serde_json::to_string(&comment.messages[0].body).unwrap());
}

#[test]
fn attachments_have_names_sizes_hashes_and_content() {
    let raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee below.\r\n--b\r\n\
        Content-Type: application/pdf\r\nContent-Disposition: attachment; filename*=utf-8''R%C3%A4t%2Fsel.pdf\r\n\
        Content-Transfer-Encoding: base64\r\n\r\naGVs\r\nbG8=\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: inner\r\n\r\ninner text\r\n--b\r\nContent-Type: application/ms-tnef; name=winmail.dat\r\n\r\nx\r\n--b\r\n\
        Content-Type: image/png; name=\"=?utf-8?Q?=C3=A9.png?=\"\r\nContent-ID: <1@x>\r\nContent-Disposition: inline\r\n\r\ny\r\n--b--\r\n";
    let converted = convert_plainly(raw);
    let list: Vec<String> = converted
        .comment
        .attachments
        .iter()
        .map(|it| format!("{} {} {} {}", it.name, it.size, it.content_type, it.inline))
        .collect();
    expect![[r#"
        sel.pdf 5 application/pdf false
        inner.eml 28 message/rfc822 false
        winmail.dat 1 application/ms-tnef false
        é.png 1 image/png true"#]]
    .assert_eq(&list.join("\n"));
    assert_eq!(
        converted.comment.attachments[0].content_hash.as_deref(),
        Some("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
    );
    let mut content = String::new();
    converted.files[0].reader(raw).read_to_string(&mut content).unwrap();
    assert_eq!(content, "hello");
    assert_eq!(converted.files[3].content_id.as_deref(), Some("1@x"));
    assert!(converted.notes.contains(&Note::Tnef));
    assert_eq!(converted.comment.messages[0].body.text, "See below.");
}

#[test]
fn a_signed_message_is_taken_out_of_its_signature() {
    let inner = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nInner text\r\n--b\r\nContent-Type: image/gif; name=a.gif\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--b--\r\n";
    let value = |tag: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82][..], &length, content].concat()
    };
    let data =
        [&b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"[..], &value(0xa0, &value(0x04, inner))]
            .concat();
    let signed = [&b"\x02\x01\x01\x31\x00"[..], &value(0x30, &data)].concat();
    let info =
        [&b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"[..], &value(0xa0, &value(0x30, &signed))]
            .concat();
    let head = b"Subject: s\r\nContent-Type: application/pkcs7-mime; smime-type=signed-data\r\nContent-Transfer-Encoding: binary\r\n\r\n";
    let raw = [&head[..], &value(0x30, &info)].concat();
    let converted = convert_plainly(&raw);
    let comment = &converted.comment;
    assert_eq!(comment.messages[0].body.text, "Inner text");
    assert_eq!(comment.messages[0].subject.as_ref().unwrap().text, "s");
    assert_eq!(comment.attachments[0].name, "a.gif");
    let mut content = String::new();
    converted.files[0].reader(&raw).read_to_string(&mut content).unwrap();
    assert_eq!(content, "hello");
    assert!(converted.notes.contains(&Note::Unwrapped));
}

#[test]
fn an_invitation_without_text_says_what_it_is() {
    check_body(
        b"Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Board\r\n  meeting\r\nLOCATION:Room 1\\, Leeds\r\nDTSTART:20250303T100000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
        expect!["Board meeting\nRoom 1, Leeds\n20250303T100000Z"],
    );
}

#[test]
fn a_delivery_report_is_its_text() {
    let raw = b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\nCould not deliver.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nSubject: x\r\n--b--\r\n";
    let converted = convert_plainly(raw);
    assert_eq!(converted.comment.messages[0].body.text, "Could not deliver.");
    let names: Vec<&str> =
        converted.comment.attachments.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["delivery-status.txt", "headers.txt"]);
}

#[test]
fn thanks_alone_are_an_answer() {
    check_body(b"Subject: Re: x\r\nIn-Reply-To: <x@y>\r\n\r\nThanks!\r\n", expect!["Thanks!"]);
}

#[test]
fn quotes_of_the_great_programs_are_cut() {
    let html = |body: &str| {
        format!("Subject: Re: x\r\nIn-Reply-To: <x@y>\r\nContent-Type: text/html\r\n\r\n{body}")
            .into_bytes()
    };
    // Gmail, with an answer below the quote.
    check_body(
        &html(
            "<div>Top</div><div class=\"gmail_quote\"><div class=\"gmail_attr\">On Mon Jane wrote:<br></div><blockquote class=\"gmail_quote\">old</blockquote><div>Below</div></div>",
        ),
        expect!["Top\nBelow"],
    );
    // Outlook on the web, Outlook for Windows, Outlook on a telephone.
    check_body(
        &html(
            "<div>Top</div><div id=\"appendonsend\"></div><hr><div id=\"divRplyFwdMsg\"><b>Von:</b> A</div><div>old</div>",
        ),
        expect!["Top"],
    );
    check_body(
        &html(
            "<p class=MsoNormal>Top</p><div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm'><p class=MsoNormal><b>From:</b> A<br>x</p></div><p>old</p>",
        ),
        expect!["Top"],
    );
    check_body(
        &html(
            "<div>Top</div><div id=\"ms-outlook-mobile-signature\">Get Outlook for iOS</div><div id=\"mail-editor-reference-message-container\">old</div>",
        ),
        expect!["Top"],
    );
    // A blockquote by the sender's own hand stays.
    check_body(
        &html("<p>She said</p><blockquote>Be kind</blockquote><p>and left.</p>"),
        expect![[r#"
        She said

        Be kind

        and left."#]],
    );
}

#[test]
fn a_forwarded_message_is_kept() {
    let raw = "Subject: Fwd: x\r\n\r\nFor you.\r\n\r\nBest,\r\nAnn\r\n\r\n---------- Forwarded message ---------\r\nFrom: Bob <b@example.com>\r\nDate: Mon, 3 Mar 2025\r\nSubject: x\r\nTo: <a@example.com>\r\n\r\nThe message.\r\n";
    let converted = convert_plainly(raw.as_bytes());
    let message = &converted.comment.messages[0];
    assert!(
        message.body.text.starts_with("For you.\n\n---------- Forwarded"),
        "{}",
        message.body.text
    );
    assert!(message.body.text.ends_with("The message."));
    assert_eq!(message.signature.as_ref().unwrap().text, "Best,\nAnn");
}

#[test]
fn pieces_make_the_same_comment() {
    let metadata = Metadata::default();
    let listed = [Attachment { name: "a.txt".to_owned(), ..Attachment::default() }];
    let delivery = Delivery {
        email_id: "<a@b>",
        mailbox: "m",
        timestamp: chrono::DateTime::UNIX_EPOCH,
        metadata: &metadata,
        listed: &listed,
    };
    let pieces =
        Pieces { headers: b"Subject: s\r\nFrom: a@b.example", plain: Some("Hi\n"), html: None };
    let comment = convert_pieces(&pieces, &delivery, &Transform::default()).comment;
    assert_eq!(comment.messages[0].body.text, "Hi");
    assert_eq!(comment.messages[0].from.as_deref(), Some("a@b.example"));
    assert_eq!(comment.attachments, listed);
}

#[test]
fn changes_are_told_apart() {
    let one = convert_plainly(b"Subject: a\r\n\r\nx").comment;
    let mut other = one.clone();
    assert_eq!(other.change_from(&one), Change::Unchanged);
    other.user_properties.insert("string:x".to_owned(), comment::Property::Text("y".to_owned()));
    assert_eq!(other.change_from(&one), Change::PropertiesOnly);
    other.thread_id = None;
    assert_eq!(other.change_from(&one), Change::Other);
    other.messages[0].body.text.push('!');
    assert_eq!(other.change_from(&one), Change::Text);
}

#[test]
fn tags_that_do_not_exist_are_none() {
    assert!(Transform::from_tag("generic.1.CONVKER5").is_none());
    for (tag, markup) in Transform::TAGS {
        assert!(Transform::from_tag(tag).is_some());
        assert!(markup.is_none_or(|it| Transform::from_tag(it).is_some()));
    }
}
