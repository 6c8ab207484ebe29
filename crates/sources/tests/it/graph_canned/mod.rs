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

mod access;
mod emails;
mod folders;
mod listing;

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
