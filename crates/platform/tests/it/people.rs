//! Users, what they may give each other, and what is written down about it.

use serde_json::{Value, json};
use testkit::platform_contract::client::Client;

use crate::server::Running;

const USERS: &str = "/api/_private/users";

async fn with(server: &Running, token: &str) -> Client {
    Client::connect(server.address, token).await
}

#[tokio::test]
async fn founders_are_members_at_once_and_a_full_project_is_not_removed_by_accident() {
    let server = Running::start().await;
    let mut client = server.client().await;
    let new = json!({ "user": {
        "username": "bob", "email": "bob@example.com", "global_permissions": [],
        "organisation_permissions": {},
    }});
    let made = client.call("PUT", USERS, new.clone()).await.json();
    let id = made["user"]["id"].as_str().unwrap().to_owned();
    assert_eq!(client.call("PUT", USERS, new).await.status, 409);
    let project = json!({ "project": { "title": "P" }, "user_ids": [id] });
    assert_eq!(client.call("PUT", "/api/_private/projects/p", project).await.status, 200);
    let user = client.call("GET", &format!("{USERS}/{id}"), Value::Null).await.json();
    assert!(user["user"]["organisation_permissions"]["p"].is_array(), "{user}");
    let unknown = json!({ "project": {}, "user_ids": ["00000000000000aa"] });
    let refused = client.call("PUT", "/api/_private/projects/q", unknown).await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().starts_with("`user_ids[0]`"), "{}", refused.message());
    let unchanged = client.call("POST", "/api/_private/projects/p", json!({ "project": {} })).await;
    assert_eq!(unchanged.json()["project"]["title"], "P");
}

#[tokio::test]
async fn nobody_gives_more_than_is_theirs_to_give() {
    let server = Running::start().await;
    server.add_project("own").await;
    server.add_project("other").await;
    let (id, _) = server.add_user("target", &[], &[("own", &["voc"])]).await;
    let (_, chief) =
        server.add_user("chief", &[], &[("own", &["users-read", "users-write"])]).await;
    let (_, tenant) = server.add_user("tenant", &["tenant-admin"], &[]).await;
    let path = format!("{USERS}/{id}");
    let change = |user: Value| json!({ "user": user });
    let table = [
        (&chief, json!({ "organisation_permissions": { "own": ["buckets-read"] } }), 200),
        (&chief, json!({ "organisation_permissions": { "other": ["buckets-read"] } }), 400),
        (&chief, json!({ "organisation_permissions": { "none": ["buckets-read"] } }), 400),
        (&chief, json!({ "organisation_permissions": { "own": ["all"] } }), 400),
        (&chief, json!({ "global_permissions": ["audit-read"] }), 403),
        (&tenant, json!({ "global_permissions": ["audit-read"] }), 200),
        (&tenant, json!({ "global_permissions": ["root"] }), 403),
        (&server.token, json!({ "global_permissions": ["root"] }), 200),
        (&tenant, json!({ "global_permissions": [] }), 403),
        (&tenant, json!({ "name": "x" }), 400),
    ];
    for (token, user, status) in table {
        let mut client = with(&server, token).await;
        let answer = client.call("POST", &path, change(user.clone())).await;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{user}: {said}");
    }
    // Somebody must be left who can mend everything.
    let mut client = with(&server, &tenant).await;
    assert_eq!(client.call("DELETE", &path, Value::Null).await.status, 403);
    let mut client = server.client().await;
    assert_eq!(client.call("DELETE", &path, Value::Null).await.status, 200);
    let admin = server.get("/auth/user").await["user"]["id"].as_str().unwrap().to_owned();
    let path = format!("{USERS}/{admin}");
    let refused = client.call("DELETE", &path, Value::Null).await;
    assert_eq!(refused.status, 422);
    assert_eq!(client.call("GET", &path, Value::Null).await.status, 200);
}

#[tokio::test]
async fn what_was_changed_is_written_down_in_a_chain_that_shows_forgery() {
    let server = Running::start().await;
    server.add_project("own").await;
    let mut client = server.client().await;
    let path = "/api/v1/audit_events/query";
    let (mut kinds, mut body) = (Vec::new(), json!({ "filter": {}, "limit": 1 }));
    loop {
        let page = client.call("POST", path, body.clone()).await.json();
        for event in page["audit_events"].as_array().unwrap() {
            kinds.push(event["event_type"].as_str().unwrap().to_owned());
            let names = |list: &str| -> Vec<Value> {
                page[list].as_array().unwrap().iter().map(|own| own["id"].clone()).collect()
            };
            assert!(names("users").contains(&event["actor_user_id"]));
            assert!(names("tenants").contains(&event["actor_tenant_id"]));
            for project in event["project_ids"].as_array().unwrap() {
                assert!(names("projects").contains(project));
            }
        }
        if page["continuation"].is_null() {
            assert!(page["audit_events"] != json!([]), "the page before was the last");
            break;
        }
        body["continuation"] = page["continuation"].clone();
    }
    assert_eq!(kinds, ["first_start", "create_project", "create_bucket"]);
    let future = json!({ "filter": { "timestamp": { "minimum": "2999-01-01T00:00:00Z" } } });
    let none = client.call("POST", path, future).await.json();
    assert_eq!(none["audit_events"], json!([]));
    let mut session = server.store.read().await.unwrap();
    assert_eq!(session.first_forged_event().await.unwrap(), None);
}

#[tokio::test]
async fn a_quota_holds() {
    let server = Running::start().await;
    let mut client = server.client().await;
    let path = "/api/_private/quotas/tributary/projects";
    assert_eq!(client.call("POST", path, json!({ "hard_limit": 1 })).await.status, 200);
    server.add_project("one").await;
    let project = json!({ "project": {} });
    let refused = client.call("PUT", "/api/_private/projects/two", project).await;
    assert_eq!(refused.status, 422);
    assert!(refused.message().contains("`projects`"), "{}", refused.message());
    let quotas = server.get("/api/_private/quotas").await;
    let own = quotas["quotas"].as_array().unwrap().iter().find(|q| q["quota_kind"] == "projects");
    assert_eq!(
        own.unwrap(),
        &json!({ "quota_kind": "projects", "hard_limit": 1, "current_max_usage": 1 })
    );
    // It grows by itself as far as it was told to.
    let grows = json!({ "hard_limit": 1, "auto_increase_up_to": 2 });
    assert_eq!(client.call("POST", path, grows).await.status, 200);
    server.add_project("two").await;
    let project = json!({ "project": {} });
    assert_eq!(client.call("PUT", "/api/_private/projects/three", project).await.status, 422);
    let unknown = "/api/_private/quotas/tributary/moons";
    assert_eq!(client.call("POST", unknown, json!({ "hard_limit": 1 })).await.status, 400);
}

#[tokio::test]
async fn where_credentials_go_is_not_for_everybody_to_change() {
    let server = Running::start().await;
    server.add_project("own").await;
    let writes: &[&str] = &["appliance-config-write"];
    let (_, token) = server.add_user("writer", &[], &[("own", writes)]).await;
    let mut client = with(&server, &token).await;
    let path = "/api/v1/appliance-configs/own/config";
    let config = json!({ "ews_endpoint": "https://mail.example.com/", "poll_frequency": 15 });
    assert_eq!(client.call("PUT", path, config).await.status, 200);
    let config = json!({ "ews_endpoint": "https://mail.example.com/", "poll_frequency": 30 });
    assert_eq!(client.call("PUT", path, config).await.status, 200);
    for key in platform::CONFIG_ENDPOINTS.iter().copied().filter(|key| *key != "ews_endpoint") {
        let mut config =
            json!({ "ews_endpoint": "https://mail.example.com/", "poll_frequency": 30 });
        config[key] = json!("https://mail.example.net/");
        let refused = client.call("PUT", path, config).await;
        assert_eq!(refused.status, 403, "{key}");
        assert!(refused.message().contains(&format!("`{key}`")), "{}", refused.message());
    }
    let config = json!({ "ews_endpoint": "https://mail.example.net/", "poll_frequency": 30 });
    let refused = client.call("PUT", path, config.clone()).await;
    assert_eq!(refused.status, 403);
    assert!(refused.message().contains("`ews_endpoint`"), "{}", refused.message());
    assert_eq!(server.client().await.call("PUT", path, config).await.status, 200);
    let mut session = server.store.read().await.unwrap();
    let project = session.project("own").await.unwrap().unwrap();
    let history = session.config_history(&project.id, "config", None, 9).await.unwrap();
    let written: Vec<_> = history.iter().map(|own| (own.version, &*own.written_by)).collect();
    assert_eq!(written, [(3, "admin"), (2, "writer"), (1, "writer")]);
}

#[tokio::test]
async fn each_quota_is_asked_where_one_more_is_made() {
    let server = Running::start().await;
    server.add_project("own").await;
    let source = server.add_source("own", None).await;
    let mut client = server.client().await;
    let dataset = |labels: usize, entities: usize| {
        let labels: Vec<_> = (0..labels).map(|n| json!({ "name": format!("l{n}") })).collect();
        let entity = |n| {
            json!({ "name": format!("e{n}"), "title": "E", "inherits_from": [],
                                 "trainable": true, "_entity_def_flags": [] })
        };
        let entities: Vec<_> = (0..entities).map(entity).collect();
        json!({ "dataset": { "source_ids": [source], "label_defs": labels, "entity_defs": entities } })
    };
    let made = "/api/v1/datasets/own/made";
    assert_eq!(client.call("PUT", made, dataset(0, 0)).await.status, 200);
    let new = "/api/v1/datasets/own/new";
    let stream = json!({ "stream": { "name": "st" } });
    let streams = "/api/v1/datasets/own/made/streams";
    let user = json!({ "user": { "username": "u", "email": "u@x.org" } });
    for (kind, limit, path, body) in [
        ("sources", 1, "/api/v1/sources/own/new", json!({ "source": {} })),
        ("datasets", 1, new, dataset(0, 0)),
        ("sources_per_dataset", 0, new, dataset(0, 0)),
        ("labels_per_dataset", 1, new, dataset(2, 0)),
        ("entities_per_dataset", 1, new, dataset(0, 2)),
        ("triggers", 0, streams, stream.clone()),
        ("triggers_per_dataset", 0, streams, stream),
        ("users", 1, USERS, user),
    ] {
        let quota = format!("/api/_private/quotas/tributary/{kind}");
        let limited = client.call("POST", &quota, json!({ "hard_limit": limit })).await;
        assert_eq!(limited.status, 200);
        let refused = client.call("PUT", path, body.clone()).await;
        assert_eq!(refused.status, 422, "{kind}");
        assert!(refused.message().contains(&format!("`{kind}`")), "{}", refused.message());
        client.call("POST", &quota, json!({ "hard_limit": 100 })).await;
        let taken = client.call("PUT", path, body).await;
        assert_eq!(taken.status, 200, "{kind}: {taken:?}");
        if path == new {
            assert_eq!(client.call("DELETE", new, Value::Null).await.status, 200);
        } else if path == streams {
            client.call("DELETE", &format!("{streams}/st"), Value::Null).await;
        }
    }
}

#[tokio::test]
async fn each_write_leaves_its_event() {
    let server = Running::start().await;
    server.add_project("own").await;
    let source = server.add_source("own", None).await;
    let mut client = server.client().await;
    let comment = json!({ "id": "c", "timestamp": "2026-01-01T00:00:00Z", "messages": [{ "body": { "text": "x" } }] });
    let body = json!({ "comments": [comment] });
    client.call("POST", "/api/v1/sources/own/letters/sync", body).await;
    let label = json!({ "labelling": [{ "group": "g", "assigned": [{ "name": "l" }] }] });
    let (letters, ds) = ("/api/v1/sources/own/letters", "/api/v1/datasets/own/ds");
    let path = |rest: &str| format!("{ds}/streams{rest}");
    let since = json!({ "to_comment_created_at": "2020-01-01T00:00:00Z" });
    let known = crate::sign_in::events(&server).await.len();
    let mut expected = Vec::new();
    for (method, path, body, kind) in [
        ("PUT", "/api/v1/sources/own/two".to_owned(), json!({ "source": {} }), "create_source"),
        ("POST", letters.to_owned(), json!({ "source": { "title": "T" } }), "update_source"),
        (
            "POST",
            "/api/_private/sources/own%2Fletters/conversion/retry".to_owned(),
            json!({}),
            "retry_conversion",
        ),
        ("PUT", ds.to_owned(), json!({ "dataset": { "source_ids": [source] } }), "create_dataset"),
        ("POST", ds.to_owned(), json!({ "dataset": { "title": "T" } }), "update_dataset"),
        (
            "POST",
            format!("/api/_private/datasets/own/ds/labellings/{source}.c"),
            label,
            "annotate_comment",
        ),
        ("PUT", path(""), json!({ "stream": { "name": "st" } }), "put_stream"),
        ("POST", path("/st/reset"), since, "reset_stream"),
        ("DELETE", path("/st"), Value::Null, "delete_stream"),
        ("DELETE", ds.to_owned(), Value::Null, "delete_dataset"),
        ("DELETE", format!("{letters}/comments?id=c"), Value::Null, "delete_comments"),
        ("DELETE", letters.to_owned(), Value::Null, "delete_source"),
        (
            "POST",
            "/api/_private/quotas/tributary/users".to_owned(),
            json!({ "hard_limit": 9 }),
            "update_quota",
        ),
    ] {
        let done = client.call(method, &path, body).await;
        assert_eq!(done.status, 200, "{method} {path}: {done:?}");
        expected.push(kind);
    }
    let events = crate::sign_in::events(&server).await;
    let kinds: Vec<_> = events.iter().skip(known).map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn users_are_seen_by_those_who_share_a_project_and_no_further() {
    let server = Running::start().await;
    server.add_project("own").await;
    server.add_project("other").await;
    let both = [("own", &["voc"][..]), ("other", &["voc"])];
    let (id, _) = server.add_user("target", &["audit-read"], &both).await;
    server.add_user("far", &[], &[("other", &["voc"])]).await;
    let (_, reader) = server.add_user("reader", &[], &[("own", &["users-read"])]).await;
    let (_, member) = server.add_user("member", &[], &[("own", &["voc"])]).await;
    let mut client = with(&server, &reader).await;
    let seen = client.call("GET", USERS, Value::Null).await.json();
    let names: Vec<_> = seen["users"].as_array().unwrap().iter().collect();
    let names: Vec<_> = names.iter().map(|own| own["username"].as_str().unwrap()).collect();
    // The first user made the project, and is in it.
    assert_eq!(names, ["admin", "member", "reader", "target"]);
    let shown = client.call("GET", &format!("{USERS}/{id}"), Value::Null).await.json();
    assert_eq!(shown["user"]["organisation_permissions"], json!({ "own": ["voc"] }));
    assert_eq!(shown["user"]["global_permissions"], json!([]));
    let mut client = with(&server, &member).await;
    assert_eq!(client.call("GET", &format!("{USERS}/{id}"), Value::Null).await.status, 404);
}
