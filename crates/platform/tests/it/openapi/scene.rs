//! A server with one of each, and what the paths of its description stand for.

use std::sync::Arc;

use async_trait::async_trait;
use platform::{Exchange, Options, Step};
use record::Secret;
use serde_json::{Value, json};
use testkit::platform_contract::client::Answer;

use super::document::Document;
use crate::server::Running;

/// A server with one of each, and what the paths of the document stand for.
pub(super) struct Scene {
    pub(super) server: Running,
    pub(super) document: Document,
    user: String,
    source: String,
    dataset: String,
    integration: String,
    mail: String,
    made: u32,
}

/// Id of the comment that there is from the beginning.
const KNOWN: &str = "known";

/// Everything it is asked about works.
struct Willing;

#[async_trait]
impl Exchange for Willing {
    async fn try_out(&self, _: Secret) -> Result<Vec<Step>, String> {
        let (check, outcome) = ("sign-in".to_owned(), "ok");
        Ok(vec![Step { check, outcome, detail: "done".to_owned(), advice: None }])
    }
}

impl Scene {
    pub(super) async fn new() -> Self {
        let keys = tempfile::tempdir().unwrap();
        let vault = vault::Vault::open(&keys.path().join("vault.key"), true).unwrap();
        let exchange: Option<Arc<dyn Exchange>> = Some(Arc::new(Willing));
        let options = Options { vault: Some(Arc::new(vault)), exchange, ..Options::default() };
        let server = Running::start_with(options).await;
        server.add_project("own").await;
        let mut client = server.client().await;
        let mut put = async |path: &str, body: Value| {
            let made = client.call("PUT", path, body).await;
            assert_eq!(made.status, 200, "{path}: {made:?}");
            made.json()
        };
        let made = put("/api/v1/sources/own%2Fsource", json!({ "source": {} })).await;
        let source = made["source"]["id"].as_str().unwrap().to_owned();
        let comment = json!({
            "id": KNOWN, "timestamp": "2026-11-02T08:00:00Z", "thread_id": "thread",
            "messages": [{ "body": { "text": "a" } }],
        });
        let comments = json!({ "comments": [comment] });
        put("/api/_private/sources/own%2Fsource/comments", comments).await;
        let dataset = json!({ "dataset": { "source_ids": [source] } });
        let made = put("/api/v1/datasets/own%2Fset", dataset).await;
        let dataset = made["dataset"]["id"].as_str().unwrap().to_owned();
        let stream = json!({ "stream": { "name": "stream" } });
        put("/api/v1/datasets/own%2Fset/streams", stream).await;
        let integration = json!({ "integration": { "configuration": {
            "connection": {
                "access": { "kind": "app_access" },
                "application": { "kind": "custom", "tenant_id": "contoso.com", "client_id": "a" },
            },
            "mailboxes": [],
        }}});
        let made = put("/api/_private/integrations/own%2Fexchange", integration).await;
        let integration = made["integration"]["id"].as_str().unwrap().to_owned();
        let user = server.get("/auth/user").await["user"]["id"].as_str().unwrap().to_owned();
        let welcome = format!("/api/_private/users/{user}/welcome-email");
        assert_eq!(client.call("POST", &welcome, json!({})).await.status, 200);
        let mails = server.get("/api/_private/mail-outbox").await;
        let mail = mails["mails"][0]["id"].as_str().unwrap().to_owned();
        let mut session = server.store.write().await.unwrap();
        let project = session.project("own").await.unwrap().unwrap();
        session.put_config(&project.id, "config", b"{}", "admin").await.unwrap();
        session.commit().await.unwrap();
        let document = Document(server.get("/api/openapi.json").await);
        Self { server, document, user, source, dataset, integration, mail, made: 0 }
    }

    /// A path that leads somewhere, or to something new, for a request that makes something.
    fn path(&mut self, method: &str, path: &str) -> String {
        self.made += 1;
        let makes = method == "PUT";
        let new = |name: &str, made: u32| format!("{name}{made}");
        let bucket = if makes && path.ends_with("s/{bucket}") && !path.contains("state") {
            format!("own%2F{}", new("b", self.made))
        } else {
            "own%2Fmail".to_owned()
        };
        let project = if makes && path.ends_with("projects/{project}") {
            new("p", self.made)
        } else {
            "own".to_owned()
        };
        let source = if makes && path.ends_with("sources/{source}") {
            format!("own%2F{}", new("s", self.made))
        } else {
            "own%2Fsource".to_owned()
        };
        let item = |of: &str, known: &str, made: u32| {
            if makes && path.ends_with(of) { format!("own%2Fi{made}") } else { known.to_owned() }
        };
        let integration = item("{integration}", "own%2Fexchange", self.made);
        let dataset = item("{dataset}", "own%2Fset", self.made);
        let comment = if path.contains("/labellings/") {
            format!("{}.{KNOWN}", self.source)
        } else {
            "3c613e".to_owned()
        };
        path.replace("{bucket}", &bucket)
            .replace("{source}", &source)
            .replace("{comment}", &comment)
            .replace("{integration}", &integration)
            .replace("{dataset}", &dataset)
            .replace("{stream}", "stream")
            .replace("{group}", "default")
            .replace("{version}", "1")
            .replace("{mail}", &self.mail)
            .replace("{thread}", "thread")
            .replace("{tag}", "generic.0.CONVKER5")
            .replace("{attachment}", "00000000000000aa-e01-0")
            .replace("{project}", &project)
            .replace("{user}", &self.user)
            .replace("{email}", "3c613e")
            .replace("{index}", "0")
            .replace("{key}", "00ff")
            .replace("{name}", "config")
            .replace("{tenant}", "tributary")
            .replace("{kind}", "users")
            .replace("{session}", "0123456789abcdef")
            .replace("{token}", "0123456789abcdef")
    }

    /// The sample of a body, with what cannot be known from its schema.
    pub(super) fn body(&mut self, schema: &Value) -> Value {
        self.made += 1;
        let mut body = self.document.sample(schema);
        let (user, made) = (self.user.clone(), self.made);
        let (source, dataset) = (self.source.clone(), self.dataset.clone());
        let integration = self.integration.clone();
        edit(&mut body, &mut |name, value| match name {
            "source_ids" => *value = json!([source]),
            "sources" if value.is_array() => *value = json!([source]),
            "projects" if value.is_array() => *value = json!(["own"]),
            "copy_annotations_from" => *value = dataset.clone().into(),
            "integration_id" => *value = integration.clone().into(),
            "uid" => *value = format!("{source}.{KNOWN}").into(),
            "user_ids" => *value = json!([user]),
            "username" => *value = format!("u{made}").into(),
            "email" => *value = format!("u{made}@example.com").into(),
            "num_shards" => *value = 1.into(),
            "id" if *value == "a" => *value = "3c613e".into(),
            // Of what there is not.
            "bucket_id" | "context" => *value = Value::Null,
            "global_permissions" => *value = json!(["root"]),
            "hard_limit" => *value = 1000.into(),
            "project" if value.is_string() => *value = "own".into(),
            _ => {}
        });
        body
    }

    pub(super) async fn ask(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        let path = self.path(method, path);
        let mut client = self.server.client().await;
        let mut body = body.clone();
        // A change is made to what was read last.
        if let Some(seen) = body.pointer_mut("/integration/updated_at") {
            let now = client.call("GET", &path, Value::Null).await.json();
            *seen = now["integration"]["updated_at"].clone();
        }
        client.call(method, &path, body).await
    }

    /// Routes with bodies in JSON: method, path, schema of the body, schema of the answer.
    pub(super) fn routes(&self) -> Vec<(String, String, Option<Value>, Option<Value>)> {
        let mut routes = Vec::new();
        // These need a password or a link, or end what this test comes in with; the tests of
        // signing in have them.
        let ends =
            ["/auth/sign-in", "/auth/sign-out", "/auth/link", "/auth/link/inspect", "/revoke"];
        let ends = [&ends[..], &["/account/password", "/auth/oidc/start", "/auth/oidc/callback"]];
        for (path, methods) in self.document.0["paths"].as_object().unwrap() {
            // No dataset has a model, so that these only refuse; the tests of datasets have them.
            if path.contains("/labellers/") || ends.concat().iter().any(|end| path.ends_with(end)) {
                continue;
            }
            for (method, operation) in methods.as_object().unwrap() {
                let json = |content: &Value| content.pointer("/application~1json/schema").cloned();
                let body = json(&operation["requestBody"]["content"]);
                let answer = json(&operation["responses"]["200"]["content"]);
                routes.push((method.to_uppercase(), path.clone(), body, answer));
            }
        }
        routes
    }
}

/// Visits each named field.
fn edit(value: &mut Value, change: &mut dyn FnMut(&str, &mut Value)) {
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(name, value)| {
            edit(value, change);
            change(name, value);
        }),
        Value::Array(list) => list.iter_mut().for_each(|value| edit(value, change)),
        _ => {}
    }
}
