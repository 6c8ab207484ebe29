//! Turns a raw email into a comment: MIME, character sets, HTML, quotes, signature, attachments.
//! Pure: no file, no socket, no clock.
//!
//! [`convert`] is the way in. It takes any bytes and always returns a comment; what had to be
//! left out or guessed is named in [`Converted::notes`]. The parser has no recursion and takes
//! time in proportion to the message, whatever the sender wrote; the limits are in [`guard`].
//!
//! `docs/comments.md` tells field by field what becomes of an email.

mod charset;
mod comment;
mod convert;
mod cut;
pub mod guard;
mod html;
mod markup;
mod mime;
mod people;
mod text;
mod transform;

pub use comment::{
    Attachment, Change, Comment, Content, Converted, Message, Node, NodeKind, Property, Span,
};
pub use comment::{FORMAT_VERSION, comment_id};
pub use convert::{Delivery, Pieces, convert, convert_pieces, email_id};
pub use convert::{Html, Original, Remote, original};
pub use cut::{Context, Label, Line, label};
pub use guard::{Limits, Note};
pub use html::clean::{Page, escape};
pub use mime::File;
pub use text::Hint;
pub use transform::{MailboxProperty, TextFormat, Transform};
