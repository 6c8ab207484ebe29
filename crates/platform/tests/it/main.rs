//! The platform's API from outside.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what stands in a test's way fails it"
)]

mod authorization;
mod away;
mod browser;
mod comment_filter;
mod comments;
mod contents;
mod conversion;
mod csv_upload;
mod dataset_bounds;
mod datasets;
mod integrations;
mod limits;
mod mails;
mod meanwhile;
mod oidc;
mod oidc_sign_out;
mod openapi;
mod own_account;
mod people;
mod poison;
mod raw_emails;
mod search;
mod server;
mod sign_in;
mod sources;
mod tls;
mod ui;
mod visitor;
mod volume;

use server::subject;

testkit::platform_contract!(contract, subject);
