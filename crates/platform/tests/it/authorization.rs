//! Each route with each kind of token, out of one file that says what each takes.
//!
//! Requests have no body, so that a token that is let in hears 400, 404 or 415 for what is missing,
//! and nothing is changed: only 401, 403 and a 404 for the resource itself count here. Each request
//! is made with the session of a browser as well, which must hear the same.

use std::collections::BTreeSet;

use record::Secret;
use serde_json::{Value, json};
use store::{NewToken, NewWebSession};
use testkit::platform_contract::client::{Answer, Client};

use crate::server::Running;

const MATRIX: &str = include_str!("authorization.txt");
/// An id that nothing has.
const NOBODY: &str = "0123456789abcdef";
const GLOBAL: &[&str] =
    &["projects-admin", "tenant-admin", "audit-read", "tenant-quota-read", "tenant-quota-write"];
const IN_PROJECT: &[&str] = &[
    "buckets-read",
    "buckets-write",
    "buckets-append",
    "buckets-items-read",
    "appliance-config-read",
    "appliance-config-write",
    "integrations-read",
    "integrations-write",
    "voc-readonly",
    "datasets-admin",
    "datasets-review",
    "streams-read",
    "streams-write",
    "streams-consume",
    "sources-read",
    "sources-admin",
    "sources-add-comments",
];

fn rows() -> Vec<(&'static str, &'static str, &'static str)> {
    let lines = MATRIX.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let row = |line: &'static str| {
        let (route, need) = line.split_once(" | ").unwrap();
        let (method, path) = route.split_once(' ').unwrap();
        (method, path, need)
    };
    lines.map(row).collect()
}

#[test]
fn every_route_is_in_the_matrix_and_nothing_else() {
    let known: BTreeSet<String> = rows().iter().map(|(m, path, _)| format!("{m} {path}")).collect();
    let served: BTreeSet<String> = platform::routes().collect();
    assert_eq!(known, served);
}

/// The path with what there is in the project `own` filled in. What a row would remove or make
/// does not exist.
fn path_of(method: &str, path: &str, user: &str, source: &str) -> String {
    let removes = method == "DELETE" || method == "PUT" && path.ends_with("{bucket}");
    let bucket = if removes && path.ends_with("{bucket}") { "own/none" } else { "own/mail" };
    let removes_item = method == "DELETE" || method == "PUT";
    let project = if path.ends_with("projects/{project}") && method != "GET" && method != "POST" {
        if method == "PUT" { "fresh" } else { "own" }
    } else {
        "own"
    };
    let makes_or_removes = matches!(method, "DELETE" | "PUT") && path.ends_with("{source}");
    let letters = if makes_or_removes { "own/none" } else { "own/letters" };
    path.replace("{bucket}", bucket)
        .replace("{source}", letters)
        .replace("{thread}", "t")
        .replace("{attachment}", &format!("{source}-e1-0"))
        .replace("{comment}", "c")
        .replace("{tag}", "tag:generic.0.CONVKER5")
        .replace("{project}", project)
        .replace("{integration}", if removes_item { "own/none" } else { "own/ex" })
        .replace(
            "{dataset}",
            if path.ends_with("{dataset}") && removes_item { "own/none" } else { "own/ds" },
        )
        .replace("{stream}", "st")
        .replace("{group}", "default")
        .replace("{version}", "1")
        .replace("{mail}", "0123456789abcdef")
        .replace("{name}", "config")
        .replace("{user}", user)
        .replace("{email}", "e")
        .replace("{index}", "0")
        .replace("{key}", "00ff")
        .replace("{tenant}", "tributary")
        .replace("{kind}", "users")
        .replace("{session}", "0123456789abcdef")
        .replace("{token}", "0123456789abcdef")
}

const CSRF: (&str, &str) = ("x-tributary-csrf", "1");

fn is_public(need: &str) -> bool {
    need == "public"
}

struct Tokens {
    server: Running,
    client: Client,
    user: String,
    /// The id of the source `own/letters`.
    source: String,
}

impl Tokens {
    async fn ask(&mut self, token: &str, method: &str, path: &str) -> Answer {
        let path = path_of(method, path, &self.user, &self.source);
        let cookie = self.session_of(token).await;
        if let (Some(cookie), true) = (&cookie, method != "GET") {
            // Before anything may change: another site's page gets nowhere.
            for more in
                [vec![], vec![CSRF, ("sec-fetch-site", "cross-site")], vec![("origin", "x")]]
            {
                let refused = self.with_cookie(cookie, &more, method, &path).await;
                assert_eq!(refused.status, 403, "{method} {path}");
                let said = refused.message();
                assert!(
                    said.contains("X-Tributary-CSRF") || said.contains("another site"),
                    "{said}"
                );
            }
        }
        self.client.token = token.to_owned();
        let answer = self.client.call(method, &path, Value::Null).await;
        let changed = method != "GET" && answer.status == 200;
        if let Some(cookie) = cookie.filter(|_| !changed) {
            let same = self.with_cookie(&cookie, &[CSRF], method, &path).await;
            assert_eq!(same.status, answer.status, "{method} {path}");
            if answer.status != 200 {
                assert_eq!(same.body, answer.body, "{method} {path}");
            }
        }
        self.client.token = token.to_owned();
        answer
    }

    /// The cookie of a new session of the token's user.
    async fn session_of(&self, token: &str) -> Option<String> {
        let mut session = self.server.store.write().await.unwrap();
        let grant = session.grant(&token.into()).await.unwrap()?;
        let new = NewWebSession {
            user_id: grant.user.id,
            method: "password",
            address: "local".to_owned(),
            user_agent: String::new(),
            lifetime: chrono::TimeDelta::hours(1),
        };
        let (_, secret) = session.create_web_session(new).await.unwrap();
        session.commit().await.unwrap();
        Some(format!("tributary_session={}", secret.reveal()))
    }

    async fn with_cookie(
        &mut self,
        cookie: &str,
        more: &[(&'static str, &str)],
        method: &str,
        path: &str,
    ) -> Answer {
        self.client.token.clear();
        self.client.headers = vec![("cookie", cookie.to_owned())];
        let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
        self.client.headers.extend(more);
        let answer = self.client.call(method, path, Value::Null).await;
        self.client.headers.clear();
        answer
    }

    async fn token(&self, name: &str, global: &[&str], projects: &[(&str, &[&str])]) -> String {
        self.server.add_user(name, global, projects).await.1
    }
}

async fn tokens() -> Tokens {
    let server = Running::start().await;
    server.add_project("own").await;
    server.add_project("other").await;
    let mut client = server.client().await;
    let integration = json!({ "integration": { "configuration": { "mailboxes": [] } } });
    let path = "/api/_private/integrations/own/ex";
    assert_eq!(client.call("PUT", path, integration).await.status, 200);
    let dataset = json!({ "dataset": { "source_ids": [] } });
    assert_eq!(client.call("PUT", "/api/v1/datasets/own/ds", dataset).await.status, 200);
    // Sees and is seen by nobody but members of `own` who may read users.
    let (user, _) = server.add_user("target", &[], &[("own", &["voc"])]).await;
    let source = server.add_source("own", None).await;
    Tokens { server, client, user, source }
}

#[tokio::test]
async fn without_a_valid_token_every_route_looks_the_same() {
    let mut tokens = tokens().await;
    let mut session = tokens.server.store.write().await.unwrap();
    let admin = session.user_named("admin").await.unwrap().unwrap();
    let new = NewToken {
        user_id: admin.id.clone(),
        expires_at: Some(session.now() - chrono::TimeDelta::seconds(1)),
        ..NewToken::default()
    };
    let (_, expired) = session.create_token(new).await.unwrap();
    let new = NewToken { user_id: admin.id, ..NewToken::default() };
    let (id, revoked) = session.create_token(new).await.unwrap();
    assert!(session.revoke_token(&id).await.unwrap());
    session.commit().await.unwrap();
    let text = |secret: &Secret| secret.reveal().to_owned();
    for token in [String::new(), "tri_wrong".to_owned(), text(&expired), text(&revoked)] {
        let mut answers = BTreeSet::new();
        for (method, path, _) in rows().into_iter().filter(|(_, _, need)| !is_public(need)) {
            let answer = tokens.ask(&token, method, path).await;
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            answers.insert((answer.status.as_u16(), answer.message()));
        }
        let nowhere = tokens.ask(&token, "GET", "/api/_private/nowhere").await;
        answers.insert((nowhere.status.as_u16(), nowhere.message()));
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert!(answers.iter().all(|(status, _)| *status == 401), "{answers:?}");
    }
    let mut answers = BTreeSet::new();
    for (method, path, _) in rows().into_iter().filter(|(_, _, need)| !is_public(need)) {
        let path = path_of(method, path, &tokens.user, &tokens.source);
        let cookie = "tributary_session=of nobody";
        let answer = tokens.with_cookie(cookie, &[CSRF], method, &path).await;
        assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
        answers.insert((answer.status.as_u16(), answer.message()));
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers.iter().all(|(status, _)| *status == 401), "{answers:?}");
}

#[tokio::test]
async fn the_ways_in_are_open_to_everybody_but_not_to_pages_of_other_sites() {
    let mut tokens = tokens().await;
    for (method, path, _) in rows().into_iter().filter(|(_, _, need)| is_public(need)) {
        let answer = tokens.with_cookie("a=b", &[CSRF], method, path).await;
        assert!(!matches!(answer.status.as_u16(), 401 | 403 | 405 | 500..), "{method} {path}");
        if method == "POST" {
            assert_eq!(tokens.with_cookie("a=b", &[], method, path).await.status, 403, "{path}");
        }
    }
}

#[tokio::test]
async fn a_role_is_worth_what_the_table_of_roles_says() {
    let mut tokens = tokens().await;
    for role in platform::ROLES {
        let in_project = role.scope == platform::Scope::Project;
        let (global, project) = if in_project { ("", role.name) } else { (role.name, "voc") };
        let global: Vec<&str> = Some(global).filter(|own| !own.is_empty()).into_iter().collect();
        let user = format!("has-{}", role.name);
        let token = tokens.token(&user, &global, &[("own", &[project])]).await;
        for (method, path, need) in rows() {
            let Some((kind, name)) = need.split_once(' ') else { continue };
            let removes = matches!(path, "/api/_private/users/{user}") && method == "DELETE";
            if removes || (kind == "project") != in_project {
                continue;
            }
            let status = tokens.ask(&token, method, path).await.status.as_u16();
            let allowed = role.permissions.contains(&name);
            assert_eq!(status != 403, allowed, "{} {method} {path}: {status}", role.name);
        }
    }
}

#[tokio::test]
async fn a_token_with_every_other_permission_is_not_let_in() {
    let mut tokens = tokens().await;
    for (number, (method, path, need)) in (0..).zip(rows()) {
        let (kind, name) = need.split_once(' ').unwrap_or((need, ""));
        let others: Vec<&str> = IN_PROJECT.iter().copied().filter(|own| *own != name).collect();
        // The administration of tenants includes most of the rest.
        let global: Vec<&str> =
            GLOBAL.iter().copied().filter(|own| *own != name && *own != "tenant-admin").collect();
        let shown = format!("{method} {path}");
        match kind {
            "project" => {
                let user = format!("without{number}");
                let token = tokens.token(&user, &global, &[("own", &others)]).await;
                let answer = tokens.ask(&token, method, path).await;
                assert_eq!(answer.status, 403, "{shown}");
                assert!(answer.message().contains(&format!("`{name}`")), "{shown}");
            }
            "global" => {
                let user = format!("without{number}");
                let token = tokens.token(&user, &global, &[("own", IN_PROJECT)]).await;
                let answer = tokens.ask(&token, method, path).await;
                assert_eq!(answer.status, 403, "{shown}");
                assert!(answer.message().contains(&format!("`{name}`")), "{shown}");
            }
            "manage" => {
                let token =
                    tokens.token(&format!("without{number}"), &[], &[("own", IN_PROJECT)]).await;
                assert_eq!(tokens.ask(&token, method, path).await.status, 403, "{shown}");
            }
            "public" | "token" | "member" | "user" => {}
            _ => panic!("the matrix has an unknown word in {need}"),
        }
    }
}

#[tokio::test]
async fn a_token_of_another_project_sees_nothing_that_a_made_up_name_does_not_show() {
    let mut tokens = tokens().await;
    let all = tokens.token("stranger", &[], &[("other", IN_PROJECT)]).await;
    for (method, path, need) in rows() {
        let kind = need.split(' ').next().unwrap();
        if !matches!(kind, "project" | "member" | "manage" | "user") {
            continue;
        }
        let there = tokens.ask(&all, method, path).await;
        let path = path_of(method, path, &tokens.user, &tokens.source);
        let other = |text: &str| {
            let text = text.replace("/own", "/nil").replace("`own", "`nil");
            text.replace(&tokens.user, NOBODY).replace(&tokens.source, NOBODY)
        };
        let made_up = other(&path);
        let absent = tokens.client.call(method, &made_up, Value::Null).await;
        assert_eq!((there.status.as_u16(), absent.status.as_u16()), (404, 404), "{method} {path}");
        assert_eq!(other(&there.message()), absent.message(), "{method} {path}");
    }
}

#[tokio::test]
async fn a_token_with_the_right_permission_and_no_other_is_let_in() {
    let mut tokens = tokens().await;
    let plain = tokens.token("plain", &[], &[]).await;
    let member = tokens.token("member", &[], &[("own", &["voc"])]).await;
    let reader = tokens.token("reader", &[], &[("own", &["users-read"])]).await;
    for (number, (method, path, need)) in (0..).zip(rows()) {
        let (kind, name) = need.split_once(' ').unwrap_or((need, ""));
        let user = format!("with{number}");
        let token = match kind {
            "token" => plain.clone(),
            "member" => member.clone(),
            "user" => reader.clone(),
            "global" => tokens.token(&user, &[name], &[]).await,
            "manage" => tokens.token(&user, &["projects-admin"], &[]).await,
            _ => tokens.token(&user, &[], &[("own", &[name])]).await,
        };
        if (method, path) == ("DELETE", "/api/_private/users/{user}")
            || (method, path) == ("DELETE", "/api/_private/projects/{project}")
            || is_public(need)
        {
            // Done last: they take away what the others need.
            continue;
        }
        let answer = tokens.ask(&token, method, path).await;
        let shown = format!("{method} {path}: {} {}", answer.status, text(&answer));
        assert!(!matches!(answer.status.as_u16(), 401 | 403 | 405 | 500..), "{shown}");
        let hidden = answer.status == 404
            && ["the project `own`", "own/mail`", "own/letters`"]
                .iter()
                .any(|hidden| text(&answer).contains(hidden));
        assert!(!hidden, "{shown}");
    }
    let token = tokens.token("remover", &["tenant-admin"], &[]).await;
    let gone = tokens.ask(&token, "DELETE", "/api/_private/users/{user}").await;
    assert_eq!(gone.status, 200);
    let path = "/api/_private/projects/{project}?force=true";
    assert_eq!(tokens.ask(&token, "DELETE", path).await.status, 200);
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

#[tokio::test]
async fn a_token_is_worth_no_more_than_its_scope() {
    let mut tokens = tokens().await;
    let mut session = tokens.server.store.write().await.unwrap();
    let admin = session.user_named("admin").await.unwrap().unwrap().id;
    let own = session.project("own").await.unwrap().unwrap().id;
    let scope = BTreeSet::from(["buckets-append".to_owned()]);
    let new = NewToken {
        user_id: admin,
        permissions: Some(scope),
        project_id: Some(own),
        ..NewToken::default()
    };
    let (_, token) = session.create_token(new).await.unwrap();
    session.commit().await.unwrap();
    let token = token.reveal().to_owned();
    let mut status = async |method: &str, path: &str| {
        tokens.client.token.clone_from(&token);
        tokens.client.call(method, path, Value::Null).await.status.as_u16()
    };
    let emails = "/api/_private/buckets/own/mail/emails";
    assert_eq!(status("PUT", emails).await, 415);
    assert_eq!(status("POST", emails).await, 403);
    assert_eq!(status("PUT", "/api/_private/buckets/other/mail/emails").await, 404);
    assert_eq!(status("POST", "/api/v1/audit_events/query").await, 403);
    assert_eq!(status("PUT", "/api/_private/projects/new").await, 403);
}
