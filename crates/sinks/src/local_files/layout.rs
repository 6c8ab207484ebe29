//! Which file is where under the prefix, and directory names that no address can break out of.

use std::path::{Path, PathBuf};

use record::{BucketId, MailboxId, Route, Uid};

use super::hex_sha256;

/// Longest name of a directory, in bytes. File systems allow 255; the rest is for people who
/// pack such a tree with tools that add something.
const MAX_NAME: usize = 200;
/// What is kept of a longer name, before `~` and 32 digits of its hash.
const KEPT: usize = 160;

/// Device names that Windows finds in any directory, with any extension: a tree that is copied
/// there must stay readable.
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];

/// The paths under one prefix.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    prefix: PathBuf,
}

impl Layout {
    pub(crate) fn new(prefix: &Path) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(crate) fn prefix(&self) -> &Path {
        &self.prefix
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.prefix.join("data")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.prefix.join("state")
    }

    /// The files whose bytes stand for routes.
    pub(crate) fn routes(&self) -> PathBuf {
        self.state().join(".routes")
    }

    pub(crate) fn data_dir(&self, route: &Route) -> PathBuf {
        below(self.data(), route)
    }

    pub(crate) fn state_dir(&self, route: &Route) -> PathBuf {
        below(self.state(), route)
    }
}

fn below(top: PathBuf, route: &Route) -> PathBuf {
    top.join(bucket_dir(route.bucket.owner()))
        .join(bucket_dir(route.bucket.name()))
        .join(mailbox_dir(route.mailbox.as_str()))
}

pub(crate) fn eml(data_dir: &Path, uid: Uid) -> PathBuf {
    data_dir.join(format!("{uid}.eml"))
}

pub(crate) fn sidecar(data_dir: &Path, uid: Uid) -> PathBuf {
    data_dir.join(format!("{uid}.json"))
}

/// The directory of one half of a bucket's name, which is harmless as it is unless too long.
pub(crate) fn bucket_dir(part: &str) -> String {
    shortened(part.to_owned(), part)
}

/// The directory of a mailbox: its address, with every byte outside of `a-z 0-9 @ . _ + -`
/// written as `%` and two hex digits.
///
/// Two addresses never share a directory, not even on a file system that ignores case or drops
/// a dot at the end, and the name is never hidden, `.` or `..`, nor longer than 200 bytes.
pub(crate) fn mailbox_dir(address: &str) -> String {
    let bytes = address.as_bytes();
    let reserved = is_reserved(address);
    let mut name = String::with_capacity(bytes.len());
    for (at, &byte) in bytes.iter().enumerate() {
        let harmless = matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'@' | b'.' | b'_' | b'+' | b'-');
        let first = at == 0;
        let edge = byte == b'.' && (first || at + 1 == bytes.len());
        if harmless && !edge && !(first && reserved) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    shortened(name, address)
}

fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    let port = |prefix| stem.strip_prefix(prefix).is_some_and(|n: &str| n.len() == 1 && n != "0");
    RESERVED.contains(&stem) || port("com") || port("lpt")
}

/// `~` stands in no name that is short enough, so that the two kinds cannot meet.
fn shortened(name: String, of: &str) -> String {
    if name.is_empty() {
        return "~".to_owned();
    }
    if name.len() <= MAX_NAME {
        return name;
    }
    let kept: String = name.chars().take(KEPT).collect();
    let hash: String = hex_sha256(of.as_bytes()).chars().take(32).collect();
    format!("{kept}~{hash}")
}

/// The route of a directory, unless one of its names was shortened.
pub(crate) fn route_of(owner: &str, bucket: &str, mailbox: &str) -> Option<Route> {
    let bucket = BucketId::new(owner, bucket).ok()?;
    let address: MailboxId = unescape(mailbox)?.parse().ok()?;
    (mailbox_dir(address.as_str()) == mailbox).then_some(Route { mailbox: address, bucket })
}

fn unescape(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'~' => return None,
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn everyday_addresses_stay_readable() {
        assert_eq!(mailbox_dir("abc@example.com"), "abc@example.com");
        assert_eq!(mailbox_dir("a.b+c_d-e@example.com"), "a.b+c_d-e@example.com");
    }

    #[test]
    fn dangerous_names_are_escaped() {
        for (address, dir) in [
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("...", "%2E.%2E"),
            ("a/b@example.com", "a%2Fb@example.com"),
            ("a\0b", "a%00b"),
            ("\u{202e}moc@example.com", "%E2%80%AEmoc@example.com"),
            ("con", "%63on"),
            ("com1.x@example.com", "%63om1.x@example.com"),
            ("CON", "%43%4F%4E"),
            ("a%2fb@example.com", "a%252fb@example.com"),
            ("~", "%7E"),
        ] {
            assert_eq!(mailbox_dir(address), dir);
        }
    }

    #[test]
    fn a_bucket_name_of_256_letters_fits_too() {
        let long = "b".repeat(256);
        assert!(bucket_dir(&long).len() <= MAX_NAME);
        assert_ne!(bucket_dir(&long), bucket_dir(&"b".repeat(255)));
        assert_eq!(bucket_dir("Team_1"), "Team_1");
    }

    #[test]
    fn a_directory_leads_back_to_its_mailbox() {
        let dir = mailbox_dir("jürgen.o'neill@example.com");
        let route = route_of("owner", "bucket", &dir).unwrap();
        assert_eq!(route.mailbox.as_str(), "jürgen.o'neill@example.com");
        assert!(route_of("owner", "bucket", &mailbox_dir(&"é".repeat(100))).is_none());
    }

    /// Text that is harder than most: dots, separators, controls, marks, long runs.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("..".to_owned()),
            Just("/".to_owned()),
            Just("\0".to_owned()),
            Just("\u{202e}".to_owned()),
            Just("CON".to_owned()),
            Just("con".to_owned()),
            Just("%2E".to_owned()),
            Just("~".to_owned()),
            Just("x".repeat(300)),
            any::<String>(),
            "[a-zA-Z.@%~]{0,12}",
        ];
        proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_text_becomes_one_harmless_segment(address in hostile()) {
            let dir = mailbox_dir(&address);
            prop_assert!(!dir.is_empty() && dir.len() <= MAX_NAME);
            prop_assert!(!dir.starts_with('.') && !dir.ends_with('.'));
            prop_assert!(dir.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b'\\'));
            prop_assert!(!is_reserved(&dir));
            prop_assert_eq!(Path::new("p").join(&dir).components().count(), 2);
        }

        #[test]
        fn no_two_addresses_share_a_directory(a in hostile(), b in hostile()) {
            // Compared without case, as some file systems do.
            let same = mailbox_dir(&a).eq_ignore_ascii_case(&mailbox_dir(&b));
            prop_assert_eq!(same, a == b);
            let upper = a.to_uppercase();
            let same = mailbox_dir(&a).eq_ignore_ascii_case(&mailbox_dir(&upper));
            prop_assert_eq!(same, a == upper);
        }
    }
}
