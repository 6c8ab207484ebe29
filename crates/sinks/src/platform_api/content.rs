//! The JSON body of an upload, made while it is sent, so that no large email is ever in memory.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use flate2::{Compression, read::GzEncoder};
use net::Payload;
use record::{Body, Email, Route};
use tokio::sync::Semaphore;

use crate::{ascii_safe::to_unicode, email_new::EmailNew};

/// Bodies up to this size are put together in memory: fewer steps, and their length is known.
const IN_MEMORY: u64 = 256 * 1024;
/// Emails that are not Unicode are rewritten up to this size, in bytes. That happens in memory,
/// with the new form beside the old: some half larger, three times as large at the very worst.
const MAX_REWRITTEN: u64 = 32 << 20;
/// Bytes of an email that are escaped at a time.
const STEP: usize = 16 * 1024;

/// An email, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    head: Bytes,
    content: Body,
    tail: Bytes,
    /// Bytes of the JSON object.
    pub(super) size: u64,
}

/// What a body of bytes is as JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// UTF-8 without NUL, and its length once escaped.
    Text(u64),
    Bytes,
}

/// Puts emails into JSON.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    spool_dir: PathBuf,
    /// Emails that are not Unicode are rewritten in memory, one at a time.
    rewriting: Arc<Semaphore>,
}

impl Encoder {
    pub(super) fn new(spool_dir: PathBuf) -> Self {
        Self { spool_dir, rewriting: Arc::new(Semaphore::new(1)) }
    }

    /// Measures an email, and rewrites it if a JSON string cannot hold its bytes; says why if
    /// that cannot be done.
    pub(super) async fn prepare(
        &self,
        route: &Route,
        email: &Email,
    ) -> io::Result<Result<Prepared, String>> {
        let id = email.email_id();
        let around = EmailNew {
            id: &id,
            mailbox: &route.mailbox,
            timestamp: email.timestamp,
            mime_content: "",
            metadata: &email.metadata,
        };
        let (head, tail) = around.around_content()?;
        let (content, escaped) = match off_thread(&email.body, look).await? {
            Look::Text(escaped) => (email.body.clone(), escaped),
            Look::Bytes if email.body.size() > MAX_REWRITTEN => {
                return Ok(Err(format!(
                    "its MIME is no text in UTF-8 and would have to be rewritten, which is done \
                     up to {} MiB",
                    MAX_REWRITTEN >> 20,
                )));
            }
            Look::Bytes => {
                let turn = self.rewriting.acquire().await.map_err(io::Error::other)?;
                let dir = self.spool_dir.clone();
                let rewritten = off_thread(&email.body, move |body| rewrite(body, &dir)).await?;
                drop(turn);
                match off_thread(&rewritten, look).await? {
                    Look::Text(escaped) => (rewritten, escaped),
                    Look::Bytes => return Err(io::Error::other("the rewritten email is no text")),
                }
            }
        };
        let size = head.len() as u64 + escaped + tail.len() as u64;
        Ok(Ok(Prepared { head: head.into(), content, tail: tail.into(), size }))
    }
}

/// Small bodies are quicker read than handed to another thread.
async fn off_thread<T: Send + 'static>(
    body: &Body,
    work: impl FnOnce(&Body) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match body {
        Body::Memory(bytes) if bytes.len() as u64 <= IN_MEMORY => work(body),
        _ => {
            let body = body.clone();
            tokio::task::spawn_blocking(move || work(&body)).await.map_err(io::Error::other)?
        }
    }
}

/// Reads a body once, for what it is and how long it gets.
fn look(body: &Body) -> io::Result<Look> {
    let mut reader = body.reader();
    let (mut buffer, mut held, mut escaped) = (vec![0; STEP], 0, 0);
    loop {
        let read = match buffer.get_mut(held..) {
            Some(room) => reader.read(room)?,
            None => 0,
        };
        let filled = buffer.get(..held + read).unwrap_or_default();
        let valid = match std::str::from_utf8(filled) {
            Ok(text) => text.len(),
            // A character may be cut by the end of the buffer.
            Err(err) if err.error_len().is_none() && read > 0 => err.valid_up_to(),
            Err(_) => return Ok(Look::Bytes),
        };
        let (text, rest) = filled.split_at(valid);
        if text.contains(&0) {
            return Ok(Look::Bytes);
        }
        escaped += text.iter().map(|byte| escape(*byte).map_or(1, |e| e.len() as u64)).sum::<u64>();
        if read == 0 {
            return Ok(Look::Text(escaped));
        }
        let rest = rest.to_vec();
        held = rest.len();
        if let Some(front) = buffer.get_mut(..held) {
            front.copy_from_slice(&rest);
        }
    }
}

/// Rewrites a body as ASCII MIME; a large result goes to a file without a name.
fn rewrite(body: &Body, dir: &Path) -> io::Result<Body> {
    let mut bytes = Vec::new();
    body.reader().read_to_end(&mut bytes)?;
    let text = to_unicode(bytes);
    if text.len() as u64 <= IN_MEMORY {
        return Ok(Body::Memory(text.into()));
    }
    let mut file: File = tempfile::tempfile_in(dir)?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(Body::Spool { file: Arc::new(file), size: text.len() as u64 })
}

const CONTROLS: [&str; 32] = [
    "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005", "\\u0006", "\\u0007", "\\b",
    "\\t", "\\n", "\\u000b", "\\f", "\\r", "\\u000e", "\\u000f", "\\u0010", "\\u0011", "\\u0012",
    "\\u0013", "\\u0014", "\\u0015", "\\u0016", "\\u0017", "\\u0018", "\\u0019", "\\u001a",
    "\\u001b", "\\u001c", "\\u001d", "\\u001e", "\\u001f",
];

/// What stands for a byte that a JSON string cannot have as it is. Spec: RFC 8259 §7.
fn escape(byte: u8) -> Option<&'static str> {
    match byte {
        b'"' => Some("\\\""),
        b'\\' => Some("\\\\"),
        _ => CONTROLS.get(usize::from(byte)).copied(),
    }
}

fn escape_into(bytes: &[u8], out: &mut Vec<u8>) {
    for run in bytes.split_inclusive(|byte| escape(*byte).is_some()) {
        match run.split_last() {
            Some((last, plain)) if escape(*last).is_some() => {
                out.extend_from_slice(plain);
                out.extend_from_slice(escape(*last).unwrap_or_default().as_bytes());
            }
            _ => out.extend_from_slice(run),
        }
    }
}

/// The body of an upload of `emails`, compressed if the server takes that.
pub(super) fn payload(emails: &[Prepared], gzip: bool) -> io::Result<Payload> {
    let size = size_of(emails);
    let emails: Arc<[Prepared]> = emails.into();
    let reader = move || -> Box<dyn Read + Send> {
        let plain = JsonReader::new(Arc::clone(&emails));
        if gzip { Box::new(GzEncoder::new(plain, Compression::fast())) } else { Box::new(plain) }
    };
    if size <= IN_MEMORY {
        let mut all = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        reader().read_to_end(&mut all)?;
        return Ok(Payload::Bytes(all.into()));
    }
    Ok(Payload::reader((!gzip).then_some(size), move || Ok(reader())))
}

const OPEN: &[u8] = b"{\"emails\":[";
const CLOSE: &[u8] = b"]}";

/// Bytes of an upload without compression.
pub(super) fn size_of(emails: &[Prepared]) -> u64 {
    let commas = emails.len().saturating_sub(1) as u64;
    let objects: u64 = emails.iter().map(|email| email.size).sum();
    objects + commas + (OPEN.len() + CLOSE.len()) as u64
}

/// Reads emails as JSON.
struct JsonReader {
    emails: Arc<[Prepared]>,
    /// The email that is being read, and how far.
    at: usize,
    stage: Stage,
    /// Made, not yet read.
    ready: Vec<u8>,
    taken: usize,
}

enum Stage {
    Head,
    Content(Box<dyn Read + Send>),
    Done,
}

impl JsonReader {
    fn new(emails: Arc<[Prepared]>) -> Self {
        Self { emails, at: 0, stage: Stage::Head, ready: OPEN.to_vec(), taken: 0 }
    }

    /// Makes what comes next; leaves `ready` empty only at the end or between two steps.
    fn advance(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.taken = 0;
        match &mut self.stage {
            Stage::Done => {}
            Stage::Head => match self.emails.get(self.at) {
                None => {
                    self.ready.extend_from_slice(CLOSE);
                    self.stage = Stage::Done;
                }
                Some(email) => {
                    if self.at > 0 {
                        self.ready.push(b',');
                    }
                    self.ready.extend_from_slice(&email.head);
                    self.stage = Stage::Content(email.content.reader());
                }
            },
            Stage::Content(reader) => {
                let mut step = [0; STEP];
                let read = reader.read(&mut step)?;
                if read > 0 {
                    escape_into(step.get(..read).unwrap_or_default(), &mut self.ready);
                } else {
                    let tail = self.emails.get(self.at).map(|email| email.tail.clone());
                    self.ready.extend_from_slice(&tail.unwrap_or_default());
                    self.at += 1;
                    self.stage = Stage::Head;
                }
            }
        }
        Ok(())
    }
}

impl Read for JsonReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.ready.len() {
            if matches!(self.stage, Stage::Done) {
                return Ok(0);
            }
            self.advance()?;
        }
        let left = self.ready.get(self.taken..).unwrap_or_default();
        let size = left.len().min(into.len());
        if let (Some(into), Some(from)) = (into.get_mut(..size), left.get(..size)) {
            into.copy_from_slice(from);
        }
        self.taken += size;
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;
    use record::{BucketId, ItemId, Metadata, Uid};
    use serde_json::Value;

    use super::*;

    fn route() -> Route {
        let bucket = BucketId::new("owner", "bucket").unwrap();
        Route { mailbox: "abc@example.com".parse().unwrap(), bucket }
    }

    fn email(id: &str, body: Vec<u8>) -> Email {
        Email {
            uid: Uid::derive("test", &route().mailbox, id.as_bytes(), ""),
            item: ItemId("item".into()),
            message_id: Some(id.into()),
            timestamp: DateTime::UNIX_EPOCH,
            metadata: Metadata {
                folder: vec!["\"mime_content\":\"\"".into()],
                ..Metadata::default()
            },
            body: Body::Memory(body.into()),
        }
    }

    fn prepare(emails: &[Email]) -> Vec<Prepared> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let encoder = Encoder::new(std::env::temp_dir());
        runtime.block_on(async {
            let mut all = Vec::new();
            for email in emails {
                all.push(encoder.prepare(&route(), email).await.unwrap().unwrap());
            }
            all
        })
    }

    fn read(emails: &[Prepared]) -> Vec<u8> {
        let mut all = Vec::new();
        JsonReader::new(emails.into()).read_to_end(&mut all).unwrap();
        all
    }

    proptest! {
        #[test]
        fn any_text_comes_back_and_its_length_is_known(
            texts in prop::collection::vec("(?s).{0,400}", 0..4), id in "(?s).{1,20}"
        ) {
            let texts: Vec<String> = texts.into_iter().map(|text| text.replace('\0', "")).collect();
            let emails: Vec<Email> =
                texts.iter().map(|text| email(&id, text.repeat(100).into_bytes())).collect();
            let prepared = prepare(&emails);
            let bytes = read(&prepared);
            prop_assert_eq!(bytes.len() as u64, size_of(&prepared));
            let value: Value = serde_json::from_slice(&bytes).unwrap();
            for (text, value) in texts.iter().zip(value["emails"].as_array().unwrap()) {
                prop_assert_eq!(value["mime_content"].as_str().unwrap(), text.repeat(100));
            }
        }
    }

    #[test]
    fn only_documented_fields_are_written() {
        let bytes =
            read(&prepare(&[email("<1@example.com>", b"Subject: x\r\n\r\n\"\x01".to_vec())]));
        let expected = concat!(
            r#"{"emails":[{"id":"<1@example.com>","mailbox":"abc@example.com","#,
            r#""timestamp":"1970-01-01T00:00:00Z","mime_content":"Subject: x\r\n\r\n\"\u0001","#,
            r#""metadata":{"folder":["\"mime_content\":\"\""],"categories":[]}}]}"#
        );
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[test]
    fn bytes_that_are_no_text_become_ascii() {
        for body in [b"Subject: x\r\n\r\n\xe9t\xe9".to_vec(), b"Subject: x\r\n\r\na\0b".to_vec()] {
            let bytes = read(&prepare(&[email("<1@example.com>", body)]));
            let value: Value = serde_json::from_slice(&bytes).unwrap();
            let text = value["emails"][0]["mime_content"].as_str().unwrap();
            assert!(text.is_ascii() && !text.contains('\0'), "{text:?}");
        }
    }

    #[test]
    fn a_character_across_two_steps_is_text() {
        for shift in 0..4 {
            let text = format!("{}{}", "x".repeat(shift), "😀".repeat(20_000));
            let body = Body::Memory(text.clone().into());
            assert_eq!(look(&body).unwrap(), Look::Text(text.len() as u64));
            let cut = Body::Memory(text.as_bytes()[..text.len() - 1].to_vec().into());
            assert_eq!(look(&cut).unwrap(), Look::Bytes);
        }
    }
}
