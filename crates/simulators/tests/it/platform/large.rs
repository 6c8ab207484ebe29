//! Mail of the largest sizes, in little memory.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    process::Stdio,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::{
    Request,
    body::{Body, Frame},
};
use simulators::platform::Options;

use super::client::{BUCKET, start};

/// A body of unknown length, in pieces.
pub(crate) struct Pieces(VecDeque<Bytes>);

impl Pieces {
    pub(crate) fn new(text: String) -> Self {
        let text = Bytes::from(text);
        Self(text.chunks(64).map(|piece| text.slice_ref(piece)).collect())
    }

    pub(crate) fn boxed(self) -> UnsyncBoxBody<Bytes, Infallible> {
        BodyExt::boxed_unsync(self)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}

/// Says to a process of this program that it runs for one test alone.
const ALONE: &str = "TRIBUTARY_TEST_ALONE";
const SIZE: usize = 150_000_000;

/// Memory is that of a process, so this test starts one for itself.
#[tokio::test]
async fn an_email_of_150_mb_is_taken_in_little_memory() {
    #[expect(clippy::disallowed_methods, reason = "tests have no settings but these")]
    let alone = std::env::var_os(ALONE).is_some();
    if alone {
        return upload().await;
    }
    let name = "platform::large::an_email_of_150_mb_is_taken_in_little_memory";
    let mut program = tokio::process::Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", name, "--nocapture"]).env(ALONE, "1").stdin(Stdio::null());
    let output = program.kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{complained}");
}

async fn upload() {
    let (server, mut client) = start(|options| options.keep_bodies = false).await;
    // Lines as base64 has them, with the escapes that JSON wants.
    let line = format!("{}\\r\\n", "QUJD".repeat(19));
    let (lines, length) = (SIZE / 78, line.len() - 2);
    let piece = Bytes::from(line.repeat(800));
    let mut pieces = VecDeque::from(vec![piece; lines / 800]);
    pieces.push_front(Bytes::from_static(
        b"{\"emails\":[{\"id\":\"<1@x>\",\"mailbox\":\"a@example.com\",\
          \"timestamp\":\"2026-01-01T00:00:00Z\",\"mime_content\":\"",
    ));
    pieces.push_back(Bytes::from_static(b"\"}]}"));
    let request =
        Request::put(format!("{BUCKET}/emails")).header("content-type", "application/json");
    let answer = client.try_send(request, Pieces(pieces).boxed()).await.unwrap();
    assert_eq!(answer.status, 200);
    let stored = server.email(Options::BUCKET, "<1@x>").unwrap();
    assert_eq!((stored.size, stored.body), ((lines / 800 * 800 * length) as u64, None));
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 64 * 1024, "the peak was {kilobytes} kB");
    let refused = client.call("POST", &format!("{BUCKET}/emails"), serde_json::json!({})).await;
    assert_eq!(refused.status, 422);
}

#[tokio::test]
async fn a_large_email_that_is_kept_is_read_back_whole() {
    let (server, mut client) = start(|_| ()).await;
    let mut email = super::client::email(1);
    let content = "Gr\u{fc}\u{df}e \u{1f600}\r\n".repeat(100_000);
    email["mime_content"] = content.clone().into();
    assert_eq!(client.put(&[email]).await.status, 200);
    let read = client.call("POST", &format!("{BUCKET}/emails"), serde_json::json!({})).await;
    assert!(read.json()["emails"][0]["mime_content"] == content.as_str());
    assert_eq!(server.emails(Options::BUCKET)[0].size, content.len() as u64);
}
