//! Moves mail from a source to a sink: every item once, durable before it is checked off.
//!
//! [`mailbox::MailboxSync`] does the work of one mailbox in small steps, [`service::Service`]
//! gives the steps of all mailboxes their turns. No protocol is known here: everything is
//! written against the seams of the `record` crate and runs in a deterministic simulation.

pub mod backoff;
pub mod carried;
mod caught;
mod complete;
mod contest;
mod deliver;
mod idle;
pub mod mailbox;
pub mod migrate;
pub mod observer;
pub mod page;
mod past;
mod pause;
mod quarantine;
mod recovery;
pub mod service;
pub mod settings;
mod stored;
mod suspect;
mod tally;

pub use carried::Carried;
pub use mailbox::{Fatal, MailboxSync, Next, StopReason};
pub use observer::{CommitResult, Event, MailboxState, Observer, SkipReason};
pub use service::{Command, Failure, Service};
pub use settings::{FolderFilter, MailboxSettings, Pace, StartFrom};
pub use suspect::IN_FLIGHT;
