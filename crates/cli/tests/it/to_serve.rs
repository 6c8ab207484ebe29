//! The platform as a process: it starts on an empty machine, takes the mail of an appliance, and
//! keeps what it has acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{SocketAddr, TcpStream},
    path::PathBuf,
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
    harness::{BUCKET, Guarded, PATIENCE, PROGRAM, World, drain, hex},
    health::free_address,
    to_platform::expected,
};

/// A platform that runs as a process of its own.
struct Served {
    child: Option<Guarded>,
    address: SocketAddr,
    folder: tempfile::TempDir,
    token: String,
    runtime: Runtime,
}

impl Served {
    /// The first start, with the bucket of all mailboxes.
    fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let folder = tempfile::tempdir().unwrap();
        let mut served = Self {
            child: None,
            address: free_address(),
            folder,
            token: String::new(),
            runtime: runtime.unwrap(),
        };
        served.start_again();
        let told = fs::read_to_string(served.folder.path().join("told")).unwrap();
        let token = told.split_whitespace().find(|word| word.starts_with("tri_"));
        served.token = token.unwrap().to_owned();
        let (owner, _) = BUCKET.split_once('/').unwrap();
        served.call("PUT", &format!("/api/_private/projects/{owner}"), json!({ "project": {} }));
        let bucket = json!({ "bucket": { "bucket_type": "emails" } });
        let made = served.call("PUT", &format!("/api/_private/buckets/{BUCKET}"), bucket);
        let source = json!({ "source": { "bucket_id": made["bucket"]["id"] } });
        served.call("PUT", &format!("/api/v1/sources/{owner}/letters"), source);
        served
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn start_again(&mut self) {
        let file = |name| {
            let path = self.folder.path().join(name);
            fs::OpenOptions::new().create(true).append(true).open(path).unwrap()
        };
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--bind", &self.address.to_string(), "--data"]).arg(self.data());
        command.env_clear().stdin(Stdio::null()).stdout(file("told")).stderr(file("log"));
        self.child = Some(Guarded(command.spawn().unwrap()));
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            assert!(began.elapsed() < PATIENCE, "does not start:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        // It listens a moment before it has printed its first token.
        while !self.log().contains("The platform is at") {
            assert!(began.elapsed() < PATIENCE, "does not start:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn end(&mut self, signal: Signal) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        kill_process(Pid::from_child(&child.0), signal).unwrap();
        // The next start is known by its own words.
        let status = child.0.wait().unwrap();
        fs::rename(self.folder.path().join("log"), self.folder.path().join("old-log")).unwrap();
        status.code()
    }

    fn call(&self, method: &str, path: &str, body: Value) -> Value {
        self.runtime.block_on(async {
            let mut client = Client::connect(self.address, &self.token).await;
            let answer = client.call(method, path, body).await;
            assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
            answer.json()
        })
    }

    /// Mailbox and hash of each email, by id, as the API shows them. An id that comes twice fails.
    fn emails(&self) -> BTreeMap<String, (String, String)> {
        let mut emails = BTreeMap::new();
        let mut request = json!({ "limit": 256 });
        loop {
            let path = format!("/api/_private/buckets/{BUCKET}/emails");
            let page = self.call("POST", &path, request.clone());
            for email in page["emails"].as_array().unwrap() {
                let text = |key: &str| email[key].as_str().unwrap().to_owned();
                let hash = hex(&Sha256::digest(text("mime_content")));
                let other = emails.insert(text("id"), (text("mailbox"), hash));
                assert_eq!(other, None, "{} is there twice", text("id"));
            }
            if page["continuation"].is_null() {
                return emails;
            }
            request["continuation"] = page["continuation"].clone();
        }
    }

    /// Waits until nothing waits to become a comment, and checks that each of the emails is one.
    fn check_comments<'a>(&self, emails: impl Iterator<Item = &'a String>) {
        let (owner, _) = BUCKET.split_once('/').unwrap();
        let source = format!("/api/_private/sources/{owner}/letters");
        let began = Instant::now();
        loop {
            let answer = self.call("GET", &format!("{source}/conversion"), Value::Null);
            assert_eq!(answer["conversion"]["quarantined"], 0, "{answer}");
            if answer["conversion"]["waiting"] == 0 {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{answer}");
            std::thread::sleep(Duration::from_millis(10));
        }
        let (mut comments, mut after) = (BTreeSet::new(), String::new());
        loop {
            let path = format!("{source}/comments?limit=256{after}");
            let page = self.call("GET", &path, Value::Null);
            for comment in page["comments"].as_array().unwrap() {
                let id = comment["id"].as_str().unwrap().to_owned();
                assert!(comments.insert(id), "it is there twice: {comment}");
            }
            let Some(continuation) = page["continuation"].as_str() else { break };
            after = format!("&after={continuation}");
        }
        let expected: BTreeSet<String> = emails.map(|id| hex(id.as_bytes())).collect();
        assert_eq!(comments, expected);
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg("--data").arg(self.data()).env_clear();
        command.output().unwrap()
    }
}

// Fault F1, for both programs.
#[test]
fn an_appliance_fills_a_platform_while_both_are_killed() {
    let mut world = World::generated(3, 120);
    world.set("reinfer_batch_size", json!(10));
    let expected = expected(&world);
    let mut served = Served::start();
    let made = served.run(&[
        "token",
        "create",
        "--project",
        "project",
        "--permission",
        "buckets-read",
        "--permission",
        "buckets-append",
    ]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let endpoint = format!("http://{}/api/", served.address);
    let start = || {
        let arguments = ["appliance", "--reinfer-api-endpoint", &endpoint];
        world.start_with(PROGRAM, &arguments, &[("REINFER_API_TOKEN", &token)])
    };
    for round in 0..6_u64 {
        let appliance = start();
        let pause = Duration::from_millis(300 + round.wrapping_mul(2_654_435_761) % 500);
        std::thread::sleep(pause);
        if round % 2 == 0 {
            appliance.kill();
        }
        served.end(Signal::KILL);
        served.start_again();
    }
    let before = fs::read_to_string(world.folder.path().join("log")).unwrap();
    let before = before.matches("is up to date").count();
    let mut appliance = start();
    appliance.wait_until_up_to_date(before + 3);
    appliance.stop();
    let stored = served.emails();
    let ids: BTreeSet<_> = stored.keys().collect();
    assert_eq!(ids, expected.keys().collect::<BTreeSet<_>>());
    for (id, (mailbox, hash)) in &stored {
        let is_this = |(own, _, known): &(String, _, String)| (own, known) == (mailbox, hash);
        assert!(expected[id].iter().any(is_this), "{id}: {mailbox} {hash}");
    }
    served.check_comments(stored.keys());
    // The scope of the token ends where the appliance has no business.
    let path = format!("/api/_private/buckets/{BUCKET}/emails");
    let refused = served.runtime.block_on(async {
        let mut client = Client::connect(served.address, &token).await;
        client.call("POST", &path, json!({})).await.status
    });
    assert_eq!(refused, 403);
    assert_eq!(served.end(Signal::TERM), Some(0));
    let log = fs::read_to_string(served.folder.path().join("old-log")).unwrap();
    assert!(!log.contains(&token) && !log.contains(&served.token), "{log}");
    assert!(log.contains("ended in good order"), "{log}");
}

/// Uploads batches of emails that nobody else uploads, until it is told to end; what was
/// acknowledged goes into `acknowledged`.
async fn upload(
    served: (SocketAddr, String),
    uploader: u32,
    over: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<BTreeMap<String, String>>>,
) {
    let path = format!("/api/_private/buckets/{BUCKET}/emails");
    let mut batch = 0_u64;
    while !over.load(Ordering::Relaxed) {
        let emails: Vec<(String, String)> = (0..20)
            .map(|number| {
                let id = format!("<{uploader}.{batch}.{number}@example.com>");
                let content =
                    format!("Subject: {id}\r\n\r\n{}", hex(&Sha256::digest(&id)).repeat(50));
                (id, content)
            })
            .collect();
        let body: Vec<Value> = emails
            .iter()
            .map(|(id, content)| {
                json!({ "id": id, "mailbox": "a@example.com", "mime_content": content,
                        "timestamp": "2026-01-01T00:00:00Z" })
            })
            .collect();
        // Nobody listens between two lives.
        if TcpStream::connect(served.0).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let asked = tokio::spawn({
            let (served, path) = (served.clone(), path.clone());
            async move {
                let mut client = Client::connect(served.0, &served.1).await;
                client.try_call("PUT", &path, emails_of(&body)).await
            }
        });
        if let Ok(Ok(answer)) = asked.await
            && answer.status == 200
        {
            let hash = |(id, content): (String, String)| (id, hex(&Sha256::digest(content)));
            acknowledged.lock().unwrap().extend(emails.into_iter().map(hash));
        }
        batch += 1;
    }
}

#[test]
fn whatever_was_acknowledged_survives_kill_at_any_time() {
    let mut served = Served::start();
    let acknowledged = Arc::new(Mutex::new(BTreeMap::new()));
    let over = Arc::new(AtomicBool::new(false));
    let uploads: Vec<_> = (0..4)
        .map(|uploader| {
            let at = (served.address, served.token.clone());
            let (over, acknowledged) = (Arc::clone(&over), Arc::clone(&acknowledged));
            served.runtime.spawn(upload(at, uploader, over, acknowledged))
        })
        .collect();
    for round in 0..8_u64 {
        let before = acknowledged.lock().unwrap().len();
        let began = Instant::now();
        while acknowledged.lock().unwrap().len() < before + 40 {
            assert!(began.elapsed() < PATIENCE, "nothing is taken:\n{}", served.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(round.wrapping_mul(2_654_435_761) % 50));
        served.end(Signal::KILL);
        served.start_again();
    }
    over.store(true, Ordering::Relaxed);
    for upload in uploads {
        served.runtime.block_on(upload).unwrap();
    }
    let stored = served.emails();
    let acknowledged = acknowledged.lock().unwrap();
    for (id, hash) in acknowledged.iter() {
        assert_eq!(stored.get(id).map(|(_, own)| own), Some(hash), "{id}");
    }
    // What was not acknowledged may be there, but then a whole upload of it.
    assert_eq!(stored.len() % 20, 0);
    served.check_comments(stored.keys());
    assert!(acknowledged.len() >= 320);
}

#[test]
fn a_token_is_made_listed_and_revoked_on_the_machine() {
    let served = Served::start();
    let status = |token: &str| {
        served.runtime.block_on(async {
            let mut client = Client::connect(served.address, token).await;
            client.call("GET", "/auth/user", Value::Null).await.status.as_u16()
        })
    };
    let made = served.run(&["token", "create", "--name", "for a test", "--expires-in", "1"]);
    let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    assert_eq!(status(&token), 200);
    let listed = served.run(&["token", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let own = listed.as_array().unwrap().iter().find(|own| own["name"] == "for a test").unwrap();
    assert_eq!((&own["state"], &own["user"]), (&json!("valid"), &json!("admin")));
    assert!(!listed.to_string().contains(&token));
    let id = own["id"].as_str().unwrap();
    assert!(served.run(&["token", "revoke", id]).status.success());
    assert_eq!(status(&token), 401);
    assert_eq!(served.run(&["token", "revoke", id]).status.code(), Some(78));
    let unknown = served.run(&["token", "create", "--permission", "buckets-red"]);
    assert_eq!(unknown.status.code(), Some(78));
    // The database holds no token that anybody could use.
    for file in fs::read_dir(served.data()).unwrap().flatten().filter(|own| own.path().is_file()) {
        let bytes = fs::read(file.path()).unwrap();
        let found = bytes.windows(token.len()).any(|part| part == token.as_bytes());
        assert!(!found, "{}", file.path().display());
    }
}

#[test]
fn people_come_in_over_links_that_are_made_on_the_machine() {
    let served = Served::start();
    let told = fs::read_to_string(served.folder.path().join("told")).unwrap();
    let first = format!("http://{}/link#tri_link_", served.address);
    assert!(told.contains(&first), "{told}");
    let secret_of = |link: &str| link.trim().split_once('#').unwrap().1.to_owned();
    let post = |path: &str, body: Value| {
        served.runtime.block_on(async {
            let mut client = Client::connect(served.address, "").await;
            client.headers.push(("x-tributary-csrf", "1".to_owned()));
            client.call("POST", path, body).await
        })
    };
    let words = |arguments: &[&str]| {
        let output = served.run(arguments);
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), said, String::from_utf8(output.stderr).unwrap())
    };
    let (owner, _) = BUCKET.split_once('/').unwrap();
    let grant = format!("{owner}:role-cm-viewer");
    let create = ["user", "create", "bob", "--email", "bob@example.com", "--grant", &grant];
    let (code, link, complaint) = words(&create);
    assert_eq!(code, 0, "{complaint}");
    assert!(link.starts_with(&first), "{link}");
    assert_eq!(words(&create).0, 78);
    let password = "correct horse battery";
    let entered = post("/auth/link", json!({ "link": secret_of(&link), "password": password }));
    let user = entered.json()["user"].clone();
    assert_eq!(user["organisation_permissions"][owner], json!(["role-cm-viewer"]));
    let sign_in = || {
        let body = json!({ "username": "bob", "password": password });
        post("/auth/sign-in", body).status.as_u16()
    };
    assert_eq!(sign_in(), 200);
    assert_eq!(words(&["user", "disable", "bob"]).0, 0);
    assert_eq!(sign_in(), 401);
    let (code, _, complaint) = words(&["user", "reset-link", "bob"]);
    assert!(code == 78 && complaint.contains("`bob` is disabled"), "{complaint}");
    let (_, listed, _) = words(&["user", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let bob = listed.as_array().unwrap().iter().find(|user| user["username"] == "bob").unwrap();
    assert_eq!((&bob["disabled"], &bob["has_password"]), (&json!(true), &json!(true)));
    assert_eq!(words(&["user", "enable", "bob"]).0, 0);
    let (code, link, _) =
        words(&["user", "reset-link", "bob", "--url", "https://mail.example.com/x/"]);
    assert!(code == 0 && link.starts_with("https://mail.example.com/x/link#tri_link_"), "{link}");
    let (code, _, complaint) = words(&["user", "disable", "nobody"]);
    assert!(code == 78 && complaint.contains("Hint: "), "{complaint}");
    // Whoever reads the log comes in nowhere.
    let log = served.log();
    assert!(!log.contains("tri_") && !log.contains(password), "{log}");
}

#[test]
fn a_platform_does_not_listen_to_others_without_tls_unless_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--bind", "0.0.0.0:0", "--data"]).arg(&data).env_clear();
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.contains("--tls-certificate") && told.contains("--plain-http"), "{told}");
    assert!(!data.exists());
    command.arg("--plain-http").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Guarded(command.spawn().unwrap());
    let began = Instant::now();
    while !data.join("tributary.db").exists() {
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(10));
    }
    // A signal that comes before it is handled kills: wait for the port.
    let mut told = String::new();
    let mut out = std::io::BufReader::new(child.0.stderr.take().unwrap());
    while !told.contains("The platform is at") {
        assert!(std::io::BufRead::read_line(&mut out, &mut told).unwrap() > 0, "{told}");
    }
    kill_process(Pid::from_child(&child.0), Signal::TERM).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
    assert!(drain(out).contains("ended in good order"));
}
