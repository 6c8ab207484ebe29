//! What a search over comments looks at and for: tokens, queries and what of a text they meet.
//! Pure: no file, no socket, no clock, no SQL.
//!
//! ```text
//! comment ─▶ Document ─▶ Entry   tokens, one blank between them ─▶ the index of a database
//! text    ─▶ parse    ─▶ Query   a tree of words, phrases and marks ─▶ its language (crate store)
//!                        Query + text ─▶ highlight                   ─▶ ranges of the original
//! ```
//!
//! Invariants:
//!
//! - A database never sees a letter of a user that is not in a token, and a token holds letters,
//!   digits and combining marks only: there is nothing to escape and nothing to inject.
//! - A mark begins with `_`, which no token of a text does, so that no text looks like one.
//! - Everything is bounded: tokens of a text, terms and depth of a query, ranges of a highlight.
//!
//! `docs/search.md` is the description for users.

mod document;
mod fold;
mod highlight;
mod mark;
mod query;
pub mod tokens;

pub use document::{Document, Entry, Value};
pub use highlight::{Snippet, Span, highlight, snippet};
pub use mark::Mark;
pub use query::{Field, MAX_RANGES, Names, Node, Phrase, Query, QueryError, parse};
use tokens::tokens;

/// Grows with each release in which the same comment can have other tokens: an index of another
/// version is built anew.
pub const VERSION: u32 = 2;
