//! Makes a reply well-formed where Exchange writes what XML 1.0 forbids.
//!
//! Exchange puts characters of a subject or folder name into its replies that no XML parser
//! accepts: `&#x0;`, `&#xD800;`, raw control bytes, surrogates encoded as if they were UTF-8.
//! One of them would make a whole reply unreadable, so the bytes pass through here first. What
//! is well-formed passes unchanged.
//!
//! Spec: Extensible Markup Language (XML) 1.0 §2.2, production `Char`.

use std::borrow::Cow;

use memchr::memchr;

/// Longest numeric reference that is looked at, without `&#` and `;`. Leading zeros are legal,
/// a thousand of them are not meant.
const MAX_REFERENCE: usize = 16;

/// Text that an XML parser takes, and how many characters had to be replaced for that.
#[derive(Debug, PartialEq, Eq)]
pub struct Cleaned<'a> {
    pub text: Cow<'a, str>,
    pub replaced: usize,
}

/// Replaces what XML 1.0 forbids by U+FFFD, in time linear to the length of `raw`.
///
/// Surrogates that form a pair, as bytes or as two references, become their character. An `&`
/// that begins no reference becomes `&amp;`. The result is at most five times as long.
///
/// References inside a CDATA section are literal text and are treated alike; no Exchange
/// server is known to write one.
pub fn clean(raw: &[u8]) -> Cleaned<'_> {
    if let Ok(text) = std::str::from_utf8(raw)
        && is_clean(raw)
    {
        return Cleaned { text: Cow::Borrowed(text), replaced: 0 };
    }
    let mut cleaner = Cleaner { out: String::with_capacity(raw.len()), replaced: 0 };
    let mut rest = raw;
    while !rest.is_empty() {
        rest = cleaner.step(rest);
    }
    Cleaned { text: Cow::Owned(cleaner.out), replaced: cleaner.replaced }
}

/// The characters that XML 1.0 allows.
pub fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Whether valid UTF-8 holds neither a reference nor a byte that needs a closer look.
fn is_clean(raw: &[u8]) -> bool {
    let suspicious = |b: &u8| matches!(b, b'&' | 0..=8 | 0x0B | 0x0C | 0x0E..=0x1F);
    !raw.iter().any(suspicious) && memchr::memmem::find(raw, b"\xEF\xBF").is_none()
}

struct Cleaner {
    out: String,
    replaced: usize,
}

impl Cleaner {
    /// Copies one harmless run or repairs one place, and returns what is left.
    fn step<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let Some((&first, after)) = rest.split_first() else { return rest };
        match first {
            b'&' => self.reference(rest),
            _ if first.is_ascii() => {
                let run = rest.iter().take_while(|&&b| is_plain_ascii(b)).count();
                if run == 0 {
                    self.replace();
                    return after;
                }
                let (plain, left) = rest.split_at(run);
                self.out.extend(plain.iter().map(|&b| char::from(b)));
                left
            }
            _ => self.beyond_ascii(rest),
        }
    }

    fn replace(&mut self) {
        self.out.push(char::REPLACEMENT_CHARACTER);
        self.replaced += 1;
    }

    /// `rest` begins with a byte that is not ASCII.
    fn beyond_ascii<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        if let Some((unit, left)) = encoded_surrogate(rest) {
            return self.surrogate(unit, encoded_surrogate(left), left);
        }
        let head = rest.get(..4).unwrap_or(rest);
        let Some(chunk) = head.utf8_chunks().next() else { return &[] };
        let (c, length) = match chunk.valid().chars().next() {
            Some(c) => (c, c.len_utf8()),
            None => {
                self.replace();
                return rest.get(chunk.invalid().len().max(1)..).unwrap_or_default();
            }
        };
        if is_xml_char(c) {
            self.out.push(c)
        } else {
            self.replace()
        }
        rest.get(length..).unwrap_or_default()
    }

    /// `rest` begins with `&`.
    fn reference<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        if let Some((code, left)) = numeric_reference(rest) {
            return match u16::try_from(code) {
                Ok(unit @ 0xD800..=0xDFFF) => {
                    let next = numeric_reference(left)
                        .and_then(|(code, left)| Some((u16::try_from(code).ok()?, left)));
                    self.surrogate(unit, next, left)
                }
                _ => {
                    if char::from_u32(code).is_some_and(is_xml_char) {
                        // Kept as a reference: it may stand for `<`, or for a line end that
                        // the parser would normalize.
                        self.out.push_str("&#");
                        self.out.push_str(&code.to_string());
                        self.out.push(';');
                    } else {
                        self.replace();
                    }
                    left
                }
            };
        }
        for known in ["&amp;", "&lt;", "&gt;", "&quot;", "&apos;"] {
            if let Some(left) = rest.strip_prefix(known.as_bytes()) {
                self.out.push_str(known);
                return left;
            }
        }
        self.out.push_str("&amp;");
        self.replaced += 1;
        rest.get(1..).unwrap_or_default()
    }

    /// Writes the character that the surrogate `unit` forms with the one in `next`; without a
    /// partner it is replaced. Returns what follows.
    fn surrogate<'a>(
        &mut self,
        unit: u16,
        next: Option<(u16, &'a [u8])>,
        after_unit: &'a [u8],
    ) -> &'a [u8] {
        if let Some((second, after_both)) = next
            && let Some(Ok(c)) = char::decode_utf16([unit, second]).next()
        {
            self.replaced += 1;
            self.out.push(c);
            return after_both;
        }
        self.replace();
        after_unit
    }
}

fn is_plain_ascii(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7F) && byte != b'&'
}

/// A surrogate in the form `ED A0..BF 80..BF`, which UTF-8 forbids and CESU-8 uses.
fn encoded_surrogate(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (&[0xED, second @ 0xA0..=0xBF, third @ 0x80..=0xBF], left) = bytes.split_first_chunk()?
    else {
        return None;
    };
    Some((0xD000 | u16::from(second & 0x3F) << 6 | u16::from(third & 0x3F), left))
}

/// `&#38;` or `&#x26;` at the start of `bytes`: its number, and what follows it. A number too
/// large for any character is `u32::MAX`.
fn numeric_reference(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let body = bytes.strip_prefix(b"&#")?;
    let window = body.get(..=MAX_REFERENCE).unwrap_or(body);
    let end = memchr(b';', window)?;
    let digits = std::str::from_utf8(window.get(..end)?).ok()?;
    let (digits, radix) = match digits.strip_prefix(['x', 'X']) {
        Some(hex) => (hex, 16),
        None => (digits, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let code = u32::from_str_radix(digits, radix).unwrap_or(u32::MAX);
    Some((code, body.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(raw: &[u8], expected: &str, replaced: usize) {
        let cleaned = clean(raw);
        assert_eq!((&*cleaned.text, cleaned.replaced), (expected, replaced));
        let document = format!("<a>{}</a>", cleaned.text);
        assert!(roxmltree::Document::parse(&document).is_ok(), "{document:?} does not parse");
    }

    #[test]
    fn forbidden_references_become_the_replacement_character() {
        for reference in ["&#x0;", "&#x1;", "&#x0B;", "&#x1F;", "&#xFFFE;", "&#xFFFF;", "&#0;"] {
            check(format!("a{reference}b").as_bytes(), "a\u{FFFD}b", 1);
        }
        check(b"&#xD800;", "\u{FFFD}", 1);
        check(b"&#x110000;&#99999999999;", "\u{FFFD}\u{FFFD}", 2);
        check(b"&#xDE00;&#xD83D;x", "\u{FFFD}\u{FFFD}x", 2);
    }

    #[test]
    fn surrogate_pairs_become_their_character() {
        check(b"&#xD83D;&#xDE00;", "\u{1F600}", 1);
        check(b"&#55357;&#xde00;!", "\u{1F600}!", 1);
        check(b"\xED\xA0\xBD\xED\xB8\x80!", "\u{1F600}!", 1);
    }

    #[test]
    fn legal_references_stay() {
        check(b"&#38;&#x3C;&lt;&amp;&gt;&quot;&apos;", "&#38;&#60;&lt;&amp;&gt;&quot;&apos;", 0);
        check(b"&#x1FFFE;&#xFDD0;&#13;", "&#131070;&#64976;&#13;", 0);
        check(b"&#x000000000041;", "&#65;", 0);
    }

    #[test]
    fn bare_ampersands_are_escaped() {
        check(b"A & B &nbsp; &", "A &amp; B &amp;nbsp; &amp;", 3);
        check(b"&#; &#x; &#xZZ; &#12", "&amp;#; &amp;#x; &amp;#xZZ; &amp;#12", 4);
    }

    #[test]
    fn raw_bytes_that_are_no_text_are_replaced() {
        check(b"a\x00b\x0Bc", "a\u{FFFD}b\u{FFFD}c", 2);
        check(b"\xFF\xC3", "\u{FFFD}\u{FFFD}", 2);
        check(b"\xED\xA0\x80x", "\u{FFFD}x", 1);
        check(b"\xEF\xBF\xBF\xEF\xBF\xBD", "\u{FFFD}\u{FFFD}", 1);
        check("Ärger \u{1F600}".as_bytes(), "Ärger \u{1F600}", 0);
    }

    #[test]
    fn clean_text_is_not_copied() {
        assert!(matches!(clean("<a>Grüße</a>".as_bytes()).text, Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn any_bytes_become_legal_text(raw in any::<Vec<u8>>()) {
            let cleaned = clean(&raw);
            prop_assert!(cleaned.text.chars().all(is_xml_char));
            prop_assert!(cleaned.text.len() <= raw.len() * 5);
            let again = clean(cleaned.text.as_bytes());
            prop_assert_eq!(&again.text, &cleaned.text);
        }
    }
}
