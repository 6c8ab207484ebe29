//! The two ends of the way: a simulated Exchange and a simulated platform on this machine.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{ChildStdout, Command, Stdio},
    thread,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{
    super::{output, text, write},
    container::Guarded,
};
use crate::target_dir;

const MAILBOXES: &str = "2";
/// In each mailbox; drafts and items that are no mail are among them.
const MESSAGES: &str = "200";

/// What the platform accepts.
pub(super) const TOKEN: &str = "smoke-test-token";

/// Starts a simulated Exchange, and writes a configuration for it that holds inside the image.
pub(super) fn exchange(folder: &Path) -> Result<Guarded> {
    let config = folder.join("written.json");
    let mut command = Command::new(target_dir().join("debug/tributary"));
    command.args(["simulate", "exchange", "--bind", "127.0.0.1:0", "--auth", "basic"]);
    command.args(["--mailboxes", MAILBOXES, "--messages", MESSAGES, "--config-file"]);
    command.arg(&config).arg("--ca-file").arg(folder.join("ca.pem"));
    let mut process = command.stdout(Stdio::piped()).spawn().context("no simulated Exchange")?;
    let told = process.stdout.take().context("no stdout")?;
    let exchange = Guarded { process, stop: None };
    let mut url = None;
    let mut told = BufReader::new(told).lines();
    for line in told.by_ref() {
        let line = line.context("the simulated Exchange said nothing")?;
        if let Some(told) = line.strip_prefix("Simulated Exchange: ") {
            url = Some(told.replace("127.0.0.1", "localhost"));
        }
        // Printed after both files are written.
        if line.starts_with("Configuration for the appliance") {
            break;
        }
    }
    // What follows is read as well: a server that cannot print ends.
    thread::spawn(move || told.for_each(drop));
    let mut settings: Value = serde_json::from_str(&text(&config)?)?;
    settings["ews_endpoint"] = json!(url.context("the simulated Exchange did not start")?);
    settings["ews_ca_file"] = json!("/mnt/config/ca.pem");
    write(&folder.join("example_ews_config"), settings.to_string())?;
    Ok(exchange)
}

/// A simulated platform that listens on this machine's loopback address, with a certificate.
pub(super) struct Platform {
    url: String,
    bucket: String,
    ca_file: String,
    _process: Guarded,
}

impl Platform {
    /// Starts one with the bucket of the configuration in `folder`, and leaves its certificate
    /// there.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let settings: Value = serde_json::from_str(&text(&folder.join("example_ews_config"))?)?;
        let first = settings["mailboxes"].as_object().and_then(|all| all.values().next());
        let bucket = first.map(|mailbox| &mailbox["bucket"]).context("no mailboxes")?;
        let part = |name: &str| bucket[name].as_str().context("no bucket");
        let bucket = format!("{}/{}", part("owner")?, part("name")?);
        let ca_file = folder.join("platform.pem");
        let mut command = Command::new(target_dir().join("debug/tributary"));
        command.args(["simulate", "platform", "--bind", "127.0.0.1:0", "--tls", "--ca-file"]);
        command.arg(&ca_file).args(["--token", TOKEN, "--bucket", &bucket]);
        let mut process =
            command.stdout(Stdio::piped()).spawn().context("no simulated platform")?;
        let told = process.stdout.take().context("no stdout")?;
        let process = Guarded { process, stop: None };
        let url = told_url(told, "Simulated platform: ")?;
        let ca_file = ca_file.display().to_string();
        Ok(Self { url, bucket, ca_file, _process: process })
    }

    /// What the appliance is told.
    pub(super) fn endpoint(&self) -> String {
        format!("{}/api/", self.url)
    }

    /// How many emails it holds, asked as anybody else would ask.
    pub(super) fn emails(&self) -> Result<u64> {
        let bucket = self.bucket.replace('/', "%2F");
        let url = format!("{}/api/_private/buckets/{bucket}/statistics", self.url);
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--fail",
            "--cacert",
            &self.ca_file,
            "--oauth2-bearer",
            TOKEN,
            &url,
        ]);
        let answer: Value = serde_json::from_str(&output(&mut curl)?).context(url)?;
        answer.pointer("/statistics/count/value").and_then(Value::as_u64).context("no count")
    }
}

/// The address that a server prints after `words`.
fn told_url(told: ChildStdout, words: &str) -> Result<String> {
    let mut told = BufReader::new(told).lines();
    for line in told.by_ref() {
        let line = line.context("a simulated server said nothing")?;
        if let Some(url) = line.strip_prefix(words) {
            // What follows is read as well: a server that cannot print ends.
            thread::spawn(move || told.for_each(drop));
            return Ok(url.to_owned());
        }
    }
    anyhow::bail!("a simulated server did not start")
}
