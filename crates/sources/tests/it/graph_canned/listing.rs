//! Pages of messages, and what they tell of each.

use super::*;

#[tokio::test]
async fn a_page_is_asked_for_with_immutable_ids_and_followed_verbatim() {
    let next = "{base}/users/a'b/messages/delta?$skiptoken=%41b+c&$select=id";
    let first = ok(json!({"value": [message("M1")], "@odata.nextLink": next}));
    let empty = ok(json!({"value": [], "@odata.nextLink": "{base}/second?x"}));
    let last = page(&[json!({"id": "M0", "@removed": {"reason": "deleted"}})]);
    let server = Server::start(vec![first, empty, last, page(&[])]).await;
    let mut source = server.mailbox();
    let mut from: Option<Position> = None;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let page = source.list(&inbox(), from.as_ref(), 50).await.unwrap();
        seen.push((page.entries.len(), page.removed, page.more));
        from = Some(page.next);
    }
    assert_eq!(seen, [(1, 0, true), (0, 0, true), (0, 1, false), (0, 0, false)]);
    let requests = server.requests();
    let lines: Vec<&str> = requests.iter().map(|request| request.lines().next().unwrap()).collect();
    assert!(
        lines[0].starts_with(
            "GET /v1.0/users/abc%40example.com/mailFolders/F1/messages/delta?$select=id,internet"
        ) && lines[0].contains("&$expand=singleValueExtendedProperties($filter=id%20eq%20'Binary"),
        "{}",
        lines[0]
    );
    assert!(!lines[0].contains("$filter=received"), "{}", lines[0]);
    assert_eq!(
        lines[1..],
        [
            "GET /v1.0/users/a'b/messages/delta?$skiptoken=%41b+c&$select=id HTTP/1.1",
            "GET /v1.0/second?x HTTP/1.1",
            "GET /v1.0/users/x/delta?$deltatoken=D1 HTTP/1.1",
        ]
    );
    let prefer = "Prefer: IdType=\"ImmutableId\", odata.maxpagesize=50\r\n";
    assert!(requests.iter().all(|request| request.contains(prefer)), "{requests:?}");
}

#[tokio::test]
async fn an_email_has_the_identity_that_ews_gives_it() {
    let mut draft = message("M2");
    draft["isDraft"] = json!(true);
    let mut keyless = message("M3");
    keyless["singleValueExtendedProperties"] = json!([]);
    let replies =
        vec![page(&[message("M1"), draft, keyless.clone()]), batch(&[(200, json!({}), keyless)])];
    let entries = listed(replies).await.unwrap().entries;
    let mailbox = MAILBOX.parse().unwrap();
    let uids: Vec<Uid> = entries.iter().map(|entry| entry.uid).collect();
    assert_eq!(
        uids,
        [
            Uid::derive("exchange", &mailbox, &[0, 1, 2], "<M1@example.org>"),
            Uid::derive("exchange-draft", &mailbox, &[0, 1, 2], "<M2@example.org>"),
            Uid::derive("exchange", &mailbox, b"M3", "<M3@example.org>"),
        ]
    );
    assert_eq!((entries[0].size, entries[1].is_draft), (Some(700), true));
}

#[tokio::test]
async fn what_is_no_mail_is_left_out() {
    let of_class = |id: &str, class: &str| {
        let mut message = message(id);
        let properties = message["singleValueExtendedProperties"].as_array_mut().unwrap();
        properties.push(json!({"id": "String 0x1a", "value": class}));
        message
    };
    let page = page(&[
        of_class("M1", "IPM.Note"),
        of_class("M2", "IPM.Contact"),
        of_class("M3", "ipm.appointment"),
        of_class("M4", "REPORT.IPM.Note.NDR"),
        of_class("M5", "IPM.TaskRequest"),
    ]);
    let entries = listed(vec![page]).await.unwrap().entries;
    let ids: Vec<&str> = entries.iter().map(|entry| entry.item.0.as_str()).collect();
    assert_eq!(ids, ["M1", "M4", "M5"]);
}

#[tokio::test]
async fn a_message_listed_twice_or_in_part_keeps_its_identity() {
    // After a change, a server may tell only what changed.
    let partial = json!({"id": "M1", "isRead": true});
    let replies = vec![
        page(&[message("M1"), partial, message("M1")]),
        batch(&[(200, json!({}), message("M1"))]),
    ];
    let entries = listed(replies).await.unwrap().entries;
    assert_eq!(entries.len(), 3);
    assert!(entries.iter().all(|entry| *entry == entries[0]), "{entries:?}");
}

#[tokio::test]
async fn properties_that_a_listing_refuses_are_asked_for_by_message() {
    for status in [400, 501] {
        let plain = json!({"id": "M1", "internetMessageId": "<M1@example.org>"});
        let asked = batch(&[(200, json!({}), message("M1"))]);
        let again = batch(&[(200, json!({}), message("M1"))]);
        let replies = vec![
            refused(status, "ErrorInvalidUrlQueryFilter"),
            page(std::slice::from_ref(&plain)),
            asked,
            page(&[plain]),
            again,
        ];
        let server = Server::start(replies).await;
        let mut source = server.mailbox();
        for _ in 0..2 {
            let page = source.list(&inbox(), None, 100).await.unwrap();
            let mailbox = MAILBOX.parse().unwrap();
            let expected = Uid::derive("exchange", &mailbox, &[0, 1, 2], "<M1@example.org>");
            assert_eq!(page.entries[0].uid, expected);
        }
        let requests = server.requests();
        let expands = |request: &&String| request.contains("delta?") && request.contains("$expand");
        assert_eq!(requests.iter().filter(expands).count(), 1, "{requests:?}");
        assert!(requests[2].starts_with("POST /v1.0/$batch "), "{}", requests[2]);
    }
}

#[tokio::test]
async fn a_server_in_trouble_does_not_change_identities() {
    let plain = json!({"id": "M1", "internetMessageId": "<M1@example.org>"});
    for status in [429, 503] {
        let replies = vec![
            refused(400, "BadRequest"),
            page(std::slice::from_ref(&plain)),
            batch(&[failed(status, "UnknownError")]),
        ];
        let err = listed(replies).await.unwrap_err();
        assert!(matches!(err.advice(), Advice::Retry { .. }), "{err:?}");
    }
    // A message that is gone, or of which the server cannot tell, stops no other.
    let two = [plain, json!({"id": "M2"})];
    let mut replies = vec![refused(400, "BadRequest"), page(&two)];
    replies.push(batch(&[(200, json!({}), message("M1")), failed(500, "UnknownError")]));
    replies.extend((0..2).map(|_| batch(&[failed(500, "UnknownError")])));
    assert_eq!(listed(replies).await.unwrap().entries.len(), 2);
}

#[tokio::test]
async fn a_lost_position_begins_the_folder_anew() {
    for (status, code) in [
        (410, "SyncStateNotFound"),
        (410, "Gone"),
        (404, "syncStateNotFound"),
        (400, "resyncRequired"),
        (400, "BadRequest"),
    ] {
        let server = Server::start(vec![refused(status, code)]).await;
        let position = link(&format!("{}/x?$deltatoken=1", server.base));
        let err = server.mailbox().list(&inbox(), Some(&position), 100).await.unwrap_err();
        assert_eq!(err.advice(), Advice::RestartFolder, "{status} {code}: {err:?}");
    }
    let server = Server::start(vec![refused(404, "ErrorItemNotFound")]).await;
    let position = link(&format!("{}/x?$deltatoken=1", server.base));
    let err = server.mailbox().list(&inbox(), Some(&position), 100).await.unwrap_err();
    assert_eq!(err.advice(), Advice::ReviewFolders, "{err:?}");
}

#[tokio::test]
async fn what_is_no_json_of_graph_is_refused() {
    let html = "<!DOCTYPE html><html>Sign in</html>";
    let check = async |reply: Reply| listed(vec![reply]).await.unwrap_err().advice();
    assert_eq!(check(reply(200, "", html)).await, Advice::StopService);
    assert_eq!(check(reply(404, "", html)).await, Advice::StopService);
    assert_eq!(
        check(reply(302, "Location: https://login.example.net/\r\n", "")).await,
        Advice::StopService
    );
    assert_eq!(check(reply(200, "", "{\"value\": [")).await, Advice::Split);
    assert_eq!(check(ok(json!({"value": []}))).await, Advice::Split);
    assert_eq!(check(ok(json!([1]))).await, Advice::Split);
    let large = format!("{{\"value\": [], \"x\": \"{}\"}}", "x".repeat(8 << 20));
    assert_eq!(check(reply(200, "", large)).await, Advice::Split);
    let itself = ok(json!({"value": [], "@odata.nextLink": "{base}/x"}));
    let server = Server::start(vec![itself]).await;
    let position = link(&format!("{}/x", server.base));
    let err = server.mailbox().list(&inbox(), Some(&position), 100).await.unwrap_err();
    assert_eq!(err.advice(), Advice::Split, "a page that leads to itself: {err:?}");
}

#[tokio::test]
async fn characters_that_json_forbids_do_not_stop_a_page() {
    let body = format!(
        r#"{{"value": [{{"id": "M1", "internetMessageId": "<a{}\ud800b>", "x": "{}",
            "singleValueExtendedProperties": [{{"id": "Binary 0x300B", "value": "AAEC"}}]}}],
            "@odata.deltaLink": "{{base}}/d"}}"#,
        '\u{1}', '\u{2}'
    );
    let entries = listed(vec![reply(200, "", body)]).await.unwrap().entries;
    // EWS shows such characters in the same way.
    assert_eq!(entries[0].message_id.as_deref(), Some("<a\u{FFFD}\u{FFFD}b>"));
}

#[tokio::test]
async fn ids_are_translated_where_the_server_does() {
    let pairs = json!({"value": [
        {"sourceId": "E2", "targetId": "G2"}, {"sourceId": "E1", "targetId": "G1"}]});
    let server = Server::start(vec![ok(pairs), refused(403, "ErrorAccessDenied")]).await;
    let mut source = server.mailbox();
    let ids = ["E1", "E2", "E3"].map(|id| ItemId(id.to_owned()));
    let some = |id: &str| Some(ItemId(id.to_owned()));
    let translated = source.translate(Protocol::Ews, &ids).await.unwrap();
    assert_eq!(translated, [some("G1"), some("G2"), None]);
    assert_eq!(source.translate(Protocol::Ews, &ids).await.unwrap(), [None, None, None]);
    let request = &server.requests()[0];
    assert!(request.starts_with("POST /v1.0/users/abc%40example.com/translateExchangeIds "));
    let wanted = r#"{"inputIds":["E1","E2","E3"],"sourceIdType":"ewsId","targetIdType":"restImmutableEntryId"}"#;
    assert!(request.ends_with(wanted), "{request}");
}
