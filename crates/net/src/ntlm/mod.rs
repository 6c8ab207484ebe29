//! `NTLMv2` as messages and arithmetic, for both sides, without any I/O.
//!
//! ```text
//! client  ── NEGOTIATE ────▶  server
//!         ◀── CHALLENGE ────
//!         ── AUTHENTICATE ─▶
//! ```
//!
//! Written here instead of taken from the crate `sspi`: by `cargo tree` (normal and build edges)
//! the tree of this crate counts 103 packages, one of them, `md4`, for this module alone; `sspi`
//! 0.23.1 without default features would add 78, mostly elliptic curves, Kerberos and a
//! pre-release of `rsa` that nothing here calls. What HTTP needs of NTLM is small: no signing,
//! no sealing, and therefore no key exchange and no RC4, the same set of flags that Windows' own
//! HTTP clients ask for. `NTLMv1` is left out on purpose: Extended Protection forbids it.
//!
//! Spec: MS-NLMP, "NT LAN Manager (NTLM) Authentication Protocol"; section numbers in this
//! module are its.

mod acceptor;
mod client;
mod crypto;
mod wire;

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};

pub use acceptor::{Accepted, Acceptor, Account, Binding, Pending};
pub use client::{Credentials, authenticate, negotiate};

/// A message cannot be read, or does not prove what it should.
#[derive(Debug, thiserror::Error)]
pub enum NtlmError {
    #[error("the NTLM message is malformed: {0}")]
    Malformed(&'static str),
    /// The other side wants an OEM character set.
    #[error("the other side does not speak Unicode NTLM")]
    NoUnicode,
    /// The client answered with `NTLMv1`, or anonymously.
    #[error("the client did not answer with NTLMv2")]
    NotVersion2,
    #[error("no such account, or a wrong password")]
    WrongPassword,
    #[error("the message integrity code is wrong")]
    WrongMic,
    #[error("OpenSSL refused MD5 or HMAC-MD5")]
    Crypto(#[from] openssl::error::ErrorStack),
}

/// The time as NTLM counts it: 100 ns since 1601.
pub fn file_time(at: DateTime<Utc>) -> u64 {
    const UNIX_EPOCH_SECONDS: i64 = 11_644_473_600;
    let seconds = u64::try_from(at.timestamp() + UNIX_EPOCH_SECONDS).unwrap_or(0);
    seconds * 10_000_000 + u64::from(at.timestamp_subsec_nanos() / 100)
}

/// The form in which a channel-binding token travels: the MD5 of a `gss_channel_bindings_struct`
/// whose only content is `token`.
///
/// # Errors
///
/// OpenSSL refuses MD5.
///
/// Spec: §3.1.1.2 `ClientChannelBindingsUnhashed`, RFC 2744 §3.11.
pub fn binding_hash(token: &[u8]) -> Result<[u8; 16], NtlmError> {
    // Address types and lengths of both sides, all zero, then the length of the token.
    let mut bindings = vec![0; 16];
    bindings.extend(u32::try_from(token.len()).unwrap_or(u32::MAX).to_le_bytes());
    bindings.extend(token);
    Ok(crypto::md5(&bindings)?)
}
