//! Hostile emails in a real browser: nothing loads, nothing runs, with every layer of the defense
//! and with each of them alone.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a panic here is a failed test, which tells what it saw"
)]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::server::Running;

const HOSTILE: &str = include_str!("../browser/hostile.txt");
const PLAYWRIGHT: &str = "playwright-core@1.64.1";

/// A folder with playwright-core in it, installed once for all runs.
async fn modules() -> PathBuf {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/playwright");
    if !home.join(PLAYWRIGHT).exists() {
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("package.json"), "{\"private\": true}").unwrap();
        let mut install = Command::new("npm");
        install.args(["install", "--silent", "--no-audit", "--no-fund", "--no-save"]);
        install.args(["--ignore-scripts", PLAYWRIGHT]).current_dir(&home).stdin(Stdio::null());
        assert!(install.status().await.unwrap().success(), "npm could not install {PLAYWRIGHT}");
        std::fs::write(home.join(PLAYWRIGHT), "").unwrap();
    }
    home.join("node_modules")
}

fn chromium() -> &'static str {
    let paths = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let found = paths.into_iter().find(|path| Path::new(path).exists());
    found.expect("the tests need Chromium: apt-get install chromium")
}

/// Names and HTML.
fn payloads() -> Vec<(String, String)> {
    let mut payloads: Vec<(String, String)> = Vec::new();
    for line in HOSTILE.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        match line.split_once(": ").filter(|(name, _)| is_name(name)) {
            Some((name, html)) => payloads.push((name.to_owned(), html.replace("{ff}", "\u{c}"))),
            None => {
                let (_, html) = payloads.last_mut().unwrap();
                html.push('\n');
                html.push_str(line);
            }
        }
    }
    payloads
}

fn upload(name: &str, mime: &str) -> Value {
    json!({
        "id": format!("<{name}@hostile.example>"),
        "mailbox": "abc@example.com",
        "timestamp": "2026-11-02T08:00:00Z",
        "mime_content": mime,
    })
}

/// Files that do harm when a browser shows them, under names that try to have it do so.
const FILES: &[(&str, &str, &str)] = &[
    ("text/html", "a.html", "<script>{js}</script><img src='{url}'>"),
    (
        "image/svg+xml",
        "b.svg",
        "<svg xmlns='http://www.w3.org/2000/svg'><script>{js}</script></svg>",
    ),
    (
        "application/xhtml+xml",
        "c.xhtml",
        "<html xmlns='http://www.w3.org/1999/xhtml'><script>{js}</script></html>",
    ),
    (
        "text/xml",
        "../../d.xml",
        "<x xmlns='http://www.w3.org/1999/xhtml'><script>{js}</script></x>",
    ),
    ("image/png", "e.png\"; x=\".html", "<script>{js}</script>"),
    ("text/html\"><script>{js}</script>", "<img src=x onerror={js}>.html", "<script>{js}</script>"),
    ("text/javascript", "f\u{202e}gnp.js", "{js}"),
    ("application/pdf", "g.pdf", "%PDF-1.4 /OpenAction << /S /JavaScript /JS (app.alert(1)) >>"),
];

fn with_files() -> String {
    let mut mime = "From: \"<img src=x onerror={js}>\" <a@b>\nSubject: <script>{js}</script>\n\
                    MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n\
                    --x\nContent-Type: text/html\n\n<p>See the files</p>\n"
        .to_owned();
    for (kind, name, content) in FILES {
        let name = name.replace('"', "\\\"");
        mime.push_str(&format!(
            "--x\nContent-Type: {kind}\nContent-Disposition: inline; filename=\"{name}\"\n\n{content}\n"
        ));
    }
    mime + "--x--\n"
}

/// What the browser saw of each layer.
async fn look(server: &Running) -> Vec<Value> {
    let mut emails: Vec<Value> = payloads()
        .into_iter()
        .map(|(name, html)| {
            // Every other field that a page may show says the same.
            let subject = html.replace(['\n', '\u{c}'], " ");
            let mime = format!(
                "From: a@example.com\nSubject: {subject}\nMIME-Version: 1.0\n\
                 Content-Type: text/html; charset=utf-8\n\n{html}"
            );
            json!({ "name": name, "id": format!("<{name}@hostile.example>"), "html": html,
                    "upload": upload(&name, &mime) })
        })
        .collect();
    emails.push(json!({
        "name": "files", "id": "<files@hostile.example>", "html": "", "parts": FILES.len(),
        "upload": upload("files", &with_files()),
    }));
    let task = json!({
        "url": server.url, "token": server.token, "bucket": "own/mail", "chromium": chromium(),
        "modules": modules().await, "emails": emails,
    });
    let file = server.folder.path().join("task.json");
    std::fs::write(&file, task.to_string()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/canary.js");
    let output = Command::new("node").arg(script).arg(&file).stdin(Stdio::null()).output();
    let output = output.await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_hostile_email_loads_or_runs() {
    let server = Running::start().await;
    server.add_project("own").await;
    let seen = look(&server).await;
    let layer = |name: &str| seen.iter().find(|it| it["layer"] == name).unwrap();
    let names = |value: &Value| -> BTreeSet<String> {
        value.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let count = payloads().len() + 1;
    for name in ["whole", "srcdoc", "sanitizer", "policy"] {
        let one = layer(name);
        println!("{one}");
        assert_eq!(one["shown"], count, "{one}");
        assert_eq!(one["requests"], json!([]), "{name}");
        assert_eq!(one["scripts"], json!([]), "{name}");
        assert_eq!((&one["dialogs"], &one["pages"]), (&json!(0), &json!(0)), "{name}");
        assert_eq!(one["late"], 0, "{one}");
        // A policy does not keep a browser from connecting ahead; that is left to the others.
        if name != "policy" {
            assert_eq!(one["connections"], 0, "{name}");
        }
    }
    assert_eq!(layer("sandbox")["scripts"], json!([]));
    // Without all this, each email does what it is meant to: else it tests nothing. Some need to be
    // parsed, written and parsed again, as sanitizers do.
    let (nothing, again) = (layer("nothing"), layer("again"));
    println!("{nothing}\n{again}");
    let harmless = &names(&nothing["silent"]) & &names(&again["silent"]);
    // The harm of this one is in its files, which have a layer of their own.
    assert_eq!(harmless, BTreeSet::from(["files".to_owned()]));
    // Pictures, and nothing else, come when the reader asks for them, and never without TLS.
    let remote = layer("remote");
    assert_eq!((&remote["requests"], &remote["scripts"]), (&json!([]), &json!([])));
    assert!(remote["connections"].as_u64().unwrap() > 0, "{remote}");
    let parts = layer("parts");
    assert_eq!((&parts["scripts"], &parts["requests"]), (&json!([]), &json!([])), "{parts}");
    assert_eq!((&parts["opened"], &parts["dialogs"]), (&json!([]), &json!(0)), "{parts}");
    assert_eq!(names(&parts["saved"]).len(), FILES.len(), "{parts}");
}
