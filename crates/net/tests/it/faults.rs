//! Replies that are late, cut, garbled, compressed, or too large.

use std::{io::Write, sync::Arc, time::Duration};

use flate2::{Compression, write::GzEncoder};
use net::{
    Egress, Endpoint, HeaderMap, Identity, Limits, NetError, Session, Stage, TlsSettings,
    egress::Level,
};
use tokio::net::TcpListener;

use crate::{
    limits, say,
    server::{Server, Then, ok, raw, reply},
    session, transport,
};

/// A time-out that strikes at once, beside long ones.
pub(crate) const SHORT: Duration = Duration::from_millis(50);

/// Waits for what must come soon; the limits of a session are what is tested.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("a limit was not kept")
}

fn limited(url: &str, limits: Limits) -> Session {
    let transport = transport(&TlsSettings::default(), limits);
    Session::new(Endpoint::new(url, transport).unwrap(), Identity::Anonymous)
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn compressed_reply_arrives_whole() {
    let text = "mail ".repeat(100_000);
    let packed = gzip(text.as_bytes());
    let server =
        Server::start(move |_| reply("200 OK", &["Content-Encoding: gzip"], &packed)).await;
    let mut session = session(&server.url(), Identity::Anonymous);
    for _ in 0..2 {
        assert_eq!(say(&mut session, "x").await.unwrap(), (200, text.clone()));
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn bomb_is_refused_and_its_connection_dropped() {
    let bomb = gzip(&vec![b' '; 40 << 20]);
    let server = Server::start(move |request| match request.connection {
        0 => reply("200 OK", &["Content-Encoding: gzip"], &bomb),
        _ => ok("fine"),
    })
    .await;
    let mut session = session(&server.url(), Identity::Anonymous);
    let mut reply = session.send(&HeaderMap::new(), "x".into()).await.unwrap();
    let mut size = 0;
    let err = loop {
        match reply.body.chunk().await {
            Ok(part) => size += part.unwrap().len(),
            Err(err) => break err,
        }
    };
    assert!(matches!(err, NetError::TooLarge { .. }), "{err}");
    assert!(size <= 36 << 20, "{size} bytes were handed out");
    assert!(matches!(reply.body.chunk().await, Ok(None)));
    drop(reply);
    assert_eq!(say(&mut session, "x").await.unwrap().1, "fine");
}

#[tokio::test]
async fn reply_beyond_the_limit_is_refused() {
    let server = Server::start(|_| ok(&"x".repeat(5000))).await;
    let mut session = limited(&server.url(), Limits { max_body: 4999, ..limits() });
    let err = say(&mut session, "x").await.unwrap_err();
    assert!(matches!(err, NetError::TooLarge { limit: 4999, .. }), "{err}");
}

#[tokio::test]
async fn cut_reply_is_an_error_and_the_next_request_works() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    for cut in [chunked, sized] {
        let server = Server::start(move |request| match request.connection {
            0 => raw(cut, Then::Close),
            _ => ok("fine"),
        })
        .await;
        let mut session = session(&server.url(), Identity::Anonymous);
        let err = say(&mut session, "x").await.unwrap_err();
        assert!(matches!(err, NetError::Unreachable { .. }), "{err}");
        assert_eq!(say(&mut session, "x").await.unwrap().1, "fine");
    }
}

#[tokio::test]
async fn cut_compressed_content_is_an_error() {
    let packed = gzip(b"hello");
    let packed = packed[..packed.len() - 3].to_vec();
    let server =
        Server::start(move |_| reply("200 OK", &["Content-Encoding: gzip"], &packed)).await;
    let err = say(&mut session(&server.url(), Identity::Anonymous), "x").await.unwrap_err();
    assert!(matches!(err, NetError::BadReply { .. }), "{err}");
}

#[tokio::test]
async fn body_that_falls_silent_times_out() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    let server = Server::start(move |_| raw(head, Then::Stall)).await;
    let mut session = limited(&server.url(), Limits { idle_body: SHORT, ..limits() });
    let mut reply = session.send(&HeaderMap::new(), "x".into()).await.unwrap();
    assert_eq!(reply.body.chunk().await.unwrap().unwrap(), "hello");
    let err = soon(reply.body.chunk()).await.unwrap_err();
    let host = server.address;
    assert_eq!(
        err.to_string(),
        format!("`{host}` took longer than 0.05 s to send more of its reply")
    );
}

#[tokio::test]
async fn server_that_does_not_answer_times_out() {
    let server = Server::start(|_| raw("", Then::Stall)).await;
    let mut session = limited(&server.url(), Limits { answer: SHORT, ..limits() });
    let err = soon(say(&mut session, "x")).await.unwrap_err();
    assert!(matches!(err, NetError::Timeout { stage: Stage::Answer, .. }), "{err}");
}

#[tokio::test]
async fn server_that_does_not_speak_tls_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let mut session = limited(&url, Limits { connect: SHORT, ..limits() });
    let err = soon(say(&mut session, "x")).await.unwrap_err();
    assert!(matches!(err, NetError::Timeout { stage: Stage::Connect, .. }), "{err}");
}

#[tokio::test]
async fn closed_port_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let err = say(&mut session(&url, Identity::Anonymous), "x").await.unwrap_err();
    assert!(matches!(err, NetError::Unreachable { .. }), "{err}");
}

#[tokio::test]
async fn new_connection_that_hangs_up_is_not_tried_again() {
    let server = Server::start(|_| raw("", Then::Close)).await;
    let err = say(&mut session(&server.url(), Identity::Anonymous), "x").await.unwrap_err();
    assert!(matches!(err, NetError::Unreachable { .. }), "{err}");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn what_is_not_http_is_a_bad_reply() {
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(200_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(1000));
    let strange = "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx";
    for bytes in ["SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 ?\r\n\r\n", &endless, &many, strange] {
        let bytes = bytes.to_owned();
        let server = Server::start(move |_| raw(&bytes, Then::Stall)).await;
        let err = say(&mut session(&server.url(), Identity::Anonymous), "x").await.unwrap_err();
        assert!(matches!(err, NetError::BadReply { .. }), "{err:?}");
    }
}

#[tokio::test]
async fn reply_that_nobody_read_takes_its_connection_with_it() {
    let body = "x".repeat(1 << 20);
    let server = Server::start(move |_| ok(&body)).await;
    let mut session = session(&server.url(), Identity::Anonymous);
    let mut reply = session.send(&HeaderMap::new(), "x".into()).await.unwrap();
    reply.body.chunk().await.unwrap();
    drop(reply);
    assert_eq!(say(&mut session, "x").await.unwrap().1.len(), 1 << 20);
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn empty_reply_needs_no_reading() {
    let server = Server::start(|_| ok("")).await;
    let mut session = session(&server.url(), Identity::Anonymous);
    for _ in 0..3 {
        drop(session.send(&HeaderMap::new(), "x".into()).await.unwrap());
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn redirect_is_returned_and_not_followed() {
    let elsewhere = "Location: http://169.254.169.254/latest/meta-data/";
    let server = Server::start(move |_| reply("302 Found", &[elsewhere], "")).await;
    let mut session = session(&server.url(), Identity::Anonymous);
    assert_eq!(say(&mut session, "x").await.unwrap().0, 302);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn blocked_address_is_never_connected_to() {
    for host in ["169.254.169.254", "2852039166", "[::ffff:169.254.169.254]", "[fd00:ec2::254]"] {
        let url = format!("https://{host}/");
        let err = say(&mut session(&url, Identity::Anonymous), "x").await.unwrap_err();
        assert!(matches!(err, NetError::Blocked { .. }), "{host}: {err}");
    }
}

// The policy looks at what a name resolves to, at the moment of the connection.
#[tokio::test]
async fn name_of_a_blocked_address_is_blocked_too() {
    let server = Server::start(|_| ok("in")).await;
    let url = format!("http://localhost:{}/", server.address.port());
    let mut free = session(&url, Identity::Anonymous);
    assert_eq!(say(&mut free, "x").await.unwrap().1, "in");
    let mut transport = transport(&TlsSettings::default(), limits());
    transport.egress = Arc::new(Egress::new(Level::Private));
    let endpoint = Endpoint::new(&url, transport).unwrap();
    let err = say(&mut Session::new(endpoint, Identity::Anonymous), "x").await.unwrap_err();
    assert!(matches!(err, NetError::Blocked { .. }), "{err}");
    assert_eq!(server.connections(), 1);
}
