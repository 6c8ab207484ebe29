//! What only a folder of files promises: its formats, its names, its leftovers.

use std::{fs, sync::Arc};

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use record::{
    Body, BucketId, Chain, FolderId, FolderState, ItemId, MailboxId, Metadata, Position, SinkAdvice,
};
use tempfile::TempDir;

use super::{
    layout::{self, Layout},
    *,
};

fn route_of(mailbox: &str) -> Route {
    let mailbox: MailboxId = mailbox.parse().unwrap();
    Route { mailbox, bucket: BucketId::new("owner", "bucket").unwrap() }
}

fn route() -> Route {
    route_of("abc@example.com")
}

fn email(n: u64) -> Email {
    Email {
        uid: Uid::derive("test", &route().mailbox, &n.to_be_bytes(), ""),
        item: ItemId(format!("item-{n}")),
        message_id: None,
        timestamp: chrono::DateTime::<Utc>::UNIX_EPOCH + TimeDelta::seconds(1_700_000_000),
        metadata: Metadata { folder: vec!["Inbox".into()], ..Metadata::default() },
        body: Body::Memory(Bytes::from(format!("Subject: {n}\r\n\r\n"))),
    }
}

fn set_aside(n: u64) -> Quarantined {
    let email = email(n);
    Quarantined {
        uid: email.uid,
        protocol: record::Protocol::Ews,
        item: email.item,
        folder: FolderId("f".into()),
        folder_path: vec!["Inbox".into()],
        message_id: None,
        received: None,
        size: None,
        code: "TooLarge".into(),
        detail: "larger than allowed".into(),
        since: email.timestamp,
        attempts: 1,
    }
}

fn checkpoint(generation: u64) -> Checkpoint {
    let mut checkpoint = Checkpoint { generation, ..Checkpoint::default() };
    let position = Some(Position::Cursor { token: "H4sIAAAA".into() });
    let folder = FolderState {
        path: vec!["Inbox".into(), "Claims/2026".into()],
        position,
        caught_up: true,
        mark: Some("42".into()),
        delivered: 2,
        newest: Some(email(1).timestamp),
        ..FolderState::default()
    };
    checkpoint.folders.insert(FolderId("AAMk=".into()), folder);
    checkpoint
}

fn open() -> (TempDir, LocalFiles) {
    let dir = tempfile::tempdir().unwrap();
    let sink = LocalFiles::open(dir.path()).unwrap();
    (dir, sink)
}

/// Files of every released shape must stay readable. A new shape is a new file.
#[tokio::test]
async fn state_of_earlier_versions_is_read() {
    let (dir, sink) = open();
    let state = sink.store.layout.state_dir(&route());
    fs::create_dir_all(&state).unwrap();
    let golden = format!("{}/testdata/version-1", env!("CARGO_MANIFEST_DIR"));
    for entry in fs::read_dir(golden).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, state.join(path.file_name().unwrap())).unwrap();
    }
    assert_eq!(sink.load_checkpoint(&route()).await.unwrap(), checkpoint(1));
    assert_eq!(sink.quarantined(&route()).await.unwrap(), [set_aside(9)]);
    let ledger: Vec<_> = sink.ledger(&route()).unwrap().map(|line| line.unwrap().uid).collect();
    assert_eq!(ledger, [email(1).uid, email(2).uid]);
    drop(dir);
}

/// What this version writes is what the files of `testdata/` hold.
#[tokio::test]
async fn state_is_written_in_the_released_shape() {
    let (_dir, sink) = open();
    sink.write(&route(), &[email(1), email(2)]).await.unwrap();
    sink.quarantine(&route(), &[set_aside(9)]).await.unwrap();
    sink.save_checkpoint(&route(), &checkpoint(1)).await.unwrap();
    let state = sink.store.layout.state_dir(&route());
    let sidecar = layout::sidecar(&sink.store.layout.data_dir(&route()), email(1).uid);
    for (golden, path) in [
        ("checkpoint.json", state.join("checkpoint.json")),
        ("quarantine.json", state.join("quarantine.json")),
        ("ledger.jsonl", state.join("ledger.jsonl")),
        ("sidecar.json", sidecar),
    ] {
        let golden = format!("{}/testdata/version-1/{golden}", env!("CARGO_MANIFEST_DIR"));
        expect_test::expect_file![golden].assert_eq(&fs::read_to_string(path).unwrap());
    }
}

#[tokio::test]
async fn routes_are_listed_also_under_shortened_names() {
    let (dir, sink) = open();
    let long = format!("{}@example.com", "é".repeat(100));
    let mut routes = vec![route(), route_of("x%2f..@example.com"), route_of(&long)];
    for route in &routes {
        sink.save_checkpoint(route, &checkpoint(1)).await.unwrap();
    }
    routes.sort_unstable();
    let reader = LocalFiles::open_read_only(dir.path()).unwrap();
    assert_eq!(reader.routes().unwrap(), routes);
}

#[tokio::test]
async fn leftovers_of_a_crash_are_removed_when_the_mailbox_is_served() {
    let (dir, sink) = open();
    sink.write(&route(), &[email(1)]).await.unwrap();
    sink.save_checkpoint(&route(), &checkpoint(1)).await.unwrap();
    let layout = Layout::new(dir.path());
    let files = [layout.data_dir(&route()), layout.state_dir(&route())]
        .map(|dir| dir.join(".tributary-1-7.tmp"));
    for file in &files {
        fs::write(file, "half").unwrap();
    }
    drop(sink);
    // Not before the route is locked: it could be at work in another process.
    let sink = LocalFiles::open(dir.path()).unwrap();
    assert!(files.iter().all(|file| file.exists()));
    sink.find(&route(), &[]).await.unwrap();
    for file in &files {
        assert!(!file.exists(), "{} is still there", file.display());
    }
}

#[tokio::test]
async fn an_email_that_lost_a_file_is_written_again() {
    let (_dir, sink) = open();
    let (one, data) = (email(1), sink.store.layout.data_dir(&route()));
    let (eml, json) = (layout::eml(&data, one.uid), layout::sidecar(&data, one.uid));
    let damages: [fn(&Path, &Path); 4] = [
        |eml, _| fs::remove_file(eml).unwrap(),
        |_, json| fs::remove_file(json).unwrap(),
        |eml, _| fs::write(eml, "cut").unwrap(),
        |_, json| fs::write(json, "{").unwrap(),
    ];
    for damage in damages {
        sink.write(&route(), &[email(1)]).await.unwrap();
        damage(&eml, &json);
        assert_eq!(sink.find(&route(), &[one.uid]).await.unwrap(), [None]);
        sink.write(&route(), &[email(1)]).await.unwrap();
        assert!(sink.find(&route(), &[one.uid]).await.unwrap()[0].is_some());
        sink.stored_email(&route(), one.uid).unwrap().check().unwrap();
    }
}

#[tokio::test]
async fn a_second_copy_keeps_the_bytes_and_renews_the_rest() {
    let (_dir, sink) = open();
    sink.write(&route(), &[email(1)]).await.unwrap();
    let mut other = email(1);
    other.body = Body::Memory(Bytes::from_static(b"built anew by the server"));
    other.metadata.is_read = Some(true);
    sink.write(&route(), &[other.clone()]).await.unwrap();
    let sidecar = sink.stored_email(&route(), other.uid).unwrap().check().unwrap();
    assert_eq!(sidecar.metadata.is_read, Some(true));
    assert_eq!(sink.ledger(&route()).unwrap().count(), 1);
}

#[tokio::test]
async fn lines_without_files_are_removed_from_the_ledger() {
    let (dir, sink) = open();
    sink.write(&route(), &[email(1)]).await.unwrap();
    sink.save_checkpoint(&route(), &checkpoint(1)).await.unwrap();
    sink.write(&route(), &[email(2), email(3)]).await.unwrap();
    // As if the process had died between the two renames of the second email.
    fs::remove_file(layout::sidecar(&sink.store.layout.data_dir(&route()), email(2).uid)).unwrap();
    drop(sink);
    let sink = LocalFiles::open(dir.path()).unwrap();
    sink.write(&route(), &[email(2)]).await.unwrap();
    sink.save_checkpoint(&route(), &checkpoint(2)).await.unwrap();
    let uids: Vec<Uid> = sink.ledger(&route()).unwrap().map(|line| line.unwrap().uid).collect();
    assert_eq!(uids, [email(1).uid, email(3).uid, email(2).uid]);
}

#[tokio::test]
async fn a_lost_ledger_is_loud() {
    let (dir, sink) = open();
    sink.write(&route(), &[email(1)]).await.unwrap();
    sink.save_checkpoint(&route(), &checkpoint(1)).await.unwrap();
    fs::remove_file(sink.store.layout.state_dir(&route()).join("ledger.jsonl")).unwrap();
    drop(sink);
    let sink = LocalFiles::open(dir.path()).unwrap();
    let result = sink.write(&route(), &[email(2)]).await;
    assert!(matches!(result, Err(SinkError::Corrupt { .. })), "{result:?}");
}

#[tokio::test]
async fn a_retry_request_reaches_the_running_process_once() {
    let (dir, sink) = open();
    let command = LocalFiles::open_read_only(dir.path()).unwrap();
    assert!(command.request_quarantine_retry(&route()).is_err(), "the route has no state yet");
    sink.quarantine(&route(), &[set_aside(1)]).await.unwrap();
    assert!(!sink.take_retry_request(&route()).unwrap());
    command.request_quarantine_retry(&route()).unwrap();
    command.request_quarantine_retry(&route()).unwrap();
    assert!(sink.take_retry_request(&route()).unwrap());
    assert!(!sink.take_retry_request(&route()).unwrap());
}

#[tokio::test]
async fn a_reader_changes_nothing() {
    let (dir, _sink) = open();
    let reader = LocalFiles::open_read_only(dir.path()).unwrap();
    let err = reader.write(&route(), &[email(1)]).await.unwrap_err();
    assert!(Chain(&err).to_string().contains("reading only"));
    assert_eq!(err.advice(), SinkAdvice::Retry { after: None });
    assert_eq!(reader.ledger(&route()).unwrap().count(), 0);
    assert_eq!(reader.stored(&route()).unwrap().count(), 0);
    assert!(!dir.path().join("data/owner").exists());
}

#[tokio::test]
async fn a_spooled_body_that_was_cut_is_not_stored() {
    let (dir, sink) = open();
    let spool = tempfile::tempfile().unwrap();
    spool.set_len(100).unwrap();
    let mut cut = email(1);
    cut.body = Body::Spool { file: Arc::new(spool), size: 101 };
    let result = sink.write(&route(), &[email(2), cut]).await;
    assert!(matches!(result, Err(SinkError::Unwritable { .. })), "{result:?}");
    let data = Layout::new(dir.path()).data_dir(&route());
    assert_eq!(fs::read_dir(data).unwrap().count(), 0, "half a batch was left");
}
