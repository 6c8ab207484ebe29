//! The platform's API from outside.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what stands in a test's way fails it"
)]

mod authorization;
mod browser;
mod comments;
mod contents;
mod conversion;
mod datasets;
mod integrations;
mod mails;
mod openapi;
mod people;
mod raw_emails;
mod server;
mod sources;
mod tls;

use server::subject;

testkit::platform_contract!(contract, subject);
