//! What flows from a source to a sink, and the seams between them. Opens no file and no socket.

pub mod checkpoint;
pub mod clock;
pub mod email;
pub mod error;
pub mod id;
pub mod listing;
pub mod meter;
pub mod secret;
pub mod sink;
pub mod source;

pub use checkpoint::{Checkpoint, FolderState, Position, Protocol};
pub use clock::Clock;
pub use email::{Body, Email, Metadata};
pub use error::{Advice, Cause, Chain, Scope, SinkAdvice, SinkError, SourceError};
pub use id::{BucketId, FolderId, ItemId, MailboxId, Route, Uid};
pub use listing::{Entry, Fetched, Folder, Page, Quarantined, Survey};
pub use meter::{Meter, Peer, Unmetered};
pub use secret::Secret;
pub use sink::{Held, Refusal, Sink};
pub use source::Source;
