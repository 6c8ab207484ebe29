//! Realistic mail out of a number: the same seed gives the same bytes, in every version.

mod charset;
mod compose;
mod dice;
pub(crate) mod filler;
mod mailbox;
mod recipe;
mod special;
mod words;

pub use dice::Dice;
pub use mailbox::{Plan, deliver_every, fill};
pub use recipe::Recipe;
