//! The official client library against the simulated platform: what it accepts, `re` will.

use std::{io::Write, path::Path, time::Duration};

use serde_json::{Value, json};
use simulators::platform::{Fault, FaultRule, Op, Options, Platform, Transport};
use tokio::process::Command;

use super::client::{Client, email, start};
use crate::peers::run;

/// Building takes a while, and other tests go on meanwhile.
async fn program() -> &'static Path {
    tokio::task::spawn_blocking(testkit::official_client::program).await.unwrap()
}

async fn peer(server: &Platform, mode: &[&str], bucket: &str, file: Option<&Path>) -> String {
    let mut command = Command::new(program().await);
    command.args(mode).arg(server.url()).arg(bucket).args(file);
    command.env("REINFER_PEER_TOKEN", Options::TOKEN).env("SSL_CERT_FILE", server.ca_file());
    run(&mut command).await
}

async fn exercise(server: &Platform) {
    let said = peer(server, &["exercise"], "example/peer", None).await;
    testkit::platform_contract::peer::assert_all_was_right(&said);
    assert!(server.leaks().is_empty());
    let again = server.email("example/peer", "<m2+odd/%&=?@example.com>").unwrap();
    assert_eq!((again.writes, again.charged(), again.no_charge), (2, 1, true));
}

#[tokio::test]
async fn the_official_library_does_everything_over_tls_below_a_path() {
    let options = Options {
        transport: Transport::SelfSigned,
        base_path: "/organization/tenant/reinfer_/".to_owned(),
        accepts_gzip: true,
        conditional_writes: true,
        ..Options::default()
    };
    exercise(&Platform::start(options).await.unwrap()).await;
}

#[tokio::test]
async fn the_official_library_uploads_lines_and_reads_back_what_is_stored() {
    let (server, mut client) = start(|_| ()).await;
    let path = server.directory().join("mail.jsonl");
    let mut file = std::fs::File::create(&path).unwrap();
    for number in 0..130 {
        writeln!(file, "{}", email(number)).unwrap();
    }
    // The library tries a batch again one by one when it fails; it does not retry a 422.
    server.fault(FaultRule::new(Fault::http(422)).email("<129@example.com>").always());
    let said = peer(&server, &["upload"], Options::BUCKET, Some(&path)).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said, json!({ "uploaded": 129, "failed": 1 }));
    assert_eq!(server.count(Op::PutEmails), 1 + 1 + 2);
    put_keyed_state(&mut client).await;

    let dump = peer(&server, &["dump"], Options::BUCKET, None).await;
    let lines: Vec<Value> = dump.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let emails = server.emails(Options::BUCKET);
    assert_eq!(lines.len(), emails.len() + 1);
    for ((number, line), stored) in (0..).zip(&lines).zip(&emails) {
        let sent = email(number);
        for name in ["id", "mailbox", "timestamp", "metadata", "attachments"] {
            assert_eq!(line[name], sent[name], "{name} of {number}");
        }
        assert_eq!((&line["sha256"], &line["size"]), (&json!(stored.sha256), &json!(stored.size)));
    }
    let state = &lines.last().unwrap()["keyed_sync_state"];
    assert_eq!(state["folder_path"], json!(["Inbox", "Claims"]));
    assert_eq!((&state["up_to_date"], &state["ids_of_mailbox"]), (&json!(true), &json!(["00ff"])));
}

async fn put_keyed_state(client: &mut Client) {
    let state = json!({
        "mailbox_name": "abc@example.com", "folder_id": "AAMk", "status": "UP_TO_DATE",
        "folder_path": ["Inbox", "Claims"], "synced_until": "2026-01-01T00:00:00Z",
    });
    let path = format!("{}/keyed-sync-state/00ff", super::client::BUCKET);
    let answer = client.call("PUT", &path, json!({ "keyed_sync_state": state })).await;
    assert_eq!(answer.status, 200);
}

/// A hang of the client would otherwise hang the suite.
#[tokio::test]
async fn the_official_library_refuses_an_answer_that_contradicts_its_status() {
    let (server, _) = start(|_| ()).await;
    server.fault(FaultRule::new(Fault::StatusMismatch).op(Op::GetBucket));
    let mut command = Command::new(program().await);
    command.args(["dump", &server.url(), Options::BUCKET]);
    command.env("REINFER_PEER_TOKEN", Options::TOKEN).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), command.output());
    let output = output.await.unwrap().unwrap();
    assert!(!output.status.success());
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(complained.contains("inconsistent with response payload"), "{complained}");
}
