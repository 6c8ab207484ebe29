//! The part of a container that is ours: the start of the names of all our blobs.

use object_store::path::Path;

/// Longest prefix, in bytes. Azure and S3 allow names of 1,024, and what follows takes up to 650.
pub const MAX_PREFIX: usize = 256;

/// The prefix is no path: an empty or dotted segment, a control character, or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the prefix is longer than 256 bytes, or has a part that is empty, `.`, `..`, ends in a dot, \
     or holds a control character or a backslash"
)]
pub struct BadPrefix;

/// Without a slash at either end; empty for the whole container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// # Errors
    ///
    /// [`BadPrefix`].
    pub fn new(prefix: &str) -> Result<Self, BadPrefix> {
        let prefix = prefix.trim_matches('/');
        let bad = |part: &str| {
            part.is_empty()
                || part.ends_with('.')
                || part.chars().any(|c| c.is_control() || c == '\\')
        };
        if prefix.len() > MAX_PREFIX || (!prefix.is_empty() && prefix.split('/').any(bad)) {
            return Err(BadPrefix);
        }
        Ok(Self(prefix.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a blob below it. Each part must be harmless.
    pub fn below(&self, parts: &[&str]) -> Path {
        let mut name = self.0.clone();
        for part in parts {
            if !name.is_empty() {
                name.push('/');
            }
            name.push_str(part);
        }
        // Never escapes anything again: `%` stands in the names of directories already. Each part
        // is harmless, so the other arm is for what cannot be.
        Path::parse(&name).unwrap_or_else(|_| Path::from(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_is_no_path_is_refused() {
        for prefix in ["a//b", "..", "a/../b", "a/.", "a\\b", "a\nb", &"x".repeat(257)] {
            assert_eq!(Prefix::new(prefix), Err(BadPrefix), "{prefix:?}");
        }
    }

    #[test]
    fn names_are_below_the_prefix() {
        let name = |prefix| Prefix::new(prefix).unwrap().below(&["data", "a%20b"]).to_string();
        assert_eq!(name(""), "data/a%20b");
        assert_eq!(name("/a/b c/"), "a/b c/data/a%20b");
    }
}
