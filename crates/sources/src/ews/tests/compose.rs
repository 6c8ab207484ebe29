//! Messages built from their parts.

use std::io::{self, Read};

use expect_test::{Expect, expect};
use record::{Body, Uid};

use crate::body::Limits;
use crate::ews::{
    compose::Composer,
    reply::{Address, Attachment, AttachmentKind, Content, ItemContent, Parts},
};

fn person(name: &str, email: &str) -> Address {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Address { name: some(name), email: some(email) }
}

fn file(name: &str) -> Attachment {
    Attachment {
        id: "A1".to_owned(),
        name: Some(name.to_owned()),
        content_type: Some("text/plain\r\nX-Evil: 1".to_owned()),
        content_id: Some("<c1@example.org>\r\n".to_owned()),
        is_inline: true,
        kind: AttachmentKind::File,
    }
}

#[track_caller]
fn check(
    parts: &Parts,
    item: &ItemContent,
    attach: impl FnOnce(&mut Composer, &Limits) -> io::Result<()>,
    expected: Expect,
) {
    let mut limits =
        Limits { spool_dir: "/nonexistent".into(), max_size: 1 << 20, memory: 1 << 20 };
    let mailbox = "abc@example.com".parse().unwrap();
    let uid = Uid::derive("exchange", &mailbox, b"k", "");
    let mut composer = Composer::begin(parts, item, uid, "ErrorItemCorrupt\r\n", &limits).unwrap();
    attach(&mut composer, &limits).unwrap();
    let body = composer.finish(&limits).unwrap().finish(&mut limits).unwrap();
    let mut text = String::new();
    body.reader().read_to_string(&mut text).unwrap();
    assert!(text.split("\r\n").all(|line| !line.contains(['\r', '\n'])), "{text:?}");
    expected.assert_eq(&text.replace("\r\n", "\n"));
}

#[test]
fn a_draft_is_built_from_its_properties() {
    let parts = Parts {
        subject: Some(
            "Grüße, ein langer Betreff mit vielen Wörtern und Umlauten wie ä und ö".to_owned(),
        ),
        from: Some(person("Ana \"A\" Ruiz", "ana@example.org")),
        to: vec![
            person("", "b@example.com"),
            person("Jörg", "c@example.com"),
            person("List", "/O=X/CN=LIST"),
        ],
        body: Some("Hallo Welt, ".repeat(8)),
        ..Parts::default()
    };
    let item = ItemContent {
        message_id: Some("<1@example.org>\r\nX-Evil: 1".to_owned()),
        created: chrono::DateTime::from_timestamp(1_795_300_000, 0),
        ..ItemContent::default()
    };
    check(
        &parts,
        &item,
        |_, _| Ok(()),
        expect![[r#"
        Date: Sat, 21 Nov 2026 22:26:40 +0000
        From: "Ana \"A\" Ruiz" <ana@example.org>
        To: <b@example.com>, =?UTF-8?B?SsO2cmc=?= <c@example.com>, "List":;
        Subject:
         =?UTF-8?B?R3LDvMOfZSwgZWluIGxhbmdlciBCZXRyZWZmIG1pdCB2aWVsZW4gV8O2cnRl?=
         =?UTF-8?B?cm4gdW5kIFVtbGF1dGVuIHdpZSDDpCB1bmQgw7Y=?=
        Message-ID: <1@example.org>??X-Evil: 1
        X-Tributary-Rebuilt: ErrorItemCorrupt??
        MIME-Version: 1.0
        Content-Type: text/plain; charset=utf-8
        Content-Transfer-Encoding: base64

        SGFsbG8gV2VsdCwgSGFsbG8gV2VsdCwgSGFsbG8gV2VsdCwgSGFsbG8gV2VsdCwgSGFsbG8gV2Vs
        dCwgSGFsbG8gV2VsdCwgSGFsbG8gV2VsdCwgSGFsbG8gV2VsdCwg
    "#]],
    );
}

#[test]
fn transport_headers_come_first_and_attachments_follow() {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let parts = Parts {
        headers: vec![
            header(
                "Received",
                "from a.example.org (a.example.org [192.0.2.1])\r\n\tby b.example.com with ESMTPS id 4711; Sat, 21 Nov 2026",
            ),
            header("Subject", "Hi\nX-Evil: 1"),
            header("Content-Type", "multipart/alternative; boundary=x"),
            header("MIME-Version", "1.0"),
            header("Bad Name", "x"),
        ],
        subject: Some("not used".to_owned()),
        body: Some("<p>Hi</p>".to_owned()),
        body_is_html: true,
        attachments: vec![file("a"), file("b"), file("c")],
        ..Parts::default()
    };
    let attach = |composer: &mut Composer, limits: &Limits| {
        let text = |text: &'static str| Body::Memory(text.as_bytes().into());
        composer.attach(&file("Prüfung \"1\".pdf"), Content::File(0), &text("ABC"), limits)?;
        let forwarded = Attachment { content_id: None, ..file("f") };
        composer.attach(&forwarded, Content::Message(0), &text("Subject: x\r\n\r\ny"), limits)?;
        composer.note(&file("c"), "ErrorItemCorrupt", limits)
    };
    check(
        &parts,
        &ItemContent::default(),
        attach,
        expect![[r#"
        Received: from a.example.org (a.example.org [192.0.2.1]) by b.example.com
         with ESMTPS id 4711; Sat, 21 Nov 2026
        Subject: Hi X-Evil: 1
        X-Tributary-Rebuilt: ErrorItemCorrupt??
        MIME-Version: 1.0
        Content-Type: multipart/mixed;
         boundary="=_rebuilt_eb92d1d7659b2ff3237e63d096b45f2b"

        --=_rebuilt_eb92d1d7659b2ff3237e63d096b45f2b
        Content-Type: text/html; charset=utf-8
        Content-Transfer-Encoding: base64

        PHA+SGk8L3A+
        --=_rebuilt_eb92d1d7659b2ff3237e63d096b45f2b
        Content-Type: application/octet-stream
        Content-Disposition: inline;
         filename*=UTF-8''Pr%C3%BCfung%20%221%22.pdf
        Content-ID: <c1@example.org>??>
        Content-Transfer-Encoding: base64

        QUJD
        --=_rebuilt_eb92d1d7659b2ff3237e63d096b45f2b
        Content-Type: message/rfc822
        Content-Disposition: inline;
         filename*=UTF-8''f
        Content-Transfer-Encoding: 8bit

        Subject: x

        y
        --=_rebuilt_eb92d1d7659b2ff3237e63d096b45f2b
        Content-Type: text/plain; charset=utf-8
        Content-Transfer-Encoding: base64

        VGhlIGF0dGFjaG1lbnQgImMiIGNvdWxkIG5vdCBiZSByZWFkOiBFcnJvckl0ZW1Db3JydXB0DQo=
        --=_rebuilt_eb92d1d7659b2ff3237e63d096b45f2b--
    "#]],
    );
}
