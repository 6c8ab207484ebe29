//! Each fault does what it says, once, and the next request is answered as ever.

use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use hyper::StatusCode;
use simulators::exchange::{Fault, FaultRule, Forbidden, Large, Op, Place, Shape};

use crate::{
    client::{ABC, Client, distinguished, get_items, sync_folders, sync_items},
    requests::{at, server},
};

#[tokio::test]
async fn a_busy_server_says_how_long_to_wait() {
    let (server, ids) = server(2).await;
    let mut client = Client::connect(&server).await;
    let back_off = Some(Duration::from_secs(45));
    server.fault(Fault::ServerBusy { back_off, shape: Shape::SoapFault });
    let reply = client.call(&get_items(&ids, &[])).await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        (reply.first("ResponseCode"), reply.first("Value")),
        ("ErrorServerBusy".into(), "45000".into())
    );
    server.fault(Fault::ServerBusy { back_off, shape: Shape::Message });
    let reply = client.call(&get_items(&ids, &[])).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.all("ResponseCode"), ["ErrorServerBusy"; 2]);
    assert_eq!(client.call(&get_items(&ids, &[])).await.all("ResponseCode"), ["NoError"; 2]);
}

#[tokio::test]
async fn statuses_and_pages_come_without_xml() {
    let (server, ids) = server(1).await;
    let mut client = Client::connect(&server).await;
    server.fault(Fault::Http { status: 503, retry_after: Some(Duration::from_secs(30)) });
    let reply = client.call(&get_items(&ids, &[])).await;
    assert_eq!(
        (reply.status.as_u16(), &reply.headers["retry-after"]),
        (503, &"30".parse().unwrap())
    );
    assert!(reply.body.is_empty());
    server.fault(Fault::Html200);
    let reply = client.call(&get_items(&ids, &[])).await;
    assert!(reply.status == 200 && reply.text().starts_with("<!DOCTYPE html>"));
    server.fault(Fault::RedirectToErrorPage);
    let reply = client.call(&get_items(&ids, &[])).await;
    let to = reply.headers["location"].to_str().unwrap();
    assert!(reply.status == 302 && to.starts_with("/ews/genericerrorpage.htm?"), "{to}");
    server.fault(Fault::Unauthorized);
    let reply = client.call(&get_items(&ids, &[])).await;
    assert_eq!(
        (reply.status.as_u16(), reply.headers.contains_key("www-authenticate")),
        (401, true)
    );
    server.fault(Fault::VersionRefused);
    let reply = client.call(&get_items(&ids, &[])).await;
    assert_eq!(
        (reply.status.as_u16(), reply.first("ResponseCode")),
        (500, "ErrorInvalidServerVersion".into())
    );
    assert_eq!(client.call(&get_items(&ids, &[])).await.first("ResponseCode"), "NoError");
}

#[tokio::test]
async fn connections_break_before_and_within_a_reply() {
    let (server, ids) = server(1).await;
    let request = get_items(&ids, &["item:MimeContent"]);
    server.fault(Fault::DropConnection { after_bytes: None });
    assert!(Client::connect(&server).await.try_call(&request).await.is_err());
    server.fault(Fault::DropConnection { after_bytes: Some(500) });
    let reply = Client::connect(&server).await.call(&request).await;
    assert_eq!((reply.whole, reply.body.len()), (false, 500));
    server.fault(Fault::WrongContentLength);
    let reply = Client::connect(&server).await.call(&request).await;
    assert!(!reply.whole, "the length was right");
    assert_eq!(server.requests()[0].status, 0);
}

#[tokio::test]
async fn a_slow_body_takes_its_time_and_a_stalled_one_does_not_end() {
    let (server, ids) = server(1).await;
    let mut client = Client::connect(&server).await;
    let whole = client.call(&get_items(&ids, &["item:MimeContent"])).await.body.len();
    server.fault(Fault::SlowBody { bytes_per_second: 4000 });
    let begun = Instant::now();
    let reply = client.call(&get_items(&ids, &["item:MimeContent"])).await;
    assert_eq!((reply.whole, reply.body.len()), (true, whole));
    assert!(begun.elapsed().as_millis() >= whole as u128 / 8, "{:?}", begun.elapsed());
    server.fault(Fault::Stall { after_bytes: 100 });
    let request = get_items(&ids, &["item:MimeContent"]);
    let stalled = tokio::time::timeout(Duration::from_millis(300), client.call(&request)).await;
    assert!(stalled.is_err());
}

#[tokio::test]
async fn what_concerns_one_item_leaves_the_others_alone() {
    let (server, ids) = server(3).await;
    let mut client = Client::connect(&server).await;
    let rule = |fault| FaultRule::new(fault).item("<1@example.org>");
    server.fault(rule(Fault::item_error("ErrorItemCorrupt")));
    let request = get_items(&ids, &["item:MimeContent"]);
    let codes = ["NoError", "ErrorItemCorrupt", "NoError"];
    assert_eq!(client.call(&request).await.all("ResponseCode"), codes);
    server.fault(rule(Fault::TruncatedBase64));
    let mime = client.call(&request).await.all("MimeContent");
    let decode = |text: &String| base64_simd::STANDARD.decode_to_vec(text).is_ok();
    assert_eq!(mime.iter().map(decode).collect::<Vec<_>>(), [true, false, true]);
    let large = server.deliver(ABC, &["Inbox"], Large::new(1, 300_000), at(3)).unwrap();
    server.fault(Fault::TruncatedBase64);
    let reply = client.call(&get_items(&[large], &["item:MimeContent"])).await;
    assert_eq!(reply.first("MimeContent").len(), 200_001);
    server.fault(Fault::BatchTimeout { after: 1 });
    let reply = client.call(&request).await;
    let stopped = "ErrorBatchProcessingStopped";
    assert_eq!(reply.all("ResponseCode"), ["NoError", stopped, stopped]);
    assert_eq!(reply.attributes("GetItemResponseMessage", "ResponseClass")[1], "Warning");
    server.fault(FaultRule::new(Fault::MailboxMove).mailbox("other@example.com"));
    assert_eq!(client.call(&request).await.all("ResponseCode"), ["NoError"; 3]);
    server.fault(FaultRule::new(Fault::MailboxMove).mailbox(ABC));
    assert_eq!(client.call(&request).await.all("ResponseCode"), ["ErrorMailboxMoveInProgress"; 3]);
}

#[tokio::test]
async fn phantoms_are_listed_and_not_found() {
    let (server, _) = server(1).await;
    let mut client = Client::connect(&server).await;
    server.fault(FaultRule::new(Fault::PhantomItem).folder("Inbox"));
    let listed = client.call(&sync_items(&distinguished("inbox"), "", 10, &[])).await;
    let ids = listed.attributes("ItemId", "Id");
    assert_eq!(ids.len(), 2);
    let codes = client.call(&get_items(&ids, &[])).await.all("ResponseCode");
    assert_eq!(codes, ["NoError", "ErrorItemNotFound"]);
}

#[tokio::test]
async fn forbidden_characters_are_where_they_should_be() {
    let (server, ids) = server(1).await;
    let mut client = Client::connect(&server).await;
    let spoil = |place, what| server.fault(Fault::ForbiddenCharacters { place, what });
    spoil(Place::Subject, Forbidden::Reference(0xd800));
    let reply = client.call(&get_items(&ids, &["item:Subject"])).await;
    assert!(
        reply.text().contains("<t:Subject>Re: In&#xD800;voice 0</t:Subject>"),
        "{}",
        reply.text()
    );
    spoil(Place::InternetMessageId, Forbidden::Byte(0x0b));
    let listing = sync_items(&distinguished("inbox"), "", 10, &["message:InternetMessageId"]);
    assert!(client.call(&listing).await.body.contains(&0x0b));
    spoil(Place::DisplayName, Forbidden::Byte(0xff));
    let reply = client.call(&sync_folders("")).await;
    assert!(String::from_utf8(reply.body).is_err());
    spoil(Place::MessageText, Forbidden::Reference(0));
    let reply = client.call(&get_items(&["bad".to_owned()], &[])).await;
    assert!(reply.text().contains("&#x0;</m:MessageText>"), "{}", reply.text());
    server.fault(Fault::BadXml);
    let reply = client.call(&listing).await;
    assert!(roxmltree::Document::parse(&reply.text()).is_err());
    assert_eq!(server.outstanding_faults(), 0);
}

#[tokio::test]
async fn a_bomb_is_small_until_it_is_unpacked() {
    let (server, ids) = server(1).await;
    let mut client = Client::connect(&server).await;
    server.fault(FaultRule::new(Fault::GzipBomb { decoded_bytes: 50_000_000 }).op(Op::GetItem));
    let reply = client.call(&get_items(&ids, &[])).await;
    assert!(reply.headers["content-encoding"] == "gzip" && reply.body.len() < 100_000);
    let unpacked = std::io::copy(&mut GzDecoder::new(reply.body.as_slice()), &mut std::io::sink());
    assert!(unpacked.unwrap() > 50_000_000);
}

#[tokio::test]
async fn folders_can_fail_by_name() {
    let (server, _) = server(1).await;
    let mut client = Client::connect(&server).await;
    let rule = FaultRule::new(Fault::folder_error("ErrorAccessDenied")).folder("Inbox").times(2);
    server.fault(rule);
    for (folder, code) in [
        ("junkemail", "NoError"),
        ("inbox", "ErrorAccessDenied"),
        ("inbox", "ErrorAccessDenied"),
        ("inbox", "NoError"),
    ] {
        let reply = client.call(&sync_items(&distinguished(folder), "", 10, &[])).await;
        assert_eq!(reply.first("ResponseCode"), code);
    }
}
