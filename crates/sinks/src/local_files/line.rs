//! Lines of JSON that tell damage: each ends with a checksum of what stands before it.

use std::io;

use serde::{Deserialize, Serialize};

use super::hex_sha256;

/// Hex digits of the checksum of a line.
const CHECK_DIGITS: usize = 16;

/// `value` as JSON with a last field `check`, the start of the SHA-256 of what stands before it.
pub(super) fn seal<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.pop();
    let check = check_of(&line);
    line.extend_from_slice(format!(",\"check\":\"{check}\"}}\n").as_bytes());
    Ok(line)
}

/// The value of a line with its line feed; `None` if it is damaged.
pub(super) fn parse<T: for<'de> Deserialize<'de>>(raw: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(raw).ok()?.strip_suffix("\"}\n")?;
    let (start, check) = text.rsplit_once(",\"check\":\"")?;
    (check == check_of(start.as_bytes())).then_some(())?;
    serde_json::from_str(&format!("{start}}}")).ok()
}

fn check_of(start: &[u8]) -> String {
    hex_sha256(start).chars().take(CHECK_DIGITS).collect()
}
