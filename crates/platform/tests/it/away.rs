//! Contents in a container, and a container that goes away.

use std::{path::Path, sync::Arc};

use net::{Egress, Limits, PlainHttp, Tls, TlsSettings, Transport};
use objects::azure::{self, AzureEnvironment, AzureLocation, AzureOptions};
use openssl::sha::sha256;
use platform::Options;
use record::{Secret, Unmetered, clock::SystemClock};
use serde_json::{Value, json};
use store::Contents;
use testkit::{
    azurite::{ACCOUNT, KEY, azurite},
    platform_contract::client::{BUCKET, emails_of},
    proxy::Proxy,
};

use crate::server::Running;

/// A server of its own, over which a container of its own is reached, and contents there.
pub(crate) async fn on_azurite(folder: &Path) -> (Proxy, Arc<dyn Contents>) {
    let container = || (azurite().new_container(), azurite().url.clone());
    let (container, url) = tokio::task::spawn_blocking(container).await.unwrap();
    let proxy = Proxy::to(url.split('/').nth(2).unwrap());
    let options = AzureOptions {
        location: AzureLocation { account: ACCOUNT.into(), container, prefix: String::new() },
        environment: AzureEnvironment {
            endpoint: Some(format!("http://{}/{ACCOUNT}", proxy.address)),
            account_key: Some(Secret::from(KEY)),
            ..AzureEnvironment::default()
        },
        transport: Transport {
            tls: Tls::new(&TlsSettings::default()).unwrap(),
            egress: Arc::new(Egress::default()),
            plain_http: PlainHttp::LoopbackOnly,
            limits: Limits::default(),
            clock: Arc::new(SystemClock),
        },
        max_concurrent_uploads: 8,
        meter: Arc::new(Unmetered),
    };
    let container = azure::open(options).unwrap();
    let contents = contents::InContainer::new(container, folder.join("contents/tmp"));
    (proxy, Arc::new(contents))
}

fn email(id: &str, text: &str) -> Value {
    json!({
        "id": id, "mailbox": "a@example.com", "timestamp": "2026-01-01T00:00:00Z",
        "mime_content": format!("Subject: {id}\r\n\r\n{text}\r\n"),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_the_container_cannot_take_may_be_sent_again() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (proxy, contents) = on_azurite(folder.path()).await;
    let server = Running::start_in(folder, contents, Options::default()).await;
    server.add_project("example").await;
    let mut client = server.client().await;
    let noise: Vec<u8> = (0_u32..20_000).flat_map(|n| sha256(&n.to_be_bytes())).collect();
    let noise = openssl::base64::encode_block(&noise);
    let path = format!("{BUCKET}/emails");
    let body = emails_of(&[email("<small@x>", "small"), email("<large@x>", &noise)]);
    // After a part of the content has gone.
    proxy.cut_after(300_000);
    let refused = client.call("PUT", &path, body.clone()).await;
    assert!(proxy.is_cut());
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert_eq!(refused.json()["status"], json!("error"));
    let count = async || {
        let mut session = server.store.read().await.unwrap();
        let bucket = session.bucket("example", "mail").await.unwrap().unwrap();
        session.count_emails(&bucket.id).await.unwrap()
    };
    assert_eq!(count().await, 0, "half of a request is there");
    // What needs no container goes on.
    let small = emails_of(&[email("<other@x>", "small")]);
    assert_eq!(client.call("PUT", &path, small).await.status, 200);
    proxy.mend();
    let taken = client.call("PUT", &path, body).await;
    assert_eq!(taken.status, 200, "{taken:?}");
    assert_eq!(count().await, 3);
    let original = format!("{BUCKET}/emails/%3Clarge%40x%3E/original");
    proxy.cut();
    let unread = client.call("GET", &original, Value::Null).await;
    assert_eq!(unread.status, 503, "{unread:?}");
    proxy.mend();
    let read = client.call("GET", &original, Value::Null).await;
    assert_eq!(read.status, 200, "{read:?}");
}
