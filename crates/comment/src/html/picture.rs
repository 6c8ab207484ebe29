//! Pictures that may be shown: those that their first bytes say they are, of a size that a
//! browser can bear.

use base64::{Engine, engine::general_purpose::STANDARD};

/// Bytes that tell.
pub(crate) const START: usize = 32;

/// The type of a picture by its content; `None` unless it is PNG, JPEG, GIF or WebP.
///
/// What the sender calls it means nothing: an `image/svg+xml` is a document with scripts.
/// Spec: WHATWG MIME Sniffing, "image type pattern matching".
pub(crate) fn kind(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some("image/png")
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        Some("image/jpeg")
    } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        Some("image/gif")
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..14) == Some(b"WEBPVP") {
        Some("image/webp")
    } else {
        None
    }
}

/// Whether a picture is so large when it is unpacked that it is a trap: a PNG of some kilobytes
/// can fill gigabytes. Formats that name their size elsewhere than at the start grow less.
pub(crate) fn is_huge(bytes: &[u8]) -> bool {
    /// A photograph of the best telephones has 200 million; one in a text has a few.
    const MAX_PIXELS: u64 = 50_000_000;
    let number = |from: usize, length: usize, little: bool| -> u64 {
        let digits = bytes.get(from..from + length).unwrap_or_default();
        let join = |number, byte: &u8| number << 8 | u64::from(*byte);
        if little { digits.iter().rev().fold(0, join) } else { digits.iter().fold(0, join) }
    };
    let (width, height) = match kind(bytes) {
        Some("image/png") => (number(16, 4, false), number(20, 4, false)),
        Some("image/gif") => (number(6, 2, true), number(8, 2, true)),
        _ => return false,
    };
    width.saturating_mul(height) > MAX_PIXELS
}

/// The URL that is the picture; `None` if it may not be shown.
pub(crate) fn data_url(bytes: &[u8]) -> Option<String> {
    let kind = kind(bytes).filter(|_| !is_huge(bytes))?;
    Some(format!("data:{kind};base64,{}", STANDARD.encode(bytes)))
}

/// The bytes of a `data:` URL in base64; of no other.
pub(crate) fn from_data_url(url: &str, most: usize) -> Option<Vec<u8>> {
    let (about, data) = url.get(5..)?.split_once(',')?;
    let about = about.to_ascii_lowercase();
    if !about.starts_with("image/") || !about.ends_with(";base64") || data.len() / 4 * 3 > most {
        return None;
    }
    let digits: String = data.chars().filter(|it| !it.is_ascii_whitespace()).collect();
    STANDARD.decode(digits).ok()
}
