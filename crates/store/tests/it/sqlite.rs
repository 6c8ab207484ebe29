//! What only the embedded database has: a file that outlives versions and can be tampered with.

use std::{path::Path, sync::Arc};

use record::clock::SystemClock;
use serde_json::json;
use sqlx::{AnyConnection, Connection};
use store::{Actor, Store, StoreError};

async fn open(folder: &Path) -> Result<Store, StoreError> {
    Store::open(folder, Arc::new(SystemClock)).await
}

/// Does something to the file that the store would not.
async fn tamper(folder: &Path, sql: &'static str) {
    let url = format!("sqlite://{}", folder.join("tributary.db").display());
    let mut connection = AnyConnection::connect(&url).await.unwrap();
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_database_of_a_later_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.unwrap().close().await;
    open(folder.path()).await.unwrap().close().await;
    tamper(folder.path(), "INSERT INTO schema_versions VALUES (99, 0)").await;
    let refused = open(folder.path()).await.err().unwrap();
    assert!(matches!(refused, StoreError::TooNew { found: 99, .. }), "{refused:?}");
    assert!(refused.hint().is_some());
}

#[tokio::test]
async fn an_audit_event_that_was_changed_or_removed_is_found() {
    let actor = Actor {
        user_id: "01".to_owned(),
        username: "bob".to_owned(),
        email: "bob@example.com".to_owned(),
        address: "local".to_owned(),
    };
    for sql in [
        "UPDATE audit_events SET details = '{\"number\":9}' WHERE number = 2",
        "UPDATE audit_events SET at = at + 1 WHERE number = 3",
        "DELETE FROM audit_events WHERE number = 2",
        "DELETE FROM audit_events WHERE number = 3",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await.unwrap();
        let mut session = store.write().await.unwrap();
        for number in 1..4 {
            session.audit(&actor, "event", &[], json!({ "number": number })).await.unwrap();
        }
        session.commit().await.unwrap();
        store.close().await;
        tamper(folder.path(), sql).await;
        let store = open(folder.path()).await.unwrap();
        let mut session = store.read().await.unwrap();
        assert!(session.first_forged_event().await.unwrap().is_some(), "{sql}");
    }
}

#[tokio::test]
async fn the_folder_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a?b%20c");
    let store = open(&path).await.unwrap();
    assert!(path.join("tributary.db").exists());
    for place in [path.clone(), path.join("contents")] {
        assert_eq!(std::fs::metadata(place).unwrap().permissions().mode() & 0o777, 0o700);
    }
    store.close().await;
}

/// What version 0.1.0 left with tables of version 1: `tributary serve`, one bucket, three emails,
/// two of them with the same content.
fn of_version_1(folder: &Path) {
    let packed = include_bytes!("../data/version-1.db.gz");
    let mut file = std::fs::File::create(folder.join("tributary.db")).unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(&packed[..]), &mut file).unwrap();
}

/// Emails of an earlier version become comments as new ones do.
async fn wait_in_the_queue_of_a_new_source(session: &mut store::Session, bucket: &str) {
    let details = store::SourceDetails { bucket_id: Some(bucket.to_owned()), ..Default::default() };
    let source = session.create_source("acme", "letters", details).await.unwrap();
    assert_eq!(session.conversion(&source.id).await.unwrap().waiting, 3);
}

#[tokio::test]
async fn a_database_of_an_earlier_version_is_brought_forward_with_all_that_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    of_version_1(folder.path());
    let store = open(folder.path()).await.unwrap();
    let mut session = store.write().await.unwrap();
    let bucket = session.bucket("acme", "mail").await.unwrap().unwrap();
    for (id, text) in [
        ("<1@example.com>", "Subject: small\r\n\r\nGrüße\r\n"),
        ("<2@example.com>", "Subject: small\r\n\r\nGrüße\r\n"),
        ("<3@example.com>", "Subject: third\r\n\r\nThree\r\n"),
    ] {
        let email = session.email(&bucket.id, id).await.unwrap().unwrap();
        assert_eq!(crate::contract::read(&mut session, &email.hash).await, text);
    }
    assert_eq!(session.users().await.unwrap().len(), 2);
    // There are no comments yet, so that the index has all of them.
    assert_eq!(session.search_progress().await.unwrap(), store::SearchProgress::Complete);
    wait_in_the_queue_of_a_new_source(&mut session, &bucket.id).await;
    let new = crate::backup::email(&store, "<4>", "new");
    session.put_emails(&bucket.id, vec![new], false).await.unwrap();
    assert_eq!(session.email(&bucket.id, "<4>").await.unwrap().unwrap().number, 4);
    session.commit().await.unwrap();
    let report = store.check(store::Repair::default(), &|_| ()).await.unwrap();
    assert_eq!(report.findings, []);
    store.close().await;
    // Once it is forward, nothing is done again.
    open(folder.path()).await.unwrap().close().await;
}

fn opening(folder: &Path, version: store::Version) -> store::Opening<'_> {
    let clock = Arc::new(SystemClock);
    store::Opening { database: None, folder, contents: None, clock, version }
}

#[tokio::test]
async fn a_backup_of_an_earlier_version_is_restored_and_brought_forward() {
    let folder = tempfile::tempdir().unwrap();
    of_version_1(folder.path());
    // The tables stay as they are: who makes a backup may be about to go back.
    let store = Store::with(opening(folder.path(), store::Version::AnyKnown)).await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let made = store.back_up(home.path(), &|_| ()).await.unwrap();
    store.close().await;
    assert_eq!(store::Manifest::read(&made.folder).unwrap().schema, 1);
    let url = tokio::task::spawn_blocking(|| testkit::postgres::postgres().new_database());
    let url = store::DatabaseUrl::parse(&url.await.unwrap()).unwrap();
    for database in [None, Some(&url)] {
        let target = folder.path().join(format!("restored-{}", database.is_some()));
        let clock = Arc::new(SystemClock);
        let place = store::Place { folder: &target, database, contents: None, clock };
        store::restore(home.path(), place, &|_| ()).await.unwrap();
        let opening = store::Opening { database, ..opening(&target, store::Version::Newest) };
        let store = Store::with(opening).await.unwrap();
        let mut session = store.write().await.unwrap();
        let bucket = session.bucket("acme", "mail").await.unwrap().unwrap();
        assert_eq!(session.count_emails(&bucket.id).await.unwrap(), 3);
        wait_in_the_queue_of_a_new_source(&mut session, &bucket.id).await;
        session.commit().await.unwrap();
        let report = store.check(store::Repair::default(), &|_| ()).await.unwrap();
        assert_eq!(report.findings, []);
        store.close().await;
    }
}

#[tokio::test]
async fn tables_of_an_earlier_version_are_not_changed_by_those_who_only_look() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.unwrap().close().await;
    tamper(folder.path(), "UPDATE schema_versions SET version = 0 WHERE version = 1").await;
    tamper(folder.path(), "DELETE FROM schema_versions WHERE version > 0").await;
    let refused = Store::with(opening(folder.path(), store::Version::AsItIs)).await.err().unwrap();
    assert!(matches!(refused, StoreError::TooOld { found: 0, .. }), "{refused:?}");
}
