//! Takes a SOAP reply apart while it arrives: email bodies are decoded on the fly, the rest is
//! kept as a small document without them.
//!
//! A reply can hold 200 MB of base64 text in one element. Here it never exists as a whole: the
//! text of `MimeContent` goes to a [`Body`] piece by piece, and in the document, the
//! *skeleton*, the number of the body stands in its place.
//!
//! No XML parser works before this scanner has refused what could hurt one: document types,
//! deep nesting, endless tags, too much text. It reads bytes, so forbidden characters and
//! broken UTF-8 do not stop it; [`super::clean`] mends them in the skeleton afterwards.

use std::io;

use memchr::{memchr, memchr3};
use record::Body;

use crate::body::{Base64Body, BodyFault, Limits};

/// Most bytes of a reply outside email bodies.
pub const MAX_SKELETON: usize = 16 * 1024 * 1024;
/// Deepest nesting of elements.
const MAX_DEPTH: usize = 64;
/// Longest tag with its attributes; Exchange's longest hold an id of 512 bytes.
const MAX_TAG: usize = 64 * 1024;
/// Longest element name.
const MAX_NAME: usize = 256;

/// Which elements hold base64 bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bodies {
    /// `MimeContent`, of items and of attached items.
    Mime,
    /// Also `Content`, of attached files.
    MimeAndContent,
}

impl Bodies {
    fn includes(self, local_name: &[u8]) -> bool {
        match local_name {
            b"MimeContent" => true,
            b"Content" => self == Self::MimeAndContent,
            _ => false,
        }
    }
}

/// The reply is not the XML that a SOAP service sends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("it declares a document type")]
    Doctype,
    #[error("its elements are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    #[error("it has a tag that is too long")]
    TagTooLong,
    #[error("it has more than {MAX_SKELETON} bytes outside email bodies")]
    TooMuchText,
    #[error("it ends where no element is open")]
    Unbalanced,
    #[error("it has a tag without a name")]
    NoName,
    #[error("it ends too early")]
    Incomplete,
    /// What the XML parser says.
    #[error("{0}")]
    Xml(String),
    #[error("it has no {0}")]
    Missing(&'static str),
}

/// Why a reply cannot be taken apart further.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    #[error("the reply is malformed")]
    Malformed(#[from] Malformed),
    /// The bodies of one reply exceed every reason.
    #[error("the reply is too large")]
    TooLarge,
    #[error("could not write the spool file")]
    Spool(#[from] io::Error),
}

/// A reply without its bodies, and the bodies.
#[derive(Debug)]
pub struct Reply {
    /// XML in which the text of body elements is their index in `bodies`.
    pub skeleton: Vec<u8>,
    pub bodies: Vec<Result<Body, BodyFault>>,
    /// `false`: the transport broke off. Then `skeleton` ends after the last response message
    /// that arrived whole, and all elements around it are closed.
    pub complete: bool,
    /// What is left of the limits.
    pub limits: Limits,
}

#[derive(Debug)]
enum State {
    /// Between tags.
    Text,
    /// After `<`: `markup` tells as soon as it can what this is.
    Opening,
    /// In a tag; inside an attribute value that this quote ends.
    Tag { quote: Option<u8> },
    /// Until `>` after these two bytes; `last` are the two latest.
    Section { end: [u8; 2], last: [u8; 2], keep: bool },
}

/// The scanner. Feed it with [`push`](Self::push), in pieces of any size.
#[derive(Debug)]
pub struct Splitter {
    which: Bodies,
    limits: Limits,
    state: State,
    markup: Vec<u8>,
    skeleton: Vec<u8>,
    open: OpenElements,
    /// The first tag was seen.
    begun: bool,
    body: Option<OpenBody>,
    bodies: Vec<Result<Body, BodyFault>>,
    /// Bytes that may still arrive.
    allowance: u64,
    /// Length of the skeleton after the last whole response message, and what closes the
    /// elements that were open then.
    salvage: Option<(usize, Vec<u8>)>,
}

#[derive(Debug)]
struct OpenBody {
    text: Base64Body,
    /// How many elements were open with it.
    depth: usize,
}

impl Splitter {
    pub fn new(which: Bodies, limits: Limits) -> Self {
        // Base64 text of the largest email and of a batch beside it, with room for white space.
        let allowance = limits.max_size.saturating_mul(2).saturating_add(256 * 1024 * 1024);
        Self {
            which,
            limits,
            state: State::Text,
            markup: Vec::new(),
            skeleton: Vec::new(),
            open: OpenElements::default(),
            begun: false,
            body: None,
            bodies: Vec::new(),
            allowance,
            salvage: None,
        }
    }

    /// Takes the next piece of the reply.
    ///
    /// # Errors
    ///
    /// [`SplitError`]; the splitter is of no use afterwards.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), SplitError> {
        self.allowance =
            self.allowance.checked_sub(piece.len() as u64).ok_or(SplitError::TooLarge)?;
        let mut rest = piece;
        while let Some(&first) = rest.first() {
            let used = match self.state {
                State::Text => self.text(rest)?,
                State::Opening => self.opening(first)?,
                State::Tag { quote } => self.tag(rest, quote)?,
                State::Section { end, last, keep } => self.section(rest, end, last, keep)?,
            };
            rest = rest.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    /// Ends the reply. One that broke off yields what arrived whole.
    ///
    /// # Errors
    ///
    /// [`Malformed::Incomplete`] when it broke off before the first response message was whole.
    pub fn finish(mut self) -> Result<Reply, Malformed> {
        let complete = matches!(self.state, State::Text) && self.open.is_empty() && self.begun;
        if !complete {
            let (length, closing) = self.salvage.take().ok_or(Malformed::Incomplete)?;
            self.skeleton.truncate(length);
            self.skeleton.extend_from_slice(&closing);
        }
        Ok(Reply { skeleton: self.skeleton, bodies: self.bodies, complete, limits: self.limits })
    }

    fn text(&mut self, rest: &[u8]) -> Result<usize, SplitError> {
        let end = memchr(b'<', rest).unwrap_or(rest.len());
        let run = rest.get(..end).unwrap_or(rest);
        match &mut self.body {
            Some(body) => body.text.push(run, &self.limits)?,
            None => self.keep(run)?,
        }
        if end == rest.len() {
            return Ok(end);
        }
        self.state = State::Opening;
        self.markup.clear();
        self.markup.push(b'<');
        Ok(end + 1)
    }

    fn opening(&mut self, byte: u8) -> Result<usize, SplitError> {
        self.markup.push(byte);
        let section = |end: &[u8; 2], keep| State::Section { end: *end, last: [0; 2], keep };
        match self.markup.as_slice() {
            b"<?" => self.state = section(b"\0?", false),
            b"<!" | b"<!-" => {}
            b"<!--" => self.state = section(b"--", false),
            b"<![CDATA[" => {
                if let Some(body) = &mut self.body {
                    body.text.damage();
                }
                self.keep(b"<![CDATA[")?;
                self.state = section(b"]]", true);
            }
            start if b"<![CDATA[".starts_with(start) => {}
            [b'<', b'!', ..] => return Err(Malformed::Doctype.into()),
            _ => {
                self.markup.pop();
                self.state = State::Tag { quote: None };
                return Ok(0);
            }
        }
        Ok(1)
    }

    fn tag(&mut self, rest: &[u8], quote: Option<u8>) -> Result<usize, SplitError> {
        let found = match quote {
            Some(quote) => memchr(quote, rest),
            None => memchr3(b'>', b'"', b'\'', rest),
        };
        let used = found.map_or(rest.len(), |at| at + 1);
        let part = rest.get(..used).unwrap_or(rest);
        if self.markup.len() + part.len() > MAX_TAG {
            return Err(Malformed::TagTooLong.into());
        }
        self.markup.extend_from_slice(part);
        if found.is_some() {
            self.state = match (quote, part.last()) {
                (None, Some(b'>')) => {
                    self.end_of_tag()?;
                    State::Text
                }
                (None, Some(&quote)) => State::Tag { quote: Some(quote) },
                _ => State::Tag { quote: None },
            };
        }
        Ok(used)
    }

    fn section(
        &mut self,
        rest: &[u8],
        end: [u8; 2],
        last: [u8; 2],
        keep: bool,
    ) -> Result<usize, SplitError> {
        let found = memchr(b'>', rest);
        let used = found.map_or(rest.len(), |at| at + 1);
        let part = rest.get(..used).unwrap_or(rest);
        if keep {
            self.keep(part)?;
        }
        // The two bytes before `>`, or the two latest if it did not come yet.
        let before = if found.is_some() { part.len() - 1 } else { part.len() };
        let mut tail = last;
        for &byte in part.get(before.saturating_sub(2)..before).unwrap_or_default() {
            tail = [tail[1], byte];
        }
        let ends = found.is_some() && tail[1] == end[1] && (end[0] == 0 || tail[0] == end[0]);
        self.state = if ends {
            State::Text
        } else {
            if found.is_some() {
                tail = [tail[1], b'>'];
            }
            State::Section { end, last: tail, keep }
        };
        Ok(used)
    }

    /// `markup` is a whole tag.
    fn end_of_tag(&mut self) -> Result<(), SplitError> {
        let markup = std::mem::take(&mut self.markup);
        match markup.strip_prefix(b"</") {
            Some(name) => self.end_tag(&markup, name)?,
            None => self.start_tag(&markup)?,
        }
        self.markup = markup;
        Ok(())
    }

    fn start_tag(&mut self, markup: &[u8]) -> Result<(), SplitError> {
        let name = tag_name(markup.get(1..).unwrap_or_default())?;
        self.begun = true;
        self.keep(markup)?;
        if let Some(body) = &mut self.body {
            body.text.damage();
        }
        if markup.ends_with(b"/>") {
            return Ok(());
        }
        if self.open.depth() == MAX_DEPTH {
            return Err(Malformed::TooDeep.into());
        }
        self.open.push(name);
        if self.body.is_none() && self.which.includes(local_name(name)) {
            let depth = self.open.depth();
            self.body = Some(OpenBody { text: Base64Body::default(), depth });
        }
        Ok(())
    }

    fn end_tag(&mut self, markup: &[u8], name: &[u8]) -> Result<(), SplitError> {
        let name = tag_name(name)?;
        if let Some(body) = self.body.take_if(|body| body.depth == self.open.depth()) {
            let body = body.text.finish(&mut self.limits)?;
            let index = self.bodies.len().to_string();
            self.bodies.push(body);
            self.keep(index.as_bytes())?;
        }
        self.keep(markup)?;
        self.open.pop().ok_or(Malformed::Unbalanced)?;
        if local_name(name).ends_with(b"ResponseMessage") && self.body.is_none() {
            self.salvage = Some((self.skeleton.len(), self.open.closing_tags()));
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), SplitError> {
        if self.skeleton.len() + bytes.len() > MAX_SKELETON {
            return Err(Malformed::TooMuchText.into());
        }
        self.skeleton.extend_from_slice(bytes);
        Ok(())
    }
}

/// The name at the start of `tag`, which has lost its `<` or `</`.
fn tag_name(tag: &[u8]) -> Result<&[u8], Malformed> {
    let end = tag.iter().position(|&b| b.is_ascii_whitespace() || b == b'/' || b == b'>');
    match tag.get(..end.unwrap_or(tag.len())) {
        Some(name) if name.len() > MAX_NAME => Err(Malformed::TagTooLong),
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err(Malformed::NoName),
    }
}

fn local_name(name: &[u8]) -> &[u8] {
    name.rsplit(|&b| b == b':').next().unwrap_or(name)
}

/// The names of the open elements, outermost first, in one piece of memory.
#[derive(Debug, Default)]
struct OpenElements {
    names: Vec<u8>,
    ends: Vec<usize>,
}

impl OpenElements {
    fn depth(&self) -> usize {
        self.ends.len()
    }

    fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn push(&mut self, name: &[u8]) {
        self.names.extend_from_slice(name);
        self.ends.push(self.names.len());
    }

    fn pop(&mut self) -> Option<()> {
        self.ends.pop()?;
        self.names.truncate(self.ends.last().copied().unwrap_or(0));
        Some(())
    }

    fn closing_tags(&self) -> Vec<u8> {
        let mut tags = Vec::new();
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        for (start, &end) in starts.zip(&self.ends).collect::<Vec<_>>().into_iter().rev() {
            tags.extend_from_slice(b"</");
            tags.extend_from_slice(self.names.get(start..end).unwrap_or_default());
            tags.push(b'>');
        }
        tags
    }
}
