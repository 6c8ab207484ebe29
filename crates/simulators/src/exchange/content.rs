//! The bytes of an item: held, in a file, or made when somebody reads them.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use crate::generate::{
    Dice, Recipe,
    filler::{LINE, LINES, block},
};

/// Bytes at the start of a message in which its header is looked for.
const MAX_HEAD: usize = 256 * 1024;

/// The RFC 5322 bytes of one message.
#[derive(Clone, Debug)]
pub enum Content {
    Bytes(Bytes),
    /// A part of a file that nobody changes: a `.eml` file, or one message of an mbox.
    File {
        path: Arc<Path>,
        offset: u64,
        length: u64,
    },
    /// A realistic message, written anew at each reading; the same recipe gives the same bytes.
    Mail {
        recipe: Recipe,
        size: u64,
    },
    /// A message of any size, of which no more than a chunk is ever in memory.
    Large(Large),
}

impl Content {
    /// A message file.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn file(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path: PathBuf = path.into();
        let length = std::fs::metadata(&path)?.len();
        Ok(Self::File { path: path.into(), offset: 0, length })
    }

    pub fn recipe(recipe: Recipe) -> Self {
        let size = recipe.write().len() as u64;
        Self::Mail { recipe, size }
    }

    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
            Self::Mail { size, .. } => *size,
            Self::Large(large) => large.size(),
        }
    }

    /// The whole message in memory: for small ones, and for tests.
    ///
    /// # Errors
    ///
    /// The file behind it cannot be read.
    pub fn to_bytes(&self) -> io::Result<Bytes> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::Mail { recipe, .. } => Ok(recipe.write().into()),
            Self::File { .. } | Self::Large(_) => {
                let mut whole = Vec::new();
                self.reader()?.read_to_end(&mut whole)?;
                Ok(whole.into())
            }
        }
    }

    /// The header of the message with the empty line that ends it, or what was found of it.
    ///
    /// # Errors
    ///
    /// The file behind it cannot be read.
    pub fn head(&self) -> io::Result<Bytes> {
        let start = self.start()?;
        let end = super::mime::head_length(&start).unwrap_or(start.len());
        Ok(start.slice(..end.min(start.len())))
    }

    /// The first bytes, all that is needed to describe the message.
    pub(crate) fn start(&self) -> io::Result<Bytes> {
        Ok(match self {
            Self::Bytes(bytes) => bytes.slice(..bytes.len().min(MAX_HEAD)),
            Self::Mail { recipe, .. } => recipe.write().into(),
            Self::Large(large) => Bytes::copy_from_slice(&large.head),
            Self::File { .. } => {
                let mut start = Vec::new();
                self.reader()?.take(MAX_HEAD as u64).read_to_end(&mut start)?;
                start.into()
            }
        })
    }

    pub(crate) fn reader(&self) -> io::Result<Reader> {
        Ok(match self {
            Self::Bytes(bytes) => Reader::Bytes { bytes: bytes.clone(), at: 0 },
            Self::Mail { recipe, .. } => Reader::Bytes { bytes: recipe.write().into(), at: 0 },
            Self::File { path, offset, length } => {
                Reader::File { file: File::open(path)?, at: *offset, end: offset + length }
            }
            Self::Large(large) => Reader::Large { large: large.clone(), at: 0 },
        })
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(bytes))
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Large> for Content {
    fn from(large: Large) -> Self {
        Self::Large(large)
    }
}

/// A message of a given size whose body is cut from one shared block of text.
#[derive(Clone, Debug)]
pub struct Large {
    head: Arc<[u8]>,
    shift: usize,
    body: u64,
}

impl Large {
    /// A message of `size` bytes, or of its header's length if that is more.
    pub fn new(seed: u64, size: u64) -> Self {
        let mut dice = Dice::new(seed);
        let head = format!(
            "From: Reports <reports@example.net>\r\nTo: archive@example.com\r\n\
             Subject: Export {seed}\r\nDate: Sat, 21 Nov 2026 08:15:00 +0000\r\n\
             Message-ID: <export.{:016x}@example.net>\r\nMIME-Version: 1.0\r\n\
             Content-Type: application/octet-stream; name=\"export-{seed}.bin\"\r\n\
             Content-Disposition: attachment; filename=\"export-{seed}.bin\"\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n",
            dice.next()
        );
        let body = size.saturating_sub(head.len() as u64);
        Self { shift: dice.below(LINES) * LINE, head: head.into_bytes().into(), body }
    }

    fn size(&self) -> u64 {
        self.head.len() as u64 + self.body
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> usize {
        let left = usize::try_from(self.size().saturating_sub(at)).unwrap_or(usize::MAX);
        let head = self.head.len() as u64;
        let source = if at < head {
            self.head.get(usize::try_from(at).unwrap_or_default()..)
        } else {
            let offset = usize::try_from((at - head) % (LINE * LINES) as u64).unwrap_or_default();
            block().get((offset + self.shift) % (LINE * LINES)..)
        }
        .unwrap_or_default();
        let count = into.len().min(left).min(source.len());
        if let (Some(to), Some(from)) = (into.get_mut(..count), source.get(..count)) {
            to.copy_from_slice(from);
        }
        count
    }
}

/// Reads a content from its start.
#[derive(Debug)]
pub(crate) enum Reader {
    Bytes { bytes: Bytes, at: usize },
    File { file: File, at: u64, end: u64 },
    Large { large: Large, at: u64 },
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Bytes { bytes, at } => {
                let rest = bytes.get(*at..).unwrap_or_default();
                let count = rest.len().min(into.len());
                if let (Some(to), Some(from)) = (into.get_mut(..count), rest.get(..count)) {
                    to.copy_from_slice(from);
                }
                *at += count;
                Ok(count)
            }
            Self::File { file, at, end } => {
                let left = usize::try_from(end.saturating_sub(*at)).unwrap_or(usize::MAX);
                let room = into.len().min(left);
                let Some(into) = into.get_mut(..room) else { return Ok(0) };
                if into.is_empty() {
                    return Ok(0);
                }
                let count = file.read_at(into, *at)?;
                if count == 0 {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "a mail file became shorter while it was served",
                    ));
                }
                *at += count as u64;
                Ok(count)
            }
            Self::Large { large, at } => {
                let count = large.read_at(into, *at);
                *at += count as u64;
                Ok(count)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_message_has_exactly_its_size_and_is_the_same_twice() {
        for size in [0, 500, 65_520, 65_521, 1_000_003] {
            let content = Content::from(Large::new(7, size));
            let bytes = content.to_bytes().unwrap();
            assert_eq!(bytes.len() as u64, content.size());
            assert!(size < 500 || content.size() == size);
            assert_eq!(bytes, content.to_bytes().unwrap());
            assert!(content.head().unwrap().ends_with(b"\r\n\r\n"));
        }
        let other = Content::from(Large::new(8, 70_000)).to_bytes().unwrap();
        assert_ne!(Content::from(Large::new(7, 70_000)).to_bytes().unwrap(), other);
    }
}
