//! A signed statement that stands for a client secret.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use openssl::{
    error::ErrorStack,
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Padding,
    sign::{RsaPssSaltlen, Signer},
};
use record::Secret;
use serde_json::json;

use crate::request::guid;

/// `client_assertion_type`. Spec: RFC 7523 §2.2.
pub(super) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long an assertion is good for, in seconds.
const LIFE: i64 = 600;

/// The private key of a certificate that the authority knows, with the certificate's thumbprint.
#[derive(Clone)]
pub struct SigningKey {
    key: PKey<Private>,
    algorithm: Algorithm,
    /// base64url without padding.
    thumbprint: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    /// RSASSA-PKCS1-v1_5, with the SHA-1 thumbprint.
    Rs256,
    /// RSASSA-PSS, with the SHA-256 thumbprint.
    Ps256,
}

/// Key or thumbprint cannot be used. Says nothing of the key's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSigningKey {
    #[error("the thumbprint is not 40 (SHA-1) or 64 (SHA-256) hex digits")]
    Thumbprint,
    #[error("the private key is not in PEM form, `-----BEGIN PRIVATE KEY-----` and so on")]
    NotPem,
    #[error("the private key is encrypted; store it without a passphrase")]
    Encrypted,
    #[error("the private key is not an RSA key")]
    NotRsa,
}

impl SigningKey {
    /// Reads a key in PEM form, PKCS#1 or PKCS#8, in which a line break may be written `\n`.
    ///
    /// The thumbprint decides about the signature: 40 hex digits (SHA-1) go with RS256, 64
    /// (SHA-256) with PS256. Colons and blanks in it are passed over.
    ///
    /// # Errors
    ///
    /// [`BadSigningKey`].
    pub fn new(pem: &Secret, thumbprint: &str) -> Result<Self, BadSigningKey> {
        let hex: String = thumbprint.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
        let algorithm = match hex.len() {
            40 => Algorithm::Rs256,
            64 => Algorithm::Ps256,
            _ => return Err(BadSigningKey::Thumbprint),
        };
        let bytes = decode_hex(&hex).ok_or(BadSigningKey::Thumbprint)?;
        let pem = Secret::from(pem.reveal().replace(r"\r", "").replace(r"\n", "\n"));
        let pem = pem.reveal().trim();
        if !pem.starts_with("-----BEGIN ") {
            return Err(BadSigningKey::NotPem);
        }
        if pem.contains("ENCRYPTED") {
            return Err(BadSigningKey::Encrypted);
        }
        // With a passphrase, so that OpenSSL never asks for one on the terminal.
        let key = PKey::private_key_from_pem_passphrase(pem.as_bytes(), b"")
            .map_err(|_| BadSigningKey::NotPem)?;
        key.rsa().map_err(|_| BadSigningKey::NotRsa)?;
        Ok(Self { key, algorithm, thumbprint: BASE64_URL_SAFE_NO_PAD.encode(bytes) })
    }

    /// The assertion of `client_id` towards `audience`, the token endpoint.
    ///
    /// Spec: RFC 7523 §3; "Microsoft identity platform application authentication certificate
    /// credentials".
    pub(super) fn assertion(
        &self,
        client_id: &str,
        audience: &str,
        now: DateTime<Utc>,
    ) -> Result<Secret, ErrorStack> {
        let header = match self.algorithm {
            Algorithm::Rs256 => json!({"alg": "RS256", "typ": "JWT", "x5t": self.thumbprint}),
            Algorithm::Ps256 => json!({"alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint}),
        };
        let now = now.timestamp();
        let claims = json!({
            "aud": audience,
            "iss": client_id,
            "sub": client_id,
            "jti": guid()?,
            "nbf": now,
            "iat": now,
            "exp": now + LIFE,
        });
        let encode = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
        let signed = format!(
            "{}.{}",
            encode(header.to_string().as_bytes()),
            encode(claims.to_string().as_bytes())
        );
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key)?;
        if self.algorithm == Algorithm::Ps256 {
            signer.set_rsa_padding(Padding::PKCS1_PSS)?;
            signer.set_rsa_mgf1_md(MessageDigest::sha256())?;
            signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
        }
        let signature = signer.sign_oneshot_to_vec(signed.as_bytes())?;
        Ok(Secret::from(format!("{signed}.{}", encode(&signature))))
    }
}

/// Longest assertion that is read from a file, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// Reads an assertion that somebody else has signed.
pub(super) fn read(path: &Path) -> io::Result<Secret> {
    let named = |err: io::Error| {
        io::Error::new(
            err.kind(),
            format!("could not read the token in `{}`: {err}", path.display()),
        )
    };
    let mut text = String::new();
    File::open(path).map_err(named)?.take(MAX_FILE).read_to_string(&mut text).map_err(named)?;
    Ok(Secret::from(text.trim()))
}

fn decode_hex(hex: &str) -> Option<Vec<u8>> {
    let (pairs, _) = hex.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok();
    pairs.iter().map(byte).collect()
}
