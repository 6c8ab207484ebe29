//! The platform's API from outside.
#![expect(clippy::unwrap_used, reason = "what stands in a test's way fails it")]

mod authorization;
mod contents;
mod integrations;
mod mails;
mod people;
mod server;
mod tls;

use server::subject;

testkit::platform_contract!(contract, subject);
