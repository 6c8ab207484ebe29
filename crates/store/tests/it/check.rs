//! What `fsck` finds, names and repairs, and what a sweep removes while others write.

use std::{fs, path::Path, sync::Arc};

use store::{AUDIO, FindingKind, NeededBy, Repair, Report, Session, SourceDetails, Store};

use crate::{
    backup::{email, fill, large},
    contract::{Opened, postgres, read, sqlite},
};

async fn check(store: &Store, repair: Repair<'_>) -> Report {
    store.check(repair, &|_| ()).await.unwrap()
}

/// The name of the file of a content.
fn file(hash: &str) -> String {
    format!("{}/{hash}", &hash[..2])
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
    opened.plant(&file(&damaged), &opened.kept(&file(&missing)).unwrap());
    opened.lose(&file(&missing));
    let notes = format!("{}/notes.txt", &missing[..2]);
    opened.plant(&notes, b"mine");
    let report = check(store, Repair::default()).await;
    assert!(report.is_damaged());
    let found: Vec<_> =
        report.findings.iter().map(|own| (own.kind, &*own.what, own.needed_by.clone())).collect();
    assert_eq!(found.len(), 3, "{found:?}");
    let expect = |kind, what: &str, emails: Vec<String>| {
        let needed_by = NeededBy { emails, comments: Vec::new() };
        assert!(found.contains(&(kind, what, needed_by)), "{found:?}");
    };
    expect(FindingKind::DamagedContent, &damaged, vec!["p/mail <2>".to_owned()]);
    expect(FindingKind::MissingContent, &missing, vec!["p/mail <9>".to_owned()]);
    let strange = format!("{}/{notes}", store.contents().place());
    expect(FindingKind::StrangeFile, &strange, Vec::new());
    // Without a backup, what is damaged is set aside and stays a loss.
    let report = check(store, Repair { wanted: true, from: None }).await;
    assert!(report.is_damaged());
    assert!(opened.kept(&file(&damaged)).is_none());
    assert!(opened.kept(&format!("damaged/{damaged}")).is_some());
    let report = check(store, Repair { wanted: true, from: Some(&backup) }).await;
    assert_eq!(report.counts[&FindingKind::MissingContent], (2, 2), "{report:?}");
    assert!(!report.is_damaged());
    let mut session = store.read().await.unwrap();
    assert!(read(&mut session, &damaged).await == large(1));
    assert!(read(&mut session, &missing).await == large(9));
}

pub(crate) async fn what_a_crash_left_is_found_and_swept(opened: Opened) {
    let store = &opened.store;
    fill(store).await;
    let left = file(&"ab".repeat(32));
    opened.plant(&left, b"left behind");
    let report = check(store, Repair::default()).await;
    assert_eq!(report.counts[&FindingKind::Unused], (1, 0));
    assert!(!report.is_damaged(), "nothing is lost");
    assert!(opened.kept(&left).is_some(), "a look changes nothing");
    let swept = check(store, Repair { wanted: true, from: None }).await.swept.unwrap();
    assert_eq!((swept.files, swept.bytes), (1, 11));
    assert!(opened.kept(&left).is_none());
    assert_eq!(check(store, Repair::default()).await.findings, []);
}

pub(crate) async fn what_comments_need_is_named(opened: Opened) {
    let store = &opened.store;
    fill(store).await;
    let mut staging = store.staging();
    let mut content = staging.begin();
    content.write(large(3).as_bytes()).unwrap();
    let content = content.finish().unwrap();
    let mut session = store.write().await.unwrap();
    let source = session.create_source("p", "calls", SourceDetails::default()).await.unwrap();
    for place in [0, AUDIO] {
        session.put_comment_attachment(&source.id, "c1", place, &content).await.unwrap();
    }
    session.commit().await.unwrap();
    opened.lose(&file(content.hash()));
    let report = check(store, Repair::default()).await;
    let [found] = &report.findings[..] else { panic!("{report:?}") };
    let comments = vec!["p/calls c1".to_owned()];
    assert_eq!(found.needed_by, NeededBy { emails: Vec::new(), comments });
    let home = tempfile::tempdir().unwrap();
    let made = store.back_up(home.path(), &|_| ()).await.unwrap();
    assert_eq!(made.damaged[0].1, found.needed_by);
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
        let text =
            format!("{} {}", found.what, found.needed_by.names().collect::<Vec<_>>().join(" "));
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

macro_rules! everywhere {
    ($($case:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$case(super::sqlite().await).await; })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$case(super::postgres().await).await; })+
        }
        mod in_a_container {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$case(crate::container::on_azurite().await).await; })+
        }
    };
}

everywhere!(
    nothing_is_found_where_nothing_is_wrong,
    damage_is_named_and_repaired_from_a_backup,
    what_a_crash_left_is_found_and_swept,
    a_sweep_takes_nothing_from_uploads_under_way,
    what_comments_need_is_named,
);
