//! Reads mailboxes over Exchange Web Services.
//!
//! Folders are found by `SyncFolderHierarchy` and watched by `GetFolder`, items are listed by
//! `SyncFolderItems`, whose cursor is the position in the checkpoint, and emails are fetched as
//! MIME by `GetItem`.
//!
//! ```text
//! service ─ connections, pauses            request ─ SOAP out
//!    │                                     stream ─▶ clean ─▶ reply ─ SOAP in
//! mailbox ─ survey, list, fetch ─ rebuild  failure ─ what an error means
//! ```

pub mod body;
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
#[cfg(test)]
mod tests;

pub use mailbox::EwsMailbox;
pub use request::Access;
pub use service::{Ews, EwsSettings};
