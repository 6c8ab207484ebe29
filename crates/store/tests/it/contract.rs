//! What a store does, on whatever database.

use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use record::clock::SystemClock;
use serde_json::json;
use store::{
    Actor, AuditQuery, Bucket, EmailQuery, Expected, Holder, NewEmail, NewProject, NewToken,
    NewUser, Session, Store, StoreError, SyncState,
};
use tempfile::TempDir;

use crate::container::Outside;

pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) folder: TempDir,
    /// For those who go around the store.
    pub(crate) url: String,
    /// Where its contents are, unless they are in the folder.
    pub(crate) outside: Option<Outside>,
}

impl Opened {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("contents").join(name)
    }

    /// What is kept under a name, such as `ab/abcdef…`.
    pub(crate) fn kept(&self, name: &str) -> Option<Vec<u8>> {
        match &self.outside {
            Some(outside) => outside.get(name),
            None => fs::read(self.path(name)).ok(),
        }
    }

    /// Puts something under a name, as somebody who goes around the store.
    pub(crate) fn plant(&self, name: &str, bytes: &[u8]) {
        let Some(outside) = &self.outside else {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            // Beside it: a backup may have the same file under another name.
            fs::remove_file(&path).unwrap_or_default();
            return fs::write(path, bytes).unwrap();
        };
        outside.set(name, bytes);
    }

    /// Takes away what is under a name.
    pub(crate) fn lose(&self, name: &str) {
        match &self.outside {
            Some(outside) => outside.remove(name),
            None => fs::remove_file(self.path(name)).unwrap(),
        }
    }
}

pub(crate) async fn sqlite() -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Arc::new(SystemClock)).await.unwrap();
    let url = format!("sqlite://{}", folder.path().join("tributary.db").display());
    Opened { store, folder, url, outside: None }
}

pub(crate) async fn postgres() -> Opened {
    let database = || testkit::postgres::postgres().new_database();
    let url = tokio::task::spawn_blocking(database).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::connect(&url, folder.path(), Arc::new(SystemClock)).await.unwrap();
    Opened { store, folder, url, outside: None }
}

pub(crate) async fn bucket(session: &mut Session, project: &str) -> Bucket {
    let new = NewProject { name: project.to_owned(), ..NewProject::default() };
    session.create_project(new).await.unwrap();
    session.create_bucket(project, "mail", "Mail").await.unwrap()
}

pub(crate) fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000 + second, 0).unwrap()
}

pub(crate) fn email(store: &Store, number: i64, text: &str) -> NewEmail {
    let mut staging = store.staging();
    let mut content = staging.begin();
    content.write(text.as_bytes()).unwrap();
    NewEmail {
        id: format!("<{number}@example.com>"),
        mailbox: format!("{}@example.com", number % 2),
        sent_at: at(number),
        metadata: Some("{}".to_owned()),
        attachments: "[]".to_owned(),
        content: content.finish().unwrap(),
    }
}

pub(crate) async fn read(session: &mut Session, hash: &str) -> String {
    let mut content = session.content(hash).await.unwrap();
    let (mut whole, mut piece) = (Vec::new(), [0; 7]);
    loop {
        let read = content.read(&mut piece).unwrap();
        if read == 0 {
            return String::from_utf8(whole).unwrap();
        }
        whole.extend_from_slice(&piece[..read]);
    }
}

pub(crate) async fn emails_are_replaced_under_their_ids_and_listed_once(opened: Opened) {
    let store = &opened.store;
    let mut session = store.write().await.unwrap();
    let bucket = bucket(&mut session, "p").await;
    let emails = (0..20).map(|number| email(store, number, &format!("text {number}"))).collect();
    session.put_emails(&bucket.id, emails, false).await.unwrap();
    let again =
        vec![email(store, 3, "text 3"), email(store, 4, "changed"), email(store, 4, "last")];
    session.put_emails(&bucket.id, again, true).await.unwrap();
    session.commit().await.unwrap();
    let mut session = store.read().await.unwrap();
    let four = session.email(&bucket.id, "<4@example.com>").await.unwrap().unwrap();
    assert_eq!((four.writes, four.content_changes), (3, 2));
    assert_eq!(read(&mut session, &four.hash).await, "last");
    let three = session.email(&bucket.id, "<3@example.com>").await.unwrap().unwrap();
    assert_eq!((three.writes, three.content_changes), (2, 0));
    assert_eq!(session.count_emails(&bucket.id).await.unwrap(), 20);
    let odd = Some("1@example.com".to_owned());
    let table = [
        (EmailQuery::default(), (0..20).collect::<Vec<i64>>()),
        (EmailQuery { by_time: true, ..EmailQuery::default() }, (0..20).collect()),
        (
            EmailQuery { by_time: true, mailbox: odd.clone(), ..EmailQuery::default() },
            (1..20).step_by(2).collect(),
        ),
        (
            EmailQuery {
                by_time: true,
                from: Some(at(5)),
                to: Some(at(9)),
                mailbox: odd,
                ..EmailQuery::default()
            },
            vec![5, 7],
        ),
    ];
    for (query, expected) in table {
        let mut wanted = EmailQuery { limit: 3, ..query };
        let mut seen = Vec::new();
        loop {
            let page = session.emails(&bucket.id, &wanted).await.unwrap();
            let Some(last) = page.last() else { break };
            wanted.after = Some(last.place());
            seen.extend(page.into_iter().map(|email| email.id));
        }
        let expected: Vec<_> = expected.iter().map(|n| format!("<{n}@example.com>")).collect();
        assert_eq!(seen, expected, "{wanted:?}");
    }
}

pub(crate) async fn a_content_is_kept_as_long_as_somebody_needs_it(opened: Opened) {
    let store = &opened.store;
    let mut session = store.write().await.unwrap();
    let (one, two) = (bucket(&mut session, "p").await, bucket(&mut session, "q").await);
    for bucket in [&one, &two] {
        session.put_emails(&bucket.id, vec![email(store, 1, "same")], false).await.unwrap();
    }
    let hash = session.email(&one.id, "<1@example.com>").await.unwrap().unwrap().hash;
    session.delete_emails(&one.id, &["<1@example.com>".to_owned()]).await.unwrap();
    session.commit().await.unwrap();
    let mut session = store.write().await.unwrap();
    assert_eq!(read(&mut session, &hash).await, "same");
    session.delete_bucket(&two.id).await.unwrap();
    session.commit().await.unwrap();
    let mut session = store.read().await.unwrap();
    assert!(matches!(session.content(&hash).await, Err(StoreError::Damaged { .. })));
    assert_eq!(session.bucket_by_id(&two.id).await.unwrap(), None);
}

pub(crate) async fn what_is_not_committed_was_never_there(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    bucket(&mut session, "p").await;
    drop(session);
    let mut session = opened.store.write().await.unwrap();
    assert_eq!(session.projects().await.unwrap(), []);
    assert_eq!(session.buckets().await.unwrap(), []);
}

pub(crate) async fn a_conditional_write_loses_to_a_faster_one(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    let bucket = bucket(&mut session, "p").await;
    let state = |text: &str| SyncState {
        state: text.to_owned(),
        progress_at: None,
        synced_at: Some(at(0)),
        version: 0,
    };
    let table = [
        (Expected::Something, "a", None),
        (Expected::Version(1), "a", None),
        (Expected::Nothing, "b", Some(1)),
        (Expected::Nothing, "c", None),
        (Expected::Version(1), "d", Some(2)),
        (Expected::Version(1), "e", None),
        (Expected::Anything, "f", Some(3)),
        (Expected::Something, "g", Some(4)),
    ];
    for (expected, text, version) in table {
        let written = session.put_sync_state(&bucket.id, state(text), expected).await;
        match version {
            Some(version) => assert_eq!(written.unwrap(), version, "{text}"),
            None => assert!(matches!(written, Err(StoreError::Changed { .. })), "{text}"),
        }
    }
    let held = session.sync_state(&bucket.id).await.unwrap().unwrap();
    assert_eq!((held.state.as_str(), held.version, held.synced_at), ("g", 4, Some(at(0))));
}

async fn user(session: &mut Session, name: &str) -> String {
    let new = NewUser { username: name.to_owned(), email: format!("{name}@example.com") };
    session.create_user(new).await.unwrap().id
}

pub(crate) async fn tokens_end_when_they_are_told_to(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    let user = user(&mut session, "bob").await;
    let now = session.now();
    let new = |expires_at| NewToken { user_id: user.clone(), expires_at, ..NewToken::default() };
    let (id, lasting) = session.create_token(new(None)).await.unwrap();
    let (_, later) = session.create_token(new(Some(now + TimeDelta::hours(1)))).await.unwrap();
    let (_, expired) = session.create_token(new(Some(now))).await.unwrap();
    for (token, valid) in [(&lasting, true), (&later, true), (&expired, false)] {
        assert_eq!(session.grant(token).await.unwrap().is_some(), valid);
    }
    assert!(session.grant(&"tri_none".into()).await.unwrap().is_none());
    assert!(session.revoke_token(&id).await.unwrap());
    assert!(!session.revoke_token(&id).await.unwrap());
    assert!(session.grant(&lasting).await.unwrap().is_none());
    let listed = session.tokens().await.unwrap();
    assert!(listed.iter().all(|token| lasting.reveal().len() > 4 * token.shown.len()));
    session.delete_user(&user).await.unwrap();
    assert!(session.grant(&later).await.unwrap().is_none());
}

pub(crate) async fn permissions_go_with_users_and_projects(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    let bucket = bucket(&mut session, "p").await;
    let id = user(&mut session, "bob").await;
    let set =
        |names: &[&str]| -> BTreeSet<String> { names.iter().map(|&n| n.to_owned()).collect() };
    let project = Holder::Project(&bucket.project_id);
    session.set_permissions(&id, project, &set(&["a", "b"])).await.unwrap();
    session.set_permissions(&id, project, &set(&["b", "c"])).await.unwrap();
    session.set_permissions(&id, Holder::Everywhere, &set(&["root"])).await.unwrap();
    let bob = session.user(&id).await.unwrap().unwrap();
    assert_eq!((bob.global, &bob.projects["p"]), (set(&["root"]), &set(&["b", "c"])));
    session.delete_bucket(&bucket.id).await.unwrap();
    session.delete_project(&bucket.project_id).await.unwrap();
    assert!(session.user(&id).await.unwrap().unwrap().projects.is_empty());
}

pub(crate) async fn names_are_each_one_things(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    bucket(&mut session, "p").await;
    user(&mut session, "bob").await;
    let exists = |result: Result<(), StoreError>| {
        assert!(matches!(result, Err(StoreError::Exists { .. })), "{result:?}");
    };
    let new = NewProject { name: "p".to_owned(), ..NewProject::default() };
    exists(session.create_project(new).await.map(drop));
    exists(session.create_bucket("p", "mail", "").await.map(drop));
    for (username, email) in [("bob", "other@example.com"), ("rob", "bob@example.com")] {
        let new = NewUser { username: username.to_owned(), email: email.to_owned() };
        exists(session.create_user(new).await.map(drop));
    }
    // Names that differ in case only are two, and sort as bytes do.
    bucket(&mut session, "P").await;
    bucket(&mut session, "_").await;
    let names: Vec<_> = session.projects().await.unwrap().into_iter().map(|own| own.name).collect();
    assert_eq!(names, ["P", "_", "p"]);
}

pub(crate) async fn configurations_keep_their_history(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    let project = bucket(&mut session, "p").await.project_id;
    for content in [&b"1"[..], b"2", b"2", b"\x00\xff"] {
        session.put_config(&project, "c", content, "bob").await.unwrap();
    }
    session.put_config(&project, "b", b"other", "rob").await.unwrap();
    let history = session.config_history(&project, "c", None, 2).await.unwrap();
    let versions: Vec<_> = history.iter().map(|own| (own.version, own.size)).collect();
    assert_eq!(versions, [(3, 2), (2, 1)]);
    let rest = session.config_history(&project, "c", Some(2), 2).await.unwrap();
    assert_eq!(rest.iter().map(|own| own.version).collect::<Vec<_>>(), [1]);
    let last = session.config_version(&project, "c", 3).await.unwrap();
    assert_eq!(last.as_ref().map(|own| &*own.content), Some(&b"\x00\xff"[..]));
    assert_eq!(session.config(&project, "c").await.unwrap(), last);
    assert_eq!(session.config_version(&project, "c", 4).await.unwrap(), None);
    assert_eq!(session.config(&project, "d").await.unwrap(), None);
    let current = session.configs(&project).await.unwrap();
    let current: Vec<_> = current.iter().map(|own| (&*own.name, own.version)).collect();
    assert_eq!(current, [("b", 1), ("c", 3)]);
}

pub(crate) async fn quotas_count_what_there_is(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    bucket(&mut session, "p").await;
    let mut quota = session.quotas().await.unwrap().remove(0);
    assert_eq!((quota.kind, quota.used), ("buckets", 1));
    (quota.hard_limit, quota.auto_increase_up_to) = (7, Some(9));
    session.set_quota(&quota).await.unwrap();
    assert_eq!(session.quotas().await.unwrap().remove(0), quota);
    assert_eq!(quota.limit(), 9);
    for quota in session.quotas().await.unwrap() {
        assert_eq!(session.quota(quota.kind).await.unwrap(), Some(quota));
    }
    assert_eq!(session.quota("none").await.unwrap(), None);
}

pub(crate) async fn the_audit_chain_shows_what_was_changed(opened: Opened) {
    let actor = Actor {
        user_id: "01".to_owned(),
        username: "bob".to_owned(),
        email: "bob@example.com".to_owned(),
        address: "local".to_owned(),
    };
    let mut session = opened.store.write().await.unwrap();
    for number in 0..5 {
        let details = json!({ "number": number });
        session.audit(&actor, "event", &[("02", "p")], details).await.unwrap();
    }
    session.commit().await.unwrap();
    let mut session = opened.store.read().await.unwrap();
    let query = AuditQuery { after: Some(2), limit: 2, ..AuditQuery::default() };
    let events = session.audit_events(&query).await.unwrap();
    assert_eq!(events.iter().map(|event| &event.details["number"]).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(events[0].actor, actor);
    assert_eq!(events[0].projects, [("02".to_owned(), "p".to_owned())]);
    assert_eq!(session.first_forged_event().await.unwrap(), None);
}

pub(crate) async fn volume_counts_each_email_in_one_span(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    let bucket = bucket(&mut session, "project").await;
    let other = session.create_bucket("project", "other", "Other").await.unwrap();
    let day = |days: i64, micros: i64| {
        DateTime::from_timestamp_micros(days * 86_400_000_000 + micros).unwrap()
    };
    let times = [day(-1, 0), day(20_000, 0), day(20_000, 86_399_999_999), day(20_002, 5)];
    for (number, sent_at) in (0..).zip(times) {
        let new = NewEmail { sent_at, ..email(&opened.store, number, "text") };
        session.put_emails(&bucket.id, vec![new.clone()], false).await.unwrap();
        let elsewhere = NewEmail { sent_at: day(20_001, 0), ..new };
        session.put_emails(&other.id, vec![elsewhere], false).await.unwrap();
    }
    session.commit().await.unwrap();
    let mut session = opened.store.read().await.unwrap();
    let span = TimeDelta::days(1);
    let all = session.volume(&bucket.id, day(-9, 0), day(20_003, 0), span).await.unwrap();
    assert_eq!(all.spans, [(day(20_000, 0), 2), (day(20_002, 0), 1)]);
    assert_eq!(all.range, Some((day(-1, 0), day(20_002, 5))));
    let some = session.volume(&bucket.id, day(20_000, 1), day(20_002, 5), span).await.unwrap();
    assert_eq!(some.spans, [(day(20_000, 0), 1)]);
    let none = session.volume("0000000000000000", day(0, 0), day(1, 0), span).await.unwrap();
    assert_eq!((none.spans, none.range), (Vec::new(), None));
}
