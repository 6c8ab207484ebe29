//! Reads mailboxes over Exchange Web Services.
//!
//! Folders are found by `SyncFolderHierarchy` and watched by `GetFolder`, items are listed by
//! `SyncFolderItems`, whose cursor is the position in the checkpoint, and emails are fetched as
//! MIME by `GetItem`.
//!
//! ```text
//! mailbox: survey, list, fetch ─▶ suspect ─▶ rebuild ─▶ compose     failure: what an error means
//!    │
//! service: connections, pauses
//!    │
//! request: SOAP out        stream ─▶ clean ─▶ reply: SOAP in
//! ```

pub mod clean;
pub mod compose;
pub mod failure;
mod fetch;
pub mod fuzz;
mod mailbox;
mod rebuild;
pub mod reply;
pub mod request;
mod service;
pub mod stream;
mod survey;
mod suspect;
#[cfg(test)]
mod tests;

pub use mailbox::EwsMailbox;
pub use request::{Access, Version};
pub use service::{Ews, EwsSettings};
