//! Any message becomes Unicode text: itself if it is that already, else ASCII without NUL.
#![no_main]

use sinks::ascii_safe::to_unicode;

/// Longest output for a byte of input. The worst case is a header of one strange byte, which
/// becomes an encoded word under a character set with a long name.
const MAX_GROWTH: usize = 80;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = to_unicode(data.to_vec());
    assert!(!text.contains('\0'), "NUL in the output");
    assert!(text.len() <= MAX_GROWTH * (data.len() + 1), "{} of {}", text.len(), data.len());
    match std::str::from_utf8(data) {
        Ok(same) if !same.contains('\0') => assert_eq!(text, same),
        _ => assert!(text.is_ascii(), "neither the same nor ASCII"),
    }
});
