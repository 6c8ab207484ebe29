//! Azure's own emulator of the Blob service, installed and started by the tests.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use openssl::{hash::MessageDigest, pkey::PKey, sign::Signer};
use url::form_urlencoded;

use crate::peers::from_npm;

pub const ACCOUNT: &str = "devstoreaccount1";
/// Published by Microsoft; the emulator knows no other.
pub const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const VERSION: &str = "azurite@3.37.0";
const API: &str = "2023-11-03";
/// When the signatures of the tests end: never, as far as they are concerned.
const ENDS_AT: &str = "2099-01-01T00:00:00Z";

/// The emulator, one for all tests of this process; it ends when this process does.
pub struct Azurite {
    /// With the account: `http://127.0.0.1:PORT/devstoreaccount1`.
    pub url: String,
    /// Its standard input is open as long as this process lives.
    _process: Child,
    _folder: tempfile::TempDir,
}

/// Starts the emulator, on the first call.
///
/// # Panics
///
/// It cannot be installed or started.
pub fn azurite() -> &'static Azurite {
    static AZURITE: OnceLock<Azurite> = OnceLock::new();
    AZURITE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        // The shell ends the emulator when the tests are gone, however they ended.
        let script = "node \"$@\" & read _; kill $!";
        let mut process = Command::new("sh")
            .args(["-c", script, "azurite"])
            .arg(from_npm(VERSION).join("node_modules/azurite/dist/src/blob/main.js"))
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

impl Azurite {
    /// What `AZURE_STORAGE_CONNECTION_STRING` is set to.
    pub fn connection_string(&self) -> String {
        format!(
            "DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={};",
            self.url
        )
    }

    /// Makes a container that no other test of this process uses, and tells its name.
    ///
    /// # Panics
    ///
    /// The emulator refuses.
    pub fn new_container(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("mail-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let (status, _) = self.ask("PUT", &name, "restype=container");
        assert_eq!(status, 201);
        name
    }

    /// Everything in a container: names and contents.
    ///
    /// # Panics
    ///
    /// The emulator refuses.
    pub fn blobs(&self, container: &str) -> BTreeMap<String, Vec<u8>> {
        let read = |name: String| {
            let (status, body) = self.ask("GET", &format!("{container}/{}", escaped(&name)), "");
            assert_eq!(status, 200, "{name}");
            (name, body)
        };
        self.tags(container).into_keys().map(read).collect()
    }

    /// The names of everything in a container, with tags that change with each write.
    ///
    /// # Panics
    ///
    /// The emulator refuses.
    pub fn tags(&self, container: &str) -> BTreeMap<String, String> {
        let mut tags = BTreeMap::new();
        let mut marker = String::new();
        loop {
            let query = format!("restype=container&comp=list&marker={marker}");
            let (status, body) = self.ask("GET", container, &query);
            assert_eq!(status, 200);
            let text = String::from_utf8(body).unwrap();
            let blobs = text.split("<Blob>").skip(1);
            tags.extend(blobs.map(|blob| (of(blob, "Name").unwrap(), of(blob, "Etag").unwrap())));
            match of(&text, "NextMarker").filter(|next| !next.is_empty()) {
                Some(next) => {
                    marker = form_urlencoded::byte_serialize(next.as_bytes()).collect();
                }
                None => return tags,
            }
        }
    }

    /// Puts `content` in place of a blob.
    ///
    /// # Panics
    ///
    /// The emulator refuses.
    pub fn overwrite(&self, container: &str, blob: &str, content: &[u8]) {
        let head = "x-ms-blob-type: BlockBlob\r\n";
        let path = format!("{container}/{}", escaped(blob));
        let (status, _) = self.send("PUT", &path, "", head, content);
        assert_eq!(status, 201);
    }

    /// Removes a blob.
    ///
    /// # Panics
    ///
    /// The emulator refuses.
    pub fn delete(&self, container: &str, blob: &str) {
        let (status, _) = self.ask("DELETE", &format!("{container}/{}", escaped(blob)), "");
        assert_eq!(status, 202);
    }

    /// What a blob holds, if there is one.
    ///
    /// # Panics
    ///
    /// The emulator refuses.
    pub fn blob(&self, container: &str, blob: &str) -> Option<Vec<u8>> {
        let (status, body) = self.ask("GET", &format!("{container}/{}", escaped(blob)), "");
        assert!(status == 200 || status == 404, "{status}");
        (status == 200).then_some(body)
    }

    fn ask(&self, method: &str, path: &str, query: &str) -> (u16, Vec<u8>) {
        self.send(method, path, query, "", b"")
    }

    /// One request with the rights of the account.
    fn send(
        &self,
        method: &str,
        path: &str,
        query: &str,
        head: &str,
        body: &[u8],
    ) -> (u16, Vec<u8>) {
        // Spec: "Create an account SAS", version 2020-12-06 and later.
        let text = format!("{ACCOUNT}\nrwdlac\nb\nsco\n\n{ENDS_AT}\n\n\n{API}\n\n");
        let signature = [
            ("sv", API),
            ("ss", "b"),
            ("srt", "sco"),
            ("sp", "rwdlac"),
            ("se", ENDS_AT),
            ("sig", &sign(&text)),
        ];
        let sas = form_urlencoded::Serializer::new(String::new()).extend_pairs(signature).finish();
        let host = self.url.trim_start_matches("http://").split('/').next().unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(
            stream,
            "{method} /{ACCOUNT}/{path}?{query}&{sas} HTTP/1.0\r\nHost: {host}\r\n\
             x-ms-version: {API}\r\n{head}Content-Length: {}\r\n\r\n",
            body.len()
        )
        .unwrap();
        stream.write_all(body).unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).unwrap();
        let end = reply.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole reply");
        let body = reply.split_off(end + 4);
        let head = String::from_utf8(reply).unwrap();
        assert!(!head.to_ascii_lowercase().contains("chunked"), "{head}");
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }
}

/// A name as it stands in a path.
pub(crate) fn escaped(name: &str) -> String {
    let part =
        |part: &str| -> String { form_urlencoded::byte_serialize(part.as_bytes()).collect() };
    let parts: Vec<_> = name.split('/').map(|own| part(own).replace('+', "%20")).collect();
    parts.join("/")
}

/// The text of the first element with that tag.
fn of(text: &str, tag: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{tag}>"))?;
    Some(rest.split('<').next()?.replace("&amp;", "&"))
}

fn sign(text: &str) -> String {
    let key = PKey::hmac(&BASE64_STANDARD.decode(KEY).unwrap()).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    BASE64_STANDARD.encode(signer.sign_oneshot_to_vec(text.as_bytes()).unwrap())
}
