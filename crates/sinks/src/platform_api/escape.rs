//! Text as the inside of a JSON string, a word of the machine at a time.
//!
//! Every byte of an email passes here twice: to learn how long it gets, and on its way out.

/// What stands for a byte that a JSON string cannot have as it is. Spec: RFC 8259 §7.
const ESCAPES: [&str; 32] = [
    "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005", "\\u0006", "\\u0007", "\\b",
    "\\t", "\\n", "\\u000b", "\\f", "\\r", "\\u000e", "\\u000f", "\\u0010", "\\u0011", "\\u0012",
    "\\u0013", "\\u0014", "\\u0015", "\\u0016", "\\u0017", "\\u0018", "\\u0019", "\\u001a",
    "\\u001b", "\\u001c", "\\u001d", "\\u001e", "\\u001f",
];

const WORD: usize = size_of::<u64>();
const ONES: u64 = u64::MAX / 255;
const HIGH_BITS: u64 = ONES << 7;

/// Bytes whose lengths are added up in one byte: none grows by more than five.
const GROUP: usize = 32;

fn escape(byte: u8) -> Option<&'static str> {
    match byte {
        b'"' => Some("\\\""),
        b'\\' => Some("\\\\"),
        _ => ESCAPES.get(usize::from(byte)).copied(),
    }
}

/// By how many bytes a byte grows. Without branches, so that the compiler does many at once.
fn growth(byte: u8) -> u8 {
    let control = u8::from(byte < 0x20) * 5;
    let short = u8::from(matches!(byte, 8 | 9 | 10 | 12 | 13)) * 4;
    control - short + u8::from(byte == b'"') + u8::from(byte == b'\\')
}

/// The length of `text` once escaped.
pub(super) fn escaped_length(text: &[u8]) -> u64 {
    let group = |bytes: &[u8]| bytes.iter().fold(0, |sum: u8, byte| sum + growth(*byte));
    let grown: u64 = text.chunks(GROUP).map(|bytes| u64::from(group(bytes))).sum();
    text.len() as u64 + grown
}

/// The place of the first byte that must be escaped.
fn first_escape(text: &[u8]) -> Option<usize> {
    let (words, rest) = text.as_chunks::<WORD>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let is_control = word.wrapping_sub(ONES * 0x20) & !word;
        let quote = is_zero(word ^ (ONES * u64::from(b'"')));
        let backslash = is_zero(word ^ (ONES * u64::from(b'\\')));
        // A borrow can mark a byte above one that is meant; the lowest mark is true.
        let marks = (is_control | quote | backslash) & HIGH_BITS;
        if marks != 0 {
            return Some(at * WORD + marks.trailing_zeros() as usize / 8);
        }
    }
    let at = rest.iter().position(|byte| escape(*byte).is_some())?;
    Some(text.len() - rest.len() + at)
}

/// Appends `text`, escaped.
pub(super) fn escape_into(text: &[u8], out: &mut Vec<u8>) {
    let mut left = text;
    while let Some(at) = first_escape(left) {
        let (plain, rest) = left.split_at(at);
        out.extend_from_slice(plain);
        left = rest;
        // Line breaks come in pairs.
        while let Some((byte, rest)) = left.split_first()
            && let Some(escaped) = escape(*byte)
        {
            out.extend_from_slice(escaped.as_bytes());
            left = rest;
        }
    }
    out.extend_from_slice(left);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn escaped_text_is_what_any_reader_understands(
            text in "(?s)[ -~\\x00-\\x1f\"\\\\é😀]{0,200}"
        ) {
            let mut out = Vec::new();
            escape_into(text.as_bytes(), &mut out);
            prop_assert_eq!(out.len() as u64, escaped_length(text.as_bytes()));
            let json = format!("\"{}\"", String::from_utf8(out).unwrap());
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn every_byte_is_escaped_at_every_place() {
        for byte in 0..=127_u8 {
            for place in 0..20 {
                let mut text = [b'x'; 20];
                text[place] = byte;
                let mut out = Vec::new();
                escape_into(&text, &mut out);
                assert_eq!(out.len() as u64, escaped_length(&text), "{byte} at {place}");
                let json = format!("\"{}\"", String::from_utf8(out).unwrap());
                let read: String = serde_json::from_str(&json).unwrap();
                assert_eq!(read.as_bytes(), text, "{byte} at {place}");
            }
        }
    }
}
