//! The one way out: TLS, HTTP/1.1 connections held by hand, sign-in, and the egress policy.
//!
//! Whoever talks to a server opens a [`Session`]. It signs in with NTLM, Basic or a bearer token,
//! keeps its connection, and hands out one [`Response`] at a time. For services that know their
//! callers by a header of each request, [`Client`] has a pool of connections.

mod body;
mod client;
mod connection;
mod cookies;
mod diagnostics;
mod endpoint;
mod error;
mod gunzip;
mod login;
mod payload;
mod request;
mod session;

pub mod channel_binding;
pub mod egress;
pub mod ntlm;
pub mod oauth;
pub mod probe;
pub mod tls;

pub use body::{Body, Response};
pub use client::{Call, Client, Repeat, bearer};
pub use diagnostics::diagnostics;
pub use egress::Egress;
pub use endpoint::{BadEndpoint, Endpoint, Limits, PlainHttp, Transport};
pub use error::{Cause, NetError, Stage};
pub use hyper::{
    HeaderMap, Method, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
pub use login::{ChannelBinding, Identity, Login};
pub use oauth::TokenSource;
pub use payload::{Parts, Payload};
pub use session::Session;
pub use tls::{Tls, TlsSettings};
