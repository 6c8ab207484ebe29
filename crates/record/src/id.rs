//! Identifiers that cross a crate: each is parsed once, at the edge.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Longest mailbox address accepted, in bytes (RFC 5321 §4.5.3.1.3 allows 254).
const MAX_ADDRESS: usize = 254;

/// Address of one mailbox, as written in the appliance config: `abc@example.com`.
///
/// Invariant: exactly one `@`, something on both sides, no blanks, no control characters,
/// ASCII letters in lower case, so that one mailbox cannot be configured twice under two
/// spellings. Clones share the text: a process knows each of its mailboxes in many places.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MailboxId(Arc<str>);

/// The text is not a mailbox address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a mailbox address like `abc@example.com`")]
pub struct BadMailbox(String);

impl FromStr for MailboxId {
    type Err = BadMailbox;

    fn from_str(text: &str) -> Result<Self, BadMailbox> {
        let bad = || BadMailbox(text.chars().take(MAX_ADDRESS).collect());
        let trimmed = text.trim();
        let (local, domain) = trimmed.split_once('@').ok_or_else(bad)?;
        let usable = !local.is_empty()
            && !domain.is_empty()
            && !domain.contains('@')
            && trimmed.len() <= MAX_ADDRESS
            && !trimmed.chars().any(|c| c.is_whitespace() || c.is_control());
        if usable { Ok(Self(trimmed.to_ascii_lowercase().into())) } else { Err(bad()) }
    }
}

impl TryFrom<String> for MailboxId {
    type Error = BadMailbox;
    fn try_from(text: String) -> Result<Self, BadMailbox> {
        text.parse()
    }
}

impl From<MailboxId> for String {
    fn from(id: MailboxId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for MailboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl MailboxId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A bucket of the platform: the project that owns it, and its name.
///
/// Invariant: both parts match `[A-Za-z0-9_-]{1,256}`, as the platform demands, so that each
/// is one harmless path segment too. Clones share both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketId {
    owner: Arc<str>,
    name: Arc<str>,
}

/// A part of a bucket name is unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a bucket or project name: 1 to 256 letters, digits, `-` or `_`")]
pub struct BadBucket(String);

impl BucketId {
    /// # Errors
    ///
    /// [`BadBucket`] with the part that does not match the pattern.
    pub fn new(owner: &str, name: &str) -> Result<Self, BadBucket> {
        for part in [owner, name] {
            let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            if part.is_empty() || part.len() > 256 || !part.bytes().all(good) {
                return Err(BadBucket(part.chars().take(80).collect()));
            }
        }
        Ok(Self { owner: owner.into(), name: name.into() })
    }

    pub fn owner(&self) -> &str {
        &self.owner
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for BucketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// One mailbox and the bucket that it flows into. State is kept for each route, so that a
/// mailbox whose bucket changes is read anew for the new one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    pub mailbox: MailboxId,
    pub bucket: BucketId,
}

/// A folder, in the terms of its server. Opaque and case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FolderId(pub String);

/// An item, in the terms of its server. Opaque and case-sensitive; may change when the item
/// moves, so it is never the identity of an email: that is [`Uid`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ItemId(pub String);

/// Identity of one email in one mailbox: 32 lower-case hex digits, the same on every attempt,
/// restart, shard and version, and after every move within the mailbox.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uid([u8; 16]);

/// The text is not 32 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a uid: 32 lower-case hex digits")]
pub struct BadUid;

impl Uid {
    /// Derives the identity from what a server keeps when an item moves.
    ///
    /// `kind` names the source (`exchange`). `key` is the server's lasting key, such as
    /// `PR_SEARCH_KEY`. Each part is preceded by its length, so that no two different inputs
    /// are the same bytes.
    pub fn derive(kind: &str, mailbox: &MailboxId, key: &[u8], message_id: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [kind.as_bytes(), mailbox.0.as_bytes(), key, message_id.as_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut uid = [0; 16];
        for (to, from) in uid.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        Self(uid)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uid {
    type Err = BadUid;

    fn from_str(text: &str) -> Result<Self, BadUid> {
        let lower_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(lower_hex) {
            return Err(BadUid);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| BadUid)?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl TryFrom<String> for Uid {
    type Error = BadUid;
    fn try_from(text: String) -> Result<Self, BadUid> {
        text.parse()
    }
}

impl From<Uid> for String {
    fn from(uid: Uid) -> Self {
        uid.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mailbox_has_one_spelling() {
        let id: MailboxId = " ABC@Example.COM ".parse().unwrap();
        assert_eq!(id.as_str(), "abc@example.com");
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in ["", "abc", "@", "a@", "@b", "a@b@c", "a b@c", "a\0@b", "a\n@b"] {
            assert!(text.parse::<MailboxId>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn bucket_parts_cannot_leave_their_folder() {
        for part in ["", "..", "a/b", "a.b", "é", "a b", "\0"] {
            assert!(BucketId::new(part, "b").is_err(), "{part:?} was accepted");
            assert!(BucketId::new("a", part).is_err(), "{part:?} was accepted");
        }
        assert_eq!(BucketId::new("Team_1", "in-box").unwrap().to_string(), "Team_1/in-box");
    }

    // A change of this value would store every email of every user a second time.
    #[test]
    fn uid_never_changes() {
        let mailbox = "abc@example.com".parse().unwrap();
        let uid = Uid::derive("exchange", &mailbox, &[1, 2, 3], "<4711@example.org>");
        assert_eq!(uid.to_string(), "66e4713a5bcdca1c346d4975346d2e92");
        assert_eq!(uid.to_string().parse(), Ok(uid));
    }

    #[test]
    fn uid_parts_do_not_run_together() {
        let mailbox = "abc@example.com".parse().unwrap();
        assert_ne!(Uid::derive("e", &mailbox, b"ab", "c"), Uid::derive("e", &mailbox, b"a", "bc"));
    }
}
