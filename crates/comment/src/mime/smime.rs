//! Takes the content out of an opaque S/MIME signature (RFC 5652 §5.1, RFC 8551 §3.5.2).
//!
//! The signature is not verified: a comment shows what the email says, not who said it.

/// 1.2.840.113549.1.7.2
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OBJECT_ID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const OCTETS_IN_PIECES: u8 = 0x24;
const EXPLICIT_0: u8 = 0xa0;

/// The signed content: a MIME entity. `None` if this is no signed data, or has no content.
pub(crate) fn signed_content(der: &[u8]) -> Option<Vec<u8>> {
    let info = enter(der, SEQUENCE)?.0;
    let (kind, rest) = enter(info, OBJECT_ID)?;
    if kind != SIGNED_DATA {
        return None;
    }
    let signed = enter(enter(rest, EXPLICIT_0)?.0, SEQUENCE)?.0;
    let after_version = enter(signed, INTEGER)?.1;
    let after_digests = enter(after_version, SET)?.1;
    let content = enter(after_digests, SEQUENCE)?.0;
    let content = enter(enter(content, OBJECT_ID)?.1, EXPLICIT_0)?.0;
    if let Some((octets, _)) = enter(content, OCTETS) {
        return Some(octets.to_vec());
    }
    let mut pieces = enter(content, OCTETS_IN_PIECES)?.0;
    let mut whole = Vec::new();
    while let Some((octets, rest)) = enter(pieces, OCTETS) {
        whole.extend_from_slice(octets);
        pieces = rest;
    }
    (!whole.is_empty()).then_some(whole)
}

/// The content of the value at the start of `from` if it has that tag, and what follows it.
///
/// With an indefinite length (BER) the content is all that is left, and nothing follows.
fn enter(from: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = from.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0x80 => return Some((rest, &[])),
        0..=0x7f => (usize::from(*length), rest),
        _ => {
            let digits = rest.get(..usize::from(length & 0x7f)).filter(|it| it.len() <= 4)?;
            let length = digits.iter().fold(0, |sum: usize, it| sum << 8 | usize::from(*it));
            (length, rest.get(digits.len()..)?)
        }
    };
    // A signature that was cut off still shows the content before the cut.
    Some(rest.split_at_checked(length).unwrap_or((rest, &[])))
}
