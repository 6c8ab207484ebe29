//! What `fsck` finds, names and repairs, and what a sweep removes while others write.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use store::{FindingKind, Repair, Report, Session, Store};

use crate::{
    backup::{email, fill, large},
    contract::{Opened, postgres, read, sqlite},
};

async fn check(store: &Store, repair: Repair<'_>) -> Report {
    store.check(repair, &|_| ()).await.unwrap()
}

/// The file of a content.
fn file(opened: &Opened, hash: &str) -> PathBuf {
    opened.folder.path().join("contents").join(&hash[..2]).join(hash)
}

async fn hash(session: &mut Session, bucket: &str, id: &str) -> String {
    session.email(bucket, id).await.unwrap().unwrap().hash
}

pub(crate) async fn nothing_is_found_where_nothing_is_wrong(opened: Opened) {
    fill(&opened.store).await;
    let report = check(&opened.store, Repair::default()).await;
    assert_eq!(report.findings, []);
    assert_eq!((report.contents, report.files), (4, 2));
    assert!(!report.is_damaged());
}

pub(crate) async fn damage_is_named_and_repaired_from_a_backup(opened: Opened) {
    let store = &opened.store;
    let bucket = fill(store).await;
    let mut session = store.write().await.unwrap();
    let new = vec![email(store, "<9>", &large(9))];
    session.put_emails(&bucket, new, false).await.unwrap();
    session.commit().await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let backup = store.back_up(home.path(), &|_| ()).await.unwrap().folder;
    let mut session = store.read().await.unwrap();
    let damaged = hash(&mut session, &bucket, "<2>").await;
    let missing = hash(&mut session, &bucket, "<9>").await;
    session.commit().await.unwrap();
    // Another content under this name, as a disk that mixes up blocks leaves it.
    fs::copy(file(&opened, &missing), file(&opened, &damaged)).unwrap();
    fs::remove_file(file(&opened, &missing)).unwrap();
    fs::write(file(&opened, &missing).with_file_name("notes.txt"), "mine").unwrap();
    let report = check(store, Repair::default()).await;
    assert!(report.is_damaged());
    let found: Vec<_> =
        report.findings.iter().map(|own| (own.kind, &*own.what, own.emails.clone())).collect();
    assert_eq!(found.len(), 3, "{found:?}");
    let expect = |kind, what: &str, emails: Vec<String>| {
        assert!(found.contains(&(kind, what, emails)), "{found:?}");
    };
    expect(FindingKind::DamagedContent, &damaged, vec!["p/mail <2>".to_owned()]);
    expect(FindingKind::MissingContent, &missing, vec!["p/mail <9>".to_owned()]);
    let strange = file(&opened, &missing).with_file_name("notes.txt").display().to_string();
    expect(FindingKind::StrangeFile, &strange, Vec::new());
    // Without a backup, what is damaged is set aside and stays a loss.
    let report = check(store, Repair { wanted: true, from: None }).await;
    assert!(report.is_damaged());
    assert!(!file(&opened, &damaged).exists());
    assert!(opened.folder.path().join("contents/damaged").join(&damaged).exists());
    let report = check(store, Repair { wanted: true, from: Some(&backup) }).await;
    assert_eq!(report.counts[&FindingKind::MissingContent], (2, 2), "{report:?}");
    assert!(!report.is_damaged());
    let mut session = store.read().await.unwrap();
    assert!(read(&mut session, &damaged).await == large(1));
    assert!(read(&mut session, &missing).await == large(9));
}

fn orphan(opened: &Opened, name: &str) -> PathBuf {
    let path = file(opened, name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "left behind").unwrap();
    path
}

pub(crate) async fn what_a_crash_left_is_found_and_swept(opened: Opened) {
    let store = &opened.store;
    fill(store).await;
    let left = orphan(&opened, &"ab".repeat(32));
    let report = check(store, Repair::default()).await;
    assert_eq!(report.counts[&FindingKind::Unused], (1, 0));
    assert!(!report.is_damaged(), "nothing is lost");
    assert!(left.exists(), "a look changes nothing");
    let swept = check(store, Repair { wanted: true, from: None }).await.swept.unwrap();
    assert_eq!((swept.files, swept.bytes), (1, 11));
    assert!(!left.exists());
    assert_eq!(check(store, Repair::default()).await.findings, []);
}

/// Large emails come and go under the same contents, while sweeps run.
pub(crate) async fn a_sweep_takes_nothing_from_uploads_under_way(opened: Opened) {
    let store = &opened.store;
    let bucket = fill(store).await;
    let write = |writer: u64| {
        let (store, bucket) = (store.clone(), bucket.clone());
        tokio::spawn(async move {
            for round in 0..12 {
                let id = format!("<{writer}@sweep>");
                let text = large(100 + (writer + round) % 3);
                loop {
                    let mut session = store.write().await.unwrap();
                    let new = vec![email(&store, &id, &text)];
                    // On PostgreSQL, somebody may be in the way.
                    let put = session.put_emails(&bucket, new, false).await;
                    if put.is_ok() && session.commit().await.is_ok() {
                        break;
                    }
                }
                let mut session = store.read().await.unwrap();
                let hash = hash(&mut session, &bucket, &id).await;
                assert!(read(&mut session, &hash).await == text, "{id} is not what was sent");
                session.commit().await.unwrap();
            }
        })
    };
    let writers: Vec<_> = (0..4).map(write).collect();
    while writers.iter().any(|writer| !writer.is_finished()) {
        store.sweep().await.unwrap();
    }
    for writer in writers {
        writer.await.unwrap();
    }
    store.sweep().await.unwrap();
    assert_eq!(check(store, Repair::default()).await.findings, []);
}

async fn tamper(folder: &Path, sql: &'static str) {
    use sqlx::Connection;
    let url = format!("sqlite://{}", folder.join("tributary.db").display());
    let mut connection = sqlx::AnyConnection::connect(&url).await.unwrap();
    sqlx::query("PRAGMA foreign_keys = OFF").execute(&mut connection).await.unwrap();
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn what_was_done_to_the_database_is_found() {
    let table = [
        (
            "UPDATE contents SET body = X'4B04' WHERE size = 3",
            FindingKind::DamagedContent,
            "p/mail",
        ),
        ("DELETE FROM contents WHERE size = 3", FindingKind::MissingContent, "p/mail <1>"),
        ("DELETE FROM projects", FindingKind::Reference, "`projects`"),
        ("UPDATE audit_events SET kind = 'x' WHERE number = 2", FindingKind::Audit, "event"),
        ("DELETE FROM emails WHERE id = '<2>'", FindingKind::Unused, ""),
    ];
    for (sql, kind, told) in table {
        let opened = sqlite().await;
        fill(&opened.store).await;
        tamper(opened.folder.path(), sql).await;
        let report = check(&opened.store, Repair::default()).await;
        let found = report.findings.iter().find(|found| found.kind == kind);
        let found = found.unwrap_or_else(|| panic!("{sql}: {report:?}"));
        let text = format!("{} {}", found.what, found.emails.join(" "));
        assert!(text.contains(told), "{sql}: {text}");
        assert_eq!(report.is_damaged(), kind != FindingKind::Unused, "{sql}");
    }
}

#[tokio::test]
async fn a_broken_file_of_the_database_is_found() {
    let opened = sqlite().await;
    let bucket = fill(&opened.store).await;
    let many = (0..400).map(|n| email(&opened.store, &format!("<{n}@x>"), &format!("{n}")));
    let mut session = opened.store.write().await.unwrap();
    session.put_emails(&bucket, many.collect(), false).await.unwrap();
    session.commit().await.unwrap();
    opened.store.close().await;
    let path = opened.folder.path().join("tributary.db");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    // Pages of tables and indices in the middle; the first ones say what there is.
    bytes[end / 2..end / 2 + 40_000].fill(0x55);
    fs::write(&path, bytes).unwrap();
    let clock = Arc::new(record::clock::SystemClock);
    let store = Store::open(opened.folder.path(), clock).await.unwrap();
    let report = check(&store, Repair::default()).await;
    assert!(report.findings.iter().any(|found| found.kind == FindingKind::Database), "{report:?}");
    assert!(report.is_damaged());
}

macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$case(super::sqlite().await).await; })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$case(super::postgres().await).await; })+
        }
    };
}

on_both!(
    nothing_is_found_where_nothing_is_wrong,
    damage_is_named_and_repaired_from_a_backup,
    what_a_crash_left_is_found_and_swept,
    a_sweep_takes_nothing_from_uploads_under_way,
);
