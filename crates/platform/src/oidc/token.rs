//! An ID token: whether it is the provider's, for us, of this sign-in, and good now.
//!
//! Spec: "OpenID Connect Core 1.0", §3.1.3.7; RFC 7515 §5.2; RFC 8725.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use openssl::memcmp;
use serde_json::{Map, Value};

use super::keys::{Algorithm, Key};

/// Longest token that is read, in bytes.
const MAX_TOKEN: usize = 64 * 1024;
/// Seconds by which the clocks may differ.
const SKEW: i64 = 60;
/// Longest subject. Spec: §2 of the same allows 255.
const MAX_SUBJECT: usize = 255;

/// Why a token is not good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadToken {
    #[error("the ID token is no signed token")]
    Malformed,
    #[error("the ID token is signed with `{0}`, and not with RS256, PS256 or ES256")]
    Algorithm(String),
    #[error("the ID token is signed with a key that the provider does not show")]
    UnknownKey,
    #[error("the signature of the ID token is wrong")]
    Signature,
    #[error("the ID token is of another issuer")]
    Issuer,
    #[error("the ID token is for another client")]
    Audience,
    #[error("the ID token has expired; is the clock of this machine right?")]
    Expired,
    #[error("the ID token is not good yet; is the clock of this machine right?")]
    Early,
    #[error("the ID token is of another sign-in")]
    Nonce,
    #[error("the ID token names nobody")]
    Subject,
}

/// What a token must say.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) now: DateTime<Utc>,
}

/// A token whose signature was not looked at yet.
pub(super) struct Signed {
    algorithm: Algorithm,
    key_id: Option<String>,
    signed: String,
    signature: Vec<u8>,
    payload: Vec<u8>,
}

/// Whom a token is about. Everything in it was signed and is of this sign-in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Claims {
    pub(super) subject: String,
    pub(super) all: Map<String, Value>,
}

fn part(text: &str) -> Result<Vec<u8>, BadToken> {
    BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| BadToken::Malformed)
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, BadToken> {
    serde_json::from_slice(bytes).map_err(|_| BadToken::Malformed)
}

impl Signed {
    pub(super) fn read(token: &str) -> Result<Self, BadToken> {
        let malformed = || BadToken::Malformed;
        let parts: Vec<&str> = token.splitn(4, '.').collect();
        let [header, payload, signature] = parts.as_slice() else { return Err(malformed()) };
        if token.len() > MAX_TOKEN {
            return Err(malformed());
        }
        let fields = object(&part(header)?)?;
        // Nothing that we would have to understand is understood. Spec: RFC 7515 §4.1.11.
        if fields.contains_key("crit") {
            return Err(malformed());
        }
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let name = text("alg").ok_or_else(malformed)?;
        let unknown = || BadToken::Algorithm(name.chars().take(16).collect());
        Ok(Self {
            algorithm: Algorithm::named(name).ok_or_else(unknown)?,
            key_id: text("kid").map(str::to_owned),
            signed: format!("{header}.{payload}"),
            signature: part(signature)?,
            payload: part(payload)?,
        })
    }

    /// The keys that may have made the signature: that of the name, or, without a name, all.
    fn candidates<'k>(&self, keys: &'k [Key]) -> impl Iterator<Item = &'k Key> {
        let suits = move |key: &&Key| {
            key.suits(self.algorithm) && (self.key_id.is_none() || self.key_id == key.id)
        };
        keys.iter().filter(suits).collect::<Vec<_>>().into_iter()
    }

    /// Whether one of the keys may have made the signature.
    pub(super) fn is_by(&self, keys: &[Key]) -> bool {
        self.candidates(keys).next().is_some()
    }

    pub(super) fn verify(&self, keys: &[Key], expected: &Expected<'_>) -> Result<Claims, BadToken> {
        if !self.is_by(keys) {
            return Err(BadToken::UnknownKey);
        }
        let right = |key: &Key| {
            let signed = self.signed.as_bytes();
            key.verifies(self.algorithm, signed, &self.signature).unwrap_or(false)
        };
        if !self.candidates(keys).any(right) {
            return Err(BadToken::Signature);
        }
        claims(object(&self.payload)?, expected)
    }
}

fn claims(all: Map<String, Value>, expected: &Expected<'_>) -> Result<Claims, BadToken> {
    let text = |name: &str| all.get(name).and_then(Value::as_str);
    if text("iss") != Some(expected.issuer) {
        return Err(BadToken::Issuer);
    }
    let own = Value::from(expected.client_id);
    let (is_for_us, alone) = match all.get("aud") {
        Some(Value::Array(list)) => (list.contains(&own), list.len() == 1),
        Some(one) => (*one == own, true),
        None => (false, false),
    };
    let asked = match all.get("azp") {
        Some(party) => *party == own,
        // Several audiences must say which of them asked.
        None => alone,
    };
    if !is_for_us || !asked {
        return Err(BadToken::Audience);
    }
    let now = expected.now.timestamp();
    let time = |name: &str| all.get(name).and_then(Value::as_f64);
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
    let (earliest, latest) = ((now - SKEW) as f64, (now + SKEW) as f64);
    if !time("exp").is_some_and(|at| at > earliest) {
        return Err(BadToken::Expired);
    }
    if !time("iat").is_some_and(|at| at <= latest) || time("nbf").is_some_and(|at| at > latest) {
        return Err(BadToken::Early);
    }
    let nonce = text("nonce").unwrap_or_default().as_bytes();
    let wanted = expected.nonce.as_bytes();
    if nonce.len() != wanted.len() || !memcmp::eq(nonce, wanted) {
        return Err(BadToken::Nonce);
    }
    let subject = text("sub").unwrap_or_default().to_owned();
    if subject.is_empty() || subject.len() > MAX_SUBJECT || subject.contains('\0') {
        return Err(BadToken::Subject);
    }
    Ok(Claims { subject, all })
}
