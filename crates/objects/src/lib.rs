//! Object stores: one container of Azure Blob Storage or a bucket of S3, with conditional writes.
//!
//! The library `object_store` knows the requests. It has no HTTP client and no cryptography here: our
//! `service` sends its requests through [`net`] and signs each attempt itself, so that a token that
//! ends between two attempts is replaced, and no secret is part of a URL that the library could put
//! into a message.
//!
//! Nothing here knows what is in a blob: the sinks keep emails there, the platform its contents.

mod container;
mod crypto;
mod failure;
mod location;
mod prefix;
mod service;
mod upload;

pub mod azure;
pub mod s3;

pub use self::{
    container::{Conditions, Container, Found, Kind, LargeCreate, Put},
    failure::{Failure, Reason, at},
    location::{BadPlace, Environment, Location, OpenError, Options, open},
    prefix::{BadPrefix, MAX_PREFIX, Prefix},
    upload::Sent,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
