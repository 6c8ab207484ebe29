//! Independent clients against the simulated server: what they accept, others will.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use base64_simd::STANDARD;
use chrono::TimeZone;
use serde_json::{Value, json};
use simulators::{
    exchange::{Auth, ChannelBinding, Exchange, Fault, FaultRule, Op, Options, rest_id},
    generate::{self, Plan},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::Command,
    sync::OnceCell,
};

use crate::client::ABC;

/// Where the clients are installed, once for all runs.
fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers")
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name)
}

/// Runs a command, and fails with what it said if it fails.
pub(crate) async fn run(command: &mut Command) -> String {
    let shown = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap_or_else(|error| panic!("{shown}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}: {}\n{said}\n{complained}", output.status);
    said
}

/// The Python of a virtual environment with exchangelib.
async fn exchangelib() -> &'static Path {
    static PYTHON: OnceCell<PathBuf> = OnceCell::const_new();
    PYTHON
        .get_or_init(|| async {
            const VERSION: &str = "exchangelib==5.6.0";
            let home = peers().join("exchangelib");
            let python = home.join("bin/python");
            if !home.join(VERSION).exists() {
                run(Command::new("python3").args(["-m", "venv"]).arg(&home)).await;
                run(Command::new(&python).args(["-m", "pip", "install", "--quiet", VERSION])).await;
                std::fs::write(home.join(VERSION), "").unwrap();
            }
            python
        })
        .await
}

/// The Python of a virtual environment with the Microsoft Graph SDK. Its ten thousands of modules
/// are not compiled before they are used.
async fn msgraph() -> &'static Path {
    static PYTHON: OnceCell<PathBuf> = OnceCell::const_new();
    PYTHON
        .get_or_init(|| async {
            const VERSION: &str = "msgraph-sdk==1.65.0";
            // The SDK imports the second without saying so.
            const OTHERS: [&str; 2] = ["azure-identity==1.27.0", "deprecated==1.3.1"];
            let home = peers().join("msgraph");
            let python = home.join("bin/python");
            if !home.join(VERSION).exists() {
                run(Command::new("python3").args(["-m", "venv"]).arg(&home)).await;
                let mut install = Command::new(&python);
                install.args(["-m", "pip", "install", "--quiet", "--no-compile"]);
                run(install.arg(VERSION).args(OTHERS)).await;
                std::fs::write(home.join(VERSION), "").unwrap();
            }
            python
        })
        .await
}

/// A folder with ews-javascript-api in its `node_modules`.
async fn ews_javascript() -> PathBuf {
    const VERSION: &str = "ews-javascript-api@0.15.3";
    let home = peers().join("ews-js");
    if !home.join(VERSION).exists() {
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("package.json"), "{\"private\": true}").unwrap();
        let install = ["install", "--no-audit", "--no-fund", "--no-save", VERSION];
        run(Command::new("npm").args(install).current_dir(&home)).await;
        std::fs::write(home.join(VERSION), "").unwrap();
    }
    home
}

/// A server with a generated mailbox, and the task for a client.
async fn server(auth: Auth, scheme: &str) -> (Exchange, Value) {
    let server = Exchange::start(Options { auth, ..Options::default() }).await.unwrap();
    let until = chrono::Utc.with_ymd_and_hms(2026, 11, 21, 8, 15, 0).unwrap();
    let plan = Plan { seed: 11, messages: 250, size: None, until, with_other_items: true };
    generate::fill(&server, ABC, &plan).unwrap();
    let truth = server.truth(ABC).unwrap();
    let inbox = truth.iter().find(|item| item.folder == ["Inbox"]).unwrap().folder_id.clone();
    let truth: Vec<_> = truth
        .iter()
        .filter(|item| item.is_mail)
        .map(|item| {
            json!({
                "id": item.id, "folder": item.folder, "folder_id": item.folder_id,
                "rest_folder_id": rest_id(&item.folder_id),
                "immutable_id": server.immutable_id(&item.id).unwrap(),
                "search_key": STANDARD.encode_to_string(item.search_key),
                "sha256": item.sha256, "size": item.size,
                "received": item.received.map(|at| at.timestamp()),
            })
        })
        .collect();
    let task = json!({
        "url": server.ews_url(), "token_url": server.token_url(), "scheme": scheme,
        "user": Options::USER, "password": Options::PASSWORD, "mailbox": ABC,
        "client_id": Options::CLIENT_ID, "client_secret": Options::CLIENT_SECRET,
        "tenant": Options::TENANT, "inbox": inbox, "truth": truth,
    });
    (server, task)
}

async fn read_with_exchangelib(auth: Auth, scheme: &str) -> Exchange {
    let python = exchangelib().await;
    let (server, task) = server(auth, scheme).await;
    let file = server.directory().join("task.json");
    std::fs::write(&file, task.to_string()).unwrap();
    let mut command = Command::new(python);
    command.arg(script("exchangelib_client.py")).arg(&file);
    let said = run(command.env("REQUESTS_CA_BUNDLE", server.ca_file())).await;
    assert!(said.trim_end().ends_with("passed"), "{said}");
    server
}

#[tokio::test]
async fn exchangelib_reads_everything_over_basic() {
    let server = read_with_exchangelib(Auth::basic(), "basic").await;
    let requests = server.requests();
    let last = requests.last().unwrap();
    assert_eq!((last.anchor.as_deref(), last.cookie), (Some(ABC), true));
}

#[tokio::test]
async fn exchangelib_reads_everything_over_ntlm_with_channel_binding_required() {
    let auth = Auth::ntlm(ChannelBinding::Require);
    let server = read_with_exchangelib(auth, "ntlm").await;
    let requests = server.requests();
    let without_header = requests.iter().filter(|r| r.status == 200 && r.scheme.is_none()).count();
    assert!(without_header > 10, "the connection stays signed in");
}

#[tokio::test]
async fn exchangelib_reads_everything_over_oauth() {
    let server = read_with_exchangelib(Auth::bearer(), "oauth2").await;
    assert_eq!(server.token_count(), 1);
}

#[tokio::test]
async fn curl_signs_in_by_ntlm_unless_a_channel_binding_is_required() {
    for (binding, status) in [
        (ChannelBinding::None, "200"),
        (ChannelBinding::Allow, "200"),
        (ChannelBinding::Require, "401"),
    ] {
        let (server, _) = server(Auth::ntlm(binding), "ntlm").await;
        let request = crate::client::sync_items(&crate::client::distinguished("inbox"), "", 1, &[]);
        let file = server.directory().join("request.xml");
        std::fs::write(&file, crate::client::envelope("Exchange2013", &request)).unwrap();
        let user = format!("{}:{}", Options::USER, Options::PASSWORD);
        let mut command = Command::new("curl");
        command.args(["--silent", "--ntlm", "--user", &user, "--write-out", "%{http_code}"]);
        command.args(["--output", "/dev/null", "--header", "Content-Type: text/xml"]);
        command.arg("--data-binary").arg(format!("@{}", file.display()));
        command.arg("--cacert").arg(server.ca_file()).arg(server.ews_url());
        assert_eq!(run(&mut command).await, status, "{binding:?}");
    }
}

#[tokio::test]
async fn ews_javascript_api_reads_the_inbox_over_basic() {
    let modules = ews_javascript().await;
    let (server, mut task) = server(Auth::basic(), "basic").await;
    task["modules"] = json!(modules);
    let file = server.directory().join("task.json");
    std::fs::write(&file, task.to_string()).unwrap();
    let mut command = Command::new("node");
    command.arg(script("ews_javascript_client.mjs")).arg(&file);
    let said = run(command.env("NODE_EXTRA_CA_CERTS", server.ca_file())).await;
    assert!(said.starts_with("passed"), "{said}");
}

#[tokio::test]
async fn the_microsoft_graph_sdk_reads_what_ews_shows() {
    let python = msgraph().await;
    let (server, mut task) = server(Auth::ntlm(ChannelBinding::Require), "graph").await;
    let truth = server.truth(ABC).unwrap();
    let mut inbox = truth.iter().filter(|item| item.is_mail && item.folder == ["Inbox"]);
    let (moved, deleted) = (inbox.next().unwrap().id.clone(), inbox.next().unwrap().id.clone());
    task["url"] = json!(server.graph_url());
    task["inbox"] = json!(rest_id(task["inbox"].as_str().unwrap()));
    task["moved"] = json!(server.immutable_id(&moved).unwrap());
    task["moved_rest_id"] = json!(rest_id(&moved));
    task["deleted"] = json!(server.immutable_id(&deleted).unwrap());
    let file = server.directory().join("task.json");
    std::fs::write(&file, task.to_string()).unwrap();

    let mut command = Command::new(python);
    command.arg("-u").arg(script("msgraph_client.py")).arg(&file);
    command.env("SSL_CERT_FILE", server.ca_file()).env("REQUESTS_CA_BUNDLE", server.ca_file());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut complaints = child.stderr.take().unwrap();
    let complaints = tokio::spawn(async move {
        let mut text = String::new();
        complaints.read_to_string(&mut text).await.unwrap();
        text
    });
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(what) = line.strip_prefix("do ") {
            match what {
                "change" => {
                    server.move_item(&moved, &["Junk Email"]).unwrap();
                    server.delete_item(&deleted).unwrap();
                    server.deliver(ABC, &["Inbox"], "Subject: new\r\n\r\n", server.now()).unwrap();
                }
                "throttle" => {
                    let retry_after = Some(Duration::from_secs(1));
                    let fault = Fault::Http { status: 429, retry_after };
                    server.fault(FaultRule::new(fault).op(Op::MessagesDelta));
                }
                "forget" => server.invalidate_sync_states(ABC),
                other => panic!("{other}"),
            }
            input.write_all(b"done\n").await.unwrap();
        }
        said.push(line);
    }
    let status = child.wait().await.unwrap();
    let complaints = complaints.await.unwrap();
    assert!(status.success(), "{status}: {}\n{complaints}", said.join("\n"));
    assert_eq!(said.last().map(String::as_str), Some("passed"));

    let requests = server.requests();
    let throttled = requests.iter().filter(|request| request.status == 429).count();
    assert_eq!(throttled, 1, "the limits are not those that were hit");
    let usage = server.graph_usage();
    let own = usage.iter().find(|usage| usage.mailbox == ABC).unwrap();
    assert_eq!((own.throttled, own.app.as_str()), (0, Options::CLIENT_ID));
}
