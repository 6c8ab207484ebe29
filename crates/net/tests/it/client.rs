//! The pooled client: requests of any kind, bodies that stream, connections that are kept.

use std::{
    io::{self, Cursor, Read},
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use net::{
    Call, Client, Endpoint, HeaderValue, Limits, Method, NetError, Payload, Repeat, Stage,
    TlsSettings, bearer, header::AUTHORIZATION,
};
use record::Secret;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    faults::{SHORT, gzip, soon},
    limits,
    server::{Server, Then, ok, raw, reply},
    transport,
};

const MIB: u64 = 1 << 20;

fn client(url: &str, limits: Limits, max_connections: usize) -> Client {
    let endpoint = Endpoint::new(url, transport(&TlsSettings::default(), limits)).unwrap();
    Client::new(endpoint, NonZeroUsize::new(max_connections).unwrap())
}

fn put(payload: Payload) -> Call {
    Call { payload, ..Call::new(Method::PUT, "/a%2Fb?c=d") }
}

async fn answer(client: &Client, call: Call) -> Result<(u16, String), NetError> {
    let mut reply = client.send(call).await?;
    let body = reply.body.collect(1 << 20).await?;
    Ok((reply.status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
}

/// Zeros that count how many of them were read.
struct Zeros {
    left: u64,
    read: Arc<AtomicU64>,
}

impl Read for Zeros {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let size = into.len().min(usize::try_from(self.left).unwrap());
        into[..size].fill(0);
        self.left -= size as u64;
        self.read.fetch_add(size as u64, Ordering::Relaxed);
        Ok(size)
    }
}

fn zeros(size: u64) -> (Payload, Arc<AtomicU64>) {
    let read = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&read);
    let open = move || Ok(Box::new(Zeros { left: size, read: Arc::clone(&count) }) as Box<_>);
    (Payload::reader(Some(size), open), read)
}

fn text_reader(text: &'static str, length: Option<u64>) -> Payload {
    Payload::reader(length, move || Ok(Box::new(Cursor::new(text))))
}

#[tokio::test]
async fn requests_of_any_kind_share_a_kept_connection() {
    let server = Server::start(|_| ok("fine")).await;
    let client = client(&server.url(), limits(), 4);
    let mut call = put(Payload::Bytes("hello".into()));
    call.headers.insert(AUTHORIZATION, bearer(&Secret::from("canary")).unwrap());
    call.headers.insert("x-ms-version", HeaderValue::from_static("2025-01-05"));
    for call in [Call::new(Method::GET, "/x"), call, Call::new(Method::DELETE, "/x?y=%3C")] {
        assert_eq!(answer(&client, call).await.unwrap(), (200, "fine".into()));
    }
    let seen = server.seen();
    let lines: Vec<&str> =
        seen.iter().map(|request| request.head.lines().next().unwrap()).collect();
    assert_eq!(lines, ["GET /x HTTP/1.1", "PUT /a%2Fb?c=d HTTP/1.1", "DELETE /x?y=%3C HTTP/1.1"]);
    assert_eq!(server.connections(), 1);
    assert_eq!(seen[1].body, b"hello");
    assert_eq!(seen[1].header("authorization"), Some("Bearer canary"));
    assert_eq!(seen[1].header("x-ms-version"), Some("2025-01-05"));
    for absent in ["authorization", "content-length", "accept-encoding", "client-request-id"] {
        assert_eq!(seen[0].header(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn a_body_streams_with_its_length_or_in_chunks() {
    let server = Server::start(|_| ok("fine")).await;
    let client = client(&server.url(), limits(), 1);
    for length in [Some(5), None] {
        answer(&client, put(text_reader("hello", length))).await.unwrap();
    }
    let (payload, _) = zeros(8 * MIB);
    answer(&client, put(payload)).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].body, b"hello");
    assert_eq!(seen[0].header("content-length"), Some("5"));
    assert_eq!(seen[1].body, b"hello");
    assert_eq!(seen[1].header("transfer-encoding"), Some("chunked"));
    assert_eq!(seen[1].header("content-length"), None);
    assert_eq!(seen[2].body.len() as u64, 8 * MIB);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_body_is_begun_anew_when_the_kept_connection_is_dead() {
    let server = Server::start(|request| match request.connection {
        0 => raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Then::Close),
        _ => ok("fine"),
    })
    .await;
    let client = client(&server.url(), limits(), 1);
    for _ in 0..3 {
        assert_eq!(answer(&client, put(text_reader("hello", Some(5)))).await.unwrap().0, 200);
    }
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|request| request.body == b"hello"));
}

#[tokio::test]
async fn what_may_have_been_sent_is_not_repeated_against_the_callers_will() {
    for (repeat, requests) in [(Repeat::Never, 2), (Repeat::Safe, 3)] {
        let mut answered = 0;
        let server = Server::start(move |request| {
            answered += 1;
            match (request.connection, answered) {
                (0, 2) => raw("", Then::Close),
                _ => ok("fine"),
            }
        })
        .await;
        let client = client(&server.url(), limits(), 1);
        answer(&client, put(Payload::Empty)).await.unwrap();
        let result = answer(&client, Call { repeat, ..put(Payload::Bytes("x".into())) }).await;
        assert_eq!(result.is_ok(), repeat == Repeat::Safe, "{result:?}");
        assert_eq!(server.seen().len(), requests);
    }
}

#[tokio::test]
async fn no_more_connections_than_allowed_are_opened() {
    let server = Server::start(|_| ok("fine")).await;
    let client = client(&server.url(), limits(), 2);
    let calls = (0..12).map(|_| {
        let client = client.clone();
        async move { answer(&client, put(text_reader("hello", Some(5)))).await.unwrap().0 }
    });
    let mut tasks: tokio::task::JoinSet<u16> = calls.collect();
    while let Some(status) = tasks.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(server.seen().len(), 12);
    assert!(server.connections() <= 2, "{} connections", server.connections());
}

#[tokio::test]
async fn a_server_that_stops_reading_times_out_and_little_was_read_ahead() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let client = client(&url, Limits { idle_send: Duration::from_millis(300), ..limits() }, 1);
    let (payload, read) = zeros(500 * MIB);
    let err = soon(client.send(put(payload))).await.unwrap_err();
    assert!(matches!(err, NetError::Timeout { stage: Stage::Send, .. }), "{err:?}");
    let read = read.load(Ordering::Relaxed);
    // What the kernel's buffers of both ends hold, and a little more.
    assert!(read < 64 * MIB, "{read} bytes were read");
    drop(listener);
}

#[tokio::test]
async fn time_for_the_answer_begins_with_the_end_of_the_request() {
    let server = Server::start(|_| raw("", Then::Stall)).await;
    let client = client(&server.url(), Limits { answer: SHORT, ..limits() }, 1);
    let err = soon(client.send(put(Payload::Bytes("x".into())))).await.unwrap_err();
    assert!(matches!(err, NetError::Timeout { stage: Stage::Answer, .. }), "{err:?}");
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_is_heard() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = tokio::task::JoinSet::from_iter([async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            tcp.read_exact(&mut head).await.unwrap();
            let refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno";
            tcp.write_all(refusal).await.unwrap();
            // Until the client is gone.
            let mut rest = vec![0; 1 << 20];
            while tcp.read(&mut rest).await.is_ok_and(|size| size > 0) {}
        }
    }]);
    let client = client(&url, limits(), 1);
    for _ in 0..2 {
        let (payload, read) = zeros(2000 * MIB);
        assert_eq!(soon(answer(&client, put(payload))).await.unwrap(), (413, "no".into()));
        assert!(read.load(Ordering::Relaxed) < 2000 * MIB);
    }
    drop(server);
}

#[tokio::test]
async fn a_reply_is_decompressed_only_if_that_was_asked_for() {
    let packed = gzip(b"hello");
    let body = packed.clone();
    let server =
        Server::start(move |_| reply("200 OK", &["Content-Encoding: gzip"], &packed)).await;
    let client = client(&server.url(), limits(), 1);
    let asked = Call { gzip: true, ..Call::new(Method::GET, "/") };
    assert_eq!(answer(&client, asked).await.unwrap().1, "hello");
    let mut reply = client.send(Call::new(Method::GET, "/")).await.unwrap();
    assert_eq!(reply.body.collect(1000).await.unwrap(), body);
    let heads: Vec<_> =
        server.seen().iter().map(|seen| seen.header("accept-encoding").is_some()).collect();
    assert_eq!(heads, [true, false]);
}

#[tokio::test]
async fn a_reply_given_up_costs_its_connection_and_nothing_else() {
    let server = Server::start(|request| match request.connection {
        0 => raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", Then::Stall),
        _ => ok("fine"),
    })
    .await;
    let client = client(&server.url(), limits(), 1);
    drop(client.send(Call::new(Method::GET, "/")).await.unwrap());
    let answered = soon(answer(&client, Call::new(Method::GET, "/"))).await;
    assert_eq!(answered.unwrap(), (200, "fine".into()));
}

#[tokio::test]
async fn every_status_is_an_answer_and_redirects_stay_where_they_are() {
    for status in ["302 Found", "401 No", "429 Slow", "503 Later"] {
        let server = Server::start(move |_| reply(status, &["Location: /other"], "x")).await;
        let client = client(&server.url(), limits(), 1);
        let (got, _) = answer(&client, Call::new(Method::GET, "/")).await.unwrap();
        assert!(status.starts_with(&got.to_string()), "{got}");
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_target_that_is_no_path_is_refused() {
    let client = client("http://127.0.0.1:9/", limits(), 1);
    for target in ["", "x", "http://mail.example.com/", "*", "/a b"] {
        assert!(client.send(Call::new(Method::GET, target)).await.is_err(), "{target}");
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_an_error_and_not_sent_again() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the spool file was cut"))
        }
    }
    let server = Server::start(|_| ok("fine")).await;
    let client = client(&server.url(), limits(), 1);
    answer(&client, put(Payload::Empty)).await.unwrap();
    let err = answer(&client, put(Payload::reader(Some(9), || Ok(Box::new(Broken))))).await;
    let err = err.unwrap_err();
    assert!(record::Chain(&err).to_string().contains("the spool file was cut"), "{err:?}");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_call_shows_no_secret() {
    let mut call = Call::new(Method::GET, "/a?sig=canary");
    call.headers.insert(AUTHORIZATION, bearer(&Secret::from("canary")).unwrap());
    call.payload = Payload::Bytes("canary".into());
    assert_eq!(format!("{call:?}"), "Call(GET /a)");
    assert_eq!(
        format!("{:?} {:?}", call.headers, call.payload),
        "{\"authorization\": Sensitive} Bytes(6)"
    );
    assert!(bearer(&Secret::from("line\nbreak")).is_none());
}
