//! What happens to a request when something changes while it is under way.

use std::{sync::Arc, time::Duration};

use platform::first_start;
use record::clock::SystemClock;
use serde_json::{Value, json};
use store::{Held, Store};
use testkit::platform_contract::client::Client;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::{
    conversion::converted,
    server::{Running, Servers},
};

/// Begins a request whose body goes on later.
async fn begun(server: &Running, path: &str, token: Option<&str>) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let token = token.map(|own| format!("authorization: Bearer {own}\r\n")).unwrap_or_default();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\n{token}x-tributary-csrf: 1\r\n\
         content-type: application/json\r\ncontent-length: 1000\r\nconnection: close\r\n\r\n {{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Sends the rest, and returns what was answered.
async fn ended(mut stream: TcpStream, rest: &str) -> String {
    stream.write_all(format!("{rest:998}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn who_is_shut_out_while_a_body_comes_does_nothing_with_it() {
    let server = Running::start().await;
    let (id, token) = server.add_user("other", &["tenant-admin"], &[]).await;
    let kept = begun(&server, "/api/_private/account/tokens", Some(&token)).await;
    let lost = begun(&server, "/api/_private/account/tokens", Some(&token)).await;
    let body = "\"token\": {\"name\": \"t\"}}";
    let made = ended(kept, body).await;
    assert!(made.starts_with("HTTP/1.1 200"), "{made}");
    let up = begun(&server, &format!("/api/_private/users/{id}"), Some(&token)).await;
    let mut admin = server.client().await;
    let demoted = json!({ "user": { "global_permissions": [] } });
    let path = format!("/api/_private/users/{id}");
    assert_eq!(admin.call("POST", &path, demoted).await.status, 200);
    let raised = ended(up, "\"user\": {\"global_permissions\": [\"tenant-admin\"]}}").await;
    assert!(raised.starts_with("HTTP/1.1 403"), "{raised}");
    let revoked = admin.call("POST", &format!("{path}/revoke"), json!({})).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    let refused = ended(lost, body).await;
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
}

#[tokio::test]
async fn strangers_who_dawdle_keep_nobody_from_signing_in() {
    let server = Running::start().await;
    let mut slow = Vec::new();
    for _ in 0..80 {
        slow.push(begun(&server, "/auth/sign-in", None).await);
    }
    let mut client = server.client().await;
    let project = json!({ "project": {} });
    assert_eq!(client.call("PUT", "/api/_private/projects/example", project).await.status, 200);
    // Refused for what it says, not for want of a place.
    let wrong = "\"username\": \"admin\", \"password\": \"not this one\"}";
    let refused = ended(begun(&server, "/auth/sign-in", None).await, wrong).await;
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
}

async fn ask(client: &mut Client, method: &str, path: &str, body: Value) -> Value {
    let answer = client.call(method, path, body).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

#[tokio::test]
async fn what_two_people_say_at_once_about_a_comment_is_all_kept() {
    let servers = Servers::start(2).await;
    let mut clients = servers.clients().await;
    let client = &mut clients[0];
    ask(client, "PUT", "/api/_private/projects/example", json!({ "project": {} })).await;
    let source =
        ask(client, "PUT", "/api/v1/sources/example/letters", json!({ "source": {} })).await;
    let source = source["source"]["id"].as_str().unwrap().to_owned();
    let comments: Vec<Value> = (0..12)
        .map(|n| {
            json!({
                "id": format!("{n:x}"), "timestamp": "2026-01-01T00:00:00Z",
                "messages": [{ "body": { "text": "hello" } }],
            })
        })
        .collect();
    ask(client, "POST", "/api/v1/sources/example/letters/sync", json!({ "comments": comments }))
        .await;
    let label = |name: &str| json!([{ "name": name }]);
    let dataset = json!({ "dataset": {
        "source_ids": [source],
        "label_groups": [
            { "name": "a", "label_defs": label("x") }, { "name": "b", "label_defs": label("y") },
        ],
    } });
    ask(client, "PUT", "/api/v1/datasets/example/words", dataset).await;
    let (one, other) = clients.split_at_mut(1);
    for n in 0..12 {
        let path = format!("/api/_private/datasets/example/words/labellings/{source}.{n:x}");
        let says = |group: &str, name: &str| {
            json!({ "labelling": [{
                "group": group, "assigned": [{ "name": name, "sentiment": "positive" }],
                "dismissed": [],
            }] })
        };
        let (first, second) = tokio::join!(
            one[0].call("POST", &path, says("a", "x")),
            other[0].call("POST", &path, says("b", "y")),
        );
        assert_eq!((first.status.as_u16(), second.status.as_u16()), (200, 200), "{second:?}");
        let path = format!("/api/_private/datasets/example/words/labellings?id={source}.{n:x}");
        let said = ask(&mut one[0], "GET", &path, Value::Null).await;
        let groups = said["results"][0]["labelling"].as_array().unwrap().len();
        assert_eq!(groups, 2, "{n}: {said}");
    }
    drop(clients);
    servers.end().await;
}

#[tokio::test]
async fn a_stream_does_not_go_back_behind_another_reader() {
    let servers = Servers::start(1).await;
    let mut clients = servers.clients().await;
    let client = &mut clients[0];
    ask(client, "PUT", "/api/_private/projects/example", json!({ "project": {} })).await;
    let letters = "/api/v1/sources/example/letters";
    let source = ask(client, "PUT", letters, json!({ "source": {} })).await;
    let dataset = json!({ "dataset": { "source_ids": [source["source"]["id"]] } });
    ask(client, "PUT", "/api/v1/datasets/example/ds", dataset).await;
    let streams = "/api/v1/datasets/example/ds/streams";
    let made = ask(client, "PUT", streams, json!({ "stream": { "name": "st" } })).await;
    let id = made["stream"]["id"].as_str().unwrap().to_owned();
    let epoch = json!({ "to_comment_created_at": "2020-01-01T00:00:00Z" });
    ask(client, "POST", &format!("{streams}/st/reset"), epoch.clone()).await;
    for n in 0..2 {
        let comment = json!({
            "id": format!("{n:x}"), "timestamp": "2026-01-01T00:00:00Z",
            "messages": [{ "body": { "text": "hello" } }],
        });
        ask(client, "POST", &format!("{letters}/sync"), json!({ "comments": [comment] })).await;
    }
    let mut seen = Vec::new();
    for size in 1..=2 {
        let fetched =
            ask(client, "POST", &format!("{streams}/st/fetch"), json!({ "size": size })).await;
        seen.push(json!({ "sequence_id": fetched["sequence_id"] }));
    }
    let advance = format!("{streams}/st/advance");
    ask(client, "POST", &advance, seen[1].clone()).await;
    let far = servers.store.read().await.unwrap().stream_positions(&id).await.unwrap();
    ask(client, "POST", &format!("{streams}/st/reset"), epoch).await;
    // One reader goes far, and has not ended when the other goes a little.
    let mut other = servers.store.write().await.unwrap();
    other.hold(Held::Stream(&id)).await.unwrap();
    other.move_stream(&id, &far).await.unwrap();
    let mut near = Box::pin(client.call("POST", &advance, seen[0].clone()));
    assert!(timeout(Duration::from_millis(300), near.as_mut()).await.is_err());
    other.commit().await.unwrap();
    assert_eq!(near.await.status, 200);
    let now = servers.store.read().await.unwrap().stream_positions(&id).await.unwrap();
    assert_eq!(now, far);
    drop(clients);
    servers.end().await;
}

#[tokio::test]
async fn two_roots_cannot_shut_one_another_out() {
    let servers = Servers::start(2).await;
    let mut clients = servers.clients().await;
    let me = ask(&mut clients[0], "GET", "/auth/user", Value::Null).await;
    let me = me["user"]["id"].as_str().unwrap().to_owned();
    for round in 0..24 {
        let new = json!({ "user": {
            "username": format!("root{round}"), "email": format!("root{round}@example.com"),
            "global_permissions": ["root"],
        } });
        let made = ask(&mut clients[0], "PUT", "/api/_private/users", new).await;
        let other = made["user"]["id"].as_str().unwrap().to_owned();
        let (one, two) = clients.split_at_mut(1);
        let out = || json!({ "user": { "global_permissions": [] } });
        let (own, others) =
            (format!("/api/_private/users/{me}"), format!("/api/_private/users/{other}"));
        let (first, second) =
            tokio::join!(one[0].call("POST", &own, out()), two[0].call("POST", &others, out()));
        let users = servers.store.read().await.unwrap().users().await.unwrap();
        let roots = users.iter().filter(|user| user.global.contains("root")).count();
        assert_eq!(roots, 1, "{round}: {first:?} {second:?}");
        // For the next round, by whoever is left.
        let mut session = servers.store.write().await.unwrap();
        for (id, permissions) in [(&me, vec!["root", "tenant-admin"]), (&other, vec![])] {
            let permissions = permissions.into_iter().map(str::to_owned).collect();
            let everywhere = store::Holder::Everywhere;
            session.set_permissions(id, everywhere, &permissions).await.unwrap();
        }
        session.commit().await.unwrap();
    }
    drop(clients);
    servers.end().await;
}

#[tokio::test]
async fn what_no_database_can_hold_is_not_to_be_sent_again() {
    let servers = Servers::start(1).await;
    let mut clients = servers.clients().await;
    let client = &mut clients[0];
    let new = json!({ "user": {
        "username": "other", "email": "other@example.com",
        "organisation_permissions": { "a\u{0}b": ["sources-read"] },
    } });
    let refused = client.call("PUT", "/api/_private/users", new).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.json()["message"].as_str().unwrap().contains("U+0000"), "{refused:?}");
    drop(clients);
    servers.end().await;
}

#[tokio::test]
async fn a_conversation_that_no_database_can_hold_stops_no_other_email() {
    let servers = Servers::start(1).await;
    let mut clients = servers.clients().await;
    let client = &mut clients[0];
    ask(client, "PUT", "/api/_private/projects/example", json!({ "project": {} })).await;
    let bucket = json!({ "bucket": { "bucket_type": "emails" } });
    let bucket = ask(client, "PUT", "/api/_private/buckets/example/mail", bucket).await;
    let source = json!({ "source": { "bucket_id": bucket["bucket"]["id"] } });
    ask(client, "PUT", "/api/v1/sources/example/letters", source).await;
    let emails: Vec<Value> = ["a\u{0}b", "\u{0}", "plain"]
        .iter()
        .enumerate()
        .map(|(number, conversation)| {
            json!({
                "id": format!("<{number}@example.com>"), "mailbox": "abc@example.com",
                "timestamp": "2026-01-01T00:00:00Z", "mime_content": "Subject: x\r\n\r\ntext",
                "metadata": { "conversation_id": conversation },
            })
        })
        .collect();
    assert_eq!(client.put(&emails).await.status, 200);
    let done = converted(client).await;
    assert_eq!((&done["converted"], &done["quarantined"]), (&json!(3), &json!(0)), "{done}");
    drop(clients);
    servers.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_first_starts_at_once_one_makes_the_first_user() {
    let database = || testkit::postgres::postgres().new_database();
    let url = tokio::task::spawn_blocking(database).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut stores = Vec::new();
    for _ in 0..16 {
        let clock = Arc::new(SystemClock);
        stores.push(Store::connect(&url, folder.path(), clock).await.unwrap());
    }
    let mut starts = JoinSet::new();
    for (reads, store) in stores.into_iter().enumerate() {
        starts.spawn(async move {
            // Each comes a little later than the one before it.
            for _ in 0..reads {
                store.read().await.unwrap().users().await.unwrap();
            }
            first_start(&store).await.map(|first| first.is_some())
        });
    }
    let first: Vec<bool> = starts.join_all().await.into_iter().map(|own| own.unwrap()).collect();
    assert_eq!(first.iter().filter(|is_first| **is_first).count(), 1, "{first:?}");
}
