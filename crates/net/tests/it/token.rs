//! Tokens: asked for once, renewed in time, replaced when refused.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use net::{
    Identity, NetError, TokenSource,
    oauth::{ClientCredentials, Proof},
};
use record::Secret;
use tokio::time::{advance, pause, resume};

use crate::{
    plain_transport, say,
    server::{Reply, Server, ok, reply},
    session,
};

fn source(server: &Server) -> Arc<TokenSource> {
    let credentials = ClientCredentials {
        authority: format!("http://{}/tenant/", server.address),
        client_id: "client".into(),
        proof: Proof::Secret(Secret::from("hunter2&=")),
        scope: "https://outlook.office365.com/.default".into(),
    };
    TokenSource::new(credentials, plain_transport()).unwrap()
}

fn issued(token: &str) -> Reply {
    ok(&format!(r#"{{"token_type":"Bearer","expires_in":3600,"access_token":"{token}"}}"#))
}

/// An authority whose tokens are `token-1`, `token-2`, and so on.
async fn authority() -> Server {
    let mut number = 0;
    Server::start(move |_| {
        number += 1;
        issued(&format!("token-{number}"))
    })
    .await
}

/// Moves the clock on which the life of a token is counted.
async fn pass(minutes: u64) {
    pause();
    advance(Duration::from_secs(minutes * 60)).await;
    resume();
}

#[tokio::test]
async fn request_has_the_prescribed_form() {
    let server = authority().await;
    assert_eq!(source(&server).token().await.unwrap().reveal(), "token-1");
    let request = &server.seen()[0];
    assert!(request.head.starts_with("POST /tenant/oauth2/v2.0/token HTTP/1.1\r\n"));
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(
        String::from_utf8_lossy(&request.body),
        "grant_type=client_credentials&client_id=client\
         &scope=https%3A%2F%2Foutlook.office365.com%2F.default&client_secret=hunter2%26%3D"
    );
}

#[tokio::test]
async fn one_request_serves_all_who_wait() {
    let server = authority().await;
    let source = source(&server);
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let source = Arc::clone(&source);
        waiting.spawn(async move { source.token().await.unwrap() });
    }
    for token in waiting.join_all().await {
        assert_eq!(token.reveal(), "token-1");
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn token_is_renewed_five_minutes_before_its_end() {
    let server = authority().await;
    let source = source(&server);
    for (minutes, expected) in [(0, "token-1"), (54, "token-1"), (2, "token-2")] {
        pass(minutes).await;
        assert_eq!(source.token().await.unwrap().reveal(), expected, "{minutes} minutes later");
    }
}

#[tokio::test]
async fn refused_token_is_replaced_once_for_all() {
    let server = authority().await;
    let source = source(&server);
    let first = source.token().await.unwrap();
    for _ in 0..2 {
        assert_eq!(source.renew(&first).await.unwrap().reveal(), "token-2");
    }
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn old_token_bridges_an_authority_that_is_down() {
    let mut number = 0;
    let server = Server::start(move |_| {
        number += 1;
        if number == 1 { issued("token-1") } else { reply("503 Busy", &[], "") }
    })
    .await;
    let source = source(&server);
    for minutes in [0, 56] {
        pass(minutes).await;
        assert_eq!(source.token().await.unwrap().reveal(), "token-1");
    }
    pass(5).await;
    let err = source.token().await.unwrap_err();
    let host = server.address;
    assert_eq!(err.to_string(), format!("`{host}` cannot issue a token now (HTTP 503)"));
}

#[tokio::test]
async fn refusal_stands_for_a_minute_and_shows_no_secret() {
    let body = r#"{"error":"invalid_client","error_description":"AADSTS7000215: hunter2"}"#;
    let server = Server::start(move |_| reply("401 No", &[], body)).await;
    let source = source(&server);
    for _ in 0..10 {
        let err = source.token().await.unwrap_err();
        assert!(matches!(err, NetError::TokenRefused { .. }), "{err}");
        let printed = format!("{err} {err:?} {source:?}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }
    assert_eq!(server.seen().len(), 1);
    pass(2).await;
    source.token().await.unwrap_err();
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn unreadable_answers_are_bad_replies() {
    for body in ["", "<html>", r#"{"access_token":1}"#] {
        let server = Server::start(move |_| ok(body)).await;
        let err = source(&server).token().await.unwrap_err();
        assert!(matches!(err, NetError::BadReply { .. }), "{body}: {err}");
    }
}

/// A mail server that takes `token-2` only, and blames the others as `diagnostics` says.
async fn mail_server(diagnostics: &'static str) -> Server {
    Server::start(move |request| match request.header("authorization") {
        Some("Bearer token-2") => ok("in"),
        _ => reply("401 No", &[diagnostics], ""),
    })
    .await
}

#[tokio::test]
async fn stale_token_is_renewed_once() {
    for diagnostics in ["x-ms-diagnostics: 2000001;reason=\"expired\"", "x: y"] {
        let (authority, mail) = (authority().await, mail_server(diagnostics).await);
        let mut session = session(&mail.url(), Identity::Token(source(&authority)));
        assert_eq!(say(&mut session, "x").await.unwrap().1, "in");
        assert_eq!((authority.seen().len(), mail.seen().len()), (2, 2));
    }
}

#[tokio::test]
async fn token_of_the_wrong_kind_is_not_renewed() {
    let authority = authority().await;
    let mail = mail_server("x-ms-diagnostics: 2000003;reason=\"wrong audience\"").await;
    let mut session = session(&mail.url(), Identity::Token(source(&authority)));
    let err = say(&mut session, "x").await.unwrap_err();
    assert!(err.to_string().contains("wrong audience"), "{err}");
    assert_eq!((authority.seen().len(), mail.seen().len()), (1, 1));
}

#[tokio::test]
async fn token_that_is_refused_when_new_is_given_up() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let authority =
        Server::start(move |_| issued(&format!("other-{}", count.fetch_add(1, Ordering::Relaxed))))
            .await;
    let mail = mail_server("x: y").await;
    let mut session = session(&mail.url(), Identity::Token(source(&authority)));
    let err = say(&mut session, "x").await.unwrap_err();
    assert!(matches!(err, NetError::Unauthorized { .. }), "{err}");
    assert_eq!((asked.load(Ordering::Relaxed), mail.seen().len()), (2, 2));
}
