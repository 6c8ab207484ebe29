//! Emails of a bucket become comments of its sources, each once, whatever happens.

use std::time::Duration;

use platform::Options;
use serde_json::{Value, json};
use testkit::platform_contract::client::{BUCKET, Client, email};

use crate::server::{Running, Servers};

const SOURCE: &str = "/api/v1/sources/example%2Fletters";
const COMMENTS: &str = "/api/_private/sources/example%2Fletters/comments";
pub(crate) const CONVERSION: &str = "/api/_private/sources/example%2Fletters/conversion";
pub(crate) const TAG: &str = "generic.0.CONVKER5";

pub(crate) fn letter(number: u32, subject: &str, text: &str) -> Value {
    let mut email = email(number);
    email["mime_content"] = json!(format!(
        "Message-ID: <{number}@example.com>\r\nFrom: ann@acme.example\r\nTo: bob@example.com\r\n\
         Date: Thu, 1 Jan 2026 10:00:00 +0000\r\nSubject: {subject}\r\n\r\n{text}\r\n"
    ));
    email
}

/// Waits until nothing waits.
pub(crate) async fn converted(client: &mut Client) -> Value {
    loop {
        let answer = client.call("GET", CONVERSION, Value::Null).await.json();
        if answer["conversion"]["waiting"] == 0 {
            return answer["conversion"].clone();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn comments(client: &mut Client) -> Vec<Value> {
    let page = client.call("GET", &format!("{COMMENTS}?limit=256"), Value::Null).await.json();
    assert!(page.get("continuation").is_none());
    page["comments"].as_array().unwrap().clone()
}

pub(crate) fn subjects(comments: &[Value]) -> Vec<&str> {
    let mut all: Vec<&str> = Vec::new();
    for own in comments {
        all.push(own["messages"][0]["subject"]["text"].as_str().unwrap());
    }
    all.sort_unstable();
    all
}

pub(crate) async fn start(options: Options) -> (Running, Client) {
    let server = Running::start_with(options).await;
    server.add_project("example").await;
    let client = server.client().await;
    (server, client)
}

#[tokio::test]
async fn emails_before_and_after_the_source_become_comments() {
    let (server, mut client) = start(Options::default()).await;
    assert_eq!(client.put(&[letter(1, "before", "text")]).await.status, 200);
    let source = server.add_source("example", Some(TAG)).await;
    assert_eq!(client.put(&[letter(2, "after", "text")]).await.status, 200);
    let done = converted(&mut client).await;
    assert_eq!((&done["total"], &done["converted"]), (&json!(2), &json!(2)));
    let all = comments(&mut client).await;
    assert_eq!(subjects(&all), ["after", "before"]);
    let one = &all[0];
    assert_eq!(one["uid"], format!("{source}.3c31406578616d706c652e636f6d3e"));
    let properties = json!({
        "string:Folder": "Inbox/a/b", "string:Recipient Domain": "example.com",
        "string:Sender Domain": "acme.example",
    });
    assert_eq!(one["user_properties"], properties);
    assert_eq!((&one["thread_id"], &one["text_format"]), (&json!("c"), &json!("plain")));
}

#[tokio::test]
async fn a_repeated_upload_changes_properties_only() {
    let (server, mut client) = start(Options::default()).await;
    server.add_source("example", Some(TAG)).await;
    assert_eq!(client.put(&[letter(1, "first", "text")]).await.status, 200);
    converted(&mut client).await;
    let first = comments(&mut client).await.remove(0);
    // As it was: nothing happens.
    assert_eq!(client.put(&[letter(1, "first", "text")]).await.status, 200);
    converted(&mut client).await;
    assert_eq!(comments(&mut client).await[0], first);
    let mut moved = letter(1, "second", "other");
    moved["metadata"]["folder"] = json!(["Archive"]);
    assert_eq!(client.put(&[moved]).await.status, 200);
    converted(&mut client).await;
    let second = comments(&mut client).await.remove(0);
    assert_eq!(second["user_properties"]["string:Folder"], "Archive");
    assert_eq!(second["messages"], first["messages"]);
    assert_ne!(second["context"], first["context"]);
    // Another version: made of what the bucket holds now.
    let change = json!({ "source": { "email_transform_version": 1 } });
    assert_eq!(client.call("POST", SOURCE, change).await.status, 200);
    converted(&mut client).await;
    assert_eq!(subjects(&comments(&mut client).await), ["second"]);
}

#[tokio::test]
async fn another_tag_makes_other_comments_and_detaching_keeps_them() {
    let (server, mut client) = start(Options::default()).await;
    server.add_source("example", Some(TAG)).await;
    let quoted = "New\r\n\r\nOn Monday, Bob wrote:\r\n> old";
    let mut letters: Vec<Value> = (0..30).map(|number| letter(number, "Re: x", quoted)).collect();
    for own in &mut letters {
        let text = own["mime_content"].as_str().unwrap().replacen(
            "Subject",
            "In-Reply-To: <0@x>\r\nSubject",
            1,
        );
        own["mime_content"] = json!(text);
    }
    assert_eq!(client.put(&letters).await.status, 200);
    converted(&mut client).await;
    let bodies = |all: &[Value]| -> Vec<String> {
        let text = |own: &Value| own["messages"][0]["body"]["text"].as_str().unwrap().to_owned();
        let mut all: Vec<String> = all.iter().map(text).collect();
        all.dedup();
        all
    };
    assert_eq!(bodies(&comments(&mut client).await), ["New"]);
    let change = json!({ "source": { "email_transform_tag": "generic-uncut.0.CONVKER5" } });
    assert_eq!(client.call("POST", SOURCE, change).await.status, 200);
    converted(&mut client).await;
    let all = comments(&mut client).await;
    assert_eq!((all.len(), bodies(&all).len()), (30, 1));
    assert!(bodies(&all)[0].contains("> old"), "{:?}", bodies(&all));
    let detach = json!({ "source": { "bucket_id": null } });
    assert_eq!(client.call("POST", SOURCE, detach).await.status, 200);
    assert_eq!(client.put(&[letter(99, "late", "text")]).await.status, 200);
    converted(&mut client).await;
    assert_eq!(comments(&mut client).await.len(), 30);
}

#[tokio::test]
async fn an_email_that_is_deleted_takes_its_comment_and_a_clients_comment_stays() {
    let (server, mut client) = start(Options::default()).await;
    // A client was first with the id that the email leads to.
    server.add_source("example", None).await;
    let own = json!({ "comments": [{
        "id": "3c32406578616d706c652e636f6d3e", "timestamp": "2026-01-01T00:00:00Z",
        "messages": [{ "body": { "text": "mine" }, "subject": { "text": "mine" } }],
    }] });
    assert_eq!(client.call("PUT", COMMENTS, own).await.status, 200);
    let bucket = server.get("/api/_private/buckets/example/mail").await["bucket"]["id"].clone();
    let attach = json!({ "source": { "bucket_id": bucket } });
    assert_eq!(client.call("POST", SOURCE, attach).await.status, 200);
    let emails = [letter(1, "one", "text"), letter(2, "two", "text"), letter(3, "three", "text")];
    assert_eq!(client.put(&emails).await.status, 200);
    converted(&mut client).await;
    assert_eq!(subjects(&comments(&mut client).await), ["mine", "one", "three"]);
    let delete = format!("{BUCKET}/emails?id=%3C1%40example.com%3E&id=%3C2%40example.com%3E");
    assert_eq!(client.call("DELETE", &delete, Value::Null).await.status, 200);
    assert_eq!(subjects(&comments(&mut client).await), ["mine", "three"]);
    assert_eq!(client.call("DELETE", BUCKET, Value::Null).await.status, 200);
    assert_eq!(subjects(&comments(&mut client).await), ["mine"]);
    let source = server.get(SOURCE).await;
    assert!(source["source"].get("bucket_id").is_none(), "{source}");
}

#[tokio::test]
async fn an_attachment_is_taken_out_of_the_email() {
    let (server, mut client) = start(Options::default()).await;
    server.add_source("example", Some(TAG)).await;
    let file: Vec<u8> = (0..200_000_u32).flat_map(|n| n.to_be_bytes()).collect();
    let mut own = letter(1, "x", "text");
    own["mime_content"] = json!(format!(
        "Message-ID: <1@example.com>\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\n\r\ntext\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\n\
         Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment\r\n\r\n{}\r\n--b--\r\n",
        openssl::base64::encode_block(&file)
    ));
    assert_eq!(client.put(std::slice::from_ref(&own)).await.status, 200);
    converted(&mut client).await;
    let comment = comments(&mut client).await.remove(0);
    let about = &comment["attachments"][0];
    assert_eq!((&about["name"], &about["size"]), (&json!("a.pdf"), &json!(file.len())));
    let reference = about["attachment_reference"].as_str().unwrap();
    let path = format!("/api/v1/attachments/{reference}");
    let read = client.call("GET", &path, Value::Null).await;
    assert!(read.status == 200 && read.body == file, "{}", read.body.len());
    // The number of an email is no way around the sources that one may read.
    let made = client.call("PUT", "/api/v1/sources/example/other", json!({ "source": {} })).await;
    let other = made.json()["source"]["id"].as_str().unwrap().to_owned();
    let (_, rest) = reference.split_once('-').unwrap();
    let stolen = format!("/api/v1/attachments/{other}-{rest}");
    assert_eq!(client.call("GET", &stolen, Value::Null).await.status, 404);
    // The comment stays what it was when the email comes again, and so does what its file is.
    let text = own["mime_content"].as_str().unwrap();
    let (before, file) = text.split_once("attachment\r\n\r\n").unwrap();
    own["mime_content"] = json!(format!("{before}attachment\r\n\r\nAAAA{file}"));
    assert_eq!(client.put(&[own]).await.status, 200);
    converted(&mut client).await;
    assert_eq!(client.call("GET", &path, Value::Null).await.status, 404);
}

/// Several processes share a database: each email is converted once.
#[tokio::test]
async fn two_servers_on_one_database_share_the_work() {
    let servers = Servers::start(2).await;
    let mut clients = servers.clients().await;
    let client = &mut clients[0];
    for (path, body) in [
        ("/api/_private/projects/example", json!({ "project": {} })),
        (BUCKET, json!({ "bucket": { "bucket_type": "emails" } })),
    ] {
        assert_eq!(client.call("PUT", path, body).await.status, 200, "{path}");
    }
    let bucket = client.call("GET", BUCKET, Value::Null).await.json()["bucket"]["id"].clone();
    let source = json!({ "source": { "bucket_id": bucket } });
    assert_eq!(client.call("PUT", SOURCE, source).await.status, 200);
    // All at the same time, so that both want the same places.
    for batch in 0..10_u32 {
        for (number, client) in (0..2_u32).zip(&mut clients) {
            let first = (batch * 2 + number) * 12;
            let letters: Vec<Value> =
                (first..first + 12).map(|number| letter(number, "x", "text")).collect();
            assert_eq!(client.put(&letters).await.status, 200);
        }
    }
    let done = converted(&mut clients[1]).await;
    assert_eq!((&done["converted"], &done["quarantined"]), (&json!(240), &json!(0)));
    assert_eq!(comments(&mut clients[0]).await.len(), 240);
    let mut written = 0;
    for client in &mut clients {
        let metrics = client.call("GET", "/metrics", Value::Null).await;
        let metrics = String::from_utf8(metrics.body).unwrap();
        let line =
            metrics.lines().find(|line| line.starts_with("tributary_comments_written_total"));
        written += line.unwrap().rsplit_once(' ').unwrap().1.parse::<u32>().unwrap();
    }
    assert_eq!(written, 240, "some were written twice");
    drop(clients);
    servers.end().await;
}
