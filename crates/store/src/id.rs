//! Ids, secrets and times, as the tables hold them.

use chrono::{DateTime, Utc};
use openssl::{rand::rand_bytes, sha::sha256};

use crate::{Result, StoreError};

/// A new id: 16 hex digits that nobody can guess.
pub(crate) fn new_id() -> Result<String> {
    random::<8>().map(|bytes| hex(&bytes))
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    rand_bytes(&mut bytes)
        .map_err(|_| StoreError::Damaged { what: "the source of random numbers".to_owned() })?;
    Ok(bytes)
}

/// The SHA-256 of a text in lower-case hex.
pub(crate) fn hash(bytes: &[u8]) -> String {
    hex(&sha256(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

/// A time that the tables hold. Everything that was written can be read.
pub(crate) fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}
