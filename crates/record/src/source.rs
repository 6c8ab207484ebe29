//! The seam to a mailbox.

use async_trait::async_trait;

use crate::{Checkpoint, Entry, Fetched, Folder, Page, Position, SourceError, Survey};

/// Reads one mailbox.
///
/// ```text
/// survey ─▶ for each folder that changed: list ─▶ fetch ─▶ … ─▶ list ─▶ … ─▶ more = false
/// ```
///
/// A source keeps no position of its own: the same arguments yield the same items again, plus
/// newer ones. On an error, [`SourceError::advice`] tells what to do.
#[async_trait]
pub trait Source: Send {
    /// The folders that hold mail, each with a mark that changes when its items do.
    ///
    /// Costs one request when nothing changed since `known`. With `thorough`, the server is
    /// asked for the folder list itself, whatever the cheap check would say.
    async fn survey(&mut self, known: &Checkpoint, thorough: bool) -> Result<Survey, SourceError>;

    /// Lists what follows `from` in `folder`, at most `limit` entries; from the start without
    /// `from`.
    async fn list(
        &mut self,
        folder: &Folder,
        from: Option<&Position>,
        limit: usize,
    ) -> Result<Page, SourceError>;

    /// Fetches `entries` of `folder`: one result for each, in the same order.
    ///
    /// May be asked for any number of entries; the source forms its own requests.
    async fn fetch(
        &mut self,
        folder: &Folder,
        entries: &[Entry],
    ) -> Result<Vec<Fetched>, SourceError>;
}
