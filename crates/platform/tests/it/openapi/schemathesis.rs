//! schemathesis makes requests of the description, right ones and wrong ones, and judges the answers.

use std::{path::Path, process::Stdio};

use serde_json::{Value, json};
use tokio::process::Command;

use super::scene::Scene;

/// Set to anything, it asks for the long run: the whole description, and random bodies.
const LONG: &str = "TRIBUTARY_SCHEMATHESIS_LONG";
/// Longest list and longest text whose bounds are tried in the short run. To make lists of 16,384
/// comments, or texts of 32 million characters, takes minutes; the tests of limits have them.
const MAX_TRIED: u64 = 512;

/// The description without bounds that take long to reach.
fn shorten(part: &mut Value) {
    match part {
        Value::Object(map) => {
            for bound in ["maxItems", "maxLength"] {
                if map.get(bound).and_then(Value::as_u64).is_some_and(|most| most > MAX_TRIED) {
                    map.remove(bound);
                }
            }
            map.values_mut().for_each(shorten);
        }
        Value::Array(list) => list.iter_mut().for_each(shorten),
        _ => {}
    }
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
        "GET /api/_private/buckets/{bucket}/emails/{email}/original/parts/{index}",
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

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() {
    #[expect(clippy::disallowed_methods, reason = "`cargo xtask schemathesis` asks this way")]
    let is_long = std::env::var_os(LONG).is_some();
    let mut scene = Scene::new().await;
    if !is_long {
        shorten(&mut scene.document.0);
    }
    let description = scene.server.folder.path().join("openapi.json");
    std::fs::write(&description, scene.document.0.to_string()).unwrap();
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
    let phases = if is_long { "examples,coverage,fuzzing" } else { "examples,coverage" };
    let run = async |half: &str| {
        let mut command = Command::new(&script);
        command
            .arg("--no-color")
            .arg("--config-file")
            .arg(&config)
            .arg("run")
            .arg(&description)
            .args(["--url", &scene.server.url])
            .args(["-H", &format!("Authorization: Bearer {}", scene.server.token)])
            // What the first two phases send depends on the description alone.
            .args(["--checks", "all", "--phases", phases, "--max-examples", "20"])
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
