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
