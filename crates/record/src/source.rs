//! The seam to a mailbox.

use async_trait::async_trait;

use crate::{
    Checkpoint, Entry, Fetched, Folder, ItemId, Page, Position, Protocol, SourceError, Survey,
};

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
    /// In whose terms its positions and ids are.
    fn protocol(&self) -> Protocol;

    /// An unchanged mark proves that nothing changed in its folder. Otherwise a mark is a hint only,
    /// and each folder is listed now and then whatever its mark says.
    fn marks_are_proof(&self) -> bool {
        true
    }

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

    /// The ids under which this source knows items that another protocol named: one result for
    /// each, in the same order; `None` where nobody can tell.
    async fn translate(
        &mut self,
        _from: Protocol,
        items: &[ItemId],
    ) -> Result<Vec<Option<ItemId>>, SourceError> {
        Ok(vec![None; items.len()])
    }
}
