//! Makes JSON of what is almost JSON: Exchange passes on characters that no JSON parser accepts.
//!
//! Subjects, folder names and Message-IDs hold raw control bytes, escaped halves of surrogate
//! pairs and bytes that are no UTF-8. One of them would make a whole page unreadable.
//!
//! Spec: RFC 8259 §7 and §8.1.

use std::borrow::Cow;

/// Replaces what a parser would refuse inside of strings: unpaired surrogates and bytes that are
/// no UTF-8 by U+FFFD, control characters by their escapes. In time linear to the length.
pub(super) fn mend(json: &[u8]) -> Cow<'_, [u8]> {
    let mut out: Vec<u8> = Vec::new();
    let mut changed = false;
    let mut in_string = false;
    let mut rest = json;
    while let Some((&byte, after)) = rest.split_first() {
        let (used, replacement): (usize, Option<Vec<u8>>) = match byte {
            b'"' => {
                in_string = !in_string;
                (1, None)
            }
            b'\\' if in_string => escape(rest),
            0..0x20 if in_string => (1, Some(format!("\\u{byte:04x}").into_bytes())),
            0x80.. => beyond_ascii(rest),
            _ => (1, None),
        };
        match replacement {
            Some(replacement) => {
                changed = true;
                out.extend_from_slice(&replacement);
            }
            None => out.extend_from_slice(rest.get(..used).unwrap_or(rest)),
        }
        rest = rest.get(used..).unwrap_or(after);
    }
    if changed { Cow::Owned(out) } else { Cow::Borrowed(json) }
}

/// An escape: how long it is, and what takes its place.
fn escape(rest: &[u8]) -> (usize, Option<Vec<u8>>) {
    let Some(unit) = unit(rest) else { return (rest.len().min(2), None) };
    match unit {
        0xD800..=0xDBFF => match rest.get(6..).and_then(self::unit) {
            Some(0xDC00..=0xDFFF) => (12, None),
            _ => (6, Some(b"\\ufffd".to_vec())),
        },
        0xDC00..=0xDFFF => (6, Some(b"\\ufffd".to_vec())),
        _ => (6, None),
    }
}

/// The code unit of an escape such as `\u00e4`.
fn unit(rest: &[u8]) -> Option<u16> {
    let digits = rest.strip_prefix(b"\\u")?.get(..4)?;
    let all_digits = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| all_digits)?;
    u16::from_str_radix(digits, 16).ok()
}

fn beyond_ascii(rest: &[u8]) -> (usize, Option<Vec<u8>>) {
    let head = rest.get(..4).unwrap_or(rest);
    let Some(chunk) = head.utf8_chunks().next() else { return (1, None) };
    match chunk.valid().chars().next() {
        Some(c) => (c.len_utf8(), None),
        None => (chunk.invalid().len().max(1), Some("\u{FFFD}".as_bytes().to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(raw: &[u8], expected: &str) {
        let value: String = serde_json::from_slice(&mend(raw)).unwrap();
        assert_eq!(value, expected);
    }

    #[test]
    fn what_a_parser_refuses_is_replaced() {
        check(b"\"a\x00b\x1fc\"", "a\0b\u{1f}c");
        check(br#""a\ud800b""#, "a\u{FFFD}b");
        check(br#""\udc00\ud83d\ude00\ud800\u0041""#, "\u{FFFD}\u{1F600}\u{FFFD}A");
        check(b"\"\xe4\xf0\x9f\x98\"", "\u{FFFD}\u{FFFD}");
        check(br#""\\ud800 \" \\""#, "\\ud800 \" \\");
    }

    #[test]
    fn what_is_well_formed_stays_as_it_is() {
        let json = r#"{"a": ["\u00e4\ud83d\ude00", "\\", "ä😀"], "b": {"c": null}}"#;
        assert!(matches!(mend(json.as_bytes()), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_mended(raw: Vec<u8>) {
            drop(mend(&raw));
            let mut quoted = vec![b'"'];
            quoted.extend(raw.iter().filter(|byte| !matches!(byte, b'"' | b'\\')));
            quoted.push(b'"');
            prop_assert!(serde_json::from_slice::<String>(&mend(&quoted)).is_ok());
        }
    }
}
