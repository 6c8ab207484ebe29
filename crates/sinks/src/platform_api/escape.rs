//! Text as the inside of a JSON string, a block of bytes at a time.
//!
//! Every byte of an email passes here twice: to learn how long it gets, and on its way out.

use std::slice;

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

/// Bytes that are looked at together.
const BLOCK: usize = 32;
/// Blocks whose growth is added up in one byte for each place: no byte grows by more than five.
const BLOCKS: usize = 51;

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

/// What one pass over some bytes finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Measured {
    /// The length once escaped.
    pub(super) escaped: u64,
    pub(super) is_ascii: bool,
    pub(super) has_nul: bool,
}

/// Looks at every byte once, without branches.
pub(super) fn measure(text: &[u8]) -> Measured {
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    // A letter changes nothing of what is found.
    let mut last = [b'x'; BLOCK];
    last.iter_mut().zip(rest).for_each(|(to, byte)| *to = *byte);
    let mut escaped = text.len() as u64;
    let (mut bits, mut least) = ([0; BLOCK], [u8::MAX; BLOCK]);
    for run in blocks.chunks(BLOCKS).chain([slice::from_ref(&last)]) {
        let mut grown = [0; BLOCK];
        for block in run {
            let sums = grown.iter_mut().zip(&mut bits).zip(&mut least);
            for (byte, ((grown, bits), least)) in block.iter().zip(sums) {
                *grown += growth(*byte);
                *bits |= *byte;
                *least = (*least).min(*byte);
            }
        }
        escaped += grown.iter().map(|grown| u64::from(*grown)).sum::<u64>();
    }
    Measured { escaped, is_ascii: bits.is_ascii(), has_nul: least.contains(&0) }
}

/// The place of the first byte of a block that must be escaped.
fn first_escape(block: &[u8; BLOCK]) -> Option<usize> {
    let (words, _) = block.as_chunks::<WORD>();
    let mut marked = [0; BLOCK / WORD];
    marked.iter_mut().zip(words).for_each(|(marked, word)| *marked = marks(*word));
    // Most blocks have none, which one comparison tells.
    if marked.iter().fold(0, |all, own| all | own) == 0 {
        return None;
    }
    let (word, marks) = marked.iter().enumerate().find(|(_, marks)| **marks != 0)?;
    Some(word * WORD + marks.trailing_zeros() as usize / 8)
}

/// The bytes of a word that must be escaped: their highest bits. A borrow can mark a byte above
/// one that is meant, too; the lowest mark is true.
fn marks(word: [u8; WORD]) -> u64 {
    let word = u64::from_le_bytes(word);
    let is_below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word;
    let quote = is_below(word ^ (ONES * u64::from(b'"')), 1);
    let backslash = is_below(word ^ (ONES * u64::from(b'\\')), 1);
    (is_below(word, 0x20) | quote | backslash) & HIGH_BITS
}

/// Appends `text`, escaped.
pub(super) fn escape_into(text: &[u8], out: &mut Vec<u8>) {
    let mut left = text;
    while let Some((block, rest)) = left.split_first_chunk::<BLOCK>() {
        // The whole block and then less of it: a copy of fixed size takes no call.
        out.extend_from_slice(block);
        let Some(at) = first_escape(block) else {
            left = rest;
            continue;
        };
        out.truncate(out.len() - (BLOCK - at));
        left = left.get(at..).unwrap_or_default();
        if let [b'\r', b'\n', rest @ ..] = left {
            out.extend_from_slice(b"\\r\\n");
            left = rest;
            continue;
        }
        while let Some((byte, rest)) = left.split_first()
            && let Some(escaped) = escape(*byte)
        {
            out.extend_from_slice(escaped.as_bytes());
            left = rest;
        }
    }
    for byte in left {
        match escape(*byte) {
            Some(escaped) => out.extend_from_slice(escaped.as_bytes()),
            None => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn escaped_text_is_what_any_reader_understands(
            text in "(?s)[ -~\\x00-\\x1f\"\\\\é😀]{0,4000}"
        ) {
            let mut out = Vec::new();
            escape_into(text.as_bytes(), &mut out);
            let measured = measure(text.as_bytes());
            prop_assert_eq!(measured.escaped, out.len() as u64);
            prop_assert_eq!(measured.is_ascii, text.is_ascii());
            prop_assert_eq!(measured.has_nul, text.contains('\0'));
            let json = format!("\"{}\"", String::from_utf8(out).unwrap());
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn every_byte_is_escaped_at_every_place() {
        for byte in 0..=127_u8 {
            for place in 0..100 {
                let mut text = [b'x'; 100];
                text[place] = byte;
                let mut out = Vec::new();
                escape_into(&text, &mut out);
                assert_eq!(out.len() as u64, measure(&text).escaped, "{byte} at {place}");
                let json = format!("\"{}\"", String::from_utf8(out).unwrap());
                let read: String = serde_json::from_str(&json).unwrap();
                assert_eq!(read.as_bytes(), text, "{byte} at {place}");
            }
            let mut out = Vec::new();
            escape_into(&[byte; 5_000], &mut out);
            assert_eq!(out.len() as u64, measure(&[byte; 5_000]).escaped, "{byte}");
        }
    }
}
