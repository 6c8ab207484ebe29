//! The platform's API from outside.
#![expect(clippy::unwrap_used, reason = "what stands in a test's way fails it")]

mod authorization;
mod browser;
mod contents;
mod limits;
mod oidc;
mod openapi;
mod own_account;
mod people;
mod server;
mod sign_in;
mod tls;
mod visitor;

use server::subject;

testkit::platform_contract!(contract, subject);
