//! The official client's library: what it accepts, its command line `re` will.

use std::{io::Write, path::Path, process::Command};

use openssl::sha::sha256;
use serde_json::{Value, json};

use super::{
    Subject,
    client::{BUCKET, email},
};
use crate::official_client;

/// Runs the official client; building it takes a while, and other tests go on meanwhile.
async fn run(subject: &Subject, mode: &str, bucket: &str, file: Option<&Path>) -> String {
    let (url, token) = (subject.url.clone(), subject.token.clone());
    let (mode, bucket) = (mode.to_owned(), bucket.to_owned());
    let (file, ca_file) = (file.map(Path::to_owned), subject.ca_file.clone());
    let ended = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(official_client::program());
        command.args([&mode, &url, &bucket]).args(file).env("REINFER_PEER_TOKEN", token);
        if ca_file.exists() {
            command.env("SSL_CERT_FILE", ca_file);
        }
        command.output().unwrap()
    });
    let output = ended.await.unwrap();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complained}");
    String::from_utf8(output.stdout).unwrap()
}

/// Judges what the client said of its mode `exercise`.
///
/// # Panics
///
/// Something was not right.
pub fn assert_all_was_right(said: &str) {
    let mut said: Value = serde_json::from_str(said).unwrap();
    let user = said.as_object_mut().unwrap().remove("user");
    assert!(user.is_some_and(|user| user.is_string()));
    let expected = json!({
        "bucket": { "same": true, "listed": true },
        "pages": [64, 64, 22],
        "same": true,
        "of_mailbox": 75,
        "of_range": 10,
        "odd_id": 1,
        "unknown_id": 0,
        "count": [150, 148],
        "keyed_sync_states": 0,
    });
    assert_eq!(said, expected);
}

/// # Panics
///
/// It is not so.
pub async fn the_official_library_does_everything(subject: Subject) {
    assert_all_was_right(&run(&subject, "exercise", "example/peer", None).await);
}

/// Only for a platform that has sources.
///
/// # Panics
///
/// It is not so.
pub async fn the_official_library_lives_with_comments(subject: Subject) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.a.txt");
    std::fs::write(&path, "hello").unwrap();
    let said = run(&subject, "comments", "example/mail", Some(&path)).await;
    let mut said: Value = serde_json::from_str(&said).unwrap();
    let bad_tag = said.as_object_mut().unwrap().remove("bad_tag").unwrap();
    let expected = "The value 'generic.0.NONE' is not a valid transform tag.";
    assert!(bad_tag.as_str().is_some_and(|told| told.contains(expected)), "{bad_tag}");
    let expected = json!({
        "source": true,
        "attached": true,
        "synced": [50, 0, 100],
        "pages": [64, 64, 22],
        "same": true,
        "of_range": 11,
        "counted": 11.0,
        "one": true,
        "attachment": "hello",
        "raw": [1, 1],
        // 150, one with a file and one from an email, without two.
        "left": 150.0,
    });
    assert_eq!(said, expected);
}

/// # Panics
///
/// It is not so.
pub async fn the_official_library_reads_back_what_it_uploads(subject: Subject) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mail.jsonl");
    let mut file = std::fs::File::create(&path).unwrap();
    for number in 0..130 {
        writeln!(file, "{}", email(number)).unwrap();
    }
    let said = run(&subject, "upload", "example/mail", Some(&path)).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said, json!({ "uploaded": 130, "failed": 0 }));
    let state = json!({
        "mailbox_name": "abc@example.com", "folder_id": "AAMk", "status": "UP_TO_DATE",
        "folder_path": ["Inbox", "Claims"], "synced_until": "2026-01-01T00:00:00Z",
    });
    let path = format!("{BUCKET}/keyed-sync-state/00ff");
    let mut client = subject.client().await;
    let answer = client.call("PUT", &path, json!({ "keyed_sync_state": state })).await;
    assert_eq!(answer.status, 200);
    let dump = run(&subject, "dump", "example/mail", None).await;
    let lines: Vec<Value> = dump.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 130 + 1);
    for (number, line) in (0..130).zip(&lines) {
        let sent = email(number);
        for name in ["id", "mailbox", "timestamp", "metadata", "attachments"] {
            assert_eq!(line[name], sent[name], "{name} of {number}");
        }
        let content = sent["mime_content"].as_str().unwrap();
        let hash: String =
            sha256(content.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((&line["sha256"], &line["size"]), (&json!(hash), &json!(content.len())));
    }
    let state = &lines[130]["keyed_sync_state"];
    assert_eq!(state["folder_path"], json!(["Inbox", "Claims"]));
    assert_eq!((&state["up_to_date"], &state["ids_of_mailbox"]), (&json!(true), &json!(["00ff"])));
}
