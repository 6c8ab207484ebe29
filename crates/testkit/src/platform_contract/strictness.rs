//! Every request that the published description does not allow is refused, and the message says
//! which field it is.

use hyper::Request;
use serde_json::{Value, json};

use super::{
    Subject,
    client::{BUCKET, email, emails_of, whole},
};

/// A batch with a bad field is refused, and nothing of it is stored.
///
/// # Panics
///
/// It is not so.
pub async fn each_field_of_an_email_is_checked(subject: Subject) {
    let mut client = subject.client().await;
    // A pointer into the email, what stands there instead (`null`: nothing), and the message.
    let table = [
        ("/subject", json!("x"), "`emails[1].subject`: unknown field"),
        ("/metadata/labels", json!([]), "`emails[1].metadata.labels`: unknown field"),
        ("/attachments/0/data", json!(""), "`emails[1].attachments[0].data`: unknown field"),
        ("/id", json!(null), "`emails[1].id`: this field is required"),
        ("/mailbox", json!(null), "`emails[1].mailbox`: this field is required"),
        ("/timestamp", json!(null), "`emails[1].timestamp`: this field is required"),
        ("/mime_content", json!(null), "`emails[1].mime_content`: this field is required"),
        ("/attachments/0/size", json!(null), "`emails[1].attachments[0].size`: this field is"),
        ("/id", json!(7), "`emails[1].id`: expected a string"),
        ("/id", json!(""), "`emails[1].id`: expected 1 to 4096 characters"),
        ("/mime_content", json!(["x"]), "`emails[1].mime_content`: expected a string"),
        ("/mime_content", json!("a\u{0}b"), "`emails[1].mime_content`: the character U+0000"),
        ("/metadata", json!("x"), "`emails[1].metadata`: expected an object"),
        ("/metadata/size", json!("20"), "`emails[1].metadata.size`: expected an integer"),
        ("/metadata/size", json!(-1), "`emails[1].metadata.size`: expected an integer"),
        ("/metadata/is_read", json!(1), "`emails[1].metadata.is_read`: expected true or false"),
        ("/metadata/folder", json!("Inbox"), "`emails[1].metadata.folder`: expected an array"),
        ("/metadata/folder", json!([1]), "`emails[1].metadata.folder[0]`: expected a string"),
        ("/metadata/received_at", json!("today"), "`emails[1].metadata.received_at`: 'today' is"),
        ("/metadata/importance", json!({}), "`emails[1].metadata.importance`: expected a string"),
        ("/attachments", json!({}), "`emails[1].attachments`: expected an array"),
        ("/attachments/0/content_hash", json!("AB"), "content_hash`: expected 64 hex digits"),
        (
            "/timestamp",
            json!("2026-01-01T00:00:00"),
            "`emails[1].timestamp`: '2026-01-01T00:00:00'",
        ),
        ("/timestamp", json!("2026-01-01 00:00:00Z"), "`emails[1].timestamp`: '2026-01-01 00:"),
        ("/timestamp", json!("2026-13-01T00:00:00Z"), "`emails[1].timestamp`: '2026-13-01T"),
        ("/timestamp", json!(1_767_225_600), "`emails[1].timestamp`: expected a string"),
    ];
    for (pointer, value, message) in table {
        let mut broken = email(2);
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = broken.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(name);
        } else {
            parent.insert(name.to_owned(), value.clone());
        }
        let answer = client.put(&[email(1), broken]).await;
        let shown = format!("{pointer} = {value}");
        assert_eq!(answer.status, 400, "{shown}");
        assert!(answer.message().contains(message), "{shown}: {}", answer.message());
    }
    // Nothing is stored of a batch with one bad email.
    assert_eq!(client.count().await, 0);
    let mut least = email(1);
    least.as_object_mut().unwrap().retain(|name, _| name != "metadata" && name != "attachments");
    assert_eq!(client.put(&[least]).await.status, 200);
}

/// So is everything else.
///
/// # Panics
///
/// It is not so.
pub async fn other_requests_are_checked_as_strictly(subject: Subject) {
    let mut client = subject.client().await;
    let state = "/api/_private/bucket-sync-state/example/mail";
    let keyed = &format!("{BUCKET}/keyed-sync-state/00ff");
    let emails = &format!("{BUCKET}/emails");
    let folder = |change: Value| {
        let mut state = json!({
            "mailbox_name": "abc@example.com", "folder_id": "f", "folder_path": ["Inbox"],
            "status": "UP_TO_DATE",
        });
        for (name, value) in change.as_object().unwrap() {
            state[name] = value.clone();
        }
        json!({ "keyed_sync_state": state })
    };
    let by = |by: Value| json!({ "bucket": { "last_updated_by": by } });
    let table = [
        ("PUT", emails.as_str(), json!({}), 400, "`emails`: this field is required"),
        ("PUT", emails, json!({ "emails": [], "x": 1 }), 400, "`x`: unknown field"),
        ("PUT", emails, json!({ "emails": {} }), 400, "`emails`: expected an array"),
        ("PUT", emails, json!([]), 400, "`body`: expected an object"),
        (
            "PUT",
            &format!("{emails}?no_charge=1"),
            emails_of(&[]),
            400,
            "`no_charge`: expected true",
        ),
        ("PUT", &format!("{emails}?charge=1"), emails_of(&[]), 400, "`charge`: unknown query"),
        ("GET", emails, Value::Null, 400, "`id`: this query parameter is required"),
        ("PATCH", emails, json!({}), 405, "does not know the method PATCH"),
        ("POST", emails, json!({ "limit": 257 }), 400, "`limit`: expected a number from 1 to 256"),
        ("POST", emails, json!({ "limit": 0 }), 400, "`limit`: expected a number from 1 to 256"),
        ("POST", emails, json!({ "continuation": "2" }), 400, "`continuation`: this continuation"),
        ("POST", emails, json!({ "mailbox_name": "a" }), 400, "`mailbox_name`: unknown field"),
        ("POST", &format!("{emails}/query"), json!({ "from": "x" }), 400, "`from`: unknown field"),
        ("PUT", BUCKET, json!({ "bucket": { "bucket_type": "emails" } }), 409, "already exists"),
        (
            "PUT",
            "/api/_private/buckets/no/b",
            json!({ "bucket": { "bucket_type": "emails" } }),
            404,
            "the project `no` was not found",
        ),
        (
            "PUT",
            "/api/_private/buckets/example/b%20b",
            json!({ "bucket": { "bucket_type": "emails" } }),
            400,
            "`b b` is no name of a bucket",
        ),
        (
            "PUT",
            "/api/_private/buckets/example/b",
            json!({ "bucket": {} }),
            400,
            "`bucket.bucket_type`: this field is required",
        ),
        (
            "PUT",
            "/api/_private/buckets/example/b",
            json!({ "bucket": { "bucket_type": "files" } }),
            400,
            "`bucket.bucket_type`: 'files' is not one of emails",
        ),
        ("POST", BUCKET, json!({ "bucket": { "name": "x" } }), 400, "`bucket.name`: unknown field"),
        (
            "POST",
            BUCKET,
            by(json!({ "config_owner": "o", "config_key": "k", "shard_index": 0 })),
            400,
            "`bucket.last_updated_by.num_shards`: this field is required",
        ),
        (
            "POST",
            BUCKET,
            by(json!({
                "config_owner": "o", "config_key": "k", "shard_index": 2, "num_shards": 2
            })),
            400,
            "`bucket.last_updated_by`: there is no such shard",
        ),
        (
            "PUT",
            state,
            json!({ "bucket_sync_state": {} }),
            400,
            "`bucket_sync_state.sync_state`: this field is required",
        ),
        (
            "PUT",
            state,
            json!({ "bucket_sync_state": { "sync_state": {} } }),
            400,
            "`bucket_sync_state.sync_state`: expected a string",
        ),
        (
            "PUT",
            state,
            json!({ "bucket_sync_state": { "sync_state": "", "v": 1 } }),
            400,
            "`bucket_sync_state.v`: unknown field",
        ),
        ("PUT", state, json!({ "sync_state": "x" }), 400, "`bucket_sync_state`: this field is"),
        (
            "PUT",
            keyed,
            folder(json!({ "status": "DONE" })),
            400,
            "`keyed_sync_state.status`: 'DONE' is not one of IN_PROGRESS, UP_TO_DATE",
        ),
        (
            "PUT",
            keyed,
            folder(json!({ "folder_path": null })),
            400,
            "`keyed_sync_state.folder_path`: expected an array",
        ),
        (
            "PUT",
            keyed,
            folder(json!({ "synced_until": "x" })),
            400,
            "`keyed_sync_state.synced_until`",
        ),
        ("PUT", keyed, folder(json!({ "token": "x" })), 400, "`keyed_sync_state.token`: unknown"),
        (
            "PUT",
            &format!("{BUCKET}/keyed-sync-state/KEY"),
            folder(json!({})),
            400,
            "lower-case hex",
        ),
        ("GET", keyed, Value::Null, 404, "the keyed sync state `00ff` was not found"),
        ("GET", state, Value::Null, 404, "was not found"),
        (
            "GET",
            "/api/_private/buckets/example/none",
            Value::Null,
            404,
            "the bucket `example/none` was not found",
        ),
        ("GET", "/api/v2/buckets", Value::Null, 404, "the path `/api/v2/buckets` was not found"),
        ("GET", "/api/v1/appliance-configs/example/none", Value::Null, 404, "was not found"),
    ];
    for (method, path, body, status, message) in table {
        let answer = client.call(method, path, body.clone()).await;
        let shown = format!("{method} {path} {body}: {}", answer.message());
        assert_eq!(answer.status, status, "{shown}");
        assert!(answer.message().contains(message), "{shown}");
    }
}

/// What is no JSON is told apart from what has the wrong form.
///
/// # Panics
///
/// It is not so.
pub async fn a_body_that_is_no_json_is_refused(subject: Subject) {
    let mut client = subject.client().await;
    let put = |kind: &str| Request::put(format!("{BUCKET}/emails")).header("content-type", kind);
    for (body, message) in [
        (&b"{\"emails\":["[..], "the body is no valid JSON at byte 11"),
        (b"", "the body is no valid JSON at byte 0"),
        (b"{\"emails\":[]} x", "something follows"),
        (b"{\"emails\":[],\"emails\":[]}", "`body`: the field `emails` appears twice"),
        (
            b"{\"emails\":[{\"id\":\"a\",\"id\":\"b\"}]}",
            "`emails[0]`: the field `id` appears twice",
        ),
        (b"{\"emails\":[{\"mime_content\":\"\xff\"}]}", "a string is not UTF-8"),
        (b"{\"emails\":[{\"mime_content\":\"\\ud800\"}]}", "half of a surrogate pair"),
        (b"{\"emails\":[{\"mime_content\":\"a\nb\"}]}", "a control character"),
    ] {
        let answer = client.try_send(put("application/json"), whole(body)).await.unwrap();
        let shown = String::from_utf8_lossy(body);
        assert_eq!(answer.status, 400, "{shown}");
        assert!(answer.message().contains(message), "{shown}: {}", answer.message());
    }
    let body = emails_of(&[email(1)]).to_string();
    let answer = client.try_send(put("text/plain"), whole(body)).await.unwrap();
    assert_eq!(answer.status, 415);
    assert_eq!(client.count().await, 0);
}
