//! The ids that clients see: opaque, case-sensitive, and naming their mailbox.

use base64_simd::STANDARD;
use openssl::sha::sha256;

/// Starts every id, so that it looks like those of Exchange: `AAMk…`.
const MARK: [u8; 3] = [0x00, 0x03, 0x24];
const LENGTH: usize = 112;

/// Number of a folder in its mailbox; stays when the folder moves or is renamed.
pub(crate) type FolderNo = u32;
/// Number of an item in its mailbox; a new one at every move.
pub(crate) type ItemNo = u64;

/// 36 characters that name a mailbox within ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Guid([u8; 36]);

impl Guid {
    pub(crate) fn of(address: &str) -> Self {
        let hash = sha256(address.as_bytes());
        let mut digits = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let mut guid = [b'-'; 36];
        for (at, to) in guid.iter_mut().enumerate() {
            if !matches!(at, 8 | 13 | 18 | 23) {
                let digit = u32::from(digits.next().unwrap_or_default());
                *to = char::from_digit(digit, 16).unwrap_or('0') as u8;
            }
        }
        Self(guid)
    }
}

impl Guid {
    pub(crate) fn bytes(&self) -> [u8; 36] {
        self.0
    }

    /// `None` if these are not 36 characters.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }
}

/// What an id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Folder(FolderNo),
    Item(ItemNo),
    /// An attachment, by its place among those of its item.
    Attachment(ItemNo, u32),
}

/// A decoded id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    pub(crate) mailbox: Guid,
    pub(crate) target: Target,
}

impl Id {
    pub(crate) fn encode(&self) -> String {
        let (kind, number, part) = match self.target {
            Target::Folder(folder) => (1u8, u64::from(folder), 0),
            Target::Item(item) => (2, item, 0),
            Target::Attachment(item, part) => (3, item, part),
        };
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(&MARK);
        bytes.extend_from_slice(&self.mailbox.0);
        bytes.extend_from_slice(&[0x00, 0x46, 0, 0, 0, 0, 0, kind]);
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(&part.to_be_bytes());
        bytes.resize(LENGTH - 4, 0);
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        STANDARD.encode_to_string(&bytes)
    }

    /// `None` if no server of this kind has issued the id.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode_to_vec(text.as_bytes()).ok()?;
        if bytes.len() != LENGTH || !bytes.starts_with(&MARK) {
            return None;
        }
        let (body, sum) = bytes.split_at_checked(LENGTH - 4)?;
        if checksum(body) != sum {
            return None;
        }
        let mailbox = Guid(body.get(3..39)?.try_into().ok()?);
        let number = u64::from_be_bytes(body.get(47..55)?.try_into().ok()?);
        let part = u32::from_be_bytes(body.get(55..59)?.try_into().ok()?);
        let target = match body.get(46)? {
            1 => Target::Folder(u32::try_from(number).ok()?),
            2 => Target::Item(number),
            3 => Target::Attachment(number, part),
            _ => return None,
        };
        Some(Self { mailbox, target })
    }
}

pub(crate) fn change_key(version: u32) -> String {
    let mut bytes = [0x09, 0, 0, 0, 0x16, 0, 0, 0, 0, 0, 0, 0];
    for (to, from) in bytes.iter_mut().skip(8).zip(version.to_be_bytes()) {
        *to = from;
    }
    STANDARD.encode_to_string(bytes)
}

/// The first bytes of a hash: tells a truncated or altered text from a genuine one.
pub(crate) fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut sum = [0; 4];
    for (to, from) in sum.iter_mut().zip(sha256(bytes)) {
        *to = from;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_the_way_and_no_change_of_it_does() {
        let mailbox = Guid::of("abc@example.com");
        for target in [Target::Folder(7), Target::Item(1 << 40), Target::Attachment(5, 2)] {
            let id = Id { mailbox, target };
            let text = id.encode();
            assert!(text.starts_with("AAMk"), "{text}");
            assert_eq!(Id::decode(&text), Some(id));
            assert_eq!(Id::decode(&text.to_lowercase()), None);
            assert_eq!(Id::decode(&text[..text.len() - 4]), None);
        }
        assert_eq!(Id::decode("DUMMY"), None);
    }
}
