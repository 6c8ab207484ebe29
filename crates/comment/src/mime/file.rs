//! Where the content of an attachment is, and how to read it.

use std::{
    io::{Cursor, Read},
    ops::Range,
};

use sha2::{Digest, Sha256};

use crate::{
    guard,
    mime::{
        smime,
        transfer::{self, Decoder, Encoding},
    },
};

/// Encoded content, as a range of the message.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    pub(crate) range: Range<usize>,
    pub(crate) encoding: Encoding,
}

impl Location {
    pub(crate) fn decoder<'a>(&self, message: &'a [u8]) -> Decoder<'a> {
        Decoder::new(message.get(self.range.clone()).unwrap_or_default(), self.encoding)
    }
}

/// The content of one attachment. Small: it holds no bytes of the content.
#[derive(Clone, Debug)]
pub struct File {
    pub(crate) at: Location,
    /// The signature that the message with this file was taken out of.
    pub(crate) wrapper: Option<Location>,
    /// `Content-ID` without brackets: what `cid:` in the HTML refers to.
    pub content_id: Option<String>,
}

impl File {
    /// Where the encoded content is in the raw email; `None` if it is inside of a signature.
    pub fn encoded_range(&self) -> Option<Range<usize>> {
        self.wrapper.is_none().then(|| self.at.range.clone())
    }

    /// Reads the decoded content, 16 KiB at a time. `raw` is the email that was converted.
    pub fn reader<'a>(&self, raw: &'a [u8]) -> Box<dyn Read + Send + 'a> {
        match &self.wrapper {
            None => Box::new(self.at.decoder(raw)),
            Some(wrapper) => {
                let message = unwrap(raw, wrapper).unwrap_or_default();
                let encoded = message.get(self.at.range.clone()).unwrap_or_default();
                Box::new(Cursor::new(transfer::decode(encoded, self.at.encoding, usize::MAX)))
            }
        }
    }
}

/// The MIME entity inside of an opaque signature.
pub(crate) fn unwrap(raw: &[u8], wrapper: &Location) -> Option<Vec<u8>> {
    let encoded = raw.get(wrapper.range.clone())?;
    smime::signed_content(&transfer::decode(encoded, wrapper.encoding, usize::MAX))
}

/// Size and hash of decoded content.
pub(crate) fn measure(mut decoder: Decoder<'_>) -> (u64, String) {
    let mut hash = Sha256::new();
    let mut size = 0_u64;
    let mut piece = Vec::new();
    loop {
        let more = decoder.decode_piece(&mut piece);
        if piece.len() >= 16 * 1024 || !more {
            hash.update(&piece);
            size += piece.len() as u64;
            piece.clear();
        }
        if !more {
            return (size, guard::hex(&hash.finalize()));
        }
    }
}
