//! The scanner that takes replies apart.

use std::io::Read;

use base64_simd::STANDARD;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use record::Body;

use super::{MIB, get_item_reply, limits, mime_message};
use crate::body::{BodyFault, Limits, MEMORY_PER_BODY};
use crate::ews::{
    clean::clean,
    fuzz::reply_from_any_bytes,
    reply,
    stream::{Bodies, Malformed, Reply, SplitError, Splitter},
};

fn split_with(xml: &[u8], piece: usize, limits: Limits) -> Result<Reply, SplitError> {
    let mut splitter = Splitter::new(Bodies::MimeAndContent, limits);
    for piece in xml.chunks(piece) {
        splitter.push(piece)?;
    }
    Ok(splitter.finish()?)
}

fn split(xml: &str) -> Result<Reply, SplitError> {
    split_with(xml.as_bytes(), 7, limits())
}

fn bytes(body: &Result<Body, BodyFault>) -> Result<Vec<u8>, BodyFault> {
    let mut bytes = Vec::new();
    body.as_ref().map_err(|fault| *fault)?.reader().read_to_end(&mut bytes).unwrap();
    Ok(bytes)
}

#[track_caller]
fn check(xml: &str, expected: Expect) {
    let shown = match split(xml) {
        Ok(reply) => {
            let mut shown = String::from_utf8_lossy(&reply.skeleton).into_owned();
            for body in &reply.bodies {
                let body = bytes(body).map(|body| String::from_utf8_lossy(&body).into_owned());
                shown += &format!("\n{body:?}");
            }
            shown + if reply.complete { "" } else { "\nbroke off" }
        }
        Err(err) => record::Chain(&err).to_string(),
    };
    expected.assert_eq(&shown);
}

#[test]
fn bodies_are_replaced_by_their_number() {
    check(
        "<r><t:MimeContent CharacterSet='UTF-8'>QUJD</t:MimeContent><MimeContent>RA==</MimeContent></r>",
        expect![[r#"
            <r><t:MimeContent CharacterSet='UTF-8'>0</t:MimeContent><MimeContent>1</MimeContent></r>
            Ok("ABC")
            Ok("D")"#]],
    );
}

#[test]
fn an_empty_body_is_a_body() {
    check(
        "<r><MimeContent></MimeContent><MimeContent/></r>",
        expect![[r#"
            <r><MimeContent>0</MimeContent><MimeContent/></r>
            Ok("")"#]],
    );
}

#[test]
fn white_space_in_base64_is_passed_over() {
    check(
        "<r><MimeContent>\r\n QU\tJD&#xD;\n&#10;RA=\n=\n</MimeContent></r>",
        expect![[r#"
            <r><MimeContent>0</MimeContent></r>
            Ok("ABCD")"#]],
    );
}

#[test]
fn damaged_base64_concerns_its_body_only() {
    for damaged in
        ["QUJ", "QU*D", "QQ==QUJD", "QUJD&amp;", "QUJD&#xD", "QUJD<x/>", "<![CDATA[QUJD]]>"]
    {
        let xml =
            format!("<r><MimeContent>{damaged}</MimeContent><MimeContent>QUJD</MimeContent></r>");
        let reply = split(&xml).unwrap();
        assert_eq!(bytes(&reply.bodies[0]), Err(BodyFault::BadBase64), "{damaged}");
        assert_eq!(bytes(&reply.bodies[1]).unwrap(), b"ABC", "{damaged}");
    }
}

#[test]
fn padding_ends_a_body_even_between_two_blocks() {
    let mut text = STANDARD.encode_to_string(vec![7; 48 * 1024 - 1]);
    assert_eq!((text.len() % (64 * 1024), text.ends_with('=')), (0, true));
    text += "QUJD";
    let reply = split(&format!("<r><MimeContent>{text}</MimeContent></r>")).unwrap();
    assert_eq!(bytes(&reply.bodies[0]), Err(BodyFault::BadBase64));
}

#[test]
fn markup_that_is_no_element_is_understood() {
    check(
        "<?xml version=\"1.0\"?><!-- <MimeContent> --- > --><r a='>\"' b=\">'\"><![CDATA[]<a>] ]>]]]></r>",
        expect!["<r a='>\"' b=\">'\"><![CDATA[]<a>] ]>]]]></r>"],
    );
}

#[test]
fn hostile_documents_are_refused() {
    let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\">]><a>&b;</a>";
    check(bomb, expect!["the reply is malformed: it declares a document type"]);
    check(
        &"<a>".repeat(65),
        expect!["the reply is malformed: its elements are nested deeper than 64"],
    );
    let tag = format!("<a b='{}'/>", "b".repeat(70_000));
    check(&tag, expect!["the reply is malformed: it has a tag that is too long"]);
    let name = format!("<{}/>", "b".repeat(300));
    check(&name, expect!["the reply is malformed: it has a tag that is too long"]);
    check("<a></a></a>", expect!["the reply is malformed: it ends where no element is open"]);
    check("< a/>", expect!["the reply is malformed: it has a tag without a name"]);
    check("<a><b></b>", expect!["the reply is malformed: it ends too early"]);
}

#[test]
fn sixty_four_levels_are_accepted() {
    let xml = "<a>".repeat(64) + &"</a>".repeat(64);
    assert!(split(&xml).is_ok());
}

#[test]
fn text_outside_bodies_is_bounded() {
    let xml = format!("<a>{}</a>", "x".repeat(17 * MIB));
    let err = split_with(xml.as_bytes(), 64 * 1024, limits()).unwrap_err();
    assert!(matches!(err, SplitError::Malformed(Malformed::TooMuchText)), "{err:?}");
}

#[test]
fn a_reply_without_end_is_given_up() {
    let mut splitter = Splitter::new(Bodies::Mime, limits());
    splitter.push(b"<r><MimeContent>").unwrap();
    let blanks = vec![b' '; MIB];
    let given_up = (0..400).find_map(|_| splitter.push(&blanks).err()).unwrap();
    assert!(matches!(given_up, SplitError::TooLarge), "{given_up:?}");
}

#[test]
fn small_bodies_stay_in_memory_and_large_ones_go_to_a_file() {
    for (size, in_memory) in [(MEMORY_PER_BODY, true), (MEMORY_PER_BODY + 1, false)] {
        let content: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        let xml =
            format!("<r><MimeContent>{}</MimeContent></r>", STANDARD.encode_to_string(&content));
        let reply = split_with(xml.as_bytes(), 5000, limits()).unwrap();
        assert_eq!(matches!(reply.bodies[0], Ok(Body::Memory(_))), in_memory, "{size}");
        assert_eq!(bytes(&reply.bodies[0]).unwrap(), content);
    }
}

#[test]
fn many_small_bodies_do_not_add_up_in_memory() {
    let body = format!("<MimeContent>{}</MimeContent>", STANDARD.encode_to_string(vec![1; 1000]));
    let xml = format!("<r>{}</r>", body.repeat(10));
    let limits = Limits { memory: 2500, ..limits() };
    let reply = split_with(xml.as_bytes(), 4096, limits).unwrap();
    let in_memory = reply.bodies.iter().filter(|body| matches!(body, Ok(Body::Memory(_)))).count();
    assert_eq!((in_memory, reply.limits.memory), (2, 500));
}

#[test]
fn a_body_beyond_the_limit_is_drained_and_the_next_one_kept() {
    let large = STANDARD.encode_to_string(vec![1; 100_001]);
    let xml = format!("<r><MimeContent>{large}</MimeContent><MimeContent>QUJD</MimeContent></r>");
    let limits = Limits { max_size: 100_000, ..limits() };
    let reply = split_with(xml.as_bytes(), 4096, limits).unwrap();
    assert_eq!(bytes(&reply.bodies[0]), Err(BodyFault::TooLarge));
    assert_eq!(bytes(&reply.bodies[1]).unwrap(), b"ABC");
}

#[test]
fn an_unwritable_spool_directory_is_an_error_of_this_machine() {
    let limits = Limits { spool_dir: "/nonexistent".into(), memory: 0, ..limits() };
    let err = split_with(b"<r><MimeContent>QUJD</MimeContent></r>", 9, limits).unwrap_err();
    assert!(matches!(err, SplitError::Spool(_)), "{err:?}");
}

#[test]
fn what_arrived_whole_survives_a_broken_transport() {
    let whole = get_item_reply(&(mime_message("1", "QUJD") + &mime_message("2", "REVG")));
    let second = whole.find("REVG").unwrap();
    let after_first = whole.find("</m:GetItemResponseMessage>").unwrap();
    for cut in 0..whole.len() {
        let Ok(reply) = split(&whole[..cut]) else {
            assert!(cut < after_first + 27, "nothing was saved at {cut}");
            continue;
        };
        assert!(!reply.complete);
        let cleaned = clean(&reply.skeleton);
        let items = reply::get_items(&reply::parse(&cleaned.text).unwrap()).unwrap();
        assert!(items.len() == 1 || cut > second, "{cut}");
        assert_eq!(bytes(&reply.bodies[0]).unwrap(), b"ABC");
    }
}

proptest! {
    #[test]
    fn it_does_not_matter_how_the_reply_is_cut(piece in 1_usize..300, cut in 0_usize..2000) {
        let whole = get_item_reply(
            &(mime_message("1", "QUJD\r\n") + &mime_message("2", "R&#xD;EVG") + "<!-- x -->"),
        );
        let xml = &whole.as_bytes()[..cut.min(whole.len())];
        let once = split_with(xml, xml.len().max(1), limits());
        let pieces = split_with(xml, piece, limits());
        match (once, pieces) {
            (Ok(a), Ok(b)) => {
                prop_assert_eq!(a.skeleton, b.skeleton);
                let all = |bodies: &[_]| bodies.iter().map(bytes).collect::<Vec<_>>();
                prop_assert_eq!(all(&a.bodies), all(&b.bodies));
            }
            (Err(a), Err(b)) => prop_assert_eq!(a.to_string(), b.to_string()),
            (a, b) => prop_assert!(false, "{a:?} against {b:?}"),
        }
    }

    #[test]
    fn random_bytes_never_panic(data in any::<Vec<u8>>()) {
        reply_from_any_bytes(&data);
    }

    #[test]
    fn random_markup_never_panics(pieces in prop::collection::vec(
        prop::sample::select(vec![
            "<", ">", "</", "/>", "<a>", "</a>", "<!--", "-->", "<![CDATA[", "]]>", "<?", "?>", "\"",
            "'", "=", "<MimeContent>", "</MimeContent>", "<t:Content>", "</t:Content>", "QUJD", "=",
            " ", "&#x0;", "&", "x", "<x:ResponseMessage>", "</x:ResponseMessage>", "\u{0}", "é",
        ]), 0..60))
    {
        reply_from_any_bytes(pieces.concat().as_bytes());
    }

    #[test]
    fn damaged_replies_never_panic(at in 0_usize..900, byte in any::<u8>(), length in 0_usize..9) {
        let mut xml = get_item_reply(&mime_message("1", "QUJD")).into_bytes();
        let at = at.min(xml.len());
        let end = (at + length).min(xml.len());
        xml.splice(at..end, [byte]);
        reply_from_any_bytes(&xml);
    }
}
