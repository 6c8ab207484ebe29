//! Raw emails that are sent straight into a source.

use serde_json::{Value, json};

use crate::sources;

const SYNC: &str = "/api/v1/sources/example%2Fletters/sync-raw-emails?no_charge=false";
const COMMENTS: &str = "/api/_private/sources/example%2Fletters/comments";

#[tokio::test]
async fn an_email_in_pieces_becomes_a_comment() {
    let (server, mut client) = sources::start().await;
    server.add_source("example", None).await;
    // As the official client sends it: the tag comes behind the documents.
    let raw = "Message-ID: <1@example.com>\r\nFrom: Ann <ann@acme.example>\r\nTo: bob@example.com\r\n\
               Date: Thu, 1 Jan 2026 10:00:00 +0000\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n";
    let document = json!({
        "raw_email": {
            "headers": { "raw": raw },
            "body": { "plain": "Hello\n\nOn Monday, Bob wrote:\n> old\n" },
            "attachments": [{ "name": "a.pdf", "size": 1000, "content_type": "pdf" }],
        },
        "user_properties": { "string:MSG NAME ID": "a.msg", "string:Sender Domain": "mine" },
    });
    let parsed = json!({
        "raw_email": {
            "headers": { "parsed": {
                "Subject": "Two\r\nBcc: smuggled@x", "To": ["a@x.example", "b@x.example"], "X-N": 3,
                "Date": "Thu, 1 Jan 2026 11:00:00 +0000",
            } },
            "body": { "html": "<p>Hi <b>you</b></p>" },
        },
        "comment_id": "mine",
    });
    let mut body = json!({
        "documents": [document, parsed], "include_comments": true,
        "transform_tag": "generic-markup.0.CONVKER5",
    });
    let answer = client.call("POST", SYNC, body.clone()).await.json();
    assert_eq!((&answer["new"], &answer["comments"][1]["id"]), (&json!(2), &json!("mine")));
    let page = client.call("GET", &format!("{COMMENTS}?include_markup=true"), Value::Null).await;
    let page = page.json();
    let one = &page["comments"][0];
    assert_eq!(one["id"], "3c31406578616d706c652e636f6d3e");
    assert_eq!(one["timestamp"], "2026-01-01T10:00:00Z");
    assert_eq!(one["messages"][0]["from"], "Ann <ann@acme.example>");
    assert_eq!(one["messages"][0]["subject"]["text"], "Gr\u{fc}\u{df}e");
    assert_eq!(one["messages"][0]["body"]["text"], "Hello");
    assert_eq!(one["attachments"][0]["name"], "a.pdf");
    let expected = json!({
        "string:MSG NAME ID": "a.msg", "string:Sender Domain": "acme.example",
        "string:Recipient Domain": "example.com",
    });
    assert_eq!(one["user_properties"], expected);
    let two = &page["comments"][1];
    assert_eq!(two["messages"][0]["to"], json!(["a@x.example", "b@x.example"]));
    assert!(two["messages"][0].get("bcc").is_none(), "{two}");
    assert!(two["messages"][0]["body"]["text_markup"].is_array(), "{two}");
    // Again: nothing changes. With an override: a property does.
    let again = client.call("POST", SYNC, body.clone()).await.json();
    assert_eq!((&again["unchanged"], &again["updated"]), (&json!(2), &json!(0)));
    body["override_user_properties"] = json!(["Sender Domain"]);
    body["include_comments"] = json!(false);
    let again = client.call("POST", SYNC, body).await.json();
    assert_eq!((&again["updated_properties_only"], again.get("comments")), (&json!(1), None));
}

#[tokio::test]
async fn each_limit_of_a_raw_email_is_kept() {
    let (server, mut client) = sources::start().await;
    server.add_source("example", None).await;
    let good = || json!({ "raw_email": { "headers": { "raw": "Subject: x\r\n" }, "body": { "plain": "x" } } });
    let attachments: Vec<Value> =
        (0..129).map(|_| json!({ "name": "a", "size": 1, "content_type": "x" })).collect();
    for (pointer, value, path) in [
        ("/raw_email/headers/raw", json!("x".repeat(65_537)), "raw_email.headers.raw"),
        ("/raw_email/headers/parsed", json!({}), "raw_email.headers"),
        ("/raw_email/headers", json!({ "parsed": { "A:": "x" } }), "raw_email.headers.parsed.A:"),
        ("/raw_email/body/plain", json!("x".repeat(65_537)), "raw_email.body.plain"),
        ("/raw_email/body/html", json!("x".repeat(33_554_433)), "raw_email.body.html"),
        ("/raw_email/attachments", json!(attachments), "raw_email.attachments"),
        ("/comment_id", json!(""), "comment_id"),
        ("/user_properties", json!({ "x": 1 }), "user_properties.x"),
        ("/x", json!(1), "x"),
    ] {
        let mut bad = good();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).unwrap()[name] = value;
        let body = json!({ "documents": [good(), bad] });
        let refused = client.call("POST", SYNC, body).await;
        let expected = format!("`documents[1].{path}`:");
        assert_eq!(refused.status, 400);
        assert!(refused.message().starts_with(&expected), "{expected} {}", refused.message());
    }
    for (body, status, message) in [
        (json!({}), 400, "`documents`: this field is required"),
        (
            json!({ "documents": [], "transform_tag": "a.0.B" }),
            422,
            "The value 'a.0.B' is not a valid transform tag.",
        ),
        (
            json!({ "documents": [], "override_user_properties": ["x".repeat(129)] }),
            400,
            "`override_user_properties[0]`: expected 0 to 128 characters",
        ),
        (
            json!({ "documents": vec![good(); 4097] }),
            400,
            "`documents`: expected at most 4096 documents",
        ),
    ] {
        let refused = client.call("POST", SYNC, body).await;
        assert_eq!((refused.status.as_u16(), refused.message()), (status, message.to_owned()));
    }
    let page = client.call("GET", COMMENTS, Value::Null).await.json();
    assert_eq!(page["comments"], json!([]));
}
