//! State files: an envelope that tells damage, a newer format and a foreign file apart.
//!
//! ```json
//! {"kind":"checkpoint","version":1,"generation":7,"bucket":"owner/name",
//!  "mailbox":"abc@example.com","sha256":"…","payload":{…}}
//! ```
//!
//! The checksum is the SHA-256 of `kind`, `version`, `generation`, `bucket` and `mailbox`, each
//! followed by a line feed, and of the payload as written. Every version keeps this envelope, so
//! that an older program can tell a newer file from a damaged one.

use std::{fs, io, path::Path};

use record::{Cause, Checkpoint, Quarantined, Route, SinkError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{
    durable::{at, replace_file},
    hex_sha256,
};

/// Version of the payloads that this program writes, and the highest that it reads.
pub(crate) const VERSION: u64 = 1;
/// Highest version of the quarantine list: one that changes follow in a log.
pub(crate) const QUARANTINE_VERSION: u64 = 2;
/// Longest state file that is read, in bytes: some 100,000 folders.
const MAX_SIZE: u64 = 256 << 20;

pub(crate) const CHECKPOINT: &str = "checkpoint";
pub(crate) const QUARANTINE: &str = "quarantine";

/// The payload of `checkpoint.json`.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// Length of the ledger when this was saved. What lies before is settled; what follows
    /// belongs to a batch that no checkpoint covers yet, and may be torn.
    pub(crate) ledger_size: u64,
    pub(crate) checkpoint: Checkpoint,
}

/// The payload of `quarantine.json`.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct SetAside {
    pub(crate) items: Vec<Quarantined>,
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    kind: &'a str,
    version: u64,
    generation: u64,
    bucket: String,
    mailbox: String,
    sha256: String,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl Envelope<'_> {
    fn checksum(&self) -> String {
        let Self { kind, version, generation, bucket, mailbox, payload, .. } = self;
        let payload = payload.get();
        hex_sha256(
            format!("{kind}\n{version}\n{generation}\n{bucket}\n{mailbox}\n{payload}").as_bytes(),
        )
    }
}

pub(crate) fn corrupt(place: &Path, cause: impl Into<Cause>) -> SinkError {
    SinkError::Corrupt { place: place.display().to_string(), cause: Some(cause.into()) }
}

/// A file of state; `None` if there is none.
pub(super) fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, SinkError> {
    match fs::metadata(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(at(path)(err)),
        Ok(found) if found.len() > MAX_SIZE => return Err(corrupt(path, "it is far too long")),
        Ok(_) => {}
    }
    Ok(Some(fs::read(path).map_err(at(path))?))
}

fn read_text(path: &Path) -> Result<Option<String>, SinkError> {
    let Some(bytes) = read_bytes(path)? else { return Ok(None) };
    String::from_utf8(bytes).map(Some).map_err(|err| corrupt(path, err))
}

/// Reads the state of `kind` in `dir`, with its generation; `None` if there is none.
pub(crate) fn read<T: DeserializeOwned>(
    dir: &Path,
    kind: &str,
    route: &Route,
) -> Result<Option<(u64, T)>, SinkError> {
    let path = &dir.join(format!("{kind}.json"));
    let Some(text) = read_text(path)? else { return Ok(None) };
    unseal(path, kind, route, &text).map(Some)
}

/// The generation and the payload in `text`, found at `path`.
pub(crate) fn unseal<T: DeserializeOwned>(
    path: &Path,
    kind: &str,
    route: &Route,
    text: &str,
) -> Result<(u64, T), SinkError> {
    let envelope = open(path, text)?;
    let ours = (kind, route.bucket.to_string(), route.mailbox.to_string());
    if (envelope.kind, envelope.bucket, envelope.mailbox) != ours {
        return Err(corrupt(path, "it belongs to another mailbox, bucket or file"));
    }
    let payload = serde_json::from_str(envelope.payload.get());
    Ok((envelope.generation, payload.map_err(|err| corrupt(path, err))?))
}

/// The bucket and the mailbox that a state file names; `None` if there is none.
pub(crate) fn read_owner(dir: &Path, kind: &str) -> Result<Option<(String, String)>, SinkError> {
    let path = &dir.join(format!("{kind}.json"));
    let Some(text) = read_text(path)? else { return Ok(None) };
    owner(path, &text).map(Some)
}

/// The bucket and the mailbox that `text`, found at `path`, names.
pub(crate) fn owner(path: &Path, text: &str) -> Result<(String, String), SinkError> {
    let envelope = open(path, text)?;
    Ok((envelope.bucket, envelope.mailbox))
}

fn open<'a>(path: &Path, text: &'a str) -> Result<Envelope<'a>, SinkError> {
    let envelope: Envelope<'a> = serde_json::from_str(text).map_err(|err| corrupt(path, err))?;
    if envelope.checksum() != envelope.sha256 {
        return Err(corrupt(path, "its checksum is wrong"));
    }
    let known = if envelope.kind == QUARANTINE { QUARANTINE_VERSION } else { VERSION };
    if envelope.version > known {
        let place = path.display().to_string();
        return Err(SinkError::TooNew { place, found: envelope.version, known });
    }
    Ok(envelope)
}

/// Replaces the state of `kind` in `dir`.
pub(crate) fn write<T: Serialize>(
    dir: &Path,
    kind: &str,
    route: &Route,
    generation: u64,
    payload: &T,
) -> Result<(), SinkError> {
    write_version(dir, kind, VERSION, route, generation, payload)
}

pub(super) fn write_version<T: Serialize>(
    dir: &Path,
    kind: &str,
    version: u64,
    route: &Route,
    generation: u64,
    payload: &T,
) -> Result<(), SinkError> {
    let path = &dir.join(format!("{kind}.json"));
    let text = seal(kind, version, route, generation, payload).map_err(at(path))?;
    replace_file(dir, path, text.as_bytes()).map_err(at(path))
}

pub(crate) fn seal<T: Serialize>(
    kind: &str,
    version: u64,
    route: &Route,
    generation: u64,
    payload: &T,
) -> io::Result<String> {
    let payload = serde_json::value::to_raw_value(payload)?;
    let mut envelope = Envelope {
        kind,
        version,
        generation,
        bucket: route.bucket.to_string(),
        mailbox: route.mailbox.to_string(),
        sha256: String::new(),
        payload: &payload,
    };
    envelope.sha256 = envelope.checksum();
    Ok(serde_json::to_string(&envelope)? + "\n")
}

#[cfg(test)]
mod tests {
    use record::BucketId;

    use super::*;

    fn route() -> Route {
        Route {
            mailbox: "abc@example.com".parse().unwrap(),
            bucket: BucketId::new("owner", "name").unwrap(),
        }
    }

    fn saved(delivered: u64) -> Saved {
        let mut checkpoint = Checkpoint { generation: 7, ..Default::default() };
        let folder = record::FolderState { delivered, ..Default::default() };
        checkpoint.folders.insert(record::FolderId("f".into()), folder);
        Saved { ledger_size: 99, checkpoint }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), CHECKPOINT, &route(), 7, &saved(5)).unwrap();
        let path = dir.path().join("checkpoint.json");
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() - 1 {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                fs::write(&path, &bad).unwrap();
                let result = read::<Saved>(dir.path(), CHECKPOINT, &route());
                assert!(
                    matches!(result, Err(SinkError::Corrupt { .. })),
                    "bit {bit} of byte {at} went unnoticed: {}",
                    String::from_utf8_lossy(&bad)
                );
            }
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), CHECKPOINT, &route(), 7, &saved(5)).unwrap();
        let path = dir.path().join("checkpoint.json");
        let good = fs::read(&path).unwrap();
        for length in 0..good.len() - 1 {
            fs::write(&path, &good[..length]).unwrap();
            let result = read::<Saved>(dir.path(), CHECKPOINT, &route());
            assert!(matches!(result, Err(SinkError::Corrupt { .. })), "cut at {length}");
        }
    }

    #[test]
    fn a_newer_format_is_told_apart_from_damage() {
        let dir = tempfile::tempdir().unwrap();
        let text = seal(CHECKPOINT, 2, &route(), 7, &serde_json::json!({"new": "shape"})).unwrap();
        fs::write(dir.path().join("checkpoint.json"), text).unwrap();
        let result = read::<Saved>(dir.path(), CHECKPOINT, &route());
        assert!(matches!(result, Err(SinkError::TooNew { found: 2, known: 1, .. })));
    }

    #[test]
    fn the_state_of_another_mailbox_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), CHECKPOINT, &route(), 7, &saved(5)).unwrap();
        let other = Route { mailbox: "x@example.com".parse().unwrap(), ..route() };
        let result = read::<Saved>(dir.path(), CHECKPOINT, &other);
        assert!(matches!(result, Err(SinkError::Corrupt { .. })));
    }
}
