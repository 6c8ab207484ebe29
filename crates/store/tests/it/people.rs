//! How people come in, on whatever database.

use std::{collections::BTreeSet, time::Duration};

use chrono::TimeDelta;
use store::{Credential, LinkKind, NewProject, NewToken, NewUser, NewWebSession, Session};

use crate::contract::Opened;

async fn user(session: &mut Session, name: &str) -> String {
    let new = NewUser { username: name.to_owned(), email: format!("{name}@Example.com") };
    session.create_user(new).await.unwrap().id
}

fn visit(user: &str, lifetime: TimeDelta) -> NewWebSession {
    NewWebSession {
        user_id: user.to_owned(),
        method: "password",
        address: "192.0.2.1".to_owned(),
        user_agent: "Browser".to_owned(),
        lifetime,
    }
}

pub(crate) async fn sessions_end_when_they_are_told_to(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    let (bob, eve) = (user(&mut session, "bob").await, user(&mut session, "eve").await);
    let (hour, idle) = (TimeDelta::hours(1), TimeDelta::hours(12));
    let (id, secret) = session.create_web_session(visit(&bob, hour)).await.unwrap();
    let (_, other) = session.create_web_session(visit(&bob, hour)).await.unwrap();
    let (_, expired) = session.create_web_session(visit(&bob, TimeDelta::zero())).await.unwrap();
    let grant = session.grant_of_session(&secret, idle).await.unwrap().unwrap();
    assert_eq!((grant.credential, grant.user.id), (Credential::Session(id.clone()), bob.clone()));
    assert!(grant.permissions.is_none() && grant.project.is_none() && !grant.is_stale);
    assert!(session.grant_of_session(&expired, idle).await.unwrap().is_none());
    assert!(session.grant_of_session(&secret, TimeDelta::zero()).await.unwrap().is_none());
    assert!(session.grant(&secret).await.unwrap().is_none());
    assert_eq!(session.web_sessions(&bob, idle).await.unwrap().len(), 2);
    assert!(!session.end_web_session(&eve, &id).await.unwrap());
    assert_eq!(session.end_web_sessions(&bob, Some(&id)).await.unwrap(), 2);
    assert!(session.grant_of_session(&other, idle).await.unwrap().is_none());
    assert!(session.end_web_session(&bob, &id).await.unwrap());
    assert!(session.grant_of_session(&secret, idle).await.unwrap().is_none());
}

pub(crate) async fn one_user_has_not_more_sessions_than_there_may_be(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    let bob = user(&mut session, "bob").await;
    let (hour, idle) = (TimeDelta::hours(1), TimeDelta::hours(12));
    for _ in 0..120 {
        session.create_web_session(visit(&bob, hour)).await.unwrap();
    }
    let (_, last) = session.create_web_session(visit(&bob, hour)).await.unwrap();
    assert_eq!(session.web_sessions(&bob, idle).await.unwrap().len(), 100);
    assert!(session.grant_of_session(&last, idle).await.unwrap().is_some());
}

pub(crate) async fn a_link_is_the_only_one_and_good_once(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    let bob = user(&mut session, "bob").await;
    let hour = TimeDelta::hours(1);
    let (old, _) = session.make_link(&bob, LinkKind::Invitation, hour).await.unwrap();
    let (new, until) = session.make_link(&bob, LinkKind::Reset, hour).await.unwrap();
    assert_eq!(until, session.now() + hour);
    assert!(session.link(&old).await.unwrap().is_none());
    let link = session.link(&new).await.unwrap().unwrap();
    assert_eq!((link.kind, link.user.id.as_str()), (LinkKind::Reset, bob.as_str()));
    session.set_disabled(&bob, true).await.unwrap();
    assert!(session.use_link(&new).await.unwrap().is_none());
    session.set_disabled(&bob, false).await.unwrap();
    assert!(session.use_link(&new).await.unwrap().is_some());
    assert!(session.use_link(&new).await.unwrap().is_none());
    let (late, _) = session.make_link(&bob, LinkKind::Reset, TimeDelta::zero()).await.unwrap();
    assert!(session.link(&late).await.unwrap().is_none());
    assert!(session.drop_link(&bob).await.unwrap() && !session.drop_link(&bob).await.unwrap());
}

pub(crate) async fn a_password_is_replaced_only_where_it_is_the_one_that_was_seen(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    let bob = user(&mut session, "bob").await;
    assert_eq!(session.password(&bob).await.unwrap(), None);
    session.set_password(&bob, &"one".into()).await.unwrap();
    session.set_password(&bob, &"two".into()).await.unwrap();
    for (hash, still) in [("one", false), ("two", true)] {
        assert_eq!(session.still_has_password(&bob, &hash.into()).await.unwrap(), still);
    }
    session.rehash_password(&bob, &"one".into(), &"stale".into()).await.unwrap();
    assert_eq!(session.password(&bob).await.unwrap().unwrap().reveal(), "two");
    session.rehash_password(&bob, &"two".into(), &"three".into()).await.unwrap();
    assert_eq!(session.password(&bob).await.unwrap().unwrap().reveal(), "three");
}

pub(crate) async fn who_is_disabled_has_nothing(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    let bob = user(&mut session, "bob").await;
    let new = NewToken { user_id: bob.clone(), ..NewToken::default() };
    let (_, token) = session.create_token(new).await.unwrap();
    let (_, secret) = session.create_web_session(visit(&bob, TimeDelta::hours(1))).await.unwrap();
    for disabled in [true, false] {
        session.set_disabled(&bob, disabled).await.unwrap();
        assert_eq!(session.grant(&token).await.unwrap().is_none(), disabled);
        let grant = session.grant_of_session(&secret, TimeDelta::hours(1)).await.unwrap();
        assert_eq!(grant.is_none(), disabled);
    }
    assert_eq!(session.count_valid_tokens(&bob).await.unwrap(), 1);
    assert_eq!(session.tokens_of(&bob, 10).await.unwrap().len(), 1);
    assert_eq!(session.revoke_tokens_of(&bob).await.unwrap(), 1);
    assert_eq!(session.revoke_tokens_of(&bob).await.unwrap(), 0);
    assert_eq!(session.count_valid_tokens(&bob).await.unwrap(), 0);
}

pub(crate) async fn identities_are_each_one_users(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    let (bob, eve) = (user(&mut session, "bob").await, user(&mut session, "eve").await);
    session.note_identity(&bob, "https://a", "1").await.unwrap();
    session.note_identity(&bob, "https://a", "1").await.unwrap();
    session.note_identity(&eve, "https://b", "1").await.unwrap();
    let found = session.user_with_identity("https://a", "1").await.unwrap().unwrap();
    assert_eq!(found.id, bob);
    assert!(session.user_with_identity("https://a", "2").await.unwrap().is_none());
    assert_eq!(session.identities(&bob).await.unwrap().len(), 1);
    let same = session.users_with_email("BOB@example.COM").await.unwrap();
    assert_eq!(same.iter().map(|own| &own.id).collect::<Vec<_>>(), [&bob]);
    let hour = TimeDelta::hours(1);
    assert!(session.use_state("s", hour).await.unwrap());
    assert!(!session.use_state("s", hour).await.unwrap());
    assert!(session.use_state("ended", TimeDelta::zero()).await.unwrap());
    assert!(session.use_state("ended", hour).await.unwrap());
    session.delete_user(&bob).await.unwrap();
    assert!(session.user_with_identity("https://a", "1").await.unwrap().is_none());
}

pub(crate) async fn what_groups_give_is_kept_apart_from_what_people_give(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    let bob = user(&mut session, "bob").await;
    let new = NewProject { name: "p".to_owned(), ..NewProject::default() };
    session.create_project(new).await.unwrap();
    let pair = |project: &str, role: &str| (project.to_owned(), role.to_owned());
    let roles = BTreeSet::from([pair("", "chief"), pair("p", "reader"), pair("gone", "reader")]);
    assert!(session.set_group_roles(&bob, &roles).await.unwrap());
    assert!(!session.set_group_roles(&bob, &roles).await.unwrap());
    let found = session.user(&bob).await.unwrap().unwrap();
    assert!(found.global.is_empty() && found.projects.is_empty());
    assert_eq!(found.group_global, BTreeSet::from(["chief".to_owned()]));
    // A project that is not there gives nothing.
    assert_eq!(found.group_projects.keys().collect::<Vec<_>>(), ["p"]);
    assert_eq!(session.users().await.unwrap(), [found]);
    assert!(session.set_group_roles(&bob, &BTreeSet::new()).await.unwrap());
    assert!(session.user(&bob).await.unwrap().unwrap().group_global.is_empty());
}

pub(crate) async fn of_two_sign_ins_at_once_one_decides_about_all_groups(opened: Opened) {
    let store = &opened.store;
    let mut session = store.write().await.unwrap();
    let bob = user(&mut session, "bob").await;
    session.commit().await.unwrap();
    let of = |role: &str| BTreeSet::from([(String::new(), role.to_owned())]);
    let mut first = store.write().await.unwrap();
    first.set_group_roles(&bob, &of("chief")).await.unwrap();
    let second = async {
        let mut second = store.write().await.unwrap();
        second.set_group_roles(&bob, &of("reader")).await.unwrap();
        second.commit().await.unwrap();
    };
    let mut second = std::pin::pin!(second);
    let waited = tokio::time::timeout(Duration::from_millis(200), second.as_mut()).await;
    assert!(waited.is_err(), "it did not wait for the first");
    first.commit().await.unwrap();
    second.await;
    let found = store.read().await.unwrap().user(&bob).await.unwrap().unwrap();
    assert_eq!(found.group_global, BTreeSet::from(["reader".to_owned()]));
}

pub(crate) async fn the_first_upload_of_an_hour_is_told(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    for (credential, bucket, address, first) in [
        ("t", "bucket a/b", "1", true),
        ("t", "bucket a/b", "1", false),
        ("t", "bucket a/b", "2", true),
        ("t", "bucket a/c", "1", true),
        ("u", "bucket a/b", "1", true),
    ] {
        let told = session.mark_upload(credential, bucket, address).await.unwrap();
        assert_eq!(told, first, "{credential} {bucket} {address}");
    }
}

pub(crate) async fn a_setting_is_the_last_that_was_written(opened: Opened) {
    let mut session = opened.store.write().await.unwrap();
    assert_eq!(session.setting("a").await.unwrap(), None);
    session.set_setting("a", "1").await.unwrap();
    session.set_setting("a", "2").await.unwrap();
    assert_eq!(session.setting("a").await.unwrap().as_deref(), Some("2"));
}
