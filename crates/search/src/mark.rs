//! Marks: what a comment is rather than says, as tokens that no text has.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::fold::{Folded, fold};

/// Begins every mark; no token of a text holds it.
const SIGN: char = '_';

/// One property of a comment that is looked for as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(String);

impl Mark {
    /// Of every comment.
    pub fn everything() -> Self {
        Self("_all".to_owned())
    }

    pub fn source(id: &str) -> Self {
        Self::literal('s', id)
    }

    pub fn project(id: &str) -> Self {
        Self::literal('p', id)
    }

    pub fn has_attachment() -> Self {
        Self("_att".to_owned())
    }

    pub fn thread(id: &str) -> Self {
        // Not folded: who made it chose its letters.
        Self::hashed('t', &[id])
    }

    pub fn from_address(address: &str) -> Self {
        Self::hashed('f', &[&folded(address)])
    }

    pub fn to_address(address: &str) -> Self {
        Self::hashed('r', &[&folded(address)])
    }

    pub fn from_domain(domain: &str) -> Self {
        Self::hashed('d', &[&folded(domain)])
    }

    pub fn to_domain(domain: &str) -> Self {
        Self::hashed('e', &[&folded(domain)])
    }

    /// A folder or one that it is in; parts are divided by slashes.
    pub fn folder(path: &str) -> Self {
        let parts: Vec<String> =
            path.split('/').map(folded).filter(|part| !part.is_empty()).collect();
        Self::hashed('h', &[&parts.join("/")])
    }

    /// The property is there, whatever its value; `name` is with its kind: `string:Folder`.
    pub fn property(name: &str) -> Self {
        Self::hashed('k', &[&folded(name)])
    }

    pub fn text_property(name: &str, value: &str) -> Self {
        Self::hashed('v', &[&folded(name), &folded(value)])
    }

    pub fn number_property(name: &str, value: f64) -> Self {
        // Zero has two signs.
        let value = if value == 0.0 { 0.0 } else { value };
        Self::hashed('v', &[&folded(name), &value.to_string()])
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Ids are letters and digits; whatever is not would be no token.
    fn literal(kind: char, id: &str) -> Self {
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            return Self::hashed(kind.to_ascii_uppercase(), &[id]);
        }
        Self(format!("{SIGN}{kind}{id}"))
    }

    /// 80 bits, so that nobody meets two that are the same.
    fn hashed(kind: char, parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let mut mark = format!("{SIGN}{}", kind.to_ascii_lowercase());
        if kind.is_ascii_uppercase() {
            mark.push('x');
        }
        for byte in hash.finalize().iter().take(10) {
            // Writing to a `String` cannot fail.
            write!(mark, "{byte:02x}").unwrap_or_default();
        }
        Self(mark)
    }
}

/// The words of a name of a file, as tokens beside the marks.
pub(crate) fn name_token(word: &str) -> String {
    format!("{SIGN}n{word}")
}

/// Stands between two things that are no phrase together.
pub(crate) const BREAK: &str = "_b";

/// Without case, diacritics and blanks that nobody sees; punctuation stays.
pub(crate) fn folded(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    for (number, part) in text.split_whitespace().enumerate() {
        if number > 0 {
            whole.push(' ');
        }
        for c in part.chars() {
            let mut is_gap = false;
            fold(c, |folded| match folded {
                Folded::Letter(c) | Folded::Wide(c) => whole.push(c),
                Folded::Silent => {}
                Folded::Gap => is_gap = true,
            });
            if is_gap {
                whole.push(c);
            }
        }
    }
    whole
}

/// The part of an address that mail is delivered to: within `<…>` if there is that.
pub(crate) fn address(text: &str) -> Option<&str> {
    let inner = text.rsplit_once('<').map_or(text, |(_, rest)| rest);
    let inner = inner.split('>').next().unwrap_or_default().trim();
    let fits = inner.contains('@') && !inner.contains(char::is_whitespace) && inner.len() <= 1024;
    fits.then_some(inner)
}

/// The domain of an address.
pub(crate) fn domain(address: &str) -> Option<&str> {
    let (_, domain) = address.rsplit_once('@')?;
    let domain = domain.trim_end_matches('.');
    (!domain.is_empty() && domain.len() <= 255).then_some(domain)
}

/// A domain and those that it is in, but for the last label alone.
pub(crate) fn domains(domain: &str) -> impl Iterator<Item = &str> {
    /// Labels of a domain that are told apart.
    const MOST: usize = 6;
    std::iter::successors(Some(domain), |domain| {
        domain.split_once('.').map(|(_, rest)| rest).filter(|rest| rest.contains('.'))
    })
    .take(MOST)
}
