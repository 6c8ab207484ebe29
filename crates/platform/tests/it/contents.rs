//! Contents of every size: in little memory, equal when they come back, and never wrong.

use std::{collections::VecDeque, convert::Infallible, pin::Pin, process::Stdio, sync::Arc, task};

use bytes::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::{
    Request,
    body::{Body, Frame},
};
use openssl::sha::sha256;
use platform::{Limits, Options};
use serde_json::{Value, json};
use testkit::platform_contract::client::{BUCKET, Client, email, whole};

use crate::{away::on_azurite, server::Running};

async fn start(options: Options) -> (Running, Client) {
    let server = Running::start_with(options).await;
    server.add_project("example").await;
    let client = server.client().await;
    (server, client)
}

/// A body of unknown length, in pieces.
struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        task::Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}

/// Says to a process of this program that it runs for one test alone.
const ALONE: &str = "TRIBUTARY_TEST_ALONE";

/// Memory is that of a process, so this test starts one for itself.
#[tokio::test]
async fn an_email_of_150_mb_is_taken_in_little_memory() {
    #[expect(clippy::disallowed_methods, reason = "tests have no settings but these")]
    let alone = std::env::var_os(ALONE).is_some();
    if alone {
        return upload_150_mb().await;
    }
    let name = "contents::an_email_of_150_mb_is_taken_in_little_memory";
    let mut program = tokio::process::Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", name, "--nocapture"]).env(ALONE, "1").stdin(Stdio::null());
    let output = program.kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{complained}");
}

async fn upload_150_mb() {
    // Over a file to a container: the longest way there is.
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (_way, contents) = on_azurite(folder.path()).await;
    let server = Running::start_in(folder, contents, Options::default()).await;
    server.add_project("example").await;
    let mut client = server.client().await;
    let mut pieces = VecDeque::new();
    let mut random = vec![0; 57_000];
    let mut hash = openssl::sha::Sha256::new();
    let mut size = 0;
    for _ in 0..2000 {
        // As base64 of what cannot be compressed.
        openssl::rand::rand_bytes(&mut random).unwrap();
        let text = openssl::base64::encode_block(&random);
        hash.update(text.as_bytes());
        size += text.len();
        pieces.push_back(Bytes::from(text));
    }
    pieces.push_front(Bytes::from_static(
        b"{\"emails\":[{\"id\":\"<1@x>\",\"mailbox\":\"a@example.com\",\
          \"timestamp\":\"2026-01-01T00:00:00Z\",\"mime_content\":\"",
    ));
    pieces.push_back(Bytes::from_static(b"\"}]}"));
    let before = resident();
    let request =
        Request::put(format!("{BUCKET}/emails")).header("content-type", "application/json");
    let body: UnsyncBoxBody<Bytes, Infallible> = BodyExt::boxed_unsync(Pieces(pieces));
    let answer = client.try_send(request, body).await.unwrap();
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    // The test's own copy was there before.
    let grown = peak().saturating_sub(before);
    assert!(grown < 64 * 1024, "it took {grown} kB more");
    let mut session = server.store.read().await.unwrap();
    let bucket = session.bucket("example", "mail").await.unwrap().unwrap();
    let stored = session.email(&bucket.id, "<1@x>").await.unwrap().unwrap();
    let hash: String = hash.finish().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(stored.hash, hash);
    let mut content = session.content(&hash).await.unwrap();
    assert_eq!(content.size(), size as u64);
    let mut piece = vec![0; 1 << 16];
    while content.read(&mut piece).unwrap() > 0 {}
}

fn kilobytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn resident() -> u64 {
    kilobytes("VmRSS:")
}

fn peak() -> u64 {
    kilobytes("VmHWM:")
}

#[tokio::test]
async fn contents_of_every_size_come_back_as_they_were() {
    let (_server, mut client) = start(Options::default()).await;
    let mut state = 1_u32;
    let mut noise = |size: usize| -> String {
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b' ' + u8::try_from((state >> 24) % 95).unwrap())
        };
        (0..size).map(next).collect()
    };
    let contents: Vec<String> = [0, 1, 1000, 65_535, 65_536, 200_000, 1_000_000, 5_000_000]
        .into_iter()
        .map(&mut noise)
        .chain(["Gr\u{fc}\u{df}e \u{1f600}\r\n".repeat(50_000)])
        .collect();
    let mut emails = Vec::new();
    for (number, content) in (0..).zip(&contents) {
        let mut email = email(number);
        email["mime_content"] = json!(content);
        emails.push(email);
    }
    assert_eq!(client.put(&emails).await.status, 200);
    let read = client.call("POST", &format!("{BUCKET}/emails"), json!({})).await.json();
    for (read, content) in read["emails"].as_array().unwrap().iter().zip(&contents) {
        assert!(read["mime_content"] == content.as_str(), "{} bytes", content.len());
    }
    assert_eq!(read["emails"].as_array().unwrap().len(), contents.len());
}

#[tokio::test]
async fn a_damaged_content_is_never_shown_whole() {
    let (server, mut client) = start(Options::default()).await;
    let mut large = email(1);
    let noise: Vec<u8> =
        (0..400_000_u32).flat_map(|n| sha256(&n.to_le_bytes())).take(300_000).collect();
    large["mime_content"] = json!(openssl::base64::encode_block(&noise));
    assert_eq!(client.put(&[large]).await.status, 200);
    let folder = server.folder.path().join("contents");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap() != "tmp")
        .flat_map(|path| std::fs::read_dir(path).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    let path = files.pop().expect("a large content is a file");
    assert!(files.is_empty());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let request =
        Request::post(format!("{BUCKET}/emails")).header("content-type", "application/json");
    let read = client.try_send(request, whole("{}")).await.unwrap();
    assert!(!read.whole, "{}", read.body.len());
}

#[tokio::test]
async fn what_is_replaced_or_deleted_leaves_nothing_behind() {
    let (server, mut client) = start(Options::default()).await;
    let mut one = email(1);
    let noise: Vec<u8> =
        (0..400_000_u32).flat_map(|n| sha256(&n.to_le_bytes())).take(300_000).collect();
    one["mime_content"] = json!(openssl::base64::encode_block(&noise));
    let mut same = one.clone();
    same["id"] = json!("<same@example.com>");
    assert_eq!(client.put(&[one, same.clone()]).await.status, 200);
    let files = || {
        let folder = server.folder.path().join("contents");
        let folders = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        folders.flat_map(|path| std::fs::read_dir(path).unwrap()).count()
    };
    assert_eq!(files(), 1);
    // Replaced by a small one: the other still needs it, until that is replaced as well.
    assert_eq!(client.put(&[email(1)]).await.status, 200);
    assert_eq!(files(), 1);
    let mut small = email(2);
    small["id"] = same["id"].clone();
    assert_eq!(client.put(&[small]).await.status, 200);
    assert_eq!(files(), 0);
    assert_eq!(client.put(&[same]).await.status, 200);
    assert_eq!(files(), 1);
    let path = format!("{BUCKET}/emails?id=%3Csame%40example.com%3E");
    assert_eq!(client.call("DELETE", &path, Value::Null).await.status, 200);
    assert_eq!(files(), 0);
    assert_eq!(client.count().await, 1);
}

#[tokio::test]
async fn limits_are_kept_also_behind_compression() {
    let limits = Limits { max_body: 2000, max_emails: 2, max_page: 5 };
    let (_server, mut client) = start(Options { limits, ..Options::default() }).await;
    let too_many = client.put(&[email(1), email(2), email(3)]).await;
    let expected = (400, "`emails`: expected at most 2 emails".to_owned());
    assert_eq!((too_many.status.as_u16(), too_many.message()), expected);
    let mut large = email(1);
    large["mime_content"] = json!("x".repeat(3000));
    let expected = (413, "the body has more than 2000 bytes".to_owned());
    let refused = client.put(&[large.clone()]).await;
    assert_eq!((refused.status.as_u16(), refused.message()), expected);
    let refused = client.put_gzip(&[large]).await;
    assert_eq!((refused.status.as_u16(), refused.message()), expected);
    assert_eq!(client.count().await, 0);
    assert_eq!(client.put_gzip(&[email(1)]).await.status, 200);
    assert_eq!(client.count().await, 1);
}

#[tokio::test]
async fn the_bytes_of_an_attachment_are_taken_as_a_form() {
    let (server, mut client) = start(Options::default()).await;
    let bucket = server.get(BUCKET).await["bucket"]["id"].as_str().unwrap().to_owned();
    let path =
        format!("/api/_private/buckets/id:{bucket}/emails/%3Ca%2Fb%40example.com%3E/attachments/0");
    let form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"0.a.txt\"\r\n\
                Content-Type: text/plain\r\n\r\nhello\r\n--b--\r\n";
    let request = Request::put(&path).header("content-type", "multipart/form-data; boundary=b");
    let answer = client.try_send(request, whole(form)).await.unwrap();
    let hash: String = sha256(b"hello").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(answer.json()["content_hash"], hash);
}
