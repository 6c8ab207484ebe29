//! What becomes of messages that are not Unicode.

use std::{io::Write, sync::Arc};

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(message: &[u8], expected: Expect) {
    let text = to_unicode(message.to_vec());
    assert!(text.is_ascii());
    for buffer in [1, 2, 5, 100] {
        assert!(from_file(message, buffer) == text, "read {buffer} bytes at a time");
    }
    expected.assert_eq(&text.replace('\r', ""));
}

/// The same out of a file that is read in pieces.
fn from_file(message: &[u8], buffer: usize) -> String {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(message).unwrap();
    let size = message.len() as u64;
    let mut out = Vec::new();
    rewrite_input(Input::File { file: &file, size, buffer }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn unicode_passes_as_it_is() {
    let text = "Subject: Grüße\r\n\r\nSchöne Grüße\r\n";
    assert_eq!(to_unicode(text.into()), text);
}

#[test]
fn text_in_an_old_charset_keeps_its_declaration() {
    check(
        b"Subject: x\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
          Content-Transfer-Encoding: 8bit\r\n\r\nSch\xf6ne Gr\xfc\xdfe = gut \r\nund mehr\r\n",
        expect![[r#"
            Subject: x
            Content-Type: text/plain; charset=iso-8859-1
            Content-Transfer-Encoding: quoted-printable

            Sch=F6ne Gr=FC=DFe =3D gut=20
            und mehr
        "#]],
    );
}

#[test]
fn a_message_without_mime_gets_what_it_needs() {
    check(
        b"Subject: x\n\nSch\xf6n\n",
        expect![[r#"
            Subject: x
            MIME-Version: 1.0
            Content-Transfer-Encoding: quoted-printable

            Sch=F6n
        "#]],
    );
}

#[test]
fn only_the_parts_that_need_it_change() {
    check(
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"a b\"\r\n\
          Content-Transfer-Encoding: 8bit\r\n\r\nnot for r\xe9aders\r\n--a b\r\n\r\nplain\r\n\
          --a b\r\nContent-Type: application/octet-stream\r\n\
          Content-Transfer-Encoding: binary\r\n\r\n\x00\x01\xff\xfe\r\n\
          --a b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\n\xe4 in\r\n\
          --a b--\r\n",
        expect![[r#"
            MIME-Version: 1.0
            Content-Type: multipart/mixed; boundary="a b"
            Content-Transfer-Encoding: 7bit

            not for r?aders
            --a b

            plain
            --a b
            Content-Type: application/octet-stream
            Content-Transfer-Encoding: base64

            AAH//g==
            --a b
            Content-Type: message/rfc822

            Subject: in
            Content-Transfer-Encoding: quoted-printable

            =E4 in
            --a b--
        "#]],
    );
}

#[test]
fn headers_get_encoded_words() {
    check(
        b"Subject: Re: Gr\xfc\xdfe an alle\r\nFrom: J\xfcrgen M\xfcller <a@example.com>,\r\n \
          \"M\xfcller, J.\" <b@example.com>\r\nContent-Type: text/plain; charset=windows-1252\r\n\
          \r\nx\r\n",
        expect![[r#"
            Subject: Re: =?windows-1252?B?R3L832U=?= an alle
            From: =?windows-1252?B?SvxyZ2VuIE38bGxlcg==?= <a@example.com>,
             =?windows-1252?B?TfxsbGVyLCBKLg==?= <b@example.com>
            Content-Type: text/plain; charset=windows-1252

            x
        "#]],
    );
}

#[test]
fn file_names_get_extended_parameters() {
    check(
        b"Content-Type: text/plain; name=\"\xe4.txt\"\nContent-Disposition: attachment;\n \
          filename=\"\xc3\xa4 b.txt\"; size=3\n\nabc",
        expect![[r#"
            Content-Type: text/plain;
             name*=iso-8859-1''%E4.txt
            Content-Disposition: attachment;
             filename*=utf-8''%C3%A4%20b.txt;
             size=3

            abc"#]],
    );
}

#[test]
fn long_utf8_headers_are_cut_between_characters() {
    let mut message = format!("Subject: {}\r\n\r\n", "é€".repeat(30)).into_bytes();
    message.extend_from_slice(b"\xff");
    let text = to_unicode(message);
    let words: Vec<&str> = text.split("=?utf-8?B?").skip(1).collect();
    assert!(words.len() > 2);
    for word in words {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let bytes = STANDARD.decode(word.split("?=").next().unwrap()).unwrap();
        String::from_utf8(bytes).unwrap();
    }
    assert!(text.lines().all(|line| line.len() <= 90));
}

#[test]
fn impossible_bytes_in_encoded_bodies_do_not_spread() {
    check(
        b"Content-Transfer-Encoding: base64\n\nAA\xffEC\n",
        expect![[r#"
            Content-Transfer-Encoding: base64

            AAEC
        "#]],
    );
    check(
        b"Content-Transfer-Encoding: quoted-printable\n\n=E4\xf6\n",
        expect![[r#"
            Content-Transfer-Encoding: quoted-printable

            =E4=F6
        "#]],
    );
}

#[test]
fn endless_nesting_comes_to_an_end() {
    let mut message = Vec::new();
    for n in 0..5_000 {
        let part = format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n");
        message.extend_from_slice(part.as_bytes());
    }
    message.extend_from_slice(b"\n\xff");
    assert!(to_unicode(message).ends_with('?'));
}

#[test]
fn a_file_that_is_cut_is_an_error_and_no_shorter_email() {
    let file = tempfile::tempfile().unwrap();
    let body = Body::Spool { file: Arc::new(file), size: 5 };
    assert!(rewrite(&body, &mut Vec::new()).is_err());
}

#[test]
fn a_header_without_end_is_text_without_a_meaning() {
    let mut many = b"a:\n".repeat(MAX_FIELDS + 1);
    let mut long = [b"a: ".as_slice(), &vec![b'x'; MAX_HEADER as usize]].concat();
    for message in [&mut many, &mut long] {
        message.extend_from_slice(b"\n\n\xe4");
        let text = to_unicode(message.clone());
        assert!(text.len() == message.len() && text.ends_with("\n\n?"));
    }
}

proptest! {
    #[test]
    fn anything_becomes_text(message in proptest::collection::vec(any::<u8>(), 0..400)) {
        let text = to_unicode(message.clone());
        prop_assert!(!text.contains('\0'));
        prop_assert!(text.is_ascii() || text.as_bytes() == message.as_slice());
    }

    #[test]
    fn anything_within_a_structure_becomes_text(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n".to_vec()),
                Just(b"\r\n--x\r\n".to_vec()),
                Just(b"\r\n--x--\r\n".to_vec()),
                Just(b"Content-Type: message/rfc822\r\n\r\n".to_vec()),
                Just(b"Content-Transfer-Encoding: base64\r\n".to_vec()),
                Just(b"Subject: \"\xff ,<\xe4>\r\n".to_vec()),
                proptest::collection::vec(any::<u8>(), 0..40),
            ],
            0..30,
        )
    ) {
        let mut message = pieces.concat();
        message.push(0xff);
        let text = to_unicode(message.clone());
        prop_assert!(text.is_ascii() && !text.contains('\0'));
        prop_assert_eq!(&from_file(&message, 7), &text);
        // Once more changes nothing.
        prop_assert_eq!(to_unicode(text.clone().into()), text);
    }

    #[test]
    fn a_binary_part_can_be_decoded_again(
        bytes in proptest::collection::vec(any::<u8>(), 1..400),
    ) {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let mut message = b"Content-Type: image/png\r\n\r\n\xff".to_vec();
        message.extend_from_slice(&bytes);
        let text = to_unicode(message.clone());
        let body = text.split_once("\r\n\r\n").unwrap().1.replace("\r\n", "");
        prop_assert_eq!(&STANDARD.decode(body).unwrap()[..], message.get(27..).unwrap());
    }
}

// Found by the fuzz target.
#[test]
fn a_nul_in_the_name_of_a_parameter_does_not_get_out() {
    let text = to_unicode(b"Content-Type: a; b\0=c\r\n\r\n".to_vec());
    assert!(!text.contains('\0'), "{text:?}");
}
