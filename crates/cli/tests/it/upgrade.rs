//! An earlier version's data in the hands of this program: emails, comments, search, and the way
//! through a backup.

use std::{fs, io, time::Duration};

use flate2::read::GzDecoder;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::durable::{Server, call, runtime, stored, succeeded, walk};

/// What version 0.1.0 left with tables of version 1: one bucket, three emails, two with one content.
const VERSION_1: &[u8] = include_bytes!("../../../store/tests/data/version-1.db.gz");
const SOURCE: &str = "/api/v1/sources/acme/letters";
const EMAILS: &str = "/api/_private/buckets/acme/mail/emails";

type At = (std::net::SocketAddr, String);

/// Asks until the answer is as wanted.
async fn ask_until(
    at: &At,
    method: &str,
    path: &str,
    body: Value,
    done: fn(&Value) -> bool,
) -> Value {
    for _ in 0..6000 {
        let answer = call(at, method, path, body.clone()).await;
        if done(&answer) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{path} never becomes what is wanted");
}

/// The ids of the emails whose comments have a word.
async fn found(at: &At, query: &str) -> Vec<String> {
    let body = json!({ "query": query });
    let is_complete = |answer: &Value| answer["index"]["complete"] == true;
    let answer = ask_until(at, "POST", "/api/_private/search", body, is_complete).await;
    let id = |own: &Value| own["comment_id"].as_str().unwrap().to_owned();
    let mut ids: Vec<String> = answer["results"].as_array().unwrap().iter().map(id).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_platform_of_version_1_goes_on_with_its_emails_and_gets_comments_and_search() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::at(folder.path(), "old", None);
    fs::create_dir(&server.data).unwrap();
    let mut file = fs::File::create(server.data.join("tributary.db")).unwrap();
    io::copy(&mut GzDecoder::new(VERSION_1), &mut file).unwrap();
    server.start_again();
    server.wait();
    let made = succeeded(&server.run(&["token", "create"]));
    let token = made.split_whitespace().find(|word| word.starts_with("tri_")).unwrap().to_owned();
    let runtime = runtime();
    let at = (server.address, token.clone());
    let before = runtime.block_on(stored(&at, EMAILS));
    assert_eq!(before.len(), 3);
    runtime.block_on(async {
        let bucket = call(&at, "GET", "/api/_private/buckets/acme/mail", Value::Null).await;
        let source = json!({ "source": { "bucket_id": bucket["bucket"]["id"] } });
        call(&at, "PUT", SOURCE, source).await;
        let path = "/api/_private/sources/acme/letters/conversion";
        let is_done = |answer: &Value| answer["conversion"]["waiting"] == 0;
        let done = ask_until(&at, "GET", path, Value::Null, is_done).await;
        assert_eq!(done["conversion"]["converted"], 3, "{done}");
        assert_eq!(found(&at, "grüße").await.len(), 2);
        assert_eq!(found(&at, "subject:third").await.len(), 1);
        let integration = json!({ "integration": { "configuration": {
            "connection": {
                "access": { "kind": "user_access", "username": "EX\\svc", "password": "hunter2" },
                "application": { "kind": "ntlm" },
                "ews_endpoint": "https://mail.example.com/EWS/Exchange.asmx",
            },
            "mailboxes": [],
        }}});
        call(&at, "PUT", "/api/_private/integrations/acme/ex", integration).await;
    });
    let home = folder.path().join("backups");
    succeeded(&server.run(&["backup", home.to_str().unwrap()]));
    server.end(Signal::KILL);
    // No backup has the key, and a restore says so.
    let key = fs::read(server.data.join("vault.key")).unwrap();
    for path in walk(&home) {
        assert!(!path.ends_with("vault.key") && fs::read(&path).unwrap() != key, "{path:?}");
    }
    let mut new = Server::at(folder.path(), "new", None);
    let told = succeeded(&new.run(&["restore", home.to_str().unwrap()]));
    assert!(told.contains("`vault.key`") && told.contains("--vault-key-file"), "{told}");
    assert!(!new.data.join("vault.key").exists());
    // A new key would open none of the credentials.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // Without the refusal, this ends the program too, with another code.
    let refused = new.run(&["serve", "--bind", &taken.local_addr().unwrap().to_string()]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(78), "{told}");
    assert!(told.contains("/vault.key`, and the credentials of 1 integrations"), "{told}");
    assert!(!new.data.join("vault.key").exists());
    fs::copy(server.data.join("vault.key"), new.data.join("vault.key")).unwrap();
    new.start_again();
    new.wait();
    // The index is in no backup; it is made of the comments.
    let at = (new.address, token);
    assert_eq!(runtime.block_on(stored(&at, EMAILS)), before);
    assert_eq!(runtime.block_on(found(&at, "grüße")).len(), 2);
    assert_eq!(runtime.block_on(found(&at, "subject:third")).len(), 1);
    new.end(Signal::TERM);
    assert_eq!(new.run(&["fsck"]).status.code(), Some(0));
}
