//! Backups: what is restored is what was there, on whatever database, while others write.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::TryStreamExt;
use record::clock::SystemClock;
use serde_json::json;
use sqlx::{AnyConnection, Connection};
use store::{
    Actor, DatabaseUrl, EmailQuery, Holder, NewEmail, NewToken, NewUser, Place, Session, Store,
    StoreError, restore,
};

use crate::contract::{Opened, bucket, postgres, read, sqlite};

/// Larger than what the database holds itself, and not to be compressed.
pub(crate) fn large(seed: u64) -> String {
    let mut state = seed;
    let digit = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b' ' + u8::try_from((state >> 33) % 90).unwrap())
    };
    (0..200_000).map(digit).collect()
}

pub(crate) fn email(store: &Store, id: &str, text: &str) -> NewEmail {
    let mut staging = store.staging();
    let mut content = staging.begin();
    content.write(text.as_bytes()).unwrap();
    NewEmail {
        id: id.to_owned(),
        mailbox: "a@example.com".to_owned(),
        sent_at: chrono::DateTime::from_timestamp(1_790_000_000, 123_456_000).unwrap(),
        metadata: (!id.contains('2')).then(|| "{\"folder\":[\"Größe\"]}".to_owned()),
        attachments: "[]".to_owned(),
        content: content.finish().unwrap(),
    }
}

/// Something in every table that there is an API for.
pub(crate) async fn fill(store: &Store) -> String {
    let mut session = store.write().await.unwrap();
    let bucket = bucket(&mut session, "p").await;
    let emails = vec![
        email(store, "<1>", "one"),
        email(store, "<2>", &large(1)),
        email(store, "<3>", ""),
        email(store, "<4>", "one"),
    ];
    session.put_emails(&bucket.id, emails, false).await.unwrap();
    let mut staging = store.staging();
    let mut content = staging.begin();
    content.write(large(2).as_bytes()).unwrap();
    let content = content.finish().unwrap();
    session.put_attachment(&bucket.id, "<1>", 0, &content).await.unwrap();
    let new = NewUser { username: "bob".to_owned(), email: "bob@example.com".to_owned() };
    let user = session.create_user(new).await.unwrap().id;
    let permissions = ["a".to_owned()].into();
    let holder = Holder::Project(&bucket.project_id);
    session.set_permissions(&user, holder, &permissions).await.unwrap();
    session.set_permissions(&user, Holder::Everywhere, &permissions).await.unwrap();
    let token = NewToken { user_id: user.clone(), ..NewToken::default() };
    session.create_token(token).await.unwrap();
    let actor = Actor {
        user_id: user,
        username: "bob".to_owned(),
        email: "bob@example.com".to_owned(),
        address: "local".to_owned(),
    };
    for number in 0..3 {
        session.audit(&actor, "event", &[], json!({ "number": number })).await.unwrap();
    }
    // The last number is used, although nothing has it any more.
    session.put_emails(&bucket.id, vec![email(store, "<5>", "gone")], false).await.unwrap();
    session.delete_emails(&bucket.id, &["<5>".to_owned()]).await.unwrap();
    session.commit().await.unwrap();
    bucket.id
}

/// Something in the other tables, so that none is compared while it is empty.
async fn fill_the_rest(opened: &Opened, bucket: &str) {
    let mut session = opened.store.write().await.unwrap();
    let project = session.bucket("p", "mail").await.unwrap().unwrap().project_id;
    session.put_config(&project, "config", &[0, 0xff, b'\n'], "bob").await.unwrap();
    assert_eq!(session.count_emails(bucket).await.unwrap(), 4);
    session.commit().await.unwrap();
    let mut connection = AnyConnection::connect(&opened.url).await.unwrap();
    for statement in include_str!("../data/rows.sql").lines().skip(1) {
        let done = sqlx::query(statement).execute(&mut connection).await;
        let done = done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        assert!(done.rows_affected() > 0, "{statement}");
    }
    connection.close().await.unwrap();
}

/// Every row and every content, as a backup has them: they are the same for the same.
fn everything(backup: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![backup.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.display().to_string().contains("manifest.json") {
                let name = path.strip_prefix(backup).unwrap().display().to_string();
                all.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    all
}

async fn back_up(store: &Store, home: &Path) -> PathBuf {
    let made = store.back_up(home, &|_| ()).await.unwrap();
    assert!(made.damaged.is_empty(), "{made:?}");
    made.folder
}

/// An empty place for the same kind of database, or the other one.
async fn empty(on_postgres: bool) -> (tempfile::TempDir, Option<DatabaseUrl>) {
    let url = tokio::task::spawn_blocking(move || {
        on_postgres.then(|| testkit::postgres::postgres().new_database())
    });
    let url = url.await.unwrap().map(|url| DatabaseUrl::parse(&url).unwrap());
    (tempfile::tempdir().unwrap(), url)
}

async fn restored(
    backup: &Path,
    folder: &Path,
    url: Option<&DatabaseUrl>,
) -> Result<Store, StoreError> {
    let clock = Arc::new(SystemClock);
    let place = Place { folder, database: url, contents: None, clock: clock.clone() };
    restore(backup, place, &|_| ()).await?;
    let (contents, version) = (None, store::Version::AsItIs);
    Store::with(store::Opening { database: url, folder, contents, clock, version }).await
}

async fn what_is_restored_is_what_was_there(opened: Opened, onto_postgres: bool) {
    let bucket = fill(&opened.store).await;
    fill_the_rest(&opened, &bucket).await;
    let home = tempfile::tempdir().unwrap();
    let backup = back_up(&opened.store, home.path()).await;
    let (folder, url) = empty(onto_postgres).await;
    let target = folder.path().join("data");
    let store = restored(&backup, &target, url.as_ref()).await.unwrap();
    let again = tempfile::tempdir().unwrap();
    let second = back_up(&store, again.path()).await;
    let (before, after) = (everything(&backup), everything(&second));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (name, bytes) in &before {
        assert!(bytes == &after[name], "{name} differs");
    }
    let tables = |folder: &Path| store::Manifest::read(folder).unwrap().tables;
    assert_eq!(tables(&backup), tables(&second));
    for file in tables(&backup) {
        assert!(file.rows > 0, "a new table needs a row in `data/rows.sql`: `{}`", file.name);
    }
    // It goes on where it was: no number is given twice.
    let mut session = store.write().await.unwrap();
    session.put_emails(&bucket, vec![email(&store, "<6>", "new")], false).await.unwrap();
    let new = session.email(&bucket, "<6>").await.unwrap().unwrap();
    assert_eq!(new.number, 6);
    let large = session.email(&bucket, "<2>").await.unwrap().unwrap().hash;
    assert_eq!(read(&mut session, &large).await, self::large(1));
    session.commit().await.unwrap();
    // Nothing is restored over something.
    let refused = restored(&backup, &target, url.as_ref()).await.err().unwrap();
    assert!(matches!(refused, StoreError::Occupied { .. }), "{refused:?}");
    if onto_postgres {
        let elsewhere = folder.path().join("elsewhere");
        let refused = restored(&backup, &elsewhere, url.as_ref()).await.err().unwrap();
        assert!(matches!(refused, StoreError::Occupied { .. }), "{refused:?}");
        assert!(!elsewhere.exists());
    }
    store.close().await;
}

#[tokio::test]
async fn sqlite_goes_to_sqlite() {
    what_is_restored_is_what_was_there(sqlite().await, false).await;
}

#[tokio::test]
async fn sqlite_goes_to_postgres() {
    what_is_restored_is_what_was_there(sqlite().await, true).await;
}

#[tokio::test]
async fn postgres_goes_to_sqlite() {
    what_is_restored_is_what_was_there(postgres().await, false).await;
}

#[tokio::test]
async fn postgres_goes_to_postgres() {
    what_is_restored_is_what_was_there(postgres().await, true).await;
}

/// Ids and texts of all emails.
async fn emails(session: &mut Session, bucket: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut wanted = EmailQuery { limit: 100, ..EmailQuery::default() };
    loop {
        let page = session.emails(bucket, &wanted).await.unwrap();
        let Some(last) = page.last() else { return found };
        wanted.after = Some(last.place());
        for email in page {
            let text = read(session, &email.hash).await;
            found.insert(email.id, text);
        }
    }
}

/// Uploads pairs, and removes the pair before: in each moment there are as many of the one
/// kind as of the other.
async fn write_on(store: Store, bucket: String, over: Arc<AtomicBool>) -> u64 {
    let mut round = 0;
    while !over.load(Ordering::Relaxed) {
        let mut session = store.write().await.unwrap();
        let pair = vec![
            email(&store, &format!("<{round}@small>"), &format!("text {round}")),
            email(&store, &format!("<{round}@large>"), &large(round + 10)),
        ];
        session.put_emails(&bucket, pair, false).await.unwrap();
        session.commit().await.unwrap();
        let mut session = store.write().await.unwrap();
        if let Some(old) = u64::checked_sub(round, 2) {
            let ids = [format!("<{old}@small>"), format!("<{old}@large>")];
            session.delete_emails(&bucket, &ids).await.unwrap();
        }
        session.commit().await.unwrap();
        round += 1;
    }
    round
}

async fn a_backup_is_one_moment_while_others_write_and_delete(opened: Opened) {
    let store = &opened.store;
    let bucket = fill(store).await;
    let mut session = store.write().await.unwrap();
    let many = (0..12).map(|n| email(store, &format!("<{n}@stays>"), &large(n + 1000)));
    session.put_emails(&bucket, many.collect(), false).await.unwrap();
    session.commit().await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(write_on(store.clone(), bucket.clone(), Arc::clone(&over)));
    let home = tempfile::tempdir().unwrap();
    let mut backups = Vec::new();
    for _ in 0..3 {
        backups.push(back_up(store, home.path()).await);
    }
    over.store(true, Ordering::Relaxed);
    let rounds = writer.await.unwrap();
    assert!(rounds > 3, "nobody wrote meanwhile: {rounds}");
    for backup in &backups {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("data");
        let store = restored(backup, &target, None).await.unwrap();
        let mut session = store.read().await.unwrap();
        let found = emails(&mut session, &bucket).await;
        let of = |kind: &str| -> Vec<u64> {
            let ids = found.keys().filter_map(|id| id.strip_suffix(kind)?.strip_prefix('<'));
            ids.map(|id| id.parse().unwrap()).collect()
        };
        assert_eq!(of("@small>"), of("@large>"), "a pair was torn apart");
        for number in of("@large>") {
            assert!(found[&format!("<{number}@large>")] == large(number + 10));
        }
        assert_eq!(of("@stays>").len(), 12);
        drop(session);
        store.close().await;
    }
    // What was kept from removal is removed by the next sweep, and by nothing before.
    store.sweep().await.unwrap();
    let files = store.contents().list().try_concat().await.unwrap().len();
    // Two of the filling, twelve that stay, and the last two rounds'.
    assert_eq!(files, 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_backup_is_one_moment() {
    a_backup_is_one_moment_while_others_write_and_delete(sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_a_backup_is_one_moment() {
    a_backup_is_one_moment_while_others_write_and_delete(postgres().await).await;
}

#[tokio::test]
async fn the_second_backup_links_what_the_first_has_and_each_is_whole_alone() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let opened = sqlite().await;
    let bucket = fill(&opened.store).await;
    let home = tempfile::tempdir().unwrap();
    let first = opened.store.back_up(home.path(), &|_| ()).await.unwrap();
    assert_eq!((first.copied, first.linked), (4, 0));
    let mut session = opened.store.write().await.unwrap();
    let new = vec![email(&opened.store, "<7>", "seven")];
    session.put_emails(&bucket, new, false).await.unwrap();
    session.commit().await.unwrap();
    // A copy that is damaged in the earlier backup is not passed on.
    let contents = everything(&first.folder);
    let names: Vec<_> = contents.keys().filter(|name| name.starts_with("contents")).collect();
    fs::write(first.folder.join(names[0]), "x").unwrap();
    let second = opened.store.back_up(home.path(), &|_| ()).await.unwrap();
    assert_eq!((second.copied, second.linked), (2, 3));
    let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(first.folder.join(names[1])), inode(second.folder.join(names[1])));
    for place in [&second.folder, &second.folder.join("contents")] {
        assert_eq!(fs::metadata(place).unwrap().permissions().mode() & 0o777, 0o700);
    }
    let file = second.folder.join("tables/tokens.jsonl.gz");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::remove_dir_all(&first.folder).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // The newest of a folder of backups.
    restored(home.path(), &folder.path().join("data"), None).await.unwrap();
}

#[tokio::test]
async fn a_backup_that_was_cut_short_or_damaged_is_recognized_and_named() {
    type Harm = fn(&Path);
    let opened = sqlite().await;
    fill(&opened.store).await;
    let a_content = |backup: &Path| {
        let all = everything(backup);
        backup.join(all.keys().find(|name| name.starts_with("contents")).unwrap())
    };
    let table: [(Harm, &str); 7] = [
        (|backup| fs::remove_file(backup.join("manifest.json")).unwrap(), "no backup"),
        (|backup| fs::remove_file(backup.join("manifest.json.sha256")).unwrap(), "sha256"),
        (
            |backup| {
                let path = backup.join("manifest.json");
                let text = fs::read_to_string(&path).unwrap().replace("\"rows\": 4", "\"rows\": 3");
                fs::write(path, text).unwrap();
            },
            "`manifest.json` is not what",
        ),
        (|backup| fs::write(backup.join("tables/emails.jsonl.gz"), "").unwrap(), "emails.jsonl.gz"),
        (|backup| fs::remove_file(backup.join("tables/users.jsonl.gz")).unwrap(), "users.jsonl.gz"),
        (
            |backup| {
                let all = everything(backup);
                let name = all.keys().find(|name| name.starts_with("contents")).unwrap();
                fs::write(backup.join(name), &all[name][1..]).unwrap();
            },
            "the content",
        ),
        (
            |backup| {
                let all = everything(backup);
                let name = all.keys().find(|name| name.starts_with("contents")).unwrap();
                fs::remove_file(backup.join(name)).unwrap();
            },
            "the content",
        ),
    ];
    for (harm, told) in table {
        let home = tempfile::tempdir().unwrap();
        let backup = back_up(&opened.store, home.path()).await;
        let content = a_content(&backup).file_name().unwrap().display().to_string();
        harm(&backup);
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("data");
        let refused = restored(&backup, &target, None).await.err().unwrap();
        let text = refused.to_string();
        assert!(matches!(refused, StoreError::BadBackup { .. }), "{told}: {refused:?}");
        assert!(text.contains(told) && text.contains(home.path().to_str().unwrap()), "{text}");
        if told == "the content" {
            assert!(text.contains(&content), "{text}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{told}: something is left");
    }
    // One that was cut short is passed over, used for the next one, and then gone.
    let home = tempfile::tempdir().unwrap();
    let backup = back_up(&opened.store, home.path()).await;
    let cut = home.path().join(".unfinished-2020-01-01T000000Z");
    fs::rename(&backup, &cut).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let refused = restored(home.path(), &folder.path().join("data"), None).await.err().unwrap();
    assert!(refused.to_string().contains("cut short"), "{refused}");
    let next = opened.store.back_up(home.path(), &|_| ()).await.unwrap();
    assert_eq!((next.copied, next.linked), (0, 4));
    assert!(!cut.exists());
}

#[tokio::test]
async fn a_backup_of_a_newer_version_is_refused() {
    let opened = sqlite().await;
    let home = tempfile::tempdir().unwrap();
    let backup = back_up(&opened.store, home.path()).await;
    let path = backup.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    for (from, to) in [("\"format\": 1", "\"format\": 2"), ("\"schema\": ", "\"schema\": 9")] {
        let changed = text.replace(from, to);
        let sum = openssl::sha::sha256(changed.as_bytes());
        let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(&path, changed).unwrap();
        fs::write(backup.join("manifest.json.sha256"), format!("{sum}  manifest.json\n")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let refused = restored(&backup, &folder.path().join("data"), None).await.err().unwrap();
        assert!(matches!(refused, StoreError::TooNew { .. }), "{refused:?}");
    }
}

#[tokio::test]
async fn what_is_damaged_already_is_named_and_the_rest_is_saved() {
    let opened = sqlite().await;
    fill(&opened.store).await;
    let damaged = opened.store.contents().list().try_concat().await.unwrap();
    let path = opened.folder.path().join("contents").join(&damaged[0].name[..2]);
    fs::write(path.join(&damaged[0].name), "x").unwrap();
    let home = tempfile::tempdir().unwrap();
    let made = opened.store.back_up(home.path(), &|_| ()).await.unwrap();
    assert_eq!(made.damaged.len(), 1);
    assert_eq!(made.damaged[0].0, damaged[0].name);
    assert!(made.damaged[0].1.emails[0].starts_with("p/mail <"), "{made:?}");
    let folder = tempfile::tempdir().unwrap();
    let store = restored(&made.folder, &folder.path().join("data"), None).await.unwrap();
    let mut session = store.read().await.unwrap();
    let missing = session.content(&damaged[0].name).await;
    assert!(matches!(missing, Err(StoreError::Damaged { .. })));
}
