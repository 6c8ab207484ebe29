//! The JSON body of an upload, made while it is sent, so that no large email is ever in memory.

use std::{
    io::{self, Read},
    iter,
    sync::Arc,
};

use bytes::Bytes;
use flate2::{Compression, read::GzEncoder};
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use net::{Parts, Payload};
use record::Body;

use super::{
    content::{IN_MEMORY, Prepared, STEP},
    escape::escape_into,
};

/// Bytes handed to the connection at a time, about. With what a step adds they stay below what the
/// C library calls large: to free that takes it a look at everything that is free.
const PART: usize = 24 * 1024;

/// The body of an upload of `emails`, compressed if the server takes that.
pub(super) fn payload(emails: &[Prepared], gzip: bool) -> io::Result<Payload> {
    let size = size_of(emails);
    let in_memory = emails.iter().all(|email| matches!(email.content, Body::Memory(_)));
    let emails: Arc<[Prepared]> = emails.into();
    if gzip {
        let reader =
            move || GzEncoder::new(JsonReader::new(Arc::clone(&emails)), Compression::fast());
        if size > IN_MEMORY {
            return Ok(Payload::reader(None, move || Ok(Box::new(reader()))));
        }
        let mut all = Vec::new();
        reader().read_to_end(&mut all)?;
        return Ok(Payload::Bytes(all.into()));
    }
    if size <= IN_MEMORY {
        let mut all = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        JsonReader::new(emails).read_to_end(&mut all)?;
        return Ok(Payload::Bytes(all.into()));
    }
    if !in_memory {
        let reader = move || Ok(Box::new(JsonReader::new(Arc::clone(&emails))) as _);
        return Ok(Payload::reader(Some(size), reader));
    }
    // No file is read, and no thread for blocking work is worth waking.
    let open = move || {
        let mut json = Json::new(Arc::clone(&emails));
        let frames =
            iter::from_fn(move || json.part().map(|part| part.map(Frame::data)).transpose());
        Ok(Box::pin(StreamBody::new(stream::iter(frames))) as Parts)
    };
    Ok(Payload::Stream { length: Some(size), open: Arc::new(open) })
}

const OPEN: &[u8] = b"{\"emails\":[";
const CLOSE: &[u8] = b"]}";

/// Bytes of an upload without compression.
pub(super) fn size_of(emails: &[Prepared]) -> u64 {
    let commas = emails.len().saturating_sub(1) as u64;
    let objects: u64 = emails.iter().map(|email| email.size).sum();
    objects + commas + (OPEN.len() + CLOSE.len()) as u64
}

/// Emails as JSON, piece by piece.
struct Json {
    emails: Arc<[Prepared]>,
    /// The email that comes next.
    at: usize,
    stage: Stage,
}

enum Stage {
    Open,
    Head,
    Memory(Bytes),
    File(Box<dyn Read + Send>),
    Done,
}

impl Json {
    fn new(emails: Arc<[Prepared]>) -> Self {
        Self { emails, at: 0, stage: Stage::Open }
    }

    /// Appends what comes next. Nothing does once this is `Done`.
    fn advance(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.stage {
            Stage::Done => {}
            Stage::Open => {
                out.extend_from_slice(OPEN);
                self.stage = Stage::Head;
            }
            Stage::Head => match self.emails.get(self.at) {
                None => {
                    out.extend_from_slice(CLOSE);
                    self.stage = Stage::Done;
                }
                Some(email) => {
                    if self.at > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(&email.head);
                    self.stage = match &email.content {
                        Body::Memory(bytes) => Stage::Memory(bytes.clone()),
                        file @ Body::Spool { .. } => Stage::File(file.reader()),
                    };
                }
            },
            Stage::Memory(bytes) if !bytes.is_empty() => {
                escape_into(&bytes.split_to(bytes.len().min(STEP)), out);
            }
            Stage::Memory(_) => self.end_content(out),
            Stage::File(reader) => {
                let mut step = [0; STEP];
                match reader.read(&mut step)? {
                    0 => self.end_content(out),
                    read => escape_into(step.get(..read).unwrap_or_default(), out),
                }
            }
        }
        Ok(())
    }

    fn end_content(&mut self, out: &mut Vec<u8>) {
        if let Some(email) = self.emails.get(self.at) {
            out.extend_from_slice(&email.tail);
        }
        self.at += 1;
        self.stage = Stage::Head;
    }

    /// A part of some size, as long as there is one.
    fn part(&mut self) -> io::Result<Option<Bytes>> {
        // What a step adds fits most of the time.
        let mut part = Vec::with_capacity(PART + 2 * STEP);
        while part.len() < PART && !matches!(self.stage, Stage::Done) {
            self.advance(&mut part)?;
        }
        Ok((!part.is_empty()).then(|| part.into()))
    }
}

/// Reads emails as JSON.
struct JsonReader {
    json: Json,
    /// Made, not yet read.
    ready: Vec<u8>,
    taken: usize,
}

impl JsonReader {
    fn new(emails: Arc<[Prepared]>) -> Self {
        Self { json: Json::new(emails), ready: Vec::new(), taken: 0 }
    }
}

impl Read for JsonReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.ready.len() {
            if matches!(self.json.stage, Stage::Done) {
                return Ok(0);
            }
            self.ready.clear();
            self.taken = 0;
            self.json.advance(&mut self.ready)?;
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
    use record::{BucketId, Email, ItemId, Metadata, Route, Uid};
    use serde_json::Value;

    use super::*;
    use crate::platform_api::content::Encoder;

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
                all.push(encoder.prepare(&route(), email).await.unwrap());
            }
            all
        })
    }

    fn spooled(email: &Prepared) -> Prepared {
        let mut file = tempfile::tempfile().unwrap();
        io::copy(&mut email.content.reader(), &mut file).unwrap();
        let content = Body::Spool { file: Arc::new(file), size: email.content.size() };
        Prepared { content, ..email.clone() }
    }

    fn read(emails: &[Prepared]) -> Vec<u8> {
        let mut all = Vec::new();
        JsonReader::new(emails.into()).read_to_end(&mut all).unwrap();
        let mut json = Json::new(emails.into());
        let parts: Vec<_> = iter::from_fn(|| json.part().unwrap()).collect();
        assert!(parts.concat() == all, "the same in parts");
        let mut from_files = Vec::new();
        let files: Vec<Prepared> = emails.iter().map(spooled).collect();
        JsonReader::new(files.into()).read_to_end(&mut from_files).unwrap();
        assert!(from_files == all, "the same from files");
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
}
