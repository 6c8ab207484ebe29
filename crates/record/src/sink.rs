//! The seam to where emails and checkpoints are kept.

use async_trait::async_trait;

use crate::{Checkpoint, Email, Quarantined, Route, SinkError, Uid};

/// An email that a sink holds already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The folder path that the sink has on record for it.
    pub folder: Vec<String>,
}

/// An email that a sink will not take, now or later. The engine sets it aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub uid: Uid,
    /// `TooLarge`, or what the other side calls it.
    pub code: String,
    pub detail: String,
}

/// Keeps emails, what is in quarantine, and how far each mailbox has come.
///
/// Every promise is about what survives a power cut once the call has returned.
#[async_trait]
pub trait Sink: Send + Sync {
    /// [`find`](Self::find) tells the truth: whatever is listed again is neither fetched nor stored
    /// again.
    fn knows_what_it_holds(&self) -> bool;

    /// Loads where `route` stopped; generation 0 if it never ran. A checkpoint that cannot be
    /// read is an error, never an empty one.
    async fn load_checkpoint(&self, route: &Route) -> Result<Checkpoint, SinkError>;

    /// Tells for each uid whether the sink holds it. A sink that cannot tell says no, since
    /// writing twice is harmless.
    async fn find(&self, route: &Route, uids: &[Uid]) -> Result<Vec<Option<Held>>, SinkError>;

    /// Stores `emails`, all durable once this returns, but for those that it refuses. Same uid,
    /// same place: writing one twice leaves one copy. A stored uid leaves the quarantine list.
    async fn write(&self, route: &Route, emails: &[Email]) -> Result<Vec<Refusal>, SinkError>;

    /// Corrects the folder path of emails that the sink holds. Of uids that it does not hold, and
    /// in a sink that cannot tell, nothing happens.
    async fn relocate(&self, route: &Route, moved: &[(Uid, Vec<String>)]) -> Result<(), SinkError>;

    /// Adds to the quarantine list, durably; an entry with a known uid replaces the old one.
    async fn quarantine(&self, route: &Route, items: &[Quarantined]) -> Result<(), SinkError>;

    /// The quarantine list of `route`.
    async fn quarantined(&self, route: &Route) -> Result<Vec<Quarantined>, SinkError>;

    /// Replaces the checkpoint by `new`: readers see the old one or the new one, never a part.
    ///
    /// # Errors
    ///
    /// [`SinkError::Superseded`] unless the stored generation is `new.generation - 1`: somebody
    /// else writes this route, and the caller must stop.
    async fn save_checkpoint(&self, route: &Route, new: &Checkpoint) -> Result<(), SinkError>;
}
