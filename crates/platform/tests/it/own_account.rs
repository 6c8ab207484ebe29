//! What people do with their own accounts, and administrators with those of others.

use platform::Options;
use serde_json::{Value, json};
use store::NewToken;
use testkit::platform_contract::client::Client;

use crate::{
    server::Running,
    sign_in::{PASSWORD, events, invite, options, sign_in, signed_in},
    visitor::Browser,
};

const ACCOUNT: &str = "/api/_private/account";

#[tokio::test]
async fn a_new_password_ends_the_other_sessions_and_changes_the_cookie() {
    let server = Running::start_with(options()).await;
    let mut browser = signed_in(&server).await;
    let mut other = Browser::new(server.address);
    other.agent = "Other\u{7f} Browser";
    other.with.push(("user-agent", "Other Browser".to_owned()));
    assert_eq!(sign_in(&mut other, "admin", PASSWORD).await, 200);
    let path = format!("{ACCOUNT}/password");
    let change =
        |current: &str, new: &str| json!({ "current_password": current, "new_password": new });
    let wrong = browser.post(&path, change("wrong", "another good password")).await;
    assert_eq!(wrong.status, 403);
    assert!(wrong.message().starts_with("`current_password`"), "{}", wrong.message());
    assert_eq!(browser.post(&path, change(PASSWORD, "short")).await.status, 422);
    let before = browser.cookie("__Host-").unwrap();
    let listed = browser.get(&format!("{ACCOUNT}/sessions")).await.json();
    let listed = listed["sessions"].as_array().unwrap();
    let agents: Vec<_> = listed.iter().map(|own| own["user_agent"].as_str().unwrap()).collect();
    assert_eq!((listed.len(), agents.contains(&"Other Browser")), (2, true), "{listed:?}");
    assert_eq!(listed.iter().filter(|own| own["current"] == true).count(), 1);
    let changed = browser.post(&path, change(PASSWORD, "another good password")).await;
    assert_eq!(changed.json()["ended_sessions"], 1);
    assert_ne!(browser.cookie("__Host-").unwrap(), before);
    assert_eq!(browser.get("/auth/user").await.status, 200);
    assert_eq!(other.get("/auth/user").await.status, 401);
    assert_eq!(sign_in(&mut other, "admin", PASSWORD).await, 401);
    assert_eq!(sign_in(&mut other, "admin", "another good password").await, 200);
    let listed = browser.get(&format!("{ACCOUNT}/sessions")).await.json();
    let foreign = listed["sessions"].as_array().unwrap().iter().find(|own| own["current"] == false);
    let id = foreign.unwrap()["id"].as_str().unwrap();
    let path = format!("{ACCOUNT}/sessions/{id}");
    assert_eq!(browser.call("DELETE", &path, Value::Null).await.status, 200);
    assert_eq!(browser.call("DELETE", &path, Value::Null).await.status, 404);
    assert_eq!(other.get("/auth/user").await.status, 401);
}

#[tokio::test]
async fn tokens_are_shown_once_and_end_when_their_owner_says_so() {
    let server = Running::start_with(options()).await;
    let mut browser = signed_in(&server).await;
    let project = json!({ "project": {} });
    assert_eq!(browser.call("PUT", "/api/_private/projects/own", project).await.status, 200);
    let path = format!("{ACCOUNT}/tokens");
    let table = [
        (json!({ "name": "x", "permissions": ["all"] }), 400),
        (json!({ "name": "x", "permissions": [] }), 400),
        (json!({ "name": "x", "project": "none" }), 400),
        (json!({ "name": "x", "expires_in_days": 0 }), 400),
        (json!({ "name": "x", "expires_in_days": 9999 }), 400),
        (json!({ "name": "" }), 400),
        (json!({ "name": "x", "user": "admin" }), 400),
    ];
    for (token, status) in table {
        let refused = browser.post(&path, json!({ "token": token })).await;
        assert_eq!(refused.status, status, "{token}");
        assert!(refused.message().starts_with("`token."), "{}", refused.message());
    }
    let token = json!({ "token": {
        "name": "appliance", "permissions": ["buckets-read"], "project": "own",
        "expires_in_days": 30,
    }});
    let made = browser.post(&path, token).await.json();
    let text = made["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with(made["token"]["shown"].as_str().unwrap()));
    assert_eq!(
        (&made["token"]["state"], &made["token"]["project"]),
        (&json!("valid"), &json!("own"))
    );
    let listed = browser.get(&path).await;
    assert!(!String::from_utf8_lossy(&listed.body).contains(&text));
    assert_eq!(listed.json()["tokens"][0]["name"], "appliance");
    let mut client = Client::connect(server.address, &text).await;
    let buckets = "/base/api/_private/buckets/own";
    assert_eq!(client.call("GET", buckets, Value::Null).await.status, 200);
    // One that is worth less than its owner does nothing about the account.
    for (method, path) in [
        ("GET", "/base/api/_private/account/tokens"),
        ("GET", "/base/api/_private/account/sessions"),
        ("DELETE", "/base/api/_private/account/sessions"),
    ] {
        assert_eq!(client.call(method, path, Value::Null).await.status, 403, "{path}");
    }
    let token = json!({ "token": { "name": "y" } });
    let made_by = client.call("POST", "/base/api/_private/account/tokens", token.clone()).await;
    assert_eq!(made_by.status, 403);
    let id = made["token"]["id"].as_str().unwrap();
    let one = format!("{path}/{id}");
    assert_eq!(browser.call("DELETE", &one, Value::Null).await.status, 200);
    assert_eq!(browser.call("DELETE", &one, Value::Null).await.status, 404);
    assert_eq!(client.call("GET", buckets, Value::Null).await.status, 401);
    assert_eq!(browser.get(&path).await.json()["tokens"][0]["state"], "revoked");
    // A token makes none that outlives it.
    let short = json!({ "token": { "name": "short", "expires_in_days": 2 } });
    let short = browser.post(&path, short).await.json()["text"].as_str().unwrap().to_owned();
    let mut client = Client::connect(server.address, &short).await;
    let path = "/base/api/_private/account/tokens";
    assert_eq!(client.call("POST", path, token).await.status, 422);
    let longer = json!({ "token": { "name": "y", "expires_in_days": 3 } });
    assert_eq!(client.call("POST", path, longer).await.status, 422);
    let shorter = json!({ "token": { "name": "y", "expires_in_days": 1 } });
    assert_eq!(client.call("POST", path, shorter).await.status, 200);
}

#[tokio::test]
async fn a_token_of_somebody_else_is_as_if_it_were_not_there() {
    let server = Running::start_with(options()).await;
    let mut admin = signed_in(&server).await;
    let (_, mut bob) = invite(&server, &mut admin, "bob").await;
    let token = json!({ "token": { "name": "x" } });
    let made = admin.post(&format!("{ACCOUNT}/tokens"), token).await.json();
    let path = format!("{ACCOUNT}/tokens/{}", made["token"]["id"].as_str().unwrap());
    assert_eq!(bob.call("DELETE", &path, Value::Null).await.status, 404);
    let sessions = admin.get(&format!("{ACCOUNT}/sessions")).await.json();
    let path = format!("{ACCOUNT}/sessions/{}", sessions["sessions"][0]["id"].as_str().unwrap());
    assert_eq!(bob.call("DELETE", &path, Value::Null).await.status, 404);
    assert_eq!(admin.get("/auth/user").await.status, 200);
    // Nor does anybody make one for a project that they are not in.
    let project = json!({ "project": {} });
    assert_eq!(admin.call("PUT", "/api/_private/projects/own", project).await.status, 200);
    let token = json!({ "token": { "name": "x", "project": "own" } });
    let refused = bob.post(&format!("{ACCOUNT}/tokens"), token).await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().contains("`own` was not found"), "{}", refused.message());
}

#[tokio::test]
async fn there_are_so_many_good_tokens_and_those_that_ended_do_not_count() {
    let server = Running::start_with(options()).await;
    let mut admin = signed_in(&server).await;
    let user_id = server.get_root().await;
    let mut session = server.store.write().await.unwrap();
    let new = |name: &str, expires_at| NewToken {
        user_id: user_id.clone(),
        name: name.to_owned(),
        expires_at,
        ..NewToken::default()
    };
    // One is there from the first start.
    for _ in 0..198 {
        session.create_token(new("good", None)).await.unwrap();
    }
    let ended = session.now() - chrono::TimeDelta::seconds(1);
    session.create_token(new("ended", Some(ended))).await.unwrap();
    session.commit().await.unwrap();
    let path = format!("{ACCOUNT}/tokens");
    let token = json!({ "token": { "name": "last" } });
    assert_eq!(admin.post(&path, token.clone()).await.status, 200);
    assert_eq!(admin.post(&path, token).await.status, 422);
    let listed = admin.get(&path).await.json();
    let listed = listed["tokens"].as_array().unwrap();
    let state = |name: &str| &listed.iter().find(|own| own["name"] == name).unwrap()["state"];
    assert_eq!((state("ended"), state("last")), (&json!("expired"), &json!("valid")));
}

#[tokio::test]
async fn a_link_ends_with_whatever_it_was_made_beside() {
    let server = Running::start_with(options()).await;
    let mut admin = signed_in(&server).await;
    let (id, mut bob) = invite(&server, &mut admin, "bob").await;
    let user = format!("/api/_private/users/{id}");
    let mut other = Browser::new(server.address);
    let password = format!("{PASSWORD} of invitation");
    assert_eq!(sign_in(&mut other, "bob", &password).await, 200);
    let link = async |admin: &mut Browser| {
        let made = admin.post(&format!("{user}/link"), json!({})).await.json();
        made["link"]["url"].as_str().unwrap().split_once('#').unwrap().1.to_owned()
    };
    let first = link(&mut admin).await;
    let status = async |link: &str| {
        let inspect = json!({ "link": link });
        Browser::new(server.address).post("/auth/link/inspect", inspect).await.status
    };
    let change = json!({ "current_password": password, "new_password": "another good password" });
    assert_eq!(bob.post(&format!("{ACCOUNT}/password"), change).await.status, 200);
    assert_eq!(status(&first).await, 404, "the password was changed");
    let revoked = link(&mut admin).await;
    assert_eq!(status(&revoked).await, 200);
    // Whoever sets a password over a link is the only one who is signed in.
    assert_eq!(sign_in(&mut other, "bob", "another good password").await, 200);
    let set = json!({ "link": link(&mut admin).await, "password": "the third good password" });
    let mut third = Browser::new(server.address);
    assert_eq!(third.post("/auth/link", set).await.status, 200);
    assert_eq!(
        (bob.get("/auth/user").await.status, other.get("/auth/user").await.status),
        (401, 401)
    );
    let revoked = link(&mut admin).await;
    assert_eq!(admin.post(&format!("{user}/revoke"), json!({})).await.status, 200);
    assert_eq!(status(&revoked).await, 404, "their access was revoked");
    assert_eq!(third.get("/auth/user").await.status, 401);
    let disabled = link(&mut admin).await;
    for disabled in [true, false] {
        let change = json!({ "user": { "disabled": disabled } });
        assert_eq!(admin.post(&user, change).await.status, 200);
    }
    assert_eq!(status(&disabled).await, 404, "they were kept out meanwhile");
}

#[tokio::test]
async fn who_is_disabled_is_out_at_once_and_comes_back_with_their_tokens_only() {
    let server = Running::start_with(options()).await;
    let mut admin = signed_in(&server).await;
    let (id, mut bob) = invite(&server, &mut admin, "bob").await;
    let token = json!({ "token": { "name": "x" } });
    let token = bob.post(&format!("{ACCOUNT}/tokens"), token).await.json();
    let mut client = Client::connect(server.address, token["text"].as_str().unwrap()).await;
    let user = format!("/api/_private/users/{id}");
    let mut status = async || {
        let by_token = client.call("GET", "/base/auth/user", Value::Null).await.status.as_u16();
        (by_token, bob.get("/auth/user").await.status)
    };
    assert_eq!(status().await, (200, 200));
    let disabled = |disabled: bool| json!({ "user": { "disabled": disabled } });
    let shown = admin.post(&user, disabled(true)).await.json();
    assert_eq!(shown["user"]["disabled"], true);
    assert_eq!(status().await, (401, 401));
    let link = admin.post(&format!("{user}/link"), json!({})).await;
    assert_eq!(link.status, 422);
    assert_eq!(admin.post(&user, disabled(false)).await.status, 200);
    assert_eq!(status().await, (200, 401));
    let revoked = admin.post(&format!("{user}/revoke"), json!({})).await.json();
    assert_eq!((&revoked["revoked_tokens"], &revoked["ended_sessions"]), (&json!(1), &json!(0)));
    assert_eq!(status().await, (401, 401));
    let own = admin.get("/auth/user").await.json()["user"]["id"].as_str().unwrap().to_owned();
    let last = admin.post(&format!("/api/_private/users/{own}"), disabled(true)).await;
    assert_eq!(last.status, 422, "{}", last.message());
    assert_eq!(admin.get("/auth/user").await.status, 200);
    let kinds: Vec<_> = events(&server).await.into_iter().map(|(kind, _)| kind).collect();
    for kind in ["make_link", "create_token", "disable_user", "enable_user", "revoke_access"] {
        assert!(kinds.iter().any(|own| own == kind), "{kind}: {kinds:?}");
    }
}

#[tokio::test]
async fn who_may_do_everything_is_nobodys_to_take_over() {
    let server = Running::start_with(options()).await;
    let root = server.get_root().await;
    let (_, tenant) = server.add_user("tenant", &["role-cm-tenant-admin"], &[]).await;
    let mut client = Client::connect(server.address, &tenant).await;
    let user = format!("/base/api/_private/users/{root}");
    for (path, body) in [
        (format!("{user}/link"), json!({})),
        (format!("{user}/revoke"), json!({})),
        (user, json!({ "user": { "disabled": true } })),
    ] {
        let refused = client.call("POST", &path, body).await;
        assert_eq!(refused.status, 403, "{path}");
        assert!(refused.message().contains("`root`"), "{}", refused.message());
    }
    let missing = "/base/api/_private/users/0123456789abcdef/link";
    assert_eq!(client.call("POST", missing, json!({})).await.status, 404);
}

#[tokio::test]
async fn roles_are_listed_with_what_they_give() {
    let server = Running::start_with(Options::default()).await;
    let listed = server.get("/api/_private/roles").await;
    let roles = listed["roles"].as_array().unwrap();
    assert_eq!(roles.len(), platform::ROLES.len());
    assert!(roles.iter().all(|role| role["permissions"].as_array().is_some_and(|p| !p.is_empty())));
    let plain = listed["permissions"]["project"].as_array().unwrap();
    assert!(plain.contains(&json!("sources-read")) && !plain.contains(&json!("role-cm-viewer")));
}
