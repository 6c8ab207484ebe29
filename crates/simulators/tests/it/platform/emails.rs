//! Uploads, listings, and who may do what.

use hyper::Request;
use serde_json::{Value, json};
use simulators::platform::{Limits, Op, Options, Token};

use super::client::{BUCKET, email, emails_of, start, whole};

#[tokio::test]
async fn writes_and_changes_are_counted_for_each_email() {
    let (server, mut client) = start(|_| ()).await;
    let mut other = email(1);
    for change in [Value::Null, json!(null), json!("Inbox"), json!("content")] {
        match change.as_str() {
            Some("Inbox") => other["metadata"]["folder"] = json!(["Elsewhere"]),
            Some(content) => other["mime_content"] = json!(content),
            None => {}
        }
        assert_eq!(client.put(&[other.clone()]).await.status, 200);
    }
    let stored = server.email(Options::BUCKET, "<1@example.com>").unwrap();
    assert_eq!((stored.writes, stored.content_changes, stored.other_changes), (4, 1, 1));
    assert_eq!((stored.charged(), server.email_count(Options::BUCKET)), (2, 1));
}

#[tokio::test]
async fn a_token_may_do_what_it_is_permitted() {
    let (server, mut client) = start(|options| {
        options.tokens = vec![Token::new("reads").only(&["buckets-read"]), Token::new("all")];
    })
    .await;
    for (token, status) in [("reads", 403), ("all", 200), ("none", 401), ("", 401)] {
        client.token = token.to_owned();
        assert_eq!(client.put(&[email(1)]).await.status, status, "{token}");
    }
    client.token = "reads".to_owned();
    let refused = client.put(&[email(1)]).await;
    assert!(refused.message().contains("`buckets-append`"));
    assert_eq!(client.call("GET", BUCKET, Value::Null).await.status, 200);
    assert_eq!(client.call("GET", "/auth/user", Value::Null).await.status, 200);
    server.set_tokens(vec![Token::new("new")]);
    assert_eq!(client.call("GET", "/auth/user", Value::Null).await.status, 401);
    assert_eq!(server.count(Op::PutEmails), 5);
    assert!(server.leaks().is_empty());
    // A token that was revoked is still none that others should see.
    client.token = "new".to_owned();
    client.headers.push(("x-trace", "token=reads;".to_owned()));
    client.call("GET", "/auth/user", Value::Null).await;
    assert_eq!(server.leaks().len(), 1);
}

#[tokio::test]
async fn secrets_are_found_in_paths_and_in_compressed_bodies() {
    let (server, mut client) = start(|options| {
        options.accepts_gzip = true;
        options.watched = vec!["hunter2".into()];
    })
    .await;
    client.call("GET", "/auth/user?x=hunter%32", Value::Null).await;
    let mut leaking = email(1);
    leaking["mime_content"] = json!("pass: hunter2");
    client.put_gzip(&[email(2), leaking]).await;
    client.put_gzip(&[email(2)]).await;
    let leaks: Vec<_> = server.requests().iter().map(|request| request.leaked).collect();
    assert_eq!(leaks, [true, true, false]);
}

#[tokio::test]
async fn compressed_bodies_are_taken_only_where_they_are_offered() {
    let (server, mut client) = start(|_| ()).await;
    let refused = client.put_gzip(&[email(1)]).await;
    assert_eq!((refused.status.as_u16(), refused.header("accept-encoding")), (415, None));
    assert_eq!(server.email_count(Options::BUCKET), 0);

    let (server, mut client) = start(|options| options.accepts_gzip = true).await;
    let answer = client.call("GET", BUCKET, Value::Null).await;
    assert_eq!(answer.header("accept-encoding"), Some("gzip"));
    let emails: Vec<_> = (0..100).map(email).collect();
    assert_eq!(client.put_gzip(&emails).await.status, 200);
    assert_eq!(server.email_count(Options::BUCKET), 100);
    let logged = server.requests().pop().unwrap();
    assert!(logged.received_bytes * 3 < logged.decoded_bytes, "{logged:?}");
}

#[tokio::test]
async fn limits_are_kept_and_can_be_changed() {
    let (server, mut client) = start(|_| ()).await;
    server.set_limits(Limits { max_body: 2000, max_emails: 2, max_page: 5 });
    let too_many = client.put(&[email(1), email(2), email(3)]).await;
    assert_eq!(
        (too_many.status.as_u16(), too_many.message()),
        (400, "`emails`: expected at most 2 emails".to_owned())
    );
    let mut large = email(1);
    large["mime_content"] = json!("x".repeat(3000));
    let refused = client.put(&[large.clone()]).await;
    assert_eq!(
        (refused.status.as_u16(), refused.message()),
        (413, "the body has more than 2000 bytes".to_owned())
    );
    // The same in chunks, whose sum nobody announces, on a connection that stays usable.
    let request =
        Request::put(format!("{BUCKET}/emails")).header("content-type", "application/json");
    let chunked = super::large::Pieces::new(emails_of(&[large]).to_string());
    let refused = client.try_send(request, chunked.boxed()).await.unwrap();
    assert_eq!(refused.status, 413);
    assert_eq!(server.email_count(Options::BUCKET), 0);
    server.set_limits(Limits::default());
    assert_eq!(client.put(&[email(1)]).await.status, 200);
    assert_eq!(server.connection_count(), 1);
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_hears_413_at_once() {
    let (server, mut client) = start(|options| options.limits.max_body = 1000).await;
    client.headers.push(("expect", "100-continue".to_owned()));
    let request =
        Request::put(format!("{BUCKET}/emails")).header("content-type", "application/json");
    let refused = client.try_send(request, whole(vec![b' '; 100_000])).await.unwrap();
    assert_eq!(refused.status, 413);
    assert_eq!(server.requests()[0].received_bytes, 0);
}
