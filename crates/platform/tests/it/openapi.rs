//! The API's description of itself against the API: what it declares is taken and given, and
//! nothing else is taken.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a panic here is a failed test, which tells what it saw"
)]

use std::{collections::BTreeMap, path::Path, process::Stdio, sync::Arc};

use async_trait::async_trait;
use platform::{Exchange, Options, Step};
use record::Secret;
use serde_json::{Map, Value, json};
use testkit::platform_contract::client::Answer;
use tokio::process::Command;

use crate::server::Running;

/// A description, and what it says a body looks like.
struct Document(Value);

impl Document {
    fn follow<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let name = schema["$ref"].as_str().and_then(|name| name.strip_prefix('#'));
        name.map_or(schema, |pointer| self.follow(self.0.pointer(pointer).unwrap()))
    }

    /// A value with every field that the schema knows.
    fn sample(&self, schema: &Value) -> Value {
        let schema = self.follow(schema);
        if let Some(any) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
            return self.sample(&any[0]);
        }
        if let Some(example) = schema["examples"].get(0).or_else(|| schema["enum"].get(0)) {
            return example.clone();
        }
        let kind = &schema["type"];
        if kind.is_null() {
            return Value::Null;
        }
        match kind.get(0).unwrap_or(kind).as_str().unwrap() {
            "object" => {
                let fields = schema["properties"].as_object();
                let field = |(name, schema): (&String, &Value)| (name.clone(), self.sample(schema));
                match fields {
                    Some(fields) => fields.iter().map(field).collect(),
                    // What names there can be, a schema cannot tell.
                    None => json!({}),
                }
            }
            "array" if schema["maxItems"] == 0 => json!([]),
            "array" => json!([self.sample(&schema["items"])]),
            "string" => "a".repeat(schema["minLength"].as_u64().unwrap_or(1) as usize).into(),
            "integer" => schema["minimum"].clone(),
            "number" => 1.into(),
            "boolean" => false.into(),
            other => panic!("{other}"),
        }
    }

    /// Where in a value there are objects, and which schema each has.
    fn objects<'a>(
        &'a self,
        schema: &'a Value,
        value: &Value,
        at: String,
    ) -> Vec<(String, &'a Value)> {
        let schema = self.follow(schema);
        if let Some(any) = schema["anyOf"].as_array() {
            return self.objects(&any[0], value, at);
        }
        match value {
            // Others take more than they declare.
            Value::Object(map)
                if schema["properties"].is_object() && schema["additionalProperties"] == false =>
            {
                let mut found = vec![(at.clone(), schema)];
                for (name, value) in map {
                    found.extend(self.objects(
                        &schema["properties"][name],
                        value,
                        format!("{at}/{name}"),
                    ));
                }
                found
            }
            Value::Array(list) if !list.is_empty() => {
                self.objects(&schema["items"], &list[0], format!("{at}/0"))
            }
            _ => Vec::new(),
        }
    }

    /// What is wrong with a value.
    fn check(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let schema = self.follow(schema);
        if let Some(any) = schema["anyOf"].as_array() {
            let tried: Vec<_> = any.iter().map(|schema| self.check(schema, value, at)).collect();
            let fits = tried.iter().any(Vec::is_empty);
            return if fits { Vec::new() } else { tried.concat() };
        }
        let kind = match value {
            Value::Number(number) if number.is_f64() => "number",
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let known = &schema["type"];
        if known.is_null() {
            return Vec::new();
        }
        let fits = |known: &Value| known == kind || known == "number" && kind == "integer";
        if !fits(known) && !known.as_array().is_some_and(|all| all.iter().any(fits)) {
            return vec![format!("{at} is of type {kind}, not {}", schema["type"])];
        }
        let mut wrong = Vec::new();
        if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
            wrong.push(format!("{at} is {value}"));
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            if value.get(name.as_str().unwrap()).is_none() {
                wrong.push(format!("{at} lacks {name}"));
            }
        }
        for (name, value) in value.as_object().into_iter().flatten() {
            let patterns = schema["patternProperties"].as_object().into_iter().flatten();
            // All patterns of names that there are begin with a word and a colon.
            let named = |pattern: &str| {
                pattern
                    .split_once(':')
                    .is_some_and(|(word, _)| name.starts_with(word.trim_start_matches('^')))
            };
            let mut matching = patterns.filter(|(pattern, _)| named(pattern)).map(|(_, own)| own);
            let own = schema["properties"].get(name).or_else(|| matching.next());
            let own = own.unwrap_or(&schema["additionalProperties"]);
            match own {
                Value::Bool(true) => {}
                Value::Object(_) => wrong.extend(self.check(own, value, &format!("{at}/{name}"))),
                _ => wrong.push(format!("{at} has {name}")),
            }
        }
        for (number, value) in value.as_array().into_iter().flatten().enumerate() {
            wrong.extend(self.check(&schema["items"], value, &format!("{at}/{number}")));
        }
        wrong
    }
}

/// A server with one of each, and what the paths of the document stand for.
struct Scene {
    server: Running,
    document: Document,
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
    async fn new() -> Self {
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
    fn body(&mut self, schema: &Value) -> Value {
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

    async fn ask(&mut self, method: &str, path: &str, body: &Value) -> Answer {
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
    fn routes(&self) -> Vec<(String, String, Option<Value>, Option<Value>)> {
        let mut routes = Vec::new();
        // These need a password or a link, or end what this test comes in with; the tests of
        // signing in have them.
        let ends =
            ["/auth/sign-in", "/auth/sign-out", "/auth/link", "/auth/link/inspect", "/revoke"];
        let ends = [&ends[..], &["/account/password", "/auth/oidc/start", "/auth/oidc/callback"]];
        for (path, methods) in self.document.0["paths"].as_object().unwrap() {
            if ends.concat().iter().any(|end| path.ends_with(end)) {
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

fn fields<'a>(value: &'a mut Value, pointer: &str) -> &'a mut Map<String, Value> {
    value.pointer_mut(pointer).unwrap().as_object_mut().unwrap()
}

#[tokio::test]
async fn every_declared_field_is_taken_and_no_other() {
    let mut scene = Scene::new().await;
    for (method, path, schema, _) in scene.routes() {
        let Some(schema) = schema else { continue };
        let shown = format!("{method} {path}");
        let body = scene.body(&schema);
        let answer = scene.ask(&method, &path, &body).await;
        assert_eq!(answer.status, 200, "{shown} with {body}: {answer:?}");
        let objects = scene.document.objects(&schema, &body, String::new());
        let objects: Vec<(String, Value)> =
            objects.into_iter().map(|(at, schema)| (at, schema.clone())).collect();
        assert!(!objects.is_empty(), "{shown}");
        for (at, schema) in objects {
            let mut more = scene.body(&schema_of(&scene, &method, &path));
            fields(&mut more, &at).insert("undeclared".to_owned(), 1.into());
            let answer = scene.ask(&method, &path, &more).await;
            let refused =
                answer.status == 400 && answer.message().contains("undeclared`: unknown field");
            assert!(refused, "{shown} with {more}: {answer:?}");
            for name in schema["required"].as_array().into_iter().flatten() {
                let name = name.as_str().unwrap();
                let mut less = scene.body(&schema_of(&scene, &method, &path));
                fields(&mut less, &at).remove(name);
                let answer = scene.ask(&method, &path, &less).await;
                let refused = answer.status == 400 && answer.message().contains(name);
                assert!(refused, "{shown} without {name}: {answer:?}");
            }
        }
    }
}

fn schema_of(scene: &Scene, method: &str, path: &str) -> Value {
    let pointer = format!(
        "/paths/{}/{}/requestBody/content/application~1json/schema",
        path.replace('/', "~1"),
        method.to_lowercase()
    );
    scene.document.0.pointer(&pointer).unwrap().clone()
}

#[tokio::test]
async fn every_answer_looks_as_declared() {
    let mut scene = Scene::new().await;
    let mut seen: BTreeMap<String, u16> = BTreeMap::new();
    // What a later one asks for is made by an earlier one; what removes it comes last.
    let mut routes = scene.routes();
    routes.sort_by_key(|(method, path, ..)| match method.as_str() {
        "PUT" => (0, path.len()),
        "DELETE" if path.ends_with("{user}") => (4, 0),
        "DELETE" if path.ends_with("{project}") => (3, 0),
        "DELETE" => (2, usize::MAX - path.len()),
        _ => (1, path.len()),
    });
    for (method, path, body, answer) in routes {
        let Some(schema) = answer else { continue };
        let shown = format!("{method} {path}");
        let body = body.map_or(Value::Null, |schema| scene.body(&schema));
        let path = match (method.as_str(), path.as_str()) {
            (_, path) if path.ends_with("/emails") && body.is_null() => format!("{path}?id=3c613e"),
            ("DELETE", path) if path.ends_with("/comments") => format!("{path}?id=3c613e"),
            ("DELETE", "/api/_private/projects/{project}") => format!("{path}?force=true"),
            _ => path,
        };
        let answer = scene.ask(&method, &path, &body).await;
        seen.insert(shown.clone(), answer.status.as_u16());
        let schema = if answer.status == 200 {
            schema
        } else {
            json!({ "$ref": "#/components/schemas/Error" })
        };
        let wrong = scene.document.check(&schema, &answer.json(), "answer");
        assert!(wrong.is_empty(), "{shown}: {wrong:#?} in {answer:?}");
    }
    // The few that need a file, or cannot be done to oneself.
    let refused: Vec<_> = seen.iter().filter(|(_, status)| **status != 200).collect();
    let expected = [
        "DELETE /api/_private/users/{user}",
        "DELETE /api/_private/account/sessions/{session}",
        "DELETE /api/_private/account/tokens/{token}",
    ];
    let others = refused.iter().filter(|(name, status)| {
        !expected.contains(&name.as_str()) && **status != 415 && **status != 400
    });
    assert_eq!(others.count(), 0, "{refused:?}");
    assert!(seen.len() - refused.len() > 25, "{refused:?}");
}

/// A Python with schemathesis, installed once for all runs.
async fn schemathesis() -> std::path::PathBuf {
    const VERSION: &str = "schemathesis==4.32.5";
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/schemathesis");
    if !home.join(VERSION).exists() {
        let run = async |command: &mut Command| {
            let status = command.stdin(Stdio::null()).status().await.unwrap();
            assert!(status.success(), "{command:?}");
        };
        run(Command::new("python3").args(["-m", "venv"]).arg(&home)).await;
        let mut install = Command::new(home.join("bin/python"));
        run(install.args(["-m", "pip", "install", "--quiet", VERSION])).await;
        std::fs::write(home.join(VERSION), "").unwrap();
    }
    home.join("bin/schemathesis")
}

/// What schemathesis cannot know: names of what there is, and which requests can be refused for
/// what they mean though they are well-formed.
fn settings(user: &str, leaver: &str) -> String {
    let accepted = r#"["2xx", "3xx", 401, 403, 404, 409, 422, 429"#;
    let meaningful = [
        // The shard must be one of the shards, members must exist, a file must be a configuration.
        ("POST", "/api/_private/buckets/{bucket}"),
        // Not more than two thousand spans.
        ("GET", "/api/_private/buckets/{bucket}/volume"),
        ("PUT", "/api/_private/projects/{project}"),
        // Continuations have been issued here.
        ("GET", "/api/_private/sources/{source}/threads/{thread}"),
        ("POST", "/api/_private/datasets/{dataset}/query"),
        ("POST", "/api/_private/datasets/{dataset}/recent"),
        ("GET", "/api/_private/datasets/{dataset}/labellings"),
        ("POST", "/api/v1/datasets/{dataset}/streams/{stream}/advance"),
        // Names of properties say what their values are, and queries have a grammar.
        ("POST", "/api/_private/search"),
        ("POST", "/api/_private/search/volume"),
        // Projects must exist.
        ("POST", "/api/_private/account/tokens"),
        // Sources and datasets must exist.
        ("PUT", "/api/v1/datasets/{dataset}"),
        ("POST", "/api/v1/datasets/{dataset}"),
        // Projects must exist, and addresses, ways to sign in and filters fit one another.
        ("PUT", "/api/_private/integrations/{integration}"),
        ("POST", "/api/_private/integrations/{integration}"),
        ("GET", "/api/_private/integrations/{integration}/appliance-config"),
        ("PUT", "/api/_private/validate-exchange-credentials"),
        // Buckets must exist, ids be named, and continuations have been issued.
        ("PUT", "/api/v1/sources/{source}"),
        ("POST", "/api/v1/sources/{source}"),
        ("POST", "/api/v1/sources/{source}/sync-raw-emails"),
        ("GET", "/api/v1/sources/{source}/threads"),
        ("GET", "/api/_private/sources/{source}/comments"),
        ("DELETE", "/api/v1/sources/{source}/comments"),
        ("PUT", "/api/_private/users"),
        ("POST", "/api/_private/users/{user}"),
        ("PUT", "/api/v1/appliance-configs/{project}/{name}"),
        ("PUT", "/api/_private/appliance-configs/{project}/{name}"),
    ];
    let mut settings = format!(
        "[parameters]\nbucket = \"own/mail\"\nsource = \"own/source\"\nproject = \"own\"\nuser = \"{user}\"\n\
         tenant = \"tributary\"\nname = \"config\"\nintegration = \"own/exchange\"\n\
         dataset = \"own/set\"\nstream = \"stream\"\n\
         [phases.coverage]\nunexpected-methods = [\"PATCH\"]\n\
         [checks.positive_data_acceptance]\nexpected-statuses = {accepted}]\n\
         [checks.negative_data_rejection]\nexpected-statuses = [\"4xx\"]\n"
    );
    for (method, path) in meaningful {
        settings.push_str(&format!(
            "[[operations]]\ninclude-name = \"{method} {path}\"\n\
             checks.positive_data_acceptance.expected-statuses = {accepted}, 400]\n"
        ));
    }
    // An empty file is a file, so that a body which is missing is none that is wrong; and where a
    // name is set above, schemathesis takes it for the wrong one that it would have sent.
    for name in [
        "PUT /api/_private/buckets/{bucket}/emails/{email}/attachments/{index}",
        "PUT /api/_private/sources/{source}/comments/{comment}/attachments/{index}",
        "PUT /api/_private/sources/{source}/comments/{comment}/audio",
        "GET /api/_private/appliance-configs/{project}/{name}/versions/{version}",
    ] {
        settings.push_str(&format!(
            "[[operations]]\ninclude-name = \"{name}\"\n\
             checks.negative_data_rejection.expected-statuses = [\"2xx\", \"4xx\"]\n"
        ));
    }
    // What others need is not removed.
    for (path, name, value) in [
        ("_private/buckets/{bucket}", "bucket", "own/leaver"),
        ("v1/sources/{source}", "source", "own/leaver"),
        ("_private/projects/{project}", "project", "leaver"),
        ("_private/integrations/{integration}", "integration", "own/leaver"),
        ("v1/datasets/{dataset}", "dataset", "own/leaver"),
        ("v1/datasets/{dataset}/streams/{stream}", "stream", "leaver"),
        ("_private/users/{user}", "user", leaver),
    ] {
        settings.push_str(&format!(
            "[[operations]]\ninclude-name = \"DELETE /api/{path}\"\n\
             parameters = {{ {name} = \"{value}\" }}\n"
        ));
    }
    settings
}

// `cargo xtask schemathesis` runs it: it keeps both processors busy for minutes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; cargo xtask schemathesis"]
async fn schemathesis_finds_nothing() {
    let scene = Scene::new().await;
    scene.server.add_project("leaver").await;
    let (user, _) = scene.server.add_user("member", &[], &[("own", &["voc"])]).await;
    let (leaver, _) = scene.server.add_user("leaver", &[], &[]).await;
    let made = json!({ "bucket": { "bucket_type": "emails" } });
    let mut client = scene.server.client().await;
    client.call("PUT", "/api/_private/buckets/own%2Fleaver", made).await;
    let made = json!({ "integration": { "configuration": { "mailboxes": [] } } });
    client.call("PUT", "/api/_private/integrations/own%2Fleaver", made).await;
    let made = json!({ "dataset": { "source_ids": [] } });
    client.call("PUT", "/api/v1/datasets/own%2Fleaver", made).await;
    let email = json!({ "emails": [{
        "id": "<a@example.com>", "mailbox": "a@example.com", "timestamp": "2026-11-02T08:00:00Z",
        "mime_content": "Subject: a\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\na\n\
                         --x\nContent-Type: application/pdf\n\nb\n--x--\n",
    }] });
    client.call("PUT", "/api/_private/buckets/own%2Fmail/emails", email).await;
    let config = scene.server.folder.path().join("schemathesis.toml");
    std::fs::write(&config, settings(&user, &leaver)).unwrap();
    let script = schemathesis().await;
    // It keeps one processor busy; there are two halves for two of them.
    let run = async |half: &str| {
        let mut command = Command::new(&script);
        command
            .arg("--no-color")
            .arg("--config-file")
            .arg(&config)
            .arg("run")
            .arg(format!("{}/api/openapi.json", scene.server.url))
            .args(["-H", &format!("Authorization: Bearer {}", scene.server.token)])
            // What these phases send depends on the description alone. Random bodies would be
            // refused for the same reasons, and take as long again.
            .args(["--checks", "all", "--phases", "examples,coverage"])
            .args(["--seed", "5", "--generation-database", "none", "--continue-on-failure"])
            // Each of these costs a hash that is made to be slow, or is refused after a few
            // failures.
            .args(["--exclude-path", "/auth/sign-in", "--exclude-path", "/auth/link"])
            .args(["--exclude-path", "/api/_private/account/password"])
            // The same handler has another path.
            .args(["--exclude-path", "/api/v1/appliance-configs/{project}/{name}"])
            .args(["--exclude-path", "/api/_private/datasets/{dataset}/recent"])
            .args([half, "/(buckets|bucket-sync-state|sources|integrations)"])
            .current_dir(scene.server.folder.path())
            .stdin(Stdio::null());
        let output = command.output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("{said}");
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let halves = tokio::join!(run("--include-path-regex"), run("--exclude-path-regex"));
    for (status, complained) in [halves.0, halves.1] {
        assert!(status.success(), "{complained}");
    }
}
