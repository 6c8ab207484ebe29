//! HTML to text: a tokenizer without a tree, and what each element does to the text.
//!
//! A browser's parser builds a tree, whose cost a sender decides: nested tables and unclosed
//! elements made known sanitizers take minutes. A text needs no tree, only the list of elements
//! that are open, which is limited here.

pub(crate) mod clean;
mod elements;
mod entities;
pub(crate) mod picture;
mod render;
mod tokens;

pub(crate) use elements::has_markup;
pub(crate) use render::{Options, render};
