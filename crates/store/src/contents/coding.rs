//! How contents are packed: Zstandard (RFC 8878). Earlier versions wrote Deflate (RFC 1951), which is
//! read as well.

use std::{
    cell::RefCell,
    io::{self, BufReader, Cursor, Read, Write},
    path::PathBuf,
};

use flate2::read::DeflateDecoder;
use tempfile::NamedTempFile;
use zstd::{bulk, stream::read, stream::write};

pub(crate) const CODING: &str = "zstd";
const EARLIER: &str = "deflate";

/// Higher ones take twice the time for a hundredth of the size: most bytes are base64.
const LEVEL: i32 = 1;
/// Contents up to this size are packed at once, with tables of their size.
const SMALL: usize = 128 * 1024;
/// No frame of ours needs a larger window: 8 MiB.
const WINDOW_LOG: u32 = 23;
/// How a frame of Zstandard begins (RFC 8878 §3.1.1). As Deflate, this would be a block that is
/// stored as it is, whose length and its complement do not fit each other.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Whether this version can read what is packed so.
pub(super) fn is_known(coding: &str) -> bool {
    matches!(coding, CODING | EARLIER)
}

/// Packs small contents. It is kept from one to the next: making its tables costs more than packing
/// a letter.
pub(super) struct Packer(bulk::Compressor<'static>);

/// Packs one content, piece by piece.
pub(super) enum Coder {
    /// All of it so far.
    Small {
        whole: Vec<u8>,
        target: Target,
    },
    Large(write::Encoder<'static, Target>),
    /// A piece could not be written.
    Failed,
}

impl Coder {
    pub(super) fn new(target: Target) -> Self {
        Self::Small { whole: Vec::new(), target }
    }

    pub(super) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        *self = match std::mem::replace(self, Self::Failed) {
            Self::Small { mut whole, target } if whole.len() + piece.len() <= SMALL => {
                whole.extend_from_slice(piece);
                Self::Small { whole, target }
            }
            Self::Small { whole, target } => {
                let mut encoder = write::Encoder::new(target, LEVEL)?;
                encoder.write_all(&whole)?;
                encoder.write_all(piece)?;
                Self::Large(encoder)
            }
            Self::Large(mut encoder) => {
                encoder.write_all(piece)?;
                Self::Large(encoder)
            }
            Self::Failed => return Err(failed()),
        };
        Ok(())
    }

    pub(super) fn finish(self, packer: &mut Option<Packer>) -> io::Result<Target> {
        match self {
            Self::Small { whole, mut target } => {
                let Packer(packer) = match packer {
                    Some(packer) => packer,
                    None => packer.insert(Packer(bulk::Compressor::new(LEVEL)?)),
                };
                target.write_all(&packer.compress(&whole)?)?;
                Ok(target)
            }
            Self::Large(encoder) => encoder.finish(),
            Self::Failed => Err(failed()),
        }
    }
}

fn failed() -> io::Error {
    io::Error::other("an earlier piece could not be written")
}

/// Where packed bytes go: memory, and a file if they become many.
pub(super) struct Target {
    most: usize,
    folder: PathBuf,
    pub(super) memory: Vec<u8>,
    pub(super) file: Option<NamedTempFile>,
}

impl Target {
    pub(super) fn new(most: usize, folder: PathBuf) -> Self {
        Self { most, folder, memory: Vec::new(), file: None }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_none() && self.memory.len() + bytes.len() > self.most {
            let mut file = NamedTempFile::new_in(&self.folder)?;
            file.write_all(&self.memory)?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => {
                self.memory.extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is packed, until it is known how.
type Packed = io::Chain<Cursor<Vec<u8>>, Box<dyn Read + Send>>;

/// Where packed bytes are.
pub(super) enum Input {
    Memory(Vec<u8>),
    File(Box<dyn Read + Send>),
}

/// Unpacks one content.
pub(super) enum Decoder {
    New(Option<Input>),
    Deflate(DeflateDecoder<Packed>),
    Zstd(read::Decoder<'static, BufReader<Packed>>),
}

impl Decoder {
    pub(super) fn new(packed: Input) -> Self {
        Self::New(Some(packed))
    }

    /// Unpacks a small content at once, before anything of it was read; `None` if it must be read
    /// piece by piece.
    pub(super) fn whole(&self, size: u64) -> Option<io::Result<Vec<u8>>> {
        let Self::New(Some(Input::Memory(packed))) = self else { return None };
        let size = usize::try_from(size).ok().filter(|size| *size <= SMALL)?;
        packed.starts_with(&MAGIC).then(|| unpack(packed, size))
    }
}

thread_local! {
    /// Kept from one content to the next, as its tables are larger than most.
    static UNPACKER: RefCell<Option<bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

fn unpack(packed: &[u8], size: usize) -> io::Result<Vec<u8>> {
    UNPACKER.with_borrow_mut(|unpacker| {
        let unpacker = match unpacker {
            Some(unpacker) => unpacker,
            None => unpacker.insert(bulk::Decompressor::new()?),
        };
        unpacker.decompress(packed, size)
    })
}

impl Read for Decoder {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Self::New(packed) = self {
            let Some(packed) = packed.take() else {
                return Err(io::Error::other("its beginning could not be read"));
            };
            *self = begin(match packed {
                Input::Memory(packed) => Box::new(Cursor::new(packed)),
                Input::File(packed) => packed,
            })?;
        }
        match self {
            Self::New(_) => Ok(0),
            Self::Deflate(decoder) => decoder.read(into),
            Self::Zstd(decoder) => decoder.read(into),
        }
    }
}

/// A copy of a content, in a backup for instance, has nothing beside it that says how it is packed.
fn begin(mut packed: Box<dyn Read + Send>) -> io::Result<Decoder> {
    let mut start = Vec::with_capacity(MAGIC.len());
    packed.by_ref().take(MAGIC.len() as u64).read_to_end(&mut start)?;
    let is_zstd = start == MAGIC;
    let packed = Cursor::new(start).chain(packed);
    if !is_zstd {
        return Ok(Decoder::Deflate(DeflateDecoder::new(packed)));
    }
    let mut decoder = read::Decoder::with_buffer(BufReader::new(packed))?.single_frame();
    decoder.window_log_max(WINDOW_LOG)?;
    Ok(Decoder::Zstd(decoder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(pieces: &[&[u8]], folder: &std::path::Path) -> Vec<u8> {
        let mut coder = Coder::new(Target::new(usize::MAX, folder.to_owned()));
        pieces.iter().for_each(|piece| coder.write(piece).unwrap());
        coder.finish(&mut None).unwrap().memory
    }

    fn unpacked(packed: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut whole = Vec::new();
        Decoder::new(Input::Memory(packed)).read_to_end(&mut whole)?;
        Ok(whole)
    }

    #[test]
    fn what_is_packed_comes_back_whatever_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let line = b"The quick brown fox jumps over the lazy dog.\r\n";
        for size in [0, 1, SMALL - 1, SMALL, SMALL + 1, 3 * SMALL] {
            let whole: Vec<u8> = line.iter().copied().cycle().take(size).collect();
            for piece in [SMALL + 7, 4096, 1000] {
                let pieces: Vec<&[u8]> = whole.chunks(piece).collect();
                let packed = packed(&pieces, folder.path());
                assert!(packed.len() < size / 10 + 20, "{} of {size}", packed.len());
                let at_once = Decoder::new(Input::Memory(packed.clone())).whole(size as u64);
                assert_eq!(at_once.is_some(), size <= SMALL, "{size}");
                assert!(at_once.is_none_or(|unpacked| unpacked.unwrap() == whole), "{size}");
                assert_eq!(unpacked(packed).unwrap(), whole, "{size} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_earlier_versions_packed_is_read() {
        for text in ["", "x", "A letter of last year."] {
            let mut encoder =
                flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            assert_eq!(unpacked(encoder.finish().unwrap()).unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn what_is_cut_off_does_not_end_well() {
        let folder = tempfile::tempdir().unwrap();
        let whole = packed(&[b"Dear all, the meeting is at ten."], folder.path());
        for end in MAGIC.len()..whole.len() {
            assert!(unpacked(whole[..end].to_vec()).is_err(), "{end} of {} bytes", whole.len());
        }
    }
}
