//! Azure's own emulator of the Blob service, installed and started by the tests.

use std::{
    io::{BufRead, BufReader},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use net::{
    Call, Client, Egress, Endpoint, HeaderName, HeaderValue, Limits, Method, Payload, PlainHttp,
    Tls, TlsSettings, Transport,
};
use openssl::{hash::MessageDigest, pkey::PKey, sign::Signer};
use record::{Clock, Secret, Unmetered, clock::SystemClock};
use sinks::object_store::{
    Objects,
    azure::{AzureEnvironment, AzureLocation, AzureOptions},
};
use url::form_urlencoded;

pub(crate) const ACCOUNT: &str = "devstoreaccount1";
/// Published by Microsoft; the emulator knows no other.
pub(crate) const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const VERSION: &str = "azurite@3.37.0";
const API: &str = "2023-11-03";

/// The emulator, one for all tests of this process; it ends when this process does.
pub(crate) struct Azurite {
    pub(crate) url: String,
    /// Its standard input is open as long as this process lives.
    _process: Child,
    _folder: tempfile::TempDir,
}

/// The folder with Azurite in its `node_modules`, installed once for all runs.
fn installed() -> PathBuf {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/azurite");
    if !home.join(VERSION).exists() {
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("package.json"), "{\"private\": true}").unwrap();
        let status = Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--no-save"])
            .args(["--ignore-scripts", VERSION])
            .current_dir(&home)
            .stdin(Stdio::null())
            .status()
            .expect("npm is needed for Azurite");
        assert!(status.success(), "npm could not install {VERSION}");
        std::fs::write(home.join(VERSION), "").unwrap();
    }
    home
}

pub(crate) fn azurite() -> &'static Azurite {
    static AZURITE: OnceLock<Azurite> = OnceLock::new();
    AZURITE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        // The shell ends the emulator when the tests are gone, however they ended.
        let script = "node \"$@\" & read _; kill $!";
        let mut process = Command::new("sh")
            .args(["-c", script, "azurite"])
            .arg(installed().join("node_modules/azurite/dist/src/blob/main.js"))
            .args(["--blobHost", "127.0.0.1", "--blobPort", "0", "--skipApiVersionCheck"])
            .args(["--disableTelemetry", "--silent", "--location"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = lines
            .find_map(|line| Some(line.unwrap().split_once("listens on ")?.1.trim().to_owned()))
            .expect("Azurite did not start");
        std::thread::spawn(move || lines.count());
        Azurite { url: format!("{url}/{ACCOUNT}"), _process: process, _folder: folder }
    })
}

pub(crate) fn transport() -> Transport {
    Transport {
        tls: Tls::new(&TlsSettings::default()).unwrap(),
        egress: Arc::new(Egress::default()),
        plain_http: PlainHttp::LoopbackOnly,
        limits: Limits::default(),
        clock: Arc::new(SystemClock),
    }
}

/// A container that no other test uses.
#[derive(Clone)]
pub(crate) struct Container {
    pub(crate) name: String,
}

impl Container {
    pub(crate) async fn create() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("emails-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let container = Self { name };
        let status = container.administer("", "restype=container", &[], Bytes::new()).await;
        assert_eq!(status, 201);
        container
    }

    pub(crate) fn location(&self) -> AzureLocation {
        AzureLocation {
            account: ACCOUNT.into(),
            container: self.name.clone(),
            prefix: "a/prefix".into(),
        }
    }

    pub(crate) fn environment() -> AzureEnvironment {
        AzureEnvironment {
            endpoint: Some(azurite().url.clone()),
            account_key: Some(Secret::from(KEY)),
            ..AzureEnvironment::default()
        }
    }

    pub(crate) fn open(&self) -> Objects {
        self.open_with(Self::environment())
    }

    pub(crate) fn open_with(&self, environment: AzureEnvironment) -> Objects {
        Objects::azure(AzureOptions {
            location: self.location(),
            environment,
            transport: transport(),
            max_concurrent_uploads: 8,
            meter: Arc::new(Unmetered),
        })
        .unwrap()
    }

    /// A shared access signature for this container.
    ///
    /// Spec: "Create a service SAS", version 2020-12-06 and later.
    pub(crate) fn sas(&self, rights: &str, ends_in: TimeDelta) -> String {
        let ends_at = time(SystemClock.now() + ends_in);
        let resource = format!("/blob/{ACCOUNT}/{}", self.name);
        let text = format!("{rights}\n\n{ends_at}\n{resource}\n\n\n\n{API}\nc\n\n\n\n\n\n\n");
        query(&[("sv", API), ("sr", "c"), ("sp", rights), ("se", &ends_at), ("sig", &sign(&text))])
    }

    /// Sends a PUT with the rights of the account.
    pub(crate) async fn administer(
        &self,
        blob: &str,
        operation: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> u16 {
        let ends_at = time(SystemClock.now() + TimeDelta::hours(1));
        // Spec: "Create an account SAS", version 2020-12-06 and later.
        let text = format!("{ACCOUNT}\nrwdlac\nb\nsco\n\n{ends_at}\n\n\n{API}\n\n");
        let sas = query(&[
            ("sv", API),
            ("ss", "b"),
            ("srt", "sco"),
            ("sp", "rwdlac"),
            ("se", &ends_at),
            ("sig", &sign(&text)),
        ]);
        let endpoint = Endpoint::new(&azurite().url, transport()).unwrap();
        let blob = if blob.is_empty() { String::new() } else { format!("/{blob}") };
        let target = format!("/{ACCOUNT}/{}{blob}?{operation}&{sas}", self.name);
        let mut call = Call::new(Method::PUT, target);
        call.payload = Payload::Bytes(body);
        call.headers.insert("x-ms-version", HeaderValue::from_static(API));
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            call.headers.insert(HeaderName::from_static(name), value);
        }
        let client = Client::new(endpoint, NonZeroUsize::MIN);
        client.send(call).await.unwrap().status.as_u16()
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn query(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn sign(text: &str) -> String {
    let key = PKey::hmac(&BASE64_STANDARD.decode(KEY).unwrap()).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    BASE64_STANDARD.encode(signer.sign_oneshot_to_vec(text.as_bytes()).unwrap())
}
