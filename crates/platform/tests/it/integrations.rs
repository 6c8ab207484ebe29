//! Integrations: what is taken, what is never given out, and what the official client can read.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use platform::{Exchange, Options, Step};
use record::Secret;
use serde_json::{Value, json};
use testkit::platform_contract::client::Client;
use vault::Vault;

use crate::server::Running;

const PATH: &str = "/api/_private/integrations/own/ex";
const CANARY: &str = "canary-of-a-secret";

/// Notes what it is asked to try.
#[derive(Default)]
struct Noted(Mutex<Vec<Value>>);

#[async_trait]
impl Exchange for Noted {
    async fn try_out(&self, config: Secret) -> Result<Vec<Step>, String> {
        self.0.lock().unwrap().push(serde_json::from_str(config.reveal()).unwrap());
        let step = |check: &str, outcome| Step {
            check: check.to_owned(),
            outcome,
            detail: "d".to_owned(),
            advice: None,
        };
        Ok(vec![step("dns", "ok"), step("sign-in", "fail")])
    }
}

async fn start() -> (Running, Client, Arc<Noted>) {
    let keys = tempfile::tempdir().unwrap();
    let vault = Vault::open(&keys.path().join("vault.key"), true).unwrap();
    let noted = Arc::new(Noted::default());
    let exchange: Option<Arc<dyn Exchange>> = Some(noted.clone());
    let options = Options { vault: Some(Arc::new(vault)), exchange, ..Options::default() };
    let server = Running::start_with(options).await;
    server.add_project("own").await;
    let mut client = server.client().await;
    client.headers.push(("user-agent", "a browser".to_owned()));
    (server, client, noted)
}

/// The body that the official client was seen to send.
fn official() -> Value {
    json!({ "integration": { "title": "EX", "enabled": true, "configuration": {
        "connection": {
            "access": { "kind": "user_access", "username": "svc@example.com" },
            "application": { "kind": "custom", "client_id": "cid", "tenant_id": "tid" },
            "ews_endpoint": "https://outlook.office365.com/EWS/Exchange.asmx",
            "build_version": null },
        "mailboxes": [{
            "email": "abc@example.com", "enabled": true, "disabled_reason": null,
            "folder_allowlist": [["Inbox", "Claims"]], "folder_denylist": [["Junk"]],
            "participant_allowlist": ["a@x"], "participant_denylist": [],
            "participant_domain_allowlist": ["x.org"], "participant_domain_denylist": [],
            "start_timestamp": "2020-01-01T00:00:00Z",
            "bucket_specification": { "project_name": "own", "name": "bkt", "title": "Bkt" },
        }],
    }}})
}

fn ntlm(password: Option<&str>) -> Value {
    let mut access = json!({ "kind": "user_access", "username": "EX\\svc" });
    if let Some(password) = password {
        access["password"] = password.into();
    }
    json!({ "integration": { "configuration": {
        "connection": {
            "access": access,
            "application": { "kind": "ntlm" },
            "ews_endpoint": "https://mail.example.com/EWS/Exchange.asmx",
        },
        "mailboxes": [],
    }}})
}

#[tokio::test]
async fn what_the_official_client_writes_it_reads_back() {
    let (server, mut client, _) = start().await;
    let made = client.call("PUT", PATH, official()).await;
    assert_eq!(made.status, 200, "{}", made.message());
    let mut expected = official()["integration"]["configuration"].clone();
    expected["connection"].as_object_mut().unwrap().remove("build_version");
    expected["mailboxes"][0].as_object_mut().unwrap().remove("disabled_reason");
    let integration = &made.json()["integration"];
    assert_eq!(integration["configuration"], expected);
    assert_eq!(
        (&integration["type"], &integration["name"]),
        (&json!("exchange_online"), &json!("ex"))
    );
    // The bucket that it names is there.
    let bucket = server.get("/api/_private/buckets/own/bkt").await;
    assert_eq!(bucket["bucket"]["title"], "Bkt");
    assert_eq!(client.call("PUT", PATH, official()).await.status, 409);
    let id = integration["id"].as_str().unwrap();
    let by_id = format!("/api/_private/integrations/id:{id}");
    assert_eq!(&server.get(&by_id).await["integration"], integration);
    assert_eq!(client.call("DELETE", &by_id, Value::Null).await.status, 200);
    assert_eq!(client.call("GET", PATH, Value::Null).await.status, 404);
}

#[tokio::test]
async fn one_that_the_official_client_cannot_read_does_not_hide_the_others_from_it() {
    let (_server, mut client, _) = start().await;
    assert_eq!(client.call("PUT", PATH, official()).await.status, 200);
    let other = "/api/_private/integrations/own/ntlm";
    assert_eq!(client.call("PUT", other, ntlm(None)).await.status, 200);
    let list = |answer: Value| -> (Vec<String>, Value) {
        let names = answer["integrations"].as_array().unwrap().iter();
        (
            names.map(|own| own["name"].as_str().unwrap().to_owned()).collect(),
            answer["left_out"].clone(),
        )
    };
    let path = "/api/_private/integrations";
    let whole = list(client.call("GET", path, Value::Null).await.json());
    assert_eq!(whole, (vec!["ex".to_owned(), "ntlm".to_owned()], Value::Null));
    client.headers.clear();
    let simple = list(client.call("GET", path, Value::Null).await.json());
    assert_eq!(simple, (vec!["ex".to_owned()], json!(1)));
}

#[tokio::test]
async fn a_secret_is_kept_sealed_and_never_shown() {
    let (server, mut client, _) = start().await;
    let made = client.call("PUT", PATH, ntlm(Some(CANARY))).await;
    assert_eq!(made.json()["integration"]["stored_secrets"], json!(["password"]));
    let mut all = Vec::new();
    for path in [PATH, "/api/_private/integrations", "/api/_private/integrations/own"] {
        all.extend(client.call("GET", path, Value::Null).await.body);
    }
    all.extend(client.call("GET", &format!("{PATH}/appliance-config"), Value::Null).await.body);
    all.extend(made.body);
    let events = json!({ "filter": {} });
    all.extend(client.call("POST", "/api/v1/audit_events/query", events).await.body);
    let mut session = server.store.read().await.unwrap();
    let own = session.integration("own", "ex").await.unwrap().unwrap();
    assert!(own.secrets.as_ref().unwrap().starts_with("v1."), "{own:?}");
    all.extend(format!("{own:?}").into_bytes());
    drop(session);
    // Everything that is on the disk, with what is not yet in the database file itself.
    for entry in std::fs::read_dir(server.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            all.extend(std::fs::read(path).unwrap());
        }
    }
    assert!(!String::from_utf8_lossy(&all).contains(CANARY));
}

#[tokio::test]
async fn a_stored_secret_does_not_follow_to_another_place() {
    let (_server, mut client, noted) = start().await;
    let full = json!({ "integration": { "configuration": {
        "connection": {
            "access": { "kind": "app_access" },
            "application": { "kind": "custom", "client_id": "c", "tenant_id": "t",
                             "client_secret": CANARY },
            "ews_endpoint": "https://mail.example.com/", "microsoft_api": { "kind": "ews" },
        },
        "mailboxes": [],
    }}});
    let made = client.call("PUT", PATH, full.clone()).await.json();
    let id = made["integration"]["id"].clone();
    let mut kept = full.clone();
    let application = "/integration/configuration/connection/application";
    kept.pointer_mut(application).unwrap().as_object_mut().unwrap().remove("client_secret");
    let same = client.call("POST", PATH, kept.clone()).await.json();
    assert_eq!(same["integration"]["stored_secrets"], json!(["client_secret"]));
    let places = [
        ("/ews_endpoint", json!("https://mail.example.net/")),
        ("/application/client_id", json!("other")),
        ("/application/tenant_id", json!("other")),
        ("/microsoft_api/kind", json!("graph")),
    ];
    for (place, value) in places {
        let mut moved = kept.clone();
        let connection = moved.pointer_mut("/integration/configuration/connection").unwrap();
        *connection.pointer_mut(place).unwrap() = value;
        let connection = connection.clone();
        let refused = client.call("POST", PATH, moved).await;
        assert_eq!(refused.status, 422, "{place}");
        let field = place.trim_start_matches('/').replace('/', ".");
        assert!(refused.message().contains(&field), "{}", refused.message());
        // Neither does a test get it.
        let path = "/api/_private/validate-exchange-credentials";
        let test =
            json!({ "connection": connection, "integration_id": id, "test_mailbox": "a@x.org" });
        assert_eq!(client.call("PUT", path, test).await.status, 422, "{place}");
        assert!(noted.0.lock().unwrap().is_empty());
    }
    let mut forgotten = kept.clone();
    *forgotten.pointer_mut("/integration/configuration/connection/ews_endpoint").unwrap() =
        json!("https://mail.example.net/");
    let secrets = forgotten.pointer_mut(application).unwrap().as_object_mut().unwrap();
    secrets.insert("client_secret".to_owned(), Value::Null);
    let moved = client.call("POST", PATH, forgotten).await.json();
    assert_eq!(moved["integration"]["stored_secrets"], json!([]));
}

#[tokio::test]
async fn credentials_are_tried_with_what_is_stored() {
    let (server, mut client, noted) = start().await;
    let made = client.call("PUT", PATH, ntlm(Some(CANARY))).await.json();
    let connection = ntlm(None)["integration"]["configuration"]["connection"].clone();
    let id = made["integration"]["id"].clone();
    let test = json!({ "connection": connection, "integration_id": id, "test_mailbox": "a@x.org" });
    let path = "/api/_private/validate-exchange-credentials";
    let result = client.call("PUT", path, test.clone()).await.json()["result"].clone();
    assert_eq!((&result["kind"], &result["message"]), (&json!("error"), &json!("sign-in: d")));
    assert!(!result.to_string().contains(CANARY));
    let config = noted.0.lock().unwrap().pop().unwrap();
    assert_eq!(config["auth_password"], CANARY);
    assert_eq!(config["ews_endpoint"], "https://mail.example.com/EWS/Exchange.asmx");
    // What a group gives is worth as much as what people gave.
    let (grouped, token) = server.add_user("grouped", &[], &[]).await;
    let new = json!({ "connection": connection, "test_mailbox": "a@x.org" });
    client.token = token;
    assert_eq!(client.call("PUT", path, new.clone()).await.status, 403);
    let mut session = server.store.write().await.unwrap();
    let roles = [("own".to_owned(), "role-cm-developer".to_owned())].into();
    assert!(session.set_group_roles(&grouped, &roles).await.unwrap());
    session.commit().await.unwrap();
    let tried = client.call("PUT", path, new).await;
    assert_eq!(tried.status, 200, "{}", tried.message());
    noted.0.lock().unwrap().clear();
    // Who may only read integrations cannot use what is stored, and learns nothing about others.
    let reads: &[&str] = &["integrations-read"];
    let (_, reader) = server.add_user("reader", &[], &[("own", reads)]).await;
    client.token = reader;
    assert_eq!(client.call("PUT", path, test.clone()).await.status, 403);
    server.add_project("other").await;
    let (_, stranger) =
        server.add_user("stranger", &[], &[("other", &["integrations-write"])]).await;
    client.token = stranger;
    let refused = client.call("PUT", path, test).await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().starts_with("`integration_id`"), "{}", refused.message());
    assert!(noted.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn two_who_change_it_at_once_are_told() {
    let (_server, mut client, _) = start().await;
    let made = client.call("PUT", PATH, official()).await.json();
    let seen = made["integration"]["updated_at"].clone();
    let change = |title: &str| json!({ "integration": { "title": title, "updated_at": seen } });
    let first = client.call("POST", PATH, change("first")).await;
    assert_eq!(first.json()["integration"]["title"], "first");
    let second = client.call("POST", PATH, change("second")).await;
    assert_eq!(second.status, 409);
    assert!(second.message().contains("updated_at"), "{}", second.message());
    let off = json!({ "integration": { "enabled": false } });
    let off = client.call("POST", PATH, off).await.json();
    assert_eq!(off["integration"]["disabled_reason"], "user");
    let on = json!({ "integration": { "enabled": true } });
    assert_eq!(
        client.call("POST", PATH, on).await.json()["integration"]["disabled_reason"],
        Value::Null
    );
}

#[tokio::test]
async fn each_field_is_checked_and_nothing_is_half_written() {
    let (server, mut client, _) = start().await;
    let table = [
        ("/configuration/connection/access/kind", json!("all"), "connection.access.kind"),
        ("/configuration/connection/application/kind", json!(1), "connection.application.kind"),
        ("/configuration/connection/application/tenant_id", json!("a/../b"), "tenant_id"),
        ("/configuration/connection/ews_endpoint", json!("file:///etc"), "ews_endpoint"),
        ("/configuration/connection/ews_endpoint", json!("https://u:p@h/"), "ews_endpoint"),
        ("/configuration/connection/build_version", json!("x".repeat(65)), "build_version"),
        ("/configuration/mailboxes/0/email", json!("abc"), "mailboxes[0].email"),
        ("/configuration/mailboxes/0/enabled", json!("yes"), "mailboxes[0].enabled"),
        ("/configuration/mailboxes/0/disabled_reason", json!("bored"), "disabled_reason"),
        ("/configuration/mailboxes/0/folder_allowlist", json!([[]]), "folder_allowlist[0]"),
        ("/configuration/mailboxes/0/folder_denylist", json!(["Inbox"]), "folder_denylist[0]"),
        (
            "/configuration/mailboxes/0/participant_allowlist",
            json!([1]),
            "participant_allowlist[0]",
        ),
        ("/configuration/mailboxes/0/start_timestamp", json!("2020-01-01"), "start_timestamp"),
        (
            "/configuration/mailboxes/0/bucket_specification/name",
            json!("a b"),
            "bucket_specification.name",
        ),
        ("/configuration/mailboxes/0/bucket_specification/project_name", json!("nil"), "`nil`"),
        ("/configuration/mailboxes", json!({}), "configuration.mailboxes"),
        ("/title", json!("x".repeat(257)), "integration.title"),
        ("/enabled", json!(null), "integration.enabled"),
    ];
    for (place, value, named) in table {
        let mut body = official();
        *body["integration"].pointer_mut(place).unwrap() = value;
        let refused = client.call("PUT", PATH, body).await;
        assert_eq!(refused.status, 400, "{place}: {}", String::from_utf8_lossy(&refused.body));
        assert!(refused.message().contains(named), "{place}: {}", refused.message());
    }
    for place in [
        "",
        "/configuration",
        "/configuration/connection",
        "/configuration/mailboxes/0",
        "/configuration/connection/application",
        "/configuration/mailboxes/0/bucket_specification",
    ] {
        let mut body = official();
        let object = body["integration"].pointer_mut(place).unwrap().as_object_mut().unwrap();
        object.insert("colour".to_owned(), json!("red"));
        let refused = client.call("PUT", PATH, body).await;
        assert_eq!(refused.status, 400, "{place}");
        assert!(refused.message().contains("colour`: unknown field"), "{}", refused.message());
    }
    let mut twice = official();
    let mailboxes = twice["integration"]["configuration"]["mailboxes"].as_array_mut().unwrap();
    let mut again = mailboxes[0].clone();
    again["email"] = json!("ABC@example.com");
    mailboxes.push(again);
    let refused = client.call("PUT", PATH, twice).await;
    assert!(refused.message().contains("named twice"), "{}", refused.message());
    assert_eq!(server.get("/api/_private/integrations").await["integrations"], json!([]));
    let absent = client.call("GET", "/api/_private/buckets/own/bkt", Value::Null).await;
    assert_eq!(absent.status, 404);
}

#[tokio::test]
async fn mail_goes_only_where_its_writer_may_put_it() {
    let (server, mut client, _) = start().await;
    let writes: &[&str] = &["integrations-write", "integrations-read"];
    let (_, token) = server.add_user("writer", &[], &[("own", writes)]).await;
    client.token = token;
    let refused = client.call("PUT", PATH, official()).await;
    assert_eq!(refused.status, 403);
    assert!(refused.message().contains("`buckets-write`"), "{}", refused.message());
    let mut there = official();
    there["integration"]["configuration"]["mailboxes"][0]["bucket_specification"]["name"] =
        json!("mail");
    let refused = client.call("PUT", PATH, there).await;
    assert!(refused.message().contains("`buckets-append`"), "{}", refused.message());
}

#[tokio::test]
async fn quotas_hold_for_integrations_and_their_mailboxes() {
    let (server, mut client, _) = start().await;
    let quota = |kind: &str| format!("/api/_private/quotas/tributary/{kind}");
    let limit = |count: u32| json!({ "hard_limit": count });
    client.call("POST", &quota("mailboxes_per_integration"), limit(0)).await;
    let refused = client.call("PUT", PATH, official()).await;
    assert_eq!(refused.status, 422);
    assert!(refused.message().contains("`mailboxes_per_integration`"), "{}", refused.message());
    let raised = json!({ "hard_limit": 0, "auto_increase_up_to": 1 });
    client.call("POST", &quota("mailboxes_per_integration"), raised).await;
    assert_eq!(client.call("PUT", PATH, official()).await.status, 200);
    client.call("POST", &quota("integrations"), limit(1)).await;
    let other = client.call("PUT", "/api/_private/integrations/own/two", ntlm(None)).await;
    assert_eq!(other.status, 422);
    let unknown = client.call("POST", &quota("mails"), limit(1)).await;
    assert_eq!(unknown.status, 400);
    assert!(unknown.message().contains("'mails' is not one of"), "{}", unknown.message());
    let counts = server.get("/api/_private/projects/own/resource_counts").await;
    assert_eq!(counts["integrations"], 1);
    let refused = client.call("DELETE", "/api/_private/projects/own", Value::Null).await;
    assert!(
        refused.message().ends_with(r#"{"buckets": 2, "integrations": 1}"#),
        "{}",
        refused.message()
    );
    let path = "/api/_private/projects/own?force=true";
    assert_eq!(client.call("DELETE", path, Value::Null).await.status, 200);
}
