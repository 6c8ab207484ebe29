//! Limits of the parser, what it says when one is reached, and the key of a quarantine.
//!
//! A sender chooses every byte of an email. Each limit is checked before the work it limits is
//! done; when it is reached, the rest of that thing is left out, a [`Note`] says so, and the
//! comment is made of what was read.

use std::fmt::Write;

use serde::Serialize;
use sha2::{Digest, Sha256};

/// What one message may cost. The defaults leave any real email whole.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of the message that are looked at; Exchange Online takes messages up to 150 MB.
    pub message_bytes: usize,
    /// Bytes of one header block.
    pub header_bytes: usize,
    /// Header fields of one block.
    pub headers: usize,
    /// Parts of the message, nested ones included.
    pub parts: usize,
    /// Multiparts within each other.
    pub depth: usize,
    /// Parameters of one header field, continuations (RFC 2231 §3) included.
    pub parameters: usize,
    /// Addresses that are read of one header field.
    pub addresses: usize,
    /// Attachments of a comment.
    pub attachments: usize,
    /// Decoded bytes of one text part.
    pub text_bytes: usize,
    /// Decoded bytes of one HTML part; beyond it the plain text is preferred.
    pub html_bytes: usize,
    /// Bytes of text before quotes are cut.
    pub uncut_bytes: usize,
    /// Lines of text before quotes are cut.
    pub lines: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 256 * 1024 * 1024,
            header_bytes: 256 * 1024,
            headers: 2_000,
            parts: 10_000,
            depth: 50,
            parameters: 200,
            addresses: 10_000,
            attachments: 128,
            text_bytes: 4 * 1024 * 1024,
            html_bytes: 4 * 1024 * 1024,
            uncut_bytes: 1024 * 1024,
            lines: 50_000,
        }
    }
}

/// Something of the email that is not in the comment, or that was guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// [`Limits::message_bytes`]: the end was not looked at.
    MessageTooLarge,
    /// [`Limits::header_bytes`] or [`Limits::headers`]: later fields were passed over.
    HeaderTooLarge,
    /// [`Limits::parts`]: later parts were passed over.
    TooManyParts,
    /// [`Limits::depth`]: a multipart so deep was taken as one attachment.
    TooDeep,
    /// [`Limits::parameters`]: later parameters were passed over.
    TooManyParameters,
    /// [`Limits::addresses`], or the 2,048 of a comment: later addresses were left out.
    TooManyAddresses,
    /// [`Limits::attachments`]: later attachments were left out.
    TooManyAttachments,
    /// A text part was longer than [`Limits::text_bytes`], [`Limits::html_bytes`],
    /// [`Limits::uncut_bytes`] or [`Limits::lines`].
    TextTooLong,
    /// The body was longer than the 65,536 characters of a comment.
    BodyCut,
    /// The signature was longer than the 65,536 characters of a comment.
    SignatureCut,
    /// A value was longer than its field: subject, address, name of an attachment.
    FieldCut,
    /// More markup than the 4,096 nodes of a comment.
    MarkupCut,
    /// A multipart lacks a boundary, or its boundary never comes; what is there was read as text.
    BrokenMultipart,
    /// A line of a header block was no header field.
    BrokenHeader,
    /// Bytes were not of the character set that they claim, or of none that is known.
    UnreadableCharacters,
    /// The content is encrypted; it is an attachment of the comment.
    Encrypted,
    /// The content is in Microsoft's TNEF (`winmail.dat`); it is an attachment of the comment.
    Tnef,
    /// The content was inside an opaque signature (S/MIME) and was taken out of it.
    Unwrapped,
    /// Neither plain text nor HTML was found.
    NoText,
    /// No `Date` that can be read, or one that cannot be true.
    NoDate,
}

/// Notes of one conversion, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Vec<Note>);

impl Notes {
    pub(crate) fn add(&mut self, note: Note) {
        if !self.0.contains(&note) {
            self.0.push(note);
        }
    }

    pub(crate) fn has(&self, note: Note) -> bool {
        self.0.contains(&note)
    }

    pub(crate) fn into_sorted(mut self) -> Vec<Note> {
        self.0.sort_unstable();
        self.0
    }
}

/// Name of a raw email for a crash marker or a quarantine: hex of the SHA-256 of its bytes.
///
/// The same bytes have the same key after a restart, whatever id they were delivered under.
pub fn content_key(raw: &[u8]) -> String {
    hex(&Sha256::digest(raw))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a `String` cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}
