//! The faults that strike Graph, each once.

use std::time::Duration;

use serde_json::{Value, json};
use simulators::exchange::{Fault, FaultRule, Forbidden, Op, Place, Shape, rest_id};

use super::client::{Graph, code, column, json_of, server};
use crate::client::{ABC, Client, distinguished, sync_items};

const DELTA: &str = "/mailFolders/inbox/messages/delta";

#[tokio::test]
async fn statuses_and_codes_come_alone_and_inside_of_batches() {
    let (server, ids) = server(3).await;
    let mut graph = Graph::connect(&server).await;
    let pause = Some(Duration::from_secs(7));
    let paths: Vec<_> = ids.iter().map(|id| format!("/messages/{}/$value", rest_id(id))).collect();
    for (fault, status, why, retry_after) in [
        (Fault::Http { status: 429, retry_after: pause }, 429, "ApplicationThrottled", Some("7")),
        (Fault::Http { status: 503, retry_after: pause }, 503, "serviceNotAvailable", Some("7")),
        (
            Fault::ServerBusy { back_off: pause, shape: Shape::Message },
            503,
            "serviceNotAvailable",
            Some("7"),
        ),
        (Fault::http(500), 500, "ErrorInternalServerError", None),
        (Fault::http(502), 502, "BadGateway", None),
        (Fault::http(504), 504, "GatewayTimeout", None),
        (Fault::http(507), 507, "insufficientStorage", None),
        (Fault::Unauthorized, 401, "InvalidAuthenticationToken", None),
        (Fault::MailboxMove, 503, "ErrorMailboxMoveInProgress", None),
        (Fault::item_error("ErrorItemNotFound"), 404, "ErrorItemNotFound", None),
        (Fault::graph(400, "syncStateNotFound"), 400, "syncStateNotFound", None),
    ] {
        server.fault(FaultRule::new(fault.clone()).op(Op::MessageValue).item("<0@x>"));
        let reply = graph.of_abc(&paths[0]).await;
        assert_eq!((reply.status.as_u16(), code(&reply)), (status, why.to_owned()));
        let header = reply.headers.get("retry-after").map(|value| value.to_str().unwrap());
        assert_eq!(header, retry_after, "{fault:?}");
        server.fault(FaultRule::new(fault).op(Op::MessageValue).item(&ids[1]));
        let answers = graph.batch(&paths).await;
        assert_eq!(
            (&answers[1]["status"], &answers[1]["body"]["error"]["code"]),
            (&json!(status), &json!(why))
        );
        assert_eq!(answers[1]["headers"]["Retry-After"], json!(retry_after));
        assert_eq!((&answers[0]["status"], &answers[2]["status"]), (&json!(200), &json!(200)));
        assert_eq!(graph.of_abc(&paths[0]).await.status, 200);
    }
    server.fault(FaultRule::new(Fault::graph(410, "resyncRequired")).folder("Inbox"));
    let reply = graph.of_abc(&format!("{DELTA}?$deltatoken=x")).await;
    assert_eq!((reply.status.as_u16(), code(&reply)), (410, "resyncRequired".into()));
    let location = reply.headers["location"].to_str().unwrap();
    assert_eq!(location, format!("https://localhost/v1.0/users/{ABC}{DELTA}"));
    assert_eq!(server.outstanding_faults(), 0);
}

#[tokio::test]
async fn pages_are_empty_doubled_too_large_or_list_what_is_not_there() {
    let (server, _) = server(5).await;
    let mut graph = Graph::connect(&server).await.prefer("odata.maxpagesize=2");
    server.fault(Fault::EmptyPage);
    let page = graph.delta("").await;
    assert_eq!(page["value"], json!([]));
    let page = graph.page(page["@odata.nextLink"].as_str().unwrap()).await;
    assert_eq!(column(&page, "subject"), ["4", "3"], "nothing was passed over");
    server.fault(Fault::Duplicates);
    assert_eq!(column(&graph.delta("").await, "subject"), ["4", "4", "3", "3"]);
    server.fault(Fault::IgnorePageSize);
    let page = graph.delta("").await;
    assert_eq!(column(&page, "subject"), ["4", "3", "2", "1", "0"]);
    assert!(page.get("@odata.deltaLink").is_some());
    server.fault(Fault::PhantomItem);
    let page = graph.delta("").await;
    let phantom = &column(&page, "id")[2];
    assert_eq!(graph.of_abc(&format!("/messages/{phantom}/$value")).await.status, 404);
    server.fault(Fault::ForeignLink);
    let link = graph.delta("").await["@odata.nextLink"].as_str().unwrap().to_owned();
    assert!(link.starts_with("https://graph.example.net/v1.0/users/"), "{link}");
    server.fault(FaultRule::new(Fault::EmptyPage).op(Op::FoldersDelta));
    let page = graph.page(&format!("/v1.0/users/{ABC}/mailFolders/delta")).await;
    assert_eq!(page["value"], json!([]));
}

#[tokio::test]
async fn bodies_are_cut_garbled_or_something_else() {
    let (server, ids) = server(2).await;
    let path = format!("/messages/{}/$value", rest_id(&ids[0]));
    let mut graph = Graph::connect(&server).await;
    for fault in [
        Fault::DropConnection { after_bytes: Some(9) },
        Fault::TruncatedBase64,
        Fault::WrongContentLength,
    ] {
        server.fault(fault.clone());
        assert!(!graph.of_abc(&path).await.whole, "{fault:?}");
        graph = Graph::connect(&server).await;
    }
    server.fault(FaultRule::new(Fault::TruncatedBase64).op(Op::MessageValue));
    let answers = graph.batch(&[path]).await;
    assert_ne!(answers[0]["body"].as_str().unwrap().len() % 4, 0, "a decoder could take it");
    server.fault(Fault::BadXml);
    let reply = graph.of_abc(DELTA).await;
    assert!(reply.whole && serde_json::from_slice::<Value>(&reply.body).is_err());
    server.fault(Fault::Html200);
    assert!(graph.of_abc(DELTA).await.text().starts_with("<!DOCTYPE html>"));
    server.fault(Fault::RedirectToErrorPage);
    assert_eq!(graph.of_abc(DELTA).await.status, 302);
    server.fault(Fault::GzipBomb { decoded_bytes: 1 << 20 });
    let reply = graph.of_abc(DELTA).await;
    assert!(reply.headers["content-encoding"] == "gzip" && reply.body.len() < 4096);
    server.fault(Fault::DropConnection { after_bytes: None });
    let url = format!("/v1.0/users/{ABC}{DELTA}");
    assert!(graph.try_get(&url).await.is_err());
}

#[tokio::test]
async fn texts_hold_what_json_forbids_for_one_message_only() {
    let (server, _) = server(2).await;
    let mut graph = Graph::connect(&server).await;
    for (what, expected) in [
        (Forbidden::Reference(0xd800), b"\\ud800".as_slice()),
        (Forbidden::Reference(0), b"\\u0000"),
        (Forbidden::Byte(0x0b), b"\x0b"),
    ] {
        let fault = Fault::ForbiddenCharacters { place: Place::InternetMessageId, what };
        server.fault(FaultRule::new(fault).item("<1@x>"));
        let reply = graph.of_abc(DELTA).await;
        let found = reply.body.windows(expected.len()).filter(|part| *part == expected).count();
        assert_eq!(found, 1, "{what:?}");
    }
    let fault = Fault::ForbiddenCharacters { place: Place::DisplayName, what: Forbidden::Byte(7) };
    server.fault(FaultRule::new(fault).folder("Inbox"));
    assert!(graph.of_abc("/mailFolders/inbox").await.body.contains(&7));
}

#[tokio::test]
async fn a_batch_stops_in_its_middle_or_is_refused() {
    let (server, ids) = server(1).await;
    let mut graph = Graph::connect(&server).await;
    let paths = vec![format!("/messages/{}/$value", rest_id(&ids[0])); 6];
    server.fault(Fault::BatchTimeout { after: 4 });
    let statuses: Vec<_> =
        graph.batch(&paths).await.iter().map(|answer| answer["status"].clone()).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 504, 504]);
    server.fault(FaultRule::new(Fault::http(503)).op(Op::Batch));
    let body = json!({ "requests": [{"id": "1", "method": "GET", "url": "/users"}] });
    let reply = graph.post("/$batch", &body).await;
    assert_eq!(json_of(&reply)["error"]["code"], "serviceNotAvailable");
    // A part of a batch cannot break its connection.
    server.fault(FaultRule::new(Fault::DropConnection { after_bytes: None }).op(Op::MessageValue));
    assert_eq!(graph.batch(&paths[..1]).await[0]["status"], 502);
}

#[tokio::test]
async fn a_rule_for_an_operation_of_graph_leaves_ews_alone() {
    let (server, _) = server(1).await;
    server.fault(FaultRule::new(Fault::http(500)).op(Op::MessagesDelta));
    let mut ews = Client::connect(&server).await;
    let reply = ews.call(&sync_items(&distinguished("inbox"), "", 1, &[])).await;
    assert_eq!(reply.first("ResponseCode"), "NoError");
    let mut graph = Graph::connect(&server).await;
    assert_eq!(graph.of_abc(DELTA).await.status, 500);
}
