//! Bytes of any character set to text. Never fails; what cannot be read becomes U+FFFD.

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, REPLACEMENT, UTF_8, WINDOWS_1252};

mod utf7;

pub(crate) struct Decoded<'a> {
    pub(crate) text: Cow<'a, str>,
    /// The bytes are not of the character set that they claim, or of none that is known.
    pub(crate) guessed: bool,
}

impl<'a> Decoded<'a> {
    fn sure(text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: text.into(), guessed: false }
    }

    fn guess(text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: text.into(), guessed: true }
    }
}

/// Decodes text that claims to be in `label`; `None` claims nothing.
pub(crate) fn decode<'a>(bytes: &'a [u8], label: Option<&[u8]>) -> Decoded<'a> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let claim = label.map_or(Claim::Nothing, claim_of);
    // Escape sequences of ISO-2022-JP and UTF-7 are ASCII too.
    let plain = matches!(claim, Claim::Nothing | Claim::Ascii) || {
        matches!(claim, Claim::Known(it) if it.is_ascii_compatible())
    };
    if plain
        && let Ok(text) = std::str::from_utf8(bytes)
        && (text.is_ascii() || claim.may_be_utf8())
        && !(claim == Claim::Nothing && has_iso2022_escapes(bytes))
    {
        return Decoded::sure(text);
    }
    match claim {
        Claim::Utf7 => Decoded::sure(utf7::decode(bytes)),
        Claim::Known(encoding) => decode_known(bytes, encoding),
        Claim::Nothing | Claim::Ascii => Decoded::guess(guess(bytes)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// No label, or one that says nothing.
    Nothing,
    Ascii,
    Utf7,
    Known(&'static Encoding),
}

impl Claim {
    /// Text that is valid UTF-8 is that and not Latin: by chance it is so hardly ever.
    fn may_be_utf8(self) -> bool {
        match self {
            Self::Nothing | Self::Ascii => true,
            Self::Utf7 => false,
            Self::Known(encoding) => encoding == UTF_8 || encoding.is_single_byte(),
        }
    }
}

fn claim_of(label: &[u8]) -> Claim {
    const MAX: usize = 64;
    let label = label.get(..MAX).unwrap_or(label);
    let name: String = String::from_utf8_lossy(label)
        .chars()
        .filter(|it| !it.is_whitespace() && !matches!(it, '"' | '\'' | '\0'))
        .collect::<String>()
        .to_ascii_lowercase();
    let name = name.strip_suffix("_charset").unwrap_or(&name);
    let known = match name {
        "us-ascii" | "ascii" | "ansi_x3.4-1968" | "646" | "7bit" => return Claim::Ascii,
        "utf-7" | "utf7" | "unicode-1-1-utf-7" | "x-unicode-2-0-utf-7" | "csunicode11utf7" => {
            return Claim::Utf7;
        }
        "utf8mb4" | "utf-8-bom" | "utf_8" => "utf-8",
        "latin-1" | "iso8859_1" | "iso-8859" | "8859_1" | "cp850" | "ansi" => "iso-8859-1",
        "chinesebig5" | "cp950" | "ms950" | "x-big5" => "big5",
        "cp936" | "ms936" | "x-gbk" | "gb_1988-80" | "chinesegb" => "gbk",
        "gb18030-2000" | "gb18030-2022" => "gb18030",
        "cp932" | "ms932" | "sjis" | "windows-932" => "shift_jis",
        "cp949" | "ms949" | "ks_c_5601" | "x-windows-949" => "euc-kr",
        "iso-2022-jp-1" | "iso-2022-jp-2" | "iso-2022-jp-3" | "iso-2022-jp-ms" | "cp50220"
        | "cp50221" | "csiso2022jp2" => "iso-2022-jp",
        other => other,
    };
    // `cp1251`, `win-1251`, `windows1251`: all are written.
    let page = known.trim_start_matches(|it: char| it.is_ascii_alphabetic() || it == '-');
    let encoding = Encoding::for_label(known.as_bytes()).or_else(|| {
        ["cp", "win", "windows", "ms", "x-cp"]
            .iter()
            .any(|prefix| known.starts_with(prefix))
            .then(|| Encoding::for_label(format!("windows-{page}").as_bytes()))
            .flatten()
    });
    match encoding {
        // The web reads these as nothing at all, lest pages trick it.
        Some(encoding) if encoding == REPLACEMENT => Claim::Nothing,
        Some(encoding) => Claim::Known(encoding),
        None => Claim::Nothing,
    }
}

fn decode_known<'a>(bytes: &'a [u8], encoding: &'static Encoding) -> Decoded<'a> {
    let (text, _, broken) = encoding.decode(bytes);
    if !broken {
        return Decoded::sure(text);
    }
    if encoding != UTF_8 {
        return match std::str::from_utf8(bytes) {
            Ok(utf8) if encoding.is_ascii_compatible() => Decoded::guess(utf8),
            _ => Decoded::guess(text),
        };
    }
    let wrong = text.chars().filter(|it| *it == '\u{fffd}').count();
    let right = text.chars().filter(|it| !it.is_ascii() && *it != '\u{fffd}').count();
    // Some wrong bytes are damage; mostly wrong ones are another character set.
    if right >= wrong { Decoded::guess(text) } else { Decoded::guess(guess(bytes)) }
}

fn guess(bytes: &[u8]) -> Cow<'_, str> {
    /// Enough to tell, and the end of what a long text costs.
    const SAMPLE: usize = 64 * 1024;
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    let sample = bytes.get(..SAMPLE).unwrap_or(bytes);
    detector.feed(sample, sample.len() == bytes.len());
    let encoding = detector.guess(None, Utf8Detection::Allow);
    // In a short text, one strange byte is an accent of Western Europe more often than anything.
    let strange = sample.iter().filter(|byte| !byte.is_ascii()).count();
    let encoding = if strange < 3 && encoding != UTF_8 { WINDOWS_1252 } else { encoding };
    encoding.decode(bytes).0
}

fn has_iso2022_escapes(bytes: &[u8]) -> bool {
    [b"\x1b$B", b"\x1b$@", b"\x1b(J"].iter().any(|it| memchr::memmem::find(bytes, *it).is_some())
}
