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

    /// What a number is found by when it is looked for between two others: its first digits, one
    /// more in each.
    pub(crate) fn number_digits(name: &str, value: f64) -> impl Iterator<Item = Self> {
        let (name, key) = (folded(name), sortable(value));
        (1..=DIGITS).map(move |count| Self::digits(&name, key, count))
    }

    /// The fewest marks of which each number between the two has one, both included, and no other.
    pub(crate) fn numbers_between(name: &str, least: f64, most: f64) -> Vec<Self> {
        let (name, least, most) = (folded(name), sortable(least), sortable(most));
        let mut found = Vec::new();
        if least <= most {
            between(least, most, &mut |key, count| found.push(Self::digits(&name, key, count)));
        }
        found
    }

    /// `name` is folded.
    fn digits(name: &str, key: u64, count: u32) -> Self {
        let digits = key >> (BITS * (DIGITS - count));
        Self::hashed('g', &[name, &format!("{count} {digits:x}")])
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

/// A number as digits, so that the greater of two is the one with the greater digits.
const DIGITS: u32 = 16;
/// Bits of a digit. More of them make fewer marks of a number and more of a range: at most
/// 2 × 15 × 15.
const BITS: u32 = 4;

/// Numbers in their order as whole ones. Spec: IEEE 754-2019 §5.10, `totalOrder`.
fn sortable(value: f64) -> u64 {
    // Zero has two signs.
    let value = if value == 0.0 { 0.0 } else { value };
    let bits = value.to_bits();
    if value.is_sign_negative() { !bits } else { bits | (1 << 63) }
}

/// Covers a range with the beginnings of numbers: a key, and how many of its digits count.
fn between(mut least: u64, most: u64, take: &mut impl FnMut(u64, u32)) {
    loop {
        // The most numbers that begin as `least` does and of which it is the first, all within.
        let mut count = DIGITS;
        let last = loop {
            let shorter = count - 1;
            let rest = u64::MAX.checked_shr(BITS * shorter).unwrap_or(0);
            if shorter == 0 || least & rest != 0 || least | rest > most {
                break least | u64::MAX.checked_shr(BITS * count).unwrap_or(0);
            }
            count = shorter;
        };
        take(least, count);
        match last.checked_add(1) {
            Some(next) if last < most => least = next,
            _ => return,
        }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const NUMBERS: &[f64] = &[
        f64::MIN,
        -1e300,
        -1e9,
        -1000.5,
        -3.0,
        -2.0,
        -1.0,
        -0.1,
        -1e-300,
        -0.0,
        0.0,
        5e-324,
        0.1,
        0.3,
        1.0,
        1.5,
        2.0,
        3.0,
        4.0,
        15.0,
        16.0,
        17.0,
        255.0,
        256.0,
        999.0,
        1000.0,
        1001.0,
        1e9,
        1e300,
        f64::MAX,
    ];

    #[test]
    fn a_number_is_found_in_the_ranges_that_hold_it() {
        for &value in NUMBERS {
            let own: BTreeSet<Mark> = Mark::number_digits("number:N", value).collect();
            assert_eq!(own.len(), 16);
            for &least in NUMBERS {
                for &most in NUMBERS {
                    let found = Mark::numbers_between("number:n", least, most);
                    let marks = found.iter().filter(|mark| own.contains(mark)).count();
                    let expected = usize::from(least <= value && value <= most);
                    assert_eq!(marks, expected, "{value} from {least} to {most}");
                    assert!(found.len() <= 450, "{} from {least} to {most}", found.len());
                }
            }
        }
    }

    #[test]
    fn a_range_of_round_numbers_is_few_marks() {
        for (least, most, marks) in
            [(0.0, 100.0, 19), (1000.0, f64::MAX, 66), (5.0, 5.0, 1), (1.0, 0.0, 0)]
        {
            let found = Mark::numbers_between("number:n", least, most).len();
            assert_eq!(found, marks, "from {least} to {most}");
        }
        let other = Mark::numbers_between("number:m", 5.0, 5.0);
        assert_ne!(other, Mark::numbers_between("number:n", 5.0, 5.0));
    }
}
