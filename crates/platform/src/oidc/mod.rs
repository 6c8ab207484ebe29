//! Signing in with OpenID Connect: the authorization code flow with PKCE, as a confidential or a
//! public client.
//!
//! ```text
//! flow      start ─▶ the provider asks the person ─▶ finish
//! provider  what its discovery document says, its keys, the exchange of the code
//! token     signature and claims of an ID token
//! admission which user that is, if any
//! sign_out  the way there and back of somebody who leaves
//! trip      what a browser carries on either way
//! ```
//!
//! Invariants:
//!
//! - Nothing is stored before somebody has come back to the browser that set out.
//! - No claim is looked at before the signature is right.
//! - A person is known by issuer and subject; an email address that the provider does not vouch for
//!   leads to nobody.
//!
//! Spec: "OpenID Connect Core 1.0", "OpenID Connect Discovery 1.0", "OpenID Connect RP-Initiated
//! Logout 1.0", RFC 6749, RFC 7636 (PKCE),
//! RFC 9207 (issuer in the answer), RFC 9700 (best current practice).

mod admission;
pub(crate) mod flow;
mod keys;
mod provider;
pub(crate) mod settings;
pub(crate) mod sign_out;
mod token;
mod trip;

pub(crate) use provider::Provider;
