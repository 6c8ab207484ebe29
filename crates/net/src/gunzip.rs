//! Decompresses a reply as it arrives, within limits.
//!
//! Only gzip is asked for and accepted: servers disagree about what `deflate` means (RFC 9110
//! §8.4.1.2).

use std::io::{self, Write};

use bytes::{Buf, Bytes};
use flate2::write::MultiGzDecoder;

/// Compressed bytes taken at a time. At most 1032 bytes come out of one, so a step yields at
/// most 4 MiB.
const STEP: usize = 4 * 1024;

/// Decompressed bytes up to which the factor does not matter: short replies of one repeated
/// byte are honest.
const FREE_EXPANSION: u64 = 32 * 1024 * 1024;

/// The content is not what its headers promise, or too much of it.
#[derive(Debug)]
pub(crate) enum Unfit {
    Garbled(io::Error),
    /// With the size that was allowed.
    TooLarge(u64),
}

/// Passes a body on, decompressed if need be, and counts it.
pub(crate) struct Decoder {
    gzip: Option<MultiGzDecoder<Vec<u8>>>,
    /// Arrived, not yet decompressed.
    pending: Bytes,
    taken: u64,
    given: u64,
    max_size: u64,
    max_expansion: u64,
}

impl Decoder {
    pub(crate) fn new(gzip: bool, max_size: u64, max_expansion: u64) -> Self {
        let gzip = gzip.then(|| MultiGzDecoder::new(Vec::new()));
        Self { gzip, pending: Bytes::new(), taken: 0, given: 0, max_size, max_expansion }
    }

    /// Takes what arrived next. Only when [`Self::next`] has nothing left.
    pub(crate) fn push(&mut self, arrived: Bytes) {
        self.pending = arrived;
    }

    /// The next part that is ready; `None` when more must arrive first.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Unfit> {
        let Some(gzip) = &mut self.gzip else {
            let part = std::mem::take(&mut self.pending);
            self.taken += part.len() as u64;
            return self.give(part);
        };
        let mut part = Vec::new();
        while part.is_empty() && !self.pending.is_empty() {
            let step = self.pending.split_to(self.pending.remaining().min(STEP));
            gzip.write_all(&step).map_err(Unfit::Garbled)?;
            self.taken += step.len() as u64;
            part = std::mem::take(gzip.get_mut());
        }
        self.give(part.into())
    }

    /// The last part, once everything has arrived and [`Self::next`] has nothing left.
    pub(crate) fn finish(&mut self) -> Result<Option<Bytes>, Unfit> {
        let Some(gzip) = &mut self.gzip else { return Ok(None) };
        // A reply without a body may be labelled like those with one.
        if self.taken == 0 {
            return Ok(None);
        }
        gzip.try_finish().map_err(Unfit::Garbled)?;
        let part = std::mem::take(gzip.get_mut());
        self.give(part.into())
    }

    fn give(&mut self, part: Bytes) -> Result<Option<Bytes>, Unfit> {
        self.given += part.len() as u64;
        if self.given > self.max_size {
            return Err(Unfit::TooLarge(self.max_size));
        }
        let plausible = FREE_EXPANSION.max(self.taken.saturating_mul(self.max_expansion));
        if self.gzip.is_some() && self.given > plausible {
            return Err(Unfit::TooLarge(plausible));
        }
        Ok((!part.is_empty()).then_some(part))
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    /// Feeds `arrived` in parts of `size` bytes.
    fn decode(mut decoder: Decoder, arrived: &[u8], size: usize) -> Result<Vec<u8>, Unfit> {
        let mut all = Vec::new();
        for part in arrived.chunks(size) {
            decoder.push(Bytes::copy_from_slice(part));
            while let Some(part) = decoder.next()? {
                assert!(!part.is_empty() && part.len() <= STEP * 1032 + 64 * 1024);
                all.extend(part);
            }
        }
        all.extend(decoder.finish()?.unwrap_or_default());
        Ok(all)
    }

    #[test]
    fn content_is_the_same_however_it_arrives() {
        let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let compressed = gzip(&content);
        for size in [1, 7, 4096, compressed.len()] {
            let decoder = Decoder::new(true, 1 << 30, 250);
            assert_eq!(decode(decoder, &compressed, size).unwrap(), content, "parts of {size}");
        }
    }

    #[test]
    fn members_follow_each_other() {
        let both = [gzip(b"abc"), gzip(b"def")].concat();
        assert_eq!(decode(Decoder::new(true, 100, 250), &both, 5).unwrap(), b"abcdef");
    }

    #[test]
    fn cut_or_damaged_content_is_noticed() {
        let whole = gzip(&vec![7; 10_000]);
        for cut in 1..whole.len() {
            let result = decode(Decoder::new(true, 1 << 20, 250), &whole[..cut], 16);
            assert!(matches!(result, Err(Unfit::Garbled(_))), "cut at {cut}: {result:?}");
        }
        let mut damaged = whole.clone();
        let checksum = whole.len() - 8;
        damaged[checksum] ^= 1;
        let result = decode(Decoder::new(true, 1 << 20, 250), &damaged, 16);
        assert!(matches!(result, Err(Unfit::Garbled(_))), "{result:?}");
    }

    #[test]
    fn nothing_at_all_is_an_empty_body() {
        assert_eq!(decode(Decoder::new(true, 100, 250), b"", 1).unwrap(), b"");
    }

    #[test]
    fn size_is_limited_with_and_without_compression() {
        let content = vec![b'x'; 2000];
        let plain = decode(Decoder::new(false, 1999, 250), &content, 100);
        assert!(matches!(plain, Err(Unfit::TooLarge(1999))), "{plain:?}");
        let packed = decode(Decoder::new(true, 1999, 250), &gzip(&content), 100);
        assert!(matches!(packed, Err(Unfit::TooLarge(1999))), "{packed:?}");
        assert_eq!(decode(Decoder::new(false, 2000, 250), &content, 100).unwrap(), content);
    }

    #[test]
    fn bomb_is_stopped_by_its_factor() {
        let bomb = gzip(&vec![0; 40 << 20]);
        let stopped = decode(Decoder::new(true, 1 << 30, 250), &bomb, 1000);
        assert!(matches!(stopped, Err(Unfit::TooLarge(_))), "{:?}", stopped.map(|all| all.len()));
        // Half as large, the same factor is still taken for honest.
        let honest = gzip(&vec![0; 20 << 20]);
        assert_eq!(
            decode(Decoder::new(true, 1 << 30, 250), &honest, 1000).unwrap().len(),
            20 << 20
        );
    }
}
