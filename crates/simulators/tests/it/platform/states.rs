//! Sync states, their conditional writes, and configurations of appliances.

use serde_json::{Value, json};
use simulators::platform::Options;

use super::client::{Answer, Client, start};

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

#[tokio::test]
async fn without_conditional_writes_the_last_one_wins() {
    let (server, mut client) = start(|_| ()).await;
    assert_eq!(client.call("GET", STATE, Value::Null).await.status, 404);
    let answer = put_state(&mut client, "a", Some(("if-match", "\"9\""))).await;
    assert_eq!((answer.json(), answer.header("etag")), (json!({ "status": "ok" }), None));
    let answer = put_state(&mut client, "b", Some(("if-none-match", "*"))).await;
    assert_eq!(answer.status, 200);
    let answer = client.call("GET", STATE, Value::Null).await;
    assert_eq!(answer.json()["bucket_sync_state"]["sync_state"], "b");
    assert_eq!(answer.header("etag"), None);
    server.set_sync_state(Options::BUCKET, "of another program");
    let answer = client.call("GET", STATE, Value::Null).await;
    assert_eq!(answer.json()["bucket_sync_state"]["sync_state"], "of another program");
}
