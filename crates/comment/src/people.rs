//! Addresses of a header field (RFC 5322 §3.4), also badly written ones.

use crate::{
    comment::{MAX_ADDRESS_CHARS, MAX_ADDRESSES},
    guard::{Limits, Note, Notes},
    mime::words,
};

/// One correspondent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Person {
    /// Decoded, may be empty.
    pub(crate) name: String,
    /// May be empty, or no real address.
    pub(crate) address: String,
}

impl Person {
    /// `Jane Doe <jane@example.com>`, the address alone, or the name alone.
    pub(crate) fn display(&self, notes: &mut Notes) -> String {
        let shown = if self.name.is_empty() || self.name == self.address {
            self.address.clone()
        } else if self.address.is_empty() {
            self.name.clone()
        } else if self.name.contains(['"', ',', ';', '<', '>', '@', '(', ')', ':', '\\']) {
            let name = self.name.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{name}\" <{}>", self.address)
        } else {
            format!("{} <{}>", self.name, self.address)
        };
        if shown.chars().count() <= MAX_ADDRESS_CHARS {
            return shown;
        }
        notes.add(Note::FieldCut);
        // The address is worth more than the name.
        let shorter =
            if self.address.chars().count() <= MAX_ADDRESS_CHARS { &self.address } else { &shown };
        shorter.chars().take(MAX_ADDRESS_CHARS).collect()
    }

    /// What follows the last `@`, in lower case.
    pub(crate) fn domain(&self) -> Option<String> {
        let (_, domain) = self.address.rsplit_once('@')?;
        let domain = domain.trim_matches(|it: char| it == '.' || it.is_whitespace());
        (!domain.is_empty() && domain.len() <= 255).then(|| domain.to_lowercase())
    }
}

/// The people in one or more fields of the same name.
pub(crate) fn parse<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    limits: &Limits,
    notes: &mut Notes,
) -> Vec<Person> {
    let mut people = Vec::new();
    let max = limits.addresses.min(MAX_ADDRESSES);
    for value in values {
        let mut rest = value;
        while !rest.is_empty() {
            if people.len() >= max {
                notes.add(Note::TooManyAddresses);
                return people;
            }
            let (one, after) = split_first(rest);
            rest = after;
            people.extend(person(one));
        }
    }
    people
}

/// Cuts off the text up to a comma or semicolon that stands outside of quotes, comments, angle
/// brackets and encoded words. The name of a group is passed over.
fn split_first(text: &[u8]) -> (&[u8], &[u8]) {
    let mut quoted = false;
    let mut escaped = false;
    let mut angle = false;
    let mut depth = 0_usize;
    let mut start = 0;
    let mut word = 0_u8;
    let mut before = b' ';
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted || depth > 0 => escaped = true,
            b'"' if depth == 0 => quoted = !quoted,
            _ if quoted => {}
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            // `=?utf-8?Q?Doe,_Jane?=` must not be cut at its comma, although it should be coded.
            b'?' if word == 0 && before == b'=' => word = 1,
            b'?' if word > 0 => word = (word + 1).min(4),
            b'=' if word == 4 && before == b'?' => word = 0,
            _ if word > 0 && !byte.is_ascii_whitespace() => {}
            b'<' => angle = true,
            b'>' => angle = false,
            b':' if !angle => start = at + 1,
            b',' | b';' if !angle => {
                let one = text.get(start..at).unwrap_or_default();
                return (one, text.get(at + 1..).unwrap_or_default());
            }
            it => {
                if it.is_ascii_whitespace() {
                    word = 0;
                }
            }
        }
        before = *byte;
    }
    (text.get(start..).unwrap_or_default(), &[])
}

fn person(text: &[u8]) -> Option<Person> {
    let mut name = Vec::new();
    let mut address = Vec::new();
    let mut comment = Vec::new();
    let mut in_angle = false;
    let mut had_angle = false;
    let mut quoted = false;
    let mut escaped = false;
    let mut depth = 0_usize;
    for byte in text {
        let into = match (in_angle, depth) {
            (true, _) => &mut address,
            (false, 0) => &mut name,
            (false, _) => &mut comment,
        };
        match byte {
            it if escaped => {
                escaped = false;
                into.push(*it);
            }
            b'\\' if quoted || depth > 0 => escaped = true,
            b'"' if depth == 0 && !in_angle => quoted = !quoted,
            it if quoted => into.push(*it),
            b'(' if !in_angle => {
                if depth > 0 {
                    comment.push(b'(');
                }
                depth += 1;
            }
            b')' if depth > 0 => {
                depth -= 1;
                if depth > 0 {
                    comment.push(b')');
                }
            }
            b'<' if depth == 0 && !had_angle => (in_angle, had_angle) = (true, true),
            b'>' if in_angle => in_angle = false,
            it => into.push(*it),
        }
    }
    let mut name = words::decode(&name);
    let mut address: String = words::decode(&address).split_whitespace().collect();
    if !had_angle {
        let bare = name.split_whitespace().find(|it| it.contains('@')).map(str::to_owned);
        if let Some(bare) = bare.filter(|it| it.len() == name.len() || comment.is_empty()) {
            name = name.replace(&bare, "").trim().to_owned();
            address = bare.trim_matches(['[', ']', '\'']).to_owned();
        }
        if name.is_empty() {
            name = words::decode(&comment);
        }
    }
    // An obsolete route: `<@a.example,@b.example:jane@example.com>`.
    if address.starts_with('@')
        && let Some((_, after)) = address.rsplit_once(':')
    {
        address = after.to_owned();
    }
    let address = address.strip_prefix("mailto:").unwrap_or(&address).to_owned();
    // Outlook puts single quotes around names.
    let name = match name.strip_prefix('\'').and_then(|it| it.strip_suffix('\'')) {
        Some(inner) => inner.trim().to_owned(),
        None => name,
    };
    let person = Person { name, address };
    (!person.name.is_empty() || !person.address.is_empty()).then_some(person)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::parse;
    use crate::guard::{Limits, Notes};

    #[track_caller]
    fn check(value: &str, expected: Expect) {
        let mut notes = Notes::default();
        let people = parse(std::iter::once(value.as_bytes()), &Limits::default(), &mut notes);
        let shown: Vec<String> = people.iter().map(|it| it.display(&mut notes)).collect();
        expected.assert_eq(&shown.join(" | "));
    }

    #[test]
    fn reads_addresses_as_they_are_written() {
        check("jane@example.com", expect!["jane@example.com"]);
        check("Jane Doe <jane@example.com>", expect!["Jane Doe <jane@example.com>"]);
        check(
            "\"Doe, Jane\" <jane@example.com>, bob@example.org",
            expect![[r#""Doe, Jane" <jane@example.com> | bob@example.org"#]],
        );
        check("jane@example.com (Jane Doe)", expect!["Jane Doe <jane@example.com>"]);
        check(
            "Friends: Ann <ann@example.com>, bob@example.net;",
            expect!["Ann <ann@example.com> | bob@example.net"],
        );
        check("undisclosed-recipients:;", expect![""]);
        check("<@a.example,@b.example:jane@example.com>", expect!["jane@example.com"]);
        check("'jane@example.com' <jane@example.com>", expect!["jane@example.com"]);
        check(
            "=?utf-8?Q?M=C3=BCller,_J=C3=B6rg?= <j@example.com>",
            expect![[r#""Müller, Jörg" <j@example.com>"#]],
        );
        check("a@example.com; b@example.com", expect!["a@example.com | b@example.com"]);
        check("Jane Doe", expect!["Jane Doe"]);
        check("jane @ example.com <", expect!["jane @ example.com"]);
    }
}
