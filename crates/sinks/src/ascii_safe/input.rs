//! A message whose parts are read in any order, from memory or from a file.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    os::unix::fs::FileExt,
};

use record::Body;

/// Bytes of a file that are read at a time.
const BUFFER: usize = 64 << 10;

/// The bytes of a message.
#[derive(Clone, Copy)]
pub(super) enum Input<'a> {
    Memory(&'a [u8]),
    File {
        file: &'a File,
        size: u64,
        /// Bytes that are read at a time.
        buffer: usize,
    },
}

/// A piece of a message, from its first byte to the one after its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Span {
    pub(super) fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

impl<'a> Input<'a> {
    pub(super) fn of(body: &'a Body) -> Self {
        match body {
            Body::Memory(bytes) => Self::Memory(bytes),
            Body::Spool { file, size } => Self::File { file, size: *size, buffer: BUFFER },
        }
    }

    pub(super) fn whole(self) -> Span {
        let end = match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { size, .. } => size,
        };
        Span { start: 0, end }
    }

    /// Reads a piece from its start.
    pub(super) fn read(self, span: Span) -> Box<dyn BufRead + 'a> {
        match self {
            Self::Memory(bytes) => {
                let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                Box::new(bytes.get(place(span.start)..place(span.end)).unwrap_or_default())
            }
            Self::File { file, buffer, .. } => {
                let capacity = buffer.min(usize::try_from(span.len()).unwrap_or(buffer)).max(1);
                Box::new(BufReader::with_capacity(capacity, Piece { file, span }))
            }
        }
    }
}

/// Reads a piece of a file, wherever others read it.
struct Piece<'a> {
    file: &'a File,
    span: Span,
}

impl Read for Piece<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.span.len()).unwrap_or(usize::MAX);
        let room = into.len().min(left);
        let Some(into) = into.get_mut(..room).filter(|into| !into.is_empty()) else {
            return Ok(0);
        };
        let read = self.file.read_at(into, self.span.start)?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the spool file was cut"));
        }
        self.span.start += read as u64;
        Ok(read)
    }
}

/// Calls `each` with one stretch of bytes after the other.
pub(super) fn for_each(
    reader: &mut dyn BufRead,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    loop {
        let bytes = reader.fill_buf()?;
        let length = bytes.len();
        if length == 0 {
            return Ok(());
        }
        each(bytes)?;
        reader.consume(length);
    }
}

/// Fills `buffer` as far as the bytes reach.
pub(super) fn fill<'b>(reader: &mut dyn BufRead, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match reader.read(room)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(buffer.get(..filled).unwrap_or_default())
}
