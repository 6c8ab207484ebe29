//! Collects the bytes of one email: small ones in memory, large ones in an unlinked file.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use memchr::{memchr, memchr2, memchr3};
use record::Body;

/// Most bytes of one email that are kept in memory.
pub const MEMORY_PER_BODY: usize = 256 * 1024;

/// Base64 text is decoded in pieces of this many bytes; a multiple of four.
const BLOCK: usize = 64 * 1024;

/// What bodies may use of this machine.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Where large bodies wait.
    pub spool_dir: PathBuf,
    /// Largest email that is kept, in bytes.
    pub max_size: u64,
    /// Memory left for bodies of at most [`MEMORY_PER_BODY`], in bytes; when it is used up,
    /// smaller ones go to files too.
    pub memory: usize,
}

/// Why a body is not there although the server sent one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    #[error("it is larger than the settings allow")]
    TooLarge,
    #[error("its base64 text is damaged")]
    BadBase64,
}

/// Takes the bytes of one email and keeps them where their amount belongs.
///
/// Files are written with plain blocking calls: the bytes go to the page cache in pieces of
/// less than 64 KiB, which costs less than handing each piece to another thread.
#[derive(Debug)]
pub struct BodyWriter {
    place: Place,
    size: u64,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<u8>),
    File(File),
    /// Too large: counted, not kept.
    Nowhere,
}

impl Default for BodyWriter {
    fn default() -> Self {
        Self { place: Place::Memory(Vec::new()), size: 0 }
    }
}

impl BodyWriter {
    /// Bytes taken so far, kept or not.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes `bytes`. Beyond `limits.max_size` what was kept is given up, and the rest is only
    /// counted.
    ///
    /// # Errors
    ///
    /// The spool file could not be written.
    pub fn write(&mut self, bytes: &[u8], limits: &Limits) -> io::Result<()> {
        self.size += bytes.len() as u64;
        if self.size > limits.max_size {
            self.place = Place::Nowhere;
        }
        match &mut self.place {
            Place::Memory(kept) => {
                let room = MEMORY_PER_BODY.min(limits.memory);
                if kept.len() + bytes.len() <= room {
                    kept.extend_from_slice(bytes);
                } else {
                    let mut file = new_file(&limits.spool_dir)?;
                    file.write_all(kept)?;
                    file.write_all(bytes)?;
                    self.place = Place::File(file);
                }
                Ok(())
            }
            Place::File(file) => file.write_all(bytes),
            Place::Nowhere => Ok(()),
        }
    }

    /// Ends the body; its memory is taken from `limits.memory`.
    ///
    /// # Errors
    ///
    /// [`BodyFault::TooLarge`] when it was not kept.
    pub fn finish(self, limits: &mut Limits) -> Result<Body, BodyFault> {
        match self.place {
            Place::Memory(bytes) => {
                limits.memory = limits.memory.saturating_sub(bytes.len());
                Ok(Body::Memory(bytes.into_boxed_slice().into()))
            }
            Place::File(file) => Ok(Body::Spool { file: Arc::new(file), size: self.size }),
            Place::Nowhere => Err(BodyFault::TooLarge),
        }
    }
}

fn new_file(dir: &Path) -> io::Result<File> {
    tempfile::tempfile_in(dir)
}

/// Decodes base64 text that arrives in pieces, cut anywhere.
///
/// White space is passed over, written out or as a reference such as `&#xD;`. Anything else
/// that is no base64 makes the body faulty, and only the body.
#[derive(Debug, Default)]
pub struct Base64Body {
    writer: BodyWriter,
    /// Text that waits for its block to be full, without white space.
    text: Vec<u8>,
    decoded: Vec<u8>,
    /// A character reference that has begun, without its `&`.
    reference: Option<Vec<u8>>,
    /// Padding was seen: nothing may follow.
    ended: bool,
    damaged: bool,
}

impl Base64Body {
    /// Bytes decoded so far.
    pub fn size(&self) -> u64 {
        self.writer.size()
    }

    /// Declares the body faulty: it holds something that is not text.
    pub fn damage(&mut self) {
        self.damaged = true;
        self.text = Vec::new();
    }

    /// # Errors
    ///
    /// The spool file could not be written.
    pub fn push(&mut self, text: &[u8], limits: &Limits) -> io::Result<()> {
        for piece in text.chunks(BLOCK) {
            if self.damaged {
                return Ok(());
            }
            self.take(piece);
            if self.text.len() >= BLOCK {
                self.decode(limits)?;
            }
        }
        Ok(())
    }

    /// Adds the padding at the end, where a writer has left it out (RFC 4648 §3.2).
    pub fn pad(&mut self) {
        match self.text.len() % 4 {
            2 => self.text.extend_from_slice(b"=="),
            3 => self.text.push(b'='),
            _ => {}
        }
    }

    /// # Errors
    ///
    /// The spool file could not be written; otherwise a fault is part of the value.
    pub fn finish(mut self, limits: &mut Limits) -> io::Result<Result<Body, BodyFault>> {
        self.decode(limits)?;
        if self.damaged || !self.text.is_empty() || self.reference.is_some() {
            return Ok(Err(BodyFault::BadBase64));
        }
        Ok(self.writer.finish(limits))
    }

    fn take(&mut self, piece: &[u8]) {
        let odd = memchr3(b'\n', b'\r', b' ', piece).or_else(|| memchr2(b'&', b'\t', piece));
        if odd.is_none() && self.reference.is_none() {
            self.text.extend_from_slice(piece);
            return;
        }
        for &byte in piece {
            match (&mut self.reference, byte) {
                (Some(name), b';') => {
                    let blank = matches!(
                        name.to_ascii_lowercase().as_slice(),
                        b"#xd" | b"#xa" | b"#x9" | b"#x20" | b"#13" | b"#10" | b"#9" | b"#32"
                    );
                    self.reference = None;
                    if !blank {
                        return self.damage();
                    }
                }
                (Some(name), _) if name.len() < 4 => name.push(byte),
                (Some(_), _) => return self.damage(),
                (None, b'&') => self.reference = Some(Vec::new()),
                (None, b' ' | b'\t' | b'\r' | b'\n') => {}
                (None, _) => self.text.push(byte),
            }
        }
    }

    /// Decodes all whole groups of four characters.
    fn decode(&mut self, limits: &Limits) -> io::Result<()> {
        let whole = self.text.len() - self.text.len() % 4;
        let Some(groups) = self.text.get(..whole) else { return Ok(()) };
        if groups.is_empty() || self.damaged {
            return Ok(());
        }
        self.decoded.clear();
        let good = base64_simd::STANDARD.decode_append(groups, &mut self.decoded).is_ok();
        if !good || self.ended {
            self.damage();
            return Ok(());
        }
        self.ended = memchr(b'=', groups.get(whole - 2..).unwrap_or_default()).is_some();
        self.writer.write(&self.decoded, limits)?;
        self.text.drain(..whole);
        Ok(())
    }
}
