//! What the platform keeps, as its operators see it: two processes on one PostgreSQL, backups,
//! `fsck`, and what is said about a database that cannot be had.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testkit::platform_contract::client::{Client, emails_of};
use tokio::runtime::Runtime;

use crate::{
    harness::{Guarded, PATIENCE, PROGRAM, hex},
    health::free_address,
};

const EMAILS: &str = "/api/_private/buckets/project/mail/emails";

/// One process of a platform.
pub struct Server {
    child: Option<Guarded>,
    pub address: SocketAddr,
    pub data: PathBuf,
    /// Where its output goes, with an ending of its own.
    pub output: PathBuf,
    database: Option<String>,
    shared: PathBuf,
    /// Words before the command.
    pub under: Vec<String>,
    /// Flags and variables besides.
    pub more: Vec<String>,
    pub variables: Vec<(&'static str, String)>,
}

impl Server {
    /// One that is not started.
    pub fn at(folder: &Path, name: &str, database: Option<&str>) -> Self {
        Self {
            child: None,
            address: free_address(),
            data: folder.join(name),
            output: folder.join(name),
            database: database.map(str::to_owned),
            shared: folder.join("shared"),
            under: Vec::new(),
            more: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// Starts a process, which may still be starting when this returns.
    fn start(folder: &Path, name: &str, database: Option<&str>) -> Self {
        let mut server = Self::at(folder, name, database);
        server.start_again();
        server
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.output.with_extension(kind)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut words = self.under.iter().map(String::as_str).chain([PROGRAM]);
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .args(arguments)
            .env_clear()
            .arg("--data")
            .arg(&self.data)
            .args(&self.more);
        command.envs(self.variables.iter().cloned());
        if let Some(url) = &self.database {
            command.env("TRIBUTARY_DATABASE_URL", url);
            command.arg("--object-store").arg(format!("file://{}", self.shared.display()));
        }
        command
    }

    pub fn start_again(&mut self) {
        let file = |kind| {
            let path = self.file(kind);
            fs::OpenOptions::new().create(true).append(true).open(path).unwrap()
        };
        let mut command = self.command(&["serve", "--bind", &self.address.to_string()]);
        command.stdin(Stdio::null()).stdout(file("told")).stderr(file("log"));
        self.child = Some(Guarded(command.spawn().unwrap()));
    }

    pub fn wait(&self) {
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let log = || fs::read_to_string(self.file("log")).unwrap();
            assert!(began.elapsed() < PATIENCE, "does not start:\n{}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The token that the first start printed, if it was this one's.
    pub fn token(&self) -> Option<String> {
        let told = fs::read_to_string(self.file("told")).unwrap();
        told.split_whitespace().find(|word| word.starts_with("tri_")).map(str::to_owned)
    }

    pub fn end(&mut self, signal: Signal) {
        let mut child = self.child.take().unwrap();
        kill_process(Pid::from_child(&child.0), signal).unwrap();
        child.0.wait().unwrap();
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

pub fn runtime() -> Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(1).enable_all().build().unwrap()
}

pub async fn call(at: &(SocketAddr, String), method: &str, path: &str, body: Value) -> Value {
    let mut client = Client::connect(at.0, &at.1).await;
    let answer = client.call(method, path, body).await;
    assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
    answer.json()
}

pub async fn make_bucket(at: &(SocketAddr, String)) {
    call(at, "PUT", "/api/_private/projects/project", json!({ "project": {} })).await;
    let bucket = json!({ "bucket": { "bucket_type": "emails" } });
    call(at, "PUT", "/api/_private/buckets/project/mail", bucket).await;
}

/// Text that is too large for the database however it is compressed.
pub fn large(seed: &str) -> String {
    let hashes = (0..4000).map(|n| hex(&Sha256::digest(format!("{seed} {n}"))));
    format!("Subject: {seed}\r\n\r\n{}", hashes.collect::<Vec<_>>().join("\r\n"))
}

/// Ids and contents of one upload. Some ids are everybody's, with one content for each; they come
/// in an order of their own, so that two uploads wait for one another.
fn batch(uploader: u32, number: u64) -> Vec<(String, String)> {
    let own = (0..10).map(|n| {
        let id = format!("<{uploader}.{number}.{n}@example.com>");
        (id.clone(), format!("Subject: {id}\r\n\r\n{}", hex(&Sha256::digest(&id)).repeat(20)))
    });
    let mut emails: Vec<_> = own.collect();
    let mut common: Vec<_> = (0..3)
        .map(|n| {
            let id = format!("<common.{}.{n}@example.com>", number / 2);
            (id.clone(), large(&id))
        })
        .collect();
    if uploader.is_multiple_of(2) {
        common.reverse();
    }
    emails.splice(5..5, common);
    emails
}

pub type Acknowledged = Arc<Mutex<BTreeMap<String, String>>>;

pub async fn upload(
    at: (SocketAddr, String),
    uploader: u32,
    over: Arc<AtomicBool>,
    acknowledged: Acknowledged,
    may_fail: bool,
) {
    let mut number = 0;
    while !over.load(Ordering::Relaxed) {
        // Nobody listens between two lives.
        if TcpStream::connect(at.0).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let emails = batch(uploader, number);
        let body: Vec<Value> = emails
            .iter()
            .map(|(id, content)| {
                json!({ "id": id, "mailbox": "a@example.com", "mime_content": content,
                        "timestamp": "2026-01-01T00:00:00Z" })
            })
            .collect();
        let asked = tokio::spawn({
            let at = at.clone();
            async move {
                let mut client = Client::connect(at.0, &at.1).await;
                client.try_call("PUT", EMAILS, emails_of(&body)).await
            }
        });
        if let Ok(Ok(answer)) = asked.await {
            if may_fail && answer.status != 200 {
                continue;
            }
            assert_eq!(answer.status, 200, "others got in the way: {answer:?}");
            let hash = |(id, content): (String, String)| (id, hex(&Sha256::digest(content)));
            acknowledged.lock().unwrap().extend(emails.into_iter().map(hash));
        }
        number += 1;
    }
}

/// The hash of each email, by id. An id that comes twice fails.
pub async fn stored(at: &(SocketAddr, String), path: &str) -> BTreeMap<String, String> {
    let mut emails = BTreeMap::new();
    let mut request = json!({ "limit": 256 });
    loop {
        let page = call(at, "POST", path, request.clone()).await;
        for email in page["emails"].as_array().unwrap() {
            let text = |key: &str| email[key].as_str().unwrap().to_owned();
            let other = emails.insert(text("id"), hex(&Sha256::digest(text("mime_content"))));
            assert_eq!(other, None, "{} is there twice", text("id"));
        }
        if page["continuation"].is_null() {
            return emails;
        }
        request["continuation"] = page["continuation"].clone();
    }
}

pub fn wait_for(acknowledged: &Acknowledged, more: usize, server: &Server) {
    let before = acknowledged.lock().unwrap().len();
    let began = Instant::now();
    while acknowledged.lock().unwrap().len() < before + more {
        let log = || fs::read_to_string(server.file("log")).unwrap();
        assert!(began.elapsed() < PATIENCE, "nothing is taken:\n{}", log());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
pub fn succeeded(output: &Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn two_processes_on_one_postgres_keep_what_they_acknowledged_though_one_is_killed() {
    let url = testkit::postgres::postgres().new_database();
    let folder = tempfile::tempdir().unwrap();
    // At the same moment: one of them makes the tables and the first user.
    let mut one = Server::start(folder.path(), "one", Some(&url));
    let mut two = Server::start(folder.path(), "two", Some(&url));
    one.wait();
    two.wait();
    let began = Instant::now();
    let token = loop {
        let tokens: Vec<_> = [one.token(), two.token()].into_iter().flatten().collect();
        assert!(tokens.len() < 2, "there were two first starts");
        if let Some(token) = tokens.into_iter().next() {
            break token;
        }
        assert!(began.elapsed() < PATIENCE);
    };
    let runtime = runtime();
    let at = |server: &Server| (server.address, token.clone());
    runtime.block_on(make_bucket(&at(&one)));
    let acknowledged = Acknowledged::default();
    let over = Arc::new(AtomicBool::new(false));
    let uploads: Vec<_> = (0..4)
        .map(|uploader| {
            let at = at(if uploader < 2 { &one } else { &two });
            let (over, acknowledged) = (Arc::clone(&over), Arc::clone(&acknowledged));
            runtime.spawn(upload(at, uploader, over, acknowledged, false))
        })
        .collect();
    for _ in 0..3 {
        wait_for(&acknowledged, 60, &one);
        two.end(Signal::KILL);
        two.start_again();
    }
    two.wait();
    wait_for(&acknowledged, 60, &one);
    over.store(true, Ordering::Relaxed);
    for upload in uploads {
        runtime.block_on(upload).unwrap();
    }
    let stored = runtime.block_on(stored(&at(&one), EMAILS));
    for (id, hash) in acknowledged.lock().unwrap().iter() {
        assert_eq!(stored.get(id), Some(hash), "{id}");
    }
    let checked = one.run(&["fsck", "--repair", "--json"]);
    let report: Value = serde_json::from_str(&succeeded(&checked)).unwrap();
    assert_eq!(report["damaged"], false, "{report}");
    assert!(report["contents"].as_u64().unwrap() > 0);
    one.end(Signal::TERM);
    two.end(Signal::TERM);
}

#[test]
fn a_backup_is_made_while_mail_comes_in_and_a_platform_made_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), "one", None);
    server.wait();
    let began = Instant::now();
    while server.token().is_none() {
        assert!(began.elapsed() < PATIENCE);
    }
    let token = server.token().unwrap();
    let runtime = runtime();
    let at = (server.address, token.clone());
    runtime.block_on(make_bucket(&at));
    let acknowledged = Acknowledged::default();
    let over = Arc::new(AtomicBool::new(false));
    let uploading = upload(at, 1, Arc::clone(&over), Arc::clone(&acknowledged), false);
    let uploaded = runtime.spawn(uploading);
    wait_for(&acknowledged, 60, &server);
    let before: Vec<String> = acknowledged.lock().unwrap().keys().cloned().collect();
    let home = folder.path().join("backups");
    let made = server.run(&["backup", home.to_str().unwrap(), "--json"]);
    let made: Value = serde_json::from_str(&succeeded(&made)).unwrap();
    assert_eq!(made["damaged"], json!([]));
    wait_for(&acknowledged, 20, &server);
    over.store(true, Ordering::Relaxed);
    runtime.block_on(uploaded).unwrap();
    server.end(Signal::KILL);
    // The same folder is refused, another one taken.
    let refused = server.run(&["restore", home.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
    let mut other = Server::at(folder.path(), "other", None);
    succeeded(&other.run(&["restore", home.to_str().unwrap()]));
    other.start_again();
    other.wait();
    let stored = runtime.block_on(stored(&(other.address, token), EMAILS));
    let acknowledged = acknowledged.lock().unwrap();
    for id in &before {
        assert_eq!(stored.get(id), acknowledged.get(id), "{id}");
    }
    other.end(Signal::TERM);
    assert_eq!(other.run(&["fsck"]).status.code(), Some(0));
    // A content that a disk has damaged is named, and taken from the backup.
    let damaged = walk(&other.data.join("contents")).pop().unwrap();
    let good = fs::read(&damaged).unwrap();
    fs::write(&damaged, "damaged").unwrap();
    let found = other.run(&["fsck"]);
    let told = String::from_utf8(found.stdout).unwrap();
    assert_eq!(found.status.code(), Some(1), "{told}");
    let hash = damaged.file_name().unwrap().to_str().unwrap();
    assert!(told.contains(hash) && told.contains("project/mail <common."), "{told}");
    let from = ["fsck", "--repair", "--from", home.to_str().unwrap()];
    assert!(succeeded(&other.run(&from)).contains("restored from the backup"));
    assert_eq!(fs::read(&damaged).unwrap(), good);
}

pub fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => files.extend(walk(&path)),
            path => files.push(path),
        }
    }
    files
}

#[test]
fn a_database_that_cannot_be_had_is_told_as_it_is() {
    let good = testkit::postgres::postgres().new_database();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    fs::write(&file, format!("{good}\n")).unwrap();
    let nobody = good.replace("test@", "nobody:hunter2@");
    let (other, _) = good.rsplit_once('/').unwrap();
    let run = |flag: Option<&str>, variables: &[(&str, &str)]| {
        let mut command = Command::new(PROGRAM);
        command.args(["token", "list", "--data"]).arg(folder.path().join("data")).env_clear();
        if let Some(flag) = flag {
            command.args(["--database-url", flag]);
        }
        command.envs(variables.iter().copied()).output().unwrap()
    };
    let variable = "TRIBUTARY_DATABASE_URL";
    let file = ("TRIBUTARY_DATABASE_URL_FILE", file.to_str().unwrap());
    succeeded(&run(Some(&good), &[]));
    succeeded(&run(None, &[(variable, &good)]));
    succeeded(&run(None, &[file]));
    let closed = free_address();
    type Case<'a> = (Option<String>, Vec<(&'a str, String)>, i32, &'a str);
    let table: Vec<Case<'_>> = vec![
        (Some("postgres://a:hunter2@db/mail".to_owned()), vec![], 78, "every user of this machine"),
        (Some("mysql://db/mail".to_owned()), vec![], 78, "begins with `mysql:`"),
        (Some(good.clone()), vec![(variable, good.clone())], 78, "are both given"),
        (None, vec![(file.0, "/nowhere".to_owned())], 74, "`/nowhere` cannot be read"),
        (None, vec![(variable, nobody)], 77, "refused the sign-in"),
        (None, vec![(variable, format!("{other}/nothing"))], 78, "no database of that name"),
        (None, vec![(variable, format!("{good}?sslmode=require"))], 78, "TLS failed"),
        (
            None,
            vec![(variable, format!("postgres://a:hunter2@{closed}/mail"))],
            75,
            "could not reach",
        ),
    ];
    for (flag, variables, code, told) in table {
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, &**value)).collect();
        let output = run(flag.as_deref(), &variables);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{told}: {text}");
        assert!(text.contains(told) && !text.contains("hunter2"), "{told}: {text}");
    }
}
