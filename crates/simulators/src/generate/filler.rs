//! Base64 digits that mean nothing, at the speed of copying.

use std::sync::OnceLock;

use super::Dice;

/// Length of a line with its end, and how many lines there are: about 64 KiB.
pub(crate) const LINE: usize = 78;
pub(crate) const LINES: usize = 840;

/// Lines of 76 base64 digits, the same in every run.
pub(crate) fn block() -> &'static [u8] {
    static BLOCK: OnceLock<Vec<u8>> = OnceLock::new();
    BLOCK.get_or_init(|| {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut dice = Dice::new(0x0b10c);
        let mut block = Vec::with_capacity(LINE * LINES);
        for _ in 0..LINES {
            block.extend((0..LINE - 2).filter_map(|_| DIGITS.get(dice.below(64))));
            block.extend_from_slice(b"\r\n");
        }
        block
    })
}

/// Appends whole lines, about `size` bytes of them.
pub(super) fn append(out: &mut Vec<u8>, dice: &mut Dice, size: usize) {
    let mut left = size / LINE;
    while left > 0 {
        let start = dice.below(LINES);
        let lines = left.min(LINES - start);
        out.extend_from_slice(
            block().get(start * LINE..(start + lines) * LINE).unwrap_or_default(),
        );
        left -= lines;
    }
}
