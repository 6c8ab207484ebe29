//! Signing in, staying signed in, and not being locked out.

use std::sync::{Arc, Mutex};

use net::{ChannelBinding, HeaderMap, HeaderValue, Identity, Login, NetError};
use record::Secret;

use crate::{
    desk::Desk,
    say,
    server::{Reply, Request, Server, Then, ok, raw, reply},
    session,
};

fn ntlm(password: &str) -> Identity {
    let login = Login::ntlm(r"EXAMPLE\ana", Secret::from(password), ChannelBinding::Auto);
    Identity::Password(login)
}

/// A server that wants NTLM and then answers with `answer`.
async fn ntlm_server(
    answer: impl Fn(&mut Desk, &Request) -> Reply + Send + 'static,
) -> (Server, Arc<Mutex<Desk>>) {
    let desk = Arc::new(Mutex::new(Desk::new("hunter2")));
    let shared = Arc::clone(&desk);
    let server = Server::start(move |request| {
        let mut desk = shared.lock().unwrap();
        desk.refuse(request).unwrap_or_else(|| answer(&mut desk, request))
    });
    (server.await, desk)
}

fn echo(_: &mut Desk, request: &Request) -> Reply {
    ok(&String::from_utf8_lossy(&request.body))
}

#[tokio::test]
async fn signs_in_once_and_keeps_the_connection() {
    let (server, desk) = ntlm_server(echo).await;
    let mut session = session(&server.url(), ntlm("hunter2"));
    for text in ["one", "two", "three"] {
        assert_eq!(say(&mut session, text).await.unwrap(), (200, text.to_owned()));
    }
    let seen = server.seen();
    let bodies: Vec<_> = seen.iter().map(|request| request.body.as_slice()).collect();
    assert_eq!(bodies, [&b""[..], b"one", b"two", b"three"]);
    let with_header = seen.iter().filter(|request| request.header("authorization").is_some());
    assert_eq!(with_header.count(), 2);
    assert_eq!((server.connections(), desk.lock().unwrap().proofs), (1, 1));
}

#[tokio::test]
async fn each_leg_of_a_handshake_carries_the_headers_of_the_request() {
    let (server, _) = ntlm_server(echo).await;
    let mut session = session(&server.url(), ntlm("hunter2"));
    let mut headers = HeaderMap::new();
    headers.insert("x-anchormailbox", HeaderValue::from_static("abc@example.com"));
    drop(session.send(&headers, "x".into()).await.unwrap());
    let seen = server.seen();
    let anchors: Vec<_> = seen.iter().map(|request| request.header("x-anchormailbox")).collect();
    assert_eq!(anchors, [Some("abc@example.com"); 2]);
}

#[tokio::test]
async fn signs_in_anew_when_the_server_closed_the_connection() {
    let (server, desk) = ntlm_server(|_, request| {
        let Reply(bytes, _) = ok(&String::from_utf8_lossy(&request.body));
        Reply(bytes, Then::Close)
    })
    .await;
    let mut session = session(&server.url(), ntlm("hunter2"));
    for text in ["one", "two"] {
        assert_eq!(say(&mut session, text).await.unwrap(), (200, text.to_owned()));
    }
    assert_eq!((server.connections(), desk.lock().unwrap().proofs), (2, 2));
}

#[tokio::test]
async fn request_is_repeated_when_a_kept_connection_hangs_up_on_it() {
    let (server, desk) = ntlm_server(|_, request| match (request.connection, &request.body[..]) {
        (0, b"two") => raw("", Then::Close),
        (_, body) => ok(&String::from_utf8_lossy(body)),
    })
    .await;
    let mut session = session(&server.url(), ntlm("hunter2"));
    for text in ["one", "two"] {
        assert_eq!(say(&mut session, text).await.unwrap(), (200, text.to_owned()));
    }
    assert_eq!((server.connections(), desk.lock().unwrap().proofs), (2, 2));
}

#[tokio::test]
async fn refusal_in_mid_run_is_answered_with_a_fresh_handshake() {
    let (server, desk) = ntlm_server(|desk, request| {
        desk.forget(request.connection);
        ok("")
    })
    .await;
    let mut session = session(&server.url(), ntlm("hunter2"));
    for text in ["one", "two", "three"] {
        assert_eq!(say(&mut session, text).await.unwrap().0, 200);
    }
    assert_eq!((server.connections(), desk.lock().unwrap().proofs), (3, 3));
}

#[tokio::test]
async fn wrong_password_is_tried_twice_however_many_sessions_there_are() {
    let (server, desk) = ntlm_server(echo).await;
    let identity = ntlm("wrong");
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut session = session(&server.url(), identity.clone());
        tries.spawn(async move { say(&mut session, "x").await });
    }
    for result in tries.join_all().await {
        assert!(matches!(result, Err(NetError::Unauthorized { .. })), "{result:?}");
    }
    let late = say(&mut session(&server.url(), identity), "x").await;
    assert!(matches!(late, Err(NetError::Unauthorized { .. })), "{late:?}");
    assert_eq!(desk.lock().unwrap().proofs, 2);
}

#[tokio::test]
async fn changed_password_is_noticed_before_the_account_is_locked() {
    let (server, desk) = ntlm_server(echo).await;
    let identity = ntlm("hunter2");
    say(&mut session(&server.url(), identity.clone()), "x").await.unwrap();
    desk.lock().unwrap().password = "changed";
    desk.lock().unwrap().proofs = 0;
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let mut session = session(&server.url(), identity.clone());
        tries.spawn(async move { say(&mut session, "x").await });
    }
    for result in tries.join_all().await {
        assert!(matches!(result, Err(NetError::Unauthorized { .. })), "{result:?}");
    }
    let proofs = desk.lock().unwrap().proofs;
    assert!((2..=4).contains(&proofs), "{proofs} wrong passwords were sent");
}

#[tokio::test]
async fn one_refusal_that_passes_does_no_harm() {
    let mut refused = false;
    let mut desk = Desk::new("hunter2");
    let server = Server::start(move |request| match desk.refuse(request) {
        Some(reply) => reply,
        None if !std::mem::replace(&mut refused, true) => reply("401 No", &[], ""),
        None => ok("fine"),
    })
    .await;
    let mut session = session(&server.url(), ntlm("hunter2"));
    assert_eq!(say(&mut session, "x").await.unwrap(), (200, "fine".to_owned()));
}

#[tokio::test]
async fn locked_account_is_not_tried_again() {
    let text = "The referenced account is currently locked out and may not be logged on to.";
    let server = Server::start(move |_| reply("401 No", &["request-id: 4711"], text)).await;
    let login = Login::basic("ana", Secret::from("hunter2"));
    let err = say(&mut session(&server.url(), Identity::Password(login)), "x").await.unwrap_err();
    let host = server.address;
    assert_eq!(err.to_string(), format!("`{host}` refused the credentials (request-id: 4711)"));
    assert!(err.hint().unwrap().contains("locked out"));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn missing_ntlm_is_named_with_what_is_there() {
    let headers = ["WWW-Authenticate: Bearer realm=\"x\"", "WWW-Authenticate: Basic realm=\"x\""];
    let server = Server::start(move |_| reply("401 No", &headers, "")).await;
    let err = say(&mut session(&server.url(), ntlm("hunter2")), "x").await.unwrap_err();
    let host = server.address;
    assert_eq!(err.to_string(), format!("`{host}` offers no NTLM sign-in, only: Bearer, Basic"));
}

#[tokio::test]
async fn server_that_asks_for_nothing_is_told_nothing() {
    let server = Server::start(|request| ok(&String::from_utf8_lossy(&request.body))).await;
    let mut session = session(&server.url(), ntlm("hunter2"));
    assert_eq!(say(&mut session, "one").await.unwrap(), (200, "one".to_owned()));
    assert!(server.seen()[1].header("authorization").is_none());
}

#[tokio::test]
async fn overload_during_the_handshake_reaches_the_caller() {
    let server = Server::start(|_| reply("503 Busy", &["Retry-After: 30"], "")).await;
    let mut session = session(&server.url(), ntlm("hunter2"));
    let reply = session.send(&HeaderMap::new(), "x".into()).await.unwrap();
    assert_eq!(reply.status.as_u16(), 503);
    assert_eq!(reply.headers["retry-after"], "30");
}

#[tokio::test]
async fn basic_goes_with_every_request_and_is_tried_twice() {
    let server = Server::start(|request| match request.header("authorization") {
        Some("Basic YW5hOmh1bnRlcjI=") => ok("in"),
        _ => reply("401 No", &["WWW-Authenticate: Basic realm=\"x\""], ""),
    })
    .await;
    let good = Login::basic("ana", Secret::from("hunter2"));
    let mut good = session(&server.url(), Identity::Password(good));
    for _ in 0..2 {
        assert_eq!(say(&mut good, "x").await.unwrap().0, 200);
    }
    assert_eq!((server.seen().len(), server.connections()), (2, 1));
    let bad = Identity::Password(Login::basic("ana", Secret::from("wrong")));
    for _ in 0..2 {
        let err = say(&mut session(&server.url(), bad.clone()), "x").await.unwrap_err();
        assert!(matches!(err, NetError::Unauthorized { .. }), "{err}");
    }
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn every_request_carries_what_exchange_wants() {
    let server = Server::start(|_| reply("200 OK", &["Set-Cookie: backend=7; path=/"], "")).await;
    let mut session = session(&server.url(), Identity::Anonymous);
    let mut headers = HeaderMap::new();
    headers.insert("x-anchormailbox", HeaderValue::from_static("abc@example.com"));
    for _ in 0..2 {
        session.send(&headers, "<x/>".into()).await.unwrap().body.collect(10).await.unwrap();
    }
    let [first, second] = &server.seen()[..] else { panic!("two requests") };
    assert!(first.head.starts_with("POST /EWS/Exchange.asmx HTTP/1.1\r\n"), "{}", first.head);
    assert_eq!(first.header("host"), Some(server.address.to_string().as_str()));
    assert_eq!(first.header("x-anchormailbox"), Some("abc@example.com"));
    assert_eq!(first.header("accept-encoding"), Some("gzip"));
    assert_eq!(first.header("return-client-request-id"), Some("true"));
    assert!(first.header("user-agent").unwrap().starts_with("tributary/"));
    assert_ne!(first.header("client-request-id"), second.header("client-request-id"));
    assert_eq!((first.header("cookie"), second.header("cookie")), (None, Some("backend=7")));
}

// A known secret value in every place that a print could reach.
#[tokio::test]
async fn no_print_shows_a_secret() {
    let canary = "c4nary-pa55word";
    let cookie = format!("Set-Cookie: backend={canary}");
    let server =
        Server::start(move |_| reply("401 No", &["WWW-Authenticate: Basic", &cookie], "")).await;
    for identity in [ntlm(canary), Identity::Password(Login::basic("ana", Secret::from(canary)))] {
        let mut session = session(&server.url(), identity);
        let err = say(&mut session, "x").await.unwrap_err();
        let printed =
            format!("{session:?} {:?} {err} {err:?} {:?}", session.endpoint(), err.hint());
        assert!(!printed.contains(canary), "{printed}");
    }
}
