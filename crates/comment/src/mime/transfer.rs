//! Content transfer encodings (RFC 2045 §6, and uuencode), decoded piece by piece.

use std::io::{self, Read};

use memchr::memchr;

/// Encoded bytes that are decoded at a time.
const PIECE: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// `7bit`, `8bit`, `binary`, and names that nobody knows.
    Identity,
    Base64,
    QuotedPrintable,
    Uuencode,
}

impl Encoding {
    pub(crate) fn from_field(value: &[u8]) -> Self {
        let letters: Vec<u8> = value
            .iter()
            .take_while(|byte| **byte != b';')
            .filter(|byte| byte.is_ascii_alphanumeric())
            .map(u8::to_ascii_lowercase)
            .take(32)
            .collect();
        match letters.as_slice() {
            b"base64" | b"b" => Self::Base64,
            b"quotedprintable" | b"q" | b"qp" => Self::QuotedPrintable,
            b"xuuencode" | b"uuencode" | b"xuue" | b"uue" => Self::Uuencode,
            _ => Self::Identity,
        }
    }
}

/// Decodes at most `max` bytes of output.
pub(crate) fn decode(encoded: &[u8], encoding: Encoding, max: usize) -> Vec<u8> {
    let mut decoder = Decoder::new(encoded, encoding);
    let room = match encoding {
        Encoding::Base64 | Encoding::Uuencode => encoded.len() / 4 * 3 + 3,
        Encoding::Identity | Encoding::QuotedPrintable => encoded.len(),
    };
    let mut out = Vec::with_capacity(room.min(max).min(64 * 1024 * 1024));
    while out.len() < max && decoder.decode_piece(&mut out) {}
    out.truncate(max);
    out
}

/// Reads the decoded content. Bytes that the encoding does not have are passed over.
#[derive(Clone, Debug)]
pub(crate) struct Decoder<'a> {
    encoded: &'a [u8],
    encoding: Encoding,
    /// Base64: bits that make no byte yet, and how many digits they are of.
    bits: u32,
    digits: u8,
    /// Uuencode: the line `begin` has passed.
    begun: bool,
    ready: Vec<u8>,
    given: usize,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(encoded: &'a [u8], encoding: Encoding) -> Self {
        Self { encoded, encoding, bits: 0, digits: 0, begun: false, ready: Vec::new(), given: 0 }
    }

    /// Decodes one more piece onto `out`; `false` at the end.
    pub(crate) fn decode_piece(&mut self, out: &mut Vec<u8>) -> bool {
        if self.encoded.is_empty() {
            self.end_base64(out);
            return false;
        }
        match self.encoding {
            Encoding::Identity => out.extend_from_slice(self.take(PIECE)),
            Encoding::Base64 => {
                let piece = self.take(PIECE);
                self.decode_base64(piece, out);
            }
            Encoding::QuotedPrintable => self.decode_quoted(out),
            Encoding::Uuencode => self.decode_uu(out),
        }
        true
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (piece, rest) = self.encoded.split_at(length.min(self.encoded.len()));
        self.encoded = rest;
        piece
    }

    fn decode_base64(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        while let Some((first, rest)) = piece.split_first() {
            if self.digits == 0 {
                let mut quads = piece.chunks_exact(4);
                let mut used = 0;
                for quad in quads.by_ref() {
                    let &[a, b, c, d] = quad else { break };
                    let (a, b, c, d) = (digit(a), digit(b), digit(c), digit(d));
                    if (a | b | c | d) & NO_DIGIT != 0 {
                        break;
                    }
                    let bits =
                        u32::from(a) << 18 | u32::from(b) << 12 | u32::from(c) << 6 | u32::from(d);
                    let [_, x, y, z] = bits.to_be_bytes();
                    out.extend_from_slice(&[x, y, z]);
                    used += 4;
                }
                if used > 0 {
                    piece = piece.get(used..).unwrap_or_default();
                    continue;
                }
            }
            piece = rest;
            match digit(*first) {
                NO_DIGIT if *first == b'=' => self.end_base64(out),
                NO_DIGIT => {}
                value => {
                    self.bits = self.bits << 6 | u32::from(value);
                    self.digits += 1;
                    if self.digits == 4 {
                        let [_, x, y, z] = self.bits.to_be_bytes();
                        out.extend_from_slice(&[x, y, z]);
                        (self.bits, self.digits) = (0, 0);
                    }
                }
            }
        }
    }

    /// Gives out the bytes of a group that is not complete: at padding, or where it was cut.
    fn end_base64(&mut self, out: &mut Vec<u8>) {
        match self.digits {
            2 => out.push((self.bits >> 4) as u8),
            3 => out.extend_from_slice(&[(self.bits >> 10) as u8, (self.bits >> 2) as u8]),
            _ => {}
        }
        (self.bits, self.digits) = (0, 0);
    }

    fn decode_quoted(&mut self, out: &mut Vec<u8>) {
        let window = self.encoded.get(..PIECE).unwrap_or(self.encoded);
        let Some(at) = memchr(b'=', window) else {
            let plain = self.take(PIECE);
            out.extend_from_slice(plain);
            return;
        };
        out.extend_from_slice(self.take(at));
        let after = self.encoded.get(1..).unwrap_or_default();
        let hex = match after {
            [a, b, ..] => hex_digit(*a).zip(hex_digit(*b)),
            _ => None,
        };
        if let Some((high, low)) = hex {
            out.push(high << 4 | low);
            self.take(3);
            return;
        }
        // A soft line break; blanks may have been added behind the sign.
        let blanks = after.iter().take(80).take_while(|it| matches!(it, b' ' | b'\t')).count();
        let line_end = match after.get(blanks..).unwrap_or_default() {
            [b'\r', b'\n', ..] => Some(2),
            [b'\n' | b'\r', ..] => Some(1),
            [] => Some(0),
            _ => None,
        };
        match line_end {
            Some(length) => self.take(1 + blanks + length),
            None => {
                out.push(b'=');
                self.take(1)
            }
        };
    }

    fn decode_uu(&mut self, out: &mut Vec<u8>) {
        let length = memchr(b'\n', self.encoded).map_or(self.encoded.len(), |at| at + 1);
        let line = self.take(length).trim_ascii_end();
        if !self.begun {
            self.begun = line.starts_with(b"begin ");
            return;
        }
        let Some((first, digits)) = line.split_first() else { return };
        if line == b"end" {
            self.encoded = &[];
            return;
        }
        let mut left = usize::from(first.wrapping_sub(32) & 63);
        for group in digits.chunks(4) {
            let at = |index: usize| {
                u32::from(group.get(index).map_or(0, |byte| byte.wrapping_sub(32) & 63))
            };
            let bits = at(0) << 18 | at(1) << 12 | at(2) << 6 | at(3);
            let bytes = bits.to_be_bytes();
            let some = left.min(3);
            out.extend_from_slice(bytes.get(1..1 + some).unwrap_or_default());
            left -= some;
        }
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.given == self.ready.len() {
            let mut ready = std::mem::take(&mut self.ready);
            ready.clear();
            let more = self.decode_piece(&mut ready);
            self.ready = ready;
            self.given = 0;
            if !more && self.ready.is_empty() {
                return Ok(0);
            }
        }
        let left = self.ready.get(self.given..).unwrap_or_default();
        let count = left.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..count), left.get(..count)) {
            to.copy_from_slice(from);
        }
        self.given += count;
        Ok(count)
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok())
}

const NO_DIGIT: u8 = 0x80;

/// Values of the base64 alphabet, that of URLs included.
const DIGITS: [u8; 256] = {
    let mut table = [NO_DIGIT; 256];
    let mut byte = 0_u8;
    loop {
        #[expect(
            clippy::indexing_slicing,
            reason = "any byte is below 256, and this runs in the compiler"
        )]
        {
            table[byte as usize] = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => NO_DIGIT,
            };
        }
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

fn digit(byte: u8) -> u8 {
    DIGITS.get(usize::from(byte)).copied().unwrap_or(NO_DIGIT)
}
