//! What the simulated Graph never does: answers written by hand.

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    time::Duration,
};

use net::{
    Endpoint, TokenSource,
    oauth::{ClientCredentials, Proof},
};
use record::{
    Advice, Checkpoint, Entry, Fetched, Folder, FolderId, FolderState, ItemId, Position, Protocol,
    Scope, Source, SourceError, Uid,
};
use serde_json::{Value, json};
use sources::graph::{Allowance, Application, Graph, GraphMailbox, GraphSettings};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::server::{MAILBOX, bytes, offline_transport, outcomes};

/// An answer, as it goes over the wire.
struct Reply(Vec<u8>);

fn reply(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Reply {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    Reply([head.as_bytes(), body].concat())
}

fn ok(json: Value) -> Reply {
    reply(200, "", json.to_string())
}

fn refused(status: u16, code: &str) -> Reply {
    reply(status, "", json!({"error": {"code": code, "message": "No."}}).to_string())
}

/// Serves `replies` in their order; `{base}` in them becomes the address of the server.
struct Server {
    base: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1.0", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        let replies: VecDeque<Reply> = replies
            .into_iter()
            .map(|Reply(bytes)| {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if !text.contains("{base}") {
                    return Reply(bytes);
                }
                let (head, body) = text.split_once("\r\n\r\n").unwrap();
                let body = body.replace("{base}", &base);
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                reply(status, "", body)
            })
            .collect();
        let replies = Arc::new(Mutex::new(replies));
        drop(tokio::spawn(async move {
            let tokens = Arc::new(Mutex::new(0));
            while let Ok((stream, _)) = listener.accept().await {
                let (log, replies) = (Arc::clone(&log), Arc::clone(&replies));
                let tokens = Arc::clone(&tokens);
                drop(tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    while let Some(request) = read_request(&mut stream).await {
                        let answer = if request.contains("/oauth2/") {
                            let mut tokens = tokens.lock().unwrap();
                            *tokens += 1;
                            let token = format!("token-{tokens}");
                            Some(ok(json!({"access_token": token, "expires_in": 3600,
                                "token_type": "Bearer"})))
                        } else {
                            log.lock().unwrap().push(request);
                            replies.lock().unwrap().pop_front()
                        };
                        let Some(Reply(answer)) = answer else { return };
                        // A reply that says less than it announces is followed by a cut.
                        if stream.get_mut().write_all(&answer).await.is_err() {
                            return;
                        }
                        if !is_whole(&answer) {
                            return;
                        }
                    }
                }));
            }
        }));
        Self { base, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn open(&self, applications: Vec<Application>, settings: GraphSettings) -> Arc<Graph> {
        let endpoint = Endpoint::new(&self.base, offline_transport()).unwrap();
        Graph::new(endpoint, applications, settings)
    }

    fn mailbox(&self) -> GraphMailbox {
        self.open(vec![anonymous()], settings()).mailbox(&MAILBOX.parse().unwrap())
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    length.is_some_and(|length| head.len() + 4 + length.parse::<usize>().unwrap() == answer.len())
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let (mut text, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        text += &line;
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(text + &String::from_utf8(body).unwrap())
}

pub(crate) fn settings() -> GraphSettings {
    GraphSettings {
        connections: NonZeroUsize::new(2).unwrap(),
        mailbox_allowance: Allowance::MAILBOX,
        delta: true,
        link_hosts: Vec::new(),
        max_email_size: 200 * 1024 * 1024,
        spool_dir: std::env::temp_dir(),
        meter: Arc::new(record::Unmetered),
    }
}

fn anonymous() -> Application {
    Application { name: "app".to_owned(), token: None, allowance: Allowance::APPLICATION }
}

fn with_token(server: &Server, name: &str) -> Application {
    let credentials = ClientCredentials {
        authority: server.base.replace("/v1.0", "/tenant/"),
        client_id: name.to_owned(),
        proof: Proof::Secret("secret".into()),
        scope: "https://graph.microsoft.com/.default".to_owned(),
    };
    let token = TokenSource::new(credentials, offline_transport()).unwrap();
    Application { token: Some(token), name: name.to_owned(), ..anonymous() }
}

fn inbox() -> Folder {
    Folder {
        id: FolderId("F1".to_owned()),
        path: vec!["Inbox".to_owned()],
        mark: None,
        total: None,
    }
}

fn message(id: &str) -> Value {
    json!({"id": id, "internetMessageId": format!("<{id}@example.org>"),
        "receivedDateTime": "2026-11-22T08:15:02Z", "isDraft": false,
        "singleValueExtendedProperties": [
            {"id": "Binary 0x300b", "value": "AAEC"}, {"id": "Integer 0xe08", "value": "700"}]})
}

fn page(messages: &[Value]) -> Reply {
    ok(json!({"value": messages, "@odata.deltaLink": "{base}/users/x/delta?$deltatoken=D1"}))
}

fn link(url: &str) -> Position {
    Position::Link { url: url.to_owned() }
}

fn entry(id: &str) -> Entry {
    Entry {
        item: ItemId(id.to_owned()),
        uid: Uid::derive("exchange", &MAILBOX.parse().unwrap(), id.as_bytes(), ""),
        message_id: None,
        received: None,
        created: None,
        size: Some(700),
        is_draft: false,
    }
}

/// The answer to a batch: status, headers and body of each request, in the order asked.
fn batch(answers: &[(u16, Value, Value)]) -> Reply {
    let answer = |(place, (status, headers, body)): (usize, &(u16, Value, Value))| json!({"id": place.to_string(), "status": status, "headers": headers, "body": body});
    ok(json!({"responses": answers.iter().enumerate().rev().map(answer).collect::<Vec<_>>()}))
}

fn email(base64: &str) -> (u16, Value, Value) {
    (200, json!({"Content-Type": "text/plain"}), json!(base64))
}

fn failed(status: u16, code: &str) -> (u16, Value, Value) {
    (status, json!({}), json!({"error": {"code": code, "message": "No."}}))
}

/// Details of `count` messages, of which nothing more is known.
fn details(count: usize) -> Reply {
    let answers: Vec<_> =
        (0..count).map(|place| (200, json!({}), message(&format!("M{place}")))).collect();
    batch(&answers)
}

async fn listed(replies: Vec<Reply>) -> Result<record::Page, SourceError> {
    Server::start(replies).await.mailbox().list(&inbox(), None, 100).await
}

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
async fn no_token_follows_a_link_to_another_host() {
    for foreign in [
        "https://graph.example.net/v1.0/x",
        "http://127.0.0.1:1/v1.0/x",
        "http://127.0.0.1@graph.example.net/x",
    ] {
        for link in ["@odata.nextLink", "@odata.deltaLink"] {
            let server =
                Server::start(vec![ok(json!({"value": [message("M1")], link: foreign}))]).await;
            let graph = server.open(vec![with_token(&server, "app")], settings());
            let mut source = graph.mailbox(&MAILBOX.parse().unwrap());
            let err = source.list(&inbox(), None, 100).await.unwrap_err();
            assert!(matches!(err, SourceError::Misconfigured { .. }), "{foreign}: {err:?}");
            assert_eq!(server.requests().len(), 1);
        }
        // Nor one that an earlier configuration has left in the checkpoint.
        let server = Server::start(Vec::new()).await;
        let err = server.mailbox().list(&inbox(), Some(&link(foreign)), 100).await.unwrap_err();
        assert!(matches!(err, SourceError::CursorExpired { .. }), "{foreign}: {err:?}");
        assert_eq!(server.requests().len(), 0);
        let folders = ok(json!({"value": [], "@odata.nextLink": foreign}));
        let server = Server::start(vec![folders]).await;
        let err = server.mailbox().survey(&Checkpoint::default(), true).await.unwrap_err();
        assert!(matches!(err, SourceError::Misconfigured { .. }), "{foreign}: {err:?}");
    }
}

#[tokio::test]
async fn a_link_to_a_host_that_is_allowed_is_followed_at_the_endpoint() {
    let next = "https://graph.example.net/v1.0/x?$skiptoken=1";
    let server =
        Server::start(vec![ok(json!({"value": [], "@odata.nextLink": next})), page(&[])]).await;
    let settings = GraphSettings { link_hosts: vec!["Graph.Example.net".to_owned()], ..settings() };
    let mut source = server.open(vec![anonymous()], settings).mailbox(&MAILBOX.parse().unwrap());
    let page = source.list(&inbox(), None, 100).await.unwrap();
    source.list(&inbox(), Some(&page.next), 100).await.unwrap();
    assert!(server.requests()[1].starts_with("GET /v1.0/x?$skiptoken=1 "));
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let unauthorized = || refused(401, "InvalidAuthenticationToken");
    let replies = vec![unauthorized(), page(&[]), unauthorized(), unauthorized()];
    let server = Server::start(replies).await;
    let graph = server.open(vec![with_token(&server, "app")], settings());
    let mut source = graph.mailbox(&MAILBOX.parse().unwrap());
    source.list(&inbox(), None, 100).await.unwrap();
    let err = source.list(&inbox(), None, 100).await.unwrap_err();
    assert!(matches!(err, SourceError::Unauthorized { .. }), "{err:?}");
    assert_eq!(err.advice(), Advice::StopService);
    let token = |request: &String| {
        let at = request.find("Authorization: Bearer ").unwrap() + 22;
        request[at..].lines().next().unwrap().to_owned()
    };
    let tokens: Vec<String> = server.requests().iter().map(token).collect();
    assert_eq!(tokens, ["token-1", "token-2", "token-2", "token-3"]);
}

#[tokio::test]
async fn an_attempt_with_a_refused_token_counts_against_the_budget() {
    let server = Server::start(vec![refused(401, "InvalidAuthenticationToken")]).await;
    let mailbox_allowance = Allowance { requests: 1, per: Duration::from_secs(600) };
    let settings = GraphSettings { mailbox_allowance, ..settings() };
    let graph = server.open(vec![with_token(&server, "app")], settings);
    let mut source = graph.mailbox(&MAILBOX.parse().unwrap());
    let err = source.list(&inbox(), None, 100).await.unwrap_err();
    assert!(matches!(err, SourceError::Throttled { scope: Scope::Mailbox, .. }), "{err:?}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn of_several_applications_each_has_its_mailboxes_and_its_troubles() {
    let unauthorized = || refused(401, "InvalidAuthenticationToken");
    let pause = r#"{"error":{"code":"TooManyRequests","message":"No."}}"#;
    let headers = "Retry-After: 30\r\nx-ms-throttle-scope: Application/Read/1/2\r\n";
    let replies =
        vec![unauthorized(), unauthorized(), reply(429, headers, pause), page(&[]), page(&[])];
    let server = Server::start(replies).await;
    let applications = vec![with_token(&server, "first"), with_token(&server, "second")];
    let graph = server.open(applications, settings());
    let name = |mailbox: &str| {
        graph.application_of(&mailbox.parse().unwrap()).map(|app| app.name.clone()).unwrap()
    };
    let of = |wanted: &str| -> Vec<String> {
        let all = (0..20).map(|number| format!("m{number}@example.com"));
        all.filter(|mailbox| name(mailbox) == wanted).collect()
    };
    let (first, second) = (of("first"), of("second"));
    assert!(first.len() > 3 && second.len() > 3, "{first:?} {second:?}");
    let mut source = graph.mailbox(&first[0].parse().unwrap());
    let err = source.list(&inbox(), None, 100).await.unwrap_err();
    assert!(matches!(err, SourceError::Denied { scope: Scope::Mailbox, .. }), "{err:?}");
    assert!(err.hint().unwrap().contains("`first`"), "{err:?}");
    // A pause of one application is kept by all its mailboxes, and by no other.
    for (number, mailbox) in second[..2].iter().enumerate() {
        let mut source = graph.mailbox(&mailbox.parse().unwrap());
        let err = source.list(&inbox(), None, 100).await.unwrap_err();
        let Advice::Retry { scope: Scope::Mailbox, after: Some(after) } = err.advice() else {
            panic!("{number}: {err:?}")
        };
        assert!(after <= Duration::from_secs(30) && after > Duration::from_secs(20), "{after:?}");
    }
    graph.mailbox(&first[1].parse().unwrap()).list(&inbox(), None, 100).await.unwrap();
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a_pause_is_asked_for_in_seconds_or_until_a_date() {
    let error = r#"{"error":{"code":"ApplicationThrottled","message":"MailboxConcurrency"}}"#;
    for headers in [
        "Retry-After: 12\r\n",
        "Date: Sun, 22 Nov 2026 10:00:00 GMT\r\nRetry-After: Sun, 22 Nov 2026 10:00:12 GMT\r\n",
    ] {
        for status in [429, 503] {
            let server = Server::start(vec![reply(status, headers, error)]).await;
            let mut source = server.mailbox();
            for _ in 0..2 {
                let err = source.list(&inbox(), None, 100).await.unwrap_err();
                let Advice::Retry { scope: Scope::Mailbox, after: Some(after) } = err.advice()
                else {
                    panic!("{err:?}")
                };
                assert!(after > Duration::from_secs(11) && after <= Duration::from_secs(12));
            }
            assert_eq!(server.requests().len(), 1, "asked during the pause");
        }
    }
    // Without a time, the engine finds one.
    let err = listed(vec![refused(429, "TooManyRequests")]).await.unwrap_err();
    assert_eq!(err.advice(), Advice::Retry { scope: Scope::Mailbox, after: None });
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
async fn a_mailbox_that_graph_does_not_serve_is_named() {
    for (status, code, advice, word) in [
        (404, "MailboxNotEnabledForRESTAPI", Advice::PauseMailbox, "premises"),
        (404, "ErrorInvalidUser", Advice::PauseMailbox, "premises"),
        (404, "ResourceNotFound", Advice::PauseMailbox, "premises"),
        (403, "ErrorAccessDenied", Advice::PauseMailbox, "Mail.Read"),
        (403, "Authorization_RequestDenied", Advice::PauseMailbox, "RBAC"),
    ] {
        let server = Server::start(vec![refused(status, code)]).await;
        let err = server.mailbox().survey(&Checkpoint::default(), true).await.unwrap_err();
        assert_eq!(err.advice(), advice, "{code}: {err:?}");
        assert!(err.hint().unwrap().contains(word), "{code}: {err:?}");
        assert!(err.to_string().contains(code), "{code}: {err}");
    }
    for status in [500, 502, 503, 504, 507] {
        let err = listed(vec![refused(status, "UnknownError"), refused(status, "UnknownError")])
            .await
            .unwrap_err();
        let again = matches!(err.advice(), Advice::Split | Advice::Retry { after: None, .. });
        assert!(again, "{status}: {err:?}");
    }
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
async fn emails_come_in_one_batch_in_any_order() {
    let replies =
        vec![details(3), batch(&[email("QUJD"), failed(404, "ErrorItemNotFound"), email("REVG")])];
    let server = Server::start(replies).await;
    let entries = [entry("M0"), entry("M1"), entry("M2")];
    let fetched = server.mailbox().fetch(&inbox(), &entries).await.unwrap();
    assert_eq!(outcomes(&fetched), ["email", "gone", "email"]);
    for (fetched, expected) in [(&fetched[0], "ABC"), (&fetched[2], "DEF")] {
        let Fetched::Email(email) = fetched else { panic!("{fetched:?}") };
        assert_eq!(bytes(email), expected.as_bytes());
    }
    let requests = server.requests();
    let url = r#""url":"/users/abc%40example.com/messages/M1/$value""#;
    assert!(requests[1].contains(url), "{}", requests[1]);
    let prefer = r#""headers":{"Prefer":"IdType=\"ImmutableId\""}"#;
    assert!(requests[1].contains(prefer), "{}", requests[1]);
}

#[tokio::test]
async fn what_a_page_told_is_not_asked_for_again() {
    let listed = page(&[message("M0"), message("M1")]);
    let server = Server::start(vec![listed, batch(&[email("QUJD"), email("REVG")])]).await;
    let mut source = server.mailbox();
    let entries = source.list(&inbox(), None, 100).await.unwrap().entries;
    let fetched = source.fetch(&inbox(), &entries).await.unwrap();
    assert_eq!(outcomes(&fetched), ["email"; 2]);
    let Fetched::Email(email) = &fetched[0] else { panic!("{fetched:?}") };
    assert_eq!(email.timestamp.to_rfc3339(), "2026-11-22T08:15:02+00:00");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_throttled_part_of_a_batch_is_put_off() {
    let throttled = (
        429,
        json!({"retry-after": "8"}),
        json!({"error": {"code": "ApplicationThrottled",
            "message": "Application is over its MailboxConcurrency limit."}}),
    );
    let listed = (0..6).map(|number| message(&format!("M{number}"))).collect::<Vec<_>>();
    let mut answers = vec![email("QUJD"); 4];
    answers.extend([throttled.clone(), throttled]);
    let server = Server::start(vec![page(&listed), batch(&answers)]).await;
    let mut source = server.mailbox();
    let entries = source.list(&inbox(), None, 100).await.unwrap().entries;
    let fetched = source.fetch(&inbox(), &entries).await.unwrap();
    assert_eq!(outcomes(&fetched), ["email", "email", "email", "email", "later", "later"]);
    let err = source.fetch(&inbox(), &entries[4..]).await.unwrap_err();
    let Advice::Retry { scope: Scope::Mailbox, after: Some(after) } = err.advice() else {
        panic!("{err:?}")
    };
    assert!(after <= Duration::from_secs(8) && after > Duration::from_secs(6), "{after:?}");
    assert_eq!(server.requests().len(), 2, "sent during the pause");
}

#[tokio::test]
async fn a_service_that_refuses_long_batches_gets_short_ones() {
    let throttled = (
        429,
        json!({}),
        json!({"error": {"code": "ApplicationThrottled",
            "message": "Application is over its MailboxConcurrency limit."}}),
    );
    let listed = (0..6).map(|number| message(&format!("M{number}"))).collect::<Vec<_>>();
    let mut answers = vec![email("QUJD"); 5];
    answers.push(throttled);
    let replies = vec![
        page(&listed),
        batch(&answers),
        batch(&vec![email("QUJD"); 4]),
        batch(&vec![email("QUJD"); 2]),
    ];
    let server = Server::start(replies).await;
    let mut source = server.mailbox();
    let entries = source.list(&inbox(), None, 100).await.unwrap().entries;
    let fetched = source.fetch(&inbox(), &entries).await.unwrap();
    assert_eq!(outcomes(&fetched)[5], "later");
    assert_eq!(outcomes(&source.fetch(&inbox(), &entries).await.unwrap()), ["email"; 6]);
    let parts = |request: &String| request.matches("/$value").count();
    let sizes: Vec<usize> = server.requests().iter().map(parts).collect();
    assert_eq!(sizes, [0, 6, 4, 2]);
}

#[tokio::test]
async fn emails_that_a_batch_brings_in_a_strange_form_are_fetched_singly() {
    let listed = [message("M0"), message("M1")];
    let raw = (200, json!({}), json!("Subject: raw\r\n\r\nText.\r\n"));
    let value = |text: &str| reply(200, "", text);
    let replies = vec![
        page(&listed),
        batch(&[raw.clone(), raw]),
        value("first"),
        value("second"),
        value("first"),
        value("second"),
    ];
    let server = Server::start(replies).await;
    let mut source = server.mailbox();
    let entries = source.list(&inbox(), None, 100).await.unwrap().entries;
    for _ in 0..2 {
        let fetched = source.fetch(&inbox(), &entries).await.unwrap();
        assert_eq!(outcomes(&fetched), ["email"; 2]);
    }
    let batches = |request: &&String| request.contains("/$batch ");
    assert_eq!(server.requests().iter().filter(batches).count(), 1);
}

#[tokio::test]
async fn an_email_without_an_end_is_not_taken_for_whole() {
    let endless = || Reply(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nSubject: x\r\n".to_vec());
    let cut = || Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nSubject: x\r\n".to_vec());
    let server = Server::start(vec![details(1), endless()]).await;
    let err = server.mailbox().fetch(&inbox(), &[entry("M0")]).await.unwrap_err();
    assert_eq!(err.advice(), Advice::Split, "{err:?}");
    let server = Server::start(vec![details(1), cut(), cut(), cut(), cut(), cut()]).await;
    let err = server.mailbox().fetch(&inbox(), &[entry("M0")]).await.unwrap_err();
    assert!(matches!(err, SourceError::Unreachable { .. }), "{err:?}");
    assert_eq!(server.requests().len(), 4, "one attempt and two more");
}

#[tokio::test]
async fn an_email_beyond_the_limit_is_refused_while_it_arrives() {
    let large = "x".repeat(3000);
    let replies = vec![
        page(&[message("M0"), message("M1")]),
        batch(&[email(&large[..2000]), email("QUJD")]),
        // Far more is announced than ever comes.
        Reply(format!("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n{large}").into_bytes()),
    ];
    let server = Server::start(replies).await;
    let settings = GraphSettings { max_email_size: 1000, ..settings() };
    let mut source = server.open(vec![anonymous()], settings).mailbox(&MAILBOX.parse().unwrap());
    let entries = source.list(&inbox(), None, 100).await.unwrap().entries;
    assert_eq!(outcomes(&source.fetch(&inbox(), &entries).await.unwrap()), ["TooLarge", "email"]);
    assert_eq!(outcomes(&source.fetch(&inbox(), &entries[..1]).await.unwrap()), ["TooLarge"]);
    // One whose listed size says enough is not even asked for.
    let huge = Entry { size: Some(2001), ..entries[0].clone() };
    assert_eq!(outcomes(&source.fetch(&inbox(), &[huge]).await.unwrap()), ["TooLarge"]);
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_broken_item_is_refused_after_a_second_look() {
    for (status, code, attempts) in [
        (500, "ErrorItemCorrupt", 2),
        (500, "ErrorMimeContentConversionFailed", 2),
        (500, "ErrorInternalServerError", 3),
        (403, "ErrorAccessDenied", 3),
        (504, "UnknownError", 3),
    ] {
        let mut replies = vec![page(&[message("M0"), message("M1")])];
        replies.push(batch(&[failed(status, code), email("QUJD")]));
        replies.extend((0..3).map(|_| refused(status, code)));
        let server = Server::start(replies).await;
        let mut source = server.mailbox();
        let entries = source.list(&inbox(), None, 100).await.unwrap().entries;
        let fetched = source.fetch(&inbox(), &entries).await.unwrap();
        assert_eq!(outcomes(&fetched), [code, "email"]);
        let tries = server.requests().len() - 1;
        // A part of a batch that took too long was no attempt of its own.
        assert_eq!(tries, if status == 504 { attempts + 1 } else { attempts }, "{code}");
    }
}

#[tokio::test]
async fn no_right_to_any_content_is_no_fault_of_the_items() {
    let mut replies = vec![page(&[message("M0")])];
    replies.extend((0..3).map(|_| refused(403, "ErrorAccessDenied")));
    let server = Server::start(replies).await;
    let mut source = server.mailbox();
    let entries = source.list(&inbox(), None, 100).await.unwrap().entries;
    let err = source.fetch(&inbox(), &entries).await.unwrap_err();
    assert_eq!(err.advice(), Advice::PauseMailbox, "{err:?}");
}

#[tokio::test]
async fn a_page_that_says_not_found_is_no_proof_that_an_item_is_gone() {
    let mut replies = vec![page(&[message("M0")])];
    replies.extend((0..4).map(|_| reply(404, "", "<html>Not here</html>")));
    let server = Server::start(replies).await;
    let mut source = server.mailbox();
    let entries = source.list(&inbox(), None, 100).await.unwrap().entries;
    let err = source.fetch(&inbox(), &entries).await.unwrap_err();
    assert_eq!(err.advice(), Advice::StopService, "{err:?}");
}

#[tokio::test]
async fn the_budget_of_a_mailbox_counts_each_part_of_a_batch() {
    let listed = [message("M0"), message("M1"), message("M2")];
    let replies = vec![page(&listed), batch(&vec![email("QUJD"); 3]), page(&[])];
    let server = Server::start(replies).await;
    let mailbox_allowance = Allowance { requests: 6, per: Duration::from_secs(600) };
    let settings = GraphSettings { mailbox_allowance, ..settings() };
    let mut source = server.open(vec![anonymous()], settings).mailbox(&MAILBOX.parse().unwrap());
    let entries = source.list(&inbox(), None, 100).await.unwrap().entries;
    source.fetch(&inbox(), &entries).await.unwrap();
    let err = source.fetch(&inbox(), &entries).await.unwrap_err();
    let Advice::Retry { scope: Scope::Mailbox, after: Some(after) } = err.advice() else {
        panic!("{err:?}")
    };
    assert!(after > Duration::from_secs(590), "{after:?}");
    source.list(&inbox(), None, 100).await.unwrap();
    assert_eq!(server.requests().len(), 3);
}

fn folder(id: &str, parent: &str, name: &str) -> Value {
    json!({"id": id, "parentFolderId": parent, "displayName": name, "totalItemCount": 3,
        "unreadItemCount": 1, "childFolderCount": 0,
        "singleValueExtendedProperties": [{"id": "String 0x3613", "value": "IPF.Note"}]})
}

fn tree(folders: &[Value]) -> Reply {
    ok(
        json!({"value": folders, "@odata.deltaLink": "{base}/users/x/mailFolders/delta?$deltatoken=F"}),
    )
}

fn paths(folders: &[Folder]) -> Vec<String> {
    let mut paths: Vec<String> = folders.iter().map(|folder| folder.path.join("|")).collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn folders_have_the_paths_that_ews_gives_them() {
    let class = |class: &str| json!([{"id": "String 0x3613", "value": class}]);
    let mut contacts = folder("C", "top", "Contacts");
    contacts["singleValueExtendedProperties"] = class("IPF.Contact");
    let mut hidden = folder("H", "top", "Hidden");
    hidden["isHidden"] = json!(true);
    hidden["singleValueExtendedProperties"] = class("IPF.Configuration");
    let mut search = folder("S", "top", "Search");
    search["@odata.type"] = json!("#microsoft.graph.mailSearchFolder");
    let inbox = folder("I", "top", "Inbox");
    let rest = [folder("D", "I", "Claims/2026"), contacts, hidden, search];
    let noise = [folder("O", "top", "Sync Issues"), folder("P", "O", "Conflicts")];
    // Some servers list the folder at the top as well.
    let top = folder("top", "nowhere", "Top of Information Store");
    for with_top in [false, true] {
        let mut folders = vec![inbox.clone()];
        folders.extend_from_slice(&rest);
        folders.extend_from_slice(&noise);
        folders.extend(with_top.then(|| top.clone()));
        let server = Server::start(vec![tree(&folders), ok(json!({"id": "top"}))]).await;
        let survey = server.mailbox().survey(&Checkpoint::default(), true).await.unwrap();
        assert_eq!(paths(&survey.folders), ["Inbox", "Inbox|Claims/2026"], "top: {with_top}");
        assert_eq!(survey.folders[0].total, Some(3));
        assert_eq!(server.requests().len(), if with_top { 2 } else { 1 });
    }
}

#[tokio::test]
async fn a_folder_that_the_server_names_gets_another_mark() {
    let first = tree(&[folder("I", "top", "Inbox"), folder("J", "top", "Junk")]);
    let renamed = json!({"id": "J", "displayName": "Spam"});
    let again = folder("I", "top", "Inbox");
    let gone = json!({"id": "J", "@removed": {"reason": "deleted"}});
    let other_link = "{base}/users/x/mailFolders/delta?$deltatoken=F2";
    let server = Server::start(vec![
        first,
        ok(json!({"value": [], "@odata.deltaLink": other_link})),
        tree(&[again, renamed]),
        tree(&[gone]),
        refused(410, "SyncStateNotFound"),
        tree(&[folder("I", "top", "Inbox"), folder("K", "top", "Sent Items")]),
    ])
    .await;
    let mut source = server.mailbox();
    let mut known = Checkpoint { protocol: Protocol::Graph, ..Checkpoint::default() };
    let mut rounds = Vec::new();
    let mut hierarchies = Vec::new();
    for _ in 0..5 {
        let survey = source.survey(&known, false).await.unwrap();
        let shown = |folder: &Folder| {
            format!("{} {}", folder.path.join("|"), folder.mark.as_deref().unwrap())
        };
        rounds.push(survey.folders.iter().map(shown).collect::<Vec<_>>().join(", "));
        for folder in &survey.folders {
            let state = FolderState { mark: folder.mark.clone(), ..FolderState::default() };
            known.folders.insert(folder.id.clone(), state);
        }
        hierarchies.push(survey.hierarchy.clone());
        known.hierarchy = survey.hierarchy;
    }
    assert_eq!(
        rounds,
        [
            "Inbox 0.0 3 1, Junk 0.0 3 1",
            "Inbox 0.0 3 1, Junk 0.0 3 1",
            "Inbox 0.1 3 1, Spam 0.1 3 1",
            "Inbox 0.1 3 1",
            // What changed before the position was lost is not known: no mark comes again.
            "Inbox 1.0 3 1, Sent Items 1.0 3 1",
        ]
    );
    assert_eq!(hierarchies[0], hierarchies[1], "an idle mailbox is written again");
    assert!(!source.marks_are_proof());
}

#[tokio::test]
async fn where_there_is_no_delta_query_folders_are_polled() {
    let no_delta = || {
        let message = "Resource not found for the segment 'delta'.";
        reply(400, "", json!({"error": {"code": "BadRequest", "message": message}}).to_string())
    };
    let mut parent = folder("I", "top", "Inbox");
    parent["childFolderCount"] = json!(1);
    let folders = |values: &[Value]| ok(json!({"value": values}));
    let at = |id: &str, time: &str| {
        let mut message = message(id);
        message["receivedDateTime"] = json!(time);
        message
    };
    let replies = vec![
        no_delta(),
        no_delta(),
        folders(&[parent.clone(), folder("J", "top", "Junk")]),
        folders(&[folder("D", "I", "Claims")]),
        ok(json!({"value": [at("M0", "2026-11-22T08:00:00Z")], "@odata.nextLink": "{base}/next"})),
        folders(&[at("M1", "2026-11-22T09:00:00Z")]),
        // The next poll: what the overlap lists again, and what is new.
        folders(&[at("M1", "2026-11-22T09:00:00Z"), at("M2", "2026-11-22T09:01:00Z")]),
        // After a thorough survey everything, whenever it was received.
        folders(&[parent, folder("J", "top", "Junk")]),
        folders(&[folder("D", "I", "Claims")]),
        folders(&[at("M9", "2026-01-01T00:00:00Z"), at("M1", "2026-11-22T09:00:00Z")]),
    ];
    let server = Server::start(replies).await;
    let mut source = server.mailbox();
    let survey = source.survey(&Checkpoint::default(), true).await.unwrap();
    assert_eq!(paths(&survey.folders), ["Inbox", "Inbox|Claims", "Junk"]);
    let inbox = survey.folders.iter().find(|folder| folder.path == ["Inbox"]).unwrap();
    let mut listed = Vec::new();
    let mut from = None;
    for _ in 0..3 {
        let page = source.list(inbox, from.as_ref(), 100).await.unwrap();
        let ids: Vec<String> = page.entries.iter().map(|entry| entry.item.0.clone()).collect();
        listed.push((ids.join(" "), page.more));
        from = Some(page.next);
    }
    let known = Checkpoint { hierarchy: survey.hierarchy, ..Checkpoint::default() };
    let thorough = source.survey(&known, true).await.unwrap();
    let inbox = thorough.folders.iter().find(|folder| folder.path == ["Inbox"]).unwrap();
    let page = source.list(inbox, from.as_ref(), 100).await.unwrap();
    assert_eq!(page.entries.len(), 2);
    let expected = [("M0", true), ("M1", false), ("M2", false)];
    assert_eq!(listed, expected.map(|(ids, more)| (ids.to_owned(), more)));
    let requests = server.requests();
    let since = "$filter=receivedDateTime%20ge%202026-11-22T08%3A50%3A00Z";
    assert!(requests[6].contains(since), "{}", requests[6]);
    assert!(!requests[4].contains("$filter=received"), "{}", requests[4]);
    assert!(!requests[9].contains("$filter=received"), "{}", requests[9]);
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
