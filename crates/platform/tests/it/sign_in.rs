//! Signing in with a password, the links that set one, and what is written down about it.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Instant,
};

use chrono::{DateTime, TimeDelta, Utc};
use platform::{Options, People};
use record::Clock;
use serde_json::{Value, json};
use store::AuditQuery;

use crate::{
    server::Running,
    visitor::{Browser, PUBLIC},
};

pub(crate) const PASSWORD: &str = "correct horse battery";

/// A clock that is told the time.
pub(crate) struct Movable {
    start: Instant,
    since: Mutex<TimeDelta>,
}

impl Movable {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), since: Mutex::default() })
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        *self.since.lock().unwrap() += by;
    }
}

impl Clock for Movable {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap() + *self.since.lock().unwrap()
    }

    fn instant(&self) -> Instant {
        self.start + self.since.lock().unwrap().to_std().unwrap()
    }
}

pub(crate) fn options() -> Options {
    let people = People { public_url: Some(PUBLIC.parse().unwrap()), ..People::default() };
    Options { base_path: "/base".to_owned(), people, ..Options::default() }
}

/// A browser in which the first user has set their password.
pub(crate) async fn signed_in(server: &Running) -> Browser {
    let mut browser = Browser::new(server.address);
    let link = json!({ "link": server.link, "password": PASSWORD });
    assert_eq!(browser.post("/auth/link", link).await.status, 200);
    browser
}

pub(crate) async fn sign_in(browser: &mut Browser, name: &str, password: &str) -> u16 {
    let body = json!({ "username": name, "password": password });
    browser.post("/auth/sign-in", body).await.status
}

/// Kinds and details of the events so far.
pub(crate) async fn events(server: &Running) -> Vec<(String, Value)> {
    let mut session = server.store.read().await.unwrap();
    let query = AuditQuery { limit: 1000, ..AuditQuery::default() };
    let events = session.audit_events(&query).await.unwrap();
    assert_eq!(session.first_forged_event().await.unwrap(), None);
    events.into_iter().map(|event| (event.kind, event.details)).collect()
}

/// Gives `name` a password over a link that an administrator makes; the browser is signed in.
pub(crate) async fn invite(server: &Running, admin: &mut Browser, name: &str) -> (String, Browser) {
    let user = json!({ "user": {
        "username": name, "email": format!("{name}@example.com"),
        "global_permissions": [], "organisation_permissions": {},
    }});
    let made = admin.call("PUT", "/api/_private/users", user).await.json();
    let id = made["user"]["id"].as_str().unwrap().to_owned();
    let browser = open_link(server, admin, &id, "invitation").await;
    (id, browser)
}

async fn open_link(server: &Running, admin: &mut Browser, id: &str, kind: &str) -> Browser {
    let made = admin.post(&format!("/api/_private/users/{id}/link"), json!({})).await.json();
    assert_eq!(made["link"]["kind"], kind, "{made}");
    let url = made["link"]["url"].as_str().unwrap();
    let secret = url.strip_prefix(&format!("{PUBLIC}/link#")).unwrap();
    let mut browser = Browser::new(server.address);
    let link = json!({ "link": secret, "password": format!("{PASSWORD} of {kind}") });
    assert_eq!(browser.post("/auth/link", link).await.status, 200);
    browser
}

#[tokio::test]
async fn the_first_link_sets_a_password_once_and_signs_in() {
    let server = Running::start_with(options()).await;
    let mut browser = Browser::new(server.address);
    let shown = browser.post("/auth/link/inspect", json!({ "link": server.link })).await.json();
    assert_eq!(shown["link"]["kind"], "first_admin");
    assert_eq!(shown["link"]["username"], "admin");
    let weak = json!({ "link": server.link, "password": "adminadmin12" });
    let refused = browser.post("/auth/link", weak).await;
    assert_eq!(refused.status, 422);
    assert!(refused.message().starts_with("`password`: "), "{}", refused.message());
    let options = browser.get("/auth/options").await.json();
    assert_eq!(options["options"]["signed_in"], false);
    let good = json!({ "link": server.link, "password": PASSWORD });
    let entered = browser.post("/auth/link", good.clone()).await;
    assert_eq!(entered.json()["user"]["username"], "admin");
    let set = entered.header("set-cookie").unwrap();
    assert!(set.starts_with("__Host-tributary_session_base="), "{set}");
    for attribute in ["; Path=/;", "; HttpOnly", "; Secure", "; SameSite=Lax"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert_eq!(browser.get("/auth/user").await.json()["user"]["username"], "admin");
    assert_eq!(browser.get("/auth/options").await.json()["options"]["signed_in"], true);
    let project = json!({ "project": { "title": "P" } });
    assert_eq!(browser.call("PUT", "/api/_private/projects/p", project).await.status, 200);
    // Once is once, whoever tries.
    assert_eq!(Browser::new(server.address).post("/auth/link", good).await.status, 404);
    let inspect = json!({ "link": server.link });
    assert_eq!(browser.post("/auth/link/inspect", inspect).await.status, 404);
    assert_eq!(browser.post("/auth/sign-out", json!({})).await.status, 200);
    assert_eq!(browser.cookie("__Host-"), None);
    assert_eq!(browser.get("/auth/user").await.status, 401);
    let kinds: Vec<_> = events(&server).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["first_start", "use_link", "sign_in", "create_project", "sign_out"]);
}

#[tokio::test]
async fn of_two_who_use_a_link_at_the_same_time_one_gets_in() {
    let server = Running::start_with(options()).await;
    let redeem = async || {
        let link = json!({ "link": server.link, "password": PASSWORD });
        Browser::new(server.address).post("/auth/link", link).await.status
    };
    let (one, two, three) = tokio::join!(redeem(), redeem(), redeem());
    let mut all = [one, two, three];
    all.sort_unstable();
    assert_eq!(all, [200, 404, 404]);
}

#[tokio::test]
async fn links_expire_and_a_new_one_ends_the_one_before() {
    let clock = Movable::new();
    let server = Running::start_at(options(), clock.clone()).await;
    let mut admin = signed_in(&server).await;
    let (id, _) = invite(&server, &mut admin, "bob").await;
    let mut fresh = async || {
        let made = admin.post(&format!("/api/_private/users/{id}/link"), json!({})).await.json();
        assert_eq!(made["link"]["kind"], "reset");
        made["link"]["url"].as_str().unwrap().split_once('#').unwrap().1.to_owned()
    };
    let status = async |link: &str| {
        let inspect = json!({ "link": link });
        Browser::new(server.address).post("/auth/link/inspect", inspect).await.status
    };
    let old = fresh().await;
    let new = fresh().await;
    assert_eq!((status(&old).await, status(&new).await), (404, 200));
    clock.advance(TimeDelta::hours(23));
    assert_eq!(status(&new).await, 200);
    clock.advance(TimeDelta::hours(2));
    assert_eq!(status(&new).await, 404);
    assert_eq!(status("").await, 400);
}

#[tokio::test]
async fn nobody_learns_why_a_sign_in_failed() {
    let server = Running::start_with(options()).await;
    let mut admin = signed_in(&server).await;
    let (id, _) = invite(&server, &mut admin, "kept-out").await;
    invite(&server, &mut admin, "bob").await;
    server.add_user("no-password", &[], &[]).await;
    let disable = json!({ "user": { "disabled": true } });
    assert_eq!(admin.post(&format!("/api/_private/users/{id}"), disable).await.status, 200);
    let mut answers = std::collections::BTreeSet::new();
    for (name, password) in [
        ("nobody", PASSWORD),
        ("bob", "wrong"),
        ("bob@example.com", "wrong"),
        ("no-password", PASSWORD),
        ("kept-out", &format!("{PASSWORD} of invitation")),
    ] {
        let body = json!({ "username": name, "password": password });
        let refused = Browser::new(server.address).post("/auth/sign-in", body).await;
        answers.insert((refused.status, refused.message()));
        assert_eq!(refused.header("set-cookie"), None);
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers.first().unwrap().0, 401);
    let mut browser = Browser::new(server.address);
    for name in ["bob", "Bob@Example.com"] {
        assert_eq!(sign_in(&mut browser, name, &format!("{PASSWORD} of invitation")).await, 200);
    }
    let events = events(&server).await;
    let failed = events.iter().filter(|(kind, _)| kind == "sign_in_failed");
    let reasons: Vec<_> = failed.map(|(_, details)| details["reason"].as_str().unwrap()).collect();
    let wrong = "wrong_password";
    assert_eq!(reasons, ["unknown_user", wrong, wrong, "no_password", "disabled"]);
    // What was typed may be a password.
    assert!(!format!("{events:?}").contains("nobody"));
}

#[tokio::test]
async fn guessing_is_slowed_down_and_written_down() {
    let clock = Movable::new();
    let server = Running::start_at(options(), clock.clone()).await;
    signed_in(&server).await;
    let mut browser = Browser::new(server.address);
    for (name, then) in [("admin", 200), ("never-heard-of", 401)] {
        for _ in 0..6 {
            assert_eq!(sign_in(&mut browser, name, "wrong").await, 401);
        }
        let body = json!({ "username": name, "password": PASSWORD });
        let refused = browser.post("/auth/sign-in", body).await;
        assert_eq!(refused.status, 429, "{name}");
        let wait: i64 = refused.header("retry-after").unwrap().parse().unwrap();
        clock.advance(TimeDelta::seconds(wait));
        assert_eq!(sign_in(&mut browser, name, PASSWORD).await, then, "{name}");
    }
    let kinds: Vec<_> = events(&server).await.into_iter().map(|(kind, _)| kind).collect();
    let locked = kinds.iter().filter(|kind| *kind == "sign_in_locked").count();
    let failed = kinds.iter().filter(|kind| *kind == "sign_in_failed").count();
    assert_eq!((failed, locked), (10, 3), "{kinds:?}");
}

#[tokio::test]
async fn a_session_ends_by_itself_and_is_another_one_after_each_sign_in() {
    let clock = Movable::new();
    let server = Running::start_at(options(), clock.clone()).await;
    let mut browser = signed_in(&server).await;
    let first = browser.cookie("__Host-").unwrap();
    assert_eq!(sign_in(&mut browser, "admin", PASSWORD).await, 200);
    let second = browser.cookie("__Host-").unwrap();
    assert_ne!(first, second);
    let mut old = Browser::new(server.address);
    let jar = old.cookies.entry("mail.example.com".to_owned()).or_default();
    jar.insert("__Host-tributary_session_base".to_owned(), first);
    assert_eq!(old.get("/auth/user").await.status, 401);
    // Used once in eleven hours, it goes on; unused for thirteen, it ends.
    for _ in 0..3 {
        clock.advance(TimeDelta::hours(11));
        assert_eq!(browser.get("/auth/user").await.status, 200);
    }
    clock.advance(TimeDelta::hours(13));
    let ended = browser.get("/auth/user").await;
    assert_eq!(ended.status, 401);
    assert!(ended.header("set-cookie").unwrap().contains("Max-Age=0"));
    // However much it is used, a week is the end.
    assert_eq!(sign_in(&mut browser, "admin", PASSWORD).await, 200);
    for _ in 0..16 {
        clock.advance(TimeDelta::hours(10));
        assert_eq!(browser.get("/auth/user").await.status, 200);
    }
    clock.advance(TimeDelta::hours(10));
    assert_eq!(browser.get("/auth/user").await.status, 401);
}

fn holds(folder: &Path, secret: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, secret);
        }
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(secret.len()).any(|own| own == secret.as_bytes())
    })
}

#[tokio::test]
async fn no_secret_is_in_what_is_stored() {
    let server = Running::start_with(options()).await;
    let mut admin = signed_in(&server).await;
    let token = json!({ "token": { "name": "recognizable" } });
    let made = admin.post("/api/_private/account/tokens", token).await.json();
    let cookie = admin.cookie("__Host-").unwrap();
    let folder = server.folder.path();
    assert!(holds(folder, "recognizable"), "the search finds nothing at all");
    for secret in [PASSWORD, &server.link, &server.token, &cookie, made["text"].as_str().unwrap()] {
        assert!(!holds(folder, secret));
    }
}
