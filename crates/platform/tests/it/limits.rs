//! What one caller gets, where requests come from, and what is written down of uploads.

use chrono::TimeDelta;
use platform::{Options, People, RateLimit};
use serde_json::{Value, json};
use testkit::platform_contract::client::{BUCKET, Client, email, emails_of};

use crate::{
    server::Running,
    sign_in::{Movable, events, options, signed_in},
    visitor::Browser,
};

#[tokio::test]
async fn one_caller_does_not_starve_the_others() {
    let rate = RateLimit { per_second: 1, burst: 3, at_once: 10 };
    let people = People { rate, ..People::default() };
    let server = Running::start_with(Options { people, ..Options::default() }).await;
    let (_, other) = server.add_user("other", &[], &[]).await;
    let mut client = server.client().await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let answer = client.call("GET", "/auth/user", Value::Null).await;
        if answer.status == 429 {
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert!(answer.message().contains("too many requests"), "{}", answer.message());
        }
        statuses.push(answer.status.as_u16());
    }
    assert_eq!(statuses[..3], [200, 200, 200]);
    assert!(statuses[3..].contains(&429), "{statuses:?}");
    let mut other = Client::connect(server.address, &other).await;
    assert_eq!(other.call("GET", "/auth/user", Value::Null).await.status, 200);
}

#[tokio::test]
async fn the_log_has_the_address_that_a_trusted_proxy_names() {
    let people = |proxies: &[&str]| People {
        trusted_proxies: proxies.iter().map(|own| own.parse().unwrap()).collect(),
        ..options().people
    };
    for (proxies, expected) in [(&["127.0.0.0/8"][..], "203.0.113.9"), (&[], "127.0.0.1")] {
        let server = Running::start_with(Options { people: people(proxies), ..options() }).await;
        let mut browser = Browser::new(server.address);
        browser.with.push(("x-forwarded-for", "6.6.6.6, 203.0.113.9".to_owned()));
        let link = json!({ "link": server.link, "password": "correct horse battery" });
        assert_eq!(browser.post("/auth/link", link).await.status, 200);
        let listed = browser.get("/api/_private/account/sessions").await.json();
        assert_eq!(listed["sessions"][0]["address"], expected);
    }
}

#[tokio::test]
async fn an_hour_of_uploads_is_one_event_for_each_credential_and_bucket() {
    let clock = Movable::new();
    let server = Running::start_at(Options::default(), clock.clone()).await;
    server.add_project("example").await;
    let mut client = server.client().await;
    let uploads = async || {
        let events = events(&server).await;
        events.into_iter().filter(|(kind, _)| kind == "upload").map(|(_, d)| d).collect::<Vec<_>>()
    };
    for number in 0..3 {
        assert_eq!(client.put(&[email(number)]).await.status, 200);
    }
    let seen = uploads().await;
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0]["bucket"], "example/mail");
    assert!(seen[0]["token"].is_string());
    // What is refused is no upload.
    let bad = emails_of(&[json!({ "id": "x" })]);
    assert_eq!(client.call("PUT", &format!("{BUCKET}/emails"), bad).await.status, 400);
    let append: &[&str] = &["buckets-append"];
    let (_, other) = server.add_user("other", &[], &[("example", append)]).await;
    let mut other = Client::connect(server.address, &other).await;
    assert_eq!(other.put(&[email(9)]).await.status, 200);
    assert_eq!(uploads().await.len(), 2);
    clock.advance(TimeDelta::hours(1));
    assert_eq!(client.put(&[email(1)]).await.status, 200);
    assert_eq!(uploads().await.len(), 3);
    // Comments, and what belongs to them, are uploads into their source.
    server.add_source("example", None).await;
    let source = "/api/v1/sources/example%2Fletters";
    let document = json!({ "headers": { "raw": "Subject: x\r\n" }, "body": { "plain": "x" } });
    let raw = json!({ "documents": [{ "raw_email": document }] });
    let comments = json!({ "comments": [] });
    for (path, body) in [("sync-raw-emails", raw), ("sync", comments)] {
        let made = client.call("POST", &format!("{source}/{path}"), body).await;
        assert_eq!(made.status, 200, "{made:?}");
        let seen = uploads().await;
        assert_eq!(seen.iter().filter(|own| own["source"] == "example/letters").count(), 1);
    }
}

#[tokio::test]
async fn a_session_is_counted_for_itself() {
    let rate = RateLimit { per_second: 1, burst: 6, at_once: 10 };
    let people = People { rate, ..options().people };
    let server = Running::start_with(Options { people, ..options() }).await;
    let mut browser = signed_in(&server).await;
    let mut last = 0;
    for _ in 0..10 {
        last = browser.get("/auth/user").await.status;
    }
    assert_eq!(last, 429);
    let mut client = server.client().await;
    assert_eq!(client.call("GET", "/base/auth/user", Value::Null).await.status, 200);
}
