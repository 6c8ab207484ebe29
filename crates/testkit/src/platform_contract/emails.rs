//! Uploads and listings.

use serde_json::{Value, json};

use super::{
    Subject,
    client::{BUCKET, email},
};

/// # Panics
///
/// It is not so.
pub async fn what_was_written_is_read_as_it_was(subject: Subject) {
    let mut client = subject.client().await;
    let answer = client.put(&[email(1), email(2)]).await;
    assert_eq!(answer.body, br#"{"status":"ok"}"#);
    let read = client.call("POST", &format!("{BUCKET}/emails"), json!({ "limit": 10 })).await;
    let read = read.json();
    assert_eq!(read["emails"].as_array().unwrap().len(), 2);
    for (read, sent) in read["emails"].as_array().unwrap().iter().zip([email(1), email(2)]) {
        for (name, value) in sent.as_object().unwrap() {
            assert_eq!(&read[name], value, "{name}");
        }
        assert!(read["created_at"].is_string() && read["updated_at"].is_string());
    }
    assert_eq!(client.count().await, 2);
}

/// # Panics
///
/// It is not so.
pub async fn pages_and_queries_show_every_email_once(subject: Subject) {
    let mut client = subject.client().await;
    let emails: Vec<_> = (0..50)
        .map(|number| {
            let mut email = email(number);
            if number % 5 == 0 {
                email["mailbox"] = json!("five@example.com");
            }
            email
        })
        .collect();
    assert_eq!(client.put(&emails).await.status, 200);
    for (path, filter, expected) in [
        ("emails", json!({}), (0..50).collect::<Vec<_>>()),
        (
            "emails/query",
            json!({ "mailbox_name": "five@example.com" }),
            (0..50).step_by(5).collect(),
        ),
        (
            "emails/query",
            json!({
                "from_timestamp": "2026-01-01T00:00:10Z",
                "to_timestamp": "2026-01-01T01:00:20+01:00",
            }),
            (10..20).collect(),
        ),
    ] {
        let (mut ids, mut request) = (Vec::new(), filter.clone());
        request["limit"] = json!(7);
        loop {
            let page = client.call("POST", &format!("{BUCKET}/{path}"), request.clone()).await;
            let page = page.json();
            let emails = page["emails"].as_array().unwrap();
            assert!(emails.len() <= 7);
            ids.extend(emails.iter().map(|email| email["id"].as_str().unwrap().to_owned()));
            if path == "emails/query" {
                assert_eq!(page["more_results"], !page["continuation"].is_null());
            }
            if page["continuation"].is_null() {
                break;
            }
            request["continuation"] = page["continuation"].clone();
        }
        let expected: Vec<_> = expected.iter().map(|n| format!("<{n}@example.com>")).collect();
        assert_eq!(ids, expected, "{path} {filter}");
    }
    let path = format!("{BUCKET}/emails?id=%3C7%40example.com%3E");
    let one = client.call("GET", &path, Value::Null).await;
    assert_eq!(one.json()["emails"][0]["id"], "<7@example.com>");
}

/// # Panics
///
/// It is not so.
pub async fn emails_and_buckets_go_away(subject: Subject) {
    let mut client = subject.client().await;
    client.put(&[email(1), email(2)]).await;
    let path = format!("{BUCKET}/emails?id=%3C1%40example.com%3E&id=gone");
    assert_eq!(client.call("DELETE", &path, Value::Null).await.json(), json!({ "status": "ok" }));
    assert_eq!(client.count().await, 1);
    let more = json!({ "bucket": { "bucket_type": "emails" } });
    let made = client.call("PUT", "/api/_private/buckets/example/more", more).await.json();
    let id = made["bucket"]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/_private/buckets/id:{id}");
    assert_eq!(client.call("DELETE", &path, Value::Null).await.status, 200);
    assert_eq!(client.call("GET", &path, Value::Null).await.status, 404);
    let owned = client.call("GET", "/api/_private/buckets/example", Value::Null).await.json();
    assert_eq!(owned["buckets"].as_array().unwrap().len(), 1);
    let project = "/api/_private/projects/example";
    let refused = client.call("DELETE", project, Value::Null).await;
    assert_eq!((refused.status.as_u16(), refused.message()), (
        409,
        "Project contains child resources but force deletion was not requested: {\"buckets\": 1}"
            .to_owned()
    ));
    let path = format!("{project}?force=true");
    assert_eq!(client.call("DELETE", &path, Value::Null).await.status, 200);
    assert_eq!(client.put(&[email(1)]).await.status, 404);
}
