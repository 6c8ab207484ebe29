//! Reads mailboxes over Microsoft Graph.
//!
//! Folders are found and watched by `mailFolders/delta`, messages are listed by `messages/delta`,
//! whose links are the positions in the checkpoint, and emails are fetched as MIME by `$value`,
//! many small ones in one `$batch`.
//!
//! ```text
//! mailbox: survey, list (or poll), fetch, translate      failure: what an error means
//!    │
//! service: applications, budgets, connections, pauses
//!    │
//! address, wire: requests out, JSON in      batch: bytes of emails
//! ```

mod address;
mod batch;
mod budget;
mod failure;
mod fetch;
pub mod fuzz;
mod list;
mod mailbox;
mod mend;
mod poll;
mod service;
mod survey;
mod translate;
mod wire;

pub use budget::Allowance;
pub use mailbox::GraphMailbox;
pub use service::{Application, Graph, GraphSettings};
