//! Folders and messages without delta, contents, and ids.

use std::io::Read;

use base64_simd::STANDARD;
use flate2::read::GzDecoder;
use serde_json::json;
use simulators::exchange::{Delivery, Large, Options, rest_id};

use super::client::{Graph, at, code, column, deliver, json_of, server, server_with};
use crate::client::ABC;

#[tokio::test]
async fn messages_are_listed_page_by_page_with_filter_and_order() {
    let (server, _) = server(25).await;
    let mut graph = Graph::connect(&server).await;
    let url = "/v1.0/users/abc%40example.com/mailFolders('inbox')/messages";
    let page = graph
        .page(&format!("{url}?$select=subject&$orderby=receivedDateTime asc").replace(' ', "%20"))
        .await;
    assert_eq!(column(&page, "subject"), (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
    let mut subjects = column(&page, "subject");
    let mut next = page["@odata.nextLink"].as_str().map(str::to_owned);
    while let Some(link) = next {
        let page = graph.page(&link).await;
        subjects.extend(column(&page, "subject"));
        next = page["@odata.nextLink"].as_str().map(str::to_owned);
    }
    assert_eq!(subjects, (0..25).map(|n| n.to_string()).collect::<Vec<_>>());
    let page = graph.page(&format!("{url}?$top=2&$skip=1&$count=true")).await;
    assert_eq!(
        (column(&page, "subject"), &page["@odata.count"]),
        (vec!["23".into(), "22".into()], &json!(25))
    );
    let filter = "receivedDateTime%20ge%202026-11-21T08:05:00Z%20and%20receivedDateTime%20lt%202026-11-21T08:07:00Z";
    let page = graph.page(&format!("/v1.0/users/{ABC}/messages?$filter={filter}")).await;
    assert_eq!(column(&page, "subject"), ["6", "5"]);
    let page = graph.page(&format!("{url}?$filter=internetMessageId%20eq%20'%3C7@x%3E'")).await;
    assert_eq!(column(&page, "subject"), ["7"]);
    for (wrong, why) in [
        ("?$filter=isRead%20eq%20false&$orderby=receivedDateTime", "InefficientFilter"),
        ("?$filter=size%20gt%205", "ErrorInvalidUrlQueryFilter"),
        ("?$top=1001", "BadRequest"),
        ("?$skip=x", "BadRequest"),
        ("?$apply=x", "BadRequest"),
        ("?$expand=attachments", "BadRequest"),
    ] {
        let reply = graph.get(&format!("{url}{wrong}")).await;
        assert_eq!((reply.status.as_u16(), code(&reply)), (400, why.to_owned()), "{wrong}");
    }
}

#[tokio::test]
async fn a_message_shows_its_properties_and_those_of_mapi() {
    let (server, _) = server(0).await;
    let text = "Message-ID: <a@x>\r\nFrom: \"Ana Ruiz\" <ana@example.org>\r\nTo: b@example.net\r\n\
                Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nImportance: high\r\nSensitivity: Private\r\n\r\nHello\r\n";
    let delivery = Delivery::new(text, at(1)).category("Blue").read();
    let id = server.deliver_as(ABC, &["Inbox"], delivery).unwrap();
    let mut graph = Graph::connect(&server).await;
    let expand = "singleValueExtendedProperties($filter=id%20eq%20'Binary%200x300B'%20or%20id%20eq%20\
                  'Integer%200x0E08'%20or%20id%20eq%20'Integer%200x0036'%20or%20id%20eq%20'String%200x300B')";
    let reply = graph.of_abc(&format!("/messages/{}?$expand={expand}", rest_id(&id))).await;
    let message = json_of(&reply);
    assert_eq!(
        message["from"]["emailAddress"],
        json!({"name": "Ana Ruiz", "address": "ana@example.org"})
    );
    assert_eq!(message["toRecipients"][0]["emailAddress"]["address"], "b@example.net");
    assert_eq!((&message["subject"], &message["importance"]), (&json!("Grüße"), &json!("high")));
    assert_eq!((&message["isRead"], &message["categories"]), (&json!(true), &json!(["Blue"])));
    assert_eq!(message["receivedDateTime"], "2026-11-21T08:01:00Z");
    assert_eq!(message["body"], json!({"contentType": "text", "content": "Hello\r\n"}));
    let truth = &server.truth(ABC).unwrap()[0];
    let key = STANDARD.encode_to_string(truth.search_key);
    let expected = json!([
        {"id": "Binary 0x300b", "value": key},
        {"id": "Integer 0xe08", "value": text.len().to_string()},
        {"id": "Integer 0x36", "value": "2"},
    ]);
    assert_eq!(message["singleValueExtendedProperties"], expected, "no String 0x300B");
}

#[tokio::test]
async fn only_messages_are_shown_and_requests_for_meetings_are_more_than_that() {
    let (server, ids) = server(1).await;
    let deliver = |class: &str| {
        let delivery = Delivery::new("Subject: x\r\n\r\n", at(1)).class(class);
        server.deliver_as(ABC, &["Inbox"], delivery).unwrap()
    };
    deliver("IPM.Schedule.Meeting.Request");
    let task = deliver("IPM.Task");
    let mut graph = Graph::connect(&server).await;
    let page = graph.delta("").await;
    let kinds = column(&page, "@odata.type");
    assert_eq!(kinds, ["#microsoft.graph.eventMessageRequest", "#microsoft.graph.message"]);
    let reply = graph.of_abc(&format!("/messages/{}/$value", rest_id(&task))).await;
    assert_eq!((reply.status.as_u16(), code(&reply)), (404, "ErrorItemNotFound".into()));
    let reply = graph.of_abc(&format!("/mailFolders/drafts/messages/{}", rest_id(&ids[0]))).await;
    assert_eq!(reply.status, 404, "it is in another folder");
    for (path, status) in [
        ("/messages/nonsense", 400),
        ("/mailFolders/nonsense", 400),
        ("/mailFolders/calendar/messages", 400),
        ("/mailFolders/Archive", 404),
        ("/mailFolders/SentItems", 200),
        ("/nonsense", 400),
    ] {
        assert_eq!(graph.of_abc(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn contents_are_the_bytes_that_were_delivered_of_any_size() {
    let (server, ids) = server(1).await;
    let large = Large::new(3, 9_000_001);
    let content = simulators::exchange::Content::from(large);
    let id = server.deliver(ABC, &["Inbox"], content.clone(), at(2)).unwrap();
    let mut graph = Graph::connect(&server).await;
    let reply = graph.of_abc(&format!("/messages/{}/$value", rest_id(&ids[0]))).await;
    assert_eq!(reply.text(), "Message-ID: <0@x>\r\nSubject: 0\r\n\r\nbody 0\r\n");
    assert_eq!(reply.headers["content-type"], "text/plain");
    assert!(reply.headers.contains_key("request-id"));
    let immutable = server.immutable_id(&id).unwrap();
    let reply = graph.of_abc(&format!("/mailFolders/inbox/messages/{immutable}/$value")).await;
    assert!(reply.whole && reply.body == content.to_bytes().unwrap(), "{}", reply.body.len());
}

#[tokio::test]
async fn bodies_are_compressed_for_clients_that_accept_it() {
    let options = Options { gzip: true, ..Options::default() };
    let (server, ids) = server_with(1, options).await;
    let mut graph = Graph::connect(&server).await;
    let path = format!("/messages/{}/$value", rest_id(&ids[0]));
    assert!(graph.of_abc(&path).await.text().ends_with("body 0\r\n"));
    graph.client.headers.push(("accept-encoding", "gzip".to_owned()));
    for (path, expected) in [(path.as_str(), "body 0"), ("/mailFolders/inbox", "\"Inbox\"")] {
        let reply = graph.of_abc(path).await;
        assert_eq!(reply.headers["content-encoding"], "gzip");
        let mut text = String::new();
        GzDecoder::new(reply.body.as_slice()).read_to_string(&mut text).unwrap();
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn folders_are_listed_with_hidden_ones_on_demand_and_their_classes() {
    let (server, _) = server_with(0, Options::default()).await;
    for number in 0..8 {
        server.add_folder(ABC, &[&format!("Folder {number}")], "IPF.Note.Custom").unwrap();
    }
    server.add_folder(ABC, &["Inbox", "Below"], "IPF.Note").unwrap();
    server.hide_folder(ABC, &["Folder 0"], true).unwrap();
    let mut graph = Graph::connect(&server).await;
    let expand = "$expand=singleValueExtendedProperties($filter=id%20eq%20'String%200x3613')";
    let url = format!("/v1.0/users/{ABC}/mailFolders?includeHiddenFolders=true&{expand}");
    let page = graph.page(&url).await;
    assert_eq!(page["value"].as_array().unwrap().len(), 10);
    let rest = graph.page(page["@odata.nextLink"].as_str().unwrap()).await;
    assert_eq!(column(&rest, "displayName"), ["Folder 5", "Folder 6", "Folder 7"]);
    let class = &rest["value"][0]["singleValueExtendedProperties"];
    assert_eq!(*class, json!([{"id": "String 0x3613", "value": "IPF.Note.Custom"}]));
    let shown = graph.page(&format!("/v1.0/users/{ABC}/mailFolders?$top=100")).await;
    assert_eq!(shown["value"].as_array().unwrap().len(), 12);
    let below = graph.page(&format!("/v1.0/users/{ABC}/mailFolders/inbox/childFolders")).await;
    assert_eq!(column(&below, "displayName"), ["Below"]);
    let top = json_of(&graph.of_abc("/mailFolders/msgfolderroot").await);
    assert_eq!(shown["value"][0]["parentFolderId"], top["id"]);
}

#[tokio::test]
async fn ids_are_translated_by_the_thousand() {
    let (server, ids) = server(2).await;
    let moved = server.move_item(&ids[1], &["Junk Email"]).unwrap();
    let mut graph = Graph::connect(&server).await;
    let path = format!("/users/{ABC}/translateExchangeIds");
    let ask = |ids: &[String], from: &str, to: &str| json!({ "inputIds": ids, "sourceIdType": from, "targetIdType": to });
    let both = [ids[0].clone(), moved.clone()];
    let reply = graph.post(&path, &ask(&both, "ewsId", "restImmutableEntryId")).await;
    let immutable = column(&json_of(&reply), "targetId");
    assert_eq!(immutable, both.clone().map(|id| server.immutable_id(&id).unwrap()));
    let reply = graph.post(&path, &ask(&immutable, "restImmutableEntryId", "ewsId")).await;
    assert_eq!(column(&json_of(&reply), "targetId"), both);
    let reply = graph.post(&path, &ask(&both, "ewsId", "entryId")).await;
    let entries = column(&json_of(&reply), "targetId");
    let reply = graph.post(&path, &ask(&entries, "entryId", "restId")).await;
    assert_eq!(column(&json_of(&reply), "targetId"), both.map(|id| rest_id(&id)));
    let many = vec![ids[0].clone(); 1001];
    assert_eq!(graph.post(&path, &ask(&many, "ewsId", "restId")).await.status, 400);
    assert_eq!(graph.post(&path, &ask(&many[1..], "ewsId", "restId")).await.status, 200);
    assert_eq!(graph.post(&path, &ask(&["x".into()], "ewsId", "restId")).await.status, 400);
    assert_eq!(graph.post(&path, &ask(&ids, "ewsId", "storeId")).await.status, 400);
    deliver(&server, 5);
}
