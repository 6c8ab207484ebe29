//! The text that a bucket keeps as its sync state: how far each of its mailboxes has come.
//!
//! ```json
//! {"v":1,"kind":"tributary","sum":"…","mailboxes":{"abc@example.com":
//!   {"generation":7,"revision":0,"writer":"…","checkpoint":"…","quarantine":"…"}}}
//! ```
//!
//! `sum` is the SHA-256 of `mailboxes` as written. Checkpoint and quarantine list are JSON,
//! deflated, in base64: one text holds thousands of mailboxes. A text that is not of this form is
//! somebody else's, and is never replaced.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use record::{Cause, SinkError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::local_files::hex_sha256;

/// Version that this program writes, and the highest that it reads.
const VERSION: u64 = 1;
const KIND: &str = "tributary";
/// Where the kind of a damaged text is looked for, in bytes.
const FRONT: usize = 100;
/// Largest checkpoint or list after decompression, in bytes.
const MAX_UNPACKED: u64 = 256 << 20;

/// The state of one mailbox, as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    #[serde(flatten)]
    pub(super) mark: Mark,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) checkpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) quarantine: Option<String>,
}

/// Tells two states of one mailbox apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// That of the checkpoint.
    pub(super) generation: u64,
    /// Grows when the quarantine list changes within a generation.
    pub(super) revision: u64,
    /// The process that wrote it.
    pub(super) writer: String,
}

/// All mailboxes of a bucket; those of others stay as they are written.
pub(super) type Mailboxes = BTreeMap<String, Box<RawValue>>;

/// What a stored text is.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    /// It belongs to another program.
    Foreign,
    Ours(Mailboxes),
}

/// Why a stored text cannot be used. Cloned for all that wait for the same text.
#[derive(Clone, Debug)]
pub(super) enum Unusable {
    Corrupt(&'static str),
    TooNew(u64),
}

impl Unusable {
    pub(super) fn into_sink_error(self, place: String) -> SinkError {
        match self {
            Self::Corrupt(why) => SinkError::Corrupt { place, cause: Some(Cause::from(why)) },
            Self::TooNew(found) => SinkError::TooNew { place, found, known: VERSION },
        }
    }
}

#[derive(Deserialize)]
struct Front {
    v: u64,
    kind: String,
}

#[derive(Serialize, Deserialize)]
struct Document<'a> {
    v: u64,
    kind: &'a str,
    sum: &'a str,
    #[serde(borrow)]
    mailboxes: &'a RawValue,
}

pub(super) fn read(text: &str) -> Result<Found, Unusable> {
    if text.trim().is_empty() {
        return Ok(Found::Nothing);
    }
    let front: Front = match serde_json::from_str(text) {
        Ok(front) => front,
        // Cut or changed, but not by somebody with another format.
        Err(_)
            if text
                .bytes()
                .take(FRONT)
                .collect::<Vec<_>>()
                .windows(KIND.len() + 2)
                .any(|part| part == b"\"tributary\"") =>
        {
            return Err(Unusable::Corrupt("it is not JSON of the expected form"));
        }
        Err(_) => return Ok(Found::Foreign),
    };
    if front.kind != KIND {
        return Ok(Found::Foreign);
    }
    if front.v > VERSION {
        return Err(Unusable::TooNew(front.v));
    }
    let document: Document<'_> = serde_json::from_str(text)
        .map_err(|_| Unusable::Corrupt("it is not JSON of the expected form"))?;
    if hex_sha256(document.mailboxes.get().as_bytes()) != document.sum {
        return Err(Unusable::Corrupt("its checksum is wrong"));
    }
    serde_json::from_str(document.mailboxes.get())
        .map(Found::Ours)
        .map_err(|_| Unusable::Corrupt("it is not JSON of the expected form"))
}

pub(super) fn write(mailboxes: &Mailboxes) -> serde_json::Result<String> {
    let mailboxes = serde_json::value::to_raw_value(mailboxes)?;
    let sum = hex_sha256(mailboxes.get().as_bytes());
    serde_json::to_string(&Document { v: VERSION, kind: KIND, sum: &sum, mailboxes: &mailboxes })
}

/// The entry of `mailbox`, if there is one.
pub(super) fn entry(mailboxes: &Mailboxes, mailbox: &str) -> Result<Option<Entry>, Unusable> {
    let Some(raw) = mailboxes.get(mailbox) else { return Ok(None) };
    let entry = serde_json::from_str(raw.get());
    entry.map(Some).map_err(|_| Unusable::Corrupt("an entry is not of the expected form"))
}

pub(super) fn pack<T: Serialize>(value: &T) -> Result<String, Cause> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&serde_json::to_vec(value)?)?;
    Ok(BASE64_STANDARD.encode(encoder.finish()?))
}

pub(super) fn unpack<T: DeserializeOwned>(packed: &str) -> Result<T, Unusable> {
    let bad = |_| Unusable::Corrupt("an entry cannot be unpacked");
    let deflated = BASE64_STANDARD.decode(packed).map_err(|err| bad(Cause::from(err)))?;
    let mut plain = Vec::new();
    let mut reader = DeflateDecoder::new(deflated.as_slice()).take(MAX_UNPACKED);
    reader.read_to_end(&mut plain).map_err(|err| bad(err.into()))?;
    serde_json::from_slice(&plain).map_err(|err| bad(err.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> String {
        let entry = Entry {
            mark: Mark { generation: 7, revision: 1, writer: "w".into() },
            checkpoint: Some(pack(&vec!["x"; 100]).unwrap()),
            quarantine: None,
        };
        let raw = serde_json::value::to_raw_value(&entry).unwrap();
        write(&Mailboxes::from([("abc@example.com".to_owned(), raw)])).unwrap()
    }

    // The text is kept by servers of users: a change of the form needs a new version.
    #[test]
    fn the_form_never_changes() {
        let text = stored();
        let (front, rest) = text.split_once("\"sum\":\"").unwrap();
        assert_eq!(front, r#"{"v":1,"kind":"tributary","#);
        let expected = r#"","mailboxes":{"abc@example.com":{"generation":7,"revision":1,"writer":"w","checkpoint":""#;
        assert!(rest[64..].starts_with(expected), "{rest}");
        let Found::Ours(mailboxes) = read(&text).unwrap() else { panic!("not ours") };
        let entry = entry(&mailboxes, "abc@example.com").unwrap().unwrap();
        let value: Vec<String> = unpack(&entry.checkpoint.unwrap()).unwrap();
        assert_eq!(value, ["x"; 100]);
    }

    #[test]
    fn any_changed_bit_is_noticed() {
        let text = stored();
        for at in 0..text.len() {
            for bit in 0..7 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                // Foreign, newer or damaged: never taken for ours.
                let ours = matches!(read(&changed), Ok(Found::Ours(_) | Found::Nothing));
                assert!(!ours, "byte {at}, bit {bit}: {changed}");
            }
        }
    }

    #[test]
    fn what_others_wrote_is_told_from_what_was_damaged_and_what_is_newer() {
        for text in ["opaque", "{}", "[1]", r#"{"v":1,"mailboxes":{}}"#, r#"{"v":1,"kind":"x"}"#] {
            assert!(matches!(read(text), Ok(Found::Foreign)), "{text}");
        }
        let newer = r#"{"v":2,"kind":"tributary","else":1}"#;
        assert!(matches!(read(newer), Err(Unusable::TooNew(2))));
        let cut = stored().split_off(0);
        assert!(matches!(read(&cut[..cut.len() - 9]), Err(Unusable::Corrupt(_))));
        assert!(matches!(read(""), Ok(Found::Nothing)));
    }
}
