//! Search over comments: the index that follows every write, and what is asked of it.

mod ask;
mod follow;
mod fts5;
mod postgres;
mod rebuild;
mod threads;
mod volume;
mod walk;

pub use ask::{Count, Search};
pub use rebuild::SearchProgress;
pub use threads::{ThreadHit, ThreadPage};
pub use volume::SearchVolume;

/// Microseconds of a day.
pub(crate) const DAY: i64 = 24 * 3600 * 1_000_000;
