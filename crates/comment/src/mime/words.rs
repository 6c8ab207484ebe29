//! Text of a header field: unfolded, with its encoded words (RFC 2047) decoded, also broken ones.

use memchr::memmem;

use crate::{
    charset,
    mime::transfer::{self, Encoding},
};

/// Bytes of one value that are looked at. Outlook writes subjects up to 255 characters; lists of
/// addresses are split before they come here.
const MAX_BYTES: usize = 64 * 1024;

/// Decodes the value of a field. Never fails: what is no encoded word stays as it is.
pub(crate) fn decode(value: &[u8]) -> String {
    let value = value.get(..MAX_BYTES).unwrap_or(value);
    let mut out = String::with_capacity(value.len());
    if value.is_ascii() && memmem::find(value, b"=?").is_none() {
        push_clean(&mut out, &String::from_utf8_lossy(value));
        return out.trim().to_owned();
    }
    let mut rest = value;
    let mut pending = Pending::default();
    // Once no word can end any more, no search for its end may start again: it would be quadratic.
    let mut ends_left = true;
    while let Some(start) = ends_left.then(|| memmem::find(rest, b"=?")).flatten() {
        let (before, word) = rest.split_at(start);
        match read_word(word, &mut ends_left) {
            Some((found, length)) => {
                // Blanks between two words are not part of the text (RFC 2047 §6.2).
                if pending.is_empty() || !before.iter().all(u8::is_ascii_whitespace) {
                    pending.flush(&mut out);
                    push_raw(&mut out, before);
                }
                pending.take(found, &mut out);
                rest = word.get(length..).unwrap_or_default();
            }
            None => {
                pending.flush(&mut out);
                let (skipped, after) = rest.split_at(start + 2);
                push_raw(&mut out, skipped);
                rest = after;
            }
        }
    }
    pending.flush(&mut out);
    push_raw(&mut out, rest);
    out.trim().to_owned()
}

/// Adjacent words in one character set: some writers split a character between two words.
#[derive(Default)]
struct Pending {
    charset: Vec<u8>,
    bytes: Vec<u8>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn take(&mut self, word: Word, out: &mut String) {
        if !self.charset.eq_ignore_ascii_case(word.charset) {
            self.flush(out);
            self.charset = word.charset.to_vec();
        }
        self.bytes.extend_from_slice(&word.bytes);
    }

    fn flush(&mut self, out: &mut String) {
        if !self.bytes.is_empty() {
            let text = charset::decode(&self.bytes, Some(&self.charset)).text;
            push_clean(out, &text);
        }
        self.bytes.clear();
        self.charset.clear();
    }
}

struct Word<'a> {
    charset: &'a [u8],
    bytes: Vec<u8>,
}

/// Reads the encoded word at the start of `text`; also returns its length.
fn read_word<'a>(text: &'a [u8], ends_left: &mut bool) -> Option<(Word<'a>, usize)> {
    const MAX_CHARSET: usize = 64;
    let inner = text.get(2..)?;
    let charset = inner.get(..inner.iter().take(MAX_CHARSET).position(|byte| *byte == b'?')?)?;
    if charset.iter().any(|byte| byte.is_ascii_whitespace() || *byte == b'=') {
        return None;
    }
    let encoding = *inner.get(charset.len() + 1)?;
    if inner.get(charset.len() + 2) != Some(&b'?') {
        return None;
    }
    let coded = inner.get(charset.len() + 3..)?;
    let Some(end) = memmem::find(coded, b"?=") else {
        *ends_left = false;
        return None;
    };
    let text = coded.get(..end)?;
    let bytes = match encoding {
        b'B' | b'b' => transfer::decode(text, Encoding::Base64, usize::MAX),
        b'Q' | b'q' => {
            let spaced: Vec<u8> =
                text.iter().map(|byte| if *byte == b'_' { b' ' } else { *byte }).collect();
            transfer::decode(&spaced, Encoding::QuotedPrintable, usize::MAX)
        }
        _ => return None,
    };
    // A language may follow the name: `utf-8*en` (RFC 2231 §5).
    let charset = charset.split(|byte| *byte == b'*').next()?;
    Some((Word { charset, bytes }, 2 + (inner.len() - coded.len()) + end + 2))
}

fn push_raw(out: &mut String, bytes: &[u8]) {
    push_clean(out, &charset::decode(bytes, None).text);
}

/// Adds text without line breaks and other control characters.
fn push_clean(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\r' | '\n' | '\0' => {}
            '\t' => out.push(' '),
            it if it.is_control() => {}
            it => out.push(it),
        }
    }
}
