//! Sync states, their conditional writes, and configurations of appliances.

use hyper::Request;
use serde_json::{Value, json};

use super::{
    Subject,
    client::{Answer, BUCKET, Client, whole},
};

const STATE: &str = "/api/_private/bucket-sync-state/example/mail";

async fn put_state(
    client: &mut Client,
    text: &str,
    condition: Option<(&'static str, &str)>,
) -> Answer {
    client.headers = condition.map(|(name, value)| (name, value.to_owned())).into_iter().collect();
    let body = json!({ "bucket_sync_state": { "sync_state": text } });
    let answer = client.call("PUT", STATE, body).await;
    client.headers.clear();
    answer
}

/// # Panics
///
/// It is not so.
pub async fn with_conditional_writes_a_lost_race_is_told(subject: Subject) {
    let mut client = subject.client().await;
    assert_eq!(put_state(&mut client, "a", Some(("if-match", "*"))).await.status, 412);
    let answer = put_state(&mut client, "a", Some(("if-none-match", "*"))).await;
    let first = answer.header("etag").unwrap().to_owned();
    assert_eq!(put_state(&mut client, "b", Some(("if-none-match", "*"))).await.status, 412);
    let answer = put_state(&mut client, "b", Some(("if-match", &first))).await;
    let second = answer.header("etag").unwrap().to_owned();
    assert_eq!(put_state(&mut client, "c", Some(("if-match", &first))).await.status, 412);
    let read = client.call("GET", STATE, Value::Null).await;
    assert_eq!(read.json()["bucket_sync_state"]["sync_state"], "b");
    assert_eq!(read.header("etag"), Some(second.as_str()));
    // Who sets no condition overwrites, also here.
    assert_eq!(put_state(&mut client, "d", None).await.status, 200);
    assert_eq!(put_state(&mut client, "e", Some(("if-match", &second))).await.status, 412);
    let read = client.call("GET", STATE, Value::Null).await;
    assert_eq!(read.json()["bucket_sync_state"]["sync_state"], "d");
}

/// # Panics
///
/// It is not so.
pub async fn keyed_states_are_listed_by_mailbox_and_path(subject: Subject) {
    let mut client = subject.client().await;
    for (key, mailbox, path) in [
        ("01", "b@example.com", "Inbox"),
        ("02", "a@example.com", "Sent"),
        ("03", "a@example.com", "Inbox"),
    ] {
        let state = json!({
            "mailbox_name": mailbox, "folder_id": key, "folder_path": [path],
            "status": "IN_PROGRESS", "synced_until": null, "fingerprint": "2026-01-01T00:00:00Z",
        });
        let path = format!("{BUCKET}/keyed-sync-state/{key}");
        let answer = client.call("PUT", &path, json!({ "keyed_sync_state": state })).await;
        assert_eq!(answer.json(), json!({ "status": "ok" }));
    }
    let listed = client.call("GET", &format!("{BUCKET}/keyed-sync-states%2F"), Value::Null).await;
    let listed = listed.json();
    let ids: Vec<_> =
        listed["keyed_sync_states"].as_array().unwrap().iter().map(|s| &s["folder_id"]).collect();
    assert_eq!(ids, ["03", "02", "01"]);
    // The official client cannot read an entry without it.
    assert!(listed["keyed_sync_states"][0]["last_synced_at"].is_string());
    let mailbox = json!({ "mailbox_name": "a@example.com" });
    let found = client.call("POST", &format!("{BUCKET}/keyed-sync-state-ids"), mailbox).await;
    assert_eq!(found.json()["keyed_sync_state_ids"], json!(["02", "03"]));
    let path = format!("{BUCKET}/keyed-sync-state/02");
    let read = client.call("GET", &path, Value::Null).await;
    assert_eq!(read.json()["keyed_sync_state"]["folder_path"], json!(["Sent"]));
    assert_eq!(client.call("DELETE", &path, Value::Null).await.status, 200);
    assert_eq!(client.call("DELETE", &path, Value::Null).await.status, 404);
    let listed = client.call("GET", &format!("{BUCKET}/keyed-sync-states"), Value::Null).await;
    assert_eq!(listed.json()["keyed_sync_states"].as_array().unwrap().len(), 2);
}

/// # Panics
///
/// It is not so.
pub async fn the_owner_of_a_bucket_is_kept(subject: Subject) {
    let mut client = subject.client().await;
    let by = json!({
        "config_owner": "example", "config_key": "mail", "shard_index": 1, "num_shards": 3,
    });
    let update = json!({ "bucket": { "last_updated_by": by } });
    let answer = client.call("POST", "//api/_private/buckets/example/mail/", update).await;
    assert_eq!(answer.json()["bucket"]["last_updated_by"], by);
    let read = client.call("GET", BUCKET, Value::Null).await;
    assert_eq!(read.json()["bucket"]["last_updated_by"], by);
}

/// # Panics
///
/// It is not so.
pub async fn configurations_come_as_forms_or_plain_on_both_paths(subject: Subject) {
    let mut client = subject.client().await;
    let path = "/api/v1/appliance-configs/example/mail";
    let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"c.json\"\r\n\r\n\
                {\"port\": 443}\r\n--b--\r\n";
    let put = |path| Request::put(path);
    let request = put(path).header("content-type", "multipart/form-data; boundary=b");
    let answer = client.try_send(request, whole(form)).await.unwrap();
    assert_eq!(answer.json()["changes"], json!({ "port": { "old": null, "new": 443 } }));
    let private = "/api/_private/appliance-configs/example/mail";
    let read = client.call("GET", private, Value::Null).await;
    let etag = read.header("etag").unwrap().to_owned();
    assert_eq!(read.body, b"{\"port\": 443}");
    let answer = client.try_send(put(private), whole("{\"port\": 80}")).await.unwrap();
    assert_eq!(answer.json()["changes"], json!({ "port": { "old": 443, "new": 80 } }));
    assert_eq!(client.call("GET", path, Value::Null).await.body, b"{\"port\": 80}");
    let refused = client.try_send(put(path), whole("port: 80")).await.unwrap();
    assert!(refused.status == 400 && refused.message().contains("`file`: the configuration is no"));

    client.headers.push(("if-none-match", etag));
    let changed = client.call("GET", path, Value::Null).await;
    assert_eq!(changed.status, 200);
    client.headers = vec![("if-none-match", changed.header("etag").unwrap().to_owned())];
    let same = client.call("GET", path, Value::Null).await;
    assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
}
